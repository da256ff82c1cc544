"""A TIFF's first page as its tag table describes it. Source: TIFF 6.0 (Adobe, 1992)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from irss_core.media.exif import CameraData, read_camera_data
from irss_core.media.ifd import IfdError, Layout, read_directory, read_layout

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT, ICC = 284, 317, 338, 339, 34_675
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
FILL_ORDER = 266
RESOLUTION_X, RESOLUTION_Y, RESOLUTION_UNIT = 282, 283, 296

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATED, YCBCR = 0, 1, 2, 5, 6
ASSOCIATED, UNASSOCIATED = 1, 2
UNCOMPRESSED, OLD_JPEG = 1, 6
JPEG = frozenset({OLD_JPEG, 7})
_INTEGER_TAGS = (
    *(WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES),
    *(PLANAR, PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES, FILL_ORDER),
)
_READ_HERE = frozenset({*_INTEGER_TAGS, ICC})


@dataclass(frozen=True)
class Grid:
    """How a page is cut: into tiles of ``rows`` x ``columns`` pixels, or strips of up to ``rows`` full rows.

    With planes apart, each plane is cut like this, one after the other.
    """

    rows: int
    columns: int
    across: int
    down: int
    planes: int
    channels: int  # in one part
    tiled: bool

    @property
    def parts(self) -> int:
        """How many strips or tiles there must be."""
        return self.across * self.down * self.planes


@dataclass(frozen=True)
class Page:
    """The first page's tag table: whole numbers by tag, and the colour profile."""

    layout: Layout
    numbers: dict[int, tuple[int, ...]]
    icc_profile: bytes | None

    def first(self, tag: int, default: int) -> int:
        """The tag's first value, or ``default`` where the page does not have it."""
        values = self.numbers.get(tag)
        return values[0] if values else default

    @property
    def width(self) -> int:
        """Pixels in a row as stored."""
        return self.first(WIDTH, 0)

    @property
    def height(self) -> int:
        """Rows as stored."""
        return self.first(LENGTH, 0)

    @property
    def bits(self) -> int:
        """Bits a sample; 0 if the samples differ, which nobody reads."""
        depths = set(self.numbers.get(BITS, (1,)))
        return depths.pop() if len(depths) == 1 else 0

    @property
    def samples(self) -> int:
        """Samples a pixel: colour, alpha, and whatever else."""
        return self.first(SAMPLES, 1)

    @property
    def color_samples(self) -> int:
        """3 for RGB, else 1."""
        return 3 if self.first(PHOTOMETRIC, BLACK_IS_ZERO) == RGB else 1

    @property
    def alpha_kind(self) -> int | None:
        """ASSOCIATED or UNASSOCIATED; None without alpha. A fourth sample of RGB that nobody names is alpha."""
        extra = self.samples - self.color_samples
        if extra < 1:
            return None
        kind = self.first(EXTRA_SAMPLES, UNASSOCIATED if extra == 1 else 0)
        return kind if kind in (ASSOCIATED, UNASSOCIATED) else None

    @property
    def sixteen_bit(self) -> bool:
        """Whether the page is of the 16-bit kinds that ``tiff_samples`` reads."""
        return (
            self.bits == 16
            and self.first(PHOTOMETRIC, BLACK_IS_ZERO) in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
            and self.first(COMPRESSION, UNCOMPRESSED) not in JPEG
        )

    def grid(self) -> Grid:
        """How the page is cut.

        Raises:
            IfdError: into nothing.
        """
        planes = self.samples if self.first(PLANAR, 1) == 2 else 1
        tiled = TILE_OFFSETS in self.numbers
        rows = self.first(TILE_LENGTH, 0) if tiled else min(self.first(ROWS_PER_STRIP, self.height), self.height)
        columns = self.first(TILE_WIDTH, 0) if tiled else self.width
        if rows < 1 or columns < 1:
            raise IfdError(f"its parts are said to be {columns} x {rows} pixels")
        across, down = -(-self.width // columns), -(-self.height // rows)
        return Grid(rows, columns, across, down, planes, self.samples // planes, tiled)

    def part_offsets(self, grid: Grid) -> tuple[int, ...]:
        """Where the strips or tiles are, exactly as many as there must be.

        Raises:
            IfdError: some are missing.
        """
        return self._of_parts(TILE_OFFSETS if grid.tiled else STRIP_OFFSETS, grid)

    def part_lengths(self, grid: Grid) -> tuple[int, ...]:
        """The strips' or tiles' lengths in bytes, exactly as many as there must be.

        Raises:
            IfdError: some are missing.
        """
        return self._of_parts(TILE_BYTES if grid.tiled else STRIP_BYTES, grid)

    def _of_parts(self, tag: int, grid: Grid) -> tuple[int, ...]:
        values = self.numbers.get(tag, ())
        if len(values) < grid.parts:
            raise IfdError(f"it has {len(values):,} of {grid.parts:,} parts of its picture")
        return values[: grid.parts]


def read_page(stream: BinaryIO, size_bytes: int) -> tuple[Page, CameraData]:
    """The first page, and the camera data beside it.

    Raises:
        IfdError: the table is damaged, or claims more values than the file holds (which would cost memory).
    """
    layout, offset = read_layout(stream)
    directory = read_directory(stream, offset, layout, size_bytes=size_bytes, wanted=_READ_HERE)
    if directory.value_bytes > size_bytes:
        raise IfdError(f"its tags claim {directory.value_bytes:,} bytes in a file of {size_bytes:,}")
    numbers = {tag: directory.fields[tag].integers(layout) for tag in _INTEGER_TAGS if tag in directory.fields}
    profile = directory.fields.get(ICC)
    camera = read_camera_data(stream, offset, layout, size_bytes=size_bytes)
    return Page(layout, numbers, profile.data if profile else None), camera
