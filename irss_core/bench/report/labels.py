"""Where the labels of points go, so that none lies on another, on a point, or outside of the chart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

Place = tuple[float, float, float, float]  # left, top, right, bottom in px, y downwards

_DISTANCES = (7.0, 16.0, 28.0, 42.0, 58.0, 76.0, 96.0, 118.0, 142.0)
_DIRECTIONS = tuple(
    (math.cos(a), math.sin(a)) for a in (math.pi * k / 6 for k in (0, 6, 9, 3, 10, 8, 11, 7, 2, 4, 1, 5))
)
_POINT = 6.0  # half of the square that a marker takes
_GAP = 2.0


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], *, bounds: Place
) -> list[Place]:
    """Return a place for each point's label of that size, near its point and free if there is a free one."""
    taken: list[Place] = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    places: dict[int, Place] = {}
    for index in sorted(range(len(points)), key=lambda each: points[each]):
        options = [place for place in _around(points[index], sizes[index]) if _inside(place, bounds)]
        options = options or [_moved_inside(place, bounds) for place in _around(points[index], sizes[index])]
        places[index] = min(options, key=lambda place: sum(_overlap(place, other) for other in taken))
        taken.append(places[index])
    return [places[index] for index in range(len(points))]


def is_away(point: tuple[float, float], place: Place) -> bool:
    """Return whether a label is so far from its point that a line must lead there."""
    x, y = point
    left, top, right, bottom = place
    return math.hypot(max(left - x, x - right, 0), max(top - y, y - bottom, 0)) > _DISTANCES[0] + _POINT


def _around(point: tuple[float, float], size: tuple[float, float]) -> Iterator[Place]:
    """Yield places around a point, the nearest and most usual first."""
    width, height = size
    for distance in _DISTANCES:
        for dx, dy in _DIRECTIONS:
            x = point[0] + dx * (distance + _POINT) + (width / 2) * _sign(dx)
            y = point[1] + dy * (distance + _POINT) + (height / 2) * _sign(dy)
            yield x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _sign(value: float) -> int:
    return 0 if abs(value) < 1e-6 else int(math.copysign(1, value))


def _inside(place: Place, bounds: Place) -> bool:
    return place[0] >= bounds[0] and place[1] >= bounds[1] and place[2] <= bounds[2] and place[3] <= bounds[3]


def _moved_inside(place: Place, bounds: Place) -> Place:
    dx = max(bounds[0] - place[0], 0) or min(bounds[2] - place[2], 0)
    dy = max(bounds[1] - place[1], 0) or min(bounds[3] - place[3], 0)
    return place[0] + dx, place[1] + dy, place[2] + dx, place[3] + dy


def _overlap(a: Place, b: Place) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + _GAP
    height = min(a[3], b[3]) - max(a[1], b[1]) + _GAP
    return width * height if width > 0 and height > 0 else 0.0
