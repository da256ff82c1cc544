"""The folder of mails: one file a mail, whole, in the order of time, whatever stands in the mail."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from irss_core.adapters.local.outbox_folder import OutboxFolder
from tests.killed_writes import MESSAGE_ID, killed_at_every_call


def mail(message_id: str = "<1@irss>", *, hour: int = 8, subject: str = "Hello") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "irss@localhost", "visitor@example.org", subject
    message["Message-ID"], message["Date"] = message_id, datetime(2027, 1, 15, hour, tzinfo=UTC)
    message.set_content("Hello\n")
    return message


def test_same_mail_twice_is_one_file(tmp_path: Path) -> None:
    outbox = OutboxFolder(tmp_path / "outbox")
    first = outbox.send(mail())
    assert outbox.send(mail()) == first
    assert outbox.send(mail(hour=9)) == first, "also when it was put together anew"
    assert len(list((tmp_path / "outbox").iterdir())) == 1


def test_took_is_exact(tmp_path: Path) -> None:
    outbox = OutboxFolder(tmp_path / "outbox")
    assert outbox.took("<1@irss>") is False
    outbox.send(mail())
    assert outbox.took("<1@irss>") is True
    assert outbox.took("<2@irss>") is False
    assert OutboxFolder(tmp_path / "outbox").took("<1@irss>") is True


def test_mails_are_listed_newest_first(tmp_path: Path) -> None:
    outbox = OutboxFolder(tmp_path / "outbox")
    assert outbox.mails() == []
    for hour in (9, 8, 10):
        outbox.send(mail(f"<{hour}@irss>", hour=hour, subject=f"Grüße um {hour}"))
    shown = outbox.mails()
    assert [each.subject for each in shown] == ["Grüße um 10", "Grüße um 9", "Grüße um 8"]
    assert (shown[0].to, shown[0].date) == ("visitor@example.org", datetime(2027, 1, 15, 10, tzinfo=UTC))
    assert message_from_bytes(shown[0].path.read_bytes(), policy=policy.default)["Message-ID"] == "<10@irss>"


@pytest.mark.parametrize("message_id", ["<../../etc/passwd@irss>", "<*@irss>", "<?@irss>", "<" + "a" * 500 + "@irss>"])
def test_names_of_files_are_safe_whatever_the_message_id(tmp_path: Path, message_id: str) -> None:
    outbox = OutboxFolder(tmp_path / "outbox")
    outbox.send(mail("<1@irss>"))
    assert outbox.took(message_id) is False
    outbox.send(mail(message_id))
    assert outbox.took(message_id) is True
    for path in (tmp_path / "outbox").iterdir():
        assert re.fullmatch(r"20270115T080000Z-[0-9a-f]{40}\.eml", path.name)


def test_mail_without_a_date_can_be_shown(tmp_path: Path) -> None:
    outbox, message = OutboxFolder(tmp_path / "outbox"), mail()
    del message["Date"]
    outbox.send(message)
    (shown,) = outbox.mails()
    assert shown.date.tzinfo is UTC


def test_killed_at_any_call_leaves_a_whole_mail_or_none(tmp_path: Path) -> None:
    counts = []
    for folder in killed_at_every_call("mail", tmp_path):
        outbox = OutboxFolder(folder / "outbox")
        files = list((folder / "outbox").glob("*.eml"))
        assert outbox.took(MESSAGE_ID) is bool(files)
        for file in files:
            assert file.read_bytes().endswith(b"\r\n\r\nHello\r\n")
        assert len(outbox.mails()) == len(files)
        counts.append(len(files))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1}
