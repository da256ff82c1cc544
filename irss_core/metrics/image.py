"""How far two pictures are apart: PSNR, three forms of SSIM, and a heat map for the eye."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from irss_core.errors import InputError
from irss_core.metrics.opencv import opencv

Smooth = Callable[[np.ndarray], np.ndarray]

_WINDOW = 11
_SIGMA = 1.5
_UNIFORM_WINDOW = 7
_BAND_VALUES = 1 << 18
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2
_MS_SSIM_LEAST = _WINDOW << (len(_SCALE_WEIGHTS) - 1)
# The inferno scale at eight even steps: of even brightness increase, and readable without colour vision.
_HEAT = (
    (0, 0, 4),
    (40, 11, 84),
    (101, 21, 110),
    (159, 42, 99),
    (212, 72, 66),
    (245, 125, 21),
    (250, 193, 39),
    (252, 255, 164),
)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio over everything handed in, in dB; infinity for equal pictures.

    Args:
        a, b: HxWxC or HxW of one shape, both uint8 or float32 in 0..255 (peak 255), or uint16 (peak 65535); no border
            is cropped.

    Raises:
        InputError: the shapes or types differ.
    """
    _check_alike(a, b)
    difference = np.subtract(a, b, dtype=np.float32)
    error = np.mean(np.square(difference, out=difference), dtype=np.float64)
    return float(10 * np.log10(_peak(a) ** 2 / error)) if error else float("inf")


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the structural similarity (Wang et al. 2004), averaged over channels: 1 for equal pictures.

    11x11 Gaussian window of sigma 1.5, population statistics, only where the window lies inside, as the paper has it.

    Args:
        a, b: as for ``psnr``.

    Raises:
        InputError: the shapes or types differ, or a side is under 11 pixels.
    """
    _check_alike(a, b)
    _check_side(a, _WINDOW, "SSIM")
    return _similarity(a, b, _WINDOW, _gaussian)[0]


def ssim_uniform(a: np.ndarray, b: np.ndarray) -> float:
    """Return the structural similarity over a uniform 7x7 window with sample statistics: scikit-image's default.

    Raises:
        InputError: the shapes or types differ, or a side is under 7 pixels.
    """
    _check_alike(a, b)
    _check_side(a, _UNIFORM_WINDOW, "SSIM 7x7")
    taps = _UNIFORM_WINDOW**2
    return _similarity(a, b, _UNIFORM_WINDOW, _uniform, covariance=taps / (taps - 1))[0]


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the structural similarity over five scales (Wang et al. 2003): 1 for equal pictures.

    The window of ``ssim``. Each scale is the mean of 2x2 pixels of the one before, an odd last row or column left out.
    The four finer scales give the mean of contrast times structure, the coarsest gives its SSIM; each is raised to its
    weight (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), negative means count as 0, and all are multiplied.

    Raises:
        InputError: the shapes or types differ, or a side is under 176 pixels.
    """
    _check_alike(a, b)
    _check_side(a, _MS_SSIM_LEAST, "MS-SSIM")
    x, y = _planes(a), _planes(b)
    product = 1.0
    for weight in _SCALE_WEIGHTS[:-1]:
        _, contrast_structure = _similarity(x, y, _WINDOW, _gaussian)
        product *= max(contrast_structure, 0.0) ** weight
        x, y = _halved(x), _halved(y)
    coarsest, _ = _similarity(x, y, _WINDOW, _gaussian)
    return float(product * max(coarsest, 0.0) ** _SCALE_WEIGHTS[-1])


def difference_map(a: np.ndarray, b: np.ndarray, *, gain: float = 4.0) -> np.ndarray:
    """Return HxWx3 uint8 RGB: dark where the pictures agree, through purple and orange to yellow where they differ.

    Args:
        a, b: HxWxC uint8 of one shape.
        gain: multiplies the largest difference of the channels: by default a quarter of the range is full scale.
    """
    _check_alike(a, b)
    return heat_map((np.maximum(a, b) - np.minimum(a, b)).max(axis=2), gain=gain)


