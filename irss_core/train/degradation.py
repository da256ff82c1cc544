"""Small frames made of large ones on the device: what the literature's BD does, without a border inside a crop."""

from __future__ import annotations

import math
from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor

from irss_core.errors import InputError

SCALE = 4
BD_MARGIN = 4
"""Pixels of the large picture beyond the crop, on every side, that decide the crop's small picture."""

_BD_SIGMA = 1.5


def degrade_bd(hr: Tensor) -> Tensor:
    """Return ... x 3 x (H/4) x (W/4) float32 in 0..1, on uint8 levels: blurred, every fourth pixel from the first on.

    The same as ``irss_core.metrics.degradation.degrade_bd`` of the whole picture: a Gaussian of sigma 1.5 in 9x9 taps,
    the picture mirrored at its edge without repeating the outermost pixel.

    Args:
        hr: ... x 3 x H x W float in 0..1, H and W multiples of 4 and at least 8.

    Raises:
        InputError: the sides are no such multiples.
    """
    height, width = hr.shape[-2:]
    if height % SCALE or width % SCALE or min(height, width) < 2 * SCALE:
        raise InputError(
            f"Frames of {width}x{height} cannot be degraded: the sides must be multiples of {SCALE} and at least "
            f"{2 * SCALE}. Crop them."
        )
    return degrade_bd_inside(_mirrored(hr, BD_MARGIN))


def degrade_bd_inside(hr: Tensor) -> Tensor:
    """Return the degraded middle of a region that has ``BD_MARGIN`` pixels more than it on every side.

    Nothing is mirrored: the result is what the whole picture's would be there.

    Args:
        hr: ... x 3 x (4h+8) x (4w+8) float in 0..1. Returns ... x 3 x h x w float32 on uint8 levels.
    """
    return to_levels(decimate(hr.float(), gaussian_taps(_BD_SIGMA, BD_MARGIN)))


def to_levels(frames: Tensor) -> Tensor:
    """Return the frames rounded to the 256 levels that 8 bits have, still float in 0..1."""
    return (frames * 255).round_().clamp_(0, 255).div_(255)


def decimate(frames: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Return ... x h x w: the frames under a separable kernel, at every fourth place where the whole kernel fits.

    Sums of shifted pictures rather than a convolution, which a GPU may compute with 10 bits only and autocast with 8:
    here a level more or less decides the rounding.

    Args:
        frames: ... x H x W float32. taps: an odd number of weights, the middle one over the pixel taken.
    """
    reach = len(taps) // 2
    for axis in (-2, -1):
        count = (frames.shape[axis] - 2 * reach + SCALE - 1) // SCALE
        total: Tensor | None = None
        for offset, tap in enumerate(taps):
            stop = offset + SCALE * (count - 1) + 1
            part = frames[..., offset:stop:SCALE, :] if axis == -2 else frames[..., offset:stop:SCALE]
            total = part * tap if total is None else total.add_(part, alpha=tap)
        if total is None:
            raise ValueError("A kernel needs at least one tap")
        frames = total
    return frames


@lru_cache(maxsize=64)
def gaussian_taps(sigma: float, reach: int) -> tuple[float, ...]:
    """Return the 2 * reach + 1 weights of a Gaussian, which sum to 1."""
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-reach, reach + 1)]
    return tuple(weight / math.fsum(weights) for weight in weights)


def _mirrored(frames: Tensor, margin: int) -> Tensor:
    flat = frames.reshape(-1, 1, *frames.shape[-2:])
    padded = F.pad(flat.float(), (margin,) * 4, mode="reflect")
    return padded.reshape(*frames.shape[:-2], *padded.shape[-2:])
