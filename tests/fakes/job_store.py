"""MemoryJobStore: the JobStore in dicts, each call whole under one lock."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from irss_core.errors import ConflictError, IllegalTransitionError, InvalidOptionError
from irss_core.jobs.job import (
    BY_REDRIVE,
    LEGAL,
    Batch,
    Job,
    JobStatus,
    Mail,
    MailState,
    delivered,
    given_up,
    new_id,
)
from irss_core.jobs.ports import Page

_STILL_TO_GO_OUT = (MailState.PENDING, MailState.SENDING)


class MemoryJobStore:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._batches: dict[str, Batch] = {}
        self._jobs: dict[str, Job] = {}
        self._mails: dict[str, Mail] = {}
        self._audit: dict[str, list[str]] = {}

    def create(self, batch: Batch, jobs: Sequence[Job]) -> None:
        with self._lock:
            if batch.id in self._batches or any(job.id in self._jobs for job in jobs):
                raise ConflictError("An id is taken.")
            if len({job.id for job in jobs}) < len(jobs):
                raise ConflictError("Two of the jobs have the same id.")
            self._batches[batch.id] = batch
            self._jobs.update({job.id: _kept(job) for job in jobs})

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def batch(self, batch_id: str) -> Batch | None:
        return self._batches.get(batch_id)

    def jobs_of_batch(self, batch_id: str) -> list[Job]:
        with self._lock:
            return sorted((job for job in self._jobs.values() if job.batch_id == batch_id), key=lambda job: job.number)

    def jobs_of_owner(self, owner: str, *, limit: int, cursor: str | None = None) -> Page:
        def place(job: Job) -> tuple[float, str, int]:
            return -job.created_at, job.batch_id, job.number

        after = None
        if cursor is not None:
            try:
                of_owner, created, batch_id, number = cursor.split(" ")
                after = float(created), batch_id, int(number)
            except ValueError:
                of_owner = ""
            if of_owner != owner:
                raise InvalidOptionError("The cursor is not one of this listing.")
        with self._lock:
            jobs = sorted((job for job in self._jobs.values() if job.owner == owner), key=place)
        jobs = [job for job in jobs if after is None or place(job) > after]
        more = len(jobs) > limit
        return Page(tuple(jobs[:limit]), " ".join(map(str, (owner, *place(jobs[limit - 1])))) if more else None)

    def open_batches_of(self, owner: str) -> int:
        with self._lock:
            return sum(batch.owner == owner and batch.open_jobs > 0 for batch in self._batches.values())

    def save(self, before: Job, after: Job) -> None:
        if after.status is not before.status:
            raise IllegalTransitionError("Not a step for save.")
        with self._lock:
            self._write(before, after)

    def settle(self, before: Job, after: Job) -> Mail | None:
        if before.status is not JobStatus.NOT_PROCESSED or after.status not in LEGAL[before.status]:
            raise IllegalTransitionError("Not a step that settles.")
        with self._lock:
            self._write(before, after)
            return self._put_mail(after) if self._count_open(after.batch_id, -1) == 0 else None

    def redrive(self, before: Job, after: Job, *, by: str) -> Mail | None:
        if after.status not in BY_REDRIVE.get(before.status, ()):
            raise IllegalTransitionError("Not a redrive.")
        with self._lock:
            self._write(before, after)
            self._audit.setdefault(before.id, []).append(
                f"{after.updated_at:.0f} {by}: {before.status.value} -> {after.status.value}"
            )
            if after.status is JobStatus.NOT_PROCESSED:
                self._count_open(after.batch_id, 1)
                return None
            waits = self._batches[after.batch_id].open_jobs > 0
            waits |= any(mail.state in _STILL_TO_GO_OUT for mail in self.mails_of_batch(after.batch_id))
            return None if waits else self._put_mail(after)

    def audit(self, job_id: str) -> list[str]:
        return list(self._audit.get(job_id, []))

    def mail(self, mail_id: str) -> Mail | None:
        return self._mails.get(mail_id)

    def mails_of_batch(self, batch_id: str) -> list[Mail]:
        with self._lock:
            return [mail for mail in self._mails.values() if mail.batch_id == batch_id]

    def save_mail(self, before: Mail, after: Mail) -> None:
        with self._lock:
            current = self._mails.get(before.id)
            if current is None or (current.state, current.attempt) != (before.state, before.attempt):
                raise ConflictError("The mail is not as it was.")
            self._mails[after.id] = _merged(current, before, after)
            if after.state is before.state:
                return
            for job in self.jobs_of_batch(after.batch_id):
                if job.status is JobStatus.PROCESSED and after.state is MailState.SENT:
                    self._jobs[job.id] = delivered(job, now=after.updated_at)
                elif job.status is JobStatus.PROCESSED and after.state is MailState.FAILED:
                    self._jobs[job.id] = given_up(
                        job, code="mail-failed", error=after.answer or "", now=after.updated_at
                    )

    def unsettled_jobs(self, *, not_updated_since: float, limit: int) -> list[Job]:
        with self._lock:
            jobs = [job for job in self._jobs.values() if not job.settled and job.updated_at < not_updated_since]
        return sorted(jobs, key=lambda job: job.updated_at)[:limit]

    def open_mails(self, *, not_updated_since: float, limit: int) -> list[Mail]:
        with self._lock:
            mails = [
                mail
                for mail in self._mails.values()
                if mail.state in _STILL_TO_GO_OUT and mail.updated_at < not_updated_since
            ]
        return sorted(mails, key=lambda mail: mail.updated_at)[:limit]

    def finished_jobs(self, *, before: float, limit: int) -> list[Job]:
        with self._lock:
            finished = [(job.finished_at, job) for job in self._jobs.values() if job.settled and job.finished_at]
        return [job for at, job in sorted(finished, key=lambda each: each[0]) if at < before][:limit]

    def forget(self, job: Job) -> None:
        with self._lock:
            current = self._jobs.get(job.id)
            if current is not None and not current.settled:
                raise ConflictError("The job is not settled.")
            self._jobs.pop(job.id, None)
            self._audit.pop(job.id, None)
            if not self.jobs_of_batch(job.batch_id):
                self._batches.pop(job.batch_id, None)
                for mail in self.mails_of_batch(job.batch_id):
                    del self._mails[mail.id]

    def counts(self) -> Mapping[str, int]:
        with self._lock:
            jobs = Counter(str(job.status.value) for job in self._jobs.values())
            mails = Counter(mail.state.value for mail in self._mails.values())
        return {name: (jobs + mails)[name] for name in ["1", "2", "3", "4", *(state.value for state in MailState)]}

    def _write(self, before: Job, after: Job) -> None:
        current = self._jobs.get(before.id)
        if current is None or (current.status, current.attempt) != (before.status, before.attempt):
            raise ConflictError("The job is not as it was.")
        self._jobs[before.id] = _kept(_merged(current, before, after))

    def _count_open(self, batch_id: str, change: int) -> int:
        batch = self._batches[batch_id]
        self._batches[batch_id] = replace(batch, open_jobs=batch.open_jobs + change)
        return batch.open_jobs + change

    def _put_mail(self, job: Job) -> Mail:
        mail = Mail(id=new_id(), batch_id=job.batch_id, created_at=job.updated_at, updated_at=job.updated_at)
        self._mails[mail.id] = mail
        batch = self._batches[job.batch_id]
        self._batches[batch.id] = replace(batch, mails=batch.mails + 1)
        return mail


def _merged(current: Any, before: Any, after: Any) -> Any:
    """What is there, with the fields in which ``after`` differs from ``before``."""
    names = [each.name for each in fields(before) if getattr(before, each.name) != getattr(after, each.name)]
    return replace(current, **{name: getattr(after, name) for name in names})


def _kept(job: Job) -> Job:
    """The job as a store gives it back: its own copy of what JSON holds."""
    return replace(
        job, outputs=json.loads(json.dumps(dict(job.outputs))), facts=json.loads(json.dumps(dict(job.facts)))
    )
