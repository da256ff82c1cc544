"""Luma against the formulas written out, and against scikit-image's conversion."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from irss_core.metrics.color import luma_full, luma_limited
from irss_core.metrics.image import psnr
from tests.tiny_models import noise_picture

PICTURE = noise_picture(23, 37)


def test_limited_luma_runs_from_16_to_235() -> None:
    ends = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    expected = [16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]
    assert luma_limited(ends)[0] == pytest.approx(expected, abs=1e-4)
    assert luma_full(ends)[0] == pytest.approx([0, 255, 0.299 * 255, 0.587 * 255, 0.114 * 255], abs=1e-4)


def test_luma_agrees_with_another_library_and_is_not_rounded() -> None:
    y = luma_limited(PICTURE)
    assert y.dtype == np.float32
    assert np.abs(y - rgb2ycbcr(PICTURE)[..., 0]).max() < 1e-3  # float32 against float64
    assert np.abs(y - np.rint(y)).max() > 0.4
    full = PICTURE.astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(luma_full(PICTURE) - full).max() < 1e-3


def test_limited_range_is_worth_a_decibel_and_a_third() -> None:
    """Why a table must name its Y: the same error over 219 levels instead of 255."""
    other = noise_picture(23, 37, seed=1)
    limited = psnr(luma_limited(PICTURE), luma_limited(other))
    full = psnr(luma_full(PICTURE), luma_full(other))
    assert limited - full == pytest.approx(20 * np.log10(255 / 219), abs=1e-3)
    assert limited - full == pytest.approx(1.32, abs=0.005)
