"""Picture files built byte by byte: independent of the code under test, and none kept in the repository."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of channels
POSITION_MARK = b"48.8584N-SECRET"
THUMBNAIL_MARK = b"THUMBNAIL-PIXELS"
MAKER_MARK = b"MAKER-NOTE-BYTES"
COMMENT_MARK = b"ASCII\x00\x00\x00a comment worth keeping"

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def samples(
    height: int, width: int, channels: int, dtype: npt.DTypeLike = np.uint8, *, seed: int = 0
) -> npt.NDArray[Any]:
    """HxWxC over the full range, every value random: nothing about it survives a wrong order or a lost byte."""
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(0, info.max + 1, (height, width, channels)).astype(dtype)


def smooth(height: int, width: int, channels: int, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
    """HxWxC of slow gradients, which lossy formats keep well."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [0.5 + 0.45 * np.sin(2 * np.pi * (x * (c + 1) / (4 * width) + y / (3 * height))) for c in range(channels)]
    return np.round(np.stack(waves, axis=2) * np.iinfo(dtype).max).astype(dtype)


def png_chunk(kind: bytes, data: bytes, *, wrong_checksum: bool = False) -> bytes:
    checksum = zlib.crc32(kind + data) ^ wrong_checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_header(width: int, height: int, depth: int, color_type: int, *, interlaced: bool = False) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced)))


def png_from_rows(header: bytes, rows: Iterable[bytes], *, extra: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of unfiltered rows; ``extra`` chunks stand before the image data, ``after`` behind it."""
    data = zlib.compress(b"".join(b"\x00" + row for row in rows))
    return PNG_SIGNATURE + header + extra + png_chunk(b"IDAT", data) + after + png_chunk(b"IEND", b"")


def png(pixels: npt.NDArray[Any], *, extra: bytes = b"", after: bytes = b"", interlaced: bool = False) -> bytes:
    """HxWxC ``uint8`` or ``uint16`` as an unfiltered PNG, optionally with Adam7 interlacing."""
    height, width, channels = pixels.shape
    header = png_header(width, height, 8 * pixels.dtype.itemsize, PNG_COLOR_TYPE[channels], interlaced=interlaced)
    stored = pixels.astype(pixels.dtype.newbyteorder(">"))
    passes = [stored[y::dy, x::dx] for x, y, dx, dy in _ADAM7] if interlaced else [stored]
    rows = [row.tobytes() for part in passes if part.size for row in part]
    return png_from_rows(header, rows, extra=extra, after=after)


def packed_png(values: npt.NDArray[Any], depth: int, color_type: int, *, extra: bytes = b"") -> bytes:
    """HxW small numbers as a grey or palette PNG of 1, 2 or 4 bits."""
    height, width = values.shape
    bits = (values[..., None].astype(np.uint8) >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1
    rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    return png_from_rows(png_header(width, height, depth, color_type), rows, extra=extra)


def ifd(order: str, fields: Sequence[tuple[int, int, int, bytes]], offset: int, following: int = 0) -> bytes:
    """A TIFF directory at ``offset``; a field is tag, type, count, value bytes."""
    out = struct.pack(order + "H", len(fields))
    at = offset + 2 + 12 * len(fields) + 4
    values = b""
    for tag, kind, count, data in sorted(fields):
        out += struct.pack(order + "HHI", tag, kind, count)
        if len(data) <= 4:
            out += data.ljust(4, b"\x00")
        else:
            out += struct.pack(order + "I", at + len(values))
            values += data + b"\x00" * (len(data) % 2)
    return out + struct.pack(order + "I", following) + values


def exif(orientation: int = 1, *, order: str = "<") -> bytes:
    """A camera's EXIF block (with its ``Exif`` prefix): settings, a position, maker notes, a thumbnail."""

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    exposure = [
        (0x829A, 5, 1, struct.pack(order + "II", 1, 250)),
        (0x927C, 7, len(MAKER_MARK), MAKER_MARK),
        (0x9286, 7, len(COMMENT_MARK), COMMENT_MARK),
        (0xA002, 4, 1, long(4000)),
        (0xA003, 4, 1, long(3000)),
    ]
    position = [(0, 1, 4, b"\x02\x03\x00\x00"), (0x1B, 7, len(POSITION_MARK), POSITION_MARK)]
    thumbnail = [(513, 4, 1, long(8)), (514, 4, 1, long(len(THUMBNAIL_MARK)))]

    def image(exposure_at: int, position_at: int) -> list[tuple[int, int, int, bytes]]:
        return [
            (271, 2, 9, b"ACME Ltd\x00"),
            (274, 3, 1, short(orientation)),
            (700, 1, 20, b"<x:xmpmeta gps here>"),
            (0x8769, 4, 1, long(exposure_at)),
            (0x8825, 4, 1, long(position_at)),
        ]

    exposure_at = 8 + len(ifd(order, image(0, 0), 8))
    position_at = exposure_at + len(ifd(order, exposure, exposure_at))
    thumbnail_at = position_at + len(ifd(order, position, position_at))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return b"".join(
        [
            b"Exif\x00\x00",
            head,
            ifd(order, image(exposure_at, position_at), 8, following=thumbnail_at),
            ifd(order, exposure, exposure_at),
            ifd(order, position, position_at),
            ifd(order, thumbnail, thumbnail_at),
            THUMBNAIL_MARK,
        ]
    )


def tiff(fields: dict[int, tuple[int, Sequence[int]]], data: bytes, *, order: str = "<", following: int = 0) -> bytes:
    """A one-page TIFF: ``data`` at byte 8, then the directory; a field is its type (1, 3 or 4) and values."""
    codes = {1: "B", 3: "H", 4: "I"}
    packed = [
        (tag, kind, len(values), struct.pack(f"{order}{len(values)}{codes[kind]}", *values))
        for tag, (kind, values) in fields.items()
    ]
    at = 8 + len(data) + len(data) % 2
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, at)
    return head + data + b"\x00" * (len(data) % 2) + ifd(order, packed, at, following)


