"""The adapters of JobStore, Queue and Records that the contract suites run against: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from irss_core.adapters.aws.job_store import DynamoJobStore
from irss_core.adapters.aws.records import DynamoRecords
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.adapters.local.records import SqliteRecords
from irss_core.jobs.ports import Clock, JobStore, Queue, Records
from tests.aws_emulator import client
from tests.dynamodb_local import MOST_ACTIONS, local_client
from tests.fakes.job_store import MemoryJobStore
from tests.fakes.queue import MemoryQueue
from tests.fakes.records import MemoryRecords
from tests.made_sqs import made_queue
from tests.made_tables import made_table

JOB_STORES: Mapping[str, Callable[[Path], JobStore]] = {
    "memory": lambda folder: MemoryJobStore(),
    "sqlite": lambda folder: SqliteJobStore(Database(folder / "jobs.sqlite3")),
    "dynamodb": lambda folder: DynamoJobStore(client("dynamodb"), made_table(client("dynamodb"))),
    "dynamodb-local": lambda folder: DynamoJobStore(
        local_client(), made_table(local_client()), most_actions=MOST_ACTIONS
    ),
}

RUNS: Mapping[str, int] = {"dynamodb": 2, "dynamodb-local": 1}
"""How many random runs a store is given where the usual number takes minutes."""

QUEUES: Mapping[str, Callable[[Path, Clock], Queue]] = {
    "memory": lambda folder, clock: MemoryQueue(clock),
    "sqlite": lambda folder, clock: SqliteQueue(Database(folder / "jobs.sqlite3"), "work", clock),
    "sqs": lambda folder, clock: made_queue().by(clock.now),
}

RECORDS: Mapping[str, Callable[[Path, Clock], Records]] = {
    "memory": lambda folder, clock: MemoryRecords(clock),
    "sqlite": lambda folder, clock: SqliteRecords(Database(folder / "jobs.sqlite3"), clock),
    "dynamodb": lambda folder, clock: DynamoRecords(client("dynamodb"), made_table(client("dynamodb")), clock),
    "dynamodb-local": lambda folder, clock: DynamoRecords(local_client(), made_table(local_client()), clock),
}
