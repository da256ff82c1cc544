"""Envelope: a mail as its server is given it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Self

from irss_core.errors import MailRefusedError

_SEVEN_BIT = SMTP.clone(cte_type="7bit")  # what every server takes
_MAX_WORDS = 200


@dataclass(frozen=True)
class Envelope:
    """From whom and to whom a mail goes, and its bytes: of ASCII, lines ending in CRLF."""

    message_id: str
    sender: str
    recipient: str
    data: bytes

    @classmethod
    def of(cls, message: EmailMessage) -> Self:
        """Return the envelope of a mail.

        Raises:
            MailRefusedError: not one sender and one recipient, or an address that few servers take.
        """
        senders, recipients = message["From"].addresses, message["To"].addresses
        if len(senders) != 1 or len(recipients) != 1:
            raise MailRefusedError(
                f"A mail has {len(senders)} senders and {len(recipients)} recipients; it must have one of each."
            )
        sender, recipient = senders[0].addr_spec, recipients[0].addr_spec
        if not (sender.isascii() and recipient.isascii()):
            raise MailRefusedError(
                "An address has letters beyond ASCII, which few mail servers take. Give another one."
            )
        data = message.as_bytes(policy=_SEVEN_BIT).removesuffix(b"\r\n") + b"\r\n"  # every end of a line becomes CRLF
        return cls(str(message["Message-ID"]).strip(), sender, recipient, data)

    def told(self, words: str) -> str:
        """Return a server's words on one short line, without the addresses that servers like to repeat."""
        line = " ".join(words.split())
        for address in (self.recipient, self.sender):
            line = re.sub(re.escape(address), "…", line, flags=re.IGNORECASE)
        return "".join(c if c.isprintable() else "\ufffd" for c in line[:_MAX_WORDS]).rstrip(" .")
