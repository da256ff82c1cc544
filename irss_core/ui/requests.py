"""What a visitor asks for, read off the page's fields: plain data, quick to import, no network in sight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from irss_core.errors import InvalidOptionError
from irss_core.media.video import ClipPart

OWN_SCALE = "The models' own"
SCALES = (OWN_SCALE, "2", "3", "3.5", "4", "8")
MAX_SCALE = 16.0

Steps = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class StillRequest:
    """Two models on a picture.

    ``outscale`` None is the models' own, the larger one. ``region`` None is all of the picture. ``confirmed``: the
    visitor knows that it will take long.
    """

    source: Path
    models: tuple[str, str]
    titles: tuple[str, str]
    outscale: float | None = None
    denoise: float | None = None
    region: Region | None = None
    confirmed: bool = False

    @property
    def steps(self) -> Steps:
        """What is done, in order, for the visitor to read."""
        return "Reading the picture", *_model_steps(self.titles), "Saving the results"


@dataclass(frozen=True)
class LargeStill:
    """Nothing was computed: the request would take longer than the operator lets start without a question."""

    request: StillRequest
    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class ClipRequest:
    """Two models on a clip. ``part`` None is all of it, whose sound is kept; the rest as in ``StillRequest``."""

    source: Path
    models: tuple[str, str]
    titles: tuple[str, str]
    outscale: float | None = None
    part: ClipPart | None = None
    confirmed: bool = False

    @property
    def steps(self) -> Steps:
        """What is done, in order, for the visitor to read."""
        return "Reading the clip", *_model_steps(self.titles), "Making the player's video"


@dataclass(frozen=True)
class LargeClip:
    """As ``LargeStill``, of a clip."""

    request: ClipRequest
    seconds: float


@dataclass(frozen=True)
class BenchRequest:
    """Models on a set under a protocol, by their names.

    ``root`` None is the built-in set. ``degradation`` makes the inputs; "none" where the set has its own. ``titles``
    are the models' in the table, no two alike. ``confirmed`` as in ``StillRequest``.
    """

    root: Path | None
    name: str
    protocol: str
    degradation: str
    models: tuple[str, ...]
    titles: tuple[str, ...]
    confirmed: bool = False

    @property
    def steps(self) -> Steps:
        """What is done, in order, for the visitor to read."""
        return "Reading the set", "Loading the models", "Estimating the time", "Measuring", "Writing the report"

    @property
    def measures_like(self) -> tuple[object, ...]:
        """What two requests share that can go on from each other's results."""
        return self.root, self.protocol, self.degradation


@dataclass(frozen=True)
class LargeBench:
    """As ``LargeStill``, of a measurement."""

    request: BenchRequest
    seconds: float


def _model_steps(titles: tuple[str, str]) -> tuple[str, str, str]:
    return "Loading the models", f"A: {titles[0]}", f"B: {titles[1]}"


def parse_region(text: str | None, *, width: int, height: int, size: int) -> Region:
    """Return the square of ``size`` whose middle the picker wrote, moved inside the picture and cut to it.

    The middle of the picture is taken where nothing usable is written. The size is the form's and not the picker's,
    which may be behind when both change at once.
    """
    try:
        values = json.loads(text or "{}")
        x, y, w, h = (round(float(values[name])) for name in ("x", "y", "width", "height"))
    except (ValueError, KeyError, TypeError, OverflowError):
        x, y, w, h = 0, 0, width, height
    side_x, side_y = min(size, width), min(size, height)
    left, top = x + (w - side_x) // 2, y + (h - side_y) // 2
    return Region(min(max(left, 0), width - side_x), min(max(top, 0), height - side_y), side_x, side_y)


def parse_outscale(text: str | float | None) -> float | None:
    """Return the factor a visitor chose or typed ("3.5", "x4", "2,5"), None for the models' own.

    Raises:
        InvalidOptionError: it is no number above 0 and up to 16.
    """
    words = str(text or "").strip().lower().strip("x").replace(",", ".")
    if words in ("", "auto", OWN_SCALE.lower()):
        return None
    try:
        factor = float(words)
    except ValueError:
        raise InvalidOptionError(f"Scale {text!r} is not a number. Use for example 2, 3.5 or 4.") from None
    if not 0 < factor <= MAX_SCALE:  # also refuses nan
        raise InvalidOptionError(f"Scale {text!r} is not possible. Use a number above 0 and up to {MAX_SCALE:g}.")
    return factor


def parse_part(start_s: float | None, length_s: float | None, *, duration_s: float | None) -> ClipPart:
    """Return the stretch that two sliders ask for, moved inside the clip.

    Raises:
        InvalidOptionError: its length is not positive.
    """
    start, length = float(start_s or 0.0), float(length_s or 0.0)
    if not length > 0:
        raise InvalidOptionError(f"A part of {length:g} s has no frames. Choose a longer one.")
    if duration_s is not None:
        length = min(length, duration_s)
        start = min(start, duration_s - length)
    return ClipPart(max(start, 0.0), length)
