"""A job service in memory with work in it, and stages that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from irss_core.jobs.identity import Sessions
from irss_core.jobs.job import Batch, Job, Mail, new_id
from irss_core.jobs.keys import output_key, upload_key
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.service import JobService
from irss_core.jobs.stages import Changes, StageFunction, Workshop
from irss_core.progress import CancelToken, ProgressCallback
from tests.fakes.clock import FakeClock
from tests.fakes.job_store import MemoryJobStore
from tests.fakes.mailer import FakeMailer
from tests.fakes.objects import MemoryObjects
from tests.fakes.queue import MemoryQueue
from tests.fakes.records import MemoryRecords

OWNER = "0" * 64


class Backstage:
    """A service over the ports in memory, all within a test's reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.store = MemoryJobStore()
        self.objects = MemoryObjects(self.clock)
        self.records = MemoryRecords(self.clock)
        self.work, self.mails = MemoryQueue(self.clock), MemoryQueue(self.clock)
        self.mailer = FakeMailer()
        self.service = JobService(
            store=self.store,
            objects=self.objects,
            records=self.records,
            work=self.work,
            mails=self.mails,
            mailer=self.mailer,
            clock=self.clock,
            sessions=Sessions(lambda: b"secret" * 8, clock=self.clock),
            limits=JobLimits(),
            address="http://irss.test",
            sender="IRSS <irss@irss.test>",
        )
        self.workshop = Workshop(objects=self.objects, models=cast(Any, SimpleNamespace()), scratch=folder / "scratch")

    def batch(self, files: int = 1, options: JobOptions | None = None) -> list[Job]:
        """A submission, its inputs and its messages; returns its jobs."""
        now, batch_id, ids = self.clock.now(), new_id(), [new_id() for _ in range(files)]
        for job_id in ids:
            self.put(upload_key(job_id))
        jobs = [
            Job(
                id=job_id,
                batch_id=batch_id,
                owner=OWNER,
                number=number,
                name=f"picture {number}.png",
                input_key=upload_key(job_id),
                input_bytes=4,
                options=options or JobOptions(model="bicubic"),
                created_at=now,
                updated_at=now,
            )
            for number, job_id in enumerate(ids, start=1)
        ]
        self.store.create(Batch(batch_id, OWNER, "somebody@irss.test", now, jobs=files, open_jobs=files), jobs)
        for job in jobs:
            self.work.send(job.id)
        return jobs

    def put(self, key: str) -> None:
        """An object of a few bytes."""
        source = self.folder / new_id()
        source.write_bytes(b"some")
        self.objects.put(key, source, content_type="application/octet-stream")
        source.unlink()

    def job(self, job: Job) -> Job:
        """The job as it is now."""
        found = self.store.job(job.id)
        assert found is not None
        return found

    def mail(self, batch_id: str) -> Mail:
        """A batch's only mail as it is now."""
        (mail,) = self.store.mails_of_batch(batch_id)
        return mail


def letter(batch: Batch, jobs: Sequence[Job], mail: Mail) -> EmailMessage:
    """A mail as short as can be; says whether it is a second copy."""
    message = EmailMessage()
    message["To"], message["Message-ID"] = batch.address, mail.message_id
    message.set_content(f"{len(jobs)} files, {'again' if mail.resent else 'for the first time'}")
    return message


@dataclass
class Stages(Mapping[Stage, StageFunction]):
    """Stages that note that they were called; what else one does is said with ``at``."""

    backstage: Backstage
    called: list[tuple[str, Stage]] = field(default_factory=list)
    _also: dict[Stage, Callable[..., object]] = field(default_factory=dict)

    def at(self, stage: Stage, also: Callable[..., object]) -> None:
        """Have ``also(job, progress, cancel)`` called at that stage."""
        self._also[stage] = also

    def __getitem__(self, stage: Stage) -> StageFunction:
        if stage is Stage.DELIVER:
            raise KeyError(stage)

        def work(
            job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None
        ) -> Changes:
            self.called.append((job.name, stage))
            if stage in self._also:
                self._also[stage](job, progress, cancel)
            if stage is not Stage.ARCHIVE:
                return Changes(facts={str(stage): True})
            self.backstage.put(output_key(job.id, "result"))
            return Changes({"result": output_key(job.id, "result")})

        return work

    def __iter__(self) -> Any:
        return iter([stage for stage in Stage if stage is not Stage.DELIVER])

    def __len__(self) -> int:
        return len(Stage) - 1
