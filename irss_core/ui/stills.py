"""What the image tab computes: two models and the bicubic baseline on one picture, or on a region of it, as files.

No gradio here; everything runs on the inference thread (see ``running``) and writes into the visitor's folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irss_core.errors import InputError, ResourceError
from irss_core.media.images import ImageLimits, Picture, read_image, to_rgb8, write_image
from irss_core.metrics.degradation import consistency, consistency_residual
from irss_core.metrics.image import difference_map, psnr, ssim
from irss_core.progress import CancelToken
from irss_core.sr.catalog import MODELS
from irss_core.sr.image import UpscaleResult, output_size
from irss_core.ui.previews import within
from irss_core.ui.requests import LargeStill, Region, StillRequest
from irss_core.ui.running import Board
from irss_core.upscaling import Forecast, StillOptions, forecast_still, upscale_picture
from irss_core.votes import fingerprint

if TYPE_CHECKING:
    from irss_core.services import Services
    from irss_core.sr.image import ImageUpscaler

CLEAR_DIFFERENCE = 16  # levels of 255 from which a difference is called clear
# A browser holds each decoded picture at 4 bytes a pixel, and the viewer holds four of them.
VIEWER_PIXELS = 48_000_000
_MAP_PIXELS = 12_000_000
_DIM = 0.4  # of the result below what was invented
_JPEG_QUALITY = 92

_SUFFIXES = {"JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tiff"}
_OWN_FILES = ImageLimits(max_pixels=2**40, max_side=2**20, max_bytes=2**40)


@dataclass(frozen=True)
class StillRun:
    """What one model made of ``input_pixels``, and the measured facts (without the picture).

    ``files`` are to take home, the PNG first; ``shown`` is what the viewer loads.
    """

    name: str
    title: str
    denoise: float | None
    facts: UpscaleResult
    input_pixels: int
    output_pixels: int
    files: tuple[Path, ...]
    shown: Path

    @property
    def megapixels_per_s(self) -> float:
        """Megapixels of output a second."""
        return self.output_pixels / 1e6 / max(self.facts.seconds, 1e-9)


@dataclass(frozen=True)
class Invented:
    """Where a result, made small again, is not its input: a picture of it, and how near it comes in dB.

    ``consistency_db`` is None where the scale is no whole number.
    """

    shown: Path
    consistency_db: float | None


@dataclass(frozen=True)
class StillComparison:
    """Everything the page shows of a finished run. ``width`` x ``height`` are the output's pixels."""

    request: StillRequest
    part: Region
    width: int
    height: int
    outscale: float
    runs: tuple[StillRun, StillRun]
    input_shown: Path
    bicubic: Path
    bicubic_shown: Path
    difference: Path
    differing_percent: float
    invented: tuple[Invented, ...]  # of each run; empty where it cannot be measured
    reduced: bool  # whether the viewer shows less than every pixel
    whole_size: tuple[int, int]  # of the input, width first
    whole_forecast: Forecast | None
    source_digest: str  # of the whole input; see votes.fingerprint
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """How near a picture is to the truth."""

    title: str
    psnr_db: float
    ssim: float


