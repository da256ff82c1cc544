"""The displayed frames of a clip, as a stream whose memory use does not grow with its length.

What the reader promises:

- Frames come in display order, upright, each with a strictly increasing time; the first thing presented is at zero.
- Limits are checked on the header before anything is decoded, and again on what is really there.
- A frame that is damaged is shown as far as the decoder could rebuild it. A frame that cannot be decoded at all is
  left out: the one before it stays up until the next. Both are counted in ``ClipReader.notes``. When more than one in
  twenty is lost, or the clip ends well before its header says, it is a CorruptMediaError instead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from irss_core.errors import CorruptMediaError, InvalidOptionError
from irss_core.media.clip_files import (
    WEBP,
    ClipKind,
    audio_streams,
    check_frame_size,
    clip_kind,
    ffmpeg_message,
    lenient_frames,
    open_clip,
    read_head,
    timeline_origin,
    video_stream,
)
from irss_core.media.clip_info import DEFAULT_LIMITS, ClipInfo, check_length, probe_clip, video_duration
from irss_core.media.clip_pixels import FrameConverter
from irss_core.media.limits import ClipLimits
from irss_core.media.webp_clips import read_webp_header, webp_frames

_SMALLEST_STEP = Fraction(1, 1000)
_JUMP_BACK = Fraction(1, 2)
_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Frame:
    """One displayed frame.

    ``pixels`` is HxWx3 uint8 RGB, full range, C-contiguous. ``pts_s`` is when it appears and ``duration_s`` how long
    it stays, in seconds.
    """

    pixels: np.ndarray
    pts_s: Fraction
    duration_s: Fraction | None


class ClipReader:
    """An iterator over the displayed frames of one clip.

    ``info`` is what the header says; ``notes`` says in plain sentences what had to be mended, and is complete once
    the last frame is out. The file is open from the first frame until the last, ``close()``, or the end of the
    reader's life, whichever comes first.
    """

    def __init__(self, path: Path, limits: ClipLimits = DEFAULT_LIMITS) -> None:
        path = Path(path)
        self.info = probe_clip(path, limits)
        # The generator must not know the reader: a cycle would keep the file of an abandoned reader open.
        self._journal = _Journal(path.name)
        self._frames = _displayed(path, self.info, limits, self._journal)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        """The next frame.

        Raises:
            CorruptMediaError: too much is damaged, or the clip breaks off; the message says where.
            LimitExceededError: there is more in the clip than its header said, and than is accepted.
        """
        return next(self._frames)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was mended or left out so far, in plain sentences."""
        return (*self.info.notes, *self._journal.sentences())

    def close(self) -> None:
        """Close the file; the reader yields nothing more."""
        self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_frames(path: Path, limits: ClipLimits = DEFAULT_LIMITS) -> ClipReader:
    """Every displayed frame of the clip, first to last, decoded as it is asked for.

    The header is checked here and now; what is wrong further in comes while iterating (see ``ClipReader``).

    Raises:
        LimitExceededError, UnsupportedFormatError, CorruptMediaError, InputError: as ``probe_clip``.
    """
    return ClipReader(path, limits)


def extract_frame(path: Path, index: int = 0, limits: ClipLimits = DEFAULT_LIMITS) -> np.ndarray:
    """One frame of a clip, counted from 0: HxWx3 uint8 RGB, as ``read_frames`` gives it.

    Raises:
        InvalidOptionError: the clip has no frame ``index``.
        LimitExceededError, UnsupportedFormatError, CorruptMediaError, InputError: as ``read_frames``.
    """
    path = Path(path)
    if index < 0:
        raise InvalidOptionError(f"Frame {index} does not exist: frames are counted from 0.")
    info = probe_clip(path, limits)
    journal = _Journal(path.name)
    converter = FrameConverter()
    with closing(_timed(path, info, limits, journal)) as pictures:
        for position, picture in enumerate(pictures):
            if position == index:
                return _pixels(picture.content, converter, journal)
    raise InvalidOptionError(
        f"{path.name} has no frame {index}: its {journal.frames} frames are counted from 0 to {journal.frames - 1}."
    )


@dataclass(frozen=True)
class _Picture:
    """What is shown from ``pts_s`` on: a decoded frame, or an RGB array; ``natural_s`` is the file's own duration."""

    content: VideoFrame | np.ndarray
    pts_s: Fraction
    natural_s: Fraction | None


