"""PNG in: every chunk checked, only the picture's own chunks handed to a decoder, 16 bits kept.

Pillow and FFmpeg decode the pixels, each from a PNG rebuilt of the checked header, palette and image data alone, so no
compressed text, profile or animation chunk of a hostile file reaches them. Pillow reduces 16-bit colour to 8 bits;
FFmpeg keeps it. Source: PNG, third edition (W3C, 2025).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO

import av
import numpy as np
from PIL import PngImagePlugin

from irss_core.media.color import MAX_ICC_BYTES, usable_profile
from irss_core.media.exif import read_exif
from irss_core.media.limits import ImageLimits
from irss_core.media.picture import Pixels
from irss_core.media.reading import Decoded, Inspected, image_samples, present, split_samples
from irss_core.media.source import Source, corrupt, decoder_errors

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6

_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
_MODES = {GREY: "L", RGB: "RGB", PALETTE: "P", GREY_ALPHA: "LA", RGB_ALPHA: "RGBA"}
_FFMPEG_LAYOUTS = {"gray16be": 1, "ya16be": 2, "rgb48be": 3, "rgba64be": 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

_PICTURE_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT"})
_SIDE_CHUNKS = frozenset({b"tRNS", b"iCCP", b"eXIf", b"acTL", b"cICP"})
_MAX_CHUNKS = 1_000_000
_MAX_SIDE_CHUNK = 16 * 1024 * 1024
_INFLATE_STEP = 1 << 20


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    offset: int  # of the chunk's data
    length: int


@dataclass(frozen=True)
class _Layout:
    """A PNG's header, and where the chunks we use are."""

    width: int
    height: int
    depth: int
    color_type: int
    interlaced: bool
    picture: list[_Chunk] = field(default_factory=list)
    side: dict[bytes, _Chunk] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return _CHANNELS[self.color_type]

    @property
    def inflated_bytes(self) -> int:
        """The exact length of the image data once inflated: each row, and the byte that names its filter."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        bits, total = self.depth * self.channels, 0
        for left, top, step_x, step_y in passes:
            columns = -(-(self.width - left) // step_x)
            rows = -(-(self.height - top) // step_y)
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * bits + 7) // 8)
        return total


def inspect_png(source: Source, limits: ImageLimits) -> Inspected:
    """The header's facts of a PNG whose chunks are all there.

    Raises:
        CorruptMediaError: a chunk is cut off, or the header impossible.
        LimitExceededError: too many pixels.
    """
    layout = _read_header(source)
    limits.check_size(source.name, layout.width, layout.height)
    _list_chunks(source, layout)
    exif = read_exif(_side_data(source, layout, b"eXIf"))
    animation = _side_data(source, layout, b"acTL")
    return Inspected(
        width=layout.width,
        height=layout.height,
        mode=_mode(layout),
        bit_depth=16 if layout.depth == 16 else 8,
        has_alpha=layout.color_type in (GREY_ALPHA, RGB_ALPHA) or b"tRNS" in layout.side,
        decode=lambda: _decode(source, layout, exif.block, exif.note),
        frames=max(1, int.from_bytes(animation[:4], "big")) if animation and len(animation) == 8 else 1,
        orientation=exif.orientation,
        exif=exif.block,
        icc_profile=_profile(source, layout)[0],
    )


def _mode(layout: _Layout) -> str:
    if layout.depth == 16:
        return "I;16" if layout.color_type == GREY else f"{_MODES[layout.color_type]};16"
    return "1" if (layout.color_type, layout.depth) == (GREY, 1) else _MODES[layout.color_type]


def _read_header(source: Source) -> _Layout:
    source.stream.seek(0)
    head = source.stream.read(33)
    if len(head) < 33:
        raise _cut_off(source)
    length, kind = struct.unpack(">I4s", head[8:16])
    if (length, kind) != (13, b"IHDR"):
        raise corrupt(source.name, "its header (IHDR) is missing")
    if zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        raise corrupt(source.name, "the checksum of its header (IHDR) is wrong")
    width, height, depth, color_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", head[16:29])
    if depth not in _DEPTHS.get(color_type, ()) or compression or filtering or interlace > 1:
        raise corrupt(source.name, f"its header names an impossible layout (colour type {color_type}, {depth} bits)")
    return _Layout(width, height, depth, color_type, bool(interlace))


def _list_chunks(source: Source, layout: _Layout) -> None:
    """Fill in where the chunks are, by their headers alone."""
    offset = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        source.stream.seek(offset)
        head = source.stream.read(8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or offset + 12 + length > source.size_bytes:
            raise _cut_off(source)
        chunk = _Chunk(head[4:], offset + 8, length)
        if chunk.kind == b"IEND":
            break
        if chunk.kind == b"IHDR" and layout.picture:
            raise corrupt(source.name, "it has a second header (IHDR)")
        if chunk.kind in _PICTURE_CHUNKS:
            layout.picture.append(chunk)
        elif chunk.kind in _SIDE_CHUNKS:
            layout.side.setdefault(chunk.kind, chunk)
        offset += 12 + length
    else:
        raise corrupt(source.name, f"it has more than {_MAX_CHUNKS:,} chunks")
    kinds = {chunk.kind for chunk in layout.picture}
    if b"IDAT" not in kinds:
        raise corrupt(source.name, "it has no image data (IDAT)")
    if layout.color_type == PALETTE and b"PLTE" not in kinds:
        raise corrupt(source.name, "it has no palette (PLTE)")


def _cut_off(source: Source) -> Exception:
    return corrupt(source.name, f"it ends after {source.size_bytes:,} bytes, before the picture is complete")


def _read_chunk(source: Source, chunk: _Chunk) -> bytes | None:
    """The chunk's data, or None if its checksum is wrong."""
    source.stream.seek(chunk.offset)
    data = source.stream.read(chunk.length)
    checksum = int.from_bytes(source.stream.read(4), "big")
    return data if zlib.crc32(data, zlib.crc32(chunk.kind)) == checksum else None