def compare_still(
    request: StillRequest,
    services: Services,
    folder: Path,
    *,
    board: Board,
    cancel: CancelToken,
    measured: StillComparison | None = None,
) -> StillComparison | LargeStill:
    """Return both models' results on the request, written into ``folder``; or what it would take, if that is long.

    Args:
        measured: an earlier comparison, the best base for a forecast of what it ran.

    Raises:
        IrssError: as the reading, the loading and the upscaling do; CancelledError when asked to stop.
    """
    reading, loading, *model_steps, saving = request.steps
    board.begin(reading)
    picture = read_image(request.source, services.image_limits)
    height, width = picture.color.shape[:2]
    everything = Region(0, 0, width, height)
    region = request.region or everything
    board.begin(loading)
    upscalers = [_ready(name, services, request=request, board=board, cancel=cancel) for name in request.models]
    if request.region is None and not request.confirmed:
        forecast = _forecast(upscalers, request, width=width, height=height, known=measured.runs if measured else ())
        if forecast.seconds > services.settings.large_work_seconds:
            return LargeStill(request, forecast.seconds, forecast.memory_bytes)

    part = crop(picture, region)
    options = StillOptions(outscale=request.outscale or max(upscaler.model.default_outscale for upscaler in upscalers))
    made = []
    for step, upscaler in zip(model_steps, upscalers, strict=True):
        board.begin(step)
        made.append(upscale_picture(part, upscaler, options=options, progress=board.report, cancel=cancel))
    baseline, _ = upscale_picture(part, services.image_upscaler("bicubic"), options=options)

    board.begin(saving)
    results = _Writer(folder, request.source, cancel)
    runs = [
        results.run(name, title, enlarged, facts, denoise=request.denoise, input_pixels=region.width * region.height)
        for name, title, (enlarged, facts) in zip(request.models, request.titles, made, strict=True)
    ]
    bicubic = results.png(baseline, "bicubic", made[0][1].outscale)
    difference, differing = results.difference(made[0][0], made[1][0])
    invented = results.invented(part, [enlarged for enlarged, _ in made], made[0][1].outscale)
    out_height, out_width = baseline.color.shape[:2]
    whole = _forecast(upscalers, request, width=width, height=height, known=runs) if region != everything else None
    return StillComparison(
        request=request,
        part=region,
        width=out_width,
        height=out_height,
        outscale=made[0][1].outscale,
        runs=(runs[0], runs[1]),
        input_shown=results.shown(part, "input"),
        bicubic=bicubic,
        bicubic_shown=results.shown(baseline, "bicubic", bicubic),
        difference=difference,
        differing_percent=differing,
        invented=invented,
        reduced=out_width * out_height > VIEWER_PIXELS,
        whole_size=(width, height),
        whole_forecast=whole,
        source_digest=fingerprint(request.source),
        notes=(*picture.notes, *results.notes),
    )


def score(comparison: StillComparison, truth_path: Path, services: Services) -> list[Score]:
    """Return PSNR and SSIM of bicubic and both models against a picture of the result's size.

    After a run on a region, a picture of the whole result's size will do as well: its region is taken.

    Raises:
        InputError: the size fits neither. IrssError: as reading a picture does.
    """
    truth = to_rgb8(_truth_for(comparison, read_image(truth_path, services.image_limits)))
    made = [("Bicubic", comparison.bicubic), *((run.title, run.files[0]) for run in comparison.runs)]
    scores = []
    for title, path in made:
        pixels = to_rgb8(read_image(path, _OWN_FILES))
        scores.append(Score(title, psnr(pixels, truth), ssim(pixels, truth)))
    return scores


def crop(picture: Picture, region: Region) -> Picture:
    """Return that part of the picture."""
    rows, columns = slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
    return replace(
        picture,
        color=np.ascontiguousarray(picture.color[rows, columns]),
        alpha=None if picture.alpha is None else np.ascontiguousarray(picture.alpha[rows, columns]),
    )


def file_stem(name: str) -> str:
    """Return a name without its ending and without what cannot stand in an address or a file name."""
    return re.sub(r"[^\w.-]+", "-", Path(name).stem).strip("-.")[:80] or "picture"


