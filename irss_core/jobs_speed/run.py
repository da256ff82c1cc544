"""run_jobs_bench: the figures one after the other, each in a folder of its own."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from irss_core.config import Settings
from irss_core.errors import InvalidOptionError, IrssError, ResourceError
from irss_core.jobs.job import Job
from irss_core.jobs.lease import LeaseTimes
from irss_core.jobs_speed.idle_app import measure_idle_app
from irss_core.jobs_speed.queues import compare_queues
from irss_core.jobs_speed.report import JobsReport, Overhead, Resumption, Spread, Submissions
from irss_core.jobs_speed.site import Site, small_picture
from irss_core.progress import ProgressCallback, ProgressMeter

_SUBMISSIONS_A_JOB = 5
_EMPTY_JOBS_A_JOB = 10
# Between jobs a worker comes to rest. A job finds it anywhere between two looks at the queue: the pauses differ by
# parts of a tenth of a second that fill it evenly.
_REST_S, _LOOKS_S, _GOLDEN = 0.2, 0.1, 0.618034
_KILLS = 3


@dataclass(frozen=True)
class _Bench:
    """What the figures are measured with."""

    settings: Settings
    folder: Path
    picture: Path
    jobs: int

    def site(self, name: str) -> Site:
        return Site(self.settings, self.folder / name, self.picture)


def run_jobs_bench(
    settings: Settings,
    figures: Sequence[str] = (),
    *,
    jobs: int = 20,
    folder: Path | None = None,
    progress: ProgressCallback | None = None,
) -> JobsReport:
    """Return how fast the jobs of this machine are, measured now, with the settings' device and disk.

    Args:
        figures: names out of FIGURES, all by default.
        jobs: how many the overhead is measured with; the quicker figures take some times as many.
        folder: where everything is written and stays; by default in the data folder, from where it is deleted.

    Raises:
        InvalidOptionError: there is no figure of that name. A figure that cannot be measured is told in the report.
    """
    for name in figures:
        if name not in FIGURES:
            raise InvalidOptionError(f"There is no figure {name!r}. The figures are: {', '.join(FIGURES)}.")
    wanted = tuple(dict.fromkeys(figures)) or tuple(FIGURES)
    if folder is not None:
        return _run(settings, wanted, jobs=jobs, folder=folder, progress=progress)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.data_dir) as made:
        return _run(settings, wanted, jobs=jobs, folder=Path(made), progress=progress)


def _run(
    settings: Settings, figures: Sequence[str], *, jobs: int, folder: Path, progress: ProgressCallback | None
) -> JobsReport:
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    bench = _Bench(settings, folder, small_picture(folder / "picture.png"), jobs)
    meter = ProgressMeter(len(figures), "figures", callback=progress)
    measured: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name in figures:
        try:
            measured[name] = FIGURES[name](bench)
        except IrssError as error:
            missing[name] = str(error)
        meter.advance()
    return JobsReport(_environment(settings), load, bench.picture.stat().st_size, missing=missing, **measured)


def _submissions(bench: _Bench) -> Submissions:
    site, count = bench.site("submissions"), bench.jobs * _SUBMISSIONS_A_JOB
    site.submit()  # which makes the database
    begun = time.perf_counter()
    for _ in range(count):
        site.submit()
    seconds = time.perf_counter() - begun
    return Submissions(count, seconds, count / seconds)


def _overhead(bench: _Bench) -> Overhead:
    site, done = bench.site("overhead"), []
    site.note_stages()
    with site.working():
        first = site.delivered(site.submit())
        for number in range(bench.jobs):
            time.sleep(_REST_S + _LOOKS_S * (number * _GOLDEN % 1))
            done.append(site.delivered(site.submit()))
    each = [_beyond_the_model(job) for job in done]
    steps = [_steps(job, site.stages(job)) for job in done]
    return Overhead(
        jobs=len(done),
        whole=Spread.of(each),
        steps={name: Spread.of([taken[name] for taken in steps]) for name in steps[0]},
        model=Spread.of([job.facts["seconds"] for job in done]),
        first_s=_beyond_the_model(first),
        each_s=tuple(each),
    )


def _beyond_the_model(job: Job) -> float:
    return float((job.finished_at or 0.0) - job.created_at - job.facts["seconds"])


def _steps(job: Job, stages: Mapping[str, float]) -> dict[str, float]:
    """Return how long each step of a job took; together they are its overhead."""
    begun = {"wait": job.created_at, **stages, "": job.finished_at or 0.0}
    taken = {name: end - start for (name, start), end in zip(begun.items(), list(begun.values())[1:], strict=False)}
    taken["upscale"] -= job.facts["seconds"]
    return taken


def _resumption(bench: _Bench) -> Resumption:
    kills = min(bench.jobs, _KILLS)
    each = [_killed_to_resumed(bench.site(f"resumption-{number}")) for number in range(kills)]
    return Resumption(kills, Spread.of(each), lease_s=LeaseTimes().visibility_timeout_s)


def _killed_to_resumed(site: Site) -> float:
    """Kill the only worker in the middle of its first job, which takes it a while, and wait for the one after it."""
    with site.working() as workers:
        job = site.submit()
        site.once(job, lambda now: now.attempt == 1)
        (worker,) = workers.process_ids
        psutil.Process(worker).kill()
        killed_at = time.time()
        again = site.once(job, lambda now: now.attempt == 2 or now.settled)
        if again.attempt == 1:
            raise ResourceError("The worker had finished before it was killed, so it left nothing. Measure once more.")
        return (again.started_at or 0.0) - killed_at


def _environment(settings: Settings) -> dict[str, Any]:
    from irss_core.bench.record import environment

    return {
        **environment(settings.device, settings.dtype),
        "cores": psutil.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
    }


FIGURES: Mapping[str, Callable[[_Bench], object]] = {
    "submissions": _submissions,
    "overhead": _overhead,
    "resumption": _resumption,
    "memory": lambda bench: measure_idle_app(bench.site("memory")),
    "queue": lambda bench: compare_queues(bench.folder, jobs=bench.jobs * _EMPTY_JOBS_A_JOB),
}
"""What can be measured, by name."""
