"""What a batch's item says of its open jobs and its mails, and the steps of a mail.

A batch counts its open jobs, and its mails that are still to go out, so that one read of it and one condition on it are
enough to know whether a mail is due, whoever else is at the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from irss_core.adapters.aws.actions import Action, as_known, change, change_to, check, put
from irss_core.adapters.aws.dynamo import DynamoTable, in_parts
from irss_core.adapters.aws.items import Item, job_item, key_of, mail_item, plain
from irss_core.adapters.aws.table import batch_key, place_of_open_batch
from irss_core.errors import ConflictError
from irss_core.jobs.job import Job, JobStatus, Mail, MailState, delivered, given_up, new_id

STILL_TO_GO_OUT = (MailState.PENDING, MailState.SENDING)

_KNOWN_OF_JOB = ("id", "status", "attempt")
_KNOWN_OF_MAIL = ("state", "attempt")
_MAIL_IN = "#mail_ids = list_append(#mail_ids, :mail)"
_MAIL_COUNTED = "ADD #mails :one, #mails_out :one"


def job_step(before: Job, after: Job, *, also: str = "", **values: object) -> Action:
    """Return what writes the fields in which ``after`` differs, if the job is still as ``before`` knows it."""
    return change_to(job_item(before), job_item(after), known=_KNOWN_OF_JOB, also=also, **values)


def one_job_less(batch: Item, *, now: float) -> tuple[Mail | None, list[Action]]:
    """Return what a batch becomes when an open job is settled, and the mail that is due if it was the last.

    Counting down by a difference fails only where the last two meet: others who settle jobs of the batch at the same
    time do not fail each other's conditions.
    """
    key = key_of(batch)
    if plain(batch, "open_jobs") > 1:
        return None, [change(key, "ADD #open_jobs :less", where="#open_jobs > :one", less=-1, one=1)]
    mail = _due(batch, now)
    how = f"SET #open_jobs = :none, {_MAIL_IN} REMOVE #place {_MAIL_COUNTED}"
    closed = change(key, how, where="#open_jobs = :one", none=0, one=1, mail=[mail.id])
    return mail, [closed, put(mail_item(mail))]


def one_job_more(batch: Item) -> list[Action]:
    """Return what a batch becomes when one of its jobs is to be computed anew."""
    place = place_of_open_batch(plain(batch, "id"))
    how = "SET #place = :place ADD #open_jobs :one"
    return [change(key_of(batch), how, where="attribute_exists(#pk)", place=place, one=1)]


def one_result_more(batch: Item, *, now: float) -> tuple[Mail | None, list[Action]]:
    """Return what a batch becomes when one of its results is to be mailed again, and the mail if one is due for it."""
    key = key_of(batch)
    if plain(batch, "open_jobs") or plain(batch, "mails_out"):
        # Counted, so that a mail that ends just now takes this result along, too.
        where = "#open_jobs > :none OR #mails_out > :none"
        return None, [change(key, "ADD #joined :one", where=where, one=1, none=0)]
    mail = _due(batch, now)
    where = "#open_jobs = :none AND #mails_out = :none"
    return mail, [
        change(key, f"SET {_MAIL_IN} {_MAIL_COUNTED}", where=where, one=1, none=0, mail=[mail.id]),
        put(mail_item(mail)),
    ]


def write_mail(table: DynamoTable, before: Mail, after: Mail, *, jobs_of_batch: Callable[[str], Iterable[Job]]) -> None:
    """Write a mail if it still has the state and attempt of ``before``, and what follows from it for its jobs.

    Raises:
        ConflictError: it has not; nothing was written.
    """
    lost = ConflictError("Somebody else has sent this mail, or is at it. Read it again.")
    old = mail_item(before)
    step = change_to(old, mail_item(after), known=_KNOWN_OF_MAIL)
    less = (before.state in STILL_TO_GO_OUT) - (after.state in STILL_TO_GO_OUT)

    def write() -> None:
        table.transact([step], lost=lost)

    def write_with_jobs() -> None:
        """Move the jobs of status 2, and end the mail, in one transaction if it holds so many jobs.

        Else jobs go first, in transactions that each ask whether the mail is still the writer's, and the last of them
        ends the mail. Who dies between leaves a mail that is SENDING, as any other that nobody knows of: the next one
        to end it moves the jobs that are left. The other way round nobody would look for them. The last transaction
        also asks that no result joined the mail since the jobs were read.
        """
        batch = table.get(batch_key(after.batch_id))
        if batch is None:
            raise lost
        moves = [job_step(job, moved) for job in jobs_of_batch(after.batch_id) for moved in _moved(job, after)]
        room = table.most_actions - 2
        first = moves[: max(0, len(moves) - room)]
        where, values = as_known(old, _KNOWN_OF_MAIL)
        for part in in_parts(first, table.most_actions - 1):
            table.transact([check(key_of(old), where=where, **values), *part], lost=lost)
        ended = change(
            key_of(batch),
            "ADD #mails_out :less",
            where="#joined = :joined",
            less=-less,
            joined=plain(batch, "joined"),
        )
        table.transact([step, ended, *moves[len(first) :]], lost=lost)

    ends = after.state is not before.state and after.state not in STILL_TO_GO_OUT
    table.insist(write_with_jobs if ends else write)


def _due(batch: Item, now: float) -> Mail:
    return Mail(id=new_id(), batch_id=plain(batch, "id"), created_at=now, updated_at=now)


def _moved(job: Job, mail: Mail) -> list[Job]:
    """Return what a job becomes when its mail ends, in a list; in an empty one if it stays."""
    if job.status is not JobStatus.PROCESSED:
        return []
    if mail.state is MailState.SENT:
        return [delivered(job, now=mail.updated_at)]
    return [given_up(job, code="mail-failed", error=mail.answer or "", now=mail.updated_at)]
