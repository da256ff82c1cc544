"""What the processes of ``test_store_processes`` do: ``python -m tests.e2e.store_process WHAT PATH``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.jobs.job import Job
from tests.made_submissions import done, made_batch, stored_batch, worked_on


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def receive(database: Database) -> None:
    """Handle messages until none come; a line for each."""
    queue = SqliteQueue(database, "work", SystemClock())
    tell("ready")
    while (message := queue.receive(wait_s=1, visibility_timeout_s=60)) is not None:
        if queue.delete(message):
            tell(message.body)


def create_half(database: Database) -> None:
    """Stop in the middle of writing a submission."""
    batch, jobs = made_batch(20)

    def until_half() -> Iterator[Job]:
        yield from jobs[:10]
        tell(batch.id)
        time.sleep(600)

    SqliteJobStore(database).create(batch, until_half())  # type: ignore[arg-type]


def settle(database: Database) -> None:
    """Submit and settle without end; a line for each submission that is settled."""
    store = SqliteJobStore(database)
    while True:
        batch, jobs = stored_batch(store, 3)
        for job in jobs:
            claimed = worked_on(store, job)
            store.settle(claimed, done(claimed))
        tell(batch.id)


PROCESSES: Mapping[str, Callable[[Database], None]] = {"receive": receive, "create_half": create_half, "settle": settle}

if __name__ == "__main__":
    PROCESSES[sys.argv[1]](Database(Path(sys.argv[2])))
