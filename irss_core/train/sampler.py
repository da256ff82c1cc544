"""Batches of short clips, real ones cropped and photographs set in motion, each with its small frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from irss_core.errors import InputError, InvalidOptionError
from irss_core.train.degradation import BD_MARGIN, SCALE, degrade_bd_inside, to_levels
from irss_core.train.motion import render
from irss_core.train.motion_plan import Dice, draw_plan
from irss_core.train.real_degradation import REAL_MARGIN, degrade_real_inside

if TYPE_CHECKING:
    from irss_core.train.material import Material

Degradation = Literal["bd", "real"]

CLIP_SHARE = 0.3
"""How many of the sequences come from real clips, where there are both."""

_MARGINS: dict[str, int] = {"bd": BD_MARGIN, "real": REAL_MARGIN}
_LARGEST_SHRINK = 2.0
_SHRINK_CHANCE = 0.5


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips: ``hr`` N x T x 3 x 4h x 4w and ``lr`` N x T x 3 x h x w, float32 RGB in 0..1, on uint8 levels."""

    hr: Tensor
    lr: Tensor


class Sampler:
    """Draws batches; with the generator's state saved and put back, the same ones again.

    A crop is rendered with what lies around it, so that its small picture has no mirrored border.

    Args:
        batch: sequences a batch. frames: frames a sequence. size_lr: side of the small frames. scale: 4.
        generator: on the CPU; every chance comes from it.
        degradation: how the small frames are made.
        clip_share: how many sequences come from real clips, 0..1, where there are photographs too.

    Raises:
        InvalidOptionError: another scale than 4, an unknown degradation, or a size that is not at least 1.
        InputError: the material is too small for the crops.
    """

    def __init__(
        self,
        material: Material,
        *,
        batch: int,
        frames: int,
        size_lr: int,
        scale: int = SCALE,
        generator: torch.Generator,
        degradation: Degradation = "bd",
        clip_share: float = CLIP_SHARE,
    ) -> None:
        if scale != SCALE:
            raise InvalidOptionError(f"Training material is made small by {SCALE}, not by {scale}.")
        if degradation not in _MARGINS:
            raise InvalidOptionError(f"There is no degradation {degradation!r} for training. Use 'bd' or 'real'.")
        if min(batch, frames, size_lr) < 1:
            raise InvalidOptionError(
                f"A batch of {batch} x {frames} frames of {size_lr} pixels is none: at least 1 each."
            )
        self._photos = material.photos
        self._margin = _MARGINS[degradation]
        self._side = size_lr * SCALE + 2 * self._margin
        self._runs = [run for run in material.runs if min(run.shape[-2:]) >= self._side]
        if not self._photos and not self._runs:
            raise InputError(
                f"No clip of the material has {self._side} pixels a side, which crops of {size_lr * SCALE} take. "
                "Ask for smaller crops, or give photographs."
            )
        self._weights = torch.tensor([float(run.numel()) for run in self._runs], dtype=torch.float64)
        self._clip_share = (clip_share if self._photos else 1.0) if self._runs else 0.0
        self._batch, self._frames, self._degradation = batch, frames, degradation
        self._generator, self._dice = generator, Dice(generator)

    @torch.no_grad()
    def batch(self) -> Batch:
        """Return the next batch, on the material's device."""
        hr = torch.stack([self._sequence() for _ in range(self._batch)])
        hr = to_levels(hr)
        if self._degradation == "bd":
            lr = degrade_bd_inside(hr)
        else:
            lr = torch.stack([degrade_real_inside(clip, self._generator) for clip in hr])
        inner = slice(self._margin, self._side - self._margin)
        return Batch(hr[..., inner, inner].contiguous(), lr.contiguous())

    def _sequence(self) -> Tensor:
        """Return T x 3 x side x side float32 in 0..1, margins included."""
        return self._cropped() if self._dice.chance(self._clip_share) else self._rendered()

    def _rendered(self) -> Tensor:
        plan = draw_plan(self._generator, frames=self._frames)
        photo, *others = (self._photos[self._dice.below(len(self._photos))] for _ in range(1 + len(plan.layers)))
        made = render(photo, plan, frames=self._frames, height=self._side, width=self._side, foregrounds=others)
        return made.frames

    def _cropped(self) -> Tensor:
        """Return a part of a run: perhaps shrunk, flipped, turned, backwards, or at twice the speed."""
        dice = self._dice
        run = self._runs[int(torch.multinomial(self._weights, 1, generator=self._generator))]
        shot = run[self._moments(len(run)).to(run.device)]
        largest = min(_LARGEST_SHRINK, min(run.shape[-2:]) / self._side)
        side = int(self._side * (dice.uniform(1.0, largest) if dice.chance(_SHRINK_CHANCE) else 1.0))
        top, left = (dice.below(length - side + 1) for length in run.shape[-2:])
        crop = shot[..., top : top + side, left : left + side].float() / 255
        if side != self._side:
            crop = F.interpolate(crop, (self._side, self._side), mode="bicubic", antialias=True).clamp_(0, 1)
        turned = [axis for axis in (-2, -1) if dice.chance(0.5)]
        crop = crop.flip(turned) if turned else crop
        return crop.transpose(-2, -1) if dice.chance(0.5) else crop

    def _moments(self, length: int) -> Tensor:
        """Return which frames of a run of that length are shown: consecutive or every second one, either way round.

        A run that is too short goes back and forth.
        """
        speed = 2 if self._dice.chance(0.2) and (self._frames - 1) * 2 < length else 1
        span = (self._frames - 1) * speed + 1
        first = self._dice.below(max(length - span, 0) + 1)
        moments = first + torch.arange(self._frames) * speed
        if length > 1:
            moments = moments % (2 * length - 2)
            moments = torch.where(moments < length, moments, 2 * length - 2 - moments)
        else:
            moments = torch.zeros_like(moments)
        return moments.flip(0) if self._dice.chance(0.5) else moments
