"""Small pictures made of large ones, as the literature makes them, and how well a result leads back to its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from irss_core.errors import InputError, InvalidOptionError
from irss_core.metrics.image import heat_map, psnr
from irss_core.metrics.opencv import opencv

Degrade = Callable[[np.ndarray, int], np.ndarray]

_BD_SCALE = 4
_BD_SIGMA = 1.5
_BD_TAPS = 9
_CUBIC_A = -0.5
_CUBIC_REACH = 2


@dataclass(frozen=True)
class Degradation:
    """A way to make the input of the truth. ``grid`` says where the truth lies over it, as a model's ``grid`` does.

    ``make`` takes HxWx3 uint8 and the scale, and returns (H/scale)x(W/scale)x3 uint8; None where the data brings its
    own input.
    """

    name: str
    title: str
    definition: str
    source: str
    grid: Literal["half-pixel", "corner"]
    make: Degrade | None


def degrade_bd(rgb: np.ndarray, scale: int = _BD_SCALE) -> np.ndarray:
    """Return (H/4)x(W/4)x3 uint8: blurred, and every fourth pixel taken from the first on (TecoGAN, FRVSR).

    Gaussian of sigma 1.5 in 9x9 taps, the picture mirrored at its edge without repeating the outermost pixel.

    Args:
        rgb: HxWx3 uint8.

    Raises:
        InputError: the scale is not 4, or the sides are no multiples of it.
    """
    if scale != _BD_SCALE:
        raise InputError(f"The degradation 'bd' is defined for scale {_BD_SCALE}, not {scale}. Use 'bi' for others.")
    _check_multiple(rgb, scale)
    cv2 = opencv()
    kernel = cv2.getGaussianKernel(_BD_TAPS, _BD_SIGMA, cv2.CV_32F)
    blurred = cv2.sepFilter2D(rgb, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    levels: np.ndarray = np.rint(blurred[::scale, ::scale])
    return levels.astype(np.uint8)


def degrade_bi(rgb: np.ndarray, scale: int) -> np.ndarray:
    """Return (H/scale)x(W/scale)x3 uint8: antialiased bicubic, as MATLAB's ``imresize(rgb, 1/scale)`` computes it.

    Keys' cubic (a = -0.5) widened by the scale, the picture mirrored at its edge with the outermost pixel repeated,
    rows then columns in double precision, halves rounded up.

    Args:
        rgb: HxWx3 uint8.
        scale: a whole number of at least 1.

    Raises:
        InputError: no such scale, or the sides are no multiples of it.
    """
    if scale < 1 or scale != int(scale):
        raise InputError(f"The degradation 'bi' takes a whole scale of at least 1, not {scale}.")
    _check_multiple(rgb, scale)
    if scale == 1:
        return rgb.copy()
    cv2 = opencv()
    weights, anchor = _antialiased_cubic(scale)
    unit = np.ones(1)
    # One direction after the other, so that the second runs on the rows that stay.
    rows = cv2.sepFilter2D(rgb, cv2.CV_64F, unit, weights, anchor=(0, anchor), borderType=cv2.BORDER_REFLECT)[::scale]
    both = cv2.sepFilter2D(rows, cv2.CV_64F, weights, unit, anchor=(anchor, 0), borderType=cv2.BORDER_REFLECT)
    levels: np.ndarray = np.floor(both[:, ::scale].clip(0, 255) + 0.5)
    return levels.astype(np.uint8)


@lru_cache(maxsize=8)
def _antialiased_cubic(scale: int) -> tuple[np.ndarray, int]:
    """Return the weights of the taps around pixel ``scale * i`` for output pixel ``i``, and which tap is that pixel."""
    center = (scale - 1) / 2
    first = int(np.floor(center - _CUBIC_REACH * scale)) + 1
    last = int(np.ceil(center + _CUBIC_REACH * scale)) - 1
    distance = np.abs(np.arange(first, last + 1) - center) / scale
    a = _CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    weights = np.where(distance <= 1, near, far)
    return weights / weights.sum(), -first


def _check_multiple(rgb: np.ndarray, scale: int) -> None:
    height, width = rgb.shape[:2]
    whole_height, whole_width = height // scale * scale, width // scale * scale
    if not (whole_height and whole_width):
        raise InputError(f"A picture of {width}x{height} is too small to be made {scale} times smaller.")
    if (height, width) != (whole_height, whole_width):
        raise InputError(
            f"The sides of {width}x{height} are not multiples of the scale {scale}. "
            f"Crop the picture to {whole_width}x{whole_height}."
        )


DEGRADATIONS: dict[str, Degradation] = {
    each.name: each
    for each in (
        Degradation(
            name="bd",
            title="Blur and decimate (BD)",
            definition=(
                "Gaussian blur of sigma 1.5 (9x9 taps, mirrored edge), then every fourth pixel from the first on; "
                "8 bit."
            ),
            source="FRVSR (Sajjadi et al. 2018) and TecoGAN (Chu et al. 2020)",
            grid="corner",
            make=degrade_bd,
        ),
        Degradation(
            name="bi",
            title="Bicubic (BI)",
            definition="Antialiased bicubic (a = -0.5) as MATLAB's imresize has it; 8 bit.",
            source="MATLAB imresize, as the super-resolution literature uses it",
            grid="half-pixel",
            make=degrade_bi,
        ),
        Degradation(
            name="none",
            title="None",
            definition="The data brings its own input.",
            source="the data set",
            grid="half-pixel",
            make=None,
        ),
    )
}


def find_degradation(name: str) -> Degradation:
    """Return the degradation of that name; raise InvalidOptionError, which lists what there is, if none has it."""
    try:
        return DEGRADATIONS[name]
    except KeyError:
        raise InvalidOptionError(
            f"There is no degradation named {name!r}. The degradations are: {', '.join(DEGRADATIONS)}."
        ) from None


def degrade(rgb: np.ndarray, name: str, scale: int) -> np.ndarray:
    """Return the input that the degradation makes of the truth: (H/scale)x(W/scale)x3 uint8.

    Raises:
        InvalidOptionError: no degradation has that name, or it makes nothing ("none").
        InputError: the size or the scale does not suit it.
    """
    make = find_degradation(name).make
    if make is None:
        raise InvalidOptionError(f"The degradation {name!r} makes no input: the data must bring it. Use 'bi' or 'bd'.")
    return make(rgb, scale)


def consistency(result: np.ndarray, lr: np.ndarray, degradation: str, scale: int) -> float:
    """Return the PSNR over R, G, B of the result, degraded again, against its input, in dB; needs no truth.

    Args:
        result: (h*scale)x(w*scale)x3 uint8. lr: its input, hxwx3 uint8.
        degradation: what made the input; where that is not known ("none"), bicubic is taken.

    Raises:
        InputError: the result is not ``scale`` times as large as its input.
    """
    return psnr(degrade(result, "bi" if degradation == "none" else degradation, scale), lr)


def consistency_residual(result: np.ndarray, lr: np.ndarray, scale: float) -> np.ndarray:
    """Return HxWx3 uint8 RGB of the result's size: bright where the result, made small again, is not its input.

    There the detail is invented rather than found. One colour for each pixel of the input, on the scale of
    ``difference_map``.

    Args:
        result: HxWx3 uint8. lr: its input, hxwx3 uint8.
        scale: how many times larger the result is, at least 1. Where the sides are not whole multiples, the result is
            made small by Pillow's bicubic: the same kernel, cut off at the edge.
    """
    height, width = lr.shape[:2]
    if result.shape[:2] == (height * scale, width * scale) and scale == int(scale):
        small = degrade_bi(result, int(scale))
    else:
        small = np.asarray(Image.fromarray(result).resize((width, height), Image.Resampling.BICUBIC))
    heat = heat_map((np.maximum(small, lr) - np.minimum(small, lr)).max(axis=2))
    size = (result.shape[1], result.shape[0])
    return np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.NEAREST))
