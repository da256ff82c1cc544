"""Luma: one grey value per pixel out of R, G, B, in the two ranges the literature has."""

from __future__ import annotations

import numpy as np

# Rec. ITU-R BT.601 (0.299, 0.587, 0.114), and the same in 16..235 for 0..255 with the digits of MATLAB's rgb2ycbcr.
_FULL = np.array((0.299, 0.587, 0.114), np.float32)
_LIMITED = np.array((65.481, 128.553, 24.966), np.float32) / np.float32(255)
_LIMITED_BLACK = np.float32(16)


def luma_limited(rgb: np.ndarray) -> np.ndarray:
    """Return HxW float32 in 16..235: Y of BT.601 in limited range, as MATLAB's rgb2ycbcr has it, not rounded.

    Args:
        rgb: HxWx3 uint8.
    """
    luma: np.ndarray = rgb.astype(np.float32) @ _LIMITED
    luma += _LIMITED_BLACK
    return luma


def luma_full(rgb: np.ndarray) -> np.ndarray:
    """Return HxW float32 in 0..255: Y of BT.601 in full range (JPEG's), not rounded.

    Args:
        rgb: HxWx3 uint8.
    """
    luma: np.ndarray = rgb.astype(np.float32) @ _FULL
    return luma
