"""Arithmetic on samples: depth, orientation, flattening, filling, and small views for a screen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from irss_core.media.color import to_srgb
from irss_core.media.picture import Picture, Pixels

RGB8 = npt.NDArray[np.uint8]

_BAND_SAMPLES = 1 << 22  # 4 Mi samples at a time keep the working memory of whole-picture arithmetic small
_ROUNDED_TO_8 = ((np.arange(65_536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
_CHECKER_SQUARE, _CHECKER_LIGHT, _CHECKER_DARK = 8, 255, 232


def to_8bit(samples: Pixels) -> RGB8:
    """``samples`` as ``uint8``: 16-bit ones divided by 257 and rounded (65,535 becomes 255), 8-bit ones as they are."""
    if samples.dtype == np.uint8:
        return samples
    return np.take(_ROUNDED_TO_8, samples)


def oriented(samples: Pixels, orientation: int) -> Pixels:
    """HxW[xC] samples turned and mirrored as EXIF's ``orientation`` (1..8) asks, C-contiguous.

    5 to 8 exchange width and height. Source: Exif 3.0, 4.6.5.1.6.
    """
    if orientation >= 5:  # the stored rows are the picture's columns
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def flatten_on_white(color: RGB8, alpha: RGB8) -> RGB8:
    """HxWxC ``color`` laid over white by HxW ``alpha``, both ``uint8``."""
    flat = np.empty_like(color)
    for rows in _row_bands(color):
        cover = alpha[rows, :, None].astype(np.uint16)
        mixed = color[rows] * cover + 255 * (255 - cover)
        flat[rows] = (mixed + 127) // 255
    return flat


def unpremultiplied(color: Pixels, alpha: Pixels) -> Pixels:
    """HxWxC ``color`` divided by HxW ``alpha``, of the same integer type; 0 where nothing is visible."""
    full = int(np.iinfo(color.dtype).max)
    straight = np.zeros_like(color)
    for rows in _row_bands(color):
        cover = alpha[rows, :, None].astype(np.int64)
        divided = (color[rows].astype(np.int64) * full + cover // 2) // np.maximum(cover, 1)
        straight[rows] = np.where(cover > 0, np.minimum(divided, full), 0)
    return straight


def bleed_color(color: Pixels, alpha: Pixels) -> Pixels:
    """HxWxC ``color`` in which what ``alpha`` hides has the colour of the nearest visible pixel.

    Whatever a program left under transparent pixels (often black, white or a key colour) would otherwise be mixed
    into the edge by scaling, and show as a halo. Visible pixels keep their exact colour; without hidden pixels, or
    without visible ones, ``color`` itself is returned.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return color
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    bled: Pixels = color[nearest[0], nearest[1]]
    return bled


def to_rgb8(picture: Picture) -> RGB8:
    """The picture as HxWx3 ``uint8`` RGB of its own size: 16 bits rounded, grey tripled, alpha laid over white.

    The sample values are the file's own: no colour profile is applied.
    """
    color = to_8bit(picture.color)
    if picture.alpha is not None:
        color = flatten_on_white(color, to_8bit(picture.alpha))
    return np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color


def thumbnail_rgb(picture: Picture, max_side: int) -> RGB8:
    """A view of the picture for a screen: HxWx3 ``uint8`` sRGB, its longer side at most ``max_side``, never enlarged.

    The colour profile is applied; transparent parts show a light chequered ground.
    """
    shrink = max(1.0, max(picture.width, picture.height) / max_side)
    size = (max(1, round(picture.width / shrink)), max(1, round(picture.height / shrink)))
    grey = picture.color.shape[2] == 1
    planes = to_8bit(picture.color)
    if picture.alpha is None:
        small = _resized(Image.fromarray(planes[..., 0] if grey else planes), size)
        return np.asarray(to_srgb(small, picture.icc_profile))
    layers = np.concatenate([planes, to_8bit(picture.alpha)[..., None]], axis=2)
    small = _resized(Image.fromarray(layers), size)
    *color_bands, alpha_band = small.split()
    color = np.asarray(to_srgb(Image.merge("L" if grey else "RGB", color_bands), picture.icc_profile))
    return _over_checkerboard(color, np.asarray(alpha_band))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """``image`` scaled to ``size``; Pillow weighs colours by alpha itself."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _over_checkerboard(color: RGB8, alpha: RGB8) -> RGB8:
    height, width = alpha.shape
    y, x = np.ogrid[:height, :width]
    light = (y // _CHECKER_SQUARE + x // _CHECKER_SQUARE) % 2 == 0
    ground = np.where(light, _CHECKER_LIGHT, _CHECKER_DARK).astype(np.uint32)[..., None]
    cover = alpha[..., None].astype(np.uint32)
    return ((color * cover + ground * (255 - cover) + 127) // 255).astype(np.uint8)


def _row_bands(samples: Pixels) -> Iterator[slice]:
    """Slices of rows that together cover ``samples``, each of about ``_BAND_SAMPLES`` samples."""
    rows = max(1, _BAND_SAMPLES // max(1, samples[0].size))
    return (slice(top, top + rows) for top in range(0, len(samples), rows))
