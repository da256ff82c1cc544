"""Services: what every entry point works with, built once from the settings.

torch comes with the first model that is asked for, so that a worker that waits for work is small.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irss_core.config import MEBIBYTE, Settings
from irss_core.errors import UnknownModelError
from irss_core.media.limits import ClipLimits, ImageLimits
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.catalog import find_model
from irss_core.votes import FILENAME, VoteStore

if TYPE_CHECKING:
    from irss_core.jobs.delivery import Courier, Patience
    from irss_core.jobs.options import Stage
    from irss_core.jobs.service import JobService
    from irss_core.jobs.stages import StageFunction, Workshop
    from irss_core.jobs.sweeper import Sweeper
    from irss_core.jobs.worker import Pace, Worker
    from irss_core.sr.image import ImageUpscaler
    from irss_core.sr.loader import LoadedModel
    from irss_core.sr.video import VideoUpscaler

OWN_PREFIX = "own:"
_MODELS_IN_MEMORY = 6
_OWN_MODELS = 16


class Services:
    """Models held ready, limits, and the one inference at a time that a device takes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.image_limits = ImageLimits(
            max_pixels=settings.max_image_pixels,
            max_side=settings.max_image_side,
            max_bytes=settings.max_image_bytes,
        )
        self.clip_limits = ClipLimits(
            max_seconds=settings.max_clip_seconds,
            max_frames=settings.max_clip_frames,
            max_bytes=settings.max_clip_bytes,
            max_frame_pixels=settings.max_clip_frame_pixels,
        )
        self.votes = VoteStore(settings.data_dir / FILENAME)
        self._ready: OrderedDict[tuple[str, float | None], ImageUpscaler] = OrderedDict()
        self._own: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading = threading.Lock()
        self._inference = threading.Lock()
        self._jobs: JobService | None = None
        self._opening = threading.Lock()

    @property
    def jobs(self) -> JobService:
        """Where work is handed off; the first call makes what it needs in the data folder.

        Raises:
            StoreUnavailableError: the data folder cannot be used.
        """
        with self._opening:
            if self._jobs is None:
                if self.settings.backend == "aws":
                    from irss_core.aws_jobs import build_job_service
                else:
                    from irss_core.local_jobs import build_job_service

                self._jobs = build_job_service(self.settings)
            return self._jobs

    def image_upscaler(
        self,
        name: str,
        *,
        denoise: float | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> ImageUpscaler:
        """Return the model of that name, loaded and kept ready; the least recently used of many is let go.

        Raises:
            UnknownModelError: no such model, or a visitor's own that is no longer kept.
            ModelError: its weights cannot be had or used. InvalidOptionError: it takes no such denoise strength.
        """
        from irss_core.sr.image import ImageUpscaler

        key = (name, denoise)
        with self._loading:
            if key not in self._ready:
                model = self._load(name, denoise, progress, cancel)
                limit_mb = self.settings.memory_limit_mb
                self._ready[key] = ImageUpscaler(
                    model,
                    device=self.settings.device,
                    dtype=self.settings.dtype,
                    memory_limit_bytes=limit_mb * MEBIBYTE if limit_mb else None,
                )
            self._ready.move_to_end(key)
            while len(self._ready) > _MODELS_IN_MEMORY:
                self._ready.popitem(last=False)
            return self._ready[key]

    def loaded_model(
        self, name: str, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
    ) -> LoadedModel:
        """Return the network of that name as it was loaded, for who prepares it otherwise; raises as above."""
        return self.image_upscaler(name, progress=progress, cancel=cancel).model

    def video_upscaler(self, name: str, *, denoise: float | None = None) -> VideoUpscaler:
        """Return the model of that name for clips, on the same loaded network; raises as ``image_upscaler``."""
        from irss_core.sr.video import VideoUpscaler

        return VideoUpscaler.sharing(self.image_upscaler(name, denoise=denoise))

    def add_checkpoint(self, path: Path) -> LoadedModel:
        """Return a user's own checkpoint, kept under a name nobody can guess: only who is told it can use it.

        Raises:
            ModelError: not a checkpoint we can run; says what it looks like.
        """
        from irss_core.sr.loader import load_checkpoint

        name = f"{OWN_PREFIX}{secrets.token_hex(16)}"
        model = replace(load_checkpoint(path), name=name)
        with self._loading:
            self._own[name] = model
            while len(self._own) > _OWN_MODELS:
                self._own.popitem(last=False)
        return model

    def name_in_votes(self, name: str) -> str:
        """Return what a model is called in votes: a user's own checkpoint by its bytes, which stay the same.

        Raises:
            UnknownModelError: a visitor's own that is no longer kept.
        """
        return f"own checkpoint {self._own_model(name).sha256[:8]}" if name.startswith(OWN_PREFIX) else name

    @contextmanager
    def inference_slot(self) -> Iterator[None]:
        """Hold the device: one inference at a time, whoever asks."""
        with self._inference:
            yield

    def _load(
        self, name: str, denoise: float | None, progress: ProgressCallback | None, cancel: CancelToken | None
    ) -> LoadedModel:
        if name.startswith(OWN_PREFIX):
            return self._own_model(name)
        from irss_core.sr.loader import load_model

        return load_model(
            find_model(name),
            cache_dir=self.settings.cache_dir,
            denoise=denoise,
            offline=self.settings.offline,
            progress=progress,
            cancel=cancel,
        )

    def _own_model(self, name: str) -> LoadedModel:
        try:
            return self._own[name]
        except KeyError:
            raise UnknownModelError(
                "That checkpoint is no longer kept here. Load its file again in the Models tab."
            ) from None


def build_services(settings: Settings) -> Services:
    """Return the services for these settings; loads nothing yet."""
    return Services(settings)


def build_worker(
    services: Services,
    *,
    pace: Pace | None = None,
    patience: Patience | None = None,
    stages: Mapping[Stage, StageFunction] | None = None,
) -> Worker:
    """Return a worker for the queues of these services, with a folder of its own for temporary files.

    Args:
        pace: Its times, by default those of ``Pace``.
        patience: Those of its courier, by default those of ``Patience``.
        stages: What is done at each stage, by default ``STAGES``.

    Raises:
        StoreUnavailableError: the data folder cannot be used.
    """
    from irss_core.jobs.stages import STAGES
    from irss_core.jobs.worker import MailRoom, Worker, assign_jobs

    settings, stages = services.settings, stages or STAGES
    service, workshop = services.jobs, build_workshop(services)
    if settings.backend == "aws":
        from irss_core.aws_jobs import assign_tasks, task_queue

        return Worker(task_queue(settings), workshop, assign=assign_tasks(settings, service, stages), pace=pace)
    courier = build_courier(services, scratch=workshop.scratch, patience=patience)
    sweeper = build_sweeper(services, scratch=workshop.scratch)
    return Worker(
        service.work,
        workshop,
        assign=assign_jobs(service, stages),
        mail_room=MailRoom(service.mails, courier, sweeper),
        pace=pace,
    )


def build_workshop(services: Services) -> Workshop:
    """Return what stages work with, its folder for temporary files a new one."""
    from irss_core.jobs.stages import Workshop

    scratch = services.settings.data_dir / "scratch" / secrets.token_hex(8)
    scratch.mkdir(mode=0o700, parents=True)
    return Workshop(objects=services.jobs.objects, models=services, scratch=scratch)


def build_courier(services: Services, *, scratch: Path, patience: Patience | None = None) -> Courier:
    """Return who takes the mails to their server."""
    from irss_core.jobs.delivery import Courier
    from irss_core.jobs.letters import compose_result

    service, settings = services.jobs, services.settings
    compose = partial(
        compose_result, objects=service.objects, sender=settings.mail_from, address=settings.address, scratch=scratch
    )
    return Courier(
        store=service.store,
        mails=service.mails,
        mailer=service.mailer,
        clock=service.clock,
        compose=compose,
        patience=patience,
    )


def build_sweeper(services: Services, *, scratch: Path) -> Sweeper:
    """Return who finds what nobody holds any more, and deletes what is over."""
    from irss_core.jobs.retention import Retention
    from irss_core.jobs.sweeper import Sweeper

    service, settings = services.jobs, services.settings
    if settings.backend == "aws":
        retention = Retention(service, scratch=scratch)
    else:
        from irss_core.local_jobs import JOURNAL, file_objects

        journal, parts = settings.data_dir / JOURNAL, file_objects(settings).sweep_parts
        retention = Retention(service, scratch=scratch, delete_parts=parts, notes=[journal])
    return Sweeper(service, retention=retention)
