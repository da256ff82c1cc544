"""Lease: a message held for as long as the work on it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from irss_core.jobs.log import record_error
from irss_core.jobs.ports import Message, Queue


@dataclass(frozen=True)
class LeaseTimes:
    """How long a message is held at a time, how often that is extended, and how often is looked after the work."""

    visibility_timeout_s: float = 120.0
    extend_every_s: float = 40.0
    look_every_s: float = 2.0


class Lease:
    """Extends a message's lease from a thread of its own while the block runs.

    ``lost`` is called when somebody else has, or may have, the message by now; ``look`` now and then in between. Both
    run in that thread.
    """

    def __init__(
        self,
        queue: Queue,
        message: Message,
        *,
        times: LeaseTimes,
        lost: Callable[[], None],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue, self._message, self._times = queue, message, times
        self._lost, self._look = lost, look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _hold(self) -> None:
        extended = time.monotonic()
        while not self._over.wait(self._times.look_every_s):
            with _going_on():
                self._look()
            if time.monotonic() - extended < self._times.extend_every_s:
                continue
            with _going_on():
                if not self._queue.extend(self._message, visibility_timeout_s=self._times.visibility_timeout_s):
                    self._lost()
                    return
                extended = time.monotonic()


@contextmanager
def _going_on() -> Iterator[None]:
    """Go on after an error, which is logged: the next look comes soon, and a silent end would lose the lease."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        record_error("lease not looked after", error)
