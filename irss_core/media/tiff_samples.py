"""16-bit TIFF pixels in every layout and compression: what no library at hand does without reducing them to 8 bits.

libtiff (through Pillow) inflates the strips or tiles as plain bytes; putting them together to samples (byte order,
predictor, planes) is done in NumPy. Sources: TIFF 6.0 (Adobe, 1992), sections 3, 14 and 15.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import TiffImagePlugin

from irss_core.media.ifd import LONG, SHORT, IfdError, Layout, integer_field, pack_directory
from irss_core.media.picture import Pixels
from irss_core.media.source import Source, corrupt, decoder_errors
from irss_core.media.tiff_page import (
    BITS,
    BLACK_IS_ZERO,
    COMPRESSION,
    LENGTH,
    PHOTOMETRIC,
    PREDICTOR,
    RGB,
    ROWS_PER_STRIP,
    SAMPLES,
    SEPARATED,
    STRIP_BYTES,
    STRIP_OFFSETS,
    UNCOMPRESSED,
    WIDTH,
    Grid,
    Page,
)

_BAND_ROWS = 256
_DISGUISES = {4: SEPARATED, 3: RGB, 1: BLACK_IS_ZERO}
"""What bytes are passed off as, by channels: the more a pixel takes, the larger a strip below Pillow's own limit."""


@dataclass(frozen=True)
class _Part:
    """One strip or tile: where its bytes are, and where its pixels belong."""

    offset: int
    length: int
    rows: int  # stored
    top: int
    left: int
    plane: int


def read_samples(source: Source, page: Page) -> Pixels:
    """The first page's samples, HxWxC ``uint16`` as stored (C: colour, then alpha and whatever else).

    Raises:
        CorruptMediaError: parts are missing, cut off or damaged.
    """
    try:
        grid = page.grid()
        parts = _parts(source, page, grid)
    except IfdError as exc:
        raise corrupt(source.name, str(exc)) from exc
    samples = np.empty((page.height, page.width, page.samples), np.uint16)
    for part in parts:
        source.stream.seek(part.offset)
        data = source.stream.read(part.length)
        stored = _inflate(source, data, part.rows, grid.columns * grid.channels * 2, page.first(COMPRESSION, 1))
        channel = slice(part.plane, part.plane + 1) if grid.planes > 1 else slice(None)
        target = samples[part.top : part.top + grid.rows, part.left : part.left + grid.columns, channel]
        for top in range(0, len(target), _BAND_ROWS):
            band = target[top : top + _BAND_ROWS]
            band[...] = _values(stored[top : top + _BAND_ROWS], page, grid)[: len(band), : band.shape[1]]
    return samples


def _parts(source: Source, page: Page, grid: Grid) -> list[_Part]:
    """All parts, proved to be inside the file and not to share its bytes many times over."""
    offsets, lengths = page.part_offsets(grid), page.part_lengths(grid)
    end = max(offset + length for offset, length in zip(offsets, lengths, strict=True))
    if end > source.size_bytes:
        raise IfdError(f"its picture is said to reach byte {end:,} of {source.size_bytes:,}")
    if sum(lengths) > source.size_bytes:
        raise IfdError(f"its parts claim {sum(lengths):,} bytes in a file of {source.size_bytes:,}")
    parts = []
    for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        plane, position = divmod(index, grid.across * grid.down)
        row, column = divmod(position, grid.across)
        top = row * grid.rows
        stored_rows = grid.rows if grid.tiled else min(grid.rows, page.height - top)
        parts.append(_Part(offset, length, stored_rows, top, column * grid.columns, plane))
    return parts


def _values(stored: Pixels, page: Page, grid: Grid) -> Pixels:
    """Rows of bytes as RxCxS ``uint16``: byte order and horizontal predictor undone."""
    numbers = stored.view(">u2" if page.layout.order == ">" else "<u2").astype(np.uint16)
    numbers = numbers.reshape(len(stored), grid.columns, grid.channels)
    return np.cumsum(numbers, axis=1, dtype=np.uint16) if page.first(PREDICTOR, 1) == 2 else numbers


def _inflate(source: Source, data: bytes, rows: int, row_bytes: int, compression: int) -> Pixels:
    """One part's bytes, rows x row_bytes ``uint8``: libtiff is told they are a picture of 8 bits a channel."""
    if compression == UNCOMPRESSED:
        if len(data) < rows * row_bytes:
            raise corrupt(source.name, f"a part has {len(data):,} bytes of {rows * row_bytes:,}")
        return np.frombuffer(data, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    channels = next(n for n in _DISGUISES if row_bytes % n == 0)
    layout = Layout("<")
    directory_at = 8 + len(data) + len(data) % 2
    fields = {
        WIDTH: integer_field(layout, LONG, [row_bytes // channels]),
        LENGTH: integer_field(layout, LONG, [rows]),
        BITS: integer_field(layout, SHORT, [8] * channels),
        COMPRESSION: integer_field(layout, SHORT, [compression]),
        PHOTOMETRIC: integer_field(layout, SHORT, [_DISGUISES[channels]]),
        STRIP_OFFSETS: integer_field(layout, LONG, [8]),
        SAMPLES: integer_field(layout, SHORT, [channels]),
        ROWS_PER_STRIP: integer_field(layout, LONG, [rows]),
        STRIP_BYTES: integer_field(layout, LONG, [len(data)]),
    }
    header = b"II" + layout.pack("HI", 42, directory_at)
    wrapped = b"".join([header, data, b"\x00" * (len(data) % 2), pack_directory(fields, layout, directory_at)])
    with decoder_errors(source.name), TiffImagePlugin.TiffImageFile(BytesIO(wrapped)) as image:
        image.load()
        return np.asarray(image).reshape(rows, row_bytes)
