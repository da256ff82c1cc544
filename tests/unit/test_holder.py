"""Who holds a lease: others see when that process has ended, however it did, and at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.holder import Holder
from irss_core.adapters.local.queue import SqliteQueue
from tests.fakes.clock import FakeClock

TAKE_AND_STAY = """
import sys
from pathlib import Path
from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.queue import SqliteQueue
queue = SqliteQueue(Database(Path(sys.argv[1])), "work", SystemClock())
message = queue.receive(wait_s=5, visibility_timeout_s=3600)
print(message.body, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "jobs.sqlite3"


@pytest.fixture
def other(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the queue's one message for an hour."""
    SqliteQueue(Database(path), "work", SystemClock()).send("long")
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_AND_STAY, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "long\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()


def test_what_a_killed_process_held_can_be_had_at_once(path: Path, other: subprocess.Popen[str]) -> None:
    queue = SqliteQueue(Database(path), "work", SystemClock())
    assert queue.receive(wait_s=0, visibility_timeout_s=60) is None, "it lives, and its lease holds"
    other.send_signal(signal.SIGKILL)
    other.wait()
    message = SqliteQueue(Database(path), "work", SystemClock()).receive(wait_s=0, visibility_timeout_s=60)
    assert message is not None
    assert (message.body, message.deliveries) == ("long", 2)
    again = queue.receive(wait_s=0, visibility_timeout_s=60)
    assert again is None, "it is held once more, by a process that lives"


def test_another_queue_in_the_same_process_does_not_take_it_away(path: Path) -> None:
    clock = FakeClock(1000.0)
    queue = SqliteQueue(Database(path), "work", clock)
    queue.send("mine")
    held = queue.receive(wait_s=0, visibility_timeout_s=60)
    assert held is not None
    assert SqliteQueue(Database(path), "work", clock).receive(wait_s=0, visibility_timeout_s=60) is None
    assert queue.delete(held)


def test_a_lost_lease_of_the_dead_is_not_the_new_holder_s(path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    queue = SqliteQueue(Database(path), "work", SystemClock())
    first = queue.receive(wait_s=0, visibility_timeout_s=60)
    assert first is not None
    assert queue.release(first)
    second = queue.receive(wait_s=0, visibility_timeout_s=60)
    assert second is not None
    assert not queue.delete(first)
    assert queue.delete(second)


def test_files_of_the_dead_are_cleared_and_those_of_the_living_stay(tmp_path: Path) -> None:
    living = Holder(tmp_path)
    assert living.name in {each.name for each in tmp_path.iterdir()}
    (tmp_path / "0123456789abcdef").touch()
    newcomer = Holder(tmp_path)
    assert newcomer.name != living.name
    assert {each.name for each in tmp_path.iterdir()} == {living.name, newcomer.name}
    assert not newcomer.is_gone(living.name)
    assert newcomer.is_gone("0123456789abcdef")
