"""One submission with all its jobs: read, taken home as one zip, cancelled."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.responses import RedirectResponse

from irss_core.api import pages
from irss_core.api.answers import BATCH_ID, BatchAnswer, batch_answer
from irss_core.api.callers import NO_SESSION_NEEDED, Caller, Visitor, find_batch, own_batch
from irss_core.api.context import Jobs, TheApi, below_our_origin
from irss_core.api.problems import may_fail

router = APIRouter(tags=["Batches"])

BatchId = Annotated[str, Path(description="A batch's id: 64 hexadecimal digits.", examples=[BATCH_ID])]


@router.get(
    "/batches/{batch_id}",
    openapi_extra=NO_SESSION_NEEDED,
    response_model=BatchAnswer,
    summary="Ask for a batch",
    responses={**pages.RESPONSES, **may_fail(404, 422)},
)
def read_batch(batch_id: BatchId, request: Request, visitor: Visitor, jobs: Jobs) -> BatchAnswer | Response:
    """Return the batch with its jobs. A browser, which accepts text/html, gets a page."""
    if pages.wanted(request):
        return pages.batch_page(batch_id, visitor, jobs)
    batch, made = find_batch(batch_id, jobs)
    return batch_answer(batch, made, asked_by=visitor, jobs=jobs)


@router.get(
    "/batches/{batch_id}/results.zip",
    status_code=303,
    response_class=RedirectResponse,
    summary="Take all results home",
    responses={303: {"description": "To an address that gives the zip for the next minutes."}, **may_fail(404, 422)},
)
def read_zip(batch_id: BatchId, api: TheApi, jobs: Jobs) -> RedirectResponse:
    """Send the caller to a short-lived download of all results in one zip."""
    batch, _ = find_batch(batch_id, jobs)
    return RedirectResponse(below_our_origin(jobs.results_zip_url(batch.id), api.settings), 303)


@router.post("/batches/{batch_id}/cancel", summary="Stop a batch", responses=may_fail(401, 403, 404, 409, 422))
def cancel_batch(batch_id: BatchId, caller: Caller, jobs: Jobs) -> BatchAnswer:
    """Stop what is not finished of the caller's batch."""
    batch = own_batch(batch_id, caller, jobs)
    jobs.cancel_batch(batch.id)
    after, made = find_batch(batch_id, jobs)
    return batch_answer(after, made, asked_by=caller, jobs=jobs)
