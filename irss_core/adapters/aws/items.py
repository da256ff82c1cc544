"""Jobs, batches and mails as items of the table, and back; an attribute is named as its field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from irss_core.adapters.aws.table import (
    batch_key,
    job_key,
    job_place_key,
    mail_key,
    place_of_job,
    place_of_open_batch,
)
from irss_core.jobs.job import Batch, Job, JobStatus, Mail, MailState
from irss_core.jobs.options import JobOptions, Stage

Item = dict[str, dict[str, Any]]
"""What the client takes and gives: each attribute with the letter of its type, {"name": {"S": "picture.png"}}."""

# Numbers travel as texts, and the shortest text that reads back as the same float has 17 digits of the 38 that are
# kept. What JSON holds is kept as its text: DynamoDB's own maps know one kind of number only.
_FROM_ITEM: Mapping[str, Callable[[Any], Any]] = {
    "str": str,
    "str | None": str,
    "int": int,
    "float": float,
    "float | None": float,
    "bool": bool,
    "JobStatus": lambda number: JobStatus(int(number)),
    "MailState": MailState,
    "Stage | None": Stage,
    "JobOptions": lambda text: JobOptions.from_dict(json.loads(text)),
    "Mapping[str, str]": json.loads,
    "Mapping[str, Any]": json.loads,
}


def attribute(value: Any) -> dict[str, Any]:
    """Return a value as an item holds it; one that is so already is left as it is."""
    match value:
        case dict():
            return value
        case bool():
            return {"BOOL": value}
        case float():
            return {"N": repr(value)}
        case int():
            return {"N": str(int(value))}
        case str():
            return {"S": str(value)}
        case list():
            return {"L": [attribute(each) for each in value]}
    raise TypeError(f"A {type(value).__name__} has no place in an item.")


def plain(item: Item, name: str) -> Any:
    """Return an attribute as Python has it; a number without its type is an int."""
    ((kind, value),) = item[name].items()
    if kind == "L":
        return [plain({"": each}, "") for each in value]
    return int(value) if kind == "N" else value


def key_of(item: Item) -> dict[str, str]:
    """Return where an item lies."""
    return {name: item[name]["S"] for name in ("pk", "sk")}


def job_item(job: Job) -> Item:
    """Return the item of a job."""
    worked_on = job.status is JobStatus.NOT_PROCESSED or job.finished_at is None
    return _item(
        job,
        **job_key(job.batch_id, job.number),
        place=place_of_job(job.created_at, job.batch_id, job.number),
        in_state=str(job.status.value),
        since=job.updated_at if worked_on else job.finished_at,
    )


def job_place_item(job: Job) -> Item:
    """Return the item that says where a job lies."""
    return {
        name: attribute(value)
        for name, value in {**job_place_key(job.id), "batch_id": job.batch_id, "number": job.number}.items()
    }


def batch_item(batch: Batch) -> Item:
    """Return the item of a new batch.

    ``kept`` counts its jobs that are still there, ``mail_ids`` names its mails, oldest first, of which ``mails_out``
    are still to go out, and ``joined`` counts the results that were redriven to go out with one of those.
    """
    open_place = {"place": place_of_open_batch(batch.id)} if batch.open_jobs else {}
    return _item(batch, **batch_key(batch.id), **open_place, kept=batch.jobs, mail_ids=[], mails_out=0, joined=0)


def mail_item(mail: Mail) -> Item:
    """Return the item of a mail."""
    return _item(mail, **mail_key(mail.id), in_state=mail.state.value, since=mail.updated_at)


def job_of(item: Item) -> Job:
    """Return the job that an item holds."""
    return Job(**_fields(Job, item))


def batch_of(item: Item) -> Batch:
    """Return the batch that an item holds."""
    return Batch(**_fields(Batch, item))


def mail_of(item: Item) -> Mail:
    """Return the mail that an item holds."""
    return Mail(**_fields(Mail, item))


def _item(entry: Job | Batch | Mail, **more: Any) -> Item:
    values = {each.name: getattr(entry, each.name) for each in fields(entry)} | more
    return {name: attribute(_kept(value)) for name, value in values.items() if value is not None}


def _kept(value: Any) -> Any:
    if isinstance(value, JobOptions):
        value = value.to_dict()
    return json.dumps(dict(value), allow_nan=False) if isinstance(value, Mapping) else value


def _fields(kind: type[Job | Batch | Mail], item: Item) -> dict[str, Any]:
    """Return the fields that an item has; it has none that are None."""
    return {
        each.name: _FROM_ITEM[str(each.type)](next(iter(item[each.name].values())))
        for each in fields(kind)
        if each.name in item
    }
