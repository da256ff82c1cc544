"""How many frames a GIF or pages a TIFF has, counted without decoding and with an end to the counting."""

from __future__ import annotations

from typing import BinaryIO

from irss_core.media.ifd import count_directories, read_layout

MAX_COUNTED = 100_000
"""Counting stops here; a longer animation is over every limit anyway."""

_MAX_GIF_BLOCKS = 2_000_000  # half a second; usual blocks of 255 bytes would make half a gigabyte
_EXTENSION, _IMAGE = 0x21, 0x2C


def count_gif_frames(data: bytes) -> int:
    """The frames of a GIF file; those before the first defect if it has one."""
    position = 13 + _palette_bytes(data[10:11])
    frames = blocks = 0
    while position + 10 < len(data) and frames < MAX_COUNTED:
        kind = data[position]
        if kind == _IMAGE:
            frames += 1
            position += 11 + _palette_bytes(data[position + 9 : position + 10])
        elif kind == _EXTENSION:
            position += 2
        else:
            break
        while position < len(data) and (length := data[position]):
            position += 1 + length
            blocks += 1
            if blocks > _MAX_GIF_BLOCKS:
                return frames
        position += 1
    return frames


def count_tiff_pages(stream: BinaryIO, size_bytes: int) -> int:
    """The pages of a TIFF file.

    Raises:
        IfdError: the list of pages is damaged at its beginning or runs in a circle.
    """
    layout, offset = read_layout(stream)
    return count_directories(stream, offset, layout, size_bytes=size_bytes, limit=MAX_COUNTED)


def _palette_bytes(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 128 else 0
