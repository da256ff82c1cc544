"""Owner and Sessions: who asks, known by a verified e-mail address or by an identity provider, without accounts."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from email_validator import EmailNotValidError, validate_email
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

from irss_core.errors import InvalidOptionError, NotSignedInError
from irss_core.jobs.ports import Clock

COOKIE = "irss_session"
SESSION_S = 30 * 24 * 3600.0
_MAX_ADDRESS = 254  # what a mail server must take (RFC 5321), the sign < > around it left out
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Owner:
    """Who asks. ``key`` names them in the store and does not tell the address, ``address`` is where mails go."""

    key: str
    address: str


class Sessions:
    """Signed tokens that say who somebody is for 30 days; they hold as long as the secret does.

    ``read_secret`` is called when the secret is needed first: most processes never sign anybody in, and need not be
    allowed to read it. What it raises is raised by every method.
    """

    def __init__(self, read_secret: Callable[[], bytes], *, clock: Clock) -> None:
        self._read_secret, self._clock = read_secret, clock

    @cached_property
    def _secret(self) -> bytes:
        return self._read_secret()

    @cached_property
    def _tokens(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._secret,
            salt="irss-session",
            signer=_Signer,
            signer_kwargs={"clock": self._clock, "digest_method": hashlib.sha256},
        )

    def owner_of_address(self, address: str) -> Owner:
        """Return the owner whom the address names, however its domain is spelled.

        Raises:
            InvalidOptionError: not an address that mail can be sent to.
        """
        normal = normal_address(address)
        return Owner(self.seal(f"mail:{normal}"), normal)

    def owner_of_subject(self, issuer: str, subject: str, address: str) -> Owner:
        """Return the owner whom an identity provider names; the address may change, and they stay the same.

        Raises:
            InvalidOptionError: not an address that mail can be sent to.
        """
        return Owner(self.seal(f"oidc:{issuer}|{subject}"), normal_address(address))

    def token(self, owner: Owner) -> str:
        """Return a token that names the owner, of letters, digits, "-", "_" and "."."""
        token = self._tokens.dumps([owner.key, owner.address])
        return token if isinstance(token, str) else token.decode()

    def owner(self, token: str) -> Owner:
        """Return the owner whom a token names.

        Raises:
            NotSignedInError: it is not one of ours, or was made more than 30 days ago.
        """
        try:
            # Not by ``max_age``: it would refuse a token of the future, which a clock that was set back makes of each.
            (key, address), made_at = self._tokens.loads(token, return_timestamp=True)
        except (BadData, ValueError, TypeError):
            raise NotSignedInError("You are not signed in. Enter your e-mail address to get a code.") from None
        if self._clock.now() - made_at.timestamp() > SESSION_S:
            raise NotSignedInError(
                f"You signed in more than {SESSION_S / 86_400:.0f} days ago. Enter your e-mail address to get a code."
            )
        return Owner(key, address)

    def seal(self, text: str) -> str:
        """Return 64 hexadecimal digits that stand for a text, and that only who has the secret can make of it."""
        return hmac.new(self._secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def normal_address(address: str) -> str:
    """Return the one spelling of an address: ASCII only, its domain in lower case (IDNA where it has other letters).

    Raises:
        InvalidOptionError: not an address that mail can be sent to. The words do not repeat the address, which is not
            to get into logs.
    """
    if _CONTROL.search(address):
        raise _unusable("It holds a line break or another control character.")
    if len(address) > _MAX_ADDRESS:
        raise _unusable(f"It has {len(address)} characters; an address has at most {_MAX_ADDRESS}.")
    try:
        # Letters beyond ASCII before the @ are refused: few mail servers take them, and the result would be lost.
        found = validate_email(address.strip(" "), check_deliverability=False, allow_smtputf8=False, strict=True)
    except (EmailNotValidError, UnicodeError) as exc:
        raise _unusable(str(exc) if isinstance(exc, EmailNotValidError) else "It holds broken characters.") from None
    return found.ascii_email or found.normalized


def _unusable(why: str) -> InvalidOptionError:
    return InvalidOptionError(f"This e-mail address cannot be used. {why} Give one like name@example.org.")


class _Signer(TimestampSigner):
    """Stamps with the time of our clock."""

    def __init__(self, *args: Any, clock: Clock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock.now())
