"""Submissions made up for tests, and the steps that workers take with them."""

from __future__ import annotations

from irss_core.jobs.job import Batch, Job, JobStatus, begin_attempt, new_id, processed, with_results
from irss_core.jobs.keys import output_key, upload_key
from irss_core.jobs.options import JobOptions
from irss_core.jobs.ports import JobStore

NOW = 1_800_000_000.0
OWNER = "a" * 64


def made_batch(jobs: int = 1, *, owner: str = OWNER, now: float = NOW) -> tuple[Batch, list[Job]]:
    """A submission of that many pictures, not yet in any store."""
    batch = Batch(new_id(), owner=owner, address="ann@example.org", created_at=now, jobs=jobs, open_jobs=jobs)
    return batch, [
        Job(
            id=new_id(),
            batch_id=batch.id,
            owner=owner,
            number=number,
            name=f"picture {number}.png",
            input_key=upload_key(new_id()),
            input_bytes=1000 + number,
            options=JobOptions(),
            created_at=now,
            updated_at=now,
        )
        for number in range(1, jobs + 1)
    ]


def stored_batch(store: JobStore, jobs: int = 1, *, owner: str = OWNER, now: float = NOW) -> tuple[Batch, list[Job]]:
    """A submission that the store has taken."""
    batch, made = made_batch(jobs, owner=owner, now=now)
    store.create(batch, made)
    return batch, made


def worked_on(store: JobStore, job: Job, *, now: float = NOW) -> Job:
    """The job claimed by a worker."""
    claimed = begin_attempt(job, now=now)
    store.save(job, claimed)
    return claimed


def done(job: Job, *, now: float = NOW) -> Job:
    """The claimed job as a worker would settle it."""
    assert job.status is JobStatus.NOT_PROCESSED
    return processed(with_results(job, outputs={"result": output_key(job.id, "result")}, facts={}, now=now), now=now)
