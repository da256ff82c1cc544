"""SesMailer: hands mails to SES, which only promises to try, and tells later by events what became of each.

SES gives every mail a Message-ID of its own, so no receiver knows a second copy by ours: what is handed over twice
arrives twice. Therefore the client must not try again by itself where nobody knows whether SES took a mail. What SES
tells later names the mail by the tag "mail", the part of our Message-ID before the "@".
"""

from __future__ import annotations

import logging
import re
from email.message import EmailMessage
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from irss_core.adapters.aws.errors import aws_errors
from irss_core.adapters.envelope import Envelope
from irss_core.errors import IrssError, MailDeferredError, MailRefusedError, MailUncertainError, StoreUnavailableError
from irss_core.jobs.ports import Clock, Records

logger = logging.getLogger(__name__)

MAX_MAIL_BYTES = 10_000_000  # of the whole mail, as it is sent
TAG = "mail"

_NOTED_S = 30 * 86_400.0
_ADDRESS = re.compile(r"[^\s<>,;:()\"']+@[^\s<>,;:()\"']+")
_REFUSED = (
    "InvalidParameterValue",
    "MailFromDomainNotVerified",
    "MailFromDomainNotVerifiedException",
    "MessageRejected",
)


class SesMailer:
    """Mails through SES. What it took is noted in ``records`` for 30 days, by the Message-ID.

    ``configuration_set``: which of SES's sets the mails go by, and so who hears of their end.
    """

    confirms = True

    def __init__(self, client: Any, *, records: Records, clock: Clock, configuration_set: str | None = None) -> None:
        self._client = client
        self._records = records
        self._clock = clock
        self._options = {"ConfigurationSetName": configuration_set} if configuration_set else {}

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over and return SES's answer, which takes it on.

        Raises:
            MailDeferredError: surely not taken; later it may be.
            MailRefusedError: surely not taken, and never will be.
            MailUncertainError: the connection broke after the mail was sent: it may have been taken.
        """
        letter = Envelope.of(message)
        if len(letter.data) > MAX_MAIL_BYTES:
            raise MailRefusedError(
                f"The mail is {len(letter.data):,} bytes long, and SES takes at most {MAX_MAIL_BYTES:,}. "
                "Attach less, and link to the files instead."
            )
        answer = f"SES took it as {self._give(letter)}"
        self._note(letter.message_id, answer)
        return answer

    def took(self, message_id: str) -> bool | None:
        """Return True if SES said that it took a mail of that Message-ID, None if that is not known."""
        return None if self._records.get(_record(message_id)) is None else True

    def _give(self, letter: Envelope) -> str:
        """Send the mail and return the name that SES gives it. No error is chained: SES's own repeat the addresses."""
        try:
            with aws_errors("SES", "take a mail"):
                return self._ask(letter)
        except StoreUnavailableError as exc:
            raise MailDeferredError(str(exc)) from None
        except ClientError as exc:
            raise _not_taken(exc, letter) from None
        except BotoCoreError as exc:  # not even sent
            raise MailDeferredError(
                f"The mail could not be handed to SES ({type(exc).__name__}). Check the region and AWS_ENDPOINT_URL."
            ) from None

    def _ask(self, letter: Envelope) -> str:
        try:
            answer = self._client.send_raw_email(
                Source=letter.sender,
                Destinations=[letter.recipient],
                RawMessage={"Data": letter.data},
                Tags=[{"Name": TAG, "Value": _local_part(letter.message_id)}],
                **self._options,
            )
        except (HTTPClientError, ResponseParserError) as exc:
            raise MailUncertainError(
                f"SES was given the whole mail, and then nothing clear came ({type(exc).__name__}). "
                "Nobody knows whether it took the mail."
            ) from None
        return str(answer["MessageId"])

    def _note(self, message_id: str, answer: str) -> None:
        """Note that the mail was taken. Where that fails the caller knows it all the same, by the answer."""
        try:
            self._records.put(_record(message_id), answer, expires_at=self._clock.now() + _NOTED_S)
        except IrssError:
            logger.warning("SES's answer to a mail could not be noted.", exc_info=True)


def _not_taken(error: ClientError, letter: Envelope) -> MailRefusedError | MailDeferredError:
    code, words = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    told = letter.told(f"{code}: {_ADDRESS.sub('…', words)}")
    if code in _REFUSED:
        return MailRefusedError(
            f"SES refused the mail: {told}. If it says that an address is not verified, verify the sender "
            "(IRSS_MAIL_FROM), and have the account taken out of SES's sandbox."
        )
    return MailDeferredError(
        f"SES did not take the mail: {told}. See whether the account may send, and whether "
        "IRSS_AWS_SES_CONFIGURATION_SET is there and may send."
    )


def _local_part(message_id: str) -> str:
    return message_id.strip(" <>").partition("@")[0]


def _record(message_id: str) -> str:
    return f"ses-took:{_local_part(message_id)}"
