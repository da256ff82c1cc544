"""What a clip is: its header, checked against the limits before its first frame, alone, is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from irss_core.errors import CorruptMediaError, LimitExceededError, UnsupportedFormatError
from irss_core.media.clip_files import (
    GIF,
    WEBP,
    ClipKind,
    audio_streams,
    check_file_size,
    check_frame_size,
    clip_kind,
    ffmpeg_message,
    is_still_image,
    lenient_frames,
    open_clip,
    read_head,
    unsupported,
    video_stream,
)
from irss_core.media.clip_pixels import frame_notes, frame_orientation
from irss_core.media.limits import ClipLimits
from irss_core.media.webp_clips import read_webp_header

_DEFAULT_FPS = Fraction(25)
_FASTEST_FPS = 1000
_HOPELESS = 300
_MICROSECOND = Fraction(1, 1_000_000)


DEFAULT_LIMITS = ClipLimits()


@dataclass(frozen=True)
class ClipInfo:
    """What a clip's header says, with the first frame decoded to be sure.

    ``width`` and ``height`` are those of an upright frame. ``fps`` is the average. ``frame_count``, ``duration_s`` and
    ``is_variable_rate`` are None where the header does not tell; a header may be wrong by some frames.
    ``pixel_aspect`` is the width of a pixel over its height, ``time_base`` the unit of the clip's timestamps.
    """

    format: str
    codec: str
    width: int
    height: int
    fps: Fraction
    frame_count: int | None
    duration_s: float | None
    has_audio: bool
    audio_codec: str | None
    size_bytes: int
    is_variable_rate: bool | None = None
    pixel_aspect: Fraction = Fraction(1)
    time_base: Fraction = Fraction(1, 1000)
    notes: tuple[str, ...] = ()


def is_clip(path: Path, limits: ClipLimits = DEFAULT_LIMITS) -> bool:
    """Whether the file is a clip (a video, an animated GIF or WebP) rather than a still, by its content.

    Raises:
        UnsupportedFormatError: it is neither.
        CorruptMediaError: it is empty, or a clip whose header is damaged.
        InputError: there is no such file.
    """
    path = Path(path)
    head = read_head(path)
    kind = clip_kind(head)
    if kind is None:
        if is_still_image(head):
            return False
        raise unsupported(path, head)
    if kind == WEBP:
        return read_webp_header(path, max_frames=1).animated
    with open_clip(path, kind, max_frame_pixels=limits.max_frame_pixels) as container:
        stream = video_stream(container, path)
        if kind == GIF:
            return stream.frames > 1
    return True


def probe_clip(path: Path, limits: ClipLimits = DEFAULT_LIMITS) -> ClipInfo:
    """What the clip's header says, checked against ``limits`` before its first frame, alone, is decoded.

    Raises:
        LimitExceededError: the clip is over a limit; the message names the setting.
        UnsupportedFormatError: it is not a clip.
        CorruptMediaError: it is damaged, cut off or empty.
        InputError: there is no such file.
    """
    path = Path(path)
    head = read_head(path)
    kind = clip_kind(head)
    if kind is None:
        raise unsupported(path, head)
    size_bytes = check_file_size(path, limits.max_bytes)
    if kind == WEBP:
        return _webp_info(path, limits, size_bytes)
    if kind == GIF:  # the canvas is in the first ten bytes: not even the demuxer needs to see an absurd one
        width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
        check_frame_size(path.name, width, height, limits.max_frame_pixels)
    with open_clip(path, kind, max_frame_pixels=limits.max_frame_pixels) as container:
        stream = video_stream(container, path)
        check_frame_size(path.name, stream.width, stream.height, limits.max_frame_pixels)
        length = _length(container, stream, kind, max_frames=limits.max_frames)
        check_length(path.name, length.frames, length.seconds if kind.trusted_duration else None, limits=limits)
        frame = _first_frame(container, stream, path)
        check_frame_size(path.name, frame.width, frame.height, limits.max_frame_pixels)
        return _container_info(container, stream, kind, length=length, frame=frame, size_bytes=size_bytes)


def check_length(name: str, frames: int | None, seconds: Fraction | None, *, limits: ClipLimits) -> None:
    """Pass if the clip is within the limits on length, as far as it is known.

    Raises:
        LimitExceededError: it is not.
    """
    if frames is not None and frames > limits.max_frames:
        raise LimitExceededError(
            f"{name} has {frames:,} frames or more; at most {limits.max_frames:,} are accepted. Cut the clip, or raise"
            " IRSS_MAX_CLIP_FRAMES."
        )
    if seconds is not None and seconds > limits.max_seconds:
        raise LimitExceededError(
            f"{name} lasts {float(seconds):.1f} s; at most {limits.max_seconds:g} s are accepted. Cut the clip, or"
            " raise IRSS_MAX_CLIP_SECONDS."
        )


@dataclass(frozen=True)
class _Length:
    frames: int | None
    seconds: Fraction | None
    variable: bool | None


def video_duration(stream: VideoStream, kind: ClipKind) -> Fraction | None:
    """How long the header says this video lasts, in seconds; None where only the whole file's length is known."""
    if kind.demuxer == "avi" and stream.frames and stream.average_rate:
        return stream.frames / stream.average_rate  # its duration is corrected by the size of a file cut off
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    for key in ("DURATION", "DURATION-eng"):  # Matroska's statistics tags: 00:00:02.500000000
        hours, _, rest = stream.metadata.get(key, "").partition(":")
        minutes, _, seconds = rest.partition(":")
        try:
            return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
        except ValueError:
            continue
    return None


