"""Progress with a time left, and cancellation: the two things every long call takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from irss_core.errors import CancelledError


@dataclass(frozen=True)
class ProgressUpdate:
    """How far a long call is: ``done`` of ``total`` in ``unit`` ("tiles", "frames", "bytes" …).

    ``total`` and ``remaining_s`` are None while unknown (a clip whose header does not count its frames).
    """

    done: float
    total: float | None
    unit: str
    elapsed_s: float
    remaining_s: float | None

    @property
    def fraction(self) -> float | None:
        """Share done in 0..1, or None while the total is unknown."""
        if not self.total:
            return None
        return min(self.done / self.total, 1.0)

    @property
    def rate(self) -> float | None:
        """Units a second so far, or None before anything is done."""
        return self.done / self.elapsed_s if self.done and self.elapsed_s > 0 else None


ProgressCallback = Callable[[ProgressUpdate], None]


class CancelToken:
    """A switch one thread throws and another one checks between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work that holds this token to stop at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError if somebody asked to stop."""
        if self._event.is_set():
            raise CancelledError("The work was cancelled; nothing was written. Start it again to get a result.")


class ProgressMeter:
    """Counts steps and reports them with the time left, estimated from the rate of the steps done so far."""

    def __init__(
        self,
        total: float | None,
        unit: str,
        *,
        callback: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._total, self._unit, self._callback, self._cancel, self._clock = total, unit, callback, cancel, clock
        self._started = clock()
        self._done = 0.0
        self._report()

    def advance(self, steps: float = 1) -> None:
        """Count ``steps`` as done, report, and raise CancelledError if asked to stop."""
        self._done += steps
        self._report()
        self.check()

    def check(self) -> None:
        """Raise CancelledError if asked to stop; for places where nothing is finished yet."""
        if self._cancel is not None:
            self._cancel.raise_if_cancelled()

    def _report(self) -> None:
        if self._callback is None:
            return
        elapsed = self._clock() - self._started
        remaining = None
        if self._total is not None and self._done:
            remaining = max(self._total - self._done, 0) * elapsed / self._done
        self._callback(ProgressUpdate(self._done, self._total, self._unit, elapsed, remaining))
