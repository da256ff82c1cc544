"""TIFF directories (IFDs), the tag tables of TIFF files and EXIF blocks: read within bounds, packed anew.

Field values stay the bytes they were, so that what is kept is kept exactly.
Sources: TIFF 6.0 (Adobe, 1992) section 2; the BigTIFF layout as in libtiff; Exif 3.0 section 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGER_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_FIELDS = 65_535


class IfdError(ValueError):
    """A directory contradicts itself or the file it is in."""


@dataclass(frozen=True)
class Layout:
    """How numbers are stored: byte order, and 4-byte (TIFF) or 8-byte (BigTIFF) offsets."""

    order: Literal["<", ">"] = "<"
    big: bool = False

    @property
    def word(self) -> int:
        """Bytes of an offset; also how many bytes of a value fit into its field."""
        return 8 if self.big else 4

    @property
    def entry_bytes(self) -> int:
        """Bytes of one field's row in the table."""
        return 20 if self.big else 12

    def pack(self, codes: str, *values: int) -> bytes:
        """``values`` as ``struct`` packs them; ``P`` stands for an offset."""
        return struct.pack(self.order + codes.replace("P", "Q" if self.big else "I"), *values)

    def unpack(self, codes: str, data: bytes) -> tuple[int, ...]:
        """The integers in ``data``, which must be as long as ``codes`` says; ``P`` stands for an offset."""
        try:
            return struct.unpack(self.order + codes.replace("P", "Q" if self.big else "I"), data)
        except struct.error as exc:
            raise IfdError("a tag table ends too early") from exc


@dataclass(frozen=True)
class Field:
    """One field: TIFF type, number of values, and their bytes in the file's order."""

    kind: int
    count: int
    data: bytes

    def integers(self, layout: Layout) -> tuple[int, ...]:
        """The values of a field of unsigned integers."""
        code = _INTEGER_CODES.get(self.kind)
        if code is None:
            raise IfdError(f"a field of type {self.kind} stands where whole numbers belong")
        return struct.unpack(f"{layout.order}{self.count}{code}", self.data)


@dataclass(frozen=True)
class Directory:
    """One directory: its fields by tag, the next directory's offset (0: none), all values' size in bytes."""

    fields: Mapping[int, Field]
    next_offset: int
    value_bytes: int


def read_layout(stream: BinaryIO) -> tuple[Layout, int]:
    """The layout and the first directory's offset, from the header at the stream's start.

    Raises:
        IfdError: it is no TIFF header.
    """
    stream.seek(0)
    head = stream.read(8)
    order: Literal["<", ">"] = "<" if head[:2] == b"II" else ">"
    if head[:2] not in (b"II", b"MM") or len(head) < 8:
        raise IfdError("the TIFF header is missing")
    version, offset = struct.unpack(order + "HI", head[2:8])
    if version == 42:
        return Layout(order), offset
    if version == 43 and head[4:8] == struct.pack(order + "HH", 8, 0):
        layout = Layout(order, big=True)
        return layout, layout.unpack("P", stream.read(8))[0]
    raise IfdError(f"the TIFF header has the unknown version {version}")


def read_directory(
    stream: BinaryIO, offset: int, layout: Layout, *, size_bytes: int, wanted: Container[int]
) -> Directory:
    """The directory at ``offset``; values only of the tags in ``wanted``, and only those wholly inside the file.

    ``value_bytes`` of the answer counts all values. More than ``size_bytes``, the file's length, cannot all be in it:
    some share bytes (which is how a small file is made to need much memory) or are cut off.

    Raises:
        IfdError: the table runs past the end.
    """
    count = _field_count(stream, offset, layout, size_bytes)
    entry_bytes = layout.entry_bytes
    table = stream.read(count * entry_bytes)
    tail = stream.read(layout.word)
    next_offset = layout.unpack("P", tail)[0] if len(tail) == layout.word else 0  # some writers leave the last one out
    fields: dict[int, Field] = {}
    total = loaded = 0
    for start in range(0, count * entry_bytes, entry_bytes):
        tag, kind, n = layout.unpack("HHP", table[start : start + 4 + layout.word])
        length = _SIZES.get(kind, 0) * n
        total += length
        if length == 0 or tag not in wanted or tag in fields or loaded + length > size_bytes:
            continue
        value = table[start + 4 + layout.word : start + entry_bytes]
        if length > layout.word:
            stream.seek(layout.unpack("P", value)[0])
            value = stream.read(length)
        if len(value) >= length:
            loaded += length
            fields[tag] = Field(kind, n, value[:length])
    return Directory(fields, next_offset, total)


def count_directories(stream: BinaryIO, offset: int, layout: Layout, *, size_bytes: int, limit: int) -> int:
    """How many directories follow each other from ``offset`` on, counted up to ``limit``.

    Raises:
        IfdError: the chain returns to a directory already seen.
    """
    seen: set[int] = set()
    while offset and len(seen) < limit:
        if offset in seen:
            raise IfdError("its list of pages runs in a circle")
        seen.add(offset)
        try:
            count = _field_count(stream, offset, layout, size_bytes)
            stream.seek(count * layout.entry_bytes, 1)
            offset = layout.unpack("P", stream.read(layout.word))[0]
        except IfdError:
            if len(seen) == 1:
                raise
            return len(seen) - 1  # a broken later page does not spoil the first
    return len(seen)


def _field_count(stream: BinaryIO, offset: int, layout: Layout, size_bytes: int) -> int:
    """The number of fields in the directory at ``offset``; the stream then stands at the first."""
    if not 8 <= offset < size_bytes:
        raise IfdError(f"a tag table is said to be at byte {offset:,} of {size_bytes:,}")
    stream.seek(offset)
    code = "Q" if layout.big else "H"
    count = layout.unpack(code, stream.read(8 if layout.big else 2))[0]
    if not 1 <= count <= _MAX_FIELDS:
        raise IfdError(f"a tag table claims {count:,} fields; 1 to {_MAX_FIELDS:,} are possible")
    return count


def integer_field(layout: Layout, kind: int, values: Iterable[int]) -> Field:
    """A field of ``values`` stored as ``kind`` (SHORT, LONG, LONG8; RATIONAL takes numerator and denominator)."""
    numbers = tuple(values)
    if kind == RATIONAL:
        return Field(kind, len(numbers) // 2, struct.pack(f"{layout.order}{len(numbers)}I", *numbers))
    return Field(kind, len(numbers), struct.pack(f"{layout.order}{len(numbers)}{_INTEGER_CODES[kind]}", *numbers))


def pack_directory(fields: Mapping[int, Field], layout: Layout, offset: int) -> bytes:
    """The bytes of a last directory to be put at the (even) file offset ``offset``, its values behind it."""
    entries = bytearray(layout.pack("Q" if layout.big else "H", len(fields)))
    values = bytearray()
    entry_bytes = layout.entry_bytes
    values_at = offset + len(entries) + len(fields) * entry_bytes + layout.word
    for tag, field in sorted(fields.items()):
        entries += layout.pack("HHP", tag, field.kind, field.count)
        if len(field.data) <= layout.word:
            entries += field.data.ljust(layout.word, b"\x00")
        else:
            entries += layout.pack("P", values_at + len(values))
            values += field.data + b"\x00" * (len(field.data) % 2)
    return bytes(entries + layout.pack("P", 0) + values)
