"""POST /process-file, and one job: read, followed, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from irss_core.api import pages
from irss_core.api.answers import JOB_ID, JobAnswer, SubmissionAnswer, batch_answer, job_answer
from irss_core.api.callers import NO_SESSION_NEEDED, Caller, Visitor, find_job, own_job
from irss_core.api.context import ClientIp, Jobs, TheApi
from irss_core.api.problems import may_fail
from irss_core.api.requests import NewSubmission
from irss_core.api.streams import event_stream
from irss_core.errors import NotFoundError
from irss_core.jobs.job import Job
from irss_core.jobs.limits import network_of

router = APIRouter(tags=["Jobs"])

JobId = Annotated[str, Path(description="A job's id: 64 hexadecimal digits.", examples=[JOB_ID])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own, unique to this submission: sent again with it, nothing is done twice.",
        examples=["c7d6a0de-5b5f-4b5c-9c55-0f4dbd6c2a0f"],
    ),
]


@router.post(
    "/process-file",
    status_code=202,
    summary="Hand files off",
    responses=may_fail(400, 401, 403, 404, 409, 413, 415, 422, 429),
)
def submit(
    *,
    body: NewSubmission,
    response: Response,
    caller: Caller,
    api: TheApi,
    jobs: Jobs,
    ip: ClientIp,
    idempotency_key: IdempotencyKey = None,
) -> SubmissionAnswer:
    """Make a job of each upload, and of each picture and clip in an uploaded zip. One mail comes when all are settled.

    The Location header names the job, or the batch if there are several.
    """
    submission = jobs.submit(caller, body.uploads, body.options.to_options(), ip=ip, idempotency_key=idempotency_key)
    api.metrics.submissions.labels(str(submission.created).lower()).inc()
    batch, made = submission.batch, submission.jobs
    response.headers["Location"] = f"/jobs/{made[0].id}" if len(made) == 1 else f"/batches/{batch.id}"
    return SubmissionAnswer(created=submission.created, batch=batch_answer(batch, made, asked_by=caller, jobs=jobs))


@router.get(
    "/jobs/{job_id}",
    openapi_extra=NO_SESSION_NEEDED,
    response_model=JobAnswer,
    summary="Ask for a job",
    responses={**pages.RESPONSES, **may_fail(404, 422)},
)
def read_job(job_id: JobId, request: Request, visitor: Visitor, jobs: Jobs) -> JobAnswer | Response:
    """Return the job. A browser, which accepts text/html, gets a page that follows it and offers the downloads."""
    if pages.wanted(request):
        return pages.job_page(job_id, visitor, jobs)
    return job_answer(find_job(job_id, jobs), asked_by=visitor, jobs=jobs)


def _stream_slot(api: TheApi, ip: ClientIp) -> Iterator[None]:
    """Hold one of the streams that may be open; what follows the ``yield`` runs when the answer is over."""
    with api.streams.hold(network_of(ip) if ip else None):
        yield


@router.get(
    "/jobs/{job_id}/events",
    openapi_extra=NO_SESSION_NEEDED,
    response_class=EventSourceResponse,
    summary="Follow a job",
    dependencies=[Depends(_stream_slot)],
    responses={
        200: {
            "description": "Server-sent events: `job` whenever something changed, its data a Job as JSON; `gone` when "
            "it was deleted. The stream ends when the job is mailed or given up.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **may_fail(404, 422, 429),
    },
)
async def follow_job(job_id: JobId, visitor: Visitor, jobs: Jobs) -> EventSourceResponse:
    """Stream the job whenever its stage, progress or time left changes."""
    await run_in_threadpool(find_job, job_id, jobs)

    def read() -> Job | None:
        try:
            return find_job(job_id, jobs)
        except NotFoundError:
            return None

    def describe(job: Job) -> str:
        return job_answer(job, asked_by=visitor, jobs=jobs).model_dump_json()

    return event_stream(read, describe)


@router.post("/jobs/{job_id}/cancel", summary="Stop a job", responses=may_fail(401, 403, 404, 409, 422))
def cancel_job(job_id: JobId, caller: Caller, jobs: Jobs) -> JobAnswer:
    """Stop the caller's job: a waiting one at once, one in work within moments."""
    own_job(job_id, caller, jobs)
    return job_answer(jobs.cancel(job_id), asked_by=caller, jobs=jobs)


@router.delete(
    "/jobs/{job_id}", status_code=204, summary="Delete a job now", responses=may_fail(401, 403, 404, 409, 422)
)
def delete_job(job_id: JobId, caller: Caller, jobs: Jobs) -> None:
    """Delete the caller's job with its input and its results; one in work is stopped first."""
    own_job(job_id, caller, jobs)
    jobs.delete(job_id)
