"""What a file is, by its first bytes, and how a clip is opened so that nothing but that one file is ever read.

ffmpeg reads far more than clips: playlists that name other files and addresses, image sequences, capture devices.
None of that can be reached from here. The kind is recognised by a signature of ours, the demuxer for that kind is
forced (no probing takes place), an allow-list of demuxers and the ``file`` protocol alone stand behind it, and the
name is passed with an explicit ``file:`` so that it can never be taken for an address.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from irss_core.errors import CorruptMediaError, InputError, LimitExceededError, UnsupportedFormatError

READABLE = "MP4, MOV, MKV, WebM, AVI, MPG, animated GIF and animated WebP"
DEMUXERS = ("mov", "matroska", "webm", "avi", "mpeg", "mpegvideo", "mpegts", "gif")

_HEAD_BYTES = 1024
_PEEKED_PACKETS = 500
_STILL_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
_MOVIE_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_FOREIGN = (
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"ID3", "a sound file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a sound file"),
    (b"RIFF", "a sound file"),
    (b"FLV", "a Flash video"),
)


@dataclass(frozen=True)
class ClipKind:
    """A kind of clip: ``name`` as users know it, ``demuxer`` as ffmpeg calls its reader (None: Pillow reads it).

    ``trusted_duration`` is False where the header holds no duration and ffmpeg only guesses it. ``times`` says what the
    frames' times are worth: "stamped" on each; "counted" from the first, which is at zero; or "none" at all.
    """

    name: str
    demuxer: str | None
    trusted_duration: bool = True
    times: Literal["stamped", "counted", "none"] = "stamped"


WEBP = ClipKind("webp", None)
GIF = ClipKind("gif", "gif")
_SIGNATURES = {
    b"GIF8": GIF,
    b"\0\0\x01\xba": ClipKind("mpg", "mpeg", trusted_duration=False),
    b"\0\0\x01\xb3": ClipKind("mpg", "mpegvideo", trusted_duration=False, times="none"),
}


def read_head(path: Path) -> bytes:
    """The first bytes of a regular, non-empty file.

    Raises:
        InputError: there is no readable file at ``path``.
        CorruptMediaError: the file is empty.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path.name} is not a file but a folder or a device. Choose a clip file.")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as exc:  # ValueError: a NUL character in the name
        raise InputError(f"{path.name} cannot be read ({exc}). Check the name and your rights to it.") from exc
    if not head:
        raise CorruptMediaError(f"{path.name} is empty (0 bytes). Get the file again from where it came.")
    return head


def clip_kind(head: bytes) -> ClipKind | None:
    """The kind of clip a file's first bytes announce, or None; GIF and WebP may still turn out to be stills."""
    if head.startswith(b"\x1aE\xdf\xa3"):
        return ClipKind("webm" if b"webm" in head[:64] else "mkv", "matroska")
    if head.startswith(b"RIFF"):
        return {b"AVI ": ClipKind("avi", "avi", times="counted"), b"WEBP": WEBP}.get(head[8:12])
    if _is_transport_stream(head):
        return ClipKind("ts", "mpegts", trusted_duration=False)
    return _SIGNATURES.get(head[:4]) or _movie_kind(head)


def is_still_image(head: bytes) -> bool:
    """Whether the first bytes are those of a still image format that cannot be a clip here."""
    return head.startswith(_STILL_SIGNATURES) or bool(_brands(head) & {b"avif", b"avis"})


def unsupported(path: Path, head: bytes) -> UnsupportedFormatError:
    """The error for a file that is no clip, saying what it looks like and what is read."""
    return UnsupportedFormatError(
        f"{path.name} is not a clip: it looks like {_describe(head)}. Clips are read as {READABLE}; convert it to one."
    )


def open_clip(path: Path, kind: ClipKind, *, max_frame_pixels: int) -> InputContainer:
    """An open container of ``kind``, whose decoders refuse frames far over ``max_frame_pixels``; close it.

    Raises:
        CorruptMediaError: the header is damaged or missing.
    """
    # Decoders round frames up to whole blocks; the exact limit is checked on the header and on every frame.
    max_pixels = str(2 * max_frame_pixels + 65_536)
    try:
        container = av.open(
            "file:" + os.fspath(path),
            mode="r",
            format=kind.demuxer,
            options={
                "format_whitelist": ",".join(DEMUXERS),
                "protocol_whitelist": "file",
                "enable_drefs": "0",
                "max_pixels": max_pixels,
            },
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError) as exc:
        raise CorruptMediaError(
            f"{path.name} looks like {kind.name} but cannot be read ({ffmpeg_message(exc)}): it is damaged, or was cut"
            " off while it was saved or sent. Get the file again from where it came."
        ) from exc
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": max_pixels}
    return container


