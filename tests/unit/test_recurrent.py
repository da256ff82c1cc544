"""The recurrent engine: tiles, state, grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from irss_core.errors import ModelError, ResourceError
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.loader import LoadedModel, load_model
from irss_core.sr.recurrent import RecurrentRunner, to_half_pixel_grid
from irss_core.sr.resample import resize
from tests.tiny_models import baseline, loaded, noise_picture, tiny_frnet, tiny_srvgg
from vendor.tecogan.generator import FRNet
from vendor.tecogan.sequence import SequenceState

CPU = torch.device("cpu")


def runner(degradation: str = "BD", *, dtype: torch.dtype = torch.float32) -> RecurrentRunner:
    return RecurrentRunner(tiny_frnet(degradation), device=CPU, dtype=dtype)


def test_tiled_frames_are_the_untiled_ones() -> None:
    frames = [noise_picture(50, 70, seed=seed) for seed in range(3)]
    whole, cut = runner(), runner()
    state_whole = state_cut = None
    for frame in frames:
        a = whole.step(frame, state_whole)
        b = cut.step(frame, state_cut, tile=32)
        state_whole, state_cut = a.state, b.state
        assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 1
    assert (a.tiles, b.tiles) == (1, 2 * 3)


def test_state_taken_apart_and_put_together_goes_on_bit_for_bit() -> None:
    engine = runner()
    frames = [noise_picture(20, 24, seed=seed) for seed in range(3)]
    state = engine.step(frames[1], engine.step(frames[0], None).state).state
    copied = SequenceState.from_dict({key: value.clone() for key, value in state.to_dict().items()})
    assert np.array_equal(engine.step(frames[2], state).pixels, engine.step(frames[2], copied).pixels)


def test_state_stays_in_fp32_while_the_network_runs_in_bf16() -> None:
    output = runner(dtype=torch.bfloat16).step(noise_picture(16, 16), None)
    assert output.state.hr.dtype == torch.float32


class FaultyFRNet(FRNet):
    """Breaks ``times`` times, in bf16 only or always."""

    def __init__(self, fault: Callable[[Tensor], Tensor], *, only_low: bool, times: int) -> None:
        torch.manual_seed(3)
        super().__init__(scale=4, blocks=2)
        self.fault, self.only_low, self.times = fault, only_low, times

    def __deepcopy__(self, memo: dict) -> FaultyFRNet:
        copy = FaultyFRNet(self.fault, only_low=self.only_low, times=self.times)
        copy.load_state_dict(self.state_dict())
        return copy

    def reconstruct(self, lr: Tensor, warped_hr: Tensor) -> Tensor:
        low = next(self.srnet.parameters()).dtype != torch.float32
        if self.times and (low or not self.only_low):
            self.times -= 1
            return self.fault(super().reconstruct(lr, warped_hr))
        return super().reconstruct(lr, warped_hr)


def broken(fault: Callable[[Tensor], Tensor], *, only_low: bool = False, times: int = 1) -> RecurrentRunner:
    model = loaded(FaultyFRNet(fault, only_low=only_low, times=times), "frnet")
    return RecurrentRunner(model, device=CPU, dtype=torch.bfloat16 if only_low else torch.float32)


def not_a_number(x: Tensor) -> Tensor:
    return x * torch.nan


def no_memory(x: Tensor) -> Tensor:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_frame_that_is_not_finite_is_run_again_in_fp32_and_said() -> None:
    frame = noise_picture(20, 20)
    output = broken(not_a_number, only_low=True).step(frame, None)
    assert output.fallbacks == ("a frame was not finite in bf16: run again in fp32",)
    assert np.array_equal(output.pixels, runner().step(frame, None).pixels)


def test_frame_that_is_not_finite_in_fp32_either_is_an_error() -> None:
    with pytest.raises(ModelError, match="probably damaged"):
        broken(not_a_number).step(noise_picture(20, 20), None)


def test_out_of_memory_halves_the_tile_and_is_said() -> None:
    frame = noise_picture(60, 60)
    output = broken(no_memory).step(frame, None, tile=64)
    assert output.fallbacks == ("out of memory: tiles halved to 32 pixels",)
    assert np.abs(output.pixels.astype(int) - runner().step(frame, None).pixels).max() <= 1


def test_out_of_memory_to_the_end_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ResourceError, match="Close other programs"):
        broken(no_memory, times=99).step(noise_picture(40, 40), None)


def test_still_network_is_refused() -> None:
    with pytest.raises(ModelError, match="not a sequence network"):
        RecurrentRunner(tiny_srvgg(), device=CPU, dtype=torch.float32)


def centre_of_edge(profile: np.ndarray) -> float:
    """Return where a rising profile passes the middle between its ends, in pixels."""
    level = (float(profile[0]) + float(profile[-1])) / 2
    index = int(np.argmax(profile >= level))
    below, above = float(profile[index - 1]), float(profile[index])
    return index - 1 + (level - below) / (above - below)


@pytest.mark.parametrize("axis", [0, 1])
def test_corner_grid_output_lands_on_the_half_pixel_grid(axis: int) -> None:
    # The finest thing with a known place: a smooth edge, sampled on the corner grid (LR pixel i at HR pixel 4i).
    position = np.arange(128)
    edge = 1 / (1 + np.exp(-(position - 63.0) / 3))
    plane = np.broadcast_to(edge[:, None] if axis == 0 else edge[None, :], (128, 128))
    hr = torch.from_numpy(np.ascontiguousarray(plane)).float().expand(1, 3, 128, 128)
    moved = to_half_pixel_grid(hr, 4)[0, 0].numpy()
    profile = moved[:, 60] if axis == 0 else moved[60]
    assert centre_of_edge(profile) - 63.0 == pytest.approx(1.5, abs=0.02)
    across = moved[100] if axis == 0 else moved[:, 100]
    assert np.ptp(across) < 1e-6


def test_moving_the_grid_keeps_constants_and_detail() -> None:
    flat = torch.full((1, 3, 20, 20), 0.7)
    assert torch.allclose(to_half_pixel_grid(flat, 4), flat, atol=1e-6)
    wave = torch.sin(torch.arange(64) * 2 * torch.pi / 4).expand(1, 3, 64, 64)  # half the Nyquist frequency
    kept = to_half_pixel_grid(wave, 4)[..., 16:48, 16:48]
    # At every half pixel such a wave is +-sqrt(1/2); one tenth may be lost.
    assert kept.abs().mean() == pytest.approx(0.7071, rel=0.1)


def slanted_edge(*, rising: bool, across: bool) -> np.ndarray:
    """64x64 of an edge that leans by one in six, so that it passes every fraction of a pixel."""
    rows, columns = np.mgrid[0:64, 0:64]
    distance = ((columns - 31.5) - (rows - 31.5) / 6) / 0.6
    step = np.vectorize(math.erf)(distance / math.sqrt(2)) * (1 if rising else -1)
    step = step.T if across else step
    return np.repeat(np.rint(128 + 64 * step).astype(np.uint8)[..., None], 3, axis=2)


def edge_places(model: LoadedModel, *, rising: bool, across: bool) -> np.ndarray:
    output = ImageUpscaler(model, device="cpu", dtype="fp32")(slanted_edge(rising=rising, across=across)).image
    plane = output[..., 1].astype(float)
    plane = plane.T if across else plane
    plane = plane if rising else 256 - plane
    return np.array([centre_of_edge(row) for row in plane[64:192]])


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("rising", [False, True])
def test_shift_between_models_is_under_half_an_output_pixel(weights_cache: Path, rising: bool, across: bool) -> None:
    bicubic = edge_places(baseline(), rising=rising, across=across)
    for name in ("tecogan-x4", "realesr-animevideov3"):
        model = load_model(name, cache_dir=weights_cache, offline=True)
        shift = np.median(edge_places(model, rising=rising, across=across) - bicubic)
        assert abs(shift) < 0.5, f"{name} lies {shift:.2f} pixels off"


def test_baseline_and_plain_resize_agree() -> None:
    picture = noise_picture(12, 12)
    assert np.array_equal(
        ImageUpscaler(baseline("lanczos"))(picture).image, resize(picture, height=48, width=48, method="lanczos")
    )
