"""Clips out: frames at given times into MP4, MOV, MKV, WebM or GIF, with the source's sound; all of it or nothing."""

from __future__ import annotations

import errno
import math
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.codec.context import Flags, ThreadType
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from irss_core.errors import InvalidOptionError, OutputExistsError, ResourceError, UnsupportedFormatError
from irss_core.media.clip_files import ffmpeg_message
from irss_core.media.clip_pixels import MATRIX_BT709, RANGE_LIMITED, LimitedRangeConverter, palette_frame
from irss_core.media.clip_sound import SoundCopier

_CRF_WORST = 51
_VP9_CRF_WORST = 63
_FINE_TICKS = 90_000
_MOST_TICKS = 2_000_000
_KEYFRAME_SECONDS = 2
_FASTEST_GIF_FPS = 50
_EXHAUSTED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.EFBIG, errno.EROFS})


@dataclass(frozen=True)
class _Container:
    """An output format: its ``name`` and ``muxer``, the video ``encoder``, and whether sides must be even."""

    name: str
    muxer: str
    encoder: str
    options: tuple[tuple[str, str], ...] = ()
    even_sides: bool = True


_FAST_START = (("movflags", "+faststart"),)
_CONTAINERS = {
    ".mp4": _Container("mp4", "mp4", "libx264", _FAST_START),
    ".m4v": _Container("mp4", "mp4", "libx264", _FAST_START),
    ".mov": _Container("mov", "mov", "libx264", _FAST_START),
    # Sound that starts with some samples of run-up lies before zero; the pictures must not be moved for its sake.
    ".mkv": _Container("mkv", "matroska", "libx264", (("avoid_negative_ts", "disabled"),)),
    ".webm": _Container("webm", "webm", "libvpx-vp9", even_sides=False),
    ".gif": _Container("gif", "gif", "gif", (("loop", "0"),), even_sides=False),
}
OUTPUT_SUFFIXES = frozenset(_CONTAINERS)


