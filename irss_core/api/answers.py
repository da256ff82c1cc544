"""What the API answers with, and how jobs and batches are turned into it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from irss_core.api.callers import is_owner
from irss_core.api.requests import JobOptionsBody
from irss_core.jobs import words
from irss_core.jobs.identity import Owner
from irss_core.jobs.job import Batch, Job
from irss_core.jobs.options import Stage
from irss_core.jobs.service import JobService

JOB_ID = "3f6c0f4e9a1d4b7c8e2a5d1f0b9c7e6a3f6c0f4e9a1d4b7c8e2a5d1f0b9c7e6a"
BATCH_ID = "9b1c2d3e4f5061728394a5b6c7d8e9f09b1c2d3e4f5061728394a5b6c7d8e9f0"


class JobError(BaseModel):
    """Why a job failed, or why its last attempt did not succeed."""

    code: str = Field(examples=["corrupt-media"])
    detail: str = Field(examples=["cat.png is truncated: 812 of 4096 bytes are there. Send the whole file."])


class JobLinks(BaseModel):
    """Addresses that belong to a job, without the host; null where there is nothing yet, or not any more."""

    self: str = Field(examples=[f"/jobs/{JOB_ID}"])
    events: str = Field(examples=[f"/jobs/{JOB_ID}/events"])
    result: str | None = Field(examples=[f"/image/{JOB_ID}"])
    thumbnail: str | None = Field(description="100 x 100 pixels.", examples=[f"/image/{JOB_ID}?role=thumbnail"])
    preview: str | None = Field(description="The input, 100 x 100 pixels.", examples=[f"/image/{JOB_ID}?role=preview"])
    original: str | None = Field(
        description="The file as it was handed in, which is kept less long.",
        examples=[f"/image/{JOB_ID}?role=original"],
    )
    batch: str | None = Field(description="For its owner only.", examples=[f"/batches/{BATCH_ID}"])


class JobAnswer(BaseModel):
    """One file on its way. The id is the key to it: who knows it may read it."""

    id: str = Field(examples=[JOB_ID])
    number: int = Field(description="Its place in the batch, from 1.", examples=[1])
    name: str = Field(description="The file's name as handed in.", examples=["cat.png"])
    status: Literal[1, 2, 3, 4] = Field(
        description="1 not processed, 2 processed, 3 delivered, 4 not delivered.", examples=[1]
    )
    state: str = Field(description="The status in words.", examples=["not processed"])
    summary: str = Field(description="How it is doing, in a sentence.", examples=["Enlarging: 42%, about 3 min left."])
    settled: bool = Field(description="Whether nothing more is computed for it.", examples=[False])
    stage: Stage | None = Field(description="The step in work, or the last one.", examples=["upscale"])
    stages: list[Stage] = Field(description="The steps that its options take.", examples=[["validate", "upscale"]])
    progress: float = Field(description="Of the step, 0 to 1.", ge=0, le=1, examples=[0.42])
    remaining_s: float | None = Field(description="Time left of the step.", examples=[180.0])
    attempt: int = Field(description="How often it has been begun.", examples=[1])
    cancel_requested: bool = Field(examples=[False])
    error: JobError | None
    options: JobOptionsBody
    facts: dict[str, Any] = Field(
        description="What was found on the way, such as width, height, format and seconds.",
        examples=[{"kind": "still", "width": 640, "height": 480, "result_width": 2560, "result_height": 1920}],
    )
    input_bytes: int = Field(examples=[81234])
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = Field(description="Of the last attempt.")
    finished_at: datetime | None
    links: JobLinks


class BatchLinks(BaseModel):
    """Addresses that belong to a batch, without the host."""

    self: str = Field(examples=[f"/batches/{BATCH_ID}"])
    results_zip: str | None = Field(
        description="All results in one file, once nothing more is computed.",
        examples=[f"/batches/{BATCH_ID}/results.zip"],
    )


class BatchAnswer(BaseModel):
    """One submission with all its jobs. The id is the key to it: who knows it may read it."""

    id: str = Field(examples=[BATCH_ID])
    summary: str = Field(examples=["9 of 10 files finished, 1 not delivered."])
    settled: bool = Field(description="Whether nothing more is computed for it.", examples=[True])
    created_at: datetime
    jobs: list[JobAnswer]
    links: BatchLinks


class SubmissionAnswer(BaseModel):
    """What was handed off."""

    created: bool = Field(description="False if the Idempotency-Key was seen before: this is what came of it then.")
    batch: BatchAnswer


class ImagesAnswer(BaseModel):
    """Some of the caller's own jobs, newest first."""

    images: list[JobAnswer]
    next: str | None = Field(description="The cursor that asks for what follows; null: nothing does.")


