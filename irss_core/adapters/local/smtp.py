"""SmtpMailer: hands mails to a mail server, and knows what became of each as far as that can be known.

A mail is taken when the server answers 2xx to the dot that ends its data. Whatever goes wrong before that dot is sent,
it was surely not taken: an error of the connection, or an answer 4xx, may be over later; an answer 5xx to the sender,
the recipient or the data is about this mail and stays. An answer 5xx before that (the greeting, STARTTLS, AUTH) is
about how the server was set up here, which somebody can mend, so that the mail waits. Once the dot is sent, silence
says nothing: nobody knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from irss_core.adapters.envelope import Envelope
from irss_core.errors import IrssError, MailDeferredError, MailRefusedError, MailUncertainError
from irss_core.media.atomic import atomic_file

logger = logging.getLogger(__name__)

Security = Literal["starttls", "tls", "none"]
Reply = tuple[int, bytes | str]

_GOODBYE_S = 1.0


class SmtpMailer:
    """Mails through one server. What it took is noted in the folder ``journal``, by the hash of the Message-ID.

    ``security``: "starttls" and "tls" check the server's certificate and never go on without encryption. Certificates
    of an authority of one's own are trusted by SSL_CERT_FILE.
    """

    confirms = False

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str | None,
        password: str | None,
        security: Security,
        journal: Path,
        timeout_s: float = 30.0,
    ) -> None:
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._security = security
        self._journal = journal
        self._timeout_s = timeout_s

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over and return the server's answer, which takes it on.

        Raises:
            MailDeferredError: surely not taken; later it may be.
            MailRefusedError: surely not taken, and never will be.
            MailUncertainError: the connection broke after the data: it may have been taken.
        """
        letter = Envelope.of(message)
        smtp: smtplib.SMTP | None = None
        try:
            smtp = self._connect()
            self._sign_in(smtp)
            self._give(smtp, letter)
        except ssl.SSLCertVerificationError as exc:
            raise self._deferred(
                f"its certificate is not trusted ({exc.verify_message}). Name the host as the certificate does, or set "
                "SSL_CERT_FILE to the authority's certificate"
            ) from exc
        except smtplib.SMTPResponseException as exc:  # of the greeting, HELO, STARTTLS: about us, not about the mail
            raise self._deferred(f"it answered {_words((exc.smtp_code, exc.smtp_error), letter)}") from exc
        except smtplib.SMTPNotSupportedError as exc:
            raise self._deferred(f"{exc} Check IRSS_SMTP_SECURITY, IRSS_SMTP_PORT and IRSS_SMTP_USER") from exc
        except (OSError, smtplib.SMTPException) as exc:
            raise self._deferred(str(exc) or type(exc).__name__) from exc
        else:
            answer = self._answer(smtp, letter)
            self._note(letter.message_id, answer)
            _say_goodbye(smtp)
            return answer
        finally:
            if smtp is not None:
                with contextlib.suppress(OSError):
                    smtp.close()

    def took(self, message_id: str) -> bool | None:
        """Return True if the server said that it took a mail of that Message-ID, None if that is not known."""
        return True if self._note_file(message_id).exists() else None

    def _connect(self) -> smtplib.SMTP:
        if self._security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)

    def _sign_in(self, smtp: smtplib.SMTP) -> None:
        """Encrypt the connection and log in, as far as that was set. No error tells the password."""
        if self._security == "starttls":
            smtp.starttls(context=ssl.create_default_context())
        smtp.ehlo_or_helo_if_needed()
        if self._user is None:
            return
        password = self._password or ""
        if not (self._user + password).isascii():  # smtplib's own error would quote them
            raise self._deferred("IRSS_SMTP_USER or IRSS_SMTP_PASSWORD has letters beyond ASCII. Choose another one")
        try:
            smtp.login(self._user, password)
        except smtplib.SMTPAuthenticationError as exc:
            raise self._deferred(
                f"it answered {exc.smtp_code} to the user name and password. Check IRSS_SMTP_USER and "
                "IRSS_SMTP_PASSWORD"
            ) from None

    def _give(self, smtp: smtplib.SMTP, letter: Envelope) -> None:
        """Send everything but the dot that ends the data."""
        size = [f"SIZE={len(letter.data)}"] if smtp.has_extn("size") else []
        self._require(2, smtp.mail(letter.sender, size), letter)
        self._require(2, smtp.rcpt(letter.recipient), letter)
        self._require(3, smtp.docmd("DATA"), letter)
        smtp.send(re.sub(rb"(?m)^\.", b"..", letter.data))  # a line of one dot would end the data

    def _answer(self, smtp: smtplib.SMTP, letter: Envelope) -> str:
        """Send the dot, and return the answer."""
        try:
            smtp.send(b".\r\n")
            reply = smtp.getreply()
        except (OSError, smtplib.SMTPException) as exc:
            raise self._uncertain(str(exc) or type(exc).__name__) from exc
        if reply[0] // 100 not in (2, 4, 5):
            raise self._uncertain(f"it answered {_words(reply, letter)}")
        self._require(2, reply, letter)
        return _words(reply, letter)

    def _require(self, hundreds: int, reply: Reply, letter: Envelope) -> None:
        """Raise unless the answer's code is that many hundreds."""
        if reply[0] // 100 == hundreds:
            return
        words = _words(reply, letter)
        if reply[0] // 100 == 5:
            raise MailRefusedError(f"The mail server {self._host}:{self._port} refused the mail: {words}.")
        raise self._deferred(f"it answered {words}")

    def _deferred(self, why: str) -> MailDeferredError:
        return MailDeferredError(f"The mail server {self._host}:{self._port} did not take the mail: {why}.")

    def _uncertain(self, why: str) -> MailUncertainError:
        return MailUncertainError(
            f"The mail server {self._host}:{self._port} was given the whole mail, and then nothing clear came: {why}. "
            "Nobody knows whether it took the mail."
        )

    def _note_file(self, message_id: str) -> Path:
        return self._journal / f"{hashlib.sha256(message_id.strip().encode()).hexdigest()}.json"

    def _note(self, message_id: str, answer: str) -> None:
        """Note that the mail was taken. Where that fails the caller knows it all the same, by the answer."""
        try:
            self._journal.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._note_file(message_id), overwrite=True) as stream:
                stream.write(json.dumps({"message_id": message_id, "answer": answer}).encode())
        except (OSError, IrssError):
            logger.warning("The mail server's answer could not be noted in %s.", self._journal, exc_info=True)


def _words(reply: Reply, letter: Envelope) -> str:
    code, text = reply
    return letter.told(f"{code} {text if isinstance(text, str) else text.decode('utf-8', 'replace')}")


def _say_goodbye(smtp: smtplib.SMTP) -> None:
    """End the session politely; nothing depends on it any more."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        if smtp.sock is not None:
            smtp.sock.settimeout(_GOODBYE_S)
        smtp.quit()
