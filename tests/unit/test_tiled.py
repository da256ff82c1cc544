"""The tiled engine: no seams, memory bounded, nothing wrong pasted in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from irss_core.errors import CancelledError, InvalidOptionError, ModelError, ResourceError
from irss_core.progress import CancelToken, ProgressMeter, ProgressUpdate
from irss_core.sr.networks.rrdbnet import RRDBNet
from irss_core.sr.networks.srvgg import SRVGGNetCompact
from irss_core.sr.tiled import TiledRunner
from tests.tiny_models import noise_picture, tiny_rrdbnet, tiny_srvgg

CPU = torch.device("cpu")


def quiet(total: float) -> ProgressMeter:
    return ProgressMeter(total, "work")


def runner(network: torch.nn.Module, *, dtype: torch.dtype = torch.float32, limit: int | None = None) -> TiledRunner:
    return TiledRunner(network, device=CPU, dtype=dtype, memory_limit_bytes=limit)


def largest_difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("make", [tiny_rrdbnet, tiny_srvgg])
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (41, 1), (33, 57), (97, 70)])
def test_output_is_the_plain_network_run_at_any_size(make: Callable, size: tuple[int, int]) -> None:
    network = make().network
    picture = noise_picture(*size)
    with torch.inference_mode():
        plain = network(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    expected = plain[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().numpy()
    output = runner(network).run(picture, meter=quiet)
    assert output.pixels.shape == (size[0] * 4, size[1] * 4, 3)
    # One level: another order of summation may round a value that lies half-way to the other side.
    assert largest_difference(output.pixels, expected) <= 1
    assert output.fallbacks == ()


def test_cutting_only_what_follows_the_body_is_exact() -> None:
    network = tiny_rrdbnet().network
    picture = noise_picture(90, 110)
    # Enough for the whole body, but for small render tiles only.
    whole = runner(network).run(picture, meter=quiet)
    small = TiledRunner(network, device=CPU, dtype=torch.float32, memory_limit_bytes=None)
    plan = small._plan(90, 110, "auto")
    cut, tiles = small._run_plan(picture, type(plan)(plan.body_size, 32, 0), torch.float32, quiet, [])
    assert whole.tiles == 1
    assert tiles == 3 * 4
    assert largest_difference(whole.pixels, cut) <= 1


def test_exact_network_is_cut_exactly_at_any_tile_size() -> None:
    network = tiny_srvgg().network
    picture = noise_picture(75, 101)
    whole = runner(network).run(picture, meter=quiet)
    cut = runner(network).run(picture, tile=32, meter=quiet)
    assert cut.tiles == 3 * 4
    assert largest_difference(whole.pixels, cut.pixels) <= 1


def test_cut_body_leaves_no_seam_when_the_overlap_covers_its_reach() -> None:
    network = tiny_rrdbnet().network  # reach 17, well within the 32 pixels thrown away on either side
    picture = noise_picture(150, 170)
    whole = runner(network).run(picture, meter=quiet)
    cut = runner(network).run(picture, tile=64, meter=quiet)
    assert cut.tiles > 4
    assert largest_difference(whole.pixels, cut.pixels) <= 2


def test_bodies_that_see_farther_than_the_overlap_fade_over_instead_of_stepping() -> None:
    class Leaning(SRVGGNetCompact):
        """Each run adds its own constant: the worst disagreement two tiles can have."""

        def __init__(self) -> None:
            super().__init__(1, blocks=1, features=4)
            self.features_reach, self.render_reach = 500, 0
            self.conv_last = torch.nn.Conv2d(3, 3, 1)
            self.runs = 0

        def __deepcopy__(self, memo: dict) -> Leaning:
            return self

        def features(self, x: Tensor) -> Tensor:
            self.runs += 1
            return torch.full_like(x, 0.2 * self.runs)

        def render(self, features: Tensor) -> Tensor:
            return features

    output = runner(Leaning()).run(np.zeros((64, 256, 3), np.uint8), tile=128, meter=quiet).pixels
    steps = np.abs(np.diff(output[:, :, 0].astype(int), axis=1))
    assert output.min() == 51
    assert output.max() == 102
    assert steps.max() <= 1  # 51 levels spread over 64 columns


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(33, 45), (3, 5), (1, 1)])
def test_networks_on_folded_input_take_sides_that_do_not_divide(scale: int, size: tuple[int, int]) -> None:
    network = tiny_rrdbnet(scale).network
    output = runner(network).run(noise_picture(*size), meter=quiet)
    assert output.pixels.shape == (size[0] * scale, size[1] * scale, 3)


def test_sixteen_bit_in_is_sixteen_bit_out_truly_computed() -> None:
    network = tiny_srvgg().network
    coarse = noise_picture(20, 24)
    fine = coarse.astype(np.uint16) * 257 + 100  # 100 of 65535 is under half an 8-bit level
    output = runner(network, dtype=torch.bfloat16).run(fine, meter=quiet)
    assert output.pixels.dtype == np.uint16
    assert output.dtype == torch.float32
    assert np.unique(output.pixels % 257).size > 100


class Faulty(RRDBNet):
    """Gives a fault the first ``times`` it renders in a low precision, or always."""

    def __init__(self, fault: Callable[[Tensor], Tensor], *, only_low: bool = True, times: int = 1) -> None:
        torch.manual_seed(1)
        super().__init__(4, blocks=1, features=8, growth=4)
        self.fault, self.only_low, self.times = fault, only_low, times

    def __deepcopy__(self, memo: dict) -> Faulty:
        copy = Faulty(self.fault, only_low=self.only_low, times=self.times)
        copy.load_state_dict(self.state_dict())
        return copy

    def render(self, features: Tensor) -> Tensor:
        if self.times and not (self.only_low and features.dtype == torch.float32):
            self.times -= 1
            return self.fault(super().render(features))
        return super().render(features)


def one_nan(x: Tensor) -> Tensor:
    x[0, 0, 0, 0] = torch.nan
    return x


def no_memory(x: Tensor) -> Tensor:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried 1 TB")


def test_tile_that_is_not_finite_is_run_again_in_fp32_and_said() -> None:
    picture = noise_picture(40, 40)
    expected = runner(Faulty(one_nan, times=0)).run(picture, meter=quiet)
    output = runner(Faulty(one_nan), dtype=torch.bfloat16).run(picture, meter=quiet)
    assert len(output.fallbacks) == 1
    assert "not finite in bf16" in output.fallbacks[0]
    assert largest_difference(output.pixels, expected.pixels) <= 1


def test_network_that_is_not_finite_in_fp32_either_is_an_error() -> None:
    with pytest.raises(ModelError, match="checkpoint is probably damaged"):
        runner(Faulty(one_nan, only_low=False)).run(noise_picture(20, 20), meter=quiet)


def test_out_of_memory_halves_the_tiles_and_is_said() -> None:
    picture = noise_picture(80, 96)
    expected = runner(Faulty(no_memory, times=0)).run(picture, meter=quiet)
    output = runner(Faulty(no_memory, only_low=False)).run(picture, tile=128, meter=quiet)
    assert output.fallbacks == ("out of memory: tiles halved to 64 pixels",)
    assert largest_difference(output.pixels, expected.pixels) <= 2


def test_out_of_memory_to_the_end_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ResourceError, match="Close other programs"):
        runner(Faulty(no_memory, only_low=False, times=99)).run(noise_picture(40, 40), meter=quiet)


def test_other_runtime_errors_are_not_taken_for_memory() -> None:
    def bug(x: Tensor) -> Tensor:
        raise RuntimeError("sizes do not match")

    with pytest.raises(RuntimeError, match="sizes do not match"):
        runner(Faulty(bug, only_low=False)).run(noise_picture(8, 8), meter=quiet)


def test_cancel_stops_within_one_block_of_the_body() -> None:
    token = CancelToken()
    seen: list[ProgressUpdate] = []

    def callback(update: ProgressUpdate) -> None:
        seen.append(update)
        if update.done > 0:
            token.cancel()

    network = tiny_rrdbnet(blocks=4).network
    with pytest.raises(CancelledError):
        runner(network).run(
            noise_picture(30, 30), meter=lambda total: ProgressMeter(total, "work", callback=callback, cancel=token)
        )
    assert seen[-1].fraction is not None
    assert seen[-1].fraction < 0.3  # one block of four


def test_progress_ends_at_one_and_never_goes_back() -> None:
    seen: list[float] = []
    meter = lambda total: ProgressMeter(total, "work", callback=lambda u: seen.append(u.fraction))  # noqa: E731
    runner(tiny_rrdbnet(blocks=3).network).run(noise_picture(100, 100), tile=64, meter=meter)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)


def test_tile_below_the_minimum_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidOptionError, match=r"Tile size 8 is below 32"):
        runner(tiny_srvgg().network).run(noise_picture(8, 8), tile=8, meter=quiet)


def test_planned_memory_stays_within_the_limit_set() -> None:
    network = RRDBNet(4, blocks=1)  # full width
    limit = 512 * 1024**2
    engine = runner(network, limit=limit)
    assert engine.estimate_memory_bytes(3000, 4000) <= limit
    assert engine.estimate_memory_bytes(3000, 4000) > limit // 4
