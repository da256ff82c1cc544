"""SesMailer: what it says of a mail is so, whatever SES and the line do; and nobody's address is told."""

from __future__ import annotations

import base64
import logging
import re
import socket
import traceback
from collections.abc import Iterator
from email.message import EmailMessage
from urllib.parse import parse_qs

import pytest

from irss_core.adapters.aws.ses import MAX_MAIL_BYTES, SesMailer
from irss_core.errors import MailDeferredError, MailError, MailRefusedError, MailUncertainError, StoreUnavailableError
from tests.aws_emulator import client, client_at
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryRecords
from tests.ses_front import DROP, SesFront

MAIL = "4f" * 32
MESSAGE_ID = f"<{MAIL}@irss>"
SENDER, RECIPIENT = "irss@mail.test", "Visitor.Name@example.org"
DAY_S = 86_400


@pytest.fixture
def front() -> Iterator[SesFront]:
    client("ses").verify_domain_identity(Domain="mail.test")
    with SesFront() as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def mailer(front: SesFront, clock: FakeClock) -> SesMailer:
    return SesMailer(client_at(front.endpoint, "ses"), records=MemoryRecords(clock), clock=clock)


def mail(to: str = RECIPIENT, text: str = "Grüße\n") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = f"IRSS <{SENDER}>", to
    message["Subject"], message["Message-ID"] = "Größer", MESSAGE_ID
    message.set_content(text)
    return message


def not_sent(mailer: SesMailer, kind: type[MailError], message: EmailMessage | None = None) -> str:
    """What is told of a mail that was not sent; neither it nor its traceback names an address."""
    with pytest.raises(MailError) as told:
        mailer.send(message or mail())
    assert type(told.value) is kind
    assert mailer.took(MESSAGE_ID) is None
    everything = "".join(traceback.format_exception(told.value)).lower()
    assert RECIPIENT.lower() not in everything
    assert SENDER not in everything
    return str(told.value)


# --- taken ---


def test_ses_is_told_which_mail_it_is_and_who_is_to_hear_of_it(front: SesFront, clock: FakeClock) -> None:
    client("ses").create_configuration_set(ConfigurationSet={"Name": "irss-events"})
    mailer = SesMailer(
        client_at(front.endpoint, "ses"), records=MemoryRecords(clock), clock=clock, configuration_set="irss-events"
    )
    answer = mailer.send(mail())
    assert re.fullmatch(r"SES took it as [\w-]+", answer)
    asked = {name: values for name, (values,) in parse_qs(front.bodies[0].decode()).items()}
    assert (asked["Tags.member.1.Name"], asked["Tags.member.1.Value"]) == ("mail", MAIL)
    assert asked["ConfigurationSetName"] == "irss-events"
    assert (asked["Source"], asked["Destinations.member.1"]) == (SENDER, RECIPIENT)
    data = base64.b64decode(asked["RawMessage.Data"])
    assert data.isascii()
    assert MESSAGE_ID.encode() in data


def test_a_mail_goes_without_a_configuration_set_where_there_is_none(front: SesFront, mailer: SesMailer) -> None:
    mailer.send(mail())
    assert b"ConfigurationSetName" not in front.bodies[0]
    assert mailer.confirms


def test_what_was_taken_is_known_for_30_days(mailer: SesMailer, clock: FakeClock) -> None:
    mailer.send(mail())
    clock.advance(30 * DAY_S - 1)
    assert mailer.took(f" {MESSAGE_ID}") is True
    clock.advance(2)
    assert mailer.took(MESSAGE_ID) is None