@dataclass
class _Journal:
    """What happened while reading one clip."""

    name: str
    frames: int = 0
    damaged: int = 0
    lost: int = 0
    first_lost: str = ""
    retimed: int = 0
    resized: int = 0
    transparent: bool = False
    remarks: list[str] = field(default_factory=list)
    ends: dict[int, Fraction] = field(default_factory=dict)

    def lose(self, reason: str) -> None:
        """Count a frame that cannot be decoded, and give up once they are more than one in twenty."""
        self.lost += 1
        self.first_lost = self.first_lost or f"after frame {self.frames}: {reason}"
        if self.lost > 3 + self.frames // 20:
            raise CorruptMediaError(
                f"{self.lost} of the first {self.frames + self.lost} frames of {self.name} cannot be decoded (the first"
                f" {self.first_lost}); at most one in twenty may be missing. The file is damaged: get it again."
            )

    def sentences(self) -> list[str]:
        """The journal in plain sentences, empty where all went well."""
        sentences = list(self.remarks)
        if self.damaged:
            sentences.append(f"{self.damaged} damaged frames are shown as far as they could be rebuilt.")
        if self.lost:
            sentences.append(f"{self.lost} frames could not be decoded and are left out (the first {self.first_lost}).")
        if self.retimed:
            sentences.append(f"{self.retimed} frames had no usable time in the file and were given one.")
        if self.resized:
            sentences.append(f"{self.resized} frames of another size were scaled to the first one's.")
        if self.transparent:
            sentences.append("Transparent parts of the clip are shown on white.")
        return sentences


class _Timeline:
    """Puts the times of a file on one strictly increasing line, in seconds from its origin."""

    def __init__(self, kind: ClipKind, *, origin: Fraction, step: Fraction, journal: _Journal) -> None:
        self._kind, self._offset, self._step, self._journal = kind, -origin, step, journal
        self._last: Fraction | None = None

    def place(self, time: Fraction | None) -> Fraction:
        """Where the next frame, stamped ``time`` in the file, goes."""
        self._last = self._first(time) if self._last is None else self._following(time, self._last)
        return self._last

    def _first(self, time: Fraction | None) -> Fraction:
        if time is None or self._kind.times == "none":
            return Fraction(0)
        if self._kind.times == "counted":
            self._offset = -time
        return max(time + self._offset, Fraction(0))  # nothing is shown before the clip begins

    def _following(self, time: Fraction | None, last: Fraction) -> Fraction:
        if self._kind.times == "none":
            return last + self._step
        if time is not None and time + self._offset > last:
            return time + self._offset
        self._journal.retimed += 1
        if time is None:
            return last + self._step
        if last - (time + self._offset) <= _JUMP_BACK:
            return last + _SMALLEST_STEP  # a repeated or swapped stamp: the ones after it are right again
        self._offset = last + self._step - time  # clips glued together: time starts anew from here
        return last + self._step


def _displayed(path: Path, info: ClipInfo, limits: ClipLimits, journal: _Journal) -> Generator[Frame]:
    """Frames with the times they are really shown: each is held until the time of the next is known."""
    converter = FrameConverter()
    held: tuple[np.ndarray, _Picture] | None = None
    step = 1 / info.fps
    with closing(_timed(path, info, limits, journal)) as pictures:
        for picture in pictures:
            pixels = _pixels(picture.content, converter, journal)
            if held is not None:
                step = picture.pts_s - held[1].pts_s
                yield Frame(held[0], held[1].pts_s, step)
            held = (pixels, picture)
    if held is not None:
        yield Frame(held[0], held[1].pts_s, held[1].natural_s or step)


def _pixels(content: VideoFrame | np.ndarray, converter: FrameConverter, journal: _Journal) -> np.ndarray:
    if isinstance(content, np.ndarray):
        pixels = converter.on_white(content) if content.shape[2] == 4 else content
    else:
        try:
            pixels = converter(content)
        except (av.FFmpegError, ValueError) as exc:
            raise CorruptMediaError(
                f"Frame {journal.frames - 1} of {journal.name} has colours that cannot be converted to RGB"
                f" ({content.format.name}: {ffmpeg_message(exc)}). Convert the clip to H.264 first."
            ) from exc
    journal.resized, journal.transparent = converter.resized, converter.transparent
    return pixels


