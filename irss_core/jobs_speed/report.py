"""JobsReport: what was measured of the jobs, as data for JSON and as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

OVERHEAD_BAR_S = 0.150
"""What the median job may take beyond its model's own time, on two cores."""


@dataclass(frozen=True)
class Spread:
    """The middle and the worst of several measurements."""

    median_s: float
    worst_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Return the spread of these, of which there is at least one."""
        return cls(statistics.median(seconds), max(seconds))


@dataclass(frozen=True)
class Submissions:
    """So many pictures handed in one after the other, each a submission of its own."""

    count: int
    seconds: float
    per_second: float


@dataclass(frozen=True)
class Overhead:
    """What jobs took from their submission to their end, without their model's time.

    ``steps`` are the parts of that: "wait" until a worker has begun, the stages ("upscale" without the model), each
    with the writing before it. ``first_s`` is the same of the very first job, whose worker was just being started.
    """

    jobs: int
    whole: Spread
    steps: Mapping[str, Spread]
    model: Spread
    first_s: float
    each_s: tuple[float, ...]


@dataclass(frozen=True)
class Resumption:
    """From the kill -9 of the only worker, which the app's supervision replaces, to its job's second attempt.

    ``lease_s`` is for how long the message is held in the name of the dead worker if nobody sees that it is dead.
    """

    kills: int
    whole: Spread
    lease_s: float


@dataclass(frozen=True)
class IdleApp:
    """Resident memory of an app that does nothing, and of the processes below it: its worker, and what that starts."""

    models: tuple[str, ...]  # that the app has loaded
    app_bytes: int
    worker_bytes: int  # before it had anything to do
    worker_after_a_job_bytes: int


@dataclass(frozen=True)
class QueueTimes:
    """An empty job through our queue and through huey's, taking turns; medians."""

    jobs: int
    ours_s: float
    huey_s: float
    ratio: float  # ours over huey's
    huey_version: str


@dataclass(frozen=True)
class JobsReport:
    """A finished benchmark. A figure is None that was not asked for, or that ``missing`` says why it is not there."""

    environment: Mapping[str, Any]
    load_average: tuple[float, ...]  # when it began: over about 1, 5 and 15 minutes
    picture_bytes: int
    submissions: Submissions | None = None
    overhead: Overhead | None = None
    resumption: Resumption | None = None
    memory: IdleApp | None = None
    queue: QueueTimes | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything measured as plain data for JSON."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Return the machine in a sentence, the figures as a Markdown table, and what is not there and why."""
        machine = self.environment["machine"]
        load = ", ".join(f"{each:.1f}" for each in self.load_average) or "not known"
        lines = [
            f"{machine['device_name']}, {self.environment['cores']} cores, load average {load} before, Python "
            f"{self.environment['python']}, SQLite {self.environment['sqlite']}; a PNG of {self.picture_bytes:,} bytes",
            "",
            "| figure | measured | what it is |",
            "|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in self._rows()),
        ]
        lines += ["", *(f"{name}: {why}" for name, why in self.missing.items())] if self.missing else []
        return "\n".join(lines)

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        if self.submissions is not None:
            what = f"{self.submissions.count} in {self.submissions.seconds:.1f} s: the file stored, the job written"
            yield "submissions a second", f"{self.submissions.per_second:.1f}", what
        if self.overhead is not None:
            yield from _overhead_rows(self.overhead)
        if self.resumption is not None:
            yield from _resumption_rows(self.resumption)
        if self.memory is not None:
            yield from _memory_rows(self.memory)
        if self.queue is not None:
            yield from _queue_rows(self.queue)


def _overhead_rows(overhead: Overhead) -> Iterator[tuple[str, str, str]]:
    bar = f"submitted to processed without the model's time; bar for two cores {_ms(OVERHEAD_BAR_S)}"
    yield "overhead a job, median", _ms(overhead.whole.median_s), f"{overhead.jobs} jobs; {bar}"
    yield "overhead a job, worst", _ms(overhead.whole.worst_s), ""
    for name, step in overhead.steps.items():
        yield f"of it {name}", _ms(step.median_s), f"median; worst {_ms(step.worst_s)}"
    yield "a worker's first job", _ms(overhead.first_s), "the same while the worker is started and loads torch"


def _resumption_rows(resumption: Resumption) -> Iterator[tuple[str, str, str]]:
    what = f"of its only worker, to attempt 2 by the next one; the lease had {resumption.lease_s:.0f} s"
    yield "kill -9 to resumption, median", f"{resumption.whole.median_s:.2f} s", f"{resumption.kills} kills; {what}"
    yield "kill -9 to resumption, worst", f"{resumption.whole.worst_s:.2f} s", ""


def _memory_rows(memory: IdleApp) -> Iterator[tuple[str, str, str]]:
    loaded = f"with {' and '.join(memory.models)} loaded, as it does by itself"
    total = memory.app_bytes + memory.worker_bytes
    yield "memory of an idle app", _megabytes(total), "resident, with its worker"
    yield "of it the app", _megabytes(memory.app_bytes), loaded
    yield "of it the worker", _megabytes(memory.worker_bytes), "without a model"
    yield "the worker after a job", _megabytes(memory.worker_after_a_job_bytes), "with torch, and its confined decoder"


def _queue_rows(queue: QueueTimes) -> Iterator[tuple[str, str, str]]:
    yield "an empty job, our queue", f"{queue.ours_s * 1000:.2f} ms", "send, receive, delete; 3 flushed commits"
    huey = "enqueue, dequeue, execute, store and fetch a result; 4 flushed commits"
    yield f"an empty job, huey {queue.huey_version}", f"{queue.huey_s * 1000:.2f} ms", huey
    yield "ours over huey's", f"{queue.ratio:.2f}", f"{queue.jobs} of each in turn, one thread, nothing waits"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
