"""What every Mailer must hold to, run against the ones for a server, a folder and SES, and the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Protocol

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from irss_core.adapters.aws.ses import SesMailer
from irss_core.adapters.local.outbox_folder import OutboxFolder
from irss_core.adapters.local.smtp import SmtpMailer
from irss_core.errors import MailDeferredError, MailError, MailRefusedError, MailUncertainError
from irss_core.jobs.ports import Mailer
from tests.aws_emulator import REGION, client, client_at
from tests.fakes.clock import FakeClock
from tests.fakes.mailer import FakeMailer
from tests.fakes.records import MemoryRecords
from tests.mail_server import DROP, MailServer
from tests.ses_front import DROP as BROKEN_OFF
from tests.ses_front import SesFront


class Site(Protocol):
    """A mailer, what arrived, and a way to make trouble."""

    mailer: Mailer

    def arrived(self) -> list[EmailMessage]: ...

    def trouble(self, kind: type[MailError]) -> None:
        """Let the next mail end so."""

    def no_trouble(self) -> None:
        """Let the next mail be taken."""


class FakeSite:
    def __init__(self) -> None:
        self.mailer = FakeMailer()

    def arrived(self) -> list[EmailMessage]:
        return self.mailer.arrived

    def trouble(self, kind: type[MailError]) -> None:
        if kind is MailDeferredError:
            self.mailer.defer()
        elif kind is MailRefusedError:
            self.mailer.refuse()
        else:
            self.mailer.be_uncertain(arrives=True)

    def no_trouble(self) -> None:
        """Trouble is over after one mail."""


class SmtpSite:
    def __init__(self, server: MailServer, folder: Path) -> None:
        self._server = server
        self.mailer = SmtpMailer(
            "127.0.0.1", server.port, user=None, password=None, security="none", journal=folder / "journal"
        )

    def arrived(self) -> list[EmailMessage]:
        return self._server.arrived

    def trouble(self, kind: type[MailError]) -> None:
        verb, todo = {
            MailDeferredError: ("RCPT", "451 Greylisted"),
            MailRefusedError: ("RCPT", "550 No such mailbox"),
            MailUncertainError: ("DOT", DROP),
        }[kind]
        self._server.script[verb] = todo

    def no_trouble(self) -> None:
        self._server.script.clear()


class FolderSite:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "outbox"
        self.mailer = OutboxFolder(self._folder)

    def arrived(self) -> list[EmailMessage]:
        files = sorted(self._folder.glob("*.eml"))
        messages = [BytesParser(policy=policy.default).parsebytes(file.read_bytes()) for file in files]
        return [message for message in messages if isinstance(message, EmailMessage)]

    def trouble(self, kind: type[MailError]) -> None:
        if kind is not MailDeferredError:
            pytest.skip("a folder refuses nothing, and always knows")
        self._folder.write_text("a file where the folder should be")

    def no_trouble(self) -> None:
        self._folder.unlink()


class SesSite:
    def __init__(self, front: SesFront) -> None:
        self._front = front
        clock = FakeClock()
        self.mailer = SesMailer(client_at(front.endpoint, "ses"), records=MemoryRecords(clock), clock=clock)
        client("ses").verify_domain_identity(Domain="localhost")
        self._sent = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
        self._sent.clear()

    def arrived(self) -> list[EmailMessage]:
        messages = [BytesParser(policy=policy.default).parsebytes(mail.raw_data.encode()) for mail in self._sent]
        return [message for message in messages if isinstance(message, EmailMessage)]

    def trouble(self, kind: type[MailError]) -> None:
        if kind is MailUncertainError:
            self._front.todo = BROKEN_OFF
        elif kind is MailDeferredError:
            self._front.fail(400, "Throttling", "Maximum sending rate exceeded for visitor@example.org.")
        else:
            self._front.fail(400, "MessageRejected", "Email address is not verified: visitor@example.org")

    def no_trouble(self) -> None:
        self._front.todo = None


@contextmanager
def ses_site(folder: Path) -> Iterator[Site]:
    with SesFront() as front:
        yield SesSite(front)


@contextmanager
def smtp_site(folder: Path) -> Iterator[Site]:
    with MailServer() as server:
        yield SmtpSite(server, folder)


@contextmanager
def folder_site(folder: Path) -> Iterator[Site]:
    yield FolderSite(folder)


@contextmanager
def fake_site(folder: Path) -> Iterator[Site]:
    yield FakeSite()


@pytest.fixture(params=[smtp_site, folder_site, ses_site, fake_site])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with request.param(tmp_path) as made:
        yield made


def mail(number: int = 1) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "IRSS <irss@localhost>", "visitor@example.org"
    message["Subject"], message["Message-ID"] = "Größer ✓", f"<{number}@irss>"
    message["Date"] = "Fri, 15 Jan 2027 08:00:00 +0000"
    message.set_content("Schöne Grüße\n.\n")
    message.add_attachment(bytes(range(256)), "image", "png", filename="größer.png")
    return message


def test_mail_arrives_as_it_was_and_is_known_to_be_taken(site: Site) -> None:
    answer = site.mailer.send(mail())
    assert answer
    assert answer.isprintable()
    (arrived,) = site.arrived()
    assert (arrived["Subject"], arrived["To"], arrived["Message-ID"]) == ("Größer ✓", "visitor@example.org", "<1@irss>")
    body = arrived.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Schöne Grüße", "."]
    (attached,) = arrived.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("größer.png", bytes(range(256)))
    assert site.mailer.took("<1@irss>") is True


def test_mail_that_was_never_sent_is_not_known_to_be_taken(site: Site) -> None:
    site.mailer.send(mail(1))
    assert not site.mailer.took("<2@irss>")


def test_mails_arrive_each(site: Site) -> None:
    for number in range(3):
        site.mailer.send(mail(number))
    assert sorted(message["Message-ID"] for message in site.arrived()) == ["<0@irss>", "<1@irss>", "<2@irss>"]


@pytest.mark.parametrize("kind", [MailDeferredError, MailRefusedError])
def test_mail_that_was_not_taken_did_not_arrive_and_another_does(site: Site, kind: type[MailError]) -> None:
    site.trouble(kind)
    with pytest.raises(MailError) as told:
        site.mailer.send(mail(1))
    assert type(told.value) is kind
    assert "visitor@example.org" not in str(told.value)
    assert not site.mailer.took("<1@irss>")
    site.no_trouble()
    assert site.arrived() == []
    site.mailer.send(mail(2))
    assert [message["Message-ID"] for message in site.arrived()] == ["<2@irss>"]


def test_deferred_mail_can_be_sent_again(site: Site) -> None:
    site.trouble(MailDeferredError)
    with pytest.raises(MailDeferredError):
        site.mailer.send(mail())
    site.no_trouble()
    site.mailer.send(mail())
    assert len(site.arrived()) == 1
    assert site.mailer.took("<1@irss>") is True


def test_mail_of_which_nobody_knows_may_have_arrived_and_is_not_said_to_be_lost(site: Site) -> None:
    site.trouble(MailUncertainError)
    with pytest.raises(MailUncertainError):
        site.mailer.send(mail())
    assert len(site.arrived()) == 1
    assert site.mailer.took("<1@irss>") is not False
