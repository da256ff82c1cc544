"""Clips made in segments, so that work that was killed goes on at the last finished one and gives the same bytes.

A segment is a fixed number of frames in an MP4 of its own, coded without a look at its neighbours. It is put in the
object store, and then the state in which its last frame left the work: that is what makes it count. At the end the
segments are joined without coding anything anew. Whoever goes on reads the clip from its beginning again (decoding is
exact, and quick beside a network) and leaves out the frames that are done.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from irss_core.errors import InputError
from irss_core.jobs.keys import work_key
from irss_core.jobs.ports import ObjectStore
from irss_core.progress import CancelToken, ProgressCallback, ProgressUpdate

if TYPE_CHECKING:
    import numpy as np

    from irss_core.media.video import ClipInfo, ClipLimits, Frame

SEGMENT_FRAMES = 48
"""Two seconds of most clips: little is lost to a break, and a key frame there costs nothing, as there would be one."""

CRF = 16
_ENCODER_THREADS = 4  # a fixed number, since the encoder's bytes depend on it
_VERSION = 1  # of how segments are made; another one does not go on with what this one began


_Time = tuple[Fraction, Fraction | None]
"""When a frame appears, and how long it stays, in seconds."""


class FrameWork(Protocol):
    """What is done with every frame of a clip, one for one, in order."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides of a frame that comes out for one that goes in."""
        ...

    def frames(
        self,
        frames: Iterator[np.ndarray],
        *,
        total: int | None,
        progress: ProgressCallback | None,
        cancel: CancelToken | None,
    ) -> Generator[np.ndarray]:
        """Yield a frame for every frame; ``total`` is how many there will be."""
        ...

    def save(self, path: Path) -> None:
        """Write to a new file all that the next frame depends on; called between two frames."""
        ...

    def restore(self, path: Path) -> None:
        """Go on from what ``save`` wrote; called before ``frames``."""
        ...


class Segments:
    """The finished segments of one clip in the object store.

    Args:
        plan: everything that decides what the segments are: those of another plan are not found.
    """

    def __init__(self, objects: ObjectStore, job_id: str, plan: Mapping[str, Any]) -> None:
        text = json.dumps({"version": _VERSION, "frames": SEGMENT_FRAMES, **plan}, sort_keys=True)
        self._objects = objects
        self._prefix = work_key(job_id, f"clip-{hashlib.sha256(text.encode()).hexdigest()[:16]}/")

    def finished(self) -> int:
        """Return how many segments need not be made again: all up to the newest state, if they are there."""
        keys = set(self._objects.keys(self._prefix))
        states = [int(key.rpartition("-")[2]) for key in keys if key.startswith(f"{self._prefix}state-")]
        done = max(states, default=-1) + 1
        return done if all(self._key("segment", index) in keys for index in range(done)) else 0

    def add(self, index: int, *, segment: Path, state: Path) -> None:
        """Store a finished segment and, after it, the state that it left behind, in place of the one before."""
        self._objects.put(self._key("segment", index), segment, content_type="video/mp4")
        self._objects.put(self._key("state", index), state, content_type="application/octet-stream")
        if index:
            self._objects.delete(self._key("state", index - 1))

    def fetch_state(self, index: int, target: Path) -> Path:
        """Return a new file with the state that a segment left behind."""
        self._objects.get(self._key("state", index), target)
        return target

    def fetch_segments(self, count: int, folder: Path, *, cancel: CancelToken | None) -> Generator[Path]:
        """Yield files with the segments, in order; each is gone when the next is asked for."""
        for index in range(count):
            if cancel is not None:
                cancel.raise_if_cancelled()
            target = folder / f"segment-{index:06d}"
            self._objects.get(self._key("segment", index), target)
            yield target
            target.unlink()

    def _key(self, what: str, index: int) -> str:
        return f"{self._prefix}{what}-{index:06d}"


@dataclass(frozen=True)
class ClipOrder:
    """A clip to be made: from ``source`` to ``target`` by ``work``, with temporary files in ``folder``.

    ``hold`` gives a context that is open while frames are worked on, and closed while segments are stored.
    ``total`` is how many frames the clip has, if known.
    """

    source: Path
    target: Path
    folder: Path
    work: FrameWork
    limits: ClipLimits
    hold: Callable[[], AbstractContextManager[None]]
    total: int | None


