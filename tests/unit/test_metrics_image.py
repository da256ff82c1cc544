"""Image metrics against values computed another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from irss_core.errors import InputError
from irss_core.metrics.color import luma_limited
from irss_core.metrics.image import difference_map, heat_map, ms_ssim, psnr, ssim, ssim_uniform
from tests.tiny_models import noise_picture

A, B = noise_picture(40, 50, seed=1), noise_picture(40, 50, seed=2)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
PAPER = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def like_pictures(height: int, width: int, channels: int = 3, *, noise: float = 12) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 pictures with smooth structure, of which the second is the first with noise."""
    generator = np.random.default_rng(1)
    smooth = gaussian_filter(generator.normal(size=(height, width, channels)), (3, 3, 0))
    first = 128 + 50 * smooth / smooth.std()
    second = first + generator.normal(0, noise, first.shape)
    return first.clip(0, 255).astype(np.uint8), second.clip(0, 255).astype(np.uint8)


def test_psnr_of_a_known_error() -> None:
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(a, a) == math.inf


def test_psnr_agrees_with_scikit_image_at_both_depths() -> None:
    assert psnr(A, B) == pytest.approx(peak_signal_noise_ratio(A, B), abs=1e-3)
    a, b = (noise_picture(20, 20, dtype=np.uint16, seed=seed) for seed in (1, 2))
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-3)


def test_psnr_of_float_planes_has_peak_255() -> None:
    a, b = luma_limited(A), luma_limited(B)
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    assert psnr(a, b) == pytest.approx(10 * math.log10(255**2 / error), abs=1e-4)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_psnr_is_the_formula_at_any_size(height: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (generator.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2))
    error = sum((int(x) - int(y)) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True)) / a.size
    expected = 10 * math.log10(255**2 / error) if error else math.inf
    assert psnr(a, b) == pytest.approx(expected, abs=1e-4)


def test_ssim_is_the_papers_formula() -> None:
    a, b = (gaussian_filter(x[..., :1].astype(float), (1, 1, 0)).astype(np.uint8) for x in (A, B))
    x, y = a[..., 0].astype(float), b[..., 0].astype(float)

    def mean(z: np.ndarray) -> np.ndarray:
        return gaussian_filter(z, 1.5, truncate=3.5)

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    values = (2 * mx * my + C1) * (2 * vxy + C2) / ((mx**2 + my**2 + C1) * (vx + vy + C2))
    assert ssim(a, b) == pytest.approx(values[5:-5, 5:-5].mean(), abs=1e-4)
    assert ssim(A, A) == pytest.approx(1)


@pytest.mark.parametrize("size", [(11, 11), (11, 64), (37, 23), (300, 1100)])
def test_ssim_agrees_with_scikit_image_over_the_valid_area(size: tuple[int, int]) -> None:
    """The last is worked on in several bands. scikit-image leaves out the same margin of 5 as the paper."""
    a, b = like_pictures(*size)
    x, y = luma_limited(a), luma_limited(b)
    expected = structural_similarity(x.astype(float), y.astype(float), **PAPER)
    assert ssim(x, y) == pytest.approx(expected, abs=1e-5)
    per_channel = [structural_similarity(a[..., c], b[..., c], **PAPER) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(per_channel), abs=1e-5)


def test_ssim_of_16_bits_scales_with_the_peak() -> None:
    a, b = like_pictures(40, 50)
    assert ssim(a.astype(np.uint16) * 257, b.astype(np.uint16) * 257) == pytest.approx(ssim(a, b), abs=1e-5)


@pytest.mark.parametrize("size", [(7, 7), (37, 23), (300, 1100)])
def test_uniform_ssim_is_the_default_of_scikit_image(size: tuple[int, int]) -> None:
    a, b = (luma_limited(each) for each in like_pictures(*size))
    expected = structural_similarity(a.astype(float), b.astype(float), data_range=255)
    assert ssim_uniform(a, b) == pytest.approx(expected, abs=1e-5)
    if min(size) > 7:
        population = structural_similarity(
            a.astype(float), b.astype(float), data_range=255, use_sample_covariance=False
        )
        assert abs(expected - population) > 1e-4, "the test could not tell the two conventions apart"


