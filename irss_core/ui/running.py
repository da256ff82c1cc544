"""One inference at a time, first come, first served, while everybody sees their place in the line and the time left.

The line stands here and not in gradio's queue because its place must show in words, a cancel must work while
waiting, and the thread that computes must stay the same one (each new thread costs torch a new pool of workers).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from irss_core.errors import CancelledError, ResourceError
from irss_core.progress import CancelToken, ProgressUpdate

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """The work stands in line: ``ahead`` others come first."""

    ahead: int


@dataclass(frozen=True)
class Running:
    """The work is on: ``steps`` in order, the index of the one that runs, and how far that one is.

    ``partial`` is what there is of the result already, of work that has something to show before its end.
    """

    steps: tuple[str, ...]
    step: int
    update: ProgressUpdate | None
    elapsed_s: float
    partial: object | None = None


@dataclass(frozen=True)
class Finished(Generic[T]):
    """The work is done."""

    value: T


class Board:
    """What running work says about itself; written by the thread that computes, read by the page."""

    def __init__(self, steps: tuple[str, ...], clock: Callable[[], float] = time.perf_counter) -> None:
        self._steps, self._clock = steps, clock
        self._started: float | None = None
        self._step = 0
        self._update: ProgressUpdate | None = None
        self._partial: object | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Note that the work has begun."""
        with self._lock:
            self._started = self._clock()

    def begin(self, step: str) -> None:
        """Note that the step of that name is the one which runs now."""
        with self._lock:
            self._step, self._update = self._steps.index(step), None

    def report(self, update: ProgressUpdate) -> None:
        """Note how far the step that runs is; a ProgressCallback."""
        with self._lock:
            self._update = update

    def show(self, partial: object) -> None:
        """Note what there is of the result already, in place of what was noted before."""
        with self._lock:
            self._partial = partial

    def view(self) -> Running | None:
        """Return the state right now, or None before the work has begun."""
        with self._lock:
            if self._started is None:
                return None
            return Running(self._steps, self._step, self._update, self._clock() - self._started, self._partial)


Work = Callable[[Board, CancelToken], T]


class InferenceLine:
    """Runs work one after the other on one thread.

    ``capacity`` is how many may stand in line, the running one included; ``interval_s`` how often a view is yielded.
    """

    def __init__(self, *, capacity: int = 32, interval_s: float = 0.25) -> None:
        self._capacity, self._interval_s = capacity, interval_s
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._line: list[Future[Any]] = []
        self._lock = threading.Lock()

    async def run(
        self, work: Work[T], *, steps: tuple[str, ...], cancel: CancelToken
    ) -> AsyncGenerator[Waiting | Running | Finished[T], None]:
        """Yield the place in line, then the progress, then the result of ``work``.

        Closing the iterator early cancels the work, as a visitor does who closes the page.

        Raises:
            ResourceError: the line is full.
            CancelledError: ``cancel`` was thrown.
        """
        board = Board(steps)
        future = self._join(work, board, cancel)
        done = asyncio.wrap_future(future)
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # so that no one warns of it
        try:
            while not done.done():
                if cancel.cancelled and future.cancel():
                    raise CancelledError("The work was taken out of the line before it started.")
                yield board.view() or Waiting(self._ahead(future))
                await asyncio.wait([done], timeout=self._interval_s)
            yield Finished(future.result())
        finally:
            cancel.cancel()
            future.cancel()

    async def result(self, work: Work[T], *, steps: tuple[str, ...], cancel: CancelToken) -> T:
        """Return what ``work`` returns, after its turn has come; raises as ``run`` does."""
        async with contextlib.aclosing(self.run(work, steps=steps, cancel=cancel)) as states:
            async for state in states:
                if isinstance(state, Finished):
                    return state.value
        raise CancelledError("The work was cancelled; nothing was written.")

    def close(self) -> None:
        """Take in no more work; what runs is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _join(self, work: Work[T], board: Board, cancel: CancelToken) -> Future[T]:
        def job() -> T:
            cancel.raise_if_cancelled()
            board.start()
            return work(board, cancel)

        with self._lock:
            if len(self._line) >= self._capacity:
                raise ResourceError(
                    f"{self._capacity} pieces of work stand in line already, as many as this server takes. "
                    "Try again in a few minutes."
                )
            future = self._executor.submit(job)
            self._line.append(future)
        future.add_done_callback(self._leave)
        return future

    def _leave(self, future: Future[Any]) -> None:
        with self._lock:
            self._line.remove(future)

    def _ahead(self, future: Future[Any]) -> int:
        with self._lock:
            return self._line.index(future) if future in self._line else 0
