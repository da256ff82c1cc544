"""Worker: takes messages from the queues and works on what they name, until it is told to stop.

A message is deleted last, when its job's state is written. Whatever happens before that, somebody else gets it again.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from irss_core.errors import ConflictError
from irss_core.jobs.attempt import Attempt, Ending
from irss_core.jobs.lease import Lease, LeaseTimes
from irss_core.jobs.log import record, record_error
from irss_core.jobs.ports import Message, Queue

if TYPE_CHECKING:
    from irss_core.jobs.attempt import Ledger
    from irss_core.jobs.delivery import Courier
    from irss_core.jobs.job import Job
    from irss_core.jobs.options import Stage
    from irss_core.jobs.service import JobService
    from irss_core.jobs.stages import StageFunction, Workshop
    from irss_core.jobs.sweeper import Sweeper


@dataclass(frozen=True)
class Pace:
    """A worker's times.

    ``max_deliveries`` is the queue's own. A job that failed is tried again after ``retry_after_s``, by the number of
    its delivery, give or take a quarter. ``grace_s`` is what the work in hand gets to end by itself when the worker is
    told to stop.
    """

    lease: LeaseTimes = field(default_factory=LeaseTimes)
    max_deliveries: int = 5
    retry_after_s: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0)
    wait_s: float = 0.5  # for a message, before looking whether to stop
    write_every_s: float = 1.0  # progress, at most
    sweep_every_s: float = 60.0
    pause_s: float = 5.0  # after an error of the queue itself
    grace_s: float = 1.0


@dataclass(frozen=True)
class Assignment:
    """What a message of the work queue asks for. ``beat`` is called now and then while it is worked on."""

    job: Job
    ledger: Ledger
    stages: Mapping[Stage, StageFunction]
    beat: Callable[[], None] = lambda: None


Assign = Callable[[Message], Assignment | None]
"""Returns what a message asks for, None if that is nothing any more."""


def assign_jobs(service: JobService, stages: Mapping[Stage, StageFunction]) -> Assign:
    """Return how messages are understood that are a job's id: all of its steps, and the service that settles it."""

    def assign(message: Message) -> Assignment | None:
        job = service.store.job(message.body)
        return None if job is None or job.settled else Assignment(job, service, stages)

    return assign


@dataclass(frozen=True)
class MailRoom:
    """What a worker does beside its jobs: it sends mails, and sweeps."""

    queue: Queue
    courier: Courier
    sweeper: Sweeper


