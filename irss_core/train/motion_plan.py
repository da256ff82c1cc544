"""How a camera and what stands before it move over the frames of a clip: drawn from a generator, rendered elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_SPEED = 12.0
"""Pixels a frame that a pan never exceeds, shake and parallax left aside."""

_USUAL_SPEEDS = ((0.60, 3.0), (0.94, 6.0), (1.0, MAX_SPEED))  # cumulative share of clips, their top speed
_MAX_LOG_ZOOM = 0.12
_MAX_ANGLE = math.radians(6)
_MAX_TILT = 2e-4  # share of its size by which a pixel 1 px off the centre comes nearer
_SHAKE_PX = 0.35
_WAVES = 5
_DENSITY = 1.1
_LAYER_SHARES = (0.5, 0.85)  # cumulative: no foreground, one; else two
_STILL_SHARE, _HOLD_SHARE = 0.06, 0.18  # cumulative
_EXPOSURE_SHARE = 0.3
_MAX_LOG_GAIN = 0.35


class Dice:
    """Single draws out of a generator, on the CPU."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def below(self, count: int) -> int:
        """Return one of 0 ... count - 1."""
        return int(torch.randint(count, (), generator=self._generator))

    def chance(self, share: float) -> bool:
        """Return True for that share of the draws."""
        return self.uniform() < share

    def signed(self, *shape: int) -> Tensor:
        """Return float64 values in -1..1."""
        return 2 * torch.rand(shape, generator=self._generator, dtype=torch.float64) - 1

    def normal(self, *shape: int) -> Tensor:
        """Return float64 values of mean 0 and deviation 1."""
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Track:
    """How a plane lies under the frame at each of T frames, float64; units are pixels of the frame, from its centre.

    A frame pixel ``u`` shows the plane at ``shift + zoom * rotation(angle) * mirror * u / (1 + tilt . u)``.

    Args:
        shift: T x 2 (x, y). zoom, angle (radians): T. tilt: T x 2, a pixel. mirror: 2 x 2, a flip or quarter turn.
    """

    shift: Tensor
    zoom: Tensor
    angle: Tensor
    tilt: Tensor
    mirror: Tensor

    def matrices(self) -> Tensor:
        """Return T x 3 x 3 float64 homographies from frame pixels (x, y, 1) to the plane, both from the centre."""
        cos, sin = self.angle.cos(), self.angle.sin()
        turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        affine = torch.zeros(len(self.zoom), 3, 3, dtype=torch.float64)
        affine[:, :2, :2] = self.zoom[:, None, None] * turn @ self.mirror
        affine[:, :2, 2] = self.shift
        affine[:, 2, 2] = 1
        perspective = torch.eye(3, dtype=torch.float64).repeat(len(self.zoom), 1, 1)
        perspective[:, 2, :2] = self.tilt
        return affine @ perspective

    def at(self, clock: Tensor) -> Track:
        """Return the track as it is at those of its own frames."""
        return Track(self.shift[clock], self.zoom[clock], self.angle[clock], self.tilt[clock], self.mirror)


@dataclass(frozen=True, eq=False)
class Mask:
    """Where a foreground covers what lies behind it: where a sum of plane waves exceeds ``threshold``.

    Args:
        waves: K x 2 float64, radians a pixel. phases: K. threshold: of a sum of deviation 1.
        edge_px: how wide the soft edge is.
    """

    waves: Tensor
    phases: Tensor
    threshold: float
    edge_px: float


@dataclass(frozen=True, eq=False)
class Layer:
    """A foreground: its own motion, its shape (which moves with it), and the place of its picture, 0..1 each way."""

    track: Track
    mask: Mask
    place: tuple[float, float]


@dataclass(frozen=True, eq=False)
class MotionPlan:
    """All that is random about a clip made of photographs.

    Args:
        track: the motion of the background. layers: foregrounds, the farthest first.
        gains: T float64, what the light is multiplied by. shrink: how much the photograph is made smaller first.
        place: where in the photograph the clip lies, 0..1 each way.
        density: pixels of the shrunk photograph for one of the frame at zoom 1; a little over 1 keeps frames sharp.
    """

    track: Track
    layers: tuple[Layer, ...]
    gains: Tensor
    shrink: float
    place: tuple[float, float]
    density: float = _DENSITY

    @property
    def frames(self) -> int:
        """How many frames the clip has."""
        return len(self.gains)


