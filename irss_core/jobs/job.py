"""Job, Batch and Mail, and every legal step from one state to the next, as pure functions.

A submission is a batch of one or many jobs, a job is one file, and a batch gets one mail when all its jobs are settled.

::

    job     (new) -> 1 -> 2 -> 3            1 not processed, 2 processed, 3 delivered, 4 not delivered
                     1 -> 4, 2 -> 4         4 -> 1, 4 -> 2 only by an operator's redrive
    mail    PENDING -> SENDING -> SENT      SENDING -> PENDING when the server surely did not take it
                       SENDING -> FAILED    refused, or tried too often
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

from irss_core.errors import CancelledError, IllegalTransitionError
from irss_core.jobs.options import JobOptions, Stage

_MESSAGE_ID = re.compile(r"<?([\w-]{43})@irss>?", re.ASCII)
CANCELLED = "Cancelled, as you asked. Submit it again if you still want it."

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class JobStatus(IntEnum):
    """The service's own numbers."""

    NOT_PROCESSED = 1
    PROCESSED = 2
    DELIVERED = 3
    NOT_DELIVERED = 4


LEGAL: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType({
    JobStatus.NOT_PROCESSED: frozenset({JobStatus.PROCESSED, JobStatus.NOT_DELIVERED}),
    JobStatus.PROCESSED: frozenset({JobStatus.DELIVERED, JobStatus.NOT_DELIVERED}),
    JobStatus.DELIVERED: frozenset(),
    JobStatus.NOT_DELIVERED: frozenset(),
})  # fmt: skip
"""What a job may become by itself."""

BY_REDRIVE: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType({
    JobStatus.NOT_DELIVERED: frozenset({JobStatus.NOT_PROCESSED, JobStatus.PROCESSED}),
})  # fmt: skip
"""What a job may become because an operator says so."""


@dataclass(frozen=True)
class Job:
    """One file on its way. Times are seconds since 1970 (UTC).

    ``status`` and ``attempt`` fence every write: who holds an older pair has lost the job to somebody else.
    ``outputs`` are object keys by role: "prepared" (after preprocess), "upscaled", "result", "thumbnail" and "preview"
    (100x100 of the result and of the input). ``facts`` is what the stages found, as JSON has it: "kind" ("still" or
    "clip"), "width", "height", "format", "sha256", "result_width", "result_height", "result_bytes", "result_format",
    "seconds" and more.
    """

    id: str
    batch_id: str
    owner: str
    number: int  # its place in the batch, from 1
    name: str  # the file's name as handed in, to show; never part of a path or key
    input_key: str
    input_bytes: int
    options: JobOptions
    created_at: float
    updated_at: float
    status: JobStatus = JobStatus.NOT_PROCESSED
    stage: Stage | None = None  # the one in work, or the last one
    attempt: int = 0
    progress: float = 0.0  # of the stage, 0..1
    remaining_s: float | None = None  # of the stage
    cancel_requested: bool = False
    error_code: str | None = None
    error: str | None = None  # why it failed, or why the last attempt did not succeed
    outputs: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    facts: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    started_at: float | None = None  # of the last attempt
    finished_at: float | None = None  # when it became 2 or 4

    @property
    def settled(self) -> bool:
        """Whether nothing more is computed for it."""
        return self.status is not JobStatus.NOT_PROCESSED

    @property
    def short_id(self) -> str:
        """What logs may say of it: the id itself is the key to the job."""
        return self.id[:12]


@dataclass(frozen=True)
class Batch:
    """One submission. ``open_jobs`` counts those not settled; ``mails`` the mails put in the outbox so far."""

    id: str
    owner: str
    address: str  # where the mail goes
    created_at: float
    jobs: int
    open_jobs: int
    mails: int = 0


class MailState(StrEnum):
    """Where a mail of the outbox is."""

    PENDING = "pending"
    SENDING = "sending"  # after a crash: nobody knows whether it went out
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True)
class Mail:
    """A row of the outbox: one batch's mail. Its text is made when it is sent, from the batch as it is then."""

    id: str
    batch_id: str
    created_at: float
    updated_at: float
    state: MailState = MailState.PENDING
    attempt: int = 0
    resent: bool = False  # it may have gone out before: sent again after nobody could tell
    answer: str | None = None  # the mail server's last one, or the error

    @property
    def message_id(self) -> str:
        """The same for every attempt, so that the receiver's server drops a second copy; tells nothing of the batch."""
        # Of 64 digits the header would be folded, which not every server reads back.
        return f"<{base64.urlsafe_b64encode(bytes.fromhex(self.id)).decode().rstrip('=')}@irss>"


def mail_id_of(message_id: str) -> str | None:
    """Return the id of the mail that has this Message-ID, or None: it is none of ours."""
    found = _MESSAGE_ID.fullmatch(message_id.strip())
    return base64.urlsafe_b64decode(f"{found[1]}=").hex() if found else None


def new_id() -> str:
    """Return a unique 256-bit code in hexadecimal; it names something and is the key to it."""
    return secrets.token_hex(32)


