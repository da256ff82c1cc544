"""How a submission of any size is written whole or not at all, where a transaction holds a hundred actions at most."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from irss_core.adapters.aws.actions import Action, change, check, delete, put, put_new
from irss_core.adapters.aws.dynamo import DynamoTable, RefusedError, in_parts
from irss_core.adapters.aws.items import Item, attribute, batch_item, job_item, job_place_item, key_of, plain
from irss_core.adapters.aws.table import BY_STATE, FIRST_JOB, LAST_JOB, batch_key, job_place_key
from irss_core.errors import ConflictError, StoreUnavailableError
from irss_core.jobs.job import Batch, Job, new_id

_DRAFT = "draft"
_STILL_MINE = "#draft = :draft"


def create(table: DynamoTable, batch: Batch, jobs: Sequence[Job]) -> None:
    """Write a batch with all its jobs.

    What one transaction does not hold begins as a draft: the batch's item, with a mark of this writer and nothing to
    read. Then come the jobs in parts, each only while the draft has the mark; and last, on the same condition, the
    batch takes its draft's place. Nobody sees jobs of a draft (``is_there``). If the writer dies between, whoever needs
    one of the ids, or the sweep, takes the draft over and away (``clear_draft``), and the writer, should it be alive
    after all, is refused from then on.

    Raises:
        ConflictError: an id is taken; nothing was written.
    """
    taken = ConflictError(
        f"The id of batch {batch.id[:12]} or of one of its jobs is taken. Submit it anew, with new ids."
    )
    if len({job.id for job in jobs}) < len(jobs):
        raise taken
    whole = batch_item(batch)
    rows = [action for job in jobs for action in (put_new(job_place_item(job)), put(job_item(job)))]
    if len(rows) < table.most_actions:
        _put_all(table, [put_new(whole), *rows], taken)
        return
    key, mine = batch_key(batch.id), new_id()
    _put_all(table, [put_new(_draft_of(batch, mine))], taken)
    try:
        for part in in_parts(rows, (table.most_actions - 1) // 2 * 2):
            _put_all(table, [check(key, where=_STILL_MINE, draft=mine), *part], taken)
        _put_all(table, [put(whole, where=_STILL_MINE, draft=mine)], taken)
    except Exception:
        with contextlib.suppress(StoreUnavailableError):  # then it is left for others
            clear_draft(table, batch.id, draft=mine)
        raise


def is_there(batch: Item | None) -> bool:
    """Whether this is a batch, and not the draft of one."""
    return batch is not None and _DRAFT not in batch


def clear_draft(table: DynamoTable, batch_id: str, *, draft: str | None = None) -> bool:
    """Undo a create that did not come to its end; False if that batch is there. ``draft`` None is anyone's."""
    key = batch_key(batch_id)
    found = table.get(key)
    if found is None or _DRAFT not in found:
        return found is None
    if draft not in (None, plain(found, _DRAFT)):
        return True
    mine = new_id()
    with contextlib.suppress(RefusedError):  # another one is at it: who needs the ids looks again
        table.transact([change(key, "SET #draft = :mine", where=_STILL_MINE, mine=mine, draft=found[_DRAFT])])
        jobs = table.query("#pk = :pk AND #sk BETWEEN :first AND :last", pk=key["pk"], first=FIRST_JOB, last=LAST_JOB)
        rows = [
            action
            for page in jobs
            for job in page
            for action in (delete(key_of(job)), delete(job_place_key(plain(job, "id"))))
        ]
        for part in in_parts(rows, (table.most_actions - 1) // 2 * 2):
            table.transact([check(key, where=_STILL_MINE, draft=mine), *part])
        table.transact([delete(key, where=_STILL_MINE, draft=mine)])
    return True


def clear_drafts(table: DynamoTable, *, begun_before: float) -> None:
    """Undo what was begun before that time and did not come to its end."""
    for page in table.query("#in_state = :draft AND #since < :since", index=BY_STATE, draft=_DRAFT, since=begun_before):
        for key in page:
            clear_draft(table, plain(key, "pk").removeprefix(batch_key("")["pk"]))


def _draft_of(batch: Batch, mark: str) -> Item:
    draft = {**batch_key(batch.id), "id": batch.id, _DRAFT: mark, "in_state": _DRAFT, "since": batch.created_at}
    return {name: attribute(value) for name, value in draft.items()}


def _put_all(table: DynamoTable, actions: Sequence[Action], taken: ConflictError) -> None:
    """Do it in one transaction, after taking away the drafts that have one of its ids."""

    def step() -> None:
        try:
            table.transact(actions)
        except RefusedError as refused:
            for there in refused.failed.values():
                holder = there.get("batch_id") or there.get("id")  # of the place of a job, or of a batch
                if holder is None or not clear_draft(table, holder["S"]):
                    raise taken from None
            raise

    table.insist(step)