def heat_map(difference: np.ndarray, *, gain: float = 4.0) -> np.ndarray:
    """Return HxWx3 uint8 RGB: dark for 0, through purple and orange to yellow for 255 / gain and more.

    Args:
        difference: HxW uint8.
    """
    level = np.minimum(np.arange(256) * gain, 255)
    stops = np.linspace(0, 255, len(_HEAT))
    colors = np.stack([np.interp(level, stops, channel) for channel in np.transpose(_HEAT)], axis=1)
    scale: np.ndarray = np.rint(colors).astype(np.uint8)
    heat: np.ndarray = scale[difference]
    return heat


def _similarity(
    a: np.ndarray, b: np.ndarray, window: int, smooth: Smooth, *, covariance: float = 1.0
) -> tuple[float, float]:
    """Return the means of SSIM and of its contrast-structure part over where the window lies inside.

    Args:
        smooth: returns the window's mean around every pixel; what it has next to the edge is not used.
        covariance: multiplies the second moments: 1 for population statistics.
    """
    rows, columns = a.shape[0] - window + 1, a.shape[1] - window + 1
    band = max(_BAND_VALUES // a[0].size, window)  # a band's planes stay in the processor's cache
    whole = contrast_structure = 0.0
    for top in range(0, rows, band):
        part = slice(top, min(top + band, rows) + window - 1)
        maps = _similarity_maps(_planes(a[part]), _planes(b[part]), smooth, peak=_peak(a), covariance=covariance)
        sums = [_sum_inside(each, window) for each in maps]
        whole += sums[0]
        contrast_structure += sums[1]
    count = rows * columns * a[0, 0].size
    return whole / count, contrast_structure / count


def _similarity_maps(
    x: np.ndarray, y: np.ndarray, smooth: Smooth, *, peak: float, covariance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return SSIM and its contrast-structure part at every pixel, float32, in few and mostly reused arrays."""
    c1, c2 = np.float32((0.01 * peak) ** 2), np.float32((0.03 * peak) ** 2)
    mean_x, mean_y = smooth(x), smooth(y)
    luminance = mean_x * mean_y
    squares = np.square(mean_x, out=mean_x)
    squares += np.square(mean_y, out=mean_y)
    # The formula has the variances only as their sum, which saves smoothing one of them.
    variances = smooth(x * x + y * y)
    variances -= squares
    variances *= np.float32(covariance)
    variances += c2
    contrast_structure = smooth(x * y)
    contrast_structure -= luminance
    contrast_structure *= np.float32(2 * covariance)
    contrast_structure += c2
    contrast_structure /= variances
    luminance *= np.float32(2)
    luminance += c1
    squares += c1
    luminance /= squares
    luminance *= contrast_structure
    return luminance, contrast_structure


def _gaussian(plane: np.ndarray) -> np.ndarray:
    cv2 = opencv()
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_32F)
    smoothed: np.ndarray = cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel)
    return smoothed


def _uniform(plane: np.ndarray) -> np.ndarray:
    smoothed: np.ndarray = opencv().blur(plane, (_UNIFORM_WINDOW, _UNIFORM_WINDOW))
    return smoothed


def _sum_inside(values: np.ndarray, window: int) -> float:
    margin = window // 2
    return float(sum(opencv().sumElems(values[margin:-margin, margin:-margin])))


def _halved(plane: np.ndarray) -> np.ndarray:
    cv2 = opencv()
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    small: np.ndarray = cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return small


def _planes(pixels: np.ndarray) -> np.ndarray:
    """Return float32, without a channel axis of length one: OpenCV drops it on its own."""
    values: np.ndarray = pixels.astype(np.float32, copy=False)
    return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values


def _peak(pixels: np.ndarray) -> int:
    return int(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 255


def _check_alike(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.dtype != b.dtype:
        raise InputError(
            f"Cannot compare {_described(a)} to {_described(b)}. Both pictures must have one size and type."
        )


def _check_side(a: np.ndarray, least: int, name: str) -> None:
    if min(a.shape[:2]) < least:
        raise InputError(f"{name} needs at least {least} pixels a side; the picture is {a.shape[1]}x{a.shape[0]}.")


def _described(a: np.ndarray) -> str:
    channels = f" with {a.shape[2]} channels" if a.ndim == 3 else ""
    return f"{a.shape[1]}x{a.shape[0]}{channels} ({a.dtype})"