def tiff_fields(width: int, height: int, *, bits: int = 8, channels: int = 1, size: int | None = None) -> dict:
    """The fields of an uncompressed one-strip TIFF whose pixels are at byte 8."""
    return {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * channels),
        259: (3, [1]),
        262: (3, [2 if channels >= 3 else 1]),
        273: (4, [8]),
        277: (3, [channels]),
        278: (4, [height]),
        279: (4, [size if size is not None else width * height * channels * bits // 8]),
    }


def cmyk_profile() -> bytes:
    """A made-up ink profile in which cyan alone prints green, so that a conversion through it cannot be mistaken."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, -1).T  # of the cube of inks C, M, Y, K
    lab = np.array([[255, 128, 128]] * 16, np.uint8)  # paper white; L is 0..255, a and b are offset by 128
    lab[(corners[:, 0] == 1)] = (150, 60, 180)
    lab[(corners[:, 3] == 1)] = (10, 128, 128)
    curve = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1\x00\x00\x00\x00" + bytes([4, 3, 2, 0]) + identity + curve * 4 + lab.tobytes() + curve * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", [(b"A2B0", table)])


def grey_profile() -> bytes:
    """A grey profile with gamma 1: its numbers are light itself, so that grey 128 shows as sRGB 188."""
    linear = b"curv" + struct.pack(">III", 0, 0, 0)
    white = b"XYZ \x00\x00\x00\x00" + struct.pack(">3i", 63190, 65536, 54061)
    return _profile(b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", linear), (b"wtpt", white)])


def _profile(kind: bytes, space: bytes, connection: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + b"\x00" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"test", 0x02400000, kind, space, connection)
    head = head.ljust(36, b"\x00") + b"acsp"
    head = head.ljust(68, b"\x00") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\x00") + table + body
