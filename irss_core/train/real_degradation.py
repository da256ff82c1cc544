"""Small frames as footage of this world has them: blurred in some way, noisy, compressed; the same way all clip long.

On the grid of BD: pixel 0 of the small frame lies over pixel 0 of the large one, whatever the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from irss_core.errors import InputError
from irss_core.train.degradation import SCALE, gaussian_taps, to_levels
from irss_core.train.motion_plan import Dice

REAL_MARGIN = 16
"""Pixels of the large picture beyond the crop, on every side, that may decide the crop's small picture."""

_BLUR_REACH = 9
_SHRINK_REACH = 7
_CUBIC_A = -0.5
_BLOCK = 8
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)  # ITU-T T.81, table K.1
_CHROMA_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # table K.2; 99 elsewhere


@dataclass(frozen=True, eq=False)
class RealPlan:
    """How one clip is degraded.

    Args:
        kernel: k x k float32, sums to 1, k odd and at most 2 * REAL_MARGIN + 1; its middle lies over the pixel taken.
        noise: deviation in levels whatever the light; shot: more of it, at white. quality: JPEG's, or None.
        block_offset: where the blocks of the compression begin, each way.
    """

    kernel: Tensor
    noise: float
    shot: float
    quality: int | None
    block_offset: tuple[int, int]


def draw_real_plan(generator: torch.Generator) -> RealPlan:
    """Return a new way to degrade a clip."""
    dice = Dice(generator)
    sigma = dice.uniform(0.4, 3.0)
    other = dice.uniform(0.4, 3.0) if dice.chance(0.5) else sigma
    angle = dice.uniform(0, math.pi)
    shrink = (_box_taps(), _cubic_taps(), gaussian_taps(1.5, _SHRINK_REACH))[dice.below(3)]
    return RealPlan(
        kernel=_combined(_gaussian(sigma, other, angle), torch.tensor(shrink)),
        noise=dice.uniform(0, 8) if dice.chance(0.7) else 0.0,
        shot=dice.uniform(0, 8) if dice.chance(0.5) else 0.0,
        quality=40 + dice.below(56) if dice.chance(0.8) else None,
        block_offset=(dice.below(_BLOCK), dice.below(_BLOCK)),
    )


def degrade_real(hr: Tensor, generator: torch.Generator) -> Tensor:
    """Return T x 3 x (H/4) x (W/4) float32 in 0..1, on uint8 levels: a clip blurred, made small, noisy, compressed.

    Args:
        hr: T x 3 x H x W float in 0..1, H and W multiples of 4 and at least 20.
        generator: draws the way, once for the clip, and the noise, anew for each frame.

    Raises:
        InputError: the sides are no such multiples.
    """
    height, width = hr.shape[-2:]
    if height % SCALE or width % SCALE or min(height, width) <= REAL_MARGIN:
        raise InputError(
            f"Frames of {width}x{height} cannot be degraded: the sides must be multiples of {SCALE} and at least "
            f"{REAL_MARGIN + SCALE}. Crop them."
        )
    return degrade_real_inside(F.pad(hr.float(), (REAL_MARGIN,) * 4, mode="reflect"), generator)


def degrade_real_inside(hr: Tensor, generator: torch.Generator) -> Tensor:
    """Return the degraded middle of a region that has ``REAL_MARGIN`` pixels more than it on every side.

    Args:
        hr: T x 3 x (4h+32) x (4w+32) float in 0..1. Returns T x 3 x h x w float32 on uint8 levels.
    """
    plan = draw_real_plan(generator)
    with torch.autocast(hr.device.type, enabled=False):
        small = _shrunk(hr.float(), plan.kernel)
        small = _noisy(small, plan, generator)
        if plan.quality is not None:
            small = compress(small, plan.quality, offset=plan.block_offset)
    return to_levels(small)


