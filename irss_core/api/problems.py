"""Errors as problem documents (RFC 9457), whoever raised them: the service, FastAPI's validation, or a bug."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from irss_core.errors import IrssError, RateLimitedError, ResourceError

logger = logging.getLogger("irss.api")

MEDIA_TYPE = "application/problem+json"
_SHOWN_FAULTS = 20
_RETRY_LATER_S = 5.0  # for what is "unavailable right now": a locked database, a full disk that a sweeper frees
_MEANINGS = {
    400: "The request cannot be read.",
    401: "Nobody is signed in, or the session is over.",
    403: "The session's cookie came with a request that no page of this service made.",
    404: "There is nothing of that name for this caller.",
    408: "The file stopped coming.",
    409: "It is not in a state that allows this, or somebody else changed it at the same time.",
    413: "Over a limit of size.",
    415: "Not a kind of file that is taken.",
    422: "Something in the request cannot be taken; `errors` may name each.",
    429: "Too much in too short a time; `retry_after` says when to try again.",
    500: "A fault of the server.",
    502: "The mail server did not take the mail.",
    503: "Not possible right now; try again.",
}
_CODES = {HTTPStatus.UNAUTHORIZED: "not-signed-in", HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "limit-exceeded"}


class Fault(BaseModel):
    """One part of a request that cannot be taken."""

    at: str = Field(description="Where in the request it stands.", examples=["body.options.quality"])
    message: str = Field(examples=["Input should be less than or equal to 100"])


class Problem(BaseModel):
    """What went wrong and what to do about it (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:irss:problem:rate-limited",
                    "title": "Rate limited",
                    "status": 429,
                    "detail": "10 submissions came from this address within an hour, which is the limit. "
                    "Try again in 12 minutes.",
                    "code": "rate-limited",
                    "retry_after": 720,
                }
            ]
        }
    )

    type: str = Field(description="A stable name of this kind of problem.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What happened this time: the value, the limit and the remedy.")
    code: str = Field(description="The last part of `type`, for programs.")
    retry_after: int | None = Field(default=None, description="After how many seconds it is worth another try.")
    instance: str | None = Field(default=None, description="Names this one failure, for who runs the server.")
    errors: list[Fault] | None = Field(default=None, description="Every part of the request that cannot be taken.")


def may_fail(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return for a route's ``responses`` that it may answer with these problems, and with those that any may."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in (*statuses, 500, 503)}


def problem_response(
    status: int,
    *,
    code: str,
    detail: str,
    retry_after_s: float | None = None,
    instance: str | None = None,
    errors: Sequence[Fault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that carries a problem document; its headers say again what programs look for there."""
    retry_after = None if retry_after_s is None else max(1, math.ceil(retry_after_s))
    problem = Problem(
        type=f"urn:irss:problem:{code}",
        title=code.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        retry_after=retry_after,
        instance=instance,
        errors=list(errors) if errors is not None else None,
    )
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if retry_after is not None:
        sent["Retry-After"] = str(retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        sent["WWW-Authenticate"] = 'Bearer realm="IRSS"'
    return JSONResponse(problem.model_dump(exclude_none=True), status, sent, media_type=MEDIA_TYPE)


def answer_problem(error: IrssError) -> Response:
    """Return the problem document of an error of ours; one of the machine's says no more than that, and is logged."""
    if isinstance(error, ResourceError):
        logger.warning("%s: %s", error.code, error)
        detail = "This cannot be done right now. Nothing that is here already is lost. Try again in a few seconds."
        return problem_response(error.http_status, code=error.code, detail=detail, retry_after_s=_RETRY_LATER_S)
    later = error.retry_after_s if isinstance(error, RateLimitedError) else None
    return problem_response(error.http_status, code=error.code, detail=str(error), retry_after_s=later)


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error that leaves a route of ``app`` become a problem document."""

    async def ours(_: Request, error: Exception) -> Response:
        if not isinstance(error, IrssError):
            raise error
        return answer_problem(error)

    async def of_http(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        code = _CODES.get(HTTPStatus(error.status_code)) or _slug(error.status_code)
        headers = dict(error.headers or {})
        later = headers.pop("Retry-After", None)
        return problem_response(
            error.status_code,
            code=code,
            detail=str(error.detail),
            retry_after_s=float(later) if later else None,
            headers=headers,
        )

    async def of_validation(_: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        faults = [_fault(each) for each in error.errors()[:_SHOWN_FAULTS]]
        first = faults[0]
        detail = f"{first.at}: {first.message}." if first.at else f"{first.message}."
        return problem_response(422, code="invalid-request", detail=detail, errors=faults)

    async def of_a_bug(request: Request, error: Exception) -> Response:
        # The server logs the traceback; this line ties it to what the caller was told. Addresses of requests are
        # capabilities, so the line has the route's pattern.
        name = secrets.token_hex(6)
        route = getattr(request.scope.get("route"), "path", "?")
        logger.error("incident %s: %s %s failed with %s", name, request.method, route, type(error).__name__)
        detail = "Something went wrong on the server. Try again; if it stays, tell who runs it the name in `instance`."
        return problem_response(500, code="internal-error", detail=detail, instance=f"urn:irss:incident:{name}")

    app.add_exception_handler(IrssError, ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(Exception, of_a_bug)


def _slug(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "-").replace("'", "")


def _fault(error: Mapping[str, Any]) -> Fault:
    """Return a validation error without the value it was about: that may be a secret, or very long."""
    at = ".".join(str(part) for part in error["loc"])
    return Fault(at=at[:100], message=str(error["msg"])[:200])
