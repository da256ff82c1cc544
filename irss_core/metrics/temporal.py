"""How well a clip's frames hang together: the optical flow, tOF, and the warping error."""

from __future__ import annotations

import numpy as np

from irss_core.metrics.opencv import opencv

Box = tuple[slice, slice]

_CONFIDENCE = 50.0  # Lai et al. 2018, equation 3: exp(-50 d^2), d between colours in 0..1


def grey(rgb: np.ndarray) -> np.ndarray:
    """Return HxW uint8: what ``flow`` takes, made of HxWx3 uint8 RGB.

    Raises:
        ResourceError: OpenCV cannot be loaded.
    """
    cv2 = opencv()
    plane: np.ndarray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return plane


def flow(previous_grey: np.ndarray, current_grey: np.ndarray) -> np.ndarray:
    """Return HxWx2 float32: how many pixels right and down each pixel of the previous frame has moved.

    Farneback's method with the settings of TecoGAN's metrics. They take it of whole frames and crop afterwards.

    Args:
        previous_grey, current_grey: HxW uint8.

    Raises:
        ResourceError: OpenCV cannot be loaded.
    """
    moved: np.ndarray = opencv().calcOpticalFlowFarneback(
        previous_grey,
        current_grey,
        None,
        pyr_scale=0.5,
        levels=3,
        winsize=15,
        iterations=3,
        poly_n=5,
        poly_sigma=1.2,
        flags=0,
    )
    return moved


def tof(flow_result: np.ndarray, flow_truth: np.ndarray) -> float:
    """Return tOF (Chu et al. 2020): the mean length of the difference of two flows, in pixels.

    Args:
        flow_result, flow_truth: HxWx2 float32, already cropped.
    """
    squared = np.subtract(flow_result, flow_truth)
    np.square(squared, out=squared)
    return float(np.sqrt(squared[..., 0] + squared[..., 1]).mean(dtype=np.float64))


def warping_error(
    previous: np.ndarray,
    current: np.ndarray,
    *,
    truth_previous: np.ndarray,
    truth_current: np.ndarray,
    truth_flow: np.ndarray,
    box: Box | None = None,
) -> float | None:
    """Return 1000 times the weighted mean squared change of colours in 0..1 along the truth's flow.

    After Lai et al. 2018: the current frame is fetched back to where the previous one's pixels were, bilinearly. A
    pixel weighs exp(-50 d^2), where d^2 is how much the truth itself changes there, summed over R, G, B: what is
    hidden, uncovered or followed wrongly counts little. Pixels whose flow leaves the picture do not count.

    Args:
        previous, current, truth_previous, truth_current: HxWx3 uint8, whole frames.
        truth_flow: HxWx2 float32, ``flow`` of the truth's two frames.
        box: the rows and columns that count; all by default.

    Returns:
        None where no pixel can be followed.

    Raises:
        ResourceError: OpenCV cannot be loaded.
    """
    height, width = truth_flow.shape[:2]
    part = box or (slice(None), slice(None))
    top, bottom, _ = part[0].indices(height)
    left, right, _ = part[1].indices(width)
    x = truth_flow[part][..., 0] + np.arange(left, right, dtype=np.float32)
    y = truth_flow[part][..., 1] + np.arange(top, bottom, dtype=np.float32)[:, None]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    truth_change = _squared_change(truth_previous[part], truth_current, x, y)
    weight = np.exp(truth_change * np.float32(-_CONFIDENCE)) * inside
    total = weight.sum(dtype=np.float64)
    if not total:
        return None
    change = _squared_change(previous[part], current, x, y)
    return float(1000 / 3 * np.multiply(change, weight, out=change).sum(dtype=np.float64) / total)


def _squared_change(previous: np.ndarray, current: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return HxW float32: the squared difference to the current frame at x, y, in 0..1, summed over R, G, B."""
    cv2 = opencv()
    fetched = cv2.remap(current.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    fetched -= previous
    np.square(fetched, out=fetched)
    weights = np.full((1, 3), 1 / 255**2, np.float32)
    summed: np.ndarray = cv2.transform(fetched, weights)
    return summed
