"""The pipeline a step at a time, for a state machine that runs each step somewhere else, and any of them twice.

What steps tell each other is small: a job's id, the attempt that it is, and changes as JSON has them. Whoever comes
with an attempt that is no longer the job's is refused, so an old execution does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from irss_core import errors
from irss_core.errors import CancelledError, ConflictError, IrssError, NotFoundError
from irss_core.jobs.attempt import EXHAUSTED
from irss_core.jobs.job import CANCELLED, Job, JobStatus, at_stage, begin_attempt, processed, with_results
from irss_core.jobs.log import record
from irss_core.jobs.options import Stage
from irss_core.media.limits import CLIP_SUFFIXES

if TYPE_CHECKING:
    from irss_core.jobs.service import JobService
    from irss_core.jobs.stages import StageFunction, Workshop

Lane = Literal["function", "worker"]
"""Where a job's steps run: what only looks in functions of their own, or all that decode in one visit to a worker."""

_CHANGING = (Stage.PREPROCESS, Stage.UPSCALE, Stage.FILTER)
OF_WORKERS: Mapping[str, tuple[Stage, ...]] = {
    "function": _CHANGING,
    "worker": (Stage.VALIDATE, Stage.METADATA, *_CHANGING, Stage.THUMBNAIL),
}
"""What a worker does of a job in each lane."""

MOST_BYTES_IN_A_FUNCTION = 64 * 1024**2  # of a still; what is larger, or may move, takes a function's time and memory
_TIMEOUTS = ("States.Timeout", "States.HeartbeatTimeout", "Sandbox.Timedout")
_KINDS: Mapping[str, type[IrssError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IrssError)
}
_CODES = frozenset({kind.code for kind in _KINDS.values()} | {EXHAUSTED})


@dataclass(frozen=True)
class Failure:
    """Why a step did not succeed, in the words that the user gets."""

    code: str
    text: str


def begin(service: JobService, job_id: str) -> dict[str, Any]:
    """Return the job's attempt, its lane, and whether its picture is changed at all.

    The attempt is written before that, which fences off earlier ones.

    Raises:
        ConflictError: it is settled, or gone.
    """
    before = service.store.job(job_id)
    if before is None or before.settled:
        raise ConflictError("The job was settled or deleted before it was begun.")
    job = begin_attempt(before, now=service.clock.now())
    service.store.save(before, job)
    record("attempt begun", job=job)
    return {
        "job_id": job.id,
        "attempt": job.attempt,
        "lane": lane_of(job),
        "changes_picture": any(stage in _CHANGING for stage in job.options.stages),
    }


def lane_of(job: Job) -> Lane:
    """Return where its steps run, by its name and size: what it really is, its first step finds out."""
    suffix = PurePosixPath(job.name).suffix.lower()
    return "worker" if suffix in CLIP_SUFFIXES or job.input_bytes > MOST_BYTES_IN_A_FUNCTION else "function"


def run_stage(
    service: JobService, workshop: Workshop, job_id: str, *, attempt: int, stage: Stage, function: StageFunction
) -> dict[str, Any]:
    """Return what a stage made and found, which is also written to the job.

    Not so the thumbnail's: it runs beside others, which write meanwhile. Its changes are for ``archive``.

    Raises:
        ConflictError: another attempt has the job, or somebody settled it. CancelledError: its owner asked for it.
        IrssError: as the stage raises.
    """
    job = _current(service, job_id, attempt)
    if stage is Stage.THUMBNAIL:
        changes = function(job, workshop, progress=None, cancel=None)
        return _answer(job, {"outputs": dict(changes.outputs), "facts": dict(changes.facts)})
    begun = at_stage(job, stage, now=service.clock.now())
    service.store.save(job, begun)
    changes = function(begun, workshop, progress=None, cancel=None)
    after = with_results(begun, outputs=changes.outputs, facts=changes.facts, now=service.clock.now())
    service.store.save(begun, after)
    return _answer(after)


