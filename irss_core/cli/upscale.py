"""``irss upscale``: files, patterns and folders of stills and clips, each made larger on its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from irss_core.cli.batch import run_batch
from irss_core.cli.inputs import Item, Naming, Plan, find_sources, plan_batch
from irss_core.cli.invocation import Invocation, invocation_of, load_settings
from irss_core.cli.options import (
    Crf,
    Denoise,
    Device,
    ModelName,
    Overwrite,
    Precision,
    Scale,
    StillFormat,
    Tile,
    Weights,
    check_denoise,
    tile_size,
)
from irss_core.cli.wording import counted, describe_clip, describe_still
from irss_core.errors import InvalidOptionError
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.catalog import find_model

if TYPE_CHECKING:
    from irss_core.cli.console import Console
    from irss_core.config import Settings
    from irss_core.services import Services

EXAMPLES = """\b
Examples:
  irss upscale photo.jpg -o photo_large.png
  irss upscale photos -o large --recursive --format keep
  irss upscale "scans/*.tif" holiday.mp4 -o large -s 2
  irss upscale clip.mp4 -o clip_large.mp4 -m realesr-animevideov3 --crf 18
  irss upscale photo.jpg -o out/ --weights my_esrgan.pth --tile 256
  irss upscale -o out/ -- -name-that-begins-with-a-dash.png
