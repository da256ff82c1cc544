"""What is done to clips: every step frame by frame in one pass, so that the clip is decoded and coded only once."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irss_core.jobs.job import Job
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.segments import CRF, ClipOrder, Segments, make_clip
from irss_core.jobs.stages import retouch
from irss_core.jobs.stages.result import RESULT, put_clip
from irss_core.jobs.stages.workshop import Changes, Workshop, fetch, is_stored, noted, stage_folder
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter

if TYPE_CHECKING:
    import numpy as np

    from irss_core.sr.video import ClipReport, VideoUpscaler

_TOUCHING = ("denoise", "sharpen", "contrast", "greyscale", "width")


def run_clip(job: Job, workshop: Workshop, progress: ProgressCallback | None, cancel: CancelToken | None) -> Changes:
    """Return the clip that is the job's result, stored, and how making it went.

    What an attempt that was killed has finished is not made again; see ``segments``.
    """
    if is_stored(job, workshop, *RESULT):
        return Changes()
    work: _Retouching | _Upscaling = _Retouching(job.options)
    if Stage.UPSCALE in job.options.stages:
        upscaler = workshop.models.video_upscaler(job.options.model, denoise=job.options.model_denoise)
        work = _Upscaling(upscaler, job.options)
    with stage_folder(workshop) as folder:
        order = ClipOrder(
            source=fetch(workshop, job.input_key, folder),
            target=folder / "result.mp4",
            folder=folder,
            work=work,
            limits=workshop.models.clip_limits,
            hold=workshop.models.inference_slot,
            total=job.facts.get("frames"),
        )
        plan = {"input": job.facts["sha256"], **_plan(job.options), **work.plan()}
        segments = Segments(workshop.objects, job.id, plan)
        notes = make_clip(order, segments, progress=progress, cancel=cancel)
        return put_clip(job, workshop, order.target, Changes(facts=work.facts()), noted(*notes))


def _plan(options: JobOptions) -> dict[str, Any]:
    """Return what the bytes of the segments depend on beside the input and the model."""
    import av
    import PIL

    libraries = {name: list(version) for name, version in av.library_versions.items()}
    touches = {name: getattr(options, name) for name in _TOUCHING}
    return {"crf": CRF, "libraries": libraries, "pillow": PIL.__version__, **touches}


class _Retouching:
    """Frames with the steps of the options that need no model."""

    def __init__(self, options: JobOptions) -> None:
        self._options = options

    def plan(self) -> dict[str, Any]:
        """Return what the frames depend on beside the options' touches."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return how it went."""
        return {}

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides of a frame that comes out."""
        return retouch.size_at_width(width, height, wanted=self._options.width)

    def frames(
        self,
        frames: Iterator[np.ndarray],
        *,
        total: int | None,
        progress: ProgressCallback | None,
        cancel: CancelToken | None,
    ) -> Generator[np.ndarray]:
        """Yield the frames retouched."""
        meter = ProgressMeter(total, "frames", callback=progress, cancel=cancel)
        for frame in frames:
            yield self.after(self.before(frame))
            meter.advance()

    def save(self, path: Path) -> None:
        """Write nothing: no frame depends on another."""
        path.touch()

    def restore(self, path: Path) -> None:
        """Do nothing."""

    def before(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame as it goes into a model."""
        return retouch.denoised(frame) if self._options.denoise else frame

    def after(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame that came out of a model as it is written."""
        return retouch.filtered(frame, self._options, keep_channels=True)


class _Upscaling:
    """Frames retouched, upscaled, and retouched again."""

    def __init__(self, upscaler: VideoUpscaler, options: JobOptions) -> None:
        self._upscaler, self._options = upscaler, options
        self._touch = _Retouching(options)
        self._run = upscaler.start(outscale=options.outscale)

    def plan(self) -> dict[str, Any]:
        """Return what the frames depend on: the model, and what it runs on, since precisions round differently."""
        model, image = self._upscaler.model, self._upscaler.image_upscaler
        return {
            "model": [self._options.model, model.sha256, self._options.model_denoise, self._run.outscale],
            "runs_on": [image.device.type, str(image.dtype)],
        }

    def facts(self) -> dict[str, Any]:
        """Return how it went, the attempts before this one included."""
        return _facts(self._run.report())

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides of a frame that comes out."""
        from irss_core.sr.image import output_size

        tall, wide = output_size(height, width, self._run.outscale)
        return self._touch.size(wide, tall)

    def frames(
        self,
        frames: Iterator[np.ndarray],
        *,
        total: int | None,
        progress: ProgressCallback | None,
        cancel: CancelToken | None,
    ) -> Generator[np.ndarray]:
        """Yield the frames upscaled."""
        prepared = (self._touch.before(frame) for frame in frames)
        for frame in self._run.frames(prepared, total=total, progress=progress, cancel=cancel):
            yield self._touch.after(frame)

    def save(self, path: Path) -> None:
        """Write the state of the run."""
        from irss_core.sr.clip_state import write_clip_state

        write_clip_state(self._run.state(), path)

    def restore(self, path: Path) -> None:
        """Go on from a state of this model's run."""
        from irss_core.sr.clip_state import read_clip_state

        self._run = self._upscaler.start(outscale=self._options.outscale, state=read_clip_state(path))


def _facts(run: ClipReport) -> dict[str, Any]:
    return {
        "model": run.model,
        "outscale": run.outscale,
        "seconds": round(run.seconds, 3),
        "device": run.device,
        "dtype": run.dtype,
        "frames": run.frames,
        "frames_run": run.frames_run,
        "tiles": run.tiles,
        "scene_cuts": run.scene_cuts,
        "fallbacks": list(run.fallbacks),
        "peak_memory_bytes": run.peak_memory_bytes,
    }
