"""A job service over the ports in memory, and people before it."""

from __future__ import annotations

import io
import itertools
import threading
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from irss_core.errors import StoreUnavailableError
from irss_core.jobs.identity import Owner, Sessions
from irss_core.jobs.job import Batch, Job, Mail, begin_attempt, given_up, processed, with_results
from irss_core.jobs.keys import output_key
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions
from irss_core.jobs.ports import JobStore, Records
from irss_core.jobs.service import JobService
from irss_core.jobs.submission import Submission
from tests.fakes.clock import FakeClock
from tests.fakes.job_store import MemoryJobStore
from tests.fakes.mailer import FakeMailer
from tests.fakes.objects import MemoryObjects
from tests.fakes.queue import MemoryQueue
from tests.fakes.records import MemoryRecords

BICUBIC = JobOptions(model="bicubic")
MANY = JobLimits(submissions_per_hour=10**6, submissions_per_day=10**6, submissions_in_flight=10**6)


class FlakyQueue(MemoryQueue):
    """A queue that cannot be written to while ``down``."""

    down = False

    def send(self, body: str, *, delay_s: float = 0.0) -> None:
        if self.down:
            raise StoreUnavailableError("The queue is locked.")
        super().send(body, delay_s=delay_s)

    def bodies(self) -> list[str]:
        """Take out every message that can be had."""
        taken = []
        while (message := self.receive(wait_s=0, visibility_timeout_s=60)) is not None:
            self.delete(message)
            taken.append(message.body)
        return taken


class SlowStore(MemoryJobStore):
    """A store in which something else happens, once, just before one of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.before_create: list[Callable[[], object]] = []
        self.before_count: list[Callable[[], object]] = []
        self.before_settle: list[Callable[[], object]] = []

    def create(self, batch: Batch, jobs: Sequence[Job]) -> None:
        if self.before_create:
            self.before_create.pop()()
        super().create(batch, jobs)

    def settle(self, before: Job, after: Job) -> Mail | None:
        if self.before_settle:
            self.before_settle.pop()()
        return super().settle(before, after)

    def open_batches_of(self, owner: str) -> int:
        if self.before_count:
            self.before_count.pop()()
        return super().open_batches_of(owner)


class Counter:
    """A service over fakes, and people before it."""

    def __init__(
        self,
        folder: Path,
        limits: JobLimits = MANY,
        *,
        store: JobStore | None = None,
        records: Records | None = None,
    ) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.store, self.objects = SlowStore(), MemoryObjects(self.clock)
        self.records, self.mailer = MemoryRecords(self.clock), FakeMailer()
        self.work, self.mails = FlakyQueue(self.clock), FlakyQueue(self.clock)
        self.scratch = folder / "scratch"
        self.service = JobService(
            store=store or self.store,
            objects=self.objects,
            records=records or self.records,
            work=self.work,
            mails=self.mails,
            mailer=self.mailer,
            clock=self.clock,
            sessions=Sessions(lambda: b"a secret of tests", clock=self.clock),
            limits=limits,
            address="http://127.0.0.1:7860",
            sender="IRSS <irss@localhost>",
            scratch=self.scratch,
        )
        self.ana = self.service.sessions.owner_of_address("ana@example.org")
        self.eve = self.service.sessions.owner_of_address("eve@example.org")
        self._numbers = itertools.count()

    def file(self, content: bytes = b"pixels") -> Path:
        path = self.folder / f"file {next(self._numbers)}"
        path.write_bytes(content)
        return path

    def upload(self, name: str = "cat.png", content: bytes = b"pixels", owner: Owner | None = None) -> str:
        return self.service.add_upload(owner or self.ana, self.file(content), name=name)

    def submit(self, *uploads: str, options: JobOptions = BICUBIC, **more: Any) -> Submission:
        owner, ip = more.pop("owner", self.ana), more.pop("ip", None)
        return self.service.submit(owner, uploads, options, ip=ip, **more)

    def submitted(self, files: int = 1, **more: Any) -> Submission:
        return self.submit(*(self.upload(f"cat {number}.png") for number in range(1, files + 1)), **more)

    def begun(self, job: Job) -> Job:
        after = begin_attempt(job, now=self.clock.now())
        self.store.save(job, after)
        return after

    def done(
        self,
        job: Job,
        content: bytes = b"larger",
        content_type: str = "image/png",
        took_s: float = 0.0,
        **facts: object,
    ) -> Job:
        """Work on a job as a worker does."""
        job = self.begun(job)
        self.clock.advance(took_s)
        outputs = {role: output_key(job.id, role) for role in ("result", "thumbnail")}
        for key in outputs.values():
            self.objects.put(key, self.file(content), content_type=content_type)
        after = with_results(job, outputs=outputs, facts={"seconds": 2.5, **facts}, now=self.clock.now())
        after = processed(after, now=self.clock.now())
        self.service.settle(job, after)
        return after

    def failed(self, job: Job, error: str = "It is damaged.") -> Job:
        begun = self.begun(job)
        after = given_up(begun, code="corrupt-media", error=error, now=self.clock.now())
        self.service.settle(begun, after)
        return after

    def now(self, job: Job) -> Job:
        return self.service.job(job.id)

    def unzipped(self, batch: Batch) -> dict[str, bytes]:
        data, _, _ = self.objects.download(self.service.results_zip_url(batch.id))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make all calls at the same moment and return what each gave or raised."""
    barrier, answers = threading.Barrier(len(calls)), [None] * len(calls)

    def make(index: int) -> None:
        barrier.wait()
        try:
            answers[index] = calls[index]()
        except Exception as error:  # noqa: BLE001
            answers[index] = error

    threads = [threading.Thread(target=make, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