def _length(container: InputContainer, stream: VideoStream, kind: ClipKind, *, max_frames: int) -> _Length:
    seconds = video_duration(stream, kind)
    if seconds is None and container.duration:
        seconds = container.duration * _MICROSECOND
    if kind.demuxer == "mov" and 0 < stream.frames <= max_frames:
        # The index knows what an edit list hides; the header's count does not.
        index = list(islice(stream.index_entries, 2 * max_frames))
        steps = [after.timestamp - before.timestamp for before, after in pairwise(index)]
        variable = bool(steps) and max(steps) - min(steps) > 1  # one tick of difference is rounding
        return _Length(sum(not entry.is_discard for entry in index) or None, seconds, variable)
    return _Length(stream.frames or _tagged_count(stream), seconds, False if kind.demuxer == "avi" else None)


def _tagged_count(stream: VideoStream) -> int | None:
    count = stream.metadata.get("NUMBER_OF_FRAMES") or stream.metadata.get("NUMBER_OF_FRAMES-eng") or ""
    return int(count) if count.isdecimal() else None


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame:
    failures: list[str] = []

    def note_failure(message: str) -> None:
        failures.append(message)
        if len(failures) >= _HOPELESS:
            raise CorruptMediaError(_no_frame(path, message))

    try:
        for frame in lenient_frames(container.demux(stream), stream, on_error=note_failure):
            return frame
    except av.FFmpegError as exc:
        failures.append(ffmpeg_message(exc))
    raise CorruptMediaError(_no_frame(path, failures[-1] if failures else "it holds none"))


def _no_frame(path: Path, reason: str) -> str:
    return (
        f"No frame of {path.name} can be decoded ({reason}): it is damaged, cut off or empty. Get the file again from"
        " where it came."
    )


def _container_info(
    container: InputContainer,
    stream: VideoStream,
    kind: ClipKind,
    *,
    length: _Length,
    frame: VideoFrame,
    size_bytes: int,
) -> ClipInfo:
    orientation = frame_orientation(frame)
    width, height = orientation.size(frame.width, frame.height)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    sounds = audio_streams(container)
    return ClipInfo(
        format=kind.name,
        codec=stream.codec_context.codec.canonical_name,
        width=width,
        height=height,
        fps=_average_rate(stream, kind, length),
        frame_count=length.frames,
        duration_s=None if length.seconds is None else float(length.seconds),
        has_audio=bool(sounds),
        audio_codec=sounds[0].codec_context.codec.canonical_name if sounds else None,
        size_bytes=size_bytes,
        is_variable_rate=length.variable,
        pixel_aspect=1 / aspect if orientation.transpose else aspect,
        time_base=stream.time_base or Fraction(1, 1000),
        notes=tuple(frame_notes(frame)),
    )


def _average_rate(stream: VideoStream, kind: ClipKind, length: _Length) -> Fraction:
    if (length.variable or kind == GIF) and length.frames and length.seconds:
        return (length.frames / length.seconds).limit_denominator(1001)
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= _FASTEST_FPS:
            return Fraction(rate)
    return _DEFAULT_FPS


def _webp_info(path: Path, limits: ClipLimits, size_bytes: int) -> ClipInfo:
    header = read_webp_header(path, max_frames=limits.max_frames)
    if not header.animated:
        raise UnsupportedFormatError(f"{path.name} is a still picture, not a clip. Use it as an image.")
    check_frame_size(path.name, header.width, header.height, limits.max_frame_pixels)
    seconds = sum(header.durations, Fraction(0))
    check_length(path.name, len(header.durations), seconds, limits=limits)
    return ClipInfo(
        format="webp",
        codec="webp",
        width=header.width,
        height=header.height,
        fps=(len(header.durations) / seconds).limit_denominator(1001),
        frame_count=len(header.durations),
        duration_s=float(seconds),
        has_audio=False,
        audio_codec=None,
        size_bytes=size_bytes,
        is_variable_rate=len(set(header.durations)) > 1,
    )
