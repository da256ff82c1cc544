"""TIFF out: grey or RGB, 8 or 16 bits, with or without alpha, with profile and camera data.

Little-endian unless the camera data is big-endian (its values are copied as they are); deflated strips with the
horizontal predictor, compressed on all cores; BigTIFF where 4 GiB could be passed. No library at hand writes all of
16 bits, alpha, profile and the nested camera data. Source: TIFF 6.0 (Adobe, 1992); Exif 3.0, 4.6.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

import numpy as np

from irss_core.media.bands import deflate_strategy, in_order, row_bands
from irss_core.media.exif import EXIF_DIRECTORY, ORIENTATION, split_block
from irss_core.media.ifd import LONG, LONG8, RATIONAL, SHORT, UNDEFINED, Field, Layout, integer_field, pack_directory
from irss_core.media.picture import Pixels
from irss_core.media.tiff_page import (
    BITS,
    BLACK_IS_ZERO,
    COMPRESSION,
    EXTRA_SAMPLES,
    ICC,
    LENGTH,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    RESOLUTION_UNIT,
    RESOLUTION_X,
    RESOLUTION_Y,
    RGB,
    ROWS_PER_STRIP,
    SAMPLE_FORMAT,
    SAMPLES,
    STRIP_BYTES,
    STRIP_OFFSETS,
    UNASSOCIATED,
    WIDTH,
)

MAX_SIDE = 2**31 - 1

_DEFLATE, _HORIZONTAL, _CONTIGUOUS, _UNSIGNED, _INCH = 8, 2, 1, 1, 2
_LEVEL = 1
_CLASSIC_LIMIT = 2**32 - 2**26  # of samples: leaves room for deflate's overhead on noise, profile and tags


def write_tiff(stream: BinaryIO, samples: Pixels, *, icc_profile: bytes | None, exif: bytes | None) -> None:
    """Write HxWxC ``uint8`` or ``uint16`` samples (C: 1 grey, 2 with alpha, 3 RGB, 4 with alpha) as a TIFF."""
    camera, image_fields, exposure = split_block(exif) if exif else (Layout(), {}, {})
    layout = Layout(camera.order, big=samples.nbytes > _CLASSIC_LIMIT)
    stream.write(_header(layout, directory_at=0))
    bands = list(row_bands(samples))
    offsets, lengths = [], []
    for strip in in_order(lambda rows: _deflated(samples, rows, layout), bands):
        offsets.append(stream.tell())
        lengths.append(len(strip))
        stream.write(strip)
    fields = _structure(samples, layout, rows_per_strip=bands[0].stop, offsets=offsets, lengths=lengths)
    if icc_profile:
        fields[ICC] = Field(UNDEFINED, len(icc_profile), icc_profile)
    fields |= image_fields | {ORIENTATION: integer_field(layout, SHORT, [1])}
    _append_directories(stream, layout, fields, exposure)


def _header(layout: Layout, *, directory_at: int) -> bytes:
    version = layout.pack("HHH", 43, 8, 0) if layout.big else layout.pack("H", 42)
    return (b"II" if layout.order == "<" else b"MM") + version + layout.pack("P", directory_at)


def _deflated(samples: Pixels, rows: slice, layout: Layout) -> bytes:
    """The band's rows, each sample less the one to its left, in the file's byte order, deflated."""
    band = samples[rows]
    differences = np.empty_like(band)
    differences[:, 0] = band[:, 0]
    np.subtract(band[:, 1:], band[:, :-1], out=differences[:, 1:])
    stored = differences.astype(band.dtype.newbyteorder(layout.order), copy=False)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, 9, deflate_strategy(samples))
    return compressor.compress(stored.tobytes()) + compressor.flush()


def _structure(
    samples: Pixels, layout: Layout, *, rows_per_strip: int, offsets: list[int], lengths: list[int]
) -> dict[int, Field]:
    height, width, channels = samples.shape
    word = LONG8 if layout.big else LONG
    numbers = {
        WIDTH: (LONG, [width]),
        LENGTH: (LONG, [height]),
        BITS: (SHORT, [8 * samples.dtype.itemsize] * channels),
        COMPRESSION: (SHORT, [_DEFLATE]),
        PHOTOMETRIC: (SHORT, [RGB if channels >= 3 else BLACK_IS_ZERO]),
        STRIP_OFFSETS: (word, offsets),
        SAMPLES: (SHORT, [channels]),
        ROWS_PER_STRIP: (LONG, [rows_per_strip]),
        STRIP_BYTES: (word, lengths),
        RESOLUTION_X: (RATIONAL, [72, 1]),
        RESOLUTION_Y: (RATIONAL, [72, 1]),
        PLANAR: (SHORT, [_CONTIGUOUS]),
        RESOLUTION_UNIT: (SHORT, [_INCH]),
        PREDICTOR: (SHORT, [_HORIZONTAL]),
        SAMPLE_FORMAT: (SHORT, [_UNSIGNED] * channels),
    }
    if channels in (2, 4):
        numbers[EXTRA_SAMPLES] = (SHORT, [UNASSOCIATED])
    return {tag: integer_field(layout, kind, values) for tag, (kind, values) in numbers.items()}


def _append_directories(stream: BinaryIO, layout: Layout, fields: dict[int, Field], exposure: dict[int, Field]) -> None:
    """Write the tag tables behind the strips, and point the header at the first."""
    stream.write(b"\x00" * (stream.tell() % 2))
    directory_at = stream.tell()
    if exposure:
        pointer = LONG8 if layout.big else LONG
        fields[EXIF_DIRECTORY] = integer_field(layout, pointer, [0])
        exposure_at = directory_at + len(pack_directory(fields, layout, directory_at))
        fields[EXIF_DIRECTORY] = integer_field(layout, pointer, [exposure_at])
        stream.write(pack_directory(fields, layout, directory_at) + pack_directory(exposure, layout, exposure_at))
    else:
        stream.write(pack_directory(fields, layout, directory_at))
    stream.seek(0)
    stream.write(_header(layout, directory_at=directory_at))