class UploadAnswer(BaseModel):
    """A form that takes one file: POST it to ``url`` as multipart/form-data, the fields first, ``file`` last."""

    id: str = Field(description="Names the upload in POST /process-file.", examples=[JOB_ID])
    url: str = Field(examples=["https://irss.example/objects"])
    fields: dict[str, str] = Field(examples=[{"key": f"uploads/{JOB_ID}", "policy": "eyJ…", "signature": "…"}])
    max_bytes: int = Field(examples=[268435456])
    expires_at: datetime


class StoredAnswer(BaseModel):
    """A file that is here."""

    id: str = Field(description="Names the upload in POST /process-file.", examples=[JOB_ID])


class CodeAnswer(BaseModel):
    """A code is on its way."""

    expires_in_s: float = Field(description="For how long the code can be handed in.", examples=[1800])


class SessionAnswer(BaseModel):
    """A session has begun. A browser gets it as a cookie, too."""

    token: str = Field(description="For `Authorization: Bearer`.")
    expires_in_s: int = Field(examples=[2592000])


def job_answer(job: Job, *, asked_by: Owner | None, jobs: JobService) -> JobAnswer:
    """Return a job as the API tells it. Its batch, which is the key to the other files, is named to its owner only."""
    return JobAnswer(
        id=job.id,
        number=job.number,
        name=job.name,
        status=job.status.value,
        state=words.state(job),
        summary=words.summary(job),
        settled=job.settled,
        stage=job.stage,
        stages=list(job.options.stages),
        progress=min(max(job.progress, 0.0), 1.0),
        remaining_s=job.remaining_s,
        attempt=job.attempt,
        cancel_requested=job.cancel_requested,
        error=JobError(code=job.error_code, detail=job.error or "") if job.error_code else None,
        options=JobOptionsBody.of(job.options),
        facts=dict(job.facts),
        input_bytes=job.input_bytes,
        created_at=_time(job.created_at),
        updated_at=_time(job.updated_at),
        started_at=None if job.started_at is None else _time(job.started_at),
        finished_at=None if job.finished_at is None else _time(job.finished_at),
        links=job_links(job, asked_by=asked_by, jobs=jobs),
    )


def job_links(job: Job, *, asked_by: Owner | None, jobs: JobService) -> JobLinks:
    """Return the addresses that belong to a job."""
    image = f"/image/{job.id}"
    kept = job.finished_at is None or jobs.clock.now() < job.finished_at + jobs.limits.keep_inputs_s
    return JobLinks(
        self=f"/jobs/{job.id}",
        events=f"/jobs/{job.id}/events",
        result=image if job.settled and "result" in job.outputs else None,
        thumbnail=f"{image}?role=thumbnail" if "thumbnail" in job.outputs else None,
        preview=f"{image}?role=preview" if "preview" in job.outputs else None,
        original=f"{image}?role=original" if kept else None,
        batch=f"/batches/{job.batch_id}" if is_owner(asked_by, job) else None,
    )


def batch_answer(batch: Batch, made: Sequence[Job], *, asked_by: Owner | None, jobs: JobService) -> BatchAnswer:
    """Return a batch as the API tells it."""
    settled = all(job.settled for job in made)
    any_result = any("result" in job.outputs for job in made)
    return BatchAnswer(
        id=batch.id,
        summary=words.batch_summary(made),
        settled=settled,
        created_at=_time(batch.created_at),
        jobs=[job_answer(job, asked_by=asked_by, jobs=jobs) for job in made],
        links=BatchLinks(
            self=f"/batches/{batch.id}",
            results_zip=f"/batches/{batch.id}/results.zip" if settled and any_result else None,
        ),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
