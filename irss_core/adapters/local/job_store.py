"""SqliteJobStore: batches, jobs and the outbox in one database, each step of them one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from irss_core.adapters.local.database import Database
from irss_core.adapters.local.listing import read_page
from irss_core.adapters.local.rows import batch_of, insert, job_of, mail_of, update
from irss_core.errors import ConflictError, IllegalTransitionError
from irss_core.jobs.job import BY_REDRIVE, LEGAL, Batch, Job, JobStatus, Mail, MailState, new_id
from irss_core.jobs.ports import Page

_STILL_TO_GO_OUT = (MailState.PENDING, MailState.SENDING)


class SqliteJobStore:
    """The JobStore on one machine, for any number of threads and processes.

    A write names the status and attempt (a mail: state and attempt) that its writer knows, and touches only the fields
    that the writer changes: the wish to cancel, say, outlives a worker's report of progress.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # Batches and jobs.

    def create(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Write a batch with all its jobs."""
        try:
            with self._database.writing() as connection:
                insert(connection, "batches", batch)
                for job in jobs:
                    insert(connection, "jobs", job)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != "SQLITE_CONSTRAINT_PRIMARYKEY":
                raise
            raise ConflictError(
                f"The id of batch {batch.id[:12]} or of one of its jobs is taken. Submit it anew, with new ids."
            ) from error

    def job(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        rows = self._database.read("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return job_of(rows[0]) if rows else None

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch, or None."""
        rows = self._database.read("SELECT * FROM batches WHERE id = ?", (batch_id,))
        return batch_of(rows[0]) if rows else None

    def jobs_of_batch(self, batch_id: str) -> list[Job]:
        """Return a batch's jobs by their number."""
        return [
            job_of(row)
            for row in self._database.read("SELECT * FROM jobs WHERE batch_id = ? ORDER BY number", (batch_id,))
        ]

    def jobs_of_owner(self, owner: str, *, limit: int, cursor: str | None = None) -> Page:
        """Return an owner's jobs, the newest submission first, a submission's by their number."""
        return read_page(self._database, owner, limit=limit, cursor=cursor)

    def open_batches_of(self, owner: str) -> int:
        """Return how many of an owner's batches have open jobs."""
        rows = self._database.read("SELECT count(*) FROM batches WHERE owner = ? AND open_jobs > 0", (owner,))
        return int(rows[0][0])

    def save(self, before: Job, after: Job) -> None:
        """Write the fields in which ``after`` differs, if the job still has the status and attempt of ``before``."""
        if after.status is not before.status:
            raise IllegalTransitionError(
                f"Job {before.short_id} becomes {after.status.value}: write it with settle, redrive or save_mail."
            )
        with self._database.writing() as connection:
            _update_job(connection, before, after)

    def settle(self, before: Job, after: Job) -> Mail | None:
        """Write 1 -> 2 or 1 -> 4, and return the mail if this was the batch's last open job."""
        _require_step(before, after, JobStatus.NOT_PROCESSED, LEGAL)
        with self._database.writing() as connection:
            _update_job(connection, before, after)
            open_jobs = _count_open(connection, before.batch_id, -1)
            return _put_mail(connection, before.batch_id, now=after.updated_at) if open_jobs == 0 else None

    def redrive(self, before: Job, after: Job, *, by: str) -> Mail | None:
        """Write 4 -> 1 or 4 -> 2 with a line of audit, and return the mail that 4 -> 2 may ask for."""
        _require_step(before, after, JobStatus.NOT_DELIVERED, BY_REDRIVE)
        with self._database.writing() as connection:
            _update_job(connection, before, after)
            connection.execute(
                "INSERT INTO audit (job_id, at, by, from_status, to_status) VALUES (?, ?, ?, ?, ?)",
                (before.id, after.updated_at, by, before.status, after.status),
            )
            if after.status is JobStatus.NOT_PROCESSED:
                _count_open(connection, before.batch_id, 1)
                return None
            (waits,) = connection.execute(
                "SELECT (SELECT open_jobs FROM batches WHERE id = ?1) > 0 "
                "OR EXISTS (SELECT 1 FROM mails WHERE batch_id = ?1 AND state IN (?2, ?3))",
                (before.batch_id, *_STILL_TO_GO_OUT),
            ).fetchone()
            return None if waits else _put_mail(connection, before.batch_id, now=after.updated_at)

    def audit(self, job_id: str) -> list[str]:
        """Return what operators did with a job, a line each, oldest first."""
        return [
            f"{datetime.fromtimestamp(row['at'], UTC):%Y-%m-%dT%H:%M:%SZ} {row['by']}: "
            f"{row['from_status']} -> {row['to_status']}"
            for row in self._database.read("SELECT * FROM audit WHERE job_id = ? ORDER BY id", (job_id,))
        ]

    def forget(self, job: Job) -> None:
        """Delete a settled job; with its last job, the batch and its mails go. One that is gone already stays so."""
        with self._database.writing() as connection:
            row = connection.execute("SELECT status FROM jobs WHERE id = ?", (job.id,)).fetchone()
            if row is not None and row["status"] == JobStatus.NOT_PROCESSED:
                raise ConflictError(f"Job {job.short_id} is still to be worked on. Cancel it before it is deleted.")
            connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
            connection.execute(
                "DELETE FROM batches WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch_id = ?1)",
                (job.batch_id,),
            )

    # The outbox.

    def mail(self, mail_id: str) -> Mail | None:
        """Return a mail of the outbox, or None."""
        rows = self._database.read("SELECT * FROM mails WHERE id = ?", (mail_id,))
        return mail_of(rows[0]) if rows else None

    def mails_of_batch(self, batch_id: str) -> list[Mail]:
        """Return a batch's mails, oldest first."""
        rows = self._database.read("SELECT * FROM mails WHERE batch_id = ? ORDER BY created_at, rowid", (batch_id,))
        return [mail_of(row) for row in rows]

    def save_mail(self, before: Mail, after: Mail) -> None:
        """Write the mail if it still has the state and attempt of ``before``, and what follows from it for its jobs."""
        with self._database.writing() as connection:
            known = {"state": before.state, "attempt": before.attempt}
            if not update(connection, "mails", before, after, known=known):
                raise ConflictError("Somebody else has sent this mail, or is at it. Read it again.")
            if after.state is before.state:
                return
            # The + keeps SQLite at the batch's own jobs; else it walks through all of status 2.
            if after.state is MailState.SENT:
                connection.execute(
                    "UPDATE jobs SET status = 3, updated_at = ?2, remaining_s = NULL "
                    "WHERE batch_id = ?1 AND +status = 2",
                    (after.batch_id, after.updated_at),
                )
            if after.state is MailState.FAILED:
                connection.execute(
                    "UPDATE jobs SET status = 4, updated_at = ?2, remaining_s = NULL, finished_at = ?2, error = ?3, "
                    "error_code = 'mail-failed' WHERE batch_id = ?1 AND +status = 2",
                    (after.batch_id, after.updated_at, after.answer),
                )

    # For the sweeper and the operator.

    def unsettled_jobs(self, *, not_updated_since: float, limit: int) -> list[Job]:
        """Return jobs of status 1 that were last written before that time, oldest first."""
        rows = self._database.read(
            "SELECT * FROM jobs WHERE status = 1 AND updated_at < ? ORDER BY updated_at LIMIT ?",
            (not_updated_since, limit),
        )
        return [job_of(row) for row in rows]

    def open_mails(self, *, not_updated_since: float, limit: int) -> list[Mail]:
        """Return mails PENDING or SENDING that were last written before that time, oldest first."""
        rows = self._database.read(
            "SELECT * FROM mails WHERE state IN (?, ?) AND updated_at < ? ORDER BY updated_at LIMIT ?",
            (*_STILL_TO_GO_OUT, not_updated_since, limit),
        )
        return [mail_of(row) for row in rows]

    def finished_jobs(self, *, before: float, limit: int) -> list[Job]:
        """Return settled jobs that were finished before that time, oldest first."""
        rows = self._database.read(
            "SELECT * FROM jobs WHERE status <> 1 AND finished_at < ? ORDER BY finished_at LIMIT ?", (before, limit)
        )
        return [job_of(row) for row in rows]

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs have each status ("1" to "4") and mails each state ("pending" …), all named."""
        rows = self._database.read(
            "SELECT status, count(*) FROM jobs GROUP BY status "
            "UNION ALL SELECT state, count(*) FROM mails GROUP BY state"
        )
        names = [str(each.value) for each in (*JobStatus, *MailState)]
        return dict.fromkeys(names, 0) | {str(name): count for name, count in rows}


def _update_job(connection: sqlite3.Connection, before: Job, after: Job) -> None:
    known = {"status": before.status, "attempt": before.attempt}
    if not update(connection, "jobs", before, after, known=known):
        raise ConflictError(
            f"Job {before.short_id} is not at status {before.status.value}, attempt {before.attempt} any more. "
            "Read it again; who worked on it has lost it to somebody else."
        )


def _count_open(connection: sqlite3.Connection, batch_id: str, change: int) -> int:
    (row,) = connection.execute(
        "UPDATE batches SET open_jobs = open_jobs + ? WHERE id = ? RETURNING open_jobs", (change, batch_id)
    )
    return int(row["open_jobs"])


def _put_mail(connection: sqlite3.Connection, batch_id: str, *, now: float) -> Mail:
    mail = Mail(id=new_id(), batch_id=batch_id, created_at=now, updated_at=now)
    insert(connection, "mails", mail)
    connection.execute("UPDATE batches SET mails = mails + 1 WHERE id = ?", (batch_id,))
    return mail


def _require_step(before: Job, after: Job, start: JobStatus, legal: Mapping[JobStatus, frozenset[JobStatus]]) -> None:
    if before.status is not start or after.status not in legal[start]:
        raise IllegalTransitionError(
            f"Job {before.short_id} cannot go from status {before.status.value} to {after.status.value} in this way."
        )
