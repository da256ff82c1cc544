"""Attempt: one try at one job, stage by stage; what one stage found is written to the store as the next begins."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from irss_core.errors import CancelledError, ConflictError, IrssError, ResourceError, StoreUnavailableError
from irss_core.jobs.job import (
    Job,
    at_stage,
    attempt_failed,
    begin_attempt,
    cancelled,
    given_up,
    processed,
    with_results,
)
from irss_core.jobs.log import record, record_error
from irss_core.jobs.options import Stage
from irss_core.progress import CancelToken, ProgressCallback, ProgressUpdate

if TYPE_CHECKING:
    from irss_core.jobs.ports import Clock, JobStore
    from irss_core.jobs.stages import StageFunction, Workshop

EXHAUSTED = "attempts-exhausted"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Ledger(Protocol):
    """Where an attempt's job is written, and who is told how it ends."""

    @property
    def store(self) -> JobStore:
        """Where the job is read and its progress written."""
        ...

    @property
    def clock(self) -> Clock:
        """What the writes are dated by."""
        ...

    def settle(self, before: Job, after: Job) -> object:
        """Have it end: every step asked for is done (2), or it is given up (4)."""
        ...


class Ending(Enum):
    """How an attempt ended, which says what becomes of the message."""

    SETTLED = auto()  # the job needs no more work
    FAILED = auto()  # it may succeed another time, a few times more
    WAITING = auto()  # it may succeed as soon as the stores can be used again
    STOPPED = auto()  # the worker stops; somebody else goes on
    TAKEN = auto()  # another attempt has the job, or somebody settled it: nothing may be written any more
    LEASE_LOST = auto()  # somebody else may have the message: nothing may be written any more


