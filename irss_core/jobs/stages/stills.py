"""What is done to stills: prepared, upscaled, filtered. Each step reads one object and writes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irss_core.errors import LimitExceededError
from irss_core.jobs.job import Job
from irss_core.jobs.keys import work_key
from irss_core.jobs.options import Stage
from irss_core.jobs.stages import retouch
from irss_core.jobs.stages.plan import CONTENT_TYPES, result_stage
from irss_core.jobs.stages.result import RESULT, put_picture, result_format
from irss_core.jobs.stages.workshop import (
    Changes,
    Workshop,
    check_cancel,
    fetch,
    is_stored,
    noted,
    put_output,
    stage_folder,
    together,
)
from irss_core.progress import CancelToken, ProgressCallback

if TYPE_CHECKING:
    from irss_core.media.images import Picture
    from irss_core.media.picture import Pixels
    from irss_core.sr.image import ImageUpscaler, UpscaleResult

_ROLES = {Stage.PREPROCESS: "prepared", Stage.UPSCALE: "upscaled", Stage.FILTER: "filtered"}


def prepare_still(job: Job, workshop: Workshop, cancel: CancelToken | None) -> Changes:
    """Return the still without noise and stretched over the full range, as the options ask."""
    if _is_done(job, workshop, Stage.PREPROCESS):
        return Changes()
    with stage_folder(workshop) as folder:
        picture = _read_latest(job, workshop, folder, before=Stage.PREPROCESS)
        check_cancel(cancel)
        color = _without_hidden_colors(picture)
        if job.options.denoise:
            color = retouch.denoised(color)
        if job.options.autocontrast:
            color = retouch.autocontrasted(color, picture.alpha)
        check_cancel(cancel)
        return _put(job, workshop, Stage.PREPROCESS, replace(picture, color=color), folder)


def upscale_still(
    job: Job, workshop: Workshop, progress: ProgressCallback | None, cancel: CancelToken | None
) -> Changes:
    """Return the still enlarged by the model of the options, and how that went."""
    from irss_core.upscaling import StillOptions, upscale_picture

    if _is_done(job, workshop, Stage.UPSCALE):
        return Changes()
    with stage_folder(workshop) as folder:
        picture = _read_latest(job, workshop, folder, before=Stage.UPSCALE)
        upscaler = workshop.models.image_upscaler(job.options.model, denoise=job.options.model_denoise)
        _check_result(job, picture, upscaler)
        with workshop.models.inference_slot():
            enlarged, run = upscale_picture(
                picture,
                upscaler,
                options=StillOptions(outscale=job.options.outscale),
                progress=progress,
                cancel=cancel,
            )
        del picture
        return _put(job, workshop, Stage.UPSCALE, enlarged, folder, Changes(facts=_facts(run)))


def filter_still(job: Job, workshop: Workshop, cancel: CancelToken | None) -> Changes:
    """Return the still with the filters of the options; its transparency is only resized."""
    from irss_core.sr.resample import resize

    if _is_done(job, workshop, Stage.FILTER):
        return Changes()
    with stage_folder(workshop) as folder:
        picture = _read_latest(job, workshop, folder, before=Stage.FILTER)
        check_cancel(cancel)
        # A colour profile is for three channels, and greys without it would look different.
        color = retouch.filtered(
            _without_hidden_colors(picture), job.options, keep_channels=picture.icc_profile is not None
        )
        height, width = color.shape[:2]
        alpha = None if picture.alpha is None else resize(picture.alpha, height=height, width=width)
        check_cancel(cancel)
        return _put(job, workshop, Stage.FILTER, replace(picture, color=color, alpha=alpha), folder)


def read_still(workshop: Workshop, file: Path) -> Picture:
    """Return a picture handed in, within the limits."""
    from irss_core.media.images import read_image

    return read_image(file, workshop.models.image_limits)


def _is_done(job: Job, workshop: Workshop, stage: Stage) -> bool:
    """Whether nothing is left to do here: with the result there, what led to it may be gone already."""
    if is_stored(job, workshop, *RESULT):
        return True
    return not _makes_result(job, stage) and is_stored(job, workshop, _ROLES[stage])


def _makes_result(job: Job, stage: Stage) -> bool:
    return result_stage("still", job.options) is stage


def _put(job: Job, workshop: Workshop, stage: Stage, picture: Picture, folder: Path, *changes: Changes) -> Changes:
    """Return what a stage made stored: as the result, or exactly and for a while, for the stage after it."""
    from irss_core.media.images import encode_image

    told = (*changes, noted(*picture.notes))
    if _makes_result(job, stage):
        return together(job, *told, put_picture(job, workshop, picture, folder))
    role, target = _ROLES[stage], folder / "made"
    encode_image(picture, target, format="PNG")
    stored = put_output(workshop, role, work_key(job.id, role), target, content_type=CONTENT_TYPES["png"])
    return together(job, *told, stored)


def _read_latest(job: Job, workshop: Workshop, folder: Path, *, before: Stage) -> Picture:
    """Return the picture as the last stage before this one left it."""
    from irss_core.media.images import ImageLimits, read_image

    earlier = [stage for stage in job.options.stages[: job.options.stages.index(before)] if stage in _ROLES]
    if not earlier:
        return read_still(workshop, fetch(workshop, job.input_key, folder))
    file = fetch(workshop, job.outputs[_ROLES[earlier[-1]]], folder)
    any_size = ImageLimits(max_pixels=2**40, max_side=2**31, max_bytes=2**40)  # of our own making
    return read_image(file, any_size)


def _without_hidden_colors(picture: Picture) -> Pixels:
    """Return the colours with those that transparency hides replaced, so that they do not run into visible ones."""
    from irss_core.media.images import bleed_color

    return picture.color if picture.alpha is None else bleed_color(picture.color, picture.alpha)


def _check_result(job: Job, picture: Picture, upscaler: ImageUpscaler) -> None:
    """Raise what would only be known at the end otherwise: no such file, or more memory than there is."""
    import psutil

    from irss_core.sr.image import output_size

    outscale = upscaler.check_outscale(job.options.outscale)
    height, width = output_size(picture.height, picture.width, outscale)
    samples = width * height * (picture.color.shape[2] + (picture.alpha is not None))
    needed, there = 2 * samples * picture.color.itemsize, psutil.virtual_memory().total
    if needed > there:
        raise LimitExceededError(
            f"At x{outscale:g} the result has {width:,} x {height:,} pixels, for which {needed / 2**30:.1f} GiB of "
            f"memory are needed; this machine has {there / 2**30:.1f}. Use a smaller outscale or picture."
        )
    final = retouch.size_at_width(width, height, wanted=job.options.width)
    result_format(job, *final, has_alpha=picture.alpha is not None)


def _facts(run: UpscaleResult) -> dict[str, Any]:
    return {
        "model": run.model,
        "outscale": run.outscale,
        "seconds": round(run.seconds, 3),
        "device": run.device,
        "dtype": run.dtype,
        "tiles": run.tiles,
        "fallbacks": list(run.fallbacks),
        "peak_memory_bytes": run.peak_memory_bytes,
    }
