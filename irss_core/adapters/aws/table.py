"""The one DynamoDB table: its keys, its indexes, and where each kind of item lies.

::

    pk                sk            item
    batch#<id>        batch         a batch
    batch#<id>        job#00001     a job of it, by its number
    job#<id>          place         which batch a job is in, and as which number
    mail#<id>         mail          a mail of the outbox
    record#<key>      record        a small text, or a counter

A job lies with its batch because a mail is made of all jobs of a batch right after the last one was settled: one query
of a partition is read consistently, an index never is. Whoever has only a job's id reads where it lies, and then it
together with its batch: two consistent reads.
"""

from __future__ import annotations

from typing import Any

BY_OWNER = "by-owner"
"""Jobs by ``owner``, in the order of ``place``, newest first; and an owner's batches with open jobs."""

BY_STATE = "by-state"
"""Jobs, mails and records by ``in_state``, in the order of ``since``: written, finished or over then."""

TTL = "ttl"
"""The attribute that says after which second AWS may delete an item; only records have it."""

_ONLY_KEYS = {"ProjectionType": "KEYS_ONLY"}  # a write that changes none of them does not touch the index

TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
        {"AttributeName": "owner", "AttributeType": "S"},
        {"AttributeName": "place", "AttributeType": "S"},
        {"AttributeName": "in_state", "AttributeType": "S"},
        {"AttributeName": "since", "AttributeType": "N"},
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": BY_OWNER,
            "KeySchema": [
                {"AttributeName": "owner", "KeyType": "HASH"},
                {"AttributeName": "place", "KeyType": "RANGE"},
            ],
            "Projection": _ONLY_KEYS,
        },
        {
            "IndexName": BY_STATE,
            "KeySchema": [
                {"AttributeName": "in_state", "KeyType": "HASH"},
                {"AttributeName": "since", "KeyType": "RANGE"},
            ],
            "Projection": _ONLY_KEYS,
        },
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
"""The table as ``create_table`` takes it, but for its name; its time to live is the attribute ``TTL``."""

Key = dict[str, str]
"""The ``pk`` and ``sk`` of an item."""

FIRST_JOB, LAST_JOB = "job#", "job#~"
_LATEST = 10**17 - 1  # microseconds since 1970: the year 5138


def batch_key(batch_id: str) -> Key:
    """Return where a batch lies; by its ``sk`` it comes before its jobs."""
    return {"pk": f"batch#{batch_id}", "sk": "batch"}


def job_key(batch_id: str, number: int) -> Key:
    """Return where a job lies."""
    return {"pk": f"batch#{batch_id}", "sk": f"job#{number:05d}"}


def job_place_key(job_id: str) -> Key:
    """Return where it is said where a job lies."""
    return {"pk": f"job#{job_id}", "sk": "place"}


def mail_key(mail_id: str) -> Key:
    """Return where a mail lies."""
    return {"pk": f"mail#{mail_id}", "sk": "mail"}


def record_key(key: str) -> Key:
    """Return where a record lies."""
    return {"pk": f"record#{key}", "sk": "record"}


def place_of_job(created_at: float, batch_id: str, number: int) -> str:
    """Return a job's place among its owner's: the newest submission first, a submission's jobs by their number."""
    return f"job#{_LATEST - round(created_at * 1e6):017d}#{batch_id}#{number:05d}"


def place_of_open_batch(batch_id: str) -> str:
    """Return the place that a batch has among its owner's while it has open jobs; it comes before all jobs."""
    return f"batch#{batch_id}"