def begin_attempt(job: Job, *, now: float) -> Job:
    """Return the job claimed for one more attempt; written before the work begins, it fences off earlier ones."""
    _require(job, JobStatus.NOT_PROCESSED, "be worked on")
    return replace(
        job, attempt=job.attempt + 1, started_at=now, updated_at=now, progress=0.0, remaining_s=None, stage=None
    )


def at_stage(job: Job, stage: Stage, *, now: float, progress: float = 0.0, remaining_s: float | None = None) -> Job:
    """Return the job at a stage, that far."""
    _require(job, JobStatus.NOT_PROCESSED, f"be at {stage}")
    return replace(job, stage=stage, progress=progress, remaining_s=remaining_s, updated_at=now)


def with_results(job: Job, *, outputs: Mapping[str, str], facts: Mapping[str, Any], now: float) -> Job:
    """Return the job with what a stage made and found added."""
    return replace(job, outputs={**job.outputs, **outputs}, facts={**job.facts, **facts}, updated_at=now)


def attempt_failed(job: Job, *, code: str, error: str, now: float) -> Job:
    """Return the job after an attempt that may succeed another time; the user sees why it waits."""
    _require(job, JobStatus.NOT_PROCESSED, "fail an attempt")
    return replace(job, error_code=code, error=error, updated_at=now, remaining_s=None)


def cancel_asked(job: Job, *, now: float) -> Job:
    """Return the job with its owner's wish to stop."""
    _require(job, JobStatus.NOT_PROCESSED, "be cancelled")
    return replace(job, cancel_requested=True, updated_at=now)


def processed(job: Job, *, now: float) -> Job:
    """Return the job with every output stored and checked: 1 -> 2."""
    return _become(job, JobStatus.PROCESSED, now=now, finished_at=now, error=None, error_code=None, progress=1.0)


def given_up(job: Job, *, code: str, error: str, now: float) -> Job:
    """Return the job that is not delivered, and why: 1 -> 4 or 2 -> 4."""
    return _become(job, JobStatus.NOT_DELIVERED, now=now, finished_at=now, error=error, error_code=code)


def cancelled(job: Job, *, now: float) -> Job:
    """Return the job that its owner wants no more: 1 -> 4."""
    return given_up(job, code=CancelledError.code, error=CANCELLED, now=now)


def delivered(job: Job, *, now: float) -> Job:
    """Return the job whose mail was taken: 2 -> 3."""
    return _become(job, JobStatus.DELIVERED, now=now)


def redriven(job: Job, status: JobStatus, *, now: float) -> Job:
    """Return the job that an operator sends through again: 4 -> 1 (computed anew) or 4 -> 2 (only mailed again)."""
    if status not in BY_REDRIVE.get(job.status, frozenset()):
        raise IllegalTransitionError(
            f"Job {job.short_id} has status {job.status.value} and cannot be redriven to {status.value}. "
            "Only a job that was not delivered (4) can, to 1 or 2."
        )
    if status is JobStatus.PROCESSED and "result" not in job.outputs:
        raise IllegalTransitionError(
            f"Job {job.short_id} has no result to mail again. Redrive it to 1 (computed anew)."
        )
    return replace(
        job, status=status, cancel_requested=False, error=None, error_code=None, updated_at=now,
        stage=None if status is JobStatus.NOT_PROCESSED else job.stage, progress=0.0,
        finished_at=None if status is JobStatus.NOT_PROCESSED else now,
    )  # fmt: skip


def _become(job: Job, status: JobStatus, *, now: float, **changes: Any) -> Job:
    if status not in LEGAL[job.status]:
        raise IllegalTransitionError(
            f"Job {job.short_id} has status {job.status.value}, which does not become {status.value}."
        )
    return replace(job, status=status, updated_at=now, remaining_s=None, **changes)


def _require(job: Job, status: JobStatus, what: str) -> None:
    if job.status is not status:
        raise IllegalTransitionError(
            f"Job {job.short_id} has status {job.status.value} and can no longer {what}; it would have to be "
            f"{status.value}."
        )


def mail_sending(mail: Mail, *, now: float) -> Mail:
    """Return the mail as it is written before every try: from then until the answer nobody knows."""
    if mail.state not in (MailState.PENDING, MailState.SENDING):
        raise IllegalTransitionError(f"A mail that is {mail.state} is not sent again.")
    again = mail.state is MailState.SENDING
    return replace(mail, state=MailState.SENDING, attempt=mail.attempt + 1, resent=mail.resent or again, updated_at=now)


def mail_answered(mail: Mail, state: MailState, *, answer: str, now: float) -> Mail:
    """Return the mail after the server's answer: SENT, FAILED, or PENDING for another try."""
    if mail.state is not MailState.SENDING or state is MailState.SENDING:
        raise IllegalTransitionError(f"A mail that is {mail.state} does not become {state}.")
    return replace(mail, state=state, answer=answer, updated_at=now)
