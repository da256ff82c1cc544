"""The last stage: the original kept beside its result, every output checked, and what was only on the way deleted."""

from __future__ import annotations

from irss_core.errors import NotFoundError, StoreUnavailableError
from irss_core.jobs.job import Job
from irss_core.jobs.keys import archive_key, work_key
from irss_core.jobs.stages.result import RESULT
from irss_core.jobs.stages.workshop import Changes, Workshop, check_cancel, fetch, missing, stage_folder
from irss_core.progress import CancelToken, ProgressCallback


def archive(job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None) -> Changes:
    """Return nothing new once the original is stored for as long as the result, and all outputs are as written.

    Raises:
        StoreUnavailableError: an output is not as it was written; another attempt makes it anew.
    """
    objects = workshop.objects
    original, kept = objects.info(job.input_key), objects.info(archive_key(job.id))
    if kept is None or kept.sha256 != job.facts["sha256"]:
        if original is None:
            raise NotFoundError("The file that was handed in is gone from the store. Hand it in again.")
        with stage_folder(workshop) as folder:
            file = fetch(workshop, job.input_key, folder)
            # Whatever type the upload claimed: nobody is to open it in a browser.
            objects.put(archive_key(job.id), file, content_type="application/octet-stream")
    for role in (*RESULT, "preview"):
        check_cancel(cancel)
        if wrong := missing(job, workshop, role):
            raise StoreUnavailableError(f"The output {role!r} {wrong}. Check the store's disk; it is made anew.")
    for key in list(objects.keys(work_key(job.id, ""))):
        objects.delete(key)
    return Changes()
