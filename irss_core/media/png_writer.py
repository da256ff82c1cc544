"""PNG out: grey or RGB, 8 or 16 bits, with or without alpha, with profile and camera data.

Written here because no library at hand writes 16-bit colour or 16-bit grey with alpha together with a profile; and the
pixels are filtered and deflated in bands on all cores, where encoders use one. Each row is predicted from the one above
(filter "up"), at zlib's fastest level: measured on photos, text and 4x enlargements, choosing a filter for every row
saved under 5 % and took twice as long. Sources: PNG, third edition (W3C, 2025); RFC 1950 and 1951.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np

from irss_core.media.bands import deflate_strategy, in_order, row_bands
from irss_core.media.exif import PREFIX
from irss_core.media.picture import Pixels
from irss_core.media.png_reader import GREY, GREY_ALPHA, RGB, RGB_ALPHA, SIGNATURE, pack_chunk

MAX_SIDE = 2**31 - 1

_COLOR_TYPES = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGB_ALPHA}
_FILTER_UP = 2
_LEVEL = 1
_ZLIB_HEADER = b"\x78\x01"  # 32 KiB window, fastest
_LAST_BLOCK = b"\x03\x00"  # an empty one that ends a deflate stream


def write_png(stream: BinaryIO, samples: Pixels, *, icc_profile: bytes | None, exif: bytes | None) -> None:
    """Write HxWxC ``uint8`` or ``uint16`` samples (C: 1 grey, 2 with alpha, 3 RGB, 4 with alpha) as a PNG."""
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.dtype.itemsize, _COLOR_TYPES[channels], 0, 0, 0)
    stream.write(SIGNATURE + pack_chunk(b"IHDR", header))
    if icc_profile:
        stream.write(pack_chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc_profile)))
    if exif:
        stream.write(pack_chunk(b"eXIf", exif.removeprefix(PREFIX)))
    stream.write(pack_chunk(b"IDAT", _ZLIB_HEADER))
    checksum = zlib.adler32(b"")
    for filtered, deflated in in_order(lambda rows: _deflated(samples, rows), row_bands(samples)):
        checksum = zlib.adler32(filtered, checksum)
        stream.write(pack_chunk(b"IDAT", deflated))
    stream.write(pack_chunk(b"IDAT", _LAST_BLOCK + struct.pack(">I", checksum)))
    stream.write(pack_chunk(b"IEND", b""))


def _deflated(samples: Pixels, rows: slice) -> tuple[bytes, bytes]:
    """The band's filtered bytes, and the same as deflate blocks that may stand between others."""
    filtered = _filtered(samples, rows)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 9, deflate_strategy(samples))
    return filtered, compressor.compress(filtered) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _filtered(samples: Pixels, rows: slice) -> bytes:
    """The band's rows as PNG stores them: a filter byte, then each byte less the one above it."""
    above = max(rows.start - 1, 0)
    stored = np.ascontiguousarray(samples[above : rows.stop]).astype(samples.dtype.newbyteorder(">"), copy=False)
    stored = stored.view(np.uint8).reshape(stored.shape[0], -1)
    if rows.start == 0:
        stored = np.concatenate([np.zeros_like(stored[:1]), stored])
    filtered = np.empty((len(stored) - 1, stored.shape[1] + 1), np.uint8)
    filtered[:, 0] = _FILTER_UP
    np.subtract(stored[1:], stored[:-1], out=filtered[:, 1:])
    return filtered.tobytes()