def ms_ssim_written_out(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2003 with full two-dimensional convolutions in float64."""
    ramp = np.arange(11) - 5
    window = np.exp(-(ramp[:, None] ** 2 + ramp**2) / (2 * 1.5**2))
    window /= window.sum()
    value = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mx, my, mxx, myy, mxy = (convolve2d(z, window, mode="valid") for z in (x, y, x * x, y * y, x * y))
        vx, vy, vxy = mxx - mx**2, myy - my**2, mxy - mx * my
        similarity = (2 * vxy + C2) / (vx + vy + C2)
        if scale == 4:
            similarity = similarity * (2 * mx * my + C1) / (mx**2 + my**2 + C1)
        value *= max(similarity.mean(), 0) ** weight
        height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
        # The mean of 2x2 and every second of them.
        x, y = (uniform_filter(z[:height, :width], 2, origin=-1)[::2, ::2] for z in (x, y))
    return value


@pytest.mark.parametrize("size", [(176, 176), (191, 207), (240, 181)])
def test_ms_ssim_is_the_papers_formula_also_at_odd_sizes(size: tuple[int, int]) -> None:
    a, b = (luma_limited(each) for each in like_pictures(*size, noise=60))
    assert ms_ssim(a, b) == pytest.approx(ms_ssim_written_out(a.astype(float), b.astype(float)), abs=2e-6)
    assert ms_ssim(a, a) == pytest.approx(1)


def test_ms_ssim_is_zero_where_a_scale_is_negative() -> None:
    """Fine detail turned into its opposite on one coarse picture: only the finest scale is below zero."""
    coarse, _ = like_pictures(180, 180, 1)
    detail = (np.indices((180, 180)).sum(axis=0) % 2 * 40 - 20).astype(np.float32)
    coarse = coarse[..., 0].astype(np.float32).clip(20, 235)
    assert ms_ssim(coarse + detail, coarse - detail) == 0
    assert ms_ssim(coarse, coarse + detail) > 0.1


def test_difference_map_is_dark_where_equal_and_bright_where_not() -> None:
    b = A.copy()
    b[10:20, 10:20] ^= 128
    heat = difference_map(A, b)
    assert heat.shape == (40, 50, 3)
    assert heat.dtype == np.uint8
    assert heat[30, 30].sum() < 20
    assert heat[15, 15].sum() > 400


def test_heat_grows_brighter_up_to_its_full_scale() -> None:
    heat = heat_map(np.arange(256, dtype=np.uint8)[None], gain=2)[0].astype(int)
    luma = heat @ (0.299, 0.587, 0.114)
    assert (np.diff(luma[:128]) > 0).all()
    assert (heat[128:] == heat[128]).all()


@pytest.mark.parametrize("other", [A[:-1], A.astype(np.uint16), A[..., :1], A[..., 0]])
@pytest.mark.parametrize("measure", [psnr, ssim, ssim_uniform, ms_ssim, difference_map])
def test_unlike_pictures_are_refused(measure: object, other: np.ndarray) -> None:
    with pytest.raises(InputError, match="one size and type"):
        measure(A, other)  # type: ignore[operator]


@pytest.mark.parametrize(("measure", "least"), [(ssim, 11), (ssim_uniform, 7), (ms_ssim, 176)])
def test_a_picture_smaller_than_the_window_is_refused(measure: object, least: int) -> None:
    a = noise_picture(least - 1, 200)
    with pytest.raises(InputError, match=f"at least {least} pixels a side; the picture is 200x{least - 1}"):
        measure(a, a)  # type: ignore[operator]
