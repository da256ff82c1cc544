"""Site: a data folder of its own with the service on it, a small picture to hand in, and the app's workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from irss_core.adapters.local.database import Database
from irss_core.config import Settings
from irss_core.errors import ResourceError
from irss_core.jobs.job import Job, JobStatus
from irss_core.jobs.options import JobOptions
from irss_core.local_jobs import build_job_service
from irss_core.worker_processes import WorkerProcesses

_UNLIMITED = 10**9
_SIDE = 64  # pixels
_WITHIN_S = 120.0  # a worker that is just being started on a busy machine included
_LOOK_EVERY_S = 0.02
_NOTE_STAGES = (
    "CREATE TABLE bench_stages (job_id TEXT NOT NULL, stage TEXT NOT NULL, at REAL NOT NULL) STRICT",
    """
    CREATE TRIGGER bench_stage AFTER UPDATE OF stage ON jobs WHEN new.stage IS NOT NULL
    BEGIN INSERT INTO bench_stages VALUES (new.id, new.stage, new.updated_at); END
    """,
)


def aside(settings: Settings, folder: Path) -> Settings:
    """Return the settings with another data folder, one worker, no mail server and no limits to submissions."""
    return settings.model_copy(
        update={
            "data_dir": folder,
            "smtp_host": None,  # mails go to a folder: nobody is to get one of these
            "workers": 1,
            "submissions_per_day": _UNLIMITED,
            "submissions_in_flight": _UNLIMITED,
            "log_level": "WARNING",
        }
    )


def small_picture(path: Path) -> Path:
    """Write a PNG of 64 x 64 pixels of noise and return its path."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    Image.fromarray(noise).save(path, "PNG")
    return path


class Site:
    """A service on a folder that nobody else uses. All raise ``ResourceError`` where nothing happens for too long."""

    def __init__(self, settings: Settings, folder: Path, picture: Path) -> None:
        self.settings = aside(settings, folder)
        self.service = build_job_service(self.settings)
        self._picture = picture
        self._database = Database(folder / "jobs.sqlite3")
        self._submitted = 0

    def submit(self) -> Job:
        """Hand the picture in, as somebody new each time, and return its job."""
        self._submitted += 1
        owner = self.service.sessions.owner_of_address(f"visitor{self._submitted}@example.org")
        upload = self.service.add_upload(owner, self._picture, name="picture.png")
        return self.service.submit(owner, [upload], JobOptions(model="bicubic"), ip=None).jobs[0]

    @contextmanager
    def working(self) -> Iterator[WorkerProcesses]:
        """The app's supervision with its one worker, which has ended when the block ends."""
        workers = WorkerProcesses(self.settings)
        workers.start()
        try:
            yield workers
        finally:
            workers.stop()

    def delivered(self, job: Job) -> Job:
        """Return the job once its mail is out."""
        return self.once(job, lambda now: now.status is JobStatus.DELIVERED)

    def once(self, job: Job, what: Callable[[Job], bool], *, within_s: float = _WITHIN_S) -> Job:
        """Return the job as soon as that is so."""
        until = time.monotonic() + within_s
        while not what(now := self.service.job(job.id)):
            if now.status is JobStatus.NOT_DELIVERED or time.monotonic() > until:
                raise ResourceError(
                    f"A job of the benchmark stopped at the stage {now.stage}: {now.error or 'no worker came'}. Look "
                    "at what the workers said, and try again."
                )
            time.sleep(_LOOK_EVERY_S)
        return now

    def note_stages(self) -> None:
        """Have the database note from now on when a job comes to a stage, in the transaction that writes it."""
        with self._database.writing() as connection:
            for statement in _NOTE_STAGES:
                connection.execute(statement)

    def stages(self, job: Job) -> dict[str, float]:
        """Return when the job came to each stage, in order."""
        rows = self._database.read(
            "SELECT stage, min(at) AS at FROM bench_stages WHERE job_id = ? GROUP BY stage ORDER BY at", (job.id,)
        )
        return {row["stage"]: row["at"] for row in rows}
