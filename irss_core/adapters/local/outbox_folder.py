"""OutboxFolder: mails as .eml files in a folder, where there is no mail server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path

from irss_core.errors import IrssError, MailDeferredError
from irss_core.media.atomic import atomic_file


@dataclass(frozen=True)
class OutboxMail:
    """A mail in the folder, to show."""

    subject: str
    to: str
    date: datetime
    path: Path


class OutboxFolder:
    """A folder of mails, which the first one makes: "20260301T140000Z-<hash of the Message-ID>.eml"."""

    confirms = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: EmailMessage) -> str:
        """Write the mail, whole or not at all; one of the same Message-ID that is there already stays alone.

        Raises:
            MailDeferredError: it could not be written.
        """
        digest = _digest(str(message["Message-ID"]))
        there = self._find(digest)
        # The same mail has the same date, and so the same name, should two be written at once.
        target = there or self._folder / f"{_date(message):%Y%m%dT%H%M%SZ}-{digest}.eml"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if there is None:
                with atomic_file(target, overwrite=True) as stream:
                    stream.write(message.as_bytes(policy=policy.SMTP))
        except (OSError, IrssError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            raise MailDeferredError(
                f"The mail could not be written to {self._folder} ({reason}). Free some space, and see that the folder "
                "may be written to."
            ) from exc
        return f"written to {target.name}"

    def took(self, message_id: str) -> bool:
        """Return whether a mail of that Message-ID is there."""
        return self._find(_digest(message_id)) is not None

    def mails(self) -> list[OutboxMail]:
        """Return the mails, newest first."""
        return [_shown(path) for path in sorted(self._folder.glob("*.eml"), reverse=True)]

    def _find(self, digest: str) -> Path | None:
        return next(iter(self._folder.glob(f"*-{digest}.eml")), None)


def _digest(message_id: str) -> str:
    return hashlib.sha256(message_id.strip().encode()).hexdigest()[:40]


def _date(message: EmailMessage) -> datetime:
    date: datetime | None = getattr(message["Date"], "datetime", None)
    return (date or datetime.now(UTC)).astimezone(UTC)


def _shown(path: Path) -> OutboxMail:
    with path.open("rb") as stream:
        head = BytesHeaderParser(policy=policy.default).parse(stream)
    return OutboxMail(str(head["Subject"] or ""), str(head["To"] or ""), _date(head), path)
