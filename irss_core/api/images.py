"""GET /images, GET /image/{key}: the caller's own gallery, and the pictures in it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import RedirectResponse

from irss_core.api.answers import JOB_ID, ImagesAnswer, job_answer
from irss_core.api.callers import Caller, find_job
from irss_core.api.context import Jobs, TheApi, below_our_origin
from irss_core.api.problems import may_fail

router = APIRouter(tags=["Images"])


@router.get("/images", summary="List your own", responses=may_fail(401, 422))
def list_images(
    caller: Caller,
    jobs: Jobs,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 50,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=200, description="`next` of the answer before.")
    ] = None,
) -> ImagesAnswer:
    """Return the caller's own jobs, newest first, each with the address of its thumbnail."""
    page = jobs.jobs_of(caller, limit=limit, cursor=cursor)
    return ImagesAnswer(images=[job_answer(job, asked_by=caller, jobs=jobs) for job in page.jobs], next=page.cursor)


@router.get(
    "/image/{key}",
    status_code=303,
    response_class=RedirectResponse,
    summary="Take a picture home",
    responses={303: {"description": "To an address that gives the file for the next minutes."}, **may_fail(404, 422)},
)
def read_image(
    key: Annotated[str, Path(description="A job's id.", examples=[JOB_ID])],
    api: TheApi,
    jobs: Jobs,
    role: Annotated[
        Literal["result", "thumbnail", "preview", "original"],
        Query(
            description="The result, its thumbnail, the input's, or the input itself; thumbnails have 100 x 100 pixels."
        ),
    ] = "result",
) -> RedirectResponse:
    """Send the caller to a short-lived download of one of a job's files."""
    url = jobs.download_url(find_job(key, jobs), role)
    return RedirectResponse(below_our_origin(url, api.settings), 303)
