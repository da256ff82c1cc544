"""SmtpMailer against a real SMTP server: what it says of a mail is so, whatever the server and the line do."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from irss_core.adapters.local.smtp import SmtpMailer
from irss_core.errors import MailDeferredError, MailError, MailRefusedError, MailUncertainError
from tests.mail_server import DROP, PASSWORD, SILENCE, USER, Certificate, MailServer

MESSAGE_ID = "<4711@irss>"
SENDER, RECIPIENT = "irss@mail.test", "Visitor.Name@example.org"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as made:
        yield made


def mailer_of(server: MailServer, folder: Path, **changes: Any) -> SmtpMailer:
    options = {"user": None, "password": None, "security": "none", "timeout_s": 5.0, "journal": folder / "journal"}
    return SmtpMailer("127.0.0.1", server.port, **{**options, **changes})


@pytest.fixture
def mailer(server: MailServer, tmp_path: Path) -> SmtpMailer:
    return mailer_of(server, tmp_path)


def mail(text: str = "Hello\n") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = f"IRSS <{SENDER}>", RECIPIENT
    message["Subject"], message["Message-ID"] = "Grüße", MESSAGE_ID
    message.set_content(text)
    return message


def not_sent(mailer: SmtpMailer, kind: type[MailError]) -> str:
    """What is told of a mail that was not sent; it never names the recipient."""
    with pytest.raises(MailError) as told:
        mailer.send(mail())
    assert type(told.value) is kind
    assert mailer.took(MESSAGE_ID) is None
    assert RECIPIENT.lower() not in str(told.value).lower()
    return str(told.value)


# --- taken ---


def test_taken_mail_arrives_as_it_was(server: MailServer, mailer: SmtpMailer) -> None:
    text = "one\n.\n..two\n. three\r\nÄÖÜ " + "long " * 300 + "\n"
    assert mailer.send(mail(text)) == "250 2.0.0 Ok: queued as 4711"
    (arrived,) = server.arrived
    assert arrived.get_content().splitlines() == text.splitlines()
    assert (arrived["Subject"], arrived["Message-ID"]) == ("Grüße", MESSAGE_ID)
    assert server.raw[0].isascii()


def test_large_mail_arrives(server: MailServer, mailer: SmtpMailer) -> None:
    message = mail()
    data = bytes(range(256)) * 8000
    message.add_attachment(data, "image", "png", filename="a.png")
    mailer.send(message)
    (attached,) = server.arrived[0].iter_attachments()
    assert attached.get_content() == data


def test_lone_line_ends_do_not_end_the_mail(server: MailServer, mailer: SmtpMailer) -> None:
    message = mail()
    del message["Content-Transfer-Encoding"]
    message["Content-Transfer-Encoding"] = "7bit"
    message.set_payload("one\r.\rMAIL FROM:<forged@example.org>\n.\n\rtwo\n")
    mailer.send(message)
    assert len(server.arrived) == 1
    assert b"\r\n.\r\n" in server.raw[0], "the dots are in the text, doubled on the way"


def test_answer_is_noted_before_it_is_returned(mailer: SmtpMailer, tmp_path: Path) -> None:
    assert mailer.took(MESSAGE_ID) is None
    answer = mailer.send(mail())
    assert mailer.took(MESSAGE_ID) is True
    assert mailer.took("<other@irss>") is None
    (note,) = (tmp_path / "journal").iterdir()
    assert json.loads(note.read_text()) == {"message_id": MESSAGE_ID, "answer": answer}
    assert SmtpMailer("127.0.0.1", 1, user=None, password=None, security="none", journal=tmp_path / "journal").took(
        MESSAGE_ID
    ), "another process reads it too"


def test_mail_is_taken_even_if_that_cannot_be_noted(
    server: MailServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    assert mailer_of(server, tmp_path).send(mail()).startswith("250")
    assert "could not be noted" in caplog.text


@pytest.mark.parametrize("todo", ["421 Bye", "500 What?", DROP, SILENCE])
def test_what_happens_after_the_answer_does_not_matter(server: MailServer, tmp_path: Path, todo: str) -> None:
    server.script["QUIT"] = todo
    assert mailer_of(server, tmp_path, timeout_s=0.5).send(mail()).startswith("250")


def test_recipient_elsewhere_and_other_codes_of_success_are_taken(server: MailServer, mailer: SmtpMailer) -> None:
    server.script["DOT"] = "252 Cannot verify, but will try"
    assert mailer.send(mail()).startswith("252")
    assert mailer.took(MESSAGE_ID) is True


# --- not taken ---


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("code", ["421", "450"])
def test_4xx_defers(server: MailServer, mailer: SmtpMailer, verb: str, code: str) -> None:
    if verb == "EHLO":
        server.script["HELO"] = f"{code} 4.2.0 Busy"
    server.script[verb] = f"{code} 4.2.0 Busy, <{RECIPIENT.upper()}>"
    assert code in not_sent(mailer, MailDeferredError)
    assert server.arrived == []


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
def test_5xx_to_the_mail_refuses_it(server: MailServer, mailer: SmtpMailer, verb: str) -> None:
    server.script[verb] = f"550 5.1.1 <{RECIPIENT}>: no such mailbox"
    assert "550 5.1.1 <…>: no such mailbox" in not_sent(mailer, MailRefusedError)


@pytest.mark.parametrize("verb", ["GREETING", "EHLO"])
def test_5xx_to_us_defers(server: MailServer, mailer: SmtpMailer, verb: str) -> None:
    if verb == "EHLO":
        server.script["HELO"] = "554 Not you"
    server.script[verb] = "554 Not you"
    assert "554" in not_sent(mailer, MailDeferredError)


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("todo", [DROP, SILENCE])
def test_broken_line_before_the_dot_defers(server: MailServer, tmp_path: Path, verb: str, todo: str) -> None:
    server.script[verb] = todo
    not_sent(mailer_of(server, tmp_path, timeout_s=0.3), MailDeferredError)
    assert server.arrived == []


@pytest.mark.parametrize("todo", [DROP, SILENCE])
def test_line_that_breaks_in_the_middle_of_the_data_defers(server: MailServer, tmp_path: Path, todo: str) -> None:
    server.script["BODY"] = todo
    message = mail()
    message.add_attachment(bytes(9_000_000), "image", "png")  # more than is under way at once
    mailer = mailer_of(server, tmp_path, timeout_s=0.3)
    with pytest.raises(MailDeferredError):
        mailer.send(message)
    assert mailer.took(MESSAGE_ID) is None


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_nonsense_before_the_dot_defers(server: MailServer, mailer: SmtpMailer, verb: str) -> None:
    server.script[verb] = "hello there"
    not_sent(mailer, MailDeferredError)
    server.script[verb] = "5" * 10_000  # the library makes an error 500 of it
    not_sent(mailer, MailDeferredError)


def test_no_server_defers_and_tells_where(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        port = taken.getsockname()[1]
        mailer = SmtpMailer("127.0.0.1", port, user=None, password=None, security="none", journal=tmp_path)
        assert f"127.0.0.1:{port}" in not_sent(mailer, MailDeferredError)


def test_later_the_same_mail_is_taken(server: MailServer, mailer: SmtpMailer) -> None:
    server.script["RCPT"] = "451 Greylisted"
    not_sent(mailer, MailDeferredError)
    server.script.clear()
    mailer.send(mail())
    assert len(server.arrived) == 1


@pytest.mark.parametrize("to", ["a@example.org, b@example.org", "jörg@example.org", ""])
def test_mail_is_for_one_address_that_every_server_takes(server: MailServer, mailer: SmtpMailer, to: str) -> None:
    message = mail()
    message.replace_header("To", to)
    with pytest.raises(MailRefusedError):
        mailer.send(message)
    assert server.connections == 0


# --- nobody knows ---


@pytest.mark.parametrize("todo", [DROP, SILENCE, "hello there", "354 Go on", "5" * 10_000])
def test_no_clear_answer_to_the_dot_is_uncertain(server: MailServer, tmp_path: Path, todo: str) -> None:
    server.script["DOT"] = todo
    told = not_sent(mailer_of(server, tmp_path, timeout_s=0.3), MailUncertainError)
    assert "Nobody knows" in told


# --- secrets ---


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_trusted_certificate_is_used_and_an_unknown_one_refused(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    with MailServer(security=security, certificate=certificate) as server:
        mailer = mailer_of(server, tmp_path, security=security, user=USER, password=PASSWORD)
        told = not_sent(mailer, MailDeferredError)
        assert "certificate is not trusted" in told
        assert "SSL_CERT_FILE" in told
        assert server.arrived == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
        mailer.send(mail())
        assert len(server.arrived) == 1
        elsewhere = SmtpMailer(
            "localhost", server.port, user=None, password=None, security=security, journal=tmp_path / "journal-2"
        )  # the certificate is for 127.0.0.1
        assert "Hostname mismatch" in not_sent(elsewhere, MailDeferredError)


def test_server_without_starttls_gets_no_mail_and_no_password(server: MailServer, tmp_path: Path) -> None:
    mailer = mailer_of(server, tmp_path, security="starttls", user=USER, password=PASSWORD)
    assert "IRSS_SMTP_SECURITY" in not_sent(mailer, MailDeferredError)


def test_refused_starttls_defers(certificate: Certificate, tmp_path: Path) -> None:
    with MailServer(security="starttls", certificate=certificate) as server:
        server.script["STARTTLS"] = "454 TLS not available"
        assert "454" in not_sent(mailer_of(server, tmp_path, security="starttls"), MailDeferredError)


def test_login_is_used(server: MailServer, tmp_path: Path) -> None:
    mailer_of(server, tmp_path, user=USER, password=PASSWORD).send(mail())
    assert len(server.arrived) == 1


@pytest.mark.parametrize("password", ["wrong horse", "", "pässword"])
@pytest.mark.parametrize("answer", [None, "454 4.7.0 Temporary", "535 5.7.8 {password} is wrong"])
def test_failed_login_defers_and_tells_no_password(
    server: MailServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, password: str, answer: str | None
) -> None:
    caplog.set_level(logging.DEBUG, logger="irss_core")
    if answer is not None:
        server.script["AUTH"] = answer.format(password=password)
    mailer = mailer_of(server, tmp_path, user=USER, password=password)
    with pytest.raises(MailDeferredError, match="IRSS_SMTP_PASSWORD") as told:
        mailer.send(mail())
    shown = "".join([*traceback.format_exception(told.value), caplog.text, repr(mailer), repr(vars(told.value))])
    assert not password or password not in shown
    assert server.arrived == []


def test_login_that_the_server_does_not_offer_defers(server: MailServer, tmp_path: Path) -> None:
    server.script["EHLO"] = "250 mail.test"
    mailer = mailer_of(server, tmp_path, user=USER, password=PASSWORD)
    assert "AUTH" in not_sent(mailer, MailDeferredError)
