"""POST /verify, POST /verify/confirm, POST /sign-out: a session for who reads the mails of an address."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from irss_core.api.answers import CodeAnswer, SessionAnswer
from irss_core.api.context import ClientIp, Jobs, TheApi, over_https, require_own_page
from irss_core.api.problems import may_fail
from irss_core.api.requests import Confirmation, NewCode
from irss_core.jobs.identity import COOKIE, SESSION_S

router = APIRouter(tags=["Sign in"])


@router.post("/verify", status_code=202, summary="Have a code mailed", responses=may_fail(400, 413, 422, 429, 502))
def verify(body: NewCode, jobs: Jobs, ip: ClientIp) -> CodeAnswer:
    """Mail a code of six digits to an address: good for 30 minutes, for five tries, three times a day."""
    return CodeAnswer(expires_in_s=jobs.request_code(body.address, ip=ip))


@router.post("/verify/confirm", summary="Hand the code in", responses=may_fail(400, 401, 403, 413, 422, 429))
def confirm(body: Confirmation, request: Request, response: Response, api: TheApi, jobs: Jobs) -> SessionAnswer:
    """Begin a session of 30 days: as a cookie for browsers, and as a token for programs."""
    _refuse_foreign_pages(request, api)
    token = jobs.confirm_code(body.address, body.code)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_S),
        path="/",
        httponly=True,
        samesite="lax",
        secure=over_https(request, api.settings),
    )
    return SessionAnswer(token=token, expires_in_s=int(SESSION_S))


@router.post("/sign-out", status_code=204, summary="End the session on this browser", responses=may_fail(403))
def sign_out(request: Request, response: Response, api: TheApi) -> None:
    """Delete the session's cookie. A token that was copied from it stays good until it is over."""
    _refuse_foreign_pages(request, api)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=over_https(request, api.settings))


def _refuse_foreign_pages(request: Request, api: TheApi) -> None:
    """Keep other sites from signing a visitor in as somebody else, or out; programs send no Origin."""
    if "origin" in request.headers or "sec-fetch-site" in request.headers:
        require_own_page(request, api.settings)
