"""Who asks: by the session cookie, or by ``Authorization: Bearer`` with a session's token or an issuer's."""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from irss_core.api.context import Jobs, TheApi, require_own_page
from irss_core.errors import NotFoundError, NotSignedInError
from irss_core.jobs.identity import COOKIE, Owner
from irss_core.jobs.job import Batch, Job
from irss_core.jobs.service import JobService

_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="session",
    description="The session that POST /verify/confirm begins. Changes must be asked for by a page of this service.",
)
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="The token that POST /verify/confirm answers with, or one of the OpenID Connect issuer set here.",
)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ID = re.compile(r"[0-9a-f]{64}")


def signed_in(
    request: Request,
    api: TheApi,
    jobs: Jobs,
    cookie: Annotated[str | None, Security(_cookie)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Owner:
    """Return who asks.

    Raises:
        NotSignedInError: nobody, or a session that is over or not ours.
        HTTPException: 403, the cookie came with a request that no page of ours made; 503, an issuer does not answer.
    """
    if bearer is not None:
        return _of_token(bearer.credentials, api, jobs)
    if not cookie:
        raise NotSignedInError(
            "Nobody is signed in. Have a code mailed to you with POST /verify and hand it in with POST /verify/confirm."
        )
    if request.method not in _READING:
        require_own_page(request, api.settings)
    return jobs.sessions.owner(cookie)


def visitor(
    request: Request,
    api: TheApi,
    jobs: Jobs,
    cookie: Annotated[str | None, Security(_cookie)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Owner | None:
    """Return who asks, or None: who holds a job's id may read it without being anybody."""
    try:
        return signed_in(request, api, jobs, cookie, bearer)
    except NotSignedInError:
        return None


NO_SESSION_NEEDED: dict[str, Any] = {"security": [{}]}
"""For ``openapi_extra`` of a route that asks for a ``Visitor``: among its securities there is none at all."""

Caller = Annotated[Owner, Security(signed_in)]
Visitor = Annotated[Owner | None, Security(visitor)]


def find_job(job_id: str, jobs: JobService) -> Job:
    """Return the job of that id.

    Raises:
        NotFoundError: there is none, in the words that ``own_job`` has for a foreign one.
    """
    try:
        return jobs.job(_checked(job_id))
    except NotFoundError:
        raise _missing("job") from None


def find_batch(batch_id: str, jobs: JobService) -> tuple[Batch, list[Job]]:
    """Return the batch of that id with its jobs; raises as ``find_job``."""
    try:
        return jobs.batch(_checked(batch_id))
    except NotFoundError:
        raise _missing("batch") from None


def own_job(job_id: str, owner: Owner, jobs: JobService) -> Job:
    """Return the job of that id if it is this caller's: its id lets anybody read it, only its owner may change it.

    Raises:
        NotFoundError: there is none, or it is somebody else's; the answer is the same.
    """
    job = find_job(job_id, jobs)
    if not is_owner(owner, job):
        raise _missing("job")
    return job


def own_batch(batch_id: str, owner: Owner, jobs: JobService) -> Batch:
    """Return the batch of that id if it is this caller's; raises as ``own_job``."""
    batch, _ = find_batch(batch_id, jobs)
    if not is_owner(owner, batch):
        raise _missing("batch")
    return batch


def is_owner(owner: Owner | None, of: Job | Batch) -> bool:
    """Whether that is who handed it in."""
    return owner is not None and hmac.compare_digest(owner.key, of.owner)


def _of_token(token: str, api: TheApi, jobs: JobService) -> Owner:
    try:
        return jobs.sessions.owner(token)
    except NotSignedInError:
        if api.identity_tokens is None:
            raise
    return api.identity_tokens.owner(token, jobs.sessions)


def _checked(some_id: str) -> str:
    if _ID.fullmatch(some_id) is None:
        raise NotFoundError("That is no id.")
    return some_id


def _missing(what: str) -> NotFoundError:
    return NotFoundError(
        f"There is no {what} of that id for you. Check the address. Finished ones are deleted after a while."
    )
