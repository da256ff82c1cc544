"""The jobs' database under several real processes, some of which are killed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.jobs.job import JobStatus
from tests.made_submissions import made_batch

ROOT = Path(__file__).parents[2]

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def process(what: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.e2e.store_process", what, str(path)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield process
    for each in started:
        each.kill()
        each.wait()
        if each.stdout is not None:
            each.stdout.close()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def rest(process: subprocess.Popen[str]) -> list[str]:
    """What it says until it ends; ``communicate`` would pass over what ``lines`` has read ahead."""
    assert process.stdout is not None
    return process.stdout.read().split()


def test_four_processes_handle_every_message_once(path, start):
    queue = SqliteQueue(Database(path), "work", SystemClock())
    for number in range(100):
        queue.send(str(number))
    processes = [start("receive") for _ in range(4)]
    for process in processes:
        assert lines(process, 1) == ["ready"]
    for number in range(100, 200):  # while they are at it
        queue.send(str(number))
    handled = Counter(line for process in processes for line in rest(process))
    assert handled == {str(number): 1 for number in range(200)}
    assert [process.wait() for process in processes] == [0] * 4
    depth = queue.depth()
    assert (depth.ready, depth.delayed, depth.leased, depth.dead) == (0, 0, 0, 0)


def test_of_a_write_that_was_killed_nothing_is_there(path, start):
    store = SqliteJobStore(Database(path, busy_timeout_s=20))
    process = start("create_half")
    (batch_id,) = lines(process, 1)
    assert store.batch(batch_id) is None, "not before it is committed"
    process.kill()
    process.wait()
    batch, jobs = made_batch(2)
    store.create(batch, jobs)  # its lock died with it
    assert (store.batch(batch_id), store.jobs_of_batch(batch_id)) == (None, [])
    assert sum(store.counts().values()) == 2
    assert store.jobs_of_batch(batch.id) == jobs


@pytest.mark.parametrize("settled", [1, 4, 9])
def test_a_process_killed_at_any_moment_leaves_whole_steps(path, start, settled):
    process = start("settle")
    told = lines(process, settled)
    process.kill()
    process.wait()
    database = Database(path)
    store = SqliteJobStore(database)
    assert database.read("PRAGMA integrity_check")[0][0] == "ok"
    there = [row["id"] for row in database.read("SELECT id FROM batches")]
    assert set(told) <= set(there), "what was answered is kept"
    for batch_id in there:
        batch, jobs = store.batch(batch_id), store.jobs_of_batch(batch_id)
        assert batch is not None
        assert len(jobs) == 3
        assert batch.open_jobs == sum(job.status is JobStatus.NOT_PROCESSED for job in jobs)
        assert len(store.mails_of_batch(batch_id)) == batch.mails == (batch.open_jobs == 0)
