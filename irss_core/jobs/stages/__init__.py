"""The pipeline's steps: STAGES names the function of each. Importing this loads no decoder and no network."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from irss_core.jobs.job import Job
from irss_core.jobs.options import Stage
from irss_core.jobs.stages.archiving import archive
from irss_core.jobs.stages.clips import run_clip
from irss_core.jobs.stages.plan import check_options_for, kind_of, result_stage
from irss_core.jobs.stages.stills import filter_still, prepare_still, upscale_still
from irss_core.jobs.stages.thumbnails import thumbnail
from irss_core.jobs.stages.validation import metadata, validate
from irss_core.jobs.stages.workshop import Changes, Models, StageFunction, Workshop
from irss_core.progress import CancelToken, ProgressCallback

__all__ = ["STAGES", "Changes", "Models", "StageFunction", "Workshop", "check_options_for"]


def preprocess(
    job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None
) -> Changes:
    """Return the picture, upright, without noise and over the full range, as the options ask for."""
    if kind_of(job) == "still":
        return prepare_still(job, workshop, cancel)
    return _clip_at(Stage.PREPROCESS, job, workshop, progress, cancel)


def upscale(job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None) -> Changes:
    """Return the picture or clip enlarged by the model, and how that went; the device is held meanwhile."""
    if kind_of(job) == "still":
        return upscale_still(job, workshop, progress, cancel)
    return _clip_at(Stage.UPSCALE, job, workshop, progress, cancel)


def filter(  # the step's name, which hides nothing that is used here
    job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None
) -> Changes:
    """Return the picture sharpened, with another contrast or width, in grey, or compressed to a size."""
    if kind_of(job) == "still":
        return filter_still(job, workshop, cancel)
    return _clip_at(Stage.FILTER, job, workshop, progress, cancel)


def _clip_at(
    stage: Stage, job: Job, workshop: Workshop, progress: ProgressCallback | None, cancel: CancelToken | None
) -> Changes:
    """Return the clip if this is the stage in which all its steps are done, else nothing."""
    return run_clip(job, workshop, progress, cancel) if result_stage("clip", job.options) is stage else Changes()


STAGES: Mapping[Stage, StageFunction] = MappingProxyType({
    Stage.VALIDATE: validate,
    Stage.METADATA: metadata,
    Stage.PREPROCESS: preprocess,
    Stage.UPSCALE: upscale,
    Stage.FILTER: filter,
    Stage.THUMBNAIL: thumbnail,
    Stage.ARCHIVE: archive,
})  # fmt: skip
"""What is done at each stage but the last: the job is settled and its mail sent by who runs them."""
