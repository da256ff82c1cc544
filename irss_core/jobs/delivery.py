"""Courier: takes a mail from the outbox to its server, so that its reader gets it once.

Why there is one mail:

1. A batch puts one row in the outbox, in the transaction that settles its last job. Messages only name that row: any
   number of them, delivered any number of times, stand for one mail.
2. Before every try the row is written as SENDING, on the condition that it still is as it was read. Of several workers
   one succeeds; the others leave the mail alone. The mail is put together before that, so that the time in which a row
   says SENDING is hardly longer than the talk with the server.
3. An answer ends it: taken (SENT), refused (FAILED), or surely not taken, which makes it PENDING for another try.
4. A row that is found SENDING, because its worker was killed or the connection broke after the data, says that nobody
   knows. The mailer is asked, which may have noted the server's answer before it could be written here. If the mail
   was taken it is SENT. If it was not, or nobody can say, the courier first notes that it looks into it and comes back
   later: whoever may still be at it has ended by then, also when the clock was set forward and a worker only seemed to
   be late. What was surely not taken is then tried anew. What nobody can say anything of is sent a second time, after
   15 minutes, with the same Message-ID, by which the reader's server can tell the copy.
5. If the same happens to that second copy there is no third. The mail counts as FAILED, with words that say that it
   may have arrived: "delivered" is said only of a mail that a server took. An operator may decide to send it again.

6. A mailer that ``confirms`` has only promised to try when it answers. The row stays SENDING until ``hear`` is told
   that the mail arrived or came back. If nothing is heard for an hour, its having been taken is what counts.

So a reader can get a second copy only when the connection broke, or the worker was killed, between the server's taking
the mail and our noting that it did; to rule that out is beyond any sender. Otherwise it is one mail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage

from irss_core.errors import ConflictError, MailDeferredError, MailRefusedError
from irss_core.jobs.job import Batch, Job, Mail, MailState, mail_answered, mail_sending
from irss_core.jobs.log import record, record_error
from irss_core.jobs.ports import Clock, JobStore, Mailer, Message, Queue

Compose = Callable[[Batch, Sequence[Job], Mail], EmailMessage]

_UNREADY = "The mail could not be put together."
_UNKNOWN_TWICE = (
    "The connection to the mail server broke twice after it had been given the mail, so nobody knows whether that "
    "arrived. It is not sent a third time by itself."
)


@dataclass(frozen=True)
class Patience:
    """How long a courier waits, and when it stops trying."""

    retry_after_s: tuple[float, ...] = (60.0, 300.0, 900.0, 3600.0)  # by the number of tries; the last one over again
    give_up_after_s: float = 24 * 3600.0  # since the mail was put in the outbox
    unknown_for_s: float = 15 * 60.0
    not_taken_for_s: float = 60.0  # longer than a server may take to answer
    unconfirmed_for_s: float = 3600.0


class Courier:
    """Delivers mails. ``compose`` makes a mail's text from its batch and jobs as they are then."""

    def __init__(
        self,
        *,
        store: JobStore,
        mails: Queue,
        mailer: Mailer,
        clock: Clock,
        compose: Compose,
        patience: Patience | None = None,
    ) -> None:
        self._store, self._mails, self._mailer, self._clock = store, mails, mailer, clock
        self._compose, self._patience = compose, patience or Patience()

    def deliver(self, message: Message) -> None:
        """Take the mail that a message names one step further; the message is deleted, or put in again for later.

        Raises:
            StoreUnavailableError: what was reached could not be written; the next delivery finds that out.
        """
        try:
            wait_s = self._one_step(message.body)
        except ConflictError:  # somebody else is at it, with a message of their own
            wait_s = None
        if wait_s is not None:
            # A new one, whose deliveries count from none: trying for a day is no reason to be taken for dead.
            self._mails.send(message.body, delay_s=wait_s)
        self._mails.delete(message)

    def hear(self, mail_id: str, state: MailState, *, answer: str) -> None:
        """Note what became of a mail that was taken: it arrived (SENT), or came back (FAILED).

        What is known to have ended, or was never sent, stays as it is: such news comes more than once, and late.
        """
        mail = self._store.mail(mail_id)
        if mail is None or mail.state is not MailState.SENDING:
            return
        with contextlib.suppress(ConflictError):  # heard twice at once
            self._end(mail, state, answer)

    def _one_step(self, mail_id: str) -> float | None:
        """Return in how many seconds to look at the mail again, or None: it needs nothing more."""
        mail = self._store.mail(mail_id)
        if mail is None:
            return None
        if mail.state is MailState.PENDING:
            return self._try(mail)
        return self._look_into(mail) if mail.state is MailState.SENDING else None

    def _try(self, mail: Mail) -> float | None:
        batch = self._store.batch(mail.batch_id)
        if batch is None:
            return None
        sending = mail_sending(mail, now=self._clock.now())
        try:
            letter = self._compose(batch, self._store.jobs_of_batch(batch.id), sending)
        except Exception as error:  # noqa: BLE001  recorded; one batch's mail does not stop the others'
            record_error("mail not composed", error, mail=mail.id)
            self._store.save_mail(mail, sending)
            if isinstance(error, MailRefusedError):
                return self._end(sending, MailState.FAILED, str(error))
            return self._put_off(sending, _UNREADY)
        self._store.save_mail(mail, sending)
        return self._hand_over(sending, letter)

    def _hand_over(self, sending: Mail, letter: EmailMessage) -> float | None:
        try:
            answer = self._mailer.send(letter)
        except MailRefusedError as error:
            return self._end(sending, MailState.FAILED, str(error))
        except MailDeferredError as error:
            return self._put_off(sending, str(error))
        except Exception as error:  # noqa: BLE001  whatever else went wrong, it may have been taken
            record_error("mail uncertain", error, mail=sending.id)
            return self._look_into(sending)
        if not self._mailer.confirms:
            return self._end(sending, MailState.SENT, answer)
        self._store.save_mail(sending, replace(sending, answer=answer, updated_at=self._clock.now()))
        return self._patience.unconfirmed_for_s

    def _look_into(self, mail: Mail) -> float | None:
        """Find out what became of a try whose answer nobody wrote down."""
        taken = self._mailer.took(mail.message_id)
        if taken:
            wait_s = self._patience.unconfirmed_for_s if self._mailer.confirms else 0.0
            left_s = mail.updated_at + wait_s - self._clock.now()
            return left_s if left_s > 0 else self._end(mail, MailState.SENT, "The mail server took it.")
        enough_s = self._patience.unknown_for_s if taken is None else self._patience.not_taken_for_s
        note, now = f"Nobody knows yet whether try {mail.attempt} arrived.", self._clock.now()
        if mail.answer != note or mail.updated_at > now:  # the clock was set back
            self._store.save_mail(mail, replace(mail, answer=note, updated_at=now))
            return enough_s
        left_s = mail.updated_at + enough_s - now
        if left_s > 0:
            return left_s
        if taken is None and mail.resent:
            return self._end(mail, MailState.FAILED, _UNKNOWN_TWICE)
        if taken is None:
            return self._try(mail)
        pending = mail_answered(mail, MailState.PENDING, answer="The mail server did not take it.", now=now)
        self._store.save_mail(mail, pending)
        return self._try(pending)

    def _put_off(self, sending: Mail, reason: str) -> float | None:
        now, waits = self._clock.now(), self._patience.retry_after_s
        wait_s = waits[min(sending.attempt, len(waits)) - 1]
        if now + wait_s - sending.created_at > self._patience.give_up_after_s:
            return self._end(sending, MailState.FAILED, f"{reason} Given up after {sending.attempt} tries.")
        self._store.save_mail(sending, mail_answered(sending, MailState.PENDING, answer=reason, now=now))
        record("mail put off", mail=sending.id, tries=sending.attempt, wait_s=wait_s)
        return wait_s

    def _end(self, sending: Mail, state: MailState, answer: str) -> float | None:
        self._store.save_mail(sending, mail_answered(sending, state, answer=answer, now=self._clock.now()))
        record(f"mail {state.value}", mail=sending.id, tries=sending.attempt)
        return None
