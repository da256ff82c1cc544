"""METRICS: every measure by name, in one table: what it is, which way is better, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from irss_core.errors import InvalidOptionError

Better = Literal["higher", "lower"]
Need = Literal["truth", "previous", "input", "lpips-alex", "lpips-squeeze", "lpips-vgg", "stlpips"]


@dataclass(frozen=True)
class Metric:
    """One measure of a frame. ``needs`` lists what it cannot do without; ``unit`` is empty for pure numbers."""

    key: str
    label: str
    unit: str
    better: Better
    digits: int
    definition: str
    needs: tuple[Need, ...] = ("truth",)


_TEMPORAL: tuple[Need, ...] = ("truth", "previous")

_ALL = (
    Metric("psnr_y", "PSNR-Y", "dB", "higher", 2, "Y of BT.601 in limited range (16..235), peak 255."),
    Metric("psnr_y_full", "PSNR-Y full", "dB", "higher", 2, "Y of BT.601 in full range (0..255), peak 255."),
    Metric("psnr_rgb", "PSNR-RGB", "dB", "higher", 2, "Mean squared error over all three channels, peak 255."),
    Metric(
        "ssim_y", "SSIM-Y", "", "higher", 4, "Wang 2004 on limited-range Y: Gaussian 11x11, sigma 1.5, valid area only."
    ),
    Metric(
        "ssim_rgb", "SSIM-RGB", "", "higher", 4,
        "Wang 2004 on each of R, G, B: Gaussian 11x11, sigma 1.5, valid area only; their mean.",
    ),
    Metric(
        "ssim_y_uniform", "SSIM-Y 7x7", "", "higher", 4,
        "Limited-range Y, uniform 7x7 window with sample covariance: scikit-image's default.",
    ),
    Metric("ms_ssim_y", "MS-SSIM-Y", "", "higher", 4, "Wang 2003, five scales, on limited-range Y."),
    Metric("lpips_alex", "LPIPS", "", "lower", 4, "LPIPS v0.1, AlexNet, linear heads.", ("truth", "lpips-alex")),
    Metric(
        "lpips_squeeze", "LPIPS-squeeze", "", "lower", 4, "LPIPS v0.1, SqueezeNet 1.1, linear heads.",
        ("truth", "lpips-squeeze"),
    ),
    Metric("lpips_vgg", "LPIPS-VGG", "", "lower", 4, "LPIPS v0.1, VGG-16, linear heads.", ("truth", "lpips-vgg")),
    Metric(
        "stlpips", "ST-LPIPS", "", "lower", 4, "Shift-tolerant LPIPS (2022), AlexNet; not comparable with LPIPS.",
        ("truth", "stlpips"),
    ),
    Metric(
        "tof", "tOF", "px", "lower", 3,
        "Mean length of the difference between the Farneback flows of the result and of the truth.", _TEMPORAL,
    ),
    Metric(
        "tlp100_alex", "tLP100", "", "lower", 3, "100 |LPIPS(truth pair) - LPIPS(result pair)|, AlexNet.",
        (*_TEMPORAL, "lpips-alex"),
    ),
    Metric(
        "tlp100_squeeze", "tLP100-squeeze", "", "lower", 3, "100 |LPIPS(truth pair) - LPIPS(result pair)|, SqueezeNet.",
        (*_TEMPORAL, "lpips-squeeze"),
    ),
    Metric(
        "warp_error", "Warping error", "1e-3", "lower", 3,
        "1000 x mean squared change along the truth's flow, values in 0..1, occluded pixels weighted out.", _TEMPORAL,
    ),
    Metric(
        "consistency", "Consistency", "dB", "higher", 2,
        "PSNR-RGB of the result, degraded again, against the input: needs no truth.", ("input",),
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.key: metric for metric in _ALL}


def find_metric(key: str) -> Metric:
    """Return the metric of that name; raise InvalidOptionError, which lists the names there are, if none has it."""
    try:
        return METRICS[key]
    except KeyError:
        raise InvalidOptionError(f"There is no metric named {key!r}. The metrics are: {', '.join(METRICS)}.") from None
