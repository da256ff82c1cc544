"""An owner's jobs page by page: the newest submission first, the jobs of a submission by their number."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from typing import Any

from irss_core.adapters.local.database import Database
from irss_core.adapters.local.rows import job_of
from irss_core.errors import InvalidOptionError
from irss_core.jobs.job import Job
from irss_core.jobs.ports import Page

_FROM_THE_NEWEST = {"at": math.inf, "batch_id": "", "number": 0}
_JOBS_AFTER = """
SELECT * FROM jobs WHERE owner = :owner AND created_at <= :at
  AND (created_at < :at OR (batch_id, number) > (:batch_id, :number))
ORDER BY created_at DESC, batch_id, number LIMIT :limit
"""


def read_page(database: Database, owner: str, *, limit: int, cursor: str | None) -> Page:
    """Return up to ``limit`` of an owner's jobs from where the cursor stands.

    Raises:
        InvalidOptionError: not a cursor of this owner's listing.
    """
    place = _FROM_THE_NEWEST if cursor is None else _place(owner, cursor)
    rows = database.read(_JOBS_AFTER, {"owner": owner, "limit": limit + 1, **place})  # one more: does any follow?
    jobs = tuple(job_of(row) for row in rows[:limit])
    return Page(jobs, cursor=_cursor(owner, jobs[-1]) if len(rows) > limit else None)


def _cursor(owner: str, last: Job) -> str:
    """Return the place after a job; it names the place, not the job, which may be deleted meanwhile."""
    place = [_mark(owner), last.created_at, last.batch_id, last.number]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place(owner: str, cursor: str) -> dict[str, Any]:
    try:
        mark, at, batch_id, number = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        mark = at = batch_id = number = None
    if mark != _mark(owner) or not (
        isinstance(at, float) and isinstance(batch_id, str) and isinstance(number, int) and number < 2**63
    ):
        raise InvalidOptionError("The cursor is not one of this listing. List from the beginning, without a cursor.")
    return {"at": at, "batch_id": batch_id, "number": number}


def _mark(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:16]
