"""``irss submit`` and ``irss worker`` as processes: handed off in one, done in the other, one mail in the outbox."""

from __future__ import annotations

import email
import json
from email import policy

from tests.e2e.test_cli_process import here, irss

__all__ = ["here"]  # the fixture


def test_files_handed_off_are_done_by_a_worker_and_mailed_once(here):
    handed = irss("submit", "pictures", "-r", "--email", "me@example.org", "-m", "bicubic", here=here)
    assert handed.returncode == 0, handed.stderr
    assert handed.stdout.startswith("Handed off 3 files")

    worked = irss("worker", "--until-idle", here=here)
    assert worked.returncode == 0, worked.stderr
    *log, last = worked.stderr.splitlines()
    assert last == "irss: nothing waits any more"
    events = [json.loads(line) for line in log]
    assert [event["event"] for event in events].count("attempt ended") == 3
    assert "me@example.org" not in worked.stderr
    assert "Ωmega" not in worked.stderr

    jobs = json.loads(irss("jobs", "list", "--json", here=here).stdout)
    assert {job["name"]: job["status"] for job in jobs} == {"Ωmega photo.png": 3, "b.jpg": 3, "bad.png": 4}
    (mail,) = (here / "data" / "outbox").glob("*.eml")
    message = email.message_from_bytes(mail.read_bytes(), policy=policy.default)
    assert message["To"] == "me@example.org"
    assert "bad.png" in message.get_body(("plain",)).get_content()
    assert list((here / "data" / "scratch").iterdir()) == [], "a worker that ends leaves no temporary files"

    again = irss("worker", "--until-idle", here=here)
    assert again.stderr == "irss: nothing waits any more\n"


def test_a_data_folder_that_cannot_be_used_is_one_line(here):
    (here / "data").write_text("a file")
    worked = irss("worker", "--once", here=here)
    assert worked.returncode == 1
    assert worked.stderr.splitlines()[-1].startswith("irss: ")
    assert "Traceback" not in worked.stderr
