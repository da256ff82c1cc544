"""The ports: what the jobs need of the world, and what every adapter of it must hold to.

Each has one contract suite in ``tests/contract``, which every adapter passes. All may raise
``StoreUnavailableError`` (full disk, locked database, no network): the caller tries again later, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

from irss_core.jobs.job import Batch, Job, Mail


class Clock(Protocol):
    """The time of day; it may jump."""

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        ...


@dataclass(frozen=True)
class Page:
    """Some of a listing, newest first; ``cursor`` asks for what follows, None: nothing does."""

    jobs: tuple[Job, ...]
    cursor: str | None


class JobStore(Protocol):
    """Batches, their jobs, and the outbox of their mails. Every write is whole or not at all."""

    def create(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Write a batch with all its jobs.

        Raises:
            ConflictError: an id is taken; nothing was written.
        """
        ...

    def job(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        ...

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch, or None."""
        ...

    def jobs_of_batch(self, batch_id: str) -> list[Job]:
        """Return a batch's jobs by their number."""
        ...

    def jobs_of_owner(self, owner: str, *, limit: int, cursor: str | None = None) -> Page:
        """Return an owner's jobs, newest first.

        Raises:
            InvalidOptionError: not a cursor of this owner's listing.
        """
        ...

    def save(self, before: Job, after: Job) -> None:
        """Write the fields in which ``after`` differs, if the job still has the status and attempt of ``before``.

        Not for steps that settle or redrive a job.

        Raises:
            ConflictError: it has not; nothing was written.
        """
        ...

    def settle(self, before: Job, after: Job) -> Mail | None:
        """Write 1 -> 2 or 1 -> 4 as ``save`` does, and return the mail if this was the batch's last open job.

        In the same transaction the batch's open jobs become one less, and at none its mail is put in the outbox.
        """
        ...

    def redrive(self, before: Job, after: Job, *, by: str) -> Mail | None:
        """Write 4 -> 1 or 4 -> 2 as ``save`` does, with a line of audit: when, by whom, from and to.

        In the same transaction 4 -> 1 counts one more open job; 4 -> 2 puts a mail in the outbox, and returns it,
        unless jobs of the batch are open or a mail of it is still to go out.
        """
        ...

    def audit(self, job_id: str) -> list[str]:
        """Return what operators did with a job, a line each, oldest first."""
        ...

    def mail(self, mail_id: str) -> Mail | None:
        """Return a mail of the outbox, or None."""
        ...

    def mails_of_batch(self, batch_id: str) -> list[Mail]:
        """Return a batch's mails, oldest first."""
        ...

    def save_mail(self, before: Mail, after: Mail) -> None:
        """Write the mail if it still has the state and attempt of ``before``.

        In the same transaction, when it becomes SENT the batch's jobs of status 2 become 3, when it becomes FAILED
        they become 4 with the mail's answer as their error (code "mail-failed").

        Raises:
            ConflictError: it has not; nothing was written.
        """
        ...

    def unsettled_jobs(self, *, not_updated_since: float, limit: int) -> list[Job]:
        """Return jobs of status 1 that were last written before that time, oldest first."""
        ...

    def open_mails(self, *, not_updated_since: float, limit: int) -> list[Mail]:
        """Return mails PENDING or SENDING that were last written before that time, oldest first."""
        ...

    def finished_jobs(self, *, before: float, limit: int) -> list[Job]:
        """Return settled jobs that were finished before that time, oldest first."""
        ...

    def open_batches_of(self, owner: str) -> int:
        """Return how many of an owner's batches have open jobs."""
        ...

    def forget(self, job: Job) -> None:
        """Delete a settled job; with its last job, the batch and its mails go.

        Raises:
            ConflictError: it is not settled any more, or yet.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs have each status ("1" to "4") and mails each state ("pending" …), all named."""
        ...


@dataclass(frozen=True)
class ObjectInfo:
    """A stored object's facts."""

    key: str
    size_bytes: int
    sha256: str | None  # None: it came by a form, and the store has not read it
    content_type: str
    modified_at: float


@dataclass(frozen=True)
class UploadForm:
    """A presigned POST: a form whose fields go before the field "file", and what it will take."""

    url: str
    fields: Mapping[str, str]
    max_bytes: int
    expires_at: float


class ObjectStore(Protocol):
    """Files by key. A key is lower-case hexadecimal, words, "/", "." and "-" (see ``keys``), never a user's text."""

    def put(self, key: str, source: Path, *, content_type: str) -> ObjectInfo:
        """Store a file's bytes, in place of any before, whole or not at all.

        Raises:
            ResourceError: the disk is full or failing.
        """
        ...

    def get(self, key: str, target: Path) -> ObjectInfo:
        """Write an object's bytes to a file that is not there yet.

        Raises:
            NotFoundError: there is no such object.
        """
        ...

    def info(self, key: str) -> ObjectInfo | None:
        """Return an object's facts, or None."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        ...

    def keys(self, prefix: str) -> Iterable[str]:
        """Return the keys that begin with the prefix, sorted."""
        ...

    def upload_form(self, key: str, *, content_type: str, max_bytes: int, expires_in_s: float) -> UploadForm:
        """Return a form that lets who holds it store one object under that key, once, until it expires."""
        ...

    def download_url(self, key: str, *, filename: str, expires_in_s: float) -> str:
        """Return an address that gives the object as an attachment of that name until it expires."""
        ...


@dataclass(frozen=True)
class Message:
    """A message under lease. ``receipt`` names the lease; ``deliveries`` counts this one."""

    id: str
    body: str
    receipt: str
    deliveries: int


@dataclass(frozen=True)
class QueueDepth:
    """How many messages can be had now, are delayed, under lease, and dead."""

    ready: int
    delayed: int
    leased: int
    dead: int
    oldest_ready_s: float | None  # how long the oldest ready one has been waiting


class Queue(Protocol):
    """Messages with leases: at least once, in no promised order; after 5 deliveries a message is dead."""

    def send(self, body: str, *, delay_s: float = 0.0) -> None:
        """Put a message in, which can be had after the delay."""
        ...

    def receive(self, *, wait_s: float, visibility_timeout_s: float) -> Message | None:
        """Return a message that nobody else gets until the timeout, waiting for one; None if none came.

        A message that would be delivered once too often goes to the dead letters instead.
        """
        ...

    def extend(self, message: Message, *, visibility_timeout_s: float) -> bool:
        """Hold a message for that long from now; False if the lease was lost."""
        ...

    def delete(self, message: Message) -> bool:
        """Delete a message; False if the lease was lost (then it stays)."""
        ...

    def release(self, message: Message, *, delay_s: float = 0.0) -> bool:
        """Give a message back, to be had after the delay; False if the lease was lost."""
        ...

    def depth(self) -> QueueDepth:
        """Return how many messages there are."""
        ...

    def dead_letters(self, *, limit: int) -> list[Message]:
        """Return dead messages, oldest first; their receipt is empty."""
        ...

    def redrive(self, message_id: str) -> bool:
        """Put a dead message back with no deliveries counted; False if there is none of that id."""
        ...

    def discard(self, message_id: str) -> bool:
        """Delete a dead message; False if there is none of that id."""
        ...


class Mailer(Protocol):
    """Takes mails to their server.

    ``confirms``: what ``send`` returns is only the promise to try; delivered or bounced is heard of later.
    """

    @property
    def confirms(self) -> bool:
        """Whether the end of a mail is told later."""
        ...

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over and return the server's answer, which takes it on.

        Raises:
            MailDeferredError: surely not taken; later it may be.
            MailRefusedError: surely not taken, and never will be.
            MailUncertainError: the connection broke after the data: it may have been taken.
        """
        ...

    def took(self, message_id: str) -> bool | None:
        """Return whether a mail of that Message-ID was taken, None if that cannot be known."""
        ...


class Records(Protocol):
    """Small texts by key that end by themselves: codes, counters, idempotency keys, uploads begun."""

    def get(self, key: str) -> str | None:
        """Return the text, or None if there is none or its time is over."""
        ...

    def put(self, key: str, value: str, *, expires_at: float, replacing: str | None = None) -> bool:
        """Write a text if what is there is ``replacing`` (None: nothing, or something whose time is over).

        Returns whether it was written.
        """
        ...

    def count(self, key: str, *, expires_at: float, amount: int = 1) -> int:
        """Add to a counter and return it. A new counter ends at ``expires_at``, an older one as it was begun."""
        ...

    def delete(self, key: str) -> None:
        """Delete a text, if it is there."""
        ...

    def expire(self) -> int:
        """Delete what is over, and return how many those were."""
        ...
