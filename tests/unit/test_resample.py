"""Resampling."""

from __future__ import annotations

import numpy as np
import pytest

from irss_core.sr.resample import resize
from tests.tiny_models import noise_picture


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_is_resampled_as_finely_as_it_is_stored(channels: int) -> None:
    coarse = noise_picture(12, 10, channels=channels) // 2 + 64  # no overshoot past the range: 8 bit clips it half-way
    fine = resize(coarse.astype(np.uint16) * 257, height=30, width=25, method="bicubic")
    assert fine.shape == (30, 25, channels)
    assert np.unique(fine % 257).size > 50
    eight = resize(coarse, height=30, width=25, method="bicubic")
    assert np.abs(fine / 257 - eight).max() < 1.25  # 8 bit is rounded twice, once a pass


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 254
    small = resize(stripes, height=16, width=16)
    assert np.abs(small[:, 2:-2].astype(int) - 127).max() <= 3


def test_overshoot_is_clipped_not_wrapped() -> None:
    edge = np.zeros((8, 8), np.uint16)
    edge[:, 4:] = 65535
    out = resize(edge, height=32, width=32, method="lanczos").astype(int)
    assert (out[:, :8] < 3000).all()
    assert (out[:, -8:] > 62000).all()


def test_same_size_is_the_same_array() -> None:
    picture = noise_picture(5, 6)
    assert resize(picture, height=5, width=6) is picture
