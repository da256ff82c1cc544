"""Photographs as clips: a camera that pans, zooms and turns, things that pass before it, light that drifts.

Rendered on the device that holds the photographs. The motion of every pixel is known, so a renderer that goes wrong
shows: the next frame, fetched back along it, must be this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from irss_core.train.motion_plan import Layer, Mask, MotionPlan, Track, draw_plan

__all__ = ["Layer", "Mask", "MotionPlan", "Rendered", "Track", "draw_plan", "render", "warp_back"]

_REACH = 3  # photograph pixels beyond those shown that bicubic sampling looks at
_EDGE_ALPHA = 0.02  # what is covered by more, and not wholly, mixes two motions


@dataclass(frozen=True, eq=False)
class Rendered:
    """A clip and, computed when asked for, the motion it was rendered with.

    Args:
        frames: T x 3 x H x W float32 in 0..1, RGB.
    """

    frames: Tensor
    _plan: MotionPlan = field(repr=False)
    _coverage: tuple[Tensor, ...] = field(repr=False)

    @cached_property
    def flow(self) -> Tensor:
        """(T-1) x 2 x H x W float32, (x, y) in pixels: where what pixel shows at t is at t + 1."""
        return self._flow_and_visible[0]

    @cached_property
    def visible(self) -> Tensor:
        """(T-1) x H x W bool: whether the flow leads to the same thing, inside the frame and covered by nothing."""
        return self._flow_and_visible[1]

    @cached_property
    def coverage(self) -> Tensor:
        """L x T x H x W float32 in 0..1: how far each foreground, the farthest first, covers what is behind it."""
        height, width = self.frames.shape[-2:]
        if not self._coverage:
            return self.frames.new_zeros(0, len(self.frames), height, width)
        return torch.stack(self._coverage)

    @cached_property
    def _flow_and_visible(self) -> tuple[Tensor, Tensor]:
        height, width = self.frames.shape[-2:]
        top = torch.zeros_like(self.frames[:, 0], dtype=torch.long)
        mixed = torch.zeros_like(top, dtype=torch.bool)
        for index, alpha in enumerate(self._coverage, start=1):
            top[alpha > 0.5] = index
            mixed = (mixed & (alpha < 1 - _EDGE_ALPHA)) | ((alpha > _EDGE_ALPHA) & (alpha < 1 - _EDGE_ALPHA))
        x, y = _pixels(height, width, self.frames.device)
        flow = torch.zeros_like(self.frames[:-1, :2])
        for index, track in enumerate((self._plan.track, *(layer.track for layer in self._plan.layers))):
            there = track.matrices()[: len(self.frames)]
            moves = torch.linalg.solve(there[1:], there[:-1])
            moved = _project(moves, x, y)
            chosen = top[:-1] == index
            flow[:, 0][chosen] = (moved[0] - x)[chosen]
            flow[:, 1][chosen] = (moved[1] - y)[chosen]
        grid = _normalised(x + flow[:, 0] + (width - 1) / 2, y + flow[:, 1] + (height - 1) / 2, height, width)
        state = torch.stack([top.float(), mixed.float(), torch.ones_like(top, dtype=torch.float32)], 1)[1:]
        arrived = F.grid_sample(state, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        same = (arrived[:, 0] - top[:-1]).abs() < 1e-3
        visible = same & (arrived[:, 1] < 1e-3) & (arrived[:, 2] > 1 - 1e-3) & ~mixed[:-1]
        return flow, visible


def render(
    photo: Tensor, plan: MotionPlan, *, frames: int, height: int, width: int, foregrounds: Sequence[Tensor] = ()
) -> Rendered:
    """Return the clip that the plan makes of a photograph.

    The photograph is made smaller first, antialiased, so that one of its pixels is about one of the frame: bicubic
    sampling then neither blurs nor aliases much. Where a clip reaches beyond the photograph, that is mirrored.

    Args:
        photo: 3 x H x W uint8, or float in 0..1, RGB.
        frames: how many of the plan's frames are wanted, from its first on.
        foregrounds: the photographs that the plan's layers are cut from; where there are fewer, ``photo`` again.

    Raises:
        ValueError: the plan has fewer frames.
    """
    if not 1 <= frames <= plan.frames:
        raise ValueError(f"The plan is for {plan.frames} frames, not {frames}")
    device = photo.device
    x, y = _pixels(height, width, device)
    shown = _plane(photo, plan.track, plan.place, plan=plan, frames=frames, x=x, y=y)
    coverage = []
    for index, layer in enumerate(plan.layers):
        source = foregrounds[index] if index < len(foregrounds) else photo
        alpha = _covered(layer, frames=frames, x=x, y=y)
        over = _plane(source, layer.track, layer.place, plan=plan, frames=frames, x=x, y=y)
        shown = torch.lerp(shown, over, alpha[:, None])
        coverage.append(alpha)
    gains = plan.gains[:frames].to(device, torch.float32)
    return Rendered((shown * gains[:, None, None, None]).clamp_(0, 1), plan, tuple(coverage))


def warp_back(following: Tensor, flow: Tensor) -> Tensor:
    """Return N x C x H x W: each frame fetched along the flow, bicubic, so that it lies on the frame before it.

    Args:
        following: N x C x H x W float. flow: N x 2 x H x W float, (x, y) in pixels.
    """
    height, width = following.shape[-2:]
    x, y = _pixels(height, width, following.device)
    grid = _normalised(x + flow[:, 0] + (width - 1) / 2, y + flow[:, 1] + (height - 1) / 2, height, width)
    return F.grid_sample(following, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _plane(
    photo: Tensor, track: Track, place: tuple[float, float], *, plan: MotionPlan, frames: int, x: Tensor, y: Tensor
) -> Tensor:
    """Return T x 3 x H x W float32: what the track shows of the photograph."""
    matrices = track.matrices()[:frames]
    half_width, half_height = (x.shape[1] - 1) / 2, (len(y) - 1) / 2  # not read off the device: no waiting
    corner_x = torch.tensor([[-half_width, half_width, -half_width, half_width]], dtype=torch.float64)
    corner_y = torch.tensor([[-half_height, -half_height, half_height, half_height]], dtype=torch.float64)
    spans = [(float(each.min()), float(each.max())) for each in _project(matrices, corner_x, corner_y)]
    sides = (photo.shape[-1], photo.shape[-2])
    wanted = max(
        (high - low) * plan.density / (side - 2 * _REACH) for (low, high), side in zip(spans, sides, strict=True)
    )
    shrink = min(max(plan.shrink, wanted), 1.0)
    step = plan.density / shrink  # photograph pixels for one of the plane's
    (left, right, center_x), (upper, lower, center_y) = (
        _window(span, side, each, step, _REACH / shrink) for span, side, each in zip(spans, sides, place, strict=True)
    )
    part = photo[:, upper:lower, left:right]
    part = part.float() / 255 if part.dtype == torch.uint8 else part.float()
    small_height, small_width = (max(round(side * shrink), 1) for side in part.shape[-2:])
    ratio_x, ratio_y = small_width / part.shape[-1], small_height / part.shape[-2]
    if (small_height, small_width) != tuple(part.shape[-2:]):
        part = F.interpolate(part[None], (small_height, small_width), mode="bicubic", antialias=True)[0]
    plane_x, plane_y = _project(matrices, x, y)
    sample_x = (plane_x * step + (center_x - left + 0.5)) * ratio_x - 0.5
    sample_y = (plane_y * step + (center_y - upper + 0.5)) * ratio_y - 0.5
    grid = _normalised(sample_x, sample_y, small_height, small_width)
    # One tall picture rather than T: they all look at the same photograph.
    tall = grid.reshape(1, -1, grid.shape[2], 2)
    out = F.grid_sample(part[None], tall, mode="bicubic", padding_mode="reflection", align_corners=False)
    return out[0].reshape(3, frames, len(y), x.shape[1]).transpose(0, 1)


def _window(span: tuple[float, float], side: int, place: float, step: float, margin: float) -> tuple[int, int, float]:
    """Return first and end pixel of a photograph's side that are needed, and the pixel under the plane's centre."""
    low, high = span[0] * step - margin, span[1] * step + margin
    first, last = -low, side - 1 - high
    center = first + place * (last - first) if last >= first else (side - 1 - low - high) / 2
    return max(int(center + low), 0), min(int(center + high) + 2, side), center


def _covered(layer: Layer, *, frames: int, x: Tensor, y: Tensor) -> Tensor:
    """Return T x H x W float32 in 0..1: how far the layer covers what is behind it."""
    mask = layer.mask
    plane_x, plane_y = _project(layer.track.matrices()[:frames], x, y)
    amplitude = (2 / len(mask.waves)) ** 0.5
    total = torch.full_like(plane_x, -mask.threshold)
    for (wave_x, wave_y), phase in zip(mask.waves.tolist(), mask.phases.tolist(), strict=True):
        total.add_((plane_x * wave_x + (plane_y * wave_y + phase)).cos_(), alpha=amplitude)
    slope = float(mask.waves.square().sum(1).mean().sqrt()) * mask.edge_px  # a pixel's typical change
    return (total / slope + 0.5).clamp_(0, 1)


def _pixels(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the x and y of each pixel from the centre of the frame, 1 x W and H x 1 float32."""
    x = torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2
    y = torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2
    return x[None], y[:, None]


def _project(matrices: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the x and y that T homographies lead to, T x H x W each.

    Written out: a matrix product may run in fewer bits on a GPU, and a thousandth of a pixel counts.
    """
    m = matrices.to(x.device, x.dtype)[..., None, None]
    depth = m[:, 2, 0] * x + (m[:, 2, 1] * y + m[:, 2, 2])
    return (m[:, 0, 0] * x + (m[:, 0, 1] * y + m[:, 0, 2])) / depth, (
        m[:, 1, 0] * x + (m[:, 1, 1] * y + m[:, 1, 2])
    ) / depth


def _normalised(x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Return T x H x W x 2 for ``grid_sample`` without aligned corners, of pixel positions counted from 0."""
    return torch.stack([(x + 0.5) * (2 / width) - 1, (y + 0.5) * (2 / height) - 1], -1)
