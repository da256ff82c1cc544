"""ImageUpscaler: one call for every kind of model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from irss_core.errors import CancelledError, InputError, InvalidOptionError
from irss_core.progress import CancelToken, ProgressUpdate
from irss_core.sr.image import ImageUpscaler, output_size
from irss_core.sr.loader import LoadedModel
from irss_core.sr.recurrent import to_half_pixel_grid
from tests.tiny_models import baseline, noise_picture, tiny_frnet, tiny_rrdbnet, tiny_srvgg

EVERY_KIND = [tiny_rrdbnet, tiny_srvgg, tiny_frnet, baseline]


@pytest.mark.parametrize("make", EVERY_KIND)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (23, 17)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_size_channels_and_depth_are_kept(
    make: Callable[[], LoadedModel], size: tuple[int, int], channels: int, dtype: type
) -> None:
    picture = noise_picture(*size, channels=channels, dtype=dtype)
    result = ImageUpscaler(make(), device="cpu", dtype="fp32")(picture)
    assert result.image.shape == (size[0] * 4, size[1] * 4, channels)
    assert result.image.dtype == dtype


@pytest.mark.parametrize("make", EVERY_KIND)
@pytest.mark.parametrize("outscale", [0.5, 1, 2, 3.5, 4, 6])
def test_any_outscale_gives_the_rounded_size(make: Callable[[], LoadedModel], outscale: float) -> None:
    result = ImageUpscaler(make(), device="cpu", dtype="fp32")(noise_picture(13, 22), outscale=outscale)
    assert result.image.shape[:2] == output_size(13, 22, outscale)
    assert result.outscale == outscale


def test_result_carries_the_measured_facts() -> None:
    result = ImageUpscaler(tiny_srvgg(), device="cpu", dtype="bf16")(noise_picture(20, 20))
    assert result.seconds > 0
    assert result.peak_memory_bytes > 10_000_000  # at least the interpreter
    assert (result.device, result.dtype, result.tiles, result.fallbacks) == ("cpu", "bf16", 1, ())


def test_sixteen_bit_says_that_it_ran_in_fp32() -> None:
    result = ImageUpscaler(tiny_srvgg(), device="cpu", dtype="bf16")(noise_picture(20, 20, dtype=np.uint16))
    assert result.dtype == "fp32"


def test_baseline_is_pillows_bicubic() -> None:
    picture = noise_picture(20, 30)
    expected = np.asarray(Image.fromarray(picture).resize((120, 80), Image.Resampling.BICUBIC))
    assert np.array_equal(ImageUpscaler(baseline())(picture).image, expected)


def test_lanczos_differs_from_bicubic() -> None:
    picture = noise_picture(20, 30)
    assert not np.array_equal(
        ImageUpscaler(baseline("lanczos"))(picture).image, ImageUpscaler(baseline("bicubic"))(picture).image
    )


@pytest.mark.parametrize("outscale", [0, -2, 17, float("nan"), float("inf")])
def test_impossible_outscale_is_refused_with_the_limits(outscale: float) -> None:
    with pytest.raises(InvalidOptionError, match="above 0 and up to 16"):
        ImageUpscaler(baseline())(noise_picture(4, 4), outscale=outscale)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
    ],
)
def test_what_is_not_a_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"HxWx3|uint8"):
        ImageUpscaler(baseline())(array)


def test_unknown_device_and_precision_are_refused_with_the_choices() -> None:
    with pytest.raises(InvalidOptionError, match="auto, cpu, cuda"):
        ImageUpscaler(baseline(), device="tpu9")
    with pytest.raises(InvalidOptionError, match="fp32, bf16, fp16"):
        ImageUpscaler(baseline(), dtype="int4")


@pytest.mark.parametrize("make", EVERY_KIND)
def test_cancel_before_the_start_stops_every_kind_of_model(make: Callable[[], LoadedModel]) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        ImageUpscaler(make(), device="cpu", dtype="fp32")(noise_picture(16, 16), cancel=token)


@pytest.mark.parametrize("make", EVERY_KIND)
def test_progress_ends_at_one(make: Callable[[], LoadedModel]) -> None:
    seen: list[ProgressUpdate] = []
    ImageUpscaler(make(), device="cpu", dtype="fp32")(noise_picture(40, 40), progress=seen.append)
    assert seen[0].fraction == 0
    assert seen[-1].fraction == pytest.approx(1)


def test_a_cancelled_upscaler_works_again() -> None:
    upscaler = ImageUpscaler(tiny_rrdbnet(), device="cpu", dtype="fp32")
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        upscaler(noise_picture(16, 16), cancel=token)
    assert upscaler(noise_picture(16, 16)).image.shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_a_baseline_on_the_corner_grid_passes_through_its_input(name: str) -> None:
    picture = noise_picture(9, 14)
    result = ImageUpscaler(baseline(name), output_grid="corner")(picture)
    assert np.array_equal(result.image[::4, ::4], picture)
    assert result.image.shape == (36, 56, 3)


def plain_srvgg() -> LoadedModel:
    """A network that repeats pixels: its weights are zero, which leaves what it adds to."""
    model = tiny_srvgg()
    assert model.network is not None
    for parameter in model.network.parameters():
        parameter.zero_()
    return model


@pytest.mark.parametrize("make", [plain_srvgg, baseline])
def test_the_corner_grid_lies_one_and_a_half_pixels_before_the_other(make: Callable[[], LoadedModel]) -> None:
    profile = 20 + 200 / (1 + np.exp(-(np.arange(40) - 20) / 1.5))
    edge = np.broadcast_to(np.rint(profile).astype(np.uint8)[None, :, None], (16, 40, 3))

    def place(pixels: np.ndarray) -> float:
        row = pixels[30, :, 0].astype(float)
        return float(((row[-1] - row) / (row[-1] - row[0])).sum())

    half = place(ImageUpscaler(make(), dtype="fp32")(edge).image)
    corner = place(ImageUpscaler(make(), dtype="fp32", output_grid="corner")(edge).image)
    assert half - corner == pytest.approx(1.5, abs=0.1)


def test_a_corner_model_is_not_moved_when_its_own_grid_is_wanted() -> None:
    picture = noise_picture(24, 24)
    corner = ImageUpscaler(tiny_frnet(), dtype="fp32", output_grid="corner")(picture).image
    half = ImageUpscaler(tiny_frnet(), dtype="fp32")(picture).image
    moved = to_half_pixel_grid(torch.from_numpy(corner).permute(2, 0, 1)[None] / 255, 4)
    difference = np.abs(moved[0].permute(1, 2, 0).numpy() * 255 - half)
    assert np.percentile(difference, 90) <= 2.5, difference.mean()  # both are rounded, and clipped where they overshoot


def test_the_corner_grid_goes_with_the_models_own_scale_only() -> None:
    with pytest.raises(InvalidOptionError, match=r"x4 only, not x2"):
        ImageUpscaler(tiny_srvgg(), output_grid="corner")(noise_picture(9, 9), outscale=2)