def _side_data(source: Source, layout: _Layout, kind: bytes) -> bytes | None:
    """The data of a chunk that a picture can do without; None if it is missing, damaged or absurdly large."""
    chunk = layout.side.get(kind)
    return _read_chunk(source, chunk) if chunk and chunk.length <= _MAX_SIDE_CHUNK else None


def _decode(source: Source, layout: _Layout, exif: bytes | None, exif_note: str | None) -> Decoded:
    needed = _PICTURE_CHUNKS if layout.color_type == PALETTE else _PICTURE_CHUNKS - {b"PLTE"}
    chunks = [(chunk.kind, _checked(source, chunk)) for chunk in layout.picture if chunk.kind in needed]
    _require_complete(source, layout, (data for kind, data in chunks if kind == b"IDAT"))
    transparency = _side_data(source, layout, b"tRNS")
    if layout.color_type == PALETTE and transparency:
        after_palette = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
        chunks.insert(after_palette, (b"tRNS", transparency[:256]))
    rebuilt = b"".join([SIGNATURE, *(pack_chunk(kind, data) for kind, data in chunks), pack_chunk(b"IEND", b"")])
    del chunks
    color, alpha = (
        split_samples(_decode_16bit(source, layout, rebuilt)) if layout.depth == 16 else _decode_8bit(source, rebuilt)
    )
    key_note = None
    if layout.color_type in (GREY, RGB) and b"tRNS" in layout.side:
        alpha = _keyed_alpha(color, layout, transparency)
        key_note = None if alpha is not None else "The transparency (tRNS) is damaged and was left out."
    profile, profile_note = _profile(source, layout)
    hdr = b"cICP" in layout.side
    return Decoded(
        color,
        alpha,
        profile,
        exif,
        present(
            exif_note,
            key_note,
            profile_note,
            "The file's HDR or wide-gamut tag (cICP) cannot be kept; the colours may look different." if hdr else None,
        ),
    )


def _checked(source: Source, chunk: _Chunk) -> bytes:
    data = _read_chunk(source, chunk)
    if data is None:
        raise corrupt(source.name, f"a checksum ({chunk.kind.decode('ascii')}) is wrong, so some bytes have changed")
    return data


def _require_complete(source: Source, layout: _Layout, parts: Iterable[bytes]) -> None:
    """Inflate the image data without keeping it, and compare its length with what the header asks for."""
    inflater, expected, total = zlib.decompressobj(), layout.inflated_bytes, 0
    with decoder_errors(source.name):
        for part in parts:
            pending = part
            while pending and total <= expected:
                total += len(inflater.decompress(pending, _INFLATE_STEP))
                pending = inflater.unconsumed_tail
    if total < expected:
        raise corrupt(source.name, f"its image data has {total:,} bytes of the {expected:,} its size needs")


def _decode_8bit(source: Source, rebuilt: bytes) -> tuple[Pixels, Pixels | None]:
    with decoder_errors(source.name), PngImagePlugin.PngImageFile(BytesIO(rebuilt)) as image:
        image.load()
        return image_samples(image)


def _decode_16bit(source: Source, layout: _Layout, rebuilt: bytes) -> Pixels:
    """HxWxC ``uint16`` in file order (grey or RGB, then alpha)."""
    decoder = av.CodecContext.create("png", "r")
    decoder.thread_count = 1  # no frame delay: the one packet gives the one frame
    try:
        frame = decoder.decode(av.Packet(rebuilt))[0]
    except (av.FFmpegError, IndexError) as exc:
        raise corrupt(source.name, "its image data cannot be decoded") from exc
    channels = _FFMPEG_LAYOUTS.get(frame.format.name)
    if channels != layout.channels or (frame.width, frame.height) != (layout.width, layout.height):
        raise corrupt(source.name, f"its image data decodes to something else ({frame.format.name})")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), dtype=">u2").reshape(frame.height, plane.line_size // 2)
    return rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels).astype(np.uint16)


def _keyed_alpha(color: Pixels, layout: _Layout, key: bytes | None) -> Pixels | None:
    """HxW alpha that hides the one colour ``key`` names, or None if the key does not fit the picture."""
    if key is None or len(key) != 2 * color.shape[2]:
        return None
    full = int(np.iinfo(color.dtype).max)
    largest = (1 << layout.depth) - 1
    named = [value * full // largest for value in struct.unpack(f">{color.shape[2]}H", key)]
    if max(named) > full:
        return None
    hidden = (color == np.array(named, dtype=color.dtype)).all(axis=2)
    return np.where(hidden, 0, full).astype(color.dtype)


def _profile(source: Source, layout: _Layout) -> tuple[bytes | None, str | None]:
    if b"iCCP" not in layout.side:
        return None, None
    data = _side_data(source, layout, b"iCCP") or b""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(data[data.index(b"\x00") + 2 :], MAX_ICC_BYTES + 1)
    except (zlib.error, ValueError):
        profile = b"damaged"
    return usable_profile(profile or b"damaged", "GRAY" if layout.color_type in (GREY, GREY_ALPHA) else "RGB")


def pack_chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
