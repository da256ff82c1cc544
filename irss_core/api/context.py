"""What the routes share: the services, who asked, from where, and whether a browser was tricked into asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from irss_core.api.metrics import Metrics
from irss_core.api.oidc import IdentityTokens
from irss_core.api.store_check import StoreCheck
from irss_core.api.streams import StreamLimit
from irss_core.config import Settings
from irss_core.jobs.client_ip import client_ip
from irss_core.jobs.service import JobService

if TYPE_CHECKING:
    from irss_core.services import Services


@dataclass(frozen=True)
class Api:
    """One app's API."""

    services: Services
    settings: Settings
    identity_tokens: IdentityTokens | None
    streams: StreamLimit
    store_check: StoreCheck
    metrics: Metrics

    def job_service(self) -> JobService:
        """Return the service; the first call opens its store."""
        return self.services.jobs


def the_api(request: Request) -> Api:
    """Return the API that ``build_api`` put on the app."""
    api: Api = request.app.state.api
    return api


TheApi = Annotated[Api, Depends(the_api)]


def job_service(api: TheApi) -> JobService:
    """Return the service."""
    return api.job_service()


Jobs = Annotated[JobService, Depends(job_service)]


def asked_from(request: Request, api: TheApi) -> str | None:
    """Return the IP address that the request came from, None if that is not known."""
    peer = request.client.host if request.client else None
    forwarded = request.headers.getlist("x-forwarded-for")
    return client_ip(peer, forwarded, trusted_proxies=api.settings.proxies_in_front(request.headers))


ClientIp = Annotated[str | None, Depends(asked_from)]


def require_own_page(request: Request, settings: Settings) -> None:
    """Let a request through that a page of this app, or of an origin the operator named, made.

    A browser adds the session cookie to whatever page makes it ask, so the cookie alone does not show that the visitor
    wanted a change. Every browser of today says where a changing request comes from, in headers that pages cannot set:
    Origin, or at least Sec-Fetch-Site. Who has no browser sends the token as ``Authorization: Bearer`` instead.

    Raises:
        HTTPException: 403, for all others.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is None and site == "same-origin":
        return
    if origin is not None and (_is_own(origin, request, settings) or origin in settings.cors_origins):
        return
    raise HTTPException(
        403,
        "This change was asked for with the session cookie, but not from a page of this service. Ask from there, or "
        "send the session's token as `Authorization: Bearer`.",
    )


def over_https(request: Request, settings: Settings) -> bool:
    """Whether the caller reaches us over HTTPS, be it by way of a proxy."""
    if request.url.scheme == "https" or settings.address.startswith("https://"):
        return True
    said = request.headers.get("x-forwarded-proto", "") if settings.proxies_in_front(request.headers) else ""
    return said.split(",")[-1].strip() == "https"


def as_reached(url: str, request: Request, settings: Settings) -> str:
    """Return one of our addresses as the caller reaches us, unless the operator named how that is.

    Without IRSS_PUBLIC_URL we only know where we listen, which is not how a phone in the same network, or a container's
    host, gets here. A page of ours says it best: behind a proxy we may not even know that it speaks HTTPS.
    """
    path = below_our_origin(url, settings)
    if settings.public_url is not None or path == url:
        return url
    origin = request.headers.get("origin", "")
    if not _is_own(origin, request, settings):
        scheme = "https" if over_https(request, settings) else request.url.scheme
        origin = f"{scheme}://{request.url.netloc}"
    return origin + path


def below_our_origin(url: str, settings: Settings) -> str:
    """Return the path and query of one of our addresses, which lead a caller of ours there; any other as it stands."""
    own = _origin(settings.address)
    return url.removeprefix(own) if url.startswith(f"{own}/") else url


def _is_own(origin: str, request: Request, settings: Settings) -> bool:
    if origin == _origin(settings.address):
        return True
    return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc == request.headers.get("host")


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
