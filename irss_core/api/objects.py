"""POST /objects, GET /objects/{key}: where the addresses lead that the local object store signs."""

from __future__ import annotations

import os
import stat
from pathlib import Path as FilePath
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse

from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.object_rules import attachment
from irss_core.api.context import Jobs
from irss_core.api.forms import IncomingForm
from irss_core.api.problems import may_fail
from irss_core.api.uploads import FILE_FORM
from irss_core.errors import NotFoundError
from irss_core.jobs.service import JobService

router = APIRouter(tags=["Objects"])

_SIGNED_FORM: dict[str, Any] = {
    **FILE_FORM,
    "required": ["key", "content-type", "policy", "signature", *FILE_FORM["required"]],
    "properties": {
        **{name: {"type": "string"} for name in ("key", "content-type", "policy", "signature")},
        **FILE_FORM["properties"],
    },
}
_HEADERS = {
    "Cache-Control": "private, max-age=300",
    "X-Content-Type-Options": "nosniff",
    # Whatever a visitor's file turns out to be, as a page it may do nothing, and it has nothing to do with ours.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Referrer-Policy": "no-referrer",
}


@router.post(
    "/objects",
    status_code=204,
    summary="Send a file with an upload form",
    responses=may_fail(400, 404, 408, 413, 422),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _SIGNED_FORM}}}},
)
async def take_object(request: Request, jobs: Jobs) -> None:
    """Take the file of a form of POST /uploads. The form is the right to do so; it holds for one file, for minutes."""
    objects = _local_objects(jobs)
    form = await IncomingForm.begin(request)

    def take(file: BinaryIO) -> None:
        stored = objects.take_upload(form.fields, file)
        jobs.arrived(stored.key.rpartition("/")[2])

    await form.use(take)


_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/octet-stream": {"schema": {"type": "string"}}}},
    206: {"description": "The part that the Range header asks for."},
    416: {"description": "The Range header asks for a part that is not there."},
    **may_fail(404, 422),
}


@router.head("/objects/{key:path}", include_in_schema=False)
@router.get("/objects/{key:path}", response_class=FileResponse, summary="Take a file home", responses=_FILE)
def give_object(
    *,
    key: Annotated[str, Path(description="An object's key.", max_length=300)],
    request: Request,
    jobs: Jobs,
    filename: Annotated[str, Query(description="Of the download, as signed.", max_length=1000)] = "",
    expires: Annotated[str, Query(description="Until when the address is good, as signed.", max_length=20)] = "",
    signature: Annotated[str, Query(max_length=200)] = "",
) -> FileResponse:
    """Give the file of a signed address, as an attachment. Addresses come from GET /image/{key} and end in minutes."""
    query = {"filename": filename, "expires": expires, "signature": signature}
    path, name, content_type = _local_objects(jobs).open_download(key, query)
    headers = {**_HEADERS, "Content-Disposition": attachment(name)}
    return FileResponse(path, headers=headers, media_type=content_type, stat_result=_facts(path))


def _local_objects(jobs: JobService) -> FileObjects:
    if not isinstance(jobs.objects, FileObjects):
        raise NotFoundError("This server's files are kept elsewhere; the addresses it gives lead there.")
    return jobs.objects


def _facts(path: FilePath) -> os.stat_result:
    try:
        facts = path.stat()
    except OSError:
        facts = None
    if facts is None or not stat.S_ISREG(facts.st_mode):
        raise NotFoundError("There is nothing at this address any more.")
    return facts
