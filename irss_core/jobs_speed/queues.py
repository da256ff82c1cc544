"""compare_queues: an empty job through our queue and through huey's, both on SQLite, both flushing every commit.

Ours is held under a lease while it is worked on, and comes back if its worker is killed; huey's is deleted as it is
taken, and its result is stored, which ours has elsewhere. So it is the nearest thing there is, not the same.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.errors import ResourceError
from irss_core.jobs_speed.report import QueueTimes

_LEASE_S = 120.0


def compare_queues(folder: Path, *, jobs: int) -> QueueTimes:
    """Return what so many empty jobs took in each, handed in and worked on by one thread, one at a time and in turn.

    Raises:
        ResourceError: huey is not installed.
    """
    try:
        huey = importlib.import_module("huey")
    except ModuleNotFoundError:
        raise ResourceError("Not compared, huey is not installed here: python -m pip install huey") from None
    both = (_ours(folder / "ours.sqlite3"), _hueys(huey, folder / "huey.sqlite3"))
    for run in both:
        run()  # which opens the files
    ours_s, huey_s = (statistics.median(times) for times in zip(*(_turn(both) for _ in range(jobs)), strict=True))
    return QueueTimes(jobs, ours_s, huey_s, ratio=ours_s / huey_s, huey_version=huey.__version__)


def _turn(both: tuple[Callable[[], None], Callable[[], None]]) -> tuple[float, float]:
    begun = time.perf_counter()
    both[0]()
    between = time.perf_counter()
    both[1]()
    return between - begun, time.perf_counter() - between


def _ours(path: Path) -> Callable[[], None]:
    queue = SqliteQueue(Database(path), "work", SystemClock())

    def run() -> None:
        queue.send("empty")
        message = queue.receive(wait_s=0, visibility_timeout_s=_LEASE_S)
        if message is None or not queue.delete(message):
            raise ResourceError("Our queue lost a message. Is something else using the folder?")

    return run


def _hueys(huey: Any, path: Path) -> Callable[[], None]:
    queue = huey.SqliteHuey(filename=str(path), fsync=True)
    empty = queue.task()(lambda: True)

    def run() -> None:
        result = empty()
        queue.execute(queue.dequeue())
        if result.get() is not True:
            raise ResourceError("huey lost a result. Is something else using the folder?")

    return run
