"""The stage that makes the preview of the input, and the result where no other stage does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irss_core.jobs.job import Job
from irss_core.jobs.options import Stage
from irss_core.jobs.stages.clips import run_clip
from irss_core.jobs.stages.plan import kind_of, result_stage
from irss_core.jobs.stages.result import RESULT, put_picture, put_thumbnail, thumbnail_picture
from irss_core.jobs.stages.stills import read_still
from irss_core.jobs.stages.workshop import (
    Changes,
    Workshop,
    check_cancel,
    fetch,
    is_stored,
    noted,
    stage_folder,
    together,
)
from irss_core.progress import CancelToken, ProgressCallback

if TYPE_CHECKING:
    from irss_core.media.images import Picture


def thumbnail(
    job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None
) -> Changes:
    """Return 100 x 100 pixels of the middle of the input as "preview"; of a clip, of its first frame.

    Of the result, "thumbnail" shows the same; it is made with the result. Where nothing was asked for that changes the
    picture, the result is the input written anew; for the preset thumbnail-100 it is the thumbnail itself.
    """
    makes_result = result_stage(kind_of(job), job.options) is Stage.THUMBNAIL
    if is_stored(job, workshop, "preview", *(RESULT if makes_result else ())):
        return Changes()
    with stage_folder(workshop) as folder:
        picture = _shown(job, workshop, fetch(workshop, job.input_key, folder))
        check_cancel(cancel)
        changes = [noted(*picture.notes), put_thumbnail(job, workshop, "preview", picture, folder)]
        if makes_result and job.options.preset == "thumbnail-100":
            changes.append(put_picture(job, workshop, thumbnail_picture(picture), folder))
        elif makes_result and kind_of(job) == "still":
            changes.append(put_picture(job, workshop, picture, folder))
        elif makes_result:
            changes.append(run_clip(job, workshop, progress, cancel))
        return together(job, *changes)


def _shown(job: Job, workshop: Workshop, file: Path) -> Picture:
    """Return the picture handed in, or the first frame of the clip."""
    if kind_of(job) == "still":
        return read_still(workshop, file)
    from irss_core.media.images import Picture
    from irss_core.media.video import extract_frame

    return Picture(extract_frame(file, 0, workshop.models.clip_limits), None, None, None, job.facts["format"])
