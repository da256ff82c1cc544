"""Codes: six digits mailed to an address, which show that whoever types them reads its mail."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from irss_core.errors import (
    ConflictError,
    MailDeferredError,
    MailError,
    MailRefusedError,
    MailUncertainError,
    NotSignedInError,
    RateLimitedError,
)
from irss_core.jobs.identity import Owner, Sessions
from irss_core.jobs.limits import count, network_of
from irss_core.jobs.ports import Clock, Mailer, Records

CODE_S = 30 * 60.0
TRIES = 5
_A_DAY, _DAY_S = 3, 24 * 3600.0  # of an address
_AN_HOUR, _HOUR_S = 20, 3600.0  # of a network, where a class or an office may sit behind one address
_ROUNDS = 20  # of writes that others came before; each of them is a try, of which there are few
_DIGITS = re.compile(r"[0-9]{6}")
_ASK_ANEW = "Ask for a new code."


@dataclass(frozen=True)
class _Sent:
    """A code as it is kept: sealed, until when, and how often something else was typed. ``seal`` "" is a used one."""

    seal: str
    expires_at: float
    tries: int = 0


class Codes:
    """The codes on their way. Each is good for 30 minutes and one sign-in, and of an address only the last one."""

    def __init__(self, *, records: Records, mailer: Mailer, clock: Clock, sessions: Sessions, sender: str) -> None:
        self._records, self._mailer, self._clock = records, mailer, clock
        self._sessions, self._sender = sessions, sender

    def send(self, owner: Owner, *, ip: str | None) -> float:
        """Mail a code and return how many seconds it is good for.

        Raises:
            RateLimitedError: three were sent to the address within a day, or many were asked for from the network.
            MailError: it could not be mailed; that does not count as one of the three.
        """
        from irss_core.jobs.letters import compose_code

        now = self._clock.now()
        if ip is not None:
            network = self._sessions.seal(f"network:{network_of(ip)}")
            what = "codes an hour are mailed for one network address"
            count(self._records, f"codes-for:{network}", most=_AN_HOUR, window_s=_HOUR_S, now=now, what=what)
        code = f"{secrets.randbelow(10**6):06d}"
        letter = compose_code(owner.address, code, sender=self._sender, minutes=round(CODE_S / 60), now=now)
        with self._one_of_a_day(owner, now):
            try:
                self._mailer.send(letter)
            except MailUncertainError:
                self._keep(owner, code, now)  # it may arrive
                raise
            self._keep(owner, code, now)
        return CODE_S

    def use(self, owner: Owner, code: str) -> None:
        """Use up the code that was mailed to the owner's address.

        Raises:
            NotSignedInError: it is another one, or over, or used, or was guessed at too often.
        """
        digits = re.sub(r"[\s-]", "", code)
        if _DIGITS.fullmatch(digits) is None:
            raise NotSignedInError("A code has 6 digits. Type the one from the newest mail.")
        sealed = self._seal(owner, digits)
        for _ in range(_ROUNDS):
            text = self._records.get(_key(owner))
            if text is None:
                raise NotSignedInError(f"No code is waiting for this address, or its 30 minutes are over. {_ASK_ANEW}")
            sent = _Sent(**json.loads(text))
            if not sent.seal:
                raise NotSignedInError(f"This code was used already. {_ASK_ANEW}")
            if sent.tries >= TRIES:
                raise NotSignedInError(f"Wrong codes were typed {TRIES} times, so this one is over. {_ASK_ANEW}")
            right = hmac.compare_digest(sent.seal, sealed)
            after = _Sent("" if right else sent.seal, sent.expires_at, sent.tries + 1)
            # Of several who read the same, one writes. The others look again, so that no guess goes uncounted.
            if self._records.put(_key(owner), _text(after), expires_at=sent.expires_at, replacing=text):
                if right:
                    return
                left = TRIES - after.tries
                more = f"{left} {'tries are' if left > 1 else 'try is'} left." if left else _ASK_ANEW
                raise NotSignedInError(f"That is not the code from the newest mail. {more}")
        raise ConflictError("Somebody else types codes for this address just now. Try again in a minute.")

    @contextmanager
    def _one_of_a_day(self, owner: Owner, now: float) -> Iterator[None]:
        """Take one of the three sendings that an address has in 24 hours, and give it back if the block fails."""
        mailbox = self._sessions.seal(f"mailbox:{_mailbox(owner.address)}")
        places = [f"codes-to:{mailbox}:{number}" for number in range(_A_DAY)]
        over_at = now + _DAY_S
        taken = next((place for place in places if self._records.put(place, str(over_at), expires_at=over_at)), None)
        if taken is None:
            ends = [float(text) for text in map(self._records.get, places) if text is not None]
            raise RateLimitedError(
                f"{_A_DAY} codes were mailed to this address within 24 hours, and no more than that are. Type the "
                "newest one, look into the spam folder, or try again tomorrow.",
                retry_after_s=max(min(ends, default=now) - now, 1.0),
            )
        try:
            yield
        except MailError as error:
            self._records.delete(taken)
            raise _told(error) from error
        except BaseException:
            self._records.delete(taken)
            raise

    def _keep(self, owner: Owner, code: str, now: float) -> None:
        """Store a code in place of the one before."""
        sent = _Sent(self._seal(owner, code), now + CODE_S)
        for _ in range(_ROUNDS):
            before = self._records.get(_key(owner))
            if self._records.put(_key(owner), _text(sent), expires_at=sent.expires_at, replacing=before):
                return
        raise ConflictError("Several codes are asked for at once for this address. Try again in a minute.")

    def _seal(self, owner: Owner, code: str) -> str:
        return self._sessions.seal(f"code:{owner.key}:{code}")


def _key(owner: Owner) -> str:
    return f"code:{owner.key}"


def _text(sent: _Sent) -> str:
    return json.dumps(asdict(sent))


def _mailbox(address: str) -> str:
    """Return what several spellings of an address have in common: they all end up before the same eyes."""
    local, _, domain = address.casefold().rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def _told(error: MailError) -> MailError:
    """Return the error with what the visitor can do; the server's own words stay with its cause."""
    if isinstance(error, MailRefusedError):
        return MailRefusedError("The mail server refuses to send to this address. Check its spelling.")
    if isinstance(error, MailUncertainError):
        return MailUncertainError(
            "The mail server did not say whether it took the mail. If none comes within a few minutes, ask for another."
        )
    if isinstance(error, MailDeferredError):
        return MailDeferredError("The mail server cannot take the mail just now. Ask for a code again in some minutes.")
    return MailError("The mail with the code could not be sent. Ask the operator to look after the mail settings.")
