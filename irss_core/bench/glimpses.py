"""Keeps small pieces of frames for the report while a clip streams by: one typical place, and this entry's worst."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from irss_core.bench.results import Glimpse

_SIDE = 192
_BLOCK = 32
_PROFILE_FRAMES = 512  # of a longer clip the report shows the beginning: memory must not grow with the length

Box = tuple[int, int, int, int]  # x, y, width, height


@dataclass(frozen=True)
class Shown:
    """One frame as it was measured. ``truth`` is None without one; ``lr`` is the input; all HxWx3 uint8 RGB."""

    index: int
    result: np.ndarray
    truth: np.ndarray | None
    lr: np.ndarray


@dataclass(frozen=True)
class _Candidate:
    value: float
    index: int
    box: Box
    result: np.ndarray
    truth: np.ndarray | None
    lr: np.ndarray


class GlimpseKeeper:
    """Watches the frames of one entry on one sample.

    Args:
        middle: index of the frame that is kept of every entry.
        skipped_ends: frames at each end of a clip that cannot be the worst, since they do not count.
        higher_is_better: of the values that ``watch`` is given.
    """

    def __init__(self, *, middle: int, skipped_ends: int, higher_is_better: bool) -> None:
        self._middle_index, self._skipped_ends, self._sign = middle, skipped_ends, -1 if higher_is_better else 1
        self._middle: _Candidate | None = None
        self._worst: _Candidate | None = None
        self._waiting: deque[_Candidate | None] = deque()
        self._rows: list[tuple[np.ndarray | None, np.ndarray]] = []

    def watch(self, shown: Shown, value: float | None) -> None:
        """Look at the next frame; ``value`` is its worth by the metric that decides which one is worst."""
        if len(self._rows) < _PROFILE_FRAMES:
            row = shown.result.shape[0] // 2
            self._rows.append((None if shown.truth is None else shown.truth[row].copy(), shown.result[row].copy()))
        if shown.index == self._middle_index:
            self._middle = _cut(shown, liveliest_box(_spread(shown) if shown.truth is None else shown.truth), 0.0)
        if value is None or shown.truth is None or shown.index < self._skipped_ends:
            return
        badness = self._sign * value
        worse = self._worst is None or badness > self._worst.value
        self._waiting.append(_cut(shown, worst_box(shown.result, shown.truth), badness) if worse else None)
        if len(self._waiting) > self._skipped_ends:  # only now is it known that the frame is not one of the last
            settled = self._waiting.popleft()
            if settled is not None and (self._worst is None or settled.value > self._worst.value):
                self._worst = settled

    def profile(self) -> np.ndarray | None:
        """Return one row of pixels of every frame, the first on top, the truth's above the result's."""
        if len(self._rows) < 2:
            return None
        result = np.stack([row for _, row in self._rows])
        truth = [row for row, _ in self._rows if row is not None]
        return np.concatenate([np.stack(truth), result]) if len(truth) == len(self._rows) else result

    def write(self, folder: Path, *, sample: str, entry: str, metric: str) -> tuple[tuple[Glimpse, ...], str]:
        """Write what was kept below ``folder`` and return it, and the profile's file ("" for a still).

        ``sample`` and ``entry`` name the files: plain letters, digits and hyphens only.
        """
        kept = []
        place = Path("pictures") / sample
        (folder / place).mkdir(parents=True, exist_ok=True)
        for kind, candidate in (("middle", self._middle), ("worst", self._worst)):
            if candidate is None:
                continue
            stem = kind if kind == "middle" else f"{entry}-{kind}"
            truth = "" if candidate.truth is None else _write(candidate.truth, folder, place / f"{stem}-truth.png")
            kept.append(
                Glimpse(
                    kind="middle" if kind == "middle" else "worst",
                    index=candidate.index,
                    box=candidate.box,
                    result=_write(candidate.result, folder, place / f"{entry}-{kind}.png"),
                    truth=truth,
                    input=_write(candidate.lr, folder, place / f"{stem}-input.png"),
                    metric=metric if kind == "worst" else "",
                    value=self._sign * candidate.value if kind == "worst" else None,
                )
            )
        profile = self.profile()
        profile_file = "" if profile is None else _write(profile, folder, place / f"{entry}-profile.png")
        return tuple(kept), profile_file


def liveliest_box(picture: np.ndarray) -> Box:
    """Return the place with the most going on, measured by the spread of brightness in blocks."""
    grey = picture.astype(np.float32).mean(axis=2)
    return _best_box(grey * grey, minus_square_of=grey)


def worst_box(result: np.ndarray, truth: np.ndarray) -> Box:
    """Return the place where the squared error is largest."""
    error = (result.astype(np.float32) - truth.astype(np.float32)) ** 2
    return _best_box(error.mean(axis=2))


def _best_box(plane: np.ndarray, *, minus_square_of: np.ndarray | None = None) -> Box:
    height, width = plane.shape
    side_y, side_x = min(_SIDE, height), min(_SIDE, width)
    worth = _box_means(plane, side_y, side_x)
    if minus_square_of is not None:
        worth = worth - _box_means(minus_square_of, side_y, side_x) ** 2
    row, column = np.unravel_index(int(np.argmax(worth)), worth.shape)
    y, x = min(int(row) * _BLOCK, height - side_y), min(int(column) * _BLOCK, width - side_x)
    return x, y, side_x, side_y


def _box_means(plane: np.ndarray, side_y: int, side_x: int) -> np.ndarray:
    """Return the mean of every box whose corner lies on a grid of blocks, the last ones moved in."""
    table = np.pad(plane, ((1, 0), (1, 0))).astype(np.float64).cumsum(0).cumsum(1)
    height, width = plane.shape
    tops = np.minimum(np.arange(0, height - side_y + _BLOCK, _BLOCK), height - side_y)
    lefts = np.minimum(np.arange(0, width - side_x + _BLOCK, _BLOCK), width - side_x)
    y, x = tops[:, None], lefts[None, :]
    total = table[y + side_y, x + side_x] - table[y, x + side_x] - table[y + side_y, x] + table[y, x]
    means: np.ndarray = total / (side_y * side_x)
    return means


def _spread(shown: Shown) -> np.ndarray:
    """Return the input at the result's size, so that every entry's box comes from the same picture."""
    height, width = shown.result.shape[:2]
    enlarged: np.ndarray = np.asarray(Image.fromarray(shown.lr).resize((width, height), Image.Resampling.NEAREST))
    return enlarged


def _cut(shown: Shown, box: Box, value: float) -> _Candidate:
    x, y, width, height = box
    part = (slice(y, y + height), slice(x, x + width))
    return _Candidate(
        value=value,
        index=shown.index,
        box=box,
        result=shown.result[part].copy(),
        truth=None if shown.truth is None else shown.truth[part].copy(),
        lr=_spread(shown)[part].copy(),
    )


def _write(pixels: np.ndarray, folder: Path, path: Path) -> str:
    Image.fromarray(pixels).save(folder / path, format="PNG", optimize=True)
    return path.as_posix()