"""

_STILL_MODEL, _CLIP_MODEL = "realesrgan-x4plus", "tecogan-x4"


def upscale(
    context: typer.Context,
    *,
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN", help="Pictures, clips, folders, patterns such as 'a/**/*.png'.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help="A file for one input, else a folder; results are called NAME_x4.png."
        ),
    ],
    model: ModelName = None,
    scale: Scale = None,
    still_format: Annotated[
        StillFormat | None,
        typer.Option("--format", help="Stills in a folder are written so; keep: as the input. Default: png."),
    ] = None,
    quality: Annotated[int, typer.Option("--quality", min=1, max=100, metavar="1..100", help="Of JPEG and WebP.")] = 90,
    tile: Tile = "auto",
    denoise: Denoise = None,
    weights: Weights = None,
    device: Device = None,
    dtype: Precision = None,
    overwrite: Overwrite = False,
    strip_metadata: Annotated[
        bool, typer.Option("--strip-metadata", help="Write no camera data (EXIF). Where it was taken is never kept.")
    ] = False,
    alpha: Annotated[
        Literal["model", "lanczos"], typer.Option("--alpha", help="What makes the transparency larger.")
    ] = "lanczos",
    crf: Crf = 16,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into subfolders, too.")] = False,
) -> None:
    """Make pictures and clips larger, each file on its own.

    Stills and clips may be mixed; which is which is told by their content. A file that fails is reported and the
    rest is done. Folders keep their structure. Nothing is overwritten unless told.
    """
    request = _Request(
        scale=scale,
        still_format=still_format,
        quality=quality,
        tile=tile_size(tile),
        denoise=denoise,
        keep_metadata=not strip_metadata,
        alpha=alpha,
        crf=crf,
        overwrite=overwrite,
    )
    invocation = invocation_of(context)
    settings = load_settings(device=device, dtype=dtype)
    services = functools.cache(lambda: invocation.load_services(settings))  # takes seconds: not before it is needed
    chosen = _catalog_models(model, denoise) if weights is None else _own_model(model, weights, services)
    plan = _plan(inputs, output, chosen, request=request, recursive=recursive, invocation=invocation, settings=settings)
    waiting = [item for item in plan.items if overwrite or not item.target.exists()]
    if waiting:
        services()  # before signals only throw a token: Ctrl-C shall end the seconds of importing at once
    with invocation.cancellable() as cancel:
        worker = _Worker(chosen, request, services, cancel)
        worker.load(waiting, invocation.console)
        tally = run_batch(plan, worker, console=invocation.console, cancel=cancel, overwrite=overwrite)
    raise typer.Exit(0 if tally.complete else 1)


@dataclass(frozen=True)
class _Request:
    """The options that say how each file is done."""

    scale: float | None
    still_format: StillFormat | None
    quality: int
    tile: int | Literal["auto"]
    denoise: float | None
    keep_metadata: bool
    alpha: Literal["model", "lanczos"]
    crf: int
    overwrite: bool


@dataclass(frozen=True)
class _Chosen:
    """The model for stills and the one for clips, and how much larger each makes things by itself."""

    still: str
    still_scale: float
    clip: str
    clip_scale: float


def _catalog_models(name: str | None, denoise: float | None) -> _Chosen:
    still, clip = find_model(name or _STILL_MODEL), find_model(name or _CLIP_MODEL)
    check_denoise(denoise, still)
    return _Chosen(still.name, still.scale, clip.name, clip.scale)


def _own_model(name: str | None, weights: Path, services: Callable[[], Services]) -> _Chosen:
    if name is not None:
        raise InvalidOptionError("--model and --weights cannot be given together: a checkpoint is a model of its own.")
    model = services().add_checkpoint(weights)
    return _Chosen(model.name, model.default_outscale, model.name, model.default_outscale)


def _plan(
    inputs: list[str],
    output: str,
    chosen: _Chosen,
    *,
    request: _Request,
    recursive: bool,
    invocation: Invocation,
    settings: Settings,
) -> Plan:
    from irss_core.media.images import IMAGE_SUFFIXES
    from irss_core.media.video import CLIP_SUFFIXES, ClipLimits, is_clip

    limits = ClipLimits(max_frame_pixels=settings.max_clip_frame_pixels)

    found = find_sources(inputs, output=output, recursive=recursive, suffixes=IMAGE_SUFFIXES | CLIP_SUFFIXES)
    if found.earlier_results:
        invocation.console.note(f"left out {counted(found.earlier_results, 'earlier result')} in the output folder")
    naming = Naming(request.scale or chosen.still_scale, request.scale or chosen.clip_scale, request.still_format)
    return plan_batch(found, output, naming=naming, is_clip=lambda path: is_clip(path, limits))


class _Worker:
    """Does one item: holds the loaded models and the options, returns what to say about the result."""

    def __init__(
        self, chosen: _Chosen, request: _Request, services: Callable[[], Services], cancel: CancelToken
    ) -> None:
        self._chosen, self._request, self._services, self._cancel = chosen, request, services, cancel

    def load(self, items: Sequence[Item], console: Console) -> None:
        """Load the models that these items need: what none of them can have stops the batch before it begins."""
        if items and self._request.scale is not None:
            from irss_core.sr.image import check_outscale

            check_outscale(self._request.scale)
        for name in sorted({self._chosen.clip if item.clip else self._chosen.still for item in items}):
            with console.progress(f"Loading {name}") as progress:
                self._services().image_upscaler(
                    name, denoise=self._request.denoise, progress=progress, cancel=self._cancel
                )

    def __call__(self, item: Item, progress: ProgressCallback) -> str:
        """Return the facts of the finished item, in words."""
        return self._clip(item, progress) if item.clip else self._still(item, progress)

    def _still(self, item: Item, progress: ProgressCallback) -> str:
        from irss_core.upscaling import StillOptions, upscale_still

        request, services = self._request, self._services()
        result = upscale_still(
            item.source,
            item.target,
            services.image_upscaler(self._chosen.still, denoise=request.denoise),
            options=StillOptions(
                outscale=request.scale,
                tile=request.tile,
                quality=request.quality,
                keep_metadata=request.keep_metadata,
                alpha=request.alpha,
            ),
            limits=services.image_limits,
            overwrite=request.overwrite,
            progress=progress,
            cancel=self._cancel,
        )
        return describe_still(result)

    def _clip(self, item: Item, progress: ProgressCallback) -> str:
        from irss_core.upscaling import ClipOptions, upscale_clip

        request, services = self._request, self._services()
        report = upscale_clip(
            item.source,
            item.target,
            services.video_upscaler(self._chosen.clip, denoise=request.denoise),
            options=ClipOptions(outscale=request.scale, crf=request.crf),
            limits=services.clip_limits,
            overwrite=request.overwrite,
            progress=progress,
            cancel=self._cancel,
        )
        return describe_clip(report)
