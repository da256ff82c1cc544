"""DynamoJobStore: batches, jobs and the outbox in one table, each step of them one transaction."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from irss_core.adapters.aws.actions import change, delete
from irss_core.adapters.aws.creation import clear_drafts, create, is_there
from irss_core.adapters.aws.dynamo import DynamoTable, in_parts
from irss_core.adapters.aws.items import Item, batch_of, job_of, mail_of, plain
from irss_core.adapters.aws.listing import jobs_in, mails_at, mails_in, read_page
from irss_core.adapters.aws.outbox import (
    STILL_TO_GO_OUT,
    job_step,
    one_job_less,
    one_job_more,
    one_result_more,
    write_mail,
)
from irss_core.adapters.aws.table import (
    BY_OWNER,
    BY_STATE,
    LAST_JOB,
    batch_key,
    job_key,
    job_place_key,
    mail_key,
    place_of_open_batch,
)
from irss_core.errors import ConflictError, IllegalTransitionError
from irss_core.jobs.job import BY_REDRIVE, LEGAL, Batch, Job, JobStatus, Mail, MailState
from irss_core.jobs.ports import Page

_FINISHED = (JobStatus.PROCESSED, JobStatus.DELIVERED, JobStatus.NOT_DELIVERED)


class DynamoJobStore:
    """The JobStore on AWS, for any number of functions and workers.

    A write names the status and attempt (a mail: state and attempt) that its writer knows, and touches only the fields
    that the writer changes: the wish to cancel, say, outlives a worker's report of progress.
    """

    def __init__(self, client: Any, table: str, *, most_actions: int = 100) -> None:
        self._table = DynamoTable(client, table, most_actions=most_actions)

    # Batches and jobs.

    def create(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Write a batch with all its jobs."""
        create(self._table, batch, jobs)

    def job(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        item = self._job_item(job_id)
        return job_of(item) if item else None

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch, or None."""
        item = self._batch_item(batch_id)
        return batch_of(item) if item else None

    def jobs_of_batch(self, batch_id: str) -> list[Job]:
        """Return a batch's jobs by their number."""
        key = batch_key(batch_id)
        where = "#pk = :pk AND #sk BETWEEN :batch AND :last"
        items = [*itertools.chain(*self._table.query(where, pk=key["pk"], batch=key["sk"], last=LAST_JOB))]
        return [job_of(item) for item in items[1:]] if items and is_there(items[0]) else []

    def jobs_of_owner(self, owner: str, *, limit: int, cursor: str | None = None) -> Page:
        """Return an owner's jobs, the newest submission first, a submission's by their number."""
        return read_page(self._table, owner, limit=limit, cursor=cursor)

    def open_batches_of(self, owner: str) -> int:
        """Return how many of an owner's batches have open jobs; one of a moment ago may be missing."""
        where = "#owner = :owner AND begins_with(#place, :open)"
        return self._table.count(where, index=BY_OWNER, owner=owner, open=place_of_open_batch(""))

    def save(self, before: Job, after: Job) -> None:
        """Write the fields in which ``after`` differs, if the job still has the status and attempt of ``before``."""
        if after.status is not before.status:
            raise IllegalTransitionError(
                f"Job {before.short_id} becomes {after.status.value}: write it with settle, redrive or save_mail."
            )
        step = job_step(before, after)
        if after.attempt == before.attempt:  # a report, of which there are many: written twice it says the same
            if self._table.write(step) is None:
                raise _lost(before)
        else:  # a claim: written twice it would be taken for somebody else's
            self._table.insist(lambda: self._table.transact([step], lost=_lost(before)))

    def settle(self, before: Job, after: Job) -> Mail | None:
        """Write 1 -> 2 or 1 -> 4, and return the mail if this was the batch's last open job."""
        _require_step(before, after, JobStatus.NOT_PROCESSED, LEGAL)

        def step() -> Mail | None:
            mail, of_batch = one_job_less(self._batch_of(before), now=after.updated_at)
            self._table.transact([job_step(before, after), *of_batch], lost=_lost(before))
            return mail

        return self._table.insist(step)

    def redrive(self, before: Job, after: Job, *, by: str) -> Mail | None:
        """Write 4 -> 1 or 4 -> 2 with a line of audit, and return the mail that 4 -> 2 may ask for."""
        _require_step(before, after, JobStatus.NOT_DELIVERED, BY_REDRIVE)
        at = datetime.fromtimestamp(after.updated_at, UTC)
        line = f"{at:%Y-%m-%dT%H:%M:%SZ} {by}: {before.status.value} -> {after.status.value}"
        one_line_more = "#audit = list_append(if_not_exists(#audit, :no_lines), :line)"
        of_job = job_step(before, after, also=one_line_more, no_lines=[], line=[line])

        def step() -> Mail | None:
            batch = self._batch_of(before)
            anew = after.status is JobStatus.NOT_PROCESSED
            mail, of_batch = (None, one_job_more(batch)) if anew else one_result_more(batch, now=after.updated_at)
            self._table.transact([of_job, *of_batch], lost=_lost(before))
            return mail

        return self._table.insist(step)

    def audit(self, job_id: str) -> list[str]:
        """Return what operators did with a job, a line each, oldest first."""
        item = self._job_item(job_id)
        return plain(item, "audit") if item and "audit" in item else []

    def forget(self, job: Job) -> None:
        """Delete a settled job; with its last job, the batch and its mails go. One that is gone already stays so."""
        self._table.insist(lambda: self._forget(job))

    # The outbox.

    def mail(self, mail_id: str) -> Mail | None:
        """Return a mail of the outbox, or None."""
        item = self._table.get(mail_key(mail_id))
        return mail_of(item) if item else None

    def mails_of_batch(self, batch_id: str) -> list[Mail]:
        """Return a batch's mails, oldest first."""
        batch = self._batch_item(batch_id)
        return mails_at(self._table, map(mail_key, plain(batch, "mail_ids"))) if batch else []

    def save_mail(self, before: Mail, after: Mail) -> None:
        """Write the mail if it still has the state and attempt of ``before``, and what follows from it for its jobs."""
        write_mail(self._table, before, after, jobs_of_batch=self.jobs_of_batch)

    # For the sweeper and the operator.

    def unsettled_jobs(self, *, not_updated_since: float, limit: int) -> list[Job]:
        """Return jobs of status 1 that were last written before that time, oldest first.

        A submission that was broken off before that time is undone.
        """
        if math.isfinite(not_updated_since):
            clear_drafts(self._table, begun_before=not_updated_since)
        jobs = jobs_in(self._table, JobStatus.NOT_PROCESSED, before=not_updated_since, limit=limit)
        return [*itertools.islice((job for job in jobs if job.updated_at < not_updated_since), limit)]

    def open_mails(self, *, not_updated_since: float, limit: int) -> list[Mail]:
        """Return mails PENDING or SENDING that were last written before that time, oldest first."""
        states = [mails_in(self._table, each, before=not_updated_since, limit=limit) for each in STILL_TO_GO_OUT]
        mails = heapq.merge(*states, key=lambda mail: mail.updated_at)
        return [*itertools.islice((mail for mail in mails if mail.updated_at < not_updated_since), limit)]

    def finished_jobs(self, *, before: float, limit: int) -> list[Job]:
        """Return settled jobs that were finished before that time, oldest first."""
        states = [jobs_in(self._table, each, before=before, limit=limit) for each in _FINISHED]
        jobs = heapq.merge(*states, key=lambda job: job.finished_at or 0.0)
        return [*itertools.islice((job for job in jobs if job.finished_at and job.finished_at < before), limit)]

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs have each status ("1" to "4") and mails each state ("pending" …), all named."""
        names = [str(each.value) for each in (*JobStatus, *MailState)]
        return {name: self._table.count("#in_state = :state", index=BY_STATE, state=name) for name in names}

    def _job_item(self, job_id: str) -> Item | None:
        place = self._table.get(job_place_key(job_id))
        if place is None:
            return None
        of_batch = batch_key(plain(place, "batch_id"))
        of_job = job_key(plain(place, "batch_id"), plain(place, "number"))
        found = self._table.get_many([of_batch, of_job])
        return (
            found.get((of_job["pk"], of_job["sk"])) if is_there(found.get((of_batch["pk"], of_batch["sk"]))) else None
        )

    def _batch_item(self, batch_id: str) -> Item | None:
        item = self._table.get(batch_key(batch_id))
        return item if is_there(item) else None

    def _batch_of(self, job: Job) -> Item:
        batch = self._batch_item(job.batch_id)
        if batch is None:
            raise _lost(job)
        return batch

    def _forget(self, job: Job) -> None:
        of_batch, of_job = batch_key(job.batch_id), job_key(job.batch_id, job.number)
        found = self._table.get_many([of_batch, of_job])
        item, batch = found.get((of_job["pk"], of_job["sk"])), found.get((of_batch["pk"], of_batch["sk"]))
        if item is None or batch is None or not is_there(batch):
            return
        if job_of(item).status is JobStatus.NOT_PROCESSED:
            raise ConflictError(f"Job {job.short_id} is still to be worked on. Cancel it before it is deleted.")
        settled = delete(of_job, where="#status <> :one AND #id = :id", one=int(JobStatus.NOT_PROCESSED), id=job.id)
        gone = [settled, delete(job_place_key(job.id))]
        if plain(batch, "kept") > 1:
            self._table.transact([*gone, change(of_batch, "ADD #kept :less", where="#kept > :one", less=-1, one=1)])
            return
        last = delete(of_batch, where="#kept = :one AND #mails = :mails", one=1, mails=batch["mails"])
        mails = [delete(mail_key(mail_id)) for mail_id in plain(batch, "mail_ids")]
        room = self._table.most_actions - 3
        first = mails[: max(0, len(mails) - room)]
        for part in in_parts(first, self._table.most_actions):
            self._table.transact(part)
        self._table.transact([*gone, last, *mails[len(first) :]])


def _lost(job: Job) -> ConflictError:
    return ConflictError(
        f"Job {job.short_id} is not at status {job.status.value}, attempt {job.attempt} any more. "
        "Read it again; who worked on it has lost it to somebody else."
    )


def _require_step(before: Job, after: Job, start: JobStatus, legal: Mapping[JobStatus, frozenset[JobStatus]]) -> None:
    if before.status is not start or after.status not in legal[start]:
        raise IllegalTransitionError(
            f"Job {before.short_id} cannot go from status {before.status.value} to {after.status.value} in this way."
        )
