"""PROTOCOLS: every way to measure by name, in one table: input, crop, what counts, and how the average is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from irss_core.errors import InputError, InvalidOptionError
from irss_core.metrics.catalog import find_metric
from irss_core.metrics.degradation import find_degradation

SampleKind = Literal["still", "clip"]


@dataclass(frozen=True)
class Crop:
    """What of a frame counts: all but ``border`` pixels a side, or the largest centred part in steps of ``multiple``.

    ``least_left_out`` is how many pixels of a side the latter leaves out at least, in all.
    """

    border: int = 0
    multiple: int = 1
    least_left_out: int = 0

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a height x width frame that count.

        Raises:
            InputError: nothing would be left.
        """
        rows, columns = self._span(height), self._span(width)
        if rows is None or columns is None:
            least = self.multiple + max(self.least_left_out, 2 * self.border)
            raise InputError(
                f"A frame of {width}x{height} is too small to be measured with {self.described}: "
                f"take one of at least {least}x{least}, or a protocol without a crop."
            )
        return rows, columns

    def _span(self, side: int) -> slice | None:
        kept = (side - max(self.least_left_out, 2 * self.border)) // self.multiple * self.multiple
        start = (side - kept) // 2
        return slice(start, start + kept) if kept > 0 else None

    @property
    def described(self) -> str:
        """The crop in words."""
        if self.multiple > 1:
            return (
                f"a centred crop to multiples of {self.multiple} that leaves out at least {self.least_left_out} pixels"
            )
        return f"a border of {self.border} pixels left out" if self.border else "no crop"


@dataclass(frozen=True)
class Protocol:
    """A way to measure. ``metrics`` are keys of METRICS, the published columns first.

    ``skipped_ends`` frames at each end of a clip are not counted. ``published_average`` says what published rows
    average over: all counted frames, or the means of the clips.
    """

    name: str
    title: str
    summary: str
    source: str
    degradation: str
    scale: int
    kinds: tuple[SampleKind, ...]
    metrics: tuple[str, ...]
    crop: Crop
    skipped_ends: int = 0
    published_average: Literal["frames", "clips"] = "clips"

    def counted_frames(self, frames: int) -> range:
        """Return the indices of the frames of a clip that count.

        Raises:
            InputError: none would be left.
        """
        least = 2 * self.skipped_ends + 1
        if frames < least:
            raise InputError(
                f"The protocol {self.name} leaves out {self.skipped_ends} frames at each end, so a clip needs at least "
                f"{least}; this one has {frames}. Take a longer clip or another protocol."
            )
        return range(self.skipped_ends, frames - self.skipped_ends)

    def describe(self) -> list[str]:
        """Return lines for people that say everything: input, crop, what counts, averages, each metric, source."""
        degradation = find_degradation(self.degradation)
        kinds = " and ".join({"still": "stills", "clip": "clips"}[kind] for kind in self.kinds)
        lines = [
            f"{self.name}: {self.title}",
            self.summary,
            f"Measures: {kinds}, at scale {self.scale}",
            f"Input: {degradation.title}. {degradation.definition}",
            f"Crop: {self.crop.described}",
        ]
        if "clip" in self.kinds:
            lines += [f"Counted: {self._counted}", _WARM_UP]
        averages = {
            "frames": "over all counted frames, as published; over the means of the clips beside it",
            "clips": "over the means of the clips, as published; over all counted frames beside it",
        }
        lines.append(f"Average: {averages[self.published_average]}")
        for metric in map(find_metric, self.metrics):
            lines.append(f"{metric.label}{f' ({metric.unit})' if metric.unit else ''}: {metric.definition}")
        return [*lines, f"Source: {self.source}"]

    @property
    def _counted(self) -> str:
        frames = f"all but the first and last {self.skipped_ends} frames" if self.skipped_ends else "all frames"
        return f"{frames}; a pair of frames where both count"


_WARM_UP = (
    "Warm-up: models that remember first run on 5 frames mirrored at the start of the clip, whose results are dropped"
)


def counted_pairs(counted: range) -> range:
    """Return the indices ``t`` of the counted frames whose previous frame counts too: where temporal metrics count."""
    return range(counted.start + 1, counted.stop)


_ALL = (
    Protocol(
        name="tecogan-official",
        title="TecoGAN's metrics for clips",
        summary=(
            "What the rows of TecoGAN, TecoGAN-PyTorch and EGVSR were measured with. Optical flow is taken of whole "
            "frames, then cropped. The official script scales its SSIM by the range of each result; here it is 255."
        ),
        source="metrics.py of github.com/thunil/TecoGAN; Chu et al. 2020 (arXiv:1811.09393)",
        degradation="bd",
        scale=4,
        kinds=("clip",),
        metrics=("psnr_y", "lpips_alex", "tof", "tlp100_alex", "ssim_y_uniform", "warp_error", "consistency"),
        crop=Crop(multiple=32, least_left_out=16),
        skipped_ends=2,
        published_average="frames",
    ),
    Protocol(
        name="y-crop4",
        title="Y without a border of 4 pixels",
        summary=(
            "What most x4 tables of stills were measured with: limited-range Y. Full-range Y stands beside it because "
            "the two differ by 1.32 dB and are often confused."
        ),
        source="the convention since Timofte et al. 2013; the MATLAB scripts of EDSR, RCAN and ESRGAN's README",
        degradation="bi",
        scale=4,
        kinds=("still", "clip"),
        metrics=(
            "psnr_y", "ssim_y", "psnr_y_full", "ms_ssim_y", "lpips_alex", "tof", "tlp100_alex", "warp_error",
            "consistency",
        ),
        crop=Crop(border=4),
    ),
    Protocol(
        name="basicsr-rgb",
        title="R, G, B without a border of 4 pixels",
        summary=(
            "What BasicSR prints when it is not told to take Y; its SSIM has the Gaussian 11x11 window of sigma 1.5, "
            "valid area only."
        ),
        source="calculate_psnr and calculate_ssim of github.com/XPixelGroup/BasicSR, test_y_channel off, crop_border 4",
        degradation="bi",
        scale=4,
        kinds=("still", "clip"),
        metrics=("psnr_rgb", "ssim_rgb", "lpips_alex", "tof", "tlp100_alex", "warp_error", "consistency"),
        crop=Crop(border=4),
    ),
    Protocol(
        name="plain",
        title="R, G, B of the whole picture",
        summary="No crop and no published rows: for pictures and clips of one's own.",
        source="IRSS",
        degradation="bi",
        scale=4,
        kinds=("still", "clip"),
        metrics=(
            "psnr_rgb", "ssim_rgb", "ms_ssim_y", "lpips_squeeze", "tof", "tlp100_squeeze", "warp_error", "consistency",
        ),
        crop=Crop(),
    ),
)  # fmt: skip

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name; raise InvalidOptionError, which lists the names there are, if none has it."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise InvalidOptionError(
            f"There is no protocol named {name!r}. The protocols are: {', '.join(PROTOCOLS)}."
        ) from None
