"""How far two pictures are apart: PSNR, SSIM, and a heat map for the eye."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from irss_core.errors import InputError

_SSIM_WINDOW = 11
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
    """Return the peak signal-to-noise ratio over all channels, in dB; infinity for equal pictures.

    Args:
        a, b: HxWxC of one shape, both uint8 (peak 255) or both uint16 (peak 65535); no border is cropped.

    Raises:
        InputError: the shapes or types differ.
    """
    _check_alike(a, b)
    error = np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2, dtype=np.float64)
    return float(10 * np.log10(np.iinfo(a.dtype).max ** 2 / error)) if error else float("inf")


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the structural similarity (Wang et al. 2004), averaged over channels: 1 for equal pictures.

    11x11 Gaussian window of sigma 1.5, population statistics, as the paper has it.

    Raises:
        InputError: the shapes or types differ, or a side is under 11 pixels.
    """
    _check_alike(a, b)
    if min(a.shape[:2]) < _SSIM_WINDOW:
        raise InputError(f"SSIM needs at least {_SSIM_WINDOW} pixels a side; the picture is {a.shape[1]}x{a.shape[0]}.")
    value = structural_similarity(  # type: ignore[no-untyped-call]
        a,
        b,
        channel_axis=2,
        data_range=np.iinfo(a.dtype).max,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def difference_map(a: np.ndarray, b: np.ndarray, *, gain: float = 4.0) -> np.ndarray:
    """Return HxWx3 uint8 RGB: dark where the pictures agree, through purple and orange to yellow where they differ.

    Args:
        a, b: HxWxC uint8 of one shape.
        gain: multiplies the largest difference of the channels: by default a quarter of the range is full scale.
    """
    _check_alike(a, b)
    difference = (np.maximum(a, b) - np.minimum(a, b)).max(axis=2)
    level = np.minimum(np.arange(256) * gain, 255)
    stops = np.linspace(0, 255, len(_HEAT))
    colors = np.stack([np.interp(level, stops, channel) for channel in np.transpose(_HEAT)], axis=1)
    scale: np.ndarray = np.rint(colors).astype(np.uint8)
    heat: np.ndarray = scale[difference]
    return heat


def _check_alike(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.dtype != b.dtype:
        raise InputError(
            f"Cannot compare {a.shape[1]}x{a.shape[0]} with {a.shape[2]} channels ({a.dtype}) to "
            f"{b.shape[1]}x{b.shape[0]} with {b.shape[2]} ({b.dtype}). Both pictures must have one size and type."
        )
