"""Jobs and mails as the indexes have them: an owner's page by page, and those in a state.

An index is a moment behind and holds keys only; what it names is then read as it is now, and left out if it does not
belong there any more. What came a moment ago may be missing: the next call has it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from irss_core.adapters.aws.creation import is_there
from irss_core.adapters.aws.dynamo import DynamoTable
from irss_core.adapters.aws.items import Item, job_of, key_of, mail_of
from irss_core.adapters.aws.table import BY_OWNER, BY_STATE, FIRST_JOB, Key, place_of_job
from irss_core.errors import InvalidOptionError
from irss_core.jobs.job import Job, JobStatus, Mail, MailState
from irss_core.jobs.ports import Page

_MOST_OF_A_PAGE = 100
_PLACE = re.compile(r"job#[0-9]{17}#[0-9a-z]{1,100}#[0-9]{5}")
_END_OF_TIME = 1e12  # an index orders numbers, and infinity is none to DynamoDB


def jobs_at(table: DynamoTable, keys: Sequence[Item]) -> list[Job]:
    """Return the jobs that lie there now, but none of a batch that is still a draft."""
    places = [key_of(each) for each in keys]
    found = table.get_many([*places, *({"pk": place["pk"], "sk": "batch"} for place in places)])
    return [
        job_of(found[place["pk"], place["sk"]])
        for place in places
        if (place["pk"], place["sk"]) in found and is_there(found.get((place["pk"], "batch")))
    ]


def mails_at(table: DynamoTable, places: Iterable[Key]) -> list[Mail]:
    """Return the mails that lie there now, in that order."""
    places = [*places]
    found = table.get_many(places)
    return [mail_of(found[where]) for place in places if (where := (place["pk"], place["sk"])) in found]


def read_page(table: DynamoTable, owner: str, *, limit: int, cursor: str | None) -> Page:
    """Return up to ``limit`` of an owner's jobs from where the cursor stands.

    Raises:
        InvalidOptionError: not a cursor of this owner's listing.
    """
    after = FIRST_JOB if cursor is None else _place(owner, cursor)
    jobs: list[Job] = []
    for keys in table.query(
        "#owner = :owner AND #place > :after",
        index=BY_OWNER,
        page=min(limit + 1, _MOST_OF_A_PAGE),  # one more: does any follow?
        owner=owner,
        after=after,
    ):
        jobs += jobs_at(table, keys)
        if len(jobs) > limit:
            return Page(tuple(jobs[:limit]), cursor=_cursor(owner, jobs[limit - 1]))
    return Page(tuple(jobs), cursor=None)


def jobs_in(table: DynamoTable, status: JobStatus, *, before: float, limit: int) -> Iterator[Job]:
    """Return jobs of a status that were written (of 1) or finished before that time; ``limit`` are read at once."""
    for keys in _in_state(table, str(status.value), before=before, limit=limit):
        yield from (job for job in jobs_at(table, keys) if job.status is status)


def mails_in(table: DynamoTable, state: MailState, *, before: float, limit: int) -> Iterator[Mail]:
    """Return mails in a state that were written before that time; ``limit`` are read at once."""
    for keys in _in_state(table, state.value, before=before, limit=limit):
        yield from (mail for mail in mails_at(table, map(key_of, keys)) if mail.state is state)


def _in_state(table: DynamoTable, state: str, *, before: float, limit: int) -> Iterator[list[Item]]:
    return table.query(
        "#in_state = :state AND #since < :before",
        index=BY_STATE,
        page=min(limit, _MOST_OF_A_PAGE),
        state=state,
        before=min(before, _END_OF_TIME),
    )


def _cursor(owner: str, last: Job) -> str:
    """Return the place after a job; it names the place, not the job, which may be deleted meanwhile."""
    place = place_of_job(last.created_at, last.batch_id, last.number)
    return base64.urlsafe_b64encode(json.dumps([_mark(owner), place]).encode()).decode()


def _place(owner: str, cursor: str) -> str:
    try:
        mark, place = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        mark = place = None
    if mark != _mark(owner) or not (isinstance(place, str) and _PLACE.fullmatch(place)):
        raise InvalidOptionError("The cursor is not one of this listing. List from the beginning, without a cursor.")
    return place


def _mark(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:16]
