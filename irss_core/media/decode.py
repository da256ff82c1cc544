"""Stills in: :func:`read_header` and :func:`read_image`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from irss_core.errors import UnsupportedFormatError
from irss_core.media.limits import ImageLimits
from irss_core.media.picture import DEFAULT_LIMITS, ImageHeader, Picture
from irss_core.media.pillow_reader import inspect_with_pillow
from irss_core.media.pixels import oriented
from irss_core.media.png_reader import inspect_png
from irss_core.media.reading import Inspected
from irss_core.media.signatures import HEAD_BYTES, describe_foreign, picture_format
from irss_core.media.source import Source, open_source
from irss_core.media.tiff_reader import inspect_tiff

_READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF and AVIF"


def read_header(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader:
    """What the file's header says, checked against ``limits``; no pixel is decoded.

    Raises:
        CorruptMediaError: empty, cut off or damaged, as far as the header shows it.
        InputError: no regular file, or not readable.
        LimitExceededError: too many bytes or pixels.
        UnsupportedFormatError: no picture of a kind we read.
    """
    with _inspected(path, limits) as (_, header, _inspection):
        return header


def read_image(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Picture:
    """The still, upright; of an animation the first frame, of a TIFF the first page, which its notes say.

    The format goes by the content, not by the file's name. Grey stays grey, 16 bits stay 16 bits, CMYK becomes sRGB.
    A file that ends too early is refused: no picture is half grey.

    Raises:
        CorruptMediaError: empty, cut off or damaged.
        InputError: no regular file, or not readable.
        LimitExceededError: too many bytes or pixels; known before anything is decoded.
        ResourceError: not enough memory.
        UnsupportedFormatError: no picture of a kind we read.
    """
    with _inspected(path, limits) as (source, header, inspection):
        decoded = inspection.decode()
        return Picture(
            color=oriented(decoded.color, inspection.orientation),
            alpha=None if decoded.alpha is None else oriented(decoded.alpha, inspection.orientation),
            icc_profile=decoded.icc_profile,
            exif=decoded.exif,
            format=header.format,
            notes=(*_frame_note(header, source), *decoded.notes),
        )


@contextmanager
def _inspected(path: Path, limits: ImageLimits) -> Iterator[tuple[Source, ImageHeader, Inspected]]:
    with open_source(Path(path), limits) as source:
        head = source.stream.read(HEAD_BYTES)
        kind = picture_format(head)
        if kind is None:
            raise UnsupportedFormatError(
                f"{source.name} is {describe_foreign(head)}; pictures are read from {_READABLE}. "
                "Save or export it as one of these."
            )
        inspection = _inspect(source, kind, limits)
        width, height = inspection.width, inspection.height
        if inspection.orientation >= 5:
            width, height = height, width
        header = ImageHeader(
            format=kind,
            width=width,
            height=height,
            mode=inspection.mode,
            bit_depth=inspection.bit_depth,
            has_alpha=inspection.has_alpha,
            frames=inspection.frames,
            size_bytes=source.size_bytes,
            orientation=inspection.orientation,
            exif=inspection.exif,
            icc_profile=inspection.icc_profile,
        )
        yield source, header, inspection


def _inspect(source: Source, kind: str, limits: ImageLimits) -> Inspected:
    if kind == "PNG":
        return inspect_png(source, limits)
    if kind == "TIFF":
        return inspect_tiff(source, limits)
    return inspect_with_pillow(source, kind, limits)


def _frame_note(header: ImageHeader, source: Source) -> tuple[str, ...]:
    if header.frames < 2:
        return ()
    kind = "frames" if header.animated else "pages"
    return (f"{source.name} has {header.frames:,} {kind}; only the first was used.",)