def test_a_mail_that_was_taken_is_so_even_if_that_cannot_be_noted(
    front: SesFront, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Unavailable(MemoryRecords):
        def put(self, key: str, value: str, *, expires_at: float, replacing: str | None = None) -> bool:
            raise StoreUnavailableError("DynamoDB cannot write a record now.")

    mailer = SesMailer(client_at(front.endpoint, "ses"), records=Unavailable(clock), clock=clock)
    with caplog.at_level(logging.WARNING):
        assert mailer.send(mail()).startswith("SES took it")
    assert "could not be noted" in caplog.text
    assert RECIPIENT not in caplog.text


# --- not taken ---


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling", MailDeferredError),
        (400, "LimitExceeded", MailDeferredError),
        (400, "AccountSendingPausedException", MailDeferredError),
        (400, "ConfigurationSetSendingPausedException", MailDeferredError),
        (400, "ConfigurationSetDoesNotExist", MailDeferredError),
        (403, "AccessDenied", MailDeferredError),
        (403, "SignatureDoesNotMatch", MailDeferredError),
        (500, "InternalFailure", MailDeferredError),
        (503, "ServiceUnavailable", MailDeferredError),
        (502, "Odd", MailDeferredError),
        (400, "MessageRejected", MailRefusedError),
        (400, "MailFromDomainNotVerifiedException", MailRefusedError),
        (400, "InvalidParameterValue", MailRefusedError),
    ],
)
def test_an_error_says_whether_to_try_again(
    front: SesFront, mailer: SesMailer, status: int, code: str, kind: type[MailError]
) -> None:
    told = f"Failed for the identities {RECIPIENT.lower()}, IRSS &lt;{SENDER}&gt; and other@example.org"
    front.fail(status, code, told)
    message = not_sent(mailer, kind)
    assert "@" not in message
    assert (code in message) or status == 502
    assert message.endswith("."), "with what to do"
    front.todo = None
    mailer.send(mail())
    assert mailer.took(MESSAGE_ID) is True


def test_moto_refuses_a_sender_that_nobody_verified_as_ses_does(mailer: SesMailer) -> None:
    message = mail()
    message.replace_header("From", "somebody@elsewhere.test")
    told = not_sent(mailer, MailRefusedError, message)
    assert "MessageRejected" in told
    assert "elsewhere" not in told


def test_a_mail_larger_than_ses_takes_is_refused_before_it_is_sent(front: SesFront, mailer: SesMailer) -> None:
    message = mail()
    message.add_attachment(bytes(7_500_000), "image", "png")
    told = not_sent(mailer, MailRefusedError, message)
    size = re.search(r"([\d,]+) bytes long", told)
    assert size is not None
    assert int(size[1].replace(",", "")) > MAX_MAIL_BYTES
    assert "at most 10,000,000" in told
    assert "link" in told
    assert front.bodies == []


def test_a_mail_of_the_most_that_is_attached_is_taken(mailer: SesMailer) -> None:
    message = mail()
    message.add_attachment(bytes(7_000_000), "image", "png")
    assert mailer.send(message)


@pytest.mark.parametrize("to", ["a@example.org, b@example.org", "größer@example.org"])
def test_a_mail_to_no_single_plain_address_is_refused(mailer: SesMailer, to: str) -> None:
    not_sent(mailer, MailRefusedError, mail(to))


def test_a_mail_is_deferred_when_ses_cannot_be_reached(clock: FakeClock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nowhere = client_at(f"http://127.0.0.1:{nobody.getsockname()[1]}", "ses")
        told = not_sent(SesMailer(nowhere, records=MemoryRecords(clock), clock=clock), MailDeferredError)
    assert "cannot be reached" in told


# --- nobody knows ---


def test_nobody_knows_of_a_mail_whose_line_broke_after_it_was_sent(front: SesFront, mailer: SesMailer) -> None:
    front.todo = DROP
    assert "Nobody knows" in not_sent(mailer, MailUncertainError)
    assert len(front.bodies) == 1, "and it is not sent a second time"


def test_nobody_knows_of_a_mail_whose_answer_makes_no_sense(front: SesFront, mailer: SesMailer) -> None:
    front.say("<html>")
    assert "Nobody knows" in not_sent(mailer, MailUncertainError)
