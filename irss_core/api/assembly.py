"""build_api: the routes, put on an app with what they need and what every answer of theirs carries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from irss_core import __version__
from irss_core.api import batches, health, images, jobs, objects, pages, problems, sign_in, uploads
from irss_core.api.context import Api
from irss_core.api.metrics import CountRequests, Metrics
from irss_core.api.oidc import IdentityTokens
from irss_core.api.store_check import StoreCheck
from irss_core.api.streams import StreamLimit
from irss_core.config import MEBIBYTE

if TYPE_CHECKING:
    from irss_core.services import Services

_BODY_BYTES = MEBIBYTE // 4  # of JSON: 500 ids and the options are a sixth of it
_WITH_FILES = ("/upload", "/objects")  # their routes count the bytes themselves
ROUTERS = (
    sign_in.router,
    uploads.router,
    jobs.router,
    batches.router,
    images.router,
    objects.router,
    health.router,
)
# The first part of every path that is ours. Whatever else begins so is answered by us too, and not by the page at "/".
_OURS = {"openapi.json"} | {
    route.path.split("/")[1] for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)
}
_METHODS = ("GET", "HEAD", "POST", "DELETE")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def build_api(app: FastAPI, services: Services) -> None:
    """Put the HTTP API on ``app``; call it before anything is mounted at "/". Opens and loads nothing.

    Raises:
        InvalidOptionError: the settings name an issuer that cannot be trusted as it is set.
    """
    settings = services.settings
    metrics = Metrics(lambda: services.jobs)
    app.state.api = Api(
        services=services,
        settings=settings,
        identity_tokens=IdentityTokens.of(settings),
        streams=StreamLimit(),
        store_check=StoreCheck(),
        metrics=metrics,
    )
    problems.add_problem_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/openapi.json", openapi_document, include_in_schema=False)
    app.router.routes.append(_AllElse(list(app.router.routes)))
    app.mount(f"/{pages.STATIC_ADDRESS}", StaticFiles(directory=pages.STATIC), name="api-static")
    app.add_middleware(_ShortBodies)
    app.add_middleware(_PrivateAnswers)
    app.add_middleware(CountRequests, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            # With "*" the cookie of a visitor would be at every page's service.
            allow_credentials="*" not in settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Location", "Retry-After"],
        )


@cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the API, each of its errors as a problem document."""
    everything = APIRouter()
    for router in ROUTERS:
        everything.include_router(router)
    document = get_openapi(
        title="IRSS",
        version=__version__,
        summary="Image Resolution Scaling Service: hand files off, get one mail",
        description=_DESCRIPTION,
        routes=everything.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem)
    return document


_DESCRIPTION = """
Hand pictures and clips off to be enlarged, close the laptop, and get one mail when all of a submission is done.

1. `POST /verify` and `POST /verify/confirm`: an e-mail address, and the code that is mailed to it, begin a session.
2. `POST /uploads`, and the file to the form that it answers with; or `POST /upload` for a small one.
3. `POST /process-file` with the uploads' ids and what is to be done.
4. `GET /jobs/{job_id}/events`, or wait for the mail.

The id of a job or batch is the key to it: who knows it may read it, only its owner may change it. What is unknown and
what is somebody else's is answered alike, with 404. Every error is a problem document (RFC 9457).
"""


class _AllElse(BaseRoute):
    """What begins like our paths and is none, or is asked with another method: a problem, not the page at "/"."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return a full match for every path that begins like one of ours."""
        return (Match.FULL if is_ours(scope) else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 405 if another method would have been right, else 404."""
        allowed = [method for method in _METHODS if self._takes({**scope, "method": method})]
        if allowed:
            raise HTTPException(405, f"This address takes {', '.join(allowed)} only.", {"Allow": ", ".join(allowed)})
        raise HTTPException(404, "There is no such address. GET /openapi.json describes those that there are.")

    def _takes(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes)


class _PrivateAnswers:
    """Middleware: what we answer is for one caller, of the type it says, and tells no other site where it was."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and add the headers that its answer does not have."""

        async def private(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, private if is_ours(scope) else send)


class _ShortBodies:
    """Middleware: a body that is no file is read no further than a submission may be long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; whoever reads more of its body than may be gets a 413 to answer with."""
        if not is_ours(scope) or _path(scope) in _WITH_FILES:
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        left = _BODY_BYTES if int(declared or 0) <= _BODY_BYTES else -1

        async def counted() -> Message:
            nonlocal left
            message = await receive() if left >= 0 else {}
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"The request has more than {_BODY_BYTES} bytes, more than any needs.")
            return message

        await self._app(scope, counted, send)


def is_ours(scope: Scope) -> bool:
    """Whether a request is for the API, by the first part of its path."""
    return scope["type"] == "http" and _path(scope).removeprefix("/").partition("/")[0] in _OURS


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
