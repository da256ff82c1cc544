"""A stretch of a clip: which frames belong to it, and how many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from irss_core.media.clip_info import ClipInfo
from irss_core.media.clips_in import Frame
from irss_core.progress import CancelToken


@dataclass(frozen=True)
class ClipPart:
    """A stretch of a clip, in seconds."""

    start_s: float
    length_s: float


def clip_part(frames: Iterable[Frame], part: ClipPart | None, *, cancel: CancelToken | None = None) -> Iterator[Frame]:
    """Yield the frames of a part, their times moved so that it begins at zero; or all of them as they are."""
    if part is None:
        yield from frames
        return
    first: Fraction | None = None
    for frame in frames:
        if cancel is not None:
            cancel.raise_if_cancelled()
        if frame.pts_s + (frame.duration_s or 0) <= part.start_s:
            continue
        first = frame.pts_s if first is None else first
        if frame.pts_s - first >= part.length_s:
            return
        yield replace(frame, pts_s=frame.pts_s - first)


def part_frames(info: ClipInfo, part: ClipPart | None) -> int | None:
    """Return how many frames a part has, from the length where the header does not count them; None if unknown."""
    whole = info.frame_count
    if whole is None and info.duration_s is not None:
        whole = max(round(info.duration_s * info.fps), 1)
    if part is None:
        return whole
    frames = max(round(part.length_s * info.fps), 1)
    return frames if whole is None else min(frames, whole)