def draw_plan(generator: torch.Generator, *, frames: int, max_layers: int = 2) -> MotionPlan:
    """Return a new motion over so many frames.

    Pans of up to 6 pixels a frame (12 in one of seventeen), zoom, rotation, perspective, shake, up to ``max_layers``
    foregrounds, drifting exposure; some clips stop for a while, some never move, half of them run backwards.
    """
    dice = Dice(generator)
    clock = _clock(dice, frames)
    mirror = _mirror(dice)
    camera = _track(dice, frames, mirror, _top_speed(dice))
    choice = dice.uniform()
    wanted = sum(choice >= share for share in _LAYER_SHARES)
    layers = tuple(
        Layer(_before(dice, camera).at(clock), _mask(dice), (dice.uniform(), dice.uniform()))
        for _ in range(min(wanted, max_layers))
    )
    return MotionPlan(
        track=camera.at(clock),
        layers=layers,
        gains=_gains(dice, frames)[clock],
        shrink=dice.uniform(0.5, 1.0),
        place=(dice.uniform(), dice.uniform()),
    )


def _clock(dice: Dice, frames: int) -> Tensor:
    """Return which moment of the motion each frame shows: some twice and more, where the motion stops."""
    moving = torch.ones(frames, dtype=torch.long)
    kind, first, length = dice.uniform(), dice.below(frames), 1 + dice.below(frames)
    if kind < _STILL_SHARE:
        moving[:] = 0
    elif kind < _HOLD_SHARE:
        moving[first : first + length] = 0
    moving[0] = 0
    clock = moving.cumsum(0)
    return clock.flip(0) if dice.chance(0.5) else clock


def _top_speed(dice: Dice) -> float:
    choice = dice.uniform()
    return next(speed for share, speed in _USUAL_SPEEDS if choice < share)


def _mirror(dice: Dice) -> Tensor:
    mirror = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    if dice.chance(0.5):
        mirror = mirror.flip(0)
    signs = [1.0 if dice.chance(0.5) else -1.0 for _ in range(2)]
    return mirror * torch.tensor(signs, dtype=torch.float64)


def _track(dice: Dice, frames: int, mirror: Tensor, top_speed: float) -> Track:
    speed, heading = dice.uniform(0, top_speed), dice.uniform(0, 2 * math.pi)
    pan = _wander(dice, frames, 2) * 0.5 + torch.tensor([math.cos(heading), math.sin(heading)], dtype=torch.float64)
    velocity = speed * pan
    velocity = velocity * (top_speed / velocity.norm(dim=1).clamp(min=top_speed))[:, None]
    shake = _SHAKE_PX * dice.uniform() * dice.normal(frames, 2).clamp(-2, 2) if dice.chance(0.3) else 0.0
    changes = [_MAX_LOG_ZOOM, _MAX_ANGLE, _MAX_TILT, _MAX_TILT]
    limits = torch.tensor([each if dice.chance(0.6) else 0.0 for each in changes], dtype=torch.float64)
    bends = limits * (_wander(dice, frames, 4).cumsum(0) * dice.uniform(0.02, 0.25)).tanh()
    return Track(
        shift=velocity.cumsum(0) + shake,
        zoom=(bends[:, 0] + dice.uniform(-0.03, 0.03)).exp(),
        angle=bends[:, 1] + (dice.uniform(-math.pi, math.pi) if dice.chance(0.25) else 0.0),
        tilt=bends[:, 2:],
        mirror=mirror,
    )


def _wander(dice: Dice, frames: int, count: int) -> Tensor:
    """Return frames x count float64 within -1..1: straight lines between a few random values."""
    knots = 2 + dice.below(3)
    values = dice.signed(1, count, knots)
    return torch.nn.functional.interpolate(values, size=frames, mode="linear", align_corners=True)[0].T


def _before(dice: Dice, camera: Track) -> Track:
    """Return the motion of something that stands, or moves, between the camera and the background."""
    frames = len(camera.zoom)
    own = _track(dice, frames, camera.mirror, dice.uniform(0.5, 4.0))
    nearer = dice.uniform(1.0, 1.6)
    return Track(
        shift=camera.shift * nearer + own.shift,
        zoom=camera.zoom * own.zoom.sqrt(),
        angle=camera.angle + (own.angle - own.angle[0]),
        tilt=camera.tilt,
        mirror=camera.mirror,
    )


def _mask(dice: Dice) -> Mask:
    directions = dice.normal(_WAVES, 2)
    lengths = torch.tensor([dice.uniform(28, 160) for _ in range(_WAVES)], dtype=torch.float64)
    waves = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-6) * (2 * math.pi / lengths)[:, None]
    phases = torch.tensor([dice.uniform(0, 2 * math.pi) for _ in range(_WAVES)], dtype=torch.float64)
    return Mask(waves, phases, threshold=dice.uniform(0.2, 1.2), edge_px=dice.uniform(1.0, 3.0))


def _gains(dice: Dice, frames: int) -> Tensor:
    strength = dice.uniform(0, _MAX_LOG_GAIN) if dice.chance(_EXPOSURE_SHARE) else 0.0
    return (strength * _wander(dice, frames, 1)[:, 0]).exp()