def make_clip(
    order: ClipOrder, segments: Segments, *, progress: ProgressCallback | None, cancel: CancelToken | None
) -> tuple[str, ...]:
    """Write the MP4 of a clip's frames after the work, at their own times and with the clip's sound; return notes.

    Raises:
        InputError: the clip cannot be read, or is over a limit. CancelledError: asked to stop, within one frame.
        ResourceError: a disk is full.
    """
    from irss_core.media.clip_join import join_clips
    from irss_core.media.video import read_frames

    done = _restored(order, segments)
    skipped = done * SEGMENT_FRAMES
    with read_frames(order.source, order.limits) as reader:
        taken: deque[_Time] = deque()
        pixels = _pixels(reader, skipped, taken, cancel)
        left = None if order.total is None else max(order.total - skipped, 0)
        frames = order.work.frames(pixels, total=left, progress=_further_on(progress, skipped), cancel=cancel)
        notes: dict[str, None] = {}
        with closing(frames) as made:
            while True:
                segment, state = order.folder / f"made-{done:06d}.mp4", order.folder / f"state-{done:06d}"
                with order.hold():
                    written = _write_segment(segment, made, taken, order.work, reader.info)
                if written is None:
                    break
                notes |= dict.fromkeys(written)
                order.work.save(state)
                segments.add(done, segment=segment, state=state)
                segment.unlink()
                state.unlink()
                done += 1
        audio_from = order.source if reader.info.has_audio else None
        time_base, mended = reader.info.time_base, reader.notes
    parts = segments.fetch_segments(done, order.folder, cancel=cancel)
    with closing(parts):
        sound = join_clips(parts, order.target, time_base=time_base, audio_from=audio_from)
    return (*mended, *notes, *sound)


def _restored(order: ClipOrder, segments: Segments) -> int:
    """Return how many segments need not be made again, the work gone on to where they end."""
    done = segments.finished()
    if done:
        try:
            order.work.restore(segments.fetch_state(done - 1, order.folder / "restored"))
        except InputError:  # not the file that was handed in is at fault: begin again, as if there were no segments
            return 0
    return done


def _pixels(
    reader: Iterator[Frame], skipped: int, taken: deque[_Time], cancel: CancelToken | None
) -> Iterator[np.ndarray]:
    """Yield the pixels of the frames after those skipped, and put their times in ``taken``."""
    for index, frame in enumerate(reader):
        if cancel is not None:
            cancel.raise_if_cancelled()
        if index >= skipped:
            taken.append((frame.pts_s, frame.duration_s))
            yield frame.pixels


def _write_segment(
    path: Path, made: Iterator[np.ndarray], taken: deque[_Time], work: FrameWork, info: ClipInfo
) -> tuple[str, ...] | None:
    """Write the next frames as a segment and return its writer's notes, or None if there are no more frames."""
    from irss_core.media.video import ClipWriter

    first = next(made, None)
    if first is None:
        return None
    width, height = work.size(info.width, info.height)
    with ClipWriter(
        path,
        width=width,
        height=height,
        fps=info.fps,
        crf=CRF,
        time_base=info.time_base,
        pixel_aspect=info.pixel_aspect,
        threads=_ENCODER_THREADS,
    ) as writer:
        for pixels in itertools.chain((first,), itertools.islice(made, SEGMENT_FRAMES - 1)):
            pts_s, duration_s = taken.popleft()
            writer.write(pixels, pts_s, duration_s=duration_s)
    return writer.notes


def _further_on(progress: ProgressCallback | None, skipped: int) -> ProgressCallback | None:
    """Return a callback that counts the frames done before as done; the time left goes by the rate of the others."""
    if progress is None or not skipped:
        return progress

    def tell(update: ProgressUpdate) -> None:
        total = None if update.total is None else update.total + skipped
        progress(replace(update, done=update.done + skipped, total=total))

    return tell