class Attempt:
    """One try. ``run`` belongs to one thread; ``halt`` and ``look`` may be called from others meanwhile.

    Args:
        job: As it was read. A write is refused once anybody else has changed its status or begun an attempt.
        ledger: Where it is written.
        workshop: What the stages work with.
        stages: What is done at each stage.
        delivery: The how manieth time this is that the job's message was delivered.
        max_deliveries: After so many the job is given up, unless only a store is in the way.
        write_every_s: How often progress is written, at most.
    """

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        workshop: Workshop,
        *,
        stages: Mapping[Stage, StageFunction],
        delivery: int,
        max_deliveries: int,
        write_every_s: float,
    ) -> None:
        self.job = job
        self._ledger, self._workshop, self._stages = ledger, workshop, stages
        self._delivery, self._max_deliveries, self._write_every_s = delivery, max_deliveries, write_every_s
        self._cancel = CancelToken()
        self._halted: Ending | None = None
        self._asked = False  # the owner wants it to stop
        self._writing = threading.Lock()
        self._written_at = 0.0

    def run(self) -> Ending:
        """Do what is left to do and return how that ended; raises nothing, whatever happens."""
        started = time.monotonic()
        try:
            ending = self._run()
        except ConflictError:
            ending = Ending.TAKEN
        except CancelledError:
            ending = self._halted or Ending.TAKEN
        except Exception as error:  # noqa: BLE001  the worker goes on with the next job
            record_error("not written", error, job=self.job)
            ending = Ending.WAITING if isinstance(error, StoreUnavailableError) else Ending.FAILED
        record(
            "attempt ended",
            job=self.job,
            ending=ending.name.lower(),
            status=self.job.status.value,
            error=self.job.error_code,
            seconds=round(time.monotonic() - started, 3),
        )
        return ending

    def halt(self, ending: Ending) -> None:
        """Have the work stop at its next step and end so."""
        if self._halted is None or ending is Ending.LEASE_LOST:
            self._halted = ending
        self._cancel.cancel()

    def look(self) -> None:
        """Stop if the owner asked for it, or if the job has become somebody else's."""
        with self._writing:  # what was written and is not yet noted here would look like somebody else's
            found = self._ledger.store.job(self.job.id)
            mine = found is not None and not found.settled and found.attempt == self.job.attempt
        if found is None or not mine:
            self.halt(Ending.TAKEN)
        elif found.cancel_requested:
            self._asked = True
            self._cancel.cancel()

    def _run(self) -> Ending:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  recorded, on the job and in the log
            return self._after(error)
        return Ending.SETTLED

    def _work(self) -> None:
        if self.job.cancel_requested:
            self._asked = True
            raise CancelledError("Cancelled before it was begun.")
        job = begin_attempt(self.job, now=self._now())
        record("attempt begun", job=job)
        for stage in (each for each in job.options.stages if each in self._stages):
            # One write says what the stage before found, and that this one is begun. The first, which comes before any
            # work, begins the attempt and so fences off whoever was at the job.
            self._save(at_stage(job, stage, now=self._now()))
            self._cancel.raise_if_cancelled()
            job = self._done(stage)
        self._settle(processed(job, now=self._now()))

    def _done(self, stage: Stage) -> Job:
        """Return the job with what the stage made and found; it knows by itself what earlier attempts have made."""
        function, progress = self._stages[stage], self._progress_at(stage)
        changes = function(self.job, self._workshop, progress=progress, cancel=self._cancel)
        return with_results(self.job, outputs=changes.outputs, facts=changes.facts, now=self._now())

    def _progress_at(self, stage: Stage) -> ProgressCallback:
        """Return a callback that writes how far the stage is, not too often; work does not fail for its sake."""

        def tell(update: ProgressUpdate) -> None:
            if time.monotonic() - self._written_at < self._write_every_s or self._cancel.cancelled:
                return
            share, left = update.fraction or 0.0, update.remaining_s
            try:
                self._save(at_stage(self.job, stage, now=self._now(), progress=share, remaining_s=left))
            except ConflictError:
                self.halt(Ending.TAKEN)
            except StoreUnavailableError as error:
                record_error("progress not written", error, job=self.job)

        return tell

    def _after(self, error: Exception) -> Ending:
        """Write what went wrong and return how the attempt ended."""
        if self._halted is not None:
            return self._halted
        if isinstance(error, ConflictError):
            return Ending.TAKEN
        if self._asked:
            self._settle(cancelled(self.job, now=self._now()))
            return Ending.SETTLED
        code, text = _told(error)
        if isinstance(error, IrssError) and not (error.retryable or isinstance(error, CancelledError)):
            self._settle(given_up(self.job, code=code, error=text, now=self._now()))
            return Ending.SETTLED
        record_error("attempt failed", error, job=self.job, stage=self.job.stage)
        waiting = _waits_for_a_store(error)
        if self._delivery >= self._max_deliveries and not waiting:
            why = f"Given up after {self._delivery} attempts. The last one failed: {text}"
            self._settle(given_up(self.job, code=EXHAUSTED, error=why, now=self._now()))
            return Ending.SETTLED
        self._save(attempt_failed(self.job, code=code, error=f"{text} It is tried again.", now=self._now()))
        return Ending.WAITING if waiting else Ending.FAILED

    def _save(self, after: Job) -> None:
        with self._writing:
            self._require_mine()
            self._ledger.store.save(self.job, after)
            self.job, self._written_at = after, time.monotonic()

    def _settle(self, after: Job) -> None:
        with self._writing:
            self._require_mine()
            self._ledger.settle(self.job, after)
            self.job = after

    def _require_mine(self) -> None:
        if self._halted in (Ending.TAKEN, Ending.LEASE_LOST):
            raise CancelledError("The job has become somebody else's; nothing more is written.")

    def _now(self) -> float:
        return self._ledger.clock.now()


def _told(error: Exception) -> tuple[str, str]:
    """Return the code and the words for the user; of an error that nobody planned, nothing that may be private."""
    if isinstance(error, IrssError):
        return error.code, str(error)
    if isinstance(error, OSError):
        return "system-error", f"The system said: {error.strerror or type(error).__name__}. It is tried again."
    if isinstance(error, MemoryError):
        return ResourceError.code, "There was not enough memory."
    return "unexpected", f"Something unexpected went wrong ({type(error).__name__})."


def _waits_for_a_store(error: BaseException | None) -> bool:
    """Whether it is a full or failing disk that is in the way, for which no job is to blame."""
    if isinstance(error, StoreUnavailableError) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return True
    return isinstance(error, ResourceError) and _waits_for_a_store(error.__cause__)
