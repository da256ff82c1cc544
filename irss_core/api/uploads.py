"""POST /uploads, POST /upload: how files get here."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import APIRouter, Request

from irss_core.api.answers import StoredAnswer, UploadAnswer
from irss_core.api.callers import Caller
from irss_core.api.context import ClientIp, Jobs, TheApi, as_reached
from irss_core.api.forms import FILE_FIELD, IncomingForm
from irss_core.api.problems import may_fail
from irss_core.api.requests import NewUpload
from irss_core.config import MEBIBYTE
from irss_core.errors import LimitExceededError

DIRECT_UPLOAD_BYTES = 32 * MEBIBYTE

router = APIRouter(tags=["Uploads"])

FILE_FORM: dict[str, Any] = {
    "type": "object",
    "required": [FILE_FIELD],
    "properties": {FILE_FIELD: {"type": "string", "format": "binary", "description": "The file, last in the form."}},
}


@router.post(
    "/uploads", status_code=201, summary="Ask for an upload form", responses=may_fail(400, 401, 403, 413, 415, 422, 429)
)
def begin_upload(
    *, body: NewUpload, request: Request, caller: Caller, api: TheApi, jobs: Jobs, ip: ClientIp
) -> UploadAnswer:
    """Return a form that takes one file of this size and type, once, within minutes.

    Send it as multipart/form-data to `url`: the `fields` as they are, then the file as `file`. Then name the upload's
    `id` in POST /process-file; or say here, with `options`, what is to be done as soon as the file has come, and look
    for the job under the upload's `id`.
    """
    upload = jobs.begin_upload(
        caller,
        name=body.name,
        size_bytes=body.size_bytes,
        content_type=body.content_type,
        order=None if body.options is None else body.options.to_options(),
        ip=ip,
    )
    return UploadAnswer(
        id=upload.id,
        url=as_reached(upload.form.url, request, api.settings),
        fields=dict(upload.form.fields),
        max_bytes=upload.form.max_bytes,
        expires_at=datetime.fromtimestamp(upload.form.expires_at, UTC),
    )


@router.post(
    "/upload",
    status_code=201,
    summary="Upload a small file at once",
    responses=may_fail(400, 401, 403, 408, 413, 415, 422, 429),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILE_FORM}}}},
)
async def upload(request: Request, caller: Caller, jobs: Jobs) -> StoredAnswer:
    """Take one file of at most 32 MiB in the field `file`; larger ones go by POST /uploads."""
    form = await IncomingForm.begin(request)

    def take(file: BinaryIO) -> str:
        with tempfile.TemporaryDirectory(prefix="irss-upload-") as folder:
            source = Path(folder) / "file"
            _save(file, source)
            return jobs.add_upload(caller, source, name=form.filename)

    return StoredAnswer(id=await form.use(take))


def _save(file: BinaryIO, target: Path) -> None:
    """Write a file's bytes to ``target``, or stop as soon as there are too many."""
    size = 0
    with target.open("wb") as out:
        while piece := file.read(MEBIBYTE):
            size += len(piece)
            if size > DIRECT_UPLOAD_BYTES:
                raise LimitExceededError(
                    f"The file has more than {DIRECT_UPLOAD_BYTES // MEBIBYTE} MiB, the most that POST /upload takes. "
                    "Ask for a form with POST /uploads."
                )
            out.write(piece)
