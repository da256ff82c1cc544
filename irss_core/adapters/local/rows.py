"""Jobs, batches and mails as rows of a database, and back; a column is named as its field."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from irss_core.jobs.job import Batch, Job, JobStatus, Mail, MailState
from irss_core.jobs.options import JobOptions, Stage


def job_of(row: sqlite3.Row) -> Job:
    """Return the job that a row holds."""
    values: dict[str, Any] = dict(row)
    return Job(**values | {
        "status": JobStatus(row["status"]),
        "stage": None if row["stage"] is None else Stage(row["stage"]),
        "options": JobOptions.from_dict(json.loads(row["options"])),
        "cancel_requested": bool(row["cancel_requested"]),
        "outputs": json.loads(row["outputs"]),
        "facts": json.loads(row["facts"]),
    })  # fmt: skip


def batch_of(row: sqlite3.Row) -> Batch:
    """Return the batch that a row holds."""
    return Batch(**dict(row))


def mail_of(row: sqlite3.Row) -> Mail:
    """Return the mail that a row holds."""
    values: dict[str, Any] = dict(row)
    return Mail(**values | {"state": MailState(row["state"]), "resent": bool(row["resent"])})


def insert(connection: sqlite3.Connection, table: str, entry: Job | Batch | Mail) -> None:
    """Write an entry into a table of its kind."""
    values = _columns(entry)
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [*values.values()])  # noqa: S608  our names


def update(
    connection: sqlite3.Connection, table: str, before: Job | Mail, after: Job | Mail, *, known: Mapping[str, Any]
) -> bool:
    """Write the fields in which ``after`` differs, if the entry's ``known`` columns still are so; return whether."""
    old, new = _columns(before), _columns(after)
    changes = {name: value for name, value in new.items() if value != old[name]}
    assignments = ", ".join(f"{name} = ?" for name in changes) or "id = id"
    conditions = "".join(f" AND {name} = ?" for name in known)
    done = connection.execute(
        f"UPDATE {table} SET {assignments} WHERE id = ?{conditions}",  # noqa: S608  names of our own
        [*changes.values(), before.id, *known.values()],
    )
    return done.rowcount == 1


def _columns(entry: Job | Batch | Mail) -> dict[str, Any]:
    return {each.name: _stored(getattr(entry, each.name)) for each in fields(entry)}


def _stored(value: Any) -> Any:
    if isinstance(value, JobOptions):
        value = value.to_dict()
    return json.dumps(dict(value), allow_nan=False) if isinstance(value, Mapping) else value