def _timed(path: Path, info: ClipInfo, limits: ClipLimits, journal: _Journal) -> Generator[_Picture]:
    """The clip's pictures in display order, within the limits."""
    kind = clip_kind(read_head(path))
    if kind is None:
        raise CorruptMediaError(f"{path.name} was changed while it was read. Try again.")
    source = _webp_pictures(path, limits) if kind == WEBP else _decoded(path, kind, info, limits, journal)
    with closing(source) as pictures:
        for picture in pictures:
            journal.frames += 1
            check_length(path.name, journal.frames, picture.pts_s, limits=limits)
            yield picture
    if not journal.frames:
        raise CorruptMediaError(f"{path.name} holds no frame that can be shown. Get the file again.")


def _webp_pictures(path: Path, limits: ClipLimits) -> Generator[_Picture]:
    header = read_webp_header(path, max_frames=limits.max_frames)
    pts_s = Fraction(0)
    for pixels, duration in zip(webp_frames(path, header), header.durations, strict=True):
        yield _Picture(pixels, pts_s, duration)
        pts_s += duration


def _decoded(path: Path, kind: ClipKind, info: ClipInfo, limits: ClipLimits, journal: _Journal) -> Generator[_Picture]:
    origin = timeline_origin(path, kind, max_frame_pixels=limits.max_frame_pixels)
    timeline = _Timeline(kind, origin=origin, step=1 / info.fps, journal=journal)
    with open_clip(path, kind, max_frame_pixels=limits.max_frame_pixels) as container:
        stream = video_stream(container, path)
        tick = stream.time_base or info.time_base
        packets = _packets(container, stream, journal)
        for frame in lenient_frames(packets, stream, on_error=journal.lose):
            check_frame_size(path.name, frame.width, frame.height, limits.max_frame_pixels)
            journal.damaged += frame.is_corrupt
            time = timeline.place(None if frame.pts is None else frame.pts * tick)
            yield _Picture(frame, time, frame.duration * tick if frame.duration else None)
        _check_complete(container, stream, kind, info=info, journal=journal)
    if kind.name == "gif" and not _ends_like_a_gif(path):
        journal.remarks.append("The GIF has no end mark; it may have been cut off, and its last frame be incomplete.")


def _packets(container: InputContainer, stream: VideoStream, journal: _Journal) -> Iterator[Packet[Stream]]:
    """All packets of picture and sound, the furthest time of each stream noted in the journal."""
    watched = (stream, *audio_streams(container), *container.streams.subtitles)
    try:
        for packet in container.demux(watched):
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                journal.ends[packet.stream_index] = max(end, journal.ends.get(packet.stream_index, end))
            yield packet
    except av.FFmpegError as exc:
        raise CorruptMediaError(
            f"{journal.name} breaks off after frame {journal.frames} ({ffmpeg_message(exc)}): it is damaged or was cut"
            " off. Get the file again from where it came."
        ) from exc


def _check_complete(
    container: InputContainer, stream: VideoStream, kind: ClipKind, *, info: ClipInfo, journal: _Journal
) -> None:
    """Compare what was there with what the header says; a little less is common, and noted."""
    duration = video_duration(stream, kind)
    if duration is not None:
        claimed = duration + (stream.start_time or 0) * (stream.time_base or 0)
        found = journal.ends.get(stream.index, Fraction(0))
    else:  # only the whole file's length is known: any of its streams may be the one that lasts so long
        claimed = (container.duration or 0) * _MICROSECOND
        found = max(journal.ends.values(), default=Fraction(0))
    missing, step = claimed - found, 1 / info.fps
    if not kind.trusted_duration or missing <= 2 * step:
        return
    if missing > max(4 * step, claimed * 3 / 100):
        raise CorruptMediaError(
            f"{journal.name} should last {float(claimed):.2f} s but ends after {float(found):.2f} s (frame"
            f" {journal.frames}): it was cut off while it was saved or sent. Get the file again from where it came."
        )
    journal.remarks.append(f"The clip ends {float(missing):.2f} s before its header says.")


def _ends_like_a_gif(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 64, 0))
        return file.read().rstrip(b"\0\r\n").endswith(b";")
