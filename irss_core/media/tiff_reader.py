"""TIFF in: the first page, checked in its tag table before a decoder sees it; 16 bits kept.

Pillow (libtiff) decodes up to 8 bits a channel, ``tiff_samples`` 16.
"""

from __future__ import annotations

import numpy as np
from PIL import TiffImagePlugin

from irss_core.errors import UnsupportedFormatError
from irss_core.media.color import cmyk_to_rgb, usable_profile
from irss_core.media.exif import CameraData
from irss_core.media.ifd import IfdError
from irss_core.media.limits import ImageLimits
from irss_core.media.pages import count_tiff_pages
from irss_core.media.pixels import unpremultiplied
from irss_core.media.reading import Decoded, Inspected, image_samples, present, split_samples
from irss_core.media.source import Source, corrupt, decoder_errors
from irss_core.media.tiff_page import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    COMPRESSION,
    FILL_ORDER,
    JPEG,
    OLD_JPEG,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    TILE_LENGTH,
    TILE_WIDTH,
    UNCOMPRESSED,
    WHITE_IS_ZERO,
    YCBCR,
    Page,
    read_page,
)
from irss_core.media.tiff_samples import read_samples

_MAX_SAMPLES = 8
_DEPTHS = (1, 2, 4, 8, 12, 16)
_MODES_16 = {(1, False): "I;16", (1, True): "LA;16", (3, False): "RGB;16", (3, True): "RGBA;16"}
_UNSIGNED = (1, 4)  # SampleFormat: unsigned whole numbers, or not said


def inspect_tiff(source: Source, limits: ImageLimits) -> Inspected:
    """The first page's facts.

    Raises:
        CorruptMediaError: the tag table contradicts itself or the file.
        LimitExceededError: too many pixels, in the picture or in one tile.
        UnsupportedFormatError: floating point, 32 bits, or another layout without an 8 or 16-bit meaning.
    """
    try:
        page, camera = read_page(source.stream, source.size_bytes)
        pages = count_tiff_pages(source.stream, source.size_bytes)
    except IfdError as exc:
        raise corrupt(source.name, str(exc)) from exc
    limits.check_size(source.name, page.width, page.height)
    limits.check_size(f"A tile of {source.name}", page.first(TILE_WIDTH, 1), page.first(TILE_LENGTH, 1))
    _require_supported(source, page)
    _require_all_parts(source, page)
    if page.sixteen_bit:
        return _inspect_16bit(source, page, camera, pages)
    return _inspect_with_pillow(source, page, camera, pages)


def _require_supported(source: Source, page: Page) -> None:
    if page.samples < page.color_samples:
        raise corrupt(source.name, f"it has {page.samples} channels where its colours need {page.color_samples}")
    if page.bits not in _DEPTHS or page.first(SAMPLE_FORMAT, 1) not in _UNSIGNED:
        kind = {2: "signed", 3: "floating-point"}.get(page.first(SAMPLE_FORMAT, 1), "")
        words = f"{page.bits}-bit {kind}".strip() if page.bits else "differently deep"
        raise UnsupportedFormatError(
            f"{source.name} is a TIFF with {words} samples; whole numbers of up to 16 bits are read. "
            "Save it with 8 or 16 bits a channel."
        )
    if page.first(PHOTOMETRIC, BLACK_IS_ZERO) == YCBCR and page.first(COMPRESSION, UNCOMPRESSED) not in JPEG:
        raise UnsupportedFormatError(
            f"{source.name} is a TIFF with video colours (YCbCr) without JPEG compression, which is not read; grey, "
            "palette, RGB and CMYK are. Save it as plain RGB."
        )
    if page.sixteen_bit and (page.samples > _MAX_SAMPLES or page.first(FILL_ORDER, 1) != 1):
        raise UnsupportedFormatError(
            f"{source.name} is a 16-bit TIFF with {page.samples} channels in an uncommon layout; "
            f"up to {_MAX_SAMPLES} channels in the usual bit order are read. Save it as plain RGB."
        )


def _require_all_parts(source: Source, page: Page) -> None:
    """Refuse a page that lacks strips or tiles: libtiff would leave their place black."""
    if page.first(COMPRESSION, UNCOMPRESSED) == OLD_JPEG:
        return  # keeps its data under tags of its own
    try:
        page.part_offsets(page.grid())
    except IfdError as exc:
        raise corrupt(source.name, str(exc)) from exc


def _inspect_16bit(source: Source, page: Page, camera: CameraData, pages: int) -> Inspected:
    with_alpha = page.alpha_kind is not None
    return Inspected(
        width=page.width,
        height=page.height,
        mode=_MODES_16[page.color_samples, with_alpha],
        bit_depth=16,
        has_alpha=with_alpha,
        decode=lambda: _decode_16bit(source, page, camera),
        frames=pages,
        orientation=camera.orientation,
        exif=camera.block,
        icc_profile=page.icc_profile,
    )


def _inspect_with_pillow(source: Source, page: Page, camera: CameraData, pages: int) -> Inspected:
    source.stream.seek(0)
    with decoder_errors(source.name):
        try:
            image = TiffImagePlugin.TiffImageFile(source.stream)
        except SyntaxError as exc:
            if "unknown" not in str(exc):
                raise
            raise UnsupportedFormatError(
                f"{source.name} is a TIFF in a layout that is not read ({exc}); grey, palette, RGB and CMYK are. "
                "Save it as plain RGB."
            ) from exc
    deep_grey = image.mode.startswith("I;16")
    return Inspected(
        width=image.width,  # Pillow turns a TIFF upright by itself, and says so here already
        height=image.height,
        mode=image.mode,
        bit_depth=16 if deep_grey else 8,
        has_alpha=image.mode in ("RGBA", "LA", "PA"),
        decode=lambda: _decode_with_pillow(source, image, page, camera),
        frames=pages,
        exif=camera.block,
        icc_profile=page.icc_profile,
    )


def _decode_with_pillow(
    source: Source, image: TiffImagePlugin.TiffImageFile, page: Page, camera: CameraData
) -> Decoded:
    profile, notes = page.icc_profile, []
    with decoder_errors(source.name):
        image.load()
        if image.mode.startswith("I;16") and page.bits == 12:
            values = np.array(image).astype(np.uint16)
            color, alpha = split_samples(values << 4 | values >> 8)
        elif image.mode == "CMYK":
            converted, note = cmyk_to_rgb(image, profile)
            notes = [note] if page.bits == 8 else [note, "CMYK of 16 bits a channel was read with 8."]
            profile = None
            color, alpha = image_samples(converted)
        else:
            color, alpha = image_samples(image)
    profile, profile_note = usable_profile(profile, "GRAY" if color.shape[2] == 1 else "RGB")
    return Decoded(color, alpha, profile, camera.block, present(camera.note, *notes, profile_note))


def _decode_16bit(source: Source, page: Page, camera: CameraData) -> Decoded:
    samples = read_samples(source, page)
    color = np.ascontiguousarray(samples[..., : page.color_samples])
    alpha = None if page.alpha_kind is None else np.ascontiguousarray(samples[..., page.color_samples])
    del samples
    if page.first(PHOTOMETRIC, BLACK_IS_ZERO) == WHITE_IS_ZERO:
        np.invert(color, out=color)
    if alpha is not None and page.alpha_kind == ASSOCIATED:
        color = unpremultiplied(color, alpha)
    profile, note = usable_profile(page.icc_profile, "GRAY" if page.color_samples == 1 else "RGB")
    return Decoded(color, alpha, profile, camera.block, present(camera.note, note))
