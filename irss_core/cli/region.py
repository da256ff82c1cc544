"""Which part of a picture is meant: pure geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irss_core.errors import InvalidOptionError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Region:
    """A part of a picture: its left upper corner and size, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def crop(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return that part of HxW or HxWxC pixels, as an array of its own."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width].copy()


@dataclass(frozen=True)
class Area:
    """Which part was asked for: a region, a square of ``centre`` pixels in the middle, or (both None) everything."""

    region: Region | None = None
    centre: int | None = None

    def __post_init__(self) -> None:
        if self.region is not None and self.centre is not None:
            raise InvalidOptionError("--region and --centre cannot be given together: each names the part to compare.")

    def within(self, width: int, height: int) -> Region:
        """Return the part of a picture of that size.

        Raises:
            InvalidOptionError: the region reaches beyond the picture.
        """
        if self.centre is not None:
            wide, tall = min(self.centre, width), min(self.centre, height)
            return Region((width - wide) // 2, (height - tall) // 2, wide, tall)
        region = self.region or Region(0, 0, width, height)
        if region.left + region.width > width or region.top + region.height > height:
            raise InvalidOptionError(
                f"The region of {region.width}x{region.height} pixels at {region.left},{region.top} reaches beyond the "
                f"input, which is {width}x{height}. Give one inside it."
            )
        return region


def parse_region(text: str) -> Region:
    """Return the region written as X,Y,W,H.

    Raises:
        InvalidOptionError: the text is not four such numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() for part in parts) or 0 in (int(parts[2]), int(parts[3])):
        raise InvalidOptionError(
            f"Region {text} is not X,Y,W,H: four whole numbers, the last two above 0, as in 200,150,96,96."
        )
    left, top, width, height = map(int, parts)
    return Region(left, top, width, height)
