"""A workshop with tiny models, and jobs taken through its stages as a worker does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from irss_core.errors import UnknownModelError
from irss_core.jobs.job import Job, with_results
from irss_core.jobs.keys import upload_key
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.ports import ObjectStore
from irss_core.jobs.stages import STAGES, Workshop
from irss_core.media.images import ImageLimits
from irss_core.media.video import ClipLimits
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.video import VideoUpscaler
from tests.tiny_models import baseline, tiny_frnet, tiny_srvgg

JOB_ID = "5a" * 32
_MAKERS = {"bicubic": baseline, "still": tiny_srvgg, "sequence": tiny_frnet}


class TinyModels:
    """The models "bicubic", "still" and "sequence", made once; counts who holds the device."""

    def __init__(self) -> None:
        self.image_limits = ImageLimits(max_pixels=200_000, max_side=4_000, max_bytes=4_000_000)
        self.clip_limits = ClipLimits(max_seconds=60, max_frames=1_000, max_bytes=4_000_000, max_frame_pixels=100_000)
        self.held = 0
        self.times_held = 0
        self._ready: dict[str, ImageUpscaler] = {}

    def image_upscaler(self, name: str, *, denoise: float | None = None) -> ImageUpscaler:
        if name not in _MAKERS:
            raise UnknownModelError(f"There is no model {name!r}.")
        if name not in self._ready:
            self._ready[name] = ImageUpscaler(_MAKERS[name](), device="cpu", dtype="fp32")
        return self._ready[name]

    def video_upscaler(self, name: str, *, denoise: float | None = None) -> VideoUpscaler:
        return VideoUpscaler.sharing(self.image_upscaler(name, denoise=denoise))

    @contextmanager
    def inference_slot(self) -> Iterator[None]:
        self.held += 1
        self.times_held += 1
        try:
            yield
        finally:
            self.held -= 1


def job_of(objects: ObjectStore, file: Path, *, name: str = "cat.png", job_id: str = JOB_ID, **options: Any) -> Job:
    """Return a job whose input is the file, stored as an upload is."""
    key = upload_key("ab" * 32)
    objects.put(key, file, content_type="application/octet-stream")
    return Job(
        id=job_id,
        batch_id="0b" * 32,
        owner="0c" * 32,
        number=1,
        name=name,
        input_key=key,
        input_bytes=file.stat().st_size,
        options=JobOptions(**{"model": "bicubic", **options}),
        created_at=0.0,
        updated_at=0.0,
    )


def run_stages(
    job: Job,
    workshop: Workshop,
    *only: Stage,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Job:
    """Return the job after its stages (or those named), what they found kept as a store keeps it."""
    for stage in only or job.options.stages:
        if stage in STAGES:
            changes = STAGES[stage](job, workshop, progress=progress, cancel=cancel)
            facts = json.loads(json.dumps(dict(changes.facts), allow_nan=False))
            job = with_results(job, outputs=dict(changes.outputs), facts=facts, now=0.0)
    return job
