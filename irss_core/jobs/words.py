"""How jobs are told in words: the same on every page, in events, in answers and on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from irss_core.jobs.job import Job, JobStatus
from irss_core.jobs.options import Stage
from irss_core.words import time_words

STAGE_WORDS: Mapping[Stage, str] = {
    Stage.VALIDATE: "Checking the file",
    Stage.METADATA: "Reading what it is",
    Stage.PREPROCESS: "Preparing",
    Stage.UPSCALE: "Enlarging",
    Stage.FILTER: "Filtering",
    Stage.THUMBNAIL: "Drawing the thumbnail",
    Stage.ARCHIVE: "Storing the result",
    Stage.DELIVER: "Mailing",
}
STATUS_WORDS: Mapping[JobStatus, str] = {
    JobStatus.NOT_PROCESSED: "not processed",
    JobStatus.PROCESSED: "processed",
    JobStatus.DELIVERED: "delivered",
    JobStatus.NOT_DELIVERED: "not delivered",
}


def state(job: Job) -> str:
    """Return the name of the job's status number."""
    return STATUS_WORDS[job.status]


def summary(job: Job) -> str:
    """Return in a sentence how the job is doing."""
    if job.status is JobStatus.PROCESSED:
        return "Finished, not yet mailed."  # the mail waits for the whole batch
    if job.status is JobStatus.DELIVERED:
        return "Finished and mailed."
    if job.status is JobStatus.NOT_DELIVERED:
        return _not_delivered(job)
    if job.cancel_requested:
        return "Being cancelled."
    return " ".join([_in_work(job), *([f"The last try did not succeed: {job.error}"] if job.error else [])])


def step(stage: Stage) -> str:
    """Return what happens at a stage."""
    return STAGE_WORDS[stage]


def batch_summary(jobs: Sequence[Job]) -> str:
    """Return in a sentence how a batch is doing."""
    total, waiting = len(jobs), sum(not job.settled for job in jobs)
    failed = sum(job.status is JobStatus.NOT_DELIVERED for job in jobs)
    done = total - waiting - failed
    parts = [f"{done} of {total} {'file' if total == 1 else 'files'} finished"]
    parts += [f"{failed} not delivered"] if failed else []
    parts += [f"{waiting} to go"] if waiting else []
    return f"{', '.join(parts)}."


def _in_work(job: Job) -> str:
    if job.stage is None:
        return "Waiting for its turn."
    left = f", about {time_words(job.remaining_s)} left" if job.remaining_s is not None else ""
    return f"{STAGE_WORDS[job.stage]}: {job.progress:.0%}{left}."


def _not_delivered(job: Job) -> str:
    if job.error_code == "cancelled":
        return "Cancelled."
    reason = job.error or "The reason is not known."
    # A result with a failed mail is there all the same.
    return f"Finished, but the mail was not delivered: {reason}" if "result" in job.outputs else f"Failed: {reason}"
