"""Classic resampling, antialiased when it shrinks: the bicubic and Lanczos baselines, and any output scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from irss_core.sr.catalog import Grid

ResampleMethod = Literal["bicubic", "lanczos"]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
_MARGIN = 4  # input pixels added around a picture that is sampled off its centres: what the widest kernel reaches


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


def enlarge(pixels: np.ndarray, scale: int, *, method: ResampleMethod, grid: Grid = "half-pixel") -> np.ndarray:
    """Return the picture ``scale`` times as large, with its pixels on the grid.

    Args:
        pixels: HxWxC uint8 or uint16.
        grid: "corner" puts output pixel ``scale * i`` on input pixel ``i``, as a decimation by ``scale`` took it.
    """
    height, width = pixels.shape[:2]
    if grid == "half-pixel":
        return resize(pixels, height=height * scale, width=width * scale, method=method)
    # Sampled (scale - 1) / 2 output pixels further on, by a picture that goes on a little on the near side.
    framed = np.pad(pixels, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="edge")
    before = _MARGIN + (1 - 1 / scale) / 2
    window = (before, before, before + width, before + height)
    planes = []
    for channel in range(pixels.shape[2]):
        plane = Image.fromarray(framed[..., channel].astype(np.float32))
        planes.append(np.asarray(plane.resize((width * scale, height * scale), _FILTERS[method], box=window)))
    levels: np.ndarray = np.rint(np.stack(planes, axis=-1))
    return levels.clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