class _Writer:
    """Writes the pictures of one comparison into one folder, checking between them whether to stop."""

    def __init__(self, folder: Path, source: Path, cancel: CancelToken) -> None:
        self._folder, self._stem, self._cancel = folder, file_stem(source.name), cancel
        self.notes: list[str] = []

    def png(self, picture: Picture, label: str, outscale: float) -> Path:
        """Return the PNG of an enlarged picture."""
        return self._write(picture, f"{self._stem}_{label}_x{outscale:g}.png", "PNG")

    def run(
        self,
        name: str,
        title: str,
        enlarged: Picture,
        facts: UpscaleResult,
        *,
        denoise: float | None,
        input_pixels: int,
    ) -> StillRun:
        """Return the run with its files: the PNG, and the format the visitor came with where we write it."""
        label = file_stem(title if ":" in name else name)
        files = [self.png(enlarged, label, facts.outscale)]
        suffix = _SUFFIXES.get(enlarged.format)
        if suffix is not None:
            try:
                path = files[0].with_suffix(suffix)
                files.append(self._write(enlarged, path.name, enlarged.format))
            except InputError as error:  # for example JPEG, which ends at 65,500 pixels a side
                self.notes.append(f"There is no {enlarged.format} of {title}: {error}")
        height, width = enlarged.color.shape[:2]
        return StillRun(
            name=name,
            title=title,
            denoise=denoise,
            facts=replace(facts, image=np.empty((0, 0, 3), np.uint8)),
            input_pixels=input_pixels,
            output_pixels=height * width,
            files=tuple(files),
            shown=self.shown(enlarged, label, files[0]),
        )

    def shown(self, picture: Picture, label: str, whole: Path | None = None) -> Path:
        """Return what the viewer loads: ``whole`` if a browser can hold it, else a reduced PNG."""
        if whole is not None and picture.color.shape[0] * picture.color.shape[1] <= VIEWER_PIXELS:
            return whole
        return self._write(within(picture, pixels=VIEWER_PIXELS), f"view-{label}.png", "PNG")

    def difference(self, a: Picture, b: Picture) -> tuple[Path, float]:
        """Return the heat map of two pictures, reduced if large, and the share of pixels that differ clearly."""
        first, second = to_rgb8(a), to_rgb8(b)
        clearly = np.abs(first.astype(np.int16) - second).max(axis=2) > CLEAR_DIFFERENCE
        heat = Picture(color=difference_map(first, second), alpha=None, icc_profile=None, exif=None, format="PNG")
        path = self._write(within(heat, pixels=_MAP_PIXELS), "difference.png", "PNG")
        return path, float(100 * clearly.mean())

    def invented(self, part: Picture, enlarged: Sequence[Picture], outscale: float) -> tuple[Invented, ...]:
        """Return where each result does not lead back to the input; nothing for a scale below 1."""
        if outscale < 1:
            return ()
        lr = to_rgb8(part)
        try:
            return tuple(self._invented(lr, picture, outscale, "ab"[index]) for index, picture in enumerate(enlarged))
        except ResourceError as error:
            self.notes.append(f"Where detail was invented is not shown: {error}")
            return ()

    def _invented(self, lr: np.ndarray, enlarged: Picture, outscale: float, letter: str) -> Invented:
        result = to_rgb8(enlarged)
        heat = consistency_residual(result, lr, outscale)
        # Over the result itself, dim and grey, so that one sees what it is that was invented.
        dim = (result.mean(axis=2, dtype=np.float32) * _DIM).astype(np.uint8)[..., None]
        overlay = Picture(color=np.maximum(heat, dim), alpha=None, icc_profile=None, exif=None, format="PNG")
        path = self._write(within(overlay, pixels=_MAP_PIXELS), f"invented-{letter}.png", "PNG")
        whole = outscale == int(outscale)
        return Invented(path, consistency(result, lr, "bi", int(outscale)) if whole else None)

    def _write(self, picture: Picture, filename: str, format_name: str) -> Path:
        self._cancel.raise_if_cancelled()
        path = self._folder / filename
        if path.exists():  # the same model twice
            path = path.with_stem(f"{path.stem}_b")
        write_image(picture, path, format=format_name, quality=_JPEG_QUALITY)
        return path


def _ready(name: str, services: Services, *, request: StillRequest, board: Board, cancel: CancelToken) -> ImageUpscaler:
    """Return the model, loaded and past its first run, which prepares the network and would spoil the measurement."""
    spec = MODELS.get(name)
    denoise = request.denoise if spec is not None and spec.has_denoise else None
    upscaler = services.image_upscaler(name, denoise=denoise, progress=board.report, cancel=cancel)
    upscaler(np.zeros((16, 16, 3), np.uint8), cancel=cancel)
    return upscaler


def _forecast(
    upscalers: Sequence[ImageUpscaler],
    request: StillRequest,
    *,
    width: int,
    height: int,
    known: Sequence[StillRun],
) -> Forecast:
    """Return what both models together will take, from runs that are known or from a small one now."""
    forecasts = []
    for name, upscaler in zip(request.models, upscalers, strict=True):
        measured = next(
            ((run.facts, run.input_pixels) for run in known if (run.name, run.denoise) == (name, request.denoise)), None
        )
        forecasts.append(forecast_still(upscaler, width, height, measured=measured))
    return Forecast(
        seconds=sum(forecast.seconds for forecast in forecasts),
        memory_bytes=max(forecast.memory_bytes for forecast in forecasts),
        basis="; ".join(forecast.basis for forecast in forecasts),
    )


def _truth_for(comparison: StillComparison, truth: Picture) -> Picture:
    height, width = truth.color.shape[:2]
    if (width, height) == (comparison.width, comparison.height):
        return truth
    scale, part = comparison.outscale, comparison.part
    whole_height, whole_width = output_size(comparison.whole_size[1], comparison.whole_size[0], scale)
    place = [scale * value for value in (part.x, part.y, part.width, part.height)]
    if (width, height) == (whole_width, whole_height) and all(value.is_integer() for value in place):
        return crop(truth, Region(*(int(value) for value in place)))
    raise InputError(
        f"The original is {width} x {height} pixels, the results are {comparison.width} x {comparison.height}. "
        "Choose a picture of exactly that size, or another scale."
    )
