"""Processes for the fault tests: workers and submitters that are real, but quick to start and easy to hit.

They are forked off a server that has imported everything already, torch among it. What a test wants to happen inside a
worker (stand still in a stage, be killed by a file, see the clock jump) is arranged here, around production code.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import irss_core.jobs.letters
import irss_core.jobs.stages.stills
import irss_core.media.images
import irss_core.sr.image  # noqa: F401  what a job needs, imported once for all workers
from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.outbox_folder import OutboxFolder
from irss_core.cli.worker import run_until_told
from irss_core.config import Settings
from irss_core.jobs.delivery import Patience
from irss_core.jobs.job import Job
from irss_core.jobs.keys import output_key
from irss_core.jobs.lease import LeaseTimes
from irss_core.jobs.log import JsonLines
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.service import JobService
from irss_core.jobs.stages import STAGES, Changes, StageFunction, Workshop
from irss_core.jobs.worker import Pace, Worker
from irss_core.services import build_services, build_worker

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])

PATIENCE = Patience(retry_after_s=(0.3,), unknown_for_s=1.0, not_taken_for_s=0.5)
SETTLED = "settled"  # a place to stand still at: the job is settled, its message not deleted


@dataclass(frozen=True)
class Orders:
    """What a worker process is to do, and what is to happen to it."""

    data_dir: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    lease_s: float = 3.0
    stand_still_at: str | None = None  # a stage, or SETTLED: there, after its work, with ``marker`` written
    marker: Path | None = None
    killed_by: str | None = None  # the name of a file
    clock_offset: Path | None = None  # a file with seconds
    stages: Mapping[Stage, StageFunction] | None = None  # by default all

    def build(self) -> tuple[Worker, JobService]:
        """Return the worker, and the service that it works for."""
        settings = Settings(data_dir=self.data_dir, cache_dir=self.data_dir / "cache", offline=True, **self.settings)
        times = LeaseTimes(visibility_timeout_s=self.lease_s, extend_every_s=self.lease_s / 8, look_every_s=0.1)
        pace = Pace(lease=times, retry_after_s=(0.1,), wait_s=0.2, sweep_every_s=0.5, pause_s=0.2)
        services = build_services(settings)
        worker = build_worker(services, pace=pace, patience=PATIENCE, stages=self._arranged())
        return worker, services.jobs

    def _arranged(self) -> Mapping[Stage, StageFunction]:
        return {stage: self._arrange(stage, function) for stage, function in (self.stages or STAGES).items()}

    def _arrange(self, stage: Stage, function: StageFunction) -> StageFunction:
        def arranged(job: Job, workshop: Workshop, **others: Any) -> Changes:
            if job.name == self.killed_by:
                os.kill(os.getpid(), signal.SIGKILL)
            changes = function(job, workshop, **others)
            if stage == self.stand_still_at:
                self.stand_still(job.id)
            return changes

        return arranged

    def stand_still(self, job_id: str) -> None:
        """Say with which job the place is reached, and stay there as code does that nothing interrupts."""
        assert self.marker is not None
        part = self.marker.with_suffix(".part")
        part.write_text(job_id)
        part.replace(self.marker)
        time.sleep(120)


def work(orders: Orders) -> None:
    """A worker, as ``irss worker`` runs one."""
    _begin(orders)
    worker, _ = orders.build()
    run_until_told(worker.run, threading.Event())


def work_on_one(orders: Orders) -> None:
    """A worker that takes one job only, and its mail, so that it surely stands still at the place it was told."""
    _begin(orders)
    worker, service = orders.build()
    message = service.work.receive(wait_s=60, visibility_timeout_s=orders.lease_s)
    assert message is not None
    job_id = message.body
    if orders.stand_still_at == SETTLED:
        _after(service, "settle", lambda: orders.stand_still(job_id))
    if orders.stand_still_at == Stage.DELIVER:
        _after(OutboxFolder, "send", lambda: orders.stand_still(job_id))
    worker.work_on(message)
    message = service.mails.receive(wait_s=0, visibility_timeout_s=orders.lease_s)
    assert message is not None
    worker.deliver(message)


def submit(orders: Orders, picture: Path, names: list[str]) -> None:
    """A submitter: each name a batch of an owner of its own."""
    _begin(orders)
    service = build_services(Settings(data_dir=orders.data_dir)).jobs
    for name in names:
        owner = service.sessions.owner_of_address(f"{name}@example.org")
        upload = service.add_upload(owner, picture, name=f"{name}.png")
        service.submit(owner, [upload], JobOptions(model="bicubic"), ip=None)


def _nothing(job: Job, workshop: Workshop, **_: object) -> Changes:
    return Changes()


def _copy(job: Job, workshop: Workshop, **_: object) -> Changes:
    workshop.scratch.mkdir(exist_ok=True)
    source = workshop.scratch / job.id
    source.write_bytes(b"the result of " + job.id.encode())
    workshop.objects.put(output_key(job.id, "result"), source, content_type="image/png")
    return Changes({"result": output_key(job.id, "result")})


EMPTY_STAGES: Mapping[Stage, StageFunction] = {**dict.fromkeys(STAGES, _nothing), Stage.ARCHIVE: _copy}
"""Stages that compute nothing, where the queue alone is looked at."""


@contextmanager
def running(target: Callable[..., None], *arguments: Any, count: int = 1) -> Iterator[list[Any]]:
    """So many processes of it; they are killed at the end if they have not ended."""
    processes = [PROCESSES.Process(target=target, args=arguments, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join(10)
            process.close()


def wait_for(what: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s"
        time.sleep(0.05)


def _begin(orders: Orders) -> None:
    torch.set_num_threads(1)
    orders.data_dir.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(orders.data_dir / f"worker-{os.getpid()}.log")
    handler.setFormatter(JsonLines())
    logging.basicConfig(level="INFO", handlers=[handler], force=True)
    if orders.clock_offset is not None:
        offset = orders.clock_offset
        SystemClock.now = lambda _: time.time() + float(offset.read_text())  # type: ignore[method-assign]


def _after(owner: Any, name: str, then: Callable[[], None]) -> None:
    real = getattr(owner, name)

    def both(*arguments: Any, **others: Any) -> Any:
        answer = real(*arguments, **others)
        then()
        return answer

    setattr(owner, name, both)
