"""A job's progress as server-sent events, for as long as it changes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from irss_core.errors import RateLimitedError
from irss_core.jobs.job import Job, JobStatus

OF_ONE_CLIENT = 16  # several visitors may share an address; one of them never has more than a few pages open
OF_ALL = 256
_FASTEST_S, _SLOWEST_S = 0.5, 2.0
_LONGEST_S = 3600.0  # then the browser asks anew by itself; nothing stays open for ever
_RETRY_MS = 3000
_HEARTBEAT_S = 15  # proxies cut what is silent
_LAST_WORDS_S = 1.0  # for streams to end by themselves when the server stops
_FINAL = frozenset({JobStatus.DELIVERED, JobStatus.NOT_DELIVERED})


class StreamLimit:
    """Counts open streams: so many of one client, so many of all."""

    def __init__(self, *, of_one_client: int = OF_ONE_CLIENT, of_all: int = OF_ALL) -> None:
        self._of_one_client, self._of_all = of_one_client, of_all
        self._open: Counter[str | None] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, client: str | None) -> Iterator[None]:
        """Count one more stream for as long as the block lasts.

        Raises:
            RateLimitedError: there are too many already.
        """
        with self._lock:
            if self._open[client] >= self._of_one_client or self._open.total() >= self._of_all:
                raise RateLimitedError(
                    f"{self._open[client]} event streams are open from your address, {self._open.total()} in all; the "
                    f"limits are {self._of_one_client} and {self._of_all}. Close one, or ask for the job itself every "
                    "few seconds.",
                    retry_after_s=10,
                )
            self._open[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[client] -= 1
                if not self._open[client]:
                    del self._open[client]


async def job_events(
    read: Callable[[], Awaitable[Job | None]],
    describe: Callable[[Job], str],
    pause: Callable[[float], Awaitable[bool]],
) -> AsyncIterator[ServerSentEvent]:
    """Yield a ``job`` event whenever what ``describe`` says of the job changes, until it is mailed or given up.

    The job is read at most twice a second, less often while nothing changes. A job that is deleted meanwhile ends with
    a ``gone`` event.

    Args:
        pause: waits for so many seconds and returns whether to go on.
    """
    said, waited_s, pause_s = None, 0.0, _FASTEST_S
    while True:
        job = await read()
        if job is None:
            yield ServerSentEvent(event="gone", data="{}")
            return
        now = describe(job)
        if now != said:
            yield ServerSentEvent(event="job", data=now, retry=_RETRY_MS)
            said, pause_s = now, _FASTEST_S
        if job.status in _FINAL or waited_s >= _LONGEST_S:
            return
        if not await pause(pause_s):
            return
        waited_s += pause_s
        pause_s = min(pause_s * 1.25, _SLOWEST_S)


def event_stream(read: Callable[[], Job | None], describe: Callable[[Job], str]) -> EventSourceResponse:
    """Return the answer that streams a job's events, read in a thread; it ends in time when the server stops."""
    stopping = anyio.Event()

    async def pause(seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await stopping.wait()
        return not stopping.is_set()

    return EventSourceResponse(
        job_events(lambda: run_in_threadpool(read), describe, pause),
        ping=_HEARTBEAT_S,
        shutdown_event=stopping,
        shutdown_grace_period=_LAST_WORDS_S,
    )
