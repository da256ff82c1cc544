"""Image metrics against values computed another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from irss_core.errors import InputError
from irss_core.metrics.image import difference_map, psnr, ssim
from tests.tiny_models import noise_picture

A, B = noise_picture(40, 50, seed=1), noise_picture(40, 50, seed=2)


def test_psnr_of_a_known_error() -> None:
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(a, a) == math.inf


def test_psnr_agrees_with_scikit_image_at_both_depths() -> None:
    assert psnr(A, B) == pytest.approx(peak_signal_noise_ratio(A, B), abs=1e-3)
    a, b = (noise_picture(20, 20, dtype=np.uint16, seed=seed) for seed in (1, 2))
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-3)


def test_ssim_is_the_papers_formula() -> None:
    a, b = (gaussian_filter(x[..., :1].astype(float), (1, 1, 0)).astype(np.uint8) for x in (A, B))
    x, y = a[..., 0].astype(float), b[..., 0].astype(float)

    def mean(z: np.ndarray) -> np.ndarray:
        return gaussian_filter(z, 1.5, truncate=3.5)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    values = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(a, b) == pytest.approx(values[5:-5, 5:-5].mean(), abs=1e-4)
    assert ssim(A, A) == pytest.approx(1)


def test_difference_map_is_dark_where_equal_and_bright_where_not() -> None:
    b = A.copy()
    b[10:20, 10:20] ^= 128
    heat = difference_map(A, b)
    assert heat.shape == (40, 50, 3)
    assert heat.dtype == np.uint8
    assert heat[30, 30].sum() < 20
    assert heat[15, 15].sum() > 400


@pytest.mark.parametrize("other", [A[:-1], A.astype(np.uint16), A[..., :1]])
@pytest.mark.parametrize("measure", [psnr, ssim, difference_map])
def test_unlike_pictures_are_refused(measure: object, other: np.ndarray) -> None:
    with pytest.raises(InputError, match="one size and type"):
        measure(A, other)  # type: ignore[operator]


def test_ssim_of_a_tiny_picture_is_refused() -> None:
    with pytest.raises(InputError, match="at least 11 pixels"):
        ssim(A[:10], B[:10])