def compress(frames: Tensor, quality: int, *, offset: tuple[int, int] = (0, 0)) -> Tensor:
    """Return the frames as JPEG would give them back: 8x8 blocks of YCbCr, the colours at full size.

    Args:
        frames: T x 3 x H x W float32 in 0..1. quality: 1..100, as libjpeg counts it.
        offset: how many rows and columns of the first blocks lie outside the frames.
    """
    height, width = frames.shape[-2:]
    up, left = offset
    frame = F.pad(frames, (left, -(left + width) % _BLOCK, up, -(up + height) % _BLOCK), mode="replicate")
    to_ycc = _ycc_matrix(frames)
    ycc = torch.einsum("dc,tchw->tdhw", to_ycc, frame * 255 - 128)
    rows, columns = (side // _BLOCK for side in frame.shape[-2:])
    blocks = ycc.reshape(len(ycc), 3, rows, _BLOCK, columns, _BLOCK)
    dct = _dct_matrix(frames)
    tables = _tables(quality, frames)[None, :, None, :, None, :]
    coefficients = torch.einsum("ui,tcriqj,vj->tcruqv", dct, blocks, dct)
    coarse = (coefficients / tables).round() * tables
    back = torch.einsum("ui,tcruqv,vj->tcriqj", dct, coarse, dct).flatten(-2).flatten(-3, -2)
    rgb = torch.einsum("dc,tchw->tdhw", torch.linalg.inv(to_ycc), back)
    return ((rgb[..., up : up + height, left : left + width] + 128) / 255).clamp(0, 1)


def _shrunk(hr: Tensor, kernel: Tensor) -> Tensor:
    reach = kernel.shape[0] // 2
    cut = REAL_MARGIN - reach
    inner = hr[..., cut : hr.shape[-2] - cut, cut : hr.shape[-1] - cut]
    planes = inner.reshape(-1, 1, *inner.shape[-2:])
    small = F.conv2d(planes, kernel.to(hr.device)[None, None], stride=SCALE)
    height, width = ((side - 2 * REAL_MARGIN) // SCALE for side in hr.shape[-2:])
    return small[..., :height, :width].reshape(*hr.shape[:-2], height, width)


def _noisy(small: Tensor, plan: RealPlan, generator: torch.Generator) -> Tensor:
    """Return the frames with fresh noise in each; the device draws it, from a seed of the generator's."""
    seed = int(torch.randint(2**62, (), generator=generator))
    if not (plan.noise or plan.shot):
        return small
    own = torch.Generator(small.device).manual_seed(seed)
    grain = torch.randn(small.shape, generator=own, device=small.device)
    deviation = (plan.noise**2 + plan.shot**2 * small.clamp(0, 1)).sqrt() / 255
    return (small + grain * deviation).clamp(0, 1)


def _gaussian(sigma: float, other: float, angle: float) -> Tensor:
    steps = torch.arange(-_BLUR_REACH, _BLUR_REACH + 1, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-0.5 * ((along / sigma) ** 2 + (across / other) ** 2))
    return kernel / kernel.sum()


def _combined(blur: Tensor, taps: Tensor) -> Tensor:
    """Return the one kernel that blurs and then weights with the taps, along both sides."""
    both = F.conv_transpose2d(blur[None, None], torch.outer(taps, taps)[None, None])[0, 0]
    return both / both.sum()


def _box_taps() -> tuple[float, ...]:
    return (0.125, 0.25, 0.25, 0.25, 0.125)


def _cubic_taps() -> tuple[float, ...]:
    a = _CUBIC_A
    weights = []
    for offset in range(-_SHRINK_REACH, _SHRINK_REACH + 1):
        d = abs(offset) / SCALE
        near, far = ((a + 2) * d - (a + 3)) * d**2 + 1, a * (((d - 5) * d + 8) * d - 4)
        weights.append(near if d <= 1 else far)
    return tuple(weight / math.fsum(weights) for weight in weights)


def _ycc_matrix(like: Tensor) -> Tensor:
    rows = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
    return like.new_tensor(rows)


def _dct_matrix(like: Tensor) -> Tensor:
    rows = [
        [
            (math.sqrt(1 / _BLOCK) if u == 0 else math.sqrt(2 / _BLOCK)) * math.cos((2 * i + 1) * u * math.pi / 16)
            for i in range(_BLOCK)
        ]
        for u in range(_BLOCK)
    ]
    return like.new_tensor(rows)


def _tables(quality: int, like: Tensor) -> Tensor:
    """Return 3 x 8 x 8: what the coefficients of Y, Cb and Cr are rounded to multiples of."""
    chroma = like.new_full((_BLOCK, _BLOCK), 99.0)
    chroma[:4, :4] = like.new_tensor(_CHROMA_CORNER)
    tables = torch.stack([like.new_tensor(_LUMA_TABLE), chroma, chroma])
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((tables * percent + 50) / 100).floor().clamp(1, 255)