def find_video(container: InputContainer) -> VideoStream | None:
    """The clip's main video stream that can be decoded, or None; cover pictures of sound files do not count."""
    readable = [s for s in _videos(container) if s.codec_context is not None]
    best = container.streams.best("video")
    return next((s for s in readable if s is best), readable[0] if readable else None)


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The clip's main video stream.

    Raises:
        UnsupportedFormatError: there is no video, or none that can be decoded.
    """
    stream = find_video(container)
    if stream is not None:
        return stream
    if _videos(container):
        raise UnsupportedFormatError(
            f"The video in {path.name} is coded in a way this program has no decoder for. Convert it to H.264 first."
        )
    raise UnsupportedFormatError(f"{path.name} has no video in it, only sound or data. Choose a clip with pictures.")


def audio_streams(container: InputContainer) -> tuple[AudioStream, ...]:
    """The sound tracks of a clip that can be decoded."""
    contexts = ((stream, stream.codec_context) for stream in container.streams.audio)
    return tuple(s for s, c in contexts if c is not None and c.sample_rate > 0 and c.channels > 0)


def timeline_origin(path: Path, kind: ClipKind, *, max_frame_pixels: int) -> Fraction:
    """The file's time, in seconds, that is presented as zero.

    MPG and TS files begin at an arbitrary time: they are moved so that the first picture or sound is at zero, both by
    the same amount. A video that begins later than the sound keeps its distance; one before zero is moved to zero.
    """
    with open_clip(path, kind, max_frame_pixels=max_frame_pixels) as container:
        video = find_video(container)
        watched = (*((video,) if video else ()), *audio_streams(container))
        starts: dict[int, Fraction] = {
            s.index: s.start_time * s.time_base for s in watched if s.start_time is not None and s.time_base
        }
        if len(starts) < len(watched):  # Matroska's header does not tell: look at the first packets
            with suppress(av.FFmpegError):
                for packet in islice(container.demux(watched), _PEEKED_PACKETS):
                    if packet.pts is not None:
                        starts.setdefault(packet.stream_index, packet.pts * packet.time_base)
                    if len(starts) == len(watched):
                        break
    if starts and min(starts.values()) > 0:
        return min(starts.values())
    return min(starts.get(video.index, Fraction(0)) if video else Fraction(0), Fraction(0))


def lenient_frames(
    packets: Iterable[Packet[Any]], stream: VideoStream, *, on_error: Callable[[str], None]
) -> Iterator[VideoFrame]:
    """The frames of ``stream`` among ``packets``; what cannot be decoded goes to ``on_error`` in ffmpeg's words."""

    def decode(packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            return stream.decode(packet)
        except av.error.EOFError:
            return []
        except av.FFmpegError as exc:
            on_error(ffmpeg_message(exc))
            return []

    for packet in packets:
        # An empty packet would tell the decoder that the clip is over (PyAV ends every stream with one).
        if packet.stream_index == stream.index and packet.size:
            yield from decode(packet)
    yield from decode(None)


def check_file_size(path: Path, max_bytes: int) -> int:
    """The file's size in bytes.

    Raises:
        LimitExceededError: it is over ``max_bytes``.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise LimitExceededError(
            f"{path.name} is {size:,} bytes; at most {max_bytes:,} bytes are accepted. Shorten or compress the clip, or"
            " raise IRSS_MAX_CLIP_BYTES."
        )
    return size


def check_frame_size(name: str, width: int, height: int, max_frame_pixels: int) -> None:
    """Pass if a frame of ``width`` x ``height`` is within the limit.

    Raises:
        LimitExceededError: it is not.
    """
    if width * height > max_frame_pixels:
        raise LimitExceededError(
            f"{name} has frames of {width}x{height} = {width * height:,} pixels; at most {max_frame_pixels:,} are"
            " accepted. Scale the clip down, or raise IRSS_MAX_CLIP_FRAME_PIXELS."
        )


def ffmpeg_message(exc: BaseException) -> str:
    """ffmpeg's own words for an error, without PyAV's additions."""
    return str(getattr(exc, "strerror", None) or exc).lower()


def _videos(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _brands(head: bytes) -> frozenset[bytes]:
    if head[4:8] != b"ftyp":
        return frozenset()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset(head[i : i + 4] for i in (8, *range(16, size - 3, 4)))


def _movie_kind(head: bytes) -> ClipKind | None:
    if head[4:8] not in _MOVIE_ATOMS:
        return None
    brands = _brands(head)
    if brands & {b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"} and not brands & {b"isom", b"mp41", b"mp42"}:
        return None
    is_quicktime = head[8:12] == b"qt  " or not brands
    return ClipKind("mov" if is_quicktime else "mp4", "mov")


def _is_transport_stream(head: bytes) -> bool:
    return any(
        len(head) > start + 2 * step and all(head[start + i * step] == 0x47 for i in range(3))
        for start, step in ((0, 188), (4, 192))
    )


def _describe(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, description in _FOREIGN:
        if text[: len(signature)].lower() == signature.lower():
            return description
    if _brands(head):
        return "an image format that is not read here"
    if b"\0" not in head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "a text file"
    return "something this program does not know"
