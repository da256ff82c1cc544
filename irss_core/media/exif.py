"""Camera data (EXIF): orientation read, and a block that may travel on - without place, thumbnail and opaque parts.

What is kept is a list, not what is thrown away: a tag nobody listed may hold a position. Left out are the GPS
directory, the thumbnail directory, maker notes (undocumented, may hold a place or a preview, and break when moved),
and everything in which other standards are nested (XMP, IPTC, Photoshop, GeoTIFF).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from irss_core.media.ifd import (
    LONG,
    SHORT,
    Directory,
    Field,
    IfdError,
    Layout,
    integer_field,
    pack_directory,
    read_directory,
    read_layout,
)

PREFIX = b"Exif\x00\x00"
MAX_EXIF_BYTES = 65_533
"""What one JPEG segment holds; a block of camera settings is never larger."""

ORIENTATION, EXIF_DIRECTORY = 274, 34_665
_WIDTH_AND_HEIGHT = (0xA002, 0xA003)  # PixelXDimension, PixelYDimension

_LAST_EXIF_TYPE = 12

_RESOLUTION = frozenset({282, 283, 296})
_KEPT_IN_IMAGE = _RESOLUTION | {
    *(270, 271, 272, ORIENTATION, 305, 306, 315, 316, 318, 319, 33_432),  # description, make, model … copyright
    *(0x4746, 0x4749),  # rating
    *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords, subject as Windows writes them
}
_KEPT_IN_EXIF = frozenset(
    {
        *(0x829A, 0x829D, 0x8822, 0x8824, 0x8827, 0x8828, *range(0x8830, 0x8836)),  # exposure, sensitivity
        *(0x9000, 0x9003, 0x9004, *range(0x9010, 0x9013), 0x9101, 0x9102),  # version, times
        *(*range(0x9201, 0x920B), 0x9214, 0x9286, *range(0x9290, 0x9293)),  # shutter, lens, flash, user comment
        *(*range(0x9400, 0x9406), *range(0xA000, 0xA004), *range(0xA20B, 0xA218)),  # conditions, colour space, size
        *(*range(0xA300, 0xA303), *range(0xA401, 0xA40D), 0xA420, *range(0xA430, 0xA43D)),  # scene, ids, lens
        *(*range(0xA460, 0xA463), 0xA500),
    }
)


@dataclass(frozen=True)
class CameraData:
    """What an EXIF block says: the orientation (1..8), and the block that may travel on, or None if none may."""

    orientation: int = 1
    block: bytes | None = None
    note: str | None = None


def read_exif(block: bytes | None) -> CameraData:
    """The orientation and the cleaned block of an EXIF block, with or without its ``Exif\\0\\0`` prefix.

    A damaged block is no reason to refuse a picture: it is left out, and the note says so.
    """
    if not block:
        return CameraData()
    while block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    stream = BytesIO(block)
    try:
        layout, offset = read_layout(stream)
        return read_camera_data(stream, offset, layout, size_bytes=len(block))
    except IfdError as exc:
        return CameraData(note=f"The camera data (EXIF) is damaged ({exc}) and was left out.")


def read_camera_data(stream: BinaryIO, offset: int, layout: Layout, *, size_bytes: int) -> CameraData:
    """The same of a directory inside a TIFF file.

    Raises:
        IfdError: the directory at ``offset`` is damaged; one nested in it is left out instead.
    """
    wanted = _KEPT_IN_IMAGE | {EXIF_DIRECTORY}
    fields = dict(read_directory(stream, offset, layout, size_bytes=size_bytes, wanted=wanted).fields)
    orientation = _orientation(fields, layout)
    nested: Directory | None = None
    if pointer := fields.pop(EXIF_DIRECTORY, None):
        try:
            (at,) = pointer.integers(layout)
            nested = read_directory(stream, at, layout, size_bytes=size_bytes, wanted=_KEPT_IN_EXIF)
        except (IfdError, ValueError):
            nested = None
    fields.pop(ORIENTATION, None)
    if not nested and fields.keys() <= _RESOLUTION:
        return CameraData(orientation)  # dots per inch alone are no camera data, and wrong after scaling
    fields[ORIENTATION] = integer_field(layout, SHORT, [1])
    block = _pack_block(fields, nested.fields if nested else {}, layout)
    if len(block) > MAX_EXIF_BYTES:
        size = f"{len(block):,} bytes, over {MAX_EXIF_BYTES:,}"
        return CameraData(orientation, note=f"The camera data (EXIF) has {size}; it was left out.")
    return CameraData(orientation, block)


def split_block(block: bytes) -> tuple[Layout, dict[int, Field], dict[int, Field]]:
    """A cleaned block's byte order and fields: those of the picture, those of the exposure."""
    stream = BytesIO(block[len(PREFIX) :])
    layout, offset = read_layout(stream)
    size = len(block)
    image = dict(
        read_directory(stream, offset, layout, size_bytes=size, wanted=_KEPT_IN_IMAGE | {EXIF_DIRECTORY}).fields
    )
    pointer = image.pop(EXIF_DIRECTORY, None)
    if pointer is None:
        return layout, image, {}
    nested = read_directory(stream, pointer.integers(layout)[0], layout, size_bytes=size, wanted=_KEPT_IN_EXIF)
    return layout, image, dict(nested.fields)


def with_size(block: bytes, width: int, height: int) -> bytes:
    """The cleaned block, its record of the picture's size (if it has one) brought up to date."""
    layout, image, exposure = split_block(block)
    for tag, side in zip(_WIDTH_AND_HEIGHT, (width, height), strict=True):
        if tag in exposure:
            exposure[tag] = integer_field(layout, LONG, [side])
    return _pack_block(image, exposure, layout)


def _pack_block(image: Mapping[int, Field], exposure: Mapping[int, Field], layout: Layout) -> bytes:
    plain = Layout(layout.order)  # EXIF has no 8-byte offsets, and no types for them
    fields = {tag: field for tag, field in image.items() if field.kind <= _LAST_EXIF_TYPE}
    exposure = {tag: field for tag, field in exposure.items() if field.kind <= _LAST_EXIF_TYPE}
    if exposure:
        fields[EXIF_DIRECTORY] = integer_field(plain, LONG, [0])
        nested_at = 8 + len(pack_directory(fields, plain, 8))
        fields[EXIF_DIRECTORY] = integer_field(plain, LONG, [nested_at])
        nested = pack_directory(exposure, plain, nested_at)
    else:
        nested = b""
    header = (b"II" if plain.order == "<" else b"MM") + plain.pack("HI", 42, 8)
    return PREFIX + header + pack_directory(fields, plain, 8) + nested


def _orientation(fields: dict[int, Field], layout: Layout) -> int:
    try:
        value = fields[ORIENTATION].integers(layout)[0] if ORIENTATION in fields else 1
    except IfdError:
        return 1
    return value if 1 <= value <= 8 else 1
