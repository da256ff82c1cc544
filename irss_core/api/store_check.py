"""StoreCheck: whether jobs can be taken, and how long they wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from irss_core.jobs.service import JobService


@dataclass(frozen=True)
class StoreFigures:
    """What the store and the queues say."""

    waiting: int
    in_work: int
    dead: int
    unattended_s: float  # how long a job has been waiting while nobody worked


class StoreCheck:
    """Looks whether the store can be written, a few looks at a time: one that hangs must not gather a crowd."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(4)

    def look(self, jobs: Callable[[], JobService]) -> StoreFigures:
        """Return the figures, after a small write.

        Raises:
            StoreUnavailableError: the store cannot be written or read. TimeoutError: earlier looks hang.
        """
        if not self._slots.acquire(blocking=False):
            raise TimeoutError
        try:
            service = jobs()
            service.records.count("health", expires_at=service.clock.now() + 3600)
            work, mails = service.work.depth(), service.mails.depth()
        finally:
            self._slots.release()
        return StoreFigures(
            waiting=work.ready + work.delayed,
            in_work=work.leased,
            dead=work.dead + mails.dead,
            unattended_s=0.0 if work.leased else work.oldest_ready_s or 0.0,
        )
