"""A visitor's own jobs: the list as it is now, and what can be done with what stands in it.

No gradio here; ``job_rows`` draws the list.
"""

from __future__ import annotations

import contextlib
import hmac
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from irss_core.errors import IllegalTransitionError, InvalidOptionError, NotFoundError
from irss_core.jobs.identity import Owner
from irss_core.jobs.job import Batch, Job, JobStatus
from irss_core.jobs.service import JobService

PAGE_JOBS = 24
# A job whose mail is still to go out is looked at for so long: a mail server may be down for hours.
_MAIL_SOON_S = 120.0

Action = Literal["cancel", "cancel-batch", "delete", "delete-batch"]


@dataclass(frozen=True)
class Group:
    """One submission: ``jobs`` are those of it that are shown, the numbers are of all."""

    batch: Batch
    jobs: tuple[Job, ...]
    total: int
    finished: int
    failed: int
    results: int  # which can be taken home

    @property
    def waiting(self) -> int:
        """How many are still to be computed."""
        return self.total - self.finished - self.failed


@dataclass(frozen=True)
class Listing:
    """Some of an owner's jobs, newest submission first; ``moving``: it will soon look otherwise by itself."""

    groups: tuple[Group, ...]
    has_more: bool
    moving: bool


def list_jobs(service: JobService, owner: Owner, *, count: int) -> Listing:
    """Return an owner's newest jobs, at least ``count`` if there are so many, by submission."""
    jobs, has_more = _newest(service, owner, count)
    groups = []
    for batch_id, members in itertools.groupby(jobs, key=lambda job: job.batch_id):
        try:
            batch, every = service.batch(batch_id)
        except NotFoundError:  # deleted since it was listed
            continue
        groups.append(_group(batch, every, shown={job.id for job in members}))
    now = service.clock.now()
    moving = any(_moves(job, group, now) for group in groups for job in group.jobs)
    return Listing(tuple(groups), has_more, moving)


def act(service: JobService, owner: Owner, action: str, target: str) -> None:
    """Do what the owner asks for with one of their jobs, or with a submission of theirs.

    Raises:
        NotFoundError: there is none of that id for them. Else as the service does.
    """
    if action not in get_args(Action):
        raise InvalidOptionError(f"There is no action {action!r}. Use the buttons of the list.")
    if action == "cancel":
        job = own_job(service, owner, target)
        with contextlib.suppress(IllegalTransitionError):  # finished just now, as the list will show
            service.cancel(job.id)
    elif action == "delete":
        service.delete(own_job(service, owner, target).id)
    elif action == "cancel-batch":
        service.cancel_batch(own_batch(service, owner, target)[0].id)
    else:
        for job in own_batch(service, owner, target)[1]:
            with contextlib.suppress(NotFoundError):  # deleted just now
                service.delete(job.id)


def own_job(service: JobService, owner: Owner, job_id: str) -> Job:
    """Return the job of that id, if it is this owner's.

    Raises:
        NotFoundError: there is none, or it is somebody else's; the words are the same.
    """
    try:
        job = service.job(job_id)
    except NotFoundError:
        raise _missing() from None
    if not hmac.compare_digest(job.owner, owner.key):
        raise _missing()
    return job


def own_batch(service: JobService, owner: Owner, batch_id: str) -> tuple[Batch, list[Job]]:
    """Return the batch of that id with its jobs; raises as ``own_job``."""
    try:
        batch, jobs = service.batch(batch_id)
    except NotFoundError:
        raise _missing() from None
    if not hmac.compare_digest(batch.owner, owner.key):
        raise _missing()
    return batch, jobs


def _missing() -> NotFoundError:
    return NotFoundError("This is no longer in your list. It was deleted, here or because its time was over.")


def _newest(service: JobService, owner: Owner, count: int) -> tuple[list[Job], bool]:
    jobs: list[Job] = []
    for page, has_more in _pages(service, owner):
        jobs += page
        if len(jobs) >= count:
            return jobs, has_more
    return jobs, False


def _pages(service: JobService, owner: Owner) -> Iterator[tuple[Sequence[Job], bool]]:
    cursor: str | None = None
    while True:
        page = service.jobs_of(owner, limit=PAGE_JOBS, cursor=cursor)
        cursor = page.cursor
        yield page.jobs, cursor is not None
        if cursor is None:
            return


def _group(batch: Batch, every: Sequence[Job], *, shown: set[str]) -> Group:
    failed = sum(job.status is JobStatus.NOT_DELIVERED for job in every)
    return Group(
        batch=batch,
        jobs=tuple(job for job in every if job.id in shown),
        total=len(every),
        finished=sum(job.status in (JobStatus.PROCESSED, JobStatus.DELIVERED) for job in every),
        failed=failed,
        results=sum("result" in job.outputs and job.settled for job in every),
    )


def _moves(job: Job, group: Group, now: float) -> bool:
    if group.waiting:
        return True
    return job.status is JobStatus.PROCESSED and abs(now - job.updated_at) < _MAIL_SOON_S
