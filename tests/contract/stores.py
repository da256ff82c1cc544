"""The adapters of JobStore, Queue and Records that the contract suites run against: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.adapters.local.records import SqliteRecords
from irss_core.jobs.ports import Clock, JobStore, Queue, Records
from tests.fakes.job_store import MemoryJobStore
from tests.fakes.queue import MemoryQueue
from tests.fakes.records import MemoryRecords

JOB_STORES: Mapping[str, Callable[[Path], JobStore]] = {
    "memory": lambda folder: MemoryJobStore(),
    "sqlite": lambda folder: SqliteJobStore(Database(folder / "jobs.sqlite3")),
}

QUEUES: Mapping[str, Callable[[Path, Clock], Queue]] = {
    "memory": lambda folder, clock: MemoryQueue(clock),
    "sqlite": lambda folder, clock: SqliteQueue(Database(folder / "jobs.sqlite3"), "work", clock),
}

RECORDS: Mapping[str, Callable[[Path, Clock], Records]] = {
    "memory": lambda folder, clock: MemoryRecords(clock),
    "sqlite": lambda folder, clock: SqliteRecords(Database(folder / "jobs.sqlite3"), clock),
}