def archive(
    service: JobService,
    workshop: Workshop,
    job_id: str,
    *,
    attempt: int,
    function: StageFunction,
    changes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the job, its original and its outputs safe in the store; with the changes that ran beside the others.

    Raises:
        ConflictError, CancelledError: as ``run_stage``. StoreUnavailableError: an output is not as it was written.
    """
    from irss_core.jobs.stages.workshop import Changes, together

    job = _current(service, job_id, attempt)
    if changes is not None:
        merged = together(job, Changes(changes["outputs"], changes["facts"]))
        after = with_results(job, outputs=merged.outputs, facts=merged.facts, now=service.clock.now())
        service.store.save(job, after)
    return run_stage(service, workshop, job_id, attempt=attempt, stage=Stage.ARCHIVE, function=function)


def commit(service: JobService, job_id: str, *, attempt: int) -> dict[str, Any]:
    """Return the job's end: 1 -> 2, its mail in the outbox if it was the batch's last one. A second time it is so.

    Raises:
        ConflictError: another attempt has the job, or it was given up.
    """
    found = service.store.job(job_id)
    if found is not None and found.attempt == attempt and found.status in (JobStatus.PROCESSED, JobStatus.DELIVERED):
        return _ended(found)
    job = _current(service, job_id, attempt)
    after = processed(job, now=service.clock.now())
    service.settle(job, after)
    record("attempt ended", job=after, ending="settled", status=after.status.value)
    return _ended(after)


def fail(service: JobService, job_id: str, failure: Failure) -> dict[str, Any]:
    """Return the job given up, 1 -> 4, with words for its owner; one that is settled or gone is left as it is.

    Raises:
        ConflictError: others were faster again and again.
    """
    try:
        return _ended(service.give_up(job_id, code=failure.code, error=failure.text))
    except NotFoundError:
        return {"job": job_id[:12], "status": None}


def told_whole(error: IrssError) -> IrssError:
    """Return the error with its code in its words, as JSON: not every engine keeps an exception's name."""
    return type(error)(json.dumps({"code": error.code, "text": str(error)}))


def failure_of(error: str, cause: str) -> Failure:
    """Return the failure that an error's name and cause mean: a worker's own words, a function's, or the engine's.

    Args:
        error: a code of ours, the name of an exception, or the engine's own ("States.Timeout").
        cause: a text, or what functions answer: JSON with "errorType" and "errorMessage", which ``told_whole`` wrote.
    """
    if error in _TIMEOUTS:
        return Failure(EXHAUSTED, "Given up: a step took longer than it may, or its worker was not heard of any more.")
    answer = _as_object(cause)
    kind = str(answer.get("errorType", error)).rpartition(".")[2]
    text = str(answer.get("errorMessage", cause))
    told = _as_object(text)
    kind, text = str(told.get("code", kind)), str(told.get("text", text))
    if kind in _CODES:
        return Failure(kind, text)
    if kind not in _KINDS:  # nothing that was planned, and it may hold what is private
        return Failure("unexpected", f"Something unexpected went wrong ({kind[:60] or 'nothing is known of it'}).")
    if _KINDS[kind].retryable:
        return Failure(EXHAUSTED, f"Given up after several attempts. The last one failed: {text}")
    return Failure(_KINDS[kind].code, text)


def _as_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _current(service: JobService, job_id: str, attempt: int) -> Job:
    job = service.store.job(job_id)
    if job is None or job.settled or job.attempt != attempt:
        raise ConflictError(f"Attempt {attempt} no longer has the job: it ended, was deleted, or was begun anew.")
    if job.cancel_requested:
        raise CancelledError(CANCELLED)
    return job


def _answer(job: Job, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"job_id": job.id, "attempt": job.attempt, "changes": changes}


def _ended(job: Job) -> dict[str, Any]:
    return {"job": job.short_id, "status": job.status.value, "code": job.error_code}
