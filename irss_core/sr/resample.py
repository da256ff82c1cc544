"""Classic resampling, antialiased when it shrinks: the bicubic and Lanczos baselines, and any output scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

ResampleMethod = Literal["bicubic", "lanczos"]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def resize(pixels: np.ndarray, *, height: int, width: int, method: ResampleMethod = "lanczos") -> np.ndarray:
    """Return the picture at height x width, same dtype and channels, half-pixel centred.

    Args:
        pixels: HxWxC or HxW, uint8 or uint16. 16 bit is computed in floating point, not cut to 8.
        method: Pillow's bicubic (a = -0.5) or Lanczos-3; both widen their kernel when shrinking.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] == 3):
        return np.asarray(Image.fromarray(pixels).resize((width, height), _FILTERS[method]))
    if pixels.ndim == 3:
        planes = [resize(pixels[..., c], height=height, width=width, method=method) for c in range(pixels.shape[2])]
        return np.stack(planes, axis=-1)
    plane = Image.fromarray(pixels.astype(np.float32)).resize((width, height), _FILTERS[method])
    levels: np.ndarray = np.rint(np.asarray(plane))
    return levels.clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