class ClipWriter:
    """A context manager that writes one clip; the file appears, complete, when the block ends without an exception.

    ``path``'s suffix chooses the format: ``.mp4``, ``.m4v``, ``.mov`` and ``.mkv`` hold H.264, ``.webm`` VP9, ``.gif``
    256 colours a frame. Video is yuv420p, BT.709, limited range. H.264 needs even sides: an odd one is made even by
    repeating the last column or row, and ``notes`` says so. ``crf`` is H.264's scale, 0 (best) to 51 (worst).

    Frames keep the times they are written with, to ``time_base`` (default: a fine one that holds ``fps`` exactly; MKV
    and WebM round to milliseconds, GIF to hundredths). The sound of ``audio_from`` is copied bit by bit where the
    format allows it, else coded anew, said in ``notes``. The encoder's ``threads`` are as many as fit the machine; a
    given number makes the same bytes on any machine.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        fps: Fraction,
        audio_from: Path | None = None,
        crf: int = 16,
        overwrite: bool = False,
        time_base: Fraction | None = None,
        pixel_aspect: Fraction = Fraction(1),
        threads: int | None = None,
    ) -> None:
        _check_options(width, height, fps=fps, crf=crf)
        fps = Fraction(fps).limit_denominator(100_000)
        self._path = Path(path)
        self._options = _Options(
            _container_for(self._path),
            width,
            height,
            fps=fps,
            time_base=time_base or fine_time_base(fps),
            crf=crf,
            pixel_aspect=Fraction(pixel_aspect).limit_denominator(10_000),
            audio_from=None if audio_from is None else Path(audio_from),
            threads=threads,
        )
        self._overwrite = overwrite
        self._frames = 0
        self._last_pts_s: Fraction | None = None
        self._recording: _Recording | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the output could not carry as it was, in plain sentences; complete once the block has ended."""
        return tuple(self._recording.notes) if self._recording else ()

    @property
    def frames_written(self) -> int:
        """How many frames were handed in so far."""
        return self._frames

    def __enter__(self) -> Self:
        """Start the file.

        Raises:
            OutputExistsError: there is a file already, and overwriting was not asked for.
            InvalidOptionError: the folder cannot be written to, or the encoder refuses this size.
        """
        if not self._overwrite and self._path.exists():
            raise _exists(self._path)
        self._temporary = _create_beside(self._path)
        with ExitStack() as undo:
            undo.callback(self._temporary.unlink, missing_ok=True)
            with self._translated_errors():
                self._recording = _Recording(self._temporary, self._options)
            undo.pop_all()
        return self

    def write(self, pixels: np.ndarray, pts_s: Fraction, *, duration_s: Fraction | None = None) -> None:
        """Append a frame, HxWx3 uint8 RGB, that appears at ``pts_s`` seconds.

        It stays until the next one; ``duration_s`` matters for the last frame alone (default: as long as the one
        before it).

        Raises:
            InvalidOptionError: the frame is of another size, or not later than the one before it.
            ResourceError: the disk or the memory is full.
        """
        if self._recording is None:
            raise InvalidOptionError("Frames can be written only inside the writer's with block.")
        self._check_frame(pixels, pts_s)
        with self._translated_errors():
            self._recording.add(pixels, Fraction(pts_s), duration_s)
        self._last_pts_s = pts_s
        self._frames += 1

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file and put it in place; after an exception leave nothing behind.

        Raises:
            InvalidOptionError: no frame was written.
            OutputExistsError: somebody else made the file meanwhile.
            ResourceError: the disk or the memory is full.
        """
        recording = self._recording
        if recording is None:
            return
        with ExitStack() as cleanup:
            cleanup.callback(self._temporary.unlink, missing_ok=True)
            cleanup.callback(recording.close)
            # Unlinked before it is closed: the muxer then does not even try to move a large index to its front.
            cleanup.callback(self._temporary.unlink, missing_ok=True)
            if exc_type is not None:
                return
            if not self._frames:
                raise InvalidOptionError(
                    f"No frame was written, so {self._path.name} was not made. Write at least one."
                )
            with self._translated_errors():
                recording.finish()
                _publish(self._temporary, self._path, overwrite=self._overwrite)

    def _check_frame(self, pixels: np.ndarray, pts_s: Fraction) -> None:
        expected = (self._options.height, self._options.width, 3)
        if pixels.shape != expected or pixels.dtype != np.uint8:
            raise InvalidOptionError(
                f"Frame {self._frames} is {pixels.shape} {pixels.dtype}; this clip takes {expected} uint8 RGB."
            )
        if pts_s < 0 or (self._last_pts_s is not None and pts_s <= self._last_pts_s):
            before = "0" if self._last_pts_s is None else f"{float(self._last_pts_s):.4f}"
            raise InvalidOptionError(
                f"Frame {self._frames} is to appear at {float(pts_s):.4f} s, which is not after {before} s. Write the"
                " frames in display order, the first at 0 or later."
            )

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """ffmpeg's and the system's errors as ours, with their own words."""
        try:
            yield
        except (MemoryError, OSError, av.FFmpegError) as exc:
            number = errno.ENOMEM if isinstance(exc, MemoryError) else getattr(exc, "errno", None)
            reason = f"{self._path.name} could not be written after {self._frames} frames: {ffmpeg_message(exc)}"
            if number in _EXHAUSTED:
                raise ResourceError(f"{reason}. Free some disk space or memory, then run it again.") from exc
            options = self._options
            raise InvalidOptionError(
                f"{reason}. The encoder {options.container.encoder} was given {options.width}x{options.height} frames;"
                " try a smaller size or another format."
            ) from exc


@dataclass(frozen=True)
class _Options:
    """What one output is to be."""

    container: _Container
    width: int
    height: int
    fps: Fraction
    time_base: Fraction
    crf: int
    pixel_aspect: Fraction
    audio_from: Path | None
    threads: int | None


@dataclass(frozen=True)
class _Held:
    """A frame that waits for the time of the next one, which tells how long it is shown."""

    frame: VideoFrame
    pts_s: Fraction
    duration_s: Fraction | None


class _Recording:
    """An open output: converts, encodes and muxes frames, and the sound beside them."""

    def __init__(self, path: Path, options: _Options) -> None:
        self.notes: list[str] = []
        container = options.container
        even = 2 if container.even_sides else 1
        self._padding = (-options.height % even, -options.width % even)
        self._time_base = Fraction(1, 100) if container.muxer == "gif" else options.time_base
        self._held: _Held | None = None
        self._step = 1 / options.fps
        self._last_tick = -1
        self._sound: SoundCopier | None = None
        muxer_options = dict(container.options)
        if container.muxer in ("mp4", "mov"):
            muxer_options |= exact_start(self._time_base)
        self._output = av.open(
            "file:" + os.fspath(path), mode="w", format=container.muxer, container_options=muxer_options
        )
        with ExitStack() as undo:
            undo.callback(self.close)
            self._start(options)
            undo.pop_all()

    def add(self, pixels: np.ndarray, pts_s: Fraction, duration_s: Fraction | None) -> None:
        """Take a frame; it is converted now, so that the caller may reuse the array, and coded with the next one."""
        bottom, right = self._padding
        if bottom or right:
            pixels = np.pad(pixels, ((0, bottom), (0, right), (0, 0)), mode="edge")
        frame = self._convert(np.ascontiguousarray(pixels))
        if self._held is not None:
            self._step = pts_s - self._held.pts_s
            self._encode(self._held, until_s=pts_s)
        self._held = _Held(frame, pts_s, duration_s)

    def finish(self) -> None:
        """Code what is held, write the rest of the sound, and complete the file."""
        if self._held is not None:
            self._encode(self._held, until_s=self._held.pts_s + (self._held.duration_s or self._step))
        self._mux(None)
        if self._sound is not None:
            self._sound.feed(None)
            self.notes += [note for note in self._sound.notes if note not in self.notes]
        self._output.close()

    def close(self) -> None:
        """Let go of all files, finished or not."""
        if self._sound is not None:
            self._sound.close()
        with suppress(av.FFmpegError):
            self._output.close()

    def _start(self, options: _Options) -> None:
        width, height = options.width + self._padding[1], options.height + self._padding[0]
        if any(self._padding):
            self.notes.append(
                f"{options.width}x{options.height} was made {width}x{height} by repeating the last column or row: H.264"
                " needs even sides."
            )
        if options.container.muxer == "gif" and options.fps > _FASTEST_GIF_FPS:
            self.notes.append(f"Many viewers show GIFs of more than {_FASTEST_GIF_FPS} frames a second more slowly.")
        self._stream = _add_video(self._output, width, height, options=options, time_base=self._time_base)
        self._convert = palette_frame if options.container.muxer == "gif" else LimitedRangeConverter(width, height)
        if options.audio_from is not None:
            self._sound = SoundCopier(options.audio_from, self._output, container=options.container.name)
            self.notes += self._sound.notes
        self._stream.codec_context.open()  # now, so that a size it refuses is an error before any work is done

    def _encode(self, held: _Held, *, until_s: Fraction) -> None:
        tick = max(round(held.pts_s / self._time_base), self._last_tick + 1)
        self._last_tick = tick
        frame = held.frame
        frame.pts, frame.time_base = tick, self._time_base
        frame.duration = max(round(until_s / self._time_base) - tick, 1)
        self._mux(frame)

    def _mux(self, frame: VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            time = None if packet.pts is None else packet.pts * packet.time_base
            self._output.mux(packet)
            if self._sound is not None and time is not None:
                self._sound.feed(time)


def _add_video(
    output: OutputContainer, width: int, height: int, *, options: _Options, time_base: Fraction
) -> VideoStream:
    encoder = options.container.encoder
    stream = cast(
        VideoStream,
        output.add_stream(
            encoder,
            rate=options.fps,
            options=_encoder_options(encoder, options.crf, options.fps),
            width=width,
            height=height,
            time_base=time_base,
        ),
    )
    context = stream.codec_context
    context.flags |= Flags.frame_duration
    context.thread_type = ThreadType.AUTO  # PyAV's own default would make x264 cut every frame into slices
    if options.threads is not None:
        context.thread_count = options.threads
    context.sample_aspect_ratio = options.pixel_aspect
    if options.container.muxer == "gif":
        context.pix_fmt = "pal8"
    else:
        context.pix_fmt = "yuv420p"
        context.colorspace = context.color_primaries = context.color_trc = MATRIX_BT709
        context.color_range = RANGE_LIMITED
    return stream


def exact_start(time_base: Fraction) -> dict[str, str]:
    """The option without which MP4 and MOV round a start of the pictures after the sound's to milliseconds."""
    ticks = time_base.denominator
    return {"movie_timescale": str(ticks * -(-_FINE_TICKS // ticks))}


def fine_time_base(fps: Fraction) -> Fraction:
    """A unit of time in which frames at ``fps`` fall on whole ticks, and any others within some microseconds."""
    ticks = math.lcm(fps.numerator, _FINE_TICKS)
    if ticks > _MOST_TICKS:
        ticks = fps.numerator * -(-_FINE_TICKS // fps.numerator)
    return Fraction(1, ticks if ticks <= _MOST_TICKS else _FINE_TICKS)


def _container_for(path: Path) -> _Container:
    container = _CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UnsupportedFormatError(
            f"Clips cannot be written as {path.suffix or 'a file without a suffix'}; choose one of"
            f" {', '.join(sorted(OUTPUT_SUFFIXES))}."
        )
    return container


def _check_options(width: int, height: int, *, fps: Fraction, crf: int) -> None:
    if width < 1 or height < 1:
        raise InvalidOptionError(f"A clip of {width}x{height} is impossible; both sides must be at least 1.")
    if not 0 < fps <= 1000:
        raise InvalidOptionError(f"{float(fps):g} frames a second are impossible; choose more than 0 and at most 1000.")
    if not 0 <= crf <= _CRF_WORST:
        raise InvalidOptionError(f"crf is {crf}; it goes from 0 (lossless) to {_CRF_WORST} (worst).")


def _encoder_options(encoder: str, crf: int, fps: Fraction) -> dict[str, str]:
    """Options for quality ``crf``, with key frames close enough for a player to step and loop smoothly.

    No B-frames: with varying frame times they make MP4 understate its own duration, so that players cut the end off.
    """
    keyframe_distance = str(max(round(_KEYFRAME_SECONDS * fps), 1))
    if encoder == "libx264":
        return {"crf": str(crf), "preset": "fast", "bf": "0", "g": keyframe_distance}
    if encoder == "libvpx-vp9":
        quality = round(crf * _VP9_CRF_WORST / _CRF_WORST)
        return {
            "crf": str(quality),
            "b": "0",
            "deadline": "good",
            "cpu-used": "4",
            "row-mt": "1",
            "g": keyframe_distance,
        }
    return {}


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(f"{path} exists already and was left as it is. Choose another name, or allow overwriting.")


def _create_beside(path: Path) -> Path:
    """A new empty file in ``path``'s folder, with the usual permissions, under a name nobody uses."""
    temporary = path.with_name(f".irss-{secrets.token_hex(8)}.part")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as exc:
        raise InvalidOptionError(
            f"Nothing can be written to the folder {path.parent} ({exc.strerror}). Make it, or choose another."
        ) from exc
    return temporary


def _publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Flush ``temporary`` to the disk and give it its name, never over a file that must not be overwritten."""
    _sync(temporary)
    if overwrite:
        temporary.replace(path)
    else:
        try:
            path.hardlink_to(temporary)  # fails if the name was taken meanwhile, where a rename would overwrite
            temporary.unlink()
        except FileExistsError as exc:
            raise _exists(path) from exc
        except OSError as exc:  # a file system without hard links
            if path.exists():
                raise _exists(path) from exc
            temporary.replace(path)
    if os.name == "posix":
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
