"""What the stages do to pixels before and after upscaling; stills of 8 or 16 bits and frames of clips alike.

Every function takes and gives HxWxC (C: 1 grey, 3 RGB) uint8 or uint16, full range, and works on bands of rows, so that
it needs little memory beside its result. Values are taken as they are stored, as image programs do by default.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from irss_core.errors import InvalidOptionError
from irss_core.jobs.options import MAX_WIDTH, JobOptions
from irss_core.media.picture import Pixels

CUTOFF = 0.005
"""Share of pixels that autocontrast lets go to full black, and as many to full white: a few specks do not decide."""

_BAND_SAMPLES = 1 << 22
_SHARPEN_SIGMA = 1.0  # pixels: about what an enlargement leaves soft
_SHARPEN_REACH = 4  # rows that the blur sees, as SciPy cuts it off
_LUMA = np.array([299, 587, 114], np.uint32)  # of 1000; ITU-R BT.601, as Pillow's own conversion to grey


def denoised(pixels: Pixels) -> Pixels:
    """Return the median of every pixel's 3 x 3 surroundings, a channel at a time; edges are replicated."""
    return _in_bands(pixels, _median, reach=1)


def autocontrasted(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    """Return the picture stretched over the full range, ``CUTOFF`` of its visible pixels cut off at either end.

    All channels are stretched alike, by brightness, so that no colour is shifted. A plain picture stays as it is.
    """
    top = int(np.iinfo(pixels.dtype).max)
    counts = np.zeros(top + 1, np.int64)
    for rows in _bands(pixels):
        luma = _luma(pixels[rows])[..., 0]
        visible = luma if alpha is None else luma[alpha[rows] > 0]
        counts += np.bincount(visible.reshape(-1), minlength=top + 1)
    below = np.cumsum(counts)
    cut = CUTOFF * below[-1]
    darkest, brightest = int(np.searchsorted(below, cut, "right")), int(np.searchsorted(below, below[-1] - cut))
    if brightest <= darkest:
        return pixels
    levels = np.arange(top + 1, dtype=np.float64)
    return _mapped(pixels, (levels - darkest) * (top / (brightest - darkest)))


def greyscaled(pixels: Pixels, *, keep_channels: bool) -> Pixels:
    """Return the brightness (BT.601), as one channel or, for what takes nothing else, in each of three."""
    if pixels.shape[2] == 1:
        return pixels
    grey: Pixels = np.empty((*pixels.shape[:2], 1), pixels.dtype)
    for rows in _bands(pixels):
        grey[rows] = _luma(pixels[rows])
    return np.repeat(grey, 3, axis=2) if keep_channels else grey


def contrasted(pixels: Pixels, factor: float) -> Pixels:
    """Return the picture with every value's distance from middle grey times ``factor``; 0 is plain grey, 1 no change.

    The pivot is fixed, not the picture's mean: the frames of a clip must all be treated alike.
    """
    top = int(np.iinfo(pixels.dtype).max)
    levels = np.arange(top + 1, dtype=np.float64)
    return _mapped(pixels, (levels - top / 2) * factor + top / 2)


def sharpened(pixels: Pixels, amount: float) -> Pixels:
    """Return the picture plus ``amount`` times what a Gaussian blur of one pixel takes away (an unsharp mask)."""
    return _in_bands(pixels, lambda band: _unsharp(band, amount), reach=_SHARPEN_REACH)


def size_at_width(width: int, height: int, *, wanted: int | None) -> tuple[int, int]:
    """Return width and height in proportion when the width becomes ``wanted`` (None: as they are).

    Raises:
        InvalidOptionError: the height would be beyond what is made.
    """
    if wanted is None:
        return width, height
    tall = max(round(height * wanted / width), 1)
    if tall > MAX_WIDTH:
        most = MAX_WIDTH * width // height
        raise InvalidOptionError(
            f"width is {wanted}, which would make the result {tall:,} pixels high; at most {MAX_WIDTH:,} are made. "
            f"Use a width of at most {most:,}."
        )
    return wanted, tall


def filtered(pixels: Pixels, options: JobOptions, *, keep_channels: bool) -> Pixels:
    """Return the picture with the filters of the options, in this order: greyscale, contrast, width, sharpen.

    Sharpening comes last, since what is to look sharp is the result at its own size.
    """
    from irss_core.sr.resample import resize

    if options.greyscale:
        pixels = greyscaled(pixels, keep_channels=keep_channels)
    if options.contrast != 1:
        pixels = contrasted(pixels, options.contrast)
    if options.width is not None:
        width, height = size_at_width(pixels.shape[1], pixels.shape[0], wanted=options.width)
        pixels = resize(pixels, height=height, width=width)
    return sharpened(pixels, options.sharpen) if options.sharpen else pixels


def _median(pixels: Pixels) -> Pixels:
    """Sort each column of three, then: the median of nine is that of the largest low, middle middle and smallest high.

    (Any of the nine outside these three has five others on its one side.)
    """
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    above, here, below = padded[:-2], padded[1:-1], padded[2:]
    less, more = np.minimum(above, here), np.maximum(above, here)
    low, high = np.minimum(less, below), np.maximum(more, below)
    middle = np.maximum(less, np.minimum(more, below))
    left, centre, right = ((slice(None), slice(start, start + pixels.shape[1])) for start in range(3))
    return _middle(
        np.maximum(np.maximum(low[left], low[centre]), low[right]),
        _middle(middle[left], middle[centre], middle[right]),
        np.minimum(np.minimum(high[left], high[centre]), high[right]),
    )


def _middle(a: Pixels, b: Pixels, c: Pixels) -> Pixels:
    middle: Pixels = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return middle


def _unsharp(pixels: Pixels, amount: float) -> Pixels:
    from scipy import ndimage

    sharp = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        plane = pixels[..., channel].astype(np.float32)
        blurred = ndimage.gaussian_filter(
            plane, _SHARPEN_SIGMA, mode="nearest", truncate=_SHARPEN_REACH / _SHARPEN_SIGMA
        )
        sharp[..., channel] = _as_levels(plane + amount * (plane - blurred), pixels.dtype)
    return sharp


def _luma(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 1:
        return pixels
    weighted: Pixels = (pixels.astype(np.uint32) * _LUMA).sum(axis=2, keepdims=True, dtype=np.uint32)
    luma: Pixels = ((weighted + 500) // 1000).astype(pixels.dtype)
    return luma


def _mapped(pixels: Pixels, levels: npt.NDArray[np.float64]) -> Pixels:
    """Return the picture with every value replaced by the level at its place, rounded and cut to the range."""
    mapped: Pixels = np.take(_as_levels(levels, pixels.dtype), pixels)
    return mapped


def _as_levels(values: npt.NDArray[np.floating], dtype: npt.DTypeLike) -> Pixels:
    levels: Pixels = np.rint(values).clip(0, np.iinfo(dtype).max).astype(dtype)
    return levels


def _bands(pixels: Pixels) -> list[slice]:
    rows = max(1, _BAND_SAMPLES // max(1, pixels[0].size))
    return [slice(top, min(top + rows, len(pixels))) for top in range(0, len(pixels), rows)]


def _in_bands(pixels: Pixels, function: Callable[[Pixels], Pixels], *, reach: int) -> Pixels:
    """Return ``function`` of the whole picture, computed band by band; it sees ``reach`` rows around each row."""
    made = np.empty_like(pixels)
    for rows in _bands(pixels):
        start = max(rows.start - reach, 0)
        around = function(pixels[start : rows.stop + reach])
        made[rows] = around[rows.start - start : rows.stop - start]
    return made
