"""The whole way: twenty pictures and a clip from a browser, workers killed on the way, one mail about all of it."""

from __future__ import annotations

import signal
import sqlite3
import time
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.chromium import BROWSER_MARKS
from tests.e2e.test_queue_tab import open_tab, sign_in
from tests.e2e.visitors import PATIENCE_MS, Server, picture
from tests.made_clips import make_clip

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS

PICTURES = 20


def letters(data_dir: Path, subject: str) -> list[EmailMessage]:
    parse = BytesParser(policy=policy.default)
    found = [parse.parsebytes(path.read_bytes()) for path in (data_dir / "outbox").glob("*.eml")]
    return [letter for letter in found if isinstance(letter, EmailMessage) and subject in letter["Subject"]]


def workers_of(server: Server) -> list[psutil.Process]:
    """The worker processes of that app: those whose standard input only it holds open."""
    port = int(server.url.rpartition(":")[2])
    app = next(
        each.pid for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port and each.pid
    )
    return [each for each in psutil.Process(app).children() if "worker" in each.cmdline()]


def statuses(data_dir: Path) -> list[tuple[int, int]]:
    """The status and the attempts of every job of the newest batch."""
    newest = "SELECT id FROM batches ORDER BY created_at DESC LIMIT 1"
    with sqlite3.connect(f"file:{data_dir / 'jobs.sqlite3'}?mode=ro", uri=True) as database:
        return list(database.execute(f"SELECT status, attempt FROM jobs WHERE batch_id = ({newest}) ORDER BY number"))


def all_delivered(data_dir: Path) -> list[tuple[int, int]]:
    """``statuses`` as soon as all are 3: the mail is in the outbox a moment before that is written down."""
    deadline = time.monotonic() + 20
    while any(status != 3 for status, _ in statuses(data_dir)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return statuses(data_dir)


def kill_at_work(server: Server, *, settled: int) -> None:
    """Kill the worker, as a power cut would, in the middle of a job, once so many are settled."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        time.sleep(0.02)
        if sum(status != 1 for status, _ in statuses(server.data_dir)) < settled:
            continue
        stopped = workers_of(server)
        for worker in stopped:  # so that what is looked at stays as it is
            worker.send_signal(signal.SIGSTOP)
        at_work = any(status == 1 and attempts for status, attempts in statuses(server.data_dir))
        for worker in stopped:
            worker.send_signal(signal.SIGKILL if at_work else signal.SIGCONT)
        if at_work and stopped:
            return
    raise AssertionError(f"no job was in work in time: {statuses(server.data_dir)}")


def test_a_batch_from_the_browser_outlives_two_killed_workers_and_is_mailed_once(
    visit: Any, server: Server, tmp_path: Path
) -> None:
    before = len(letters(server.data_dir, "ready"))  # of a first try
    visitor = visit()
    page = open_tab(visitor)
    sign_in(page, "ana@example.org")
    files = [picture(tmp_path / f"picture {number:02}.png", 30 + number, 24, seed=number) for number in range(PICTURES)]
    files.append(make_clip(tmp_path / "clip.mp4", ticks=range(12)))
    page.locator("#irss-queue-files input[type=file]").set_input_files(files)
    page.locator(".irss-forecast", has_text=f"{PICTURES + 1} files").wait_for(timeout=PATIENCE_MS)
    visitor.choose("Model", "Real-ESRGAN anime video v3 x4")
    page.locator("#irss-queue-submit").click()
    page.get_by_text(f"Handed in: {PICTURES + 1} files").wait_for(timeout=PATIENCE_MS)

    kill_at_work(server, settled=3)
    kill_at_work(server, settled=10)

    page.locator("#irss-queue-jobs").get_by_text(f"{PICTURES + 1} of {PICTURES + 1} done").wait_for(timeout=PATIENCE_MS)
    sync_api.expect(page.locator(".irss-outbox details", has_text=f"{PICTURES + 1} of {PICTURES + 1}")).to_have_count(
        before + 1, timeout=PATIENCE_MS
    )
    ended = all_delivered(server.data_dir)
    assert [status for status, _ in ended] == [3] * (PICTURES + 1)
    assert sum(attempts - 1 for _, attempts in ended) >= 2, "two attempts were cut off, and two jobs were begun again"

    time.sleep(3)  # for a second mail, if there were one
    found = letters(server.data_dir, "ready")
    assert len(found) == before + 1
    letter = max(found, key=lambda each: parsedate_to_datetime(each["Date"]))
    assert letter["To"] == "ana@example.org"
    text = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert [path.name for path in files if path.name not in text] == []
    (manifest,) = [part for part in letter.iter_attachments() if (part.get_filename() or "").endswith(".csv")]
    assert len(manifest.get_content().strip().splitlines()) == PICTURES + 2
