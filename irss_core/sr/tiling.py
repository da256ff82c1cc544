"""Tile geometry: pure integer functions, in pixels of the array that is tiled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; ``bottom`` and ``right`` are the first row and column outside it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows in the box."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns in the box."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """Pixels in the box."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as row and column slices."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, *, within: Box) -> Box:
        """Return the box with ``margin`` more on every side, clipped to ``within``."""
        return Box(
            max(self.top - margin, within.top),
            max(self.left - margin, within.left),
            min(self.bottom + margin, within.bottom),
            min(self.right + margin, within.right),
        )

    def relative_to(self, origin: Box) -> Box:
        """Return the box in coordinates that start at the origin's upper left corner."""
        top, left = origin.top, origin.left
        return Box(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def scaled(self, factor: int) -> Box:
        """Return the box on a grid ``factor`` times as fine."""
        return Box(self.top * factor, self.left * factor, self.bottom * factor, self.right * factor)


def split_axis(length: int, *, size: int) -> list[tuple[int, int]]:
    """Return nearly equal (start, stop) pairs that cover 0..length exactly once, none longer than ``size``."""
    count = -(-length // size)
    borders = [length * index // count for index in range(count + 1)]
    return list(itertools.pairwise(borders))


def split_box(box: Box, *, size: int) -> Iterator[Box]:
    """Yield boxes in reading order that cover the box exactly once, no side longer than ``size``."""
    for top, bottom in split_axis(box.height, size=size):
        for left, right in split_axis(box.width, size=size):
            yield Box(box.top + top, box.left + left, box.top + bottom, box.left + right)