@dataclass
class _Line:
    """A queue, what is done with its messages, and the one in hand."""

    name: str
    queue: Queue
    handle: Callable[[Message], None]
    held: Message | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Worker:
    """One worker; a process has one. Jobs are worked on in one thread, mails and the sweep in another.

    So a mail does not wait for a long clip, and the thread that called is free to give back what is in hand while a
    step of the work, which nothing can interrupt, still runs.
    """

    def __init__(
        self,
        work: Queue,
        workshop: Workshop,
        *,
        assign: Assign,
        mail_room: MailRoom | None = None,
        pace: Pace | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._workshop, self._assign, self._mail_room = workshop, assign, mail_room
        self._pace, self._jitter = pace or Pace(), jitter
        self._work = _Line("work", work, self.work_on)
        self._mails = _Line("mails", mail_room.queue, self.deliver) if mail_room else None
        self._stopping = threading.Event()
        self._attempt: Attempt | None = None
        self._sweep_at = 0.0

    def run(self, stop: threading.Event) -> bool:
        """Work until told to stop; return whether all that was in hand has ended.

        If not, a step of it still runs in a thread: its message is given back, and the process is to be ended hard.
        """
        return self._run([self._serve_work, *([self._serve_mails] if self._mails else [])], stop)

    def run_until_idle(self, stop: threading.Event) -> bool:
        """Work until no message is to be had at the moment, or told to stop; return as ``run``."""
        return self._run([self._serve_all], stop)

    def run_once(self, stop: threading.Event) -> bool:
        """Work on one job, if there is one to be had, and send the mails that are due; return as ``run``."""
        return self._run([self._serve_one], stop)

    def work_on(self, message: Message) -> None:
        """Work on the job that a message of the work queue names, and say by the message how that went."""
        queue, assignment = self._work.queue, self._assign(message)
        if assignment is None:  # delivered twice, or deleted by its owner
            queue.delete(message)
            return
        attempt = Attempt(
            assignment.job,
            assignment.ledger,
            self._workshop,
            stages=assignment.stages,
            delivery=message.deliveries,
            max_deliveries=self._pace.max_deliveries,
            write_every_s=self._pace.write_every_s,
        )
        self._attempt = attempt
        if self._stopping.is_set():
            attempt.halt(Ending.STOPPED)

        def look() -> None:
            attempt.look()
            try:
                assignment.beat()
            except ConflictError:
                attempt.halt(Ending.TAKEN)

        lost = partial(attempt.halt, Ending.LEASE_LOST)
        with Lease(queue, message, times=self._pace.lease, lost=lost, look=look):
            ending = attempt.run()
        self._attempt = None
        if ending in (Ending.SETTLED, Ending.TAKEN):
            # Who took the job has a message of its own; this one would only take it away from them again.
            queue.delete(message)
        elif ending is Ending.STOPPED:
            self._give_back(self._work)
        elif ending is Ending.WAITING:
            self._keep(queue, message, delay_s=self._retry_after_s(message))
        elif ending is Ending.FAILED:
            queue.release(message, delay_s=self._retry_after_s(message))

    def deliver(self, message: Message) -> None:
        """Send the mail that a message of the mail queue names; the courier says by the message how that went."""
        room, times = self._mail_room, self._pace.lease
        if room is None:
            return
        with Lease(room.queue, message, times=times, lost=lambda: None):
            try:
                room.courier.deliver(message)
            except Exception as error:  # noqa: BLE001  the worker goes on with the next mail
                record_error("mail not looked after", error)
                self._keep(room.queue, message, delay_s=self._retry_after_s(message))

    def _run(self, tasks: list[Callable[[], None]], stop: threading.Event) -> bool:
        threads = [threading.Thread(target=task, name=task.__name__.strip("_"), daemon=True) for task in tasks]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not stop.wait(0.2):
            pass
        return self._wind_up(threads)

    def _wind_up(self, threads: list[threading.Thread]) -> bool:
        """Have everything stop, and give back what has not stopped in time."""
        over_at = time.monotonic() + self._pace.grace_s
        self._stopping.set()
        if self._attempt is not None:
            self._attempt.halt(Ending.STOPPED)
        for thread in threads:
            thread.join(max(over_at - time.monotonic(), 0.0))
        if not any(thread.is_alive() for thread in threads):
            shutil.rmtree(self._workshop.scratch, ignore_errors=True)
            return True
        for line in (self._work, self._mails):
            if line is not None:
                self._give_back(line)
        return False

    def _serve_work(self) -> None:
        while not self._stopping.is_set():
            self._step(self._work, wait_s=self._pace.wait_s)

    def _serve_mails(self) -> None:
        while not self._stopping.is_set():
            self._sweep()
            self._step(self._mails, wait_s=self._pace.wait_s)

    def _serve_all(self) -> None:
        self._sweep()
        while not self._stopping.is_set():
            if not self._step(self._mails, wait_s=0) and not self._step(self._work, wait_s=0):
                return

    def _serve_one(self) -> None:
        self._step(self._work, wait_s=0)
        while not self._stopping.is_set() and self._step(self._mails, wait_s=0):
            pass

    def _step(self, line: _Line | None, *, wait_s: float) -> bool:
        """Handle one message; return whether there was one. An error of the queue is waited out, not raised."""
        if line is None:
            return False
        try:
            message = line.queue.receive(wait_s=wait_s, visibility_timeout_s=self._pace.lease.visibility_timeout_s)
            if message is None:
                return False
            with line.lock:
                line.held = message
            line.handle(message)
        except Exception as error:  # noqa: BLE001  recorded; a worker outlives whatever its store does
            record_error("queue not usable", error, queue=line.name)
            self._stopping.wait(self._pace.pause_s)
        finally:
            with line.lock:
                line.held = None
        return True

    def _give_back(self, line: _Line) -> None:
        """Give back the message in hand, if there is one, to be had by others at once."""
        with line.lock:
            message, line.held = line.held, None
        if message is not None:
            record("given back", queue=line.name)
            self._keep(line.queue, message, delay_s=0.0)

    def _retry_after_s(self, message: Message) -> float:
        waits = self._pace.retry_after_s
        return waits[min(message.deliveries, len(waits)) - 1] * (0.75 + 0.5 * self._jitter())

    def _keep(self, queue: Queue, message: Message, *, delay_s: float) -> None:
        """Give a message back that is not to blame: in place of one that would be dead now, put in another."""
        if message.deliveries < self._pace.max_deliveries:
            queue.release(message, delay_s=delay_s)
        else:
            queue.send(message.body, delay_s=delay_s)  # first: a job with two messages is better than one with none
            queue.delete(message)

    def _sweep(self) -> None:
        if self._mail_room is None or time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + self._pace.sweep_every_s
        try:
            self._mail_room.sweeper.sweep()
        except Exception as error:  # noqa: BLE001  the next sweep comes
            record_error("not swept", error)
