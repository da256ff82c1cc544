"""FakeMailer: takes mails, or does not, as it is told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from email.message import EmailMessage

from irss_core.errors import MailDeferredError, MailError, MailRefusedError, MailUncertainError


@dataclass
class FakeMailer:
    """Every mail arrives, but for those that ``defer``, ``refuse`` or ``be_uncertain`` was called for before.

    It notes what it took, as a mailer with a journal does; what it was uncertain of it does not know.
    """

    arrived: list[EmailMessage] = field(default_factory=list)
    confirms: bool = False
    _noted: set[str] = field(default_factory=set)
    _next: deque[tuple[MailError, bool]] = field(default_factory=deque)

    def defer(self, times: int = 1) -> None:
        self._next.extend([(MailDeferredError("Try again later."), False)] * times)

    def refuse(self) -> None:
        self._next.append((MailRefusedError("No such mailbox."), False))

    def be_uncertain(self, *, arrives: bool) -> None:
        self._next.append((MailUncertainError("The connection broke."), arrives))

    def send(self, message: EmailMessage) -> str:
        error, arrives = self._next.popleft() if self._next else (None, True)
        if arrives:
            self.arrived.append(message)
        if error is not None:
            raise error
        self._noted.add(str(message["Message-ID"]))
        return "250 taken"

    def took(self, message_id: str) -> bool | None:
        return True if message_id in self._noted else None
