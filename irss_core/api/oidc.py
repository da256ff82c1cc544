"""Identity tokens of an OpenID Connect issuer, checked against the keys it publishes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from starlette.exceptions import HTTPException

from irss_core.config import Settings
from irss_core.errors import InvalidOptionError, NotSignedInError
from irss_core.jobs.identity import Owner, Sessions

logger = logging.getLogger("irss.api")

_ALGORITHMS = ["RS256", "ES256"]  # public keys only: with HS256 anybody who reads the key could sign
_REQUIRED = ["iss", "aud", "exp", "sub"]
_LEEWAY_S = 30
_KEYS_KEPT_S = 300.0
_PATIENCE_S = 5.0
_LEAVE_ALONE_S = 5.0  # an issuer that did not answer
_LONGEST_TOKEN = 8192
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class IdentityTokens:
    """Knows whom an issuer's tokens name. Its discovery document and keys are fetched when first needed, and kept."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        keys_url: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._audience, self._keys_url = issuer, audience, keys_url
        self._monotonic = monotonic
        self._keys: jwt.PyJWKClient | None = None
        self._not_before = 0.0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> IdentityTokens | None:
        """Return them for the issuer of the settings, None if there is none.

        Raises:
            InvalidOptionError: an issuer that cannot be trusted as it is set.
        """
        issuer, audience = settings.oidc_issuer, settings.oidc_audience
        if issuer is None:
            return None
        if audience is None:
            raise InvalidOptionError(
                "IRSS_OIDC_ISSUER is set and IRSS_OIDC_AUDIENCE is not: tokens that the issuer made for any other "
                "program would open this one. Set it to the client id that your issuer gave this app."
            )
        for name, address in (("IRSS_OIDC_ISSUER", issuer), ("IRSS_OIDC_KEYS_URL", settings.oidc_keys_url)):
            if address is not None and not _is_safe(address):
                raise InvalidOptionError(
                    f"{name} is {address!r}; it must begin with https://, or anybody on the way could put in keys of "
                    "their own."
                )
        return cls(issuer, audience, keys_url=settings.oidc_keys_url)

    def owner(self, token: str, sessions: Sessions) -> Owner:
        """Return whom a token names.

        Raises:
            NotSignedInError: it is not one of this issuer for us, or over, or its address is not verified.
            HTTPException: 503, the issuer does not answer, so nobody knows.
        """
        claims = self._claims(token)
        subject, address = claims.get("sub"), claims.get("email")
        if not (isinstance(subject, str) and subject and isinstance(address, str)):
            raise _refused("it names no user with an e-mail address (claims `sub` and `email`)")
        if claims.get("email_verified") not in (True, "true"):  # some issuers write it as a text
            raise _refused("its e-mail address is not verified (claim `email_verified`)")
        return sessions.owner_of_subject(self._issuer, subject, address)

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _LONGEST_TOKEN:
            raise _refused(f"it has {len(token)} characters, more than {_LONGEST_TOKEN}")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise _refused("it is not signed with RS256 or ES256")
            return jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError as exc:
            raise _refused("it is over") from exc
        except jwt.ImmatureSignatureError as exc:
            raise _refused("its time has not come") from exc
        except jwt.InvalidAudienceError as exc:
            raise _refused("it is not for this service") from exc
        except jwt.InvalidIssuerError as exc:
            raise _refused("it is of another issuer") from exc
        except jwt.MissingRequiredClaimError as exc:
            raise _refused(f"it lacks the claim `{exc.claim}`") from exc
        except jwt.PyJWTError as exc:
            raise _refused("it is damaged, or not signed by the issuer") from exc

    def _key(self, key_id: object) -> jwt.PyJWK:
        if not isinstance(key_id, str):
            raise _refused("it does not name its key (`kid`)")
        # While an issuer is down, callers are told at once: each that waited for it would hold a thread.
        if self._monotonic() < self._not_before:
            raise _unavailable()
        try:
            return self._client().get_signing_key(key_id)
        except (jwt.PyJWKClientConnectionError, httpx.HTTPError, ValueError) as exc:
            self._not_before = self._monotonic() + _LEAVE_ALONE_S
            logger.warning("the issuer of identity tokens cannot be asked: %s", exc)
            raise _unavailable() from exc

    def _client(self) -> jwt.PyJWKClient:
        with self._lock:
            if self._keys is None:
                self._keys = jwt.PyJWKClient(self._keys_address(), lifespan=_KEYS_KEPT_S, timeout=_PATIENCE_S)
            return self._keys

    def _keys_address(self) -> str:
        if self._keys_url is not None:
            return self._keys_url
        answer = httpx.get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration", timeout=_PATIENCE_S)
        document = answer.raise_for_status().json()
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("its discovery document is of another issuer")
        address = str(document.get("jwks_uri"))
        if not _is_safe(address):
            raise ValueError("its discovery document names keys at an address that does not begin with https://")
        return address


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _refused(why: str) -> NotSignedInError:
    return NotSignedInError(f"The token was refused: {why}. Sign in anew.")


def _unavailable() -> HTTPException:
    return HTTPException(
        503,
        "The issuer of your token does not answer, so it cannot be checked. Try again in a few seconds.",
        {"Retry-After": str(int(_LEAVE_ALONE_S))},
    )
