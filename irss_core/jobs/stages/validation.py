"""The first two stages: is the file what it may be (validate), and what is in it (metadata). Neither trusts it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from irss_core.jobs.job import Job
from irss_core.jobs.sandbox import Confinement, confined
from irss_core.jobs.stages.plan import check_options_for, kind_of
from irss_core.jobs.stages.workshop import Changes, Models, Workshop, fetch, sha256_of, stage_folder, together
from irss_core.progress import CancelToken, ProgressCallback

_FUNCTIONS = "irss_core.jobs.stages.examination:"
_MEBIBYTE = 1024**2
# A decoder holds the file (twice while it is checked), the samples as stored, and some copies of them on their way.
_BASE_BYTES, _BYTES_PER_FILE_BYTE, _BYTES_PER_PIXEL = 512 * _MEBIBYTE, 3, 40
_FRAMES_HELD = 32  # what H.264 and HEVC refer to, and threads work on, in bytes of some 12 a pixel
_BYTES_PER_FRAME_PIXEL = 12
_STILL_CPU_S, _STILL_WALL_S = 60, 300.0
# Slower than any codec on any machine of today; it ends what would never end.
_SLOWEST_PIXELS_PER_S = 10_000_000


def validate(job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None) -> Changes:
    """Return the file's "kind" and "format", by its content, once it has been decoded whole within its limits.

    Raises:
        UnsupportedFormatError, CorruptMediaError, LimitExceededError: as they say.
        InvalidOptionError: the options ask for what cannot be done with that kind of file.
    """
    if "kind" in job.facts:
        check_options_for(kind_of(job), job.options)
        return Changes()
    with stage_folder(workshop) as folder:
        file = fetch(workshop, job.input_key, folder)
        still_limits, clip_limits = _as_json(workshop.models.image_limits), _as_json(workshop.models.clip_limits)
        limits = _for_a_still(file, workshop.models)
        found: dict[str, Any] = confined(
            _FUNCTIONS + "examine", str(file), still_limits, clip_limits, limits=limits, cancel=cancel
        )
        check_options_for("clip" if found["kind"] == "clip" else "still", job.options)
        facts = {name: found[name] for name in ("kind", "format")} | {"notes": found.get("notes", ())}
        if found["kind"] == "clip":
            limits = _for_a_clip(file, workshop.models, pixels=found["pixels"], frames=found["frames"])
            facts |= confined(_FUNCTIONS + "decode_clip", str(file), clip_limits, limits=limits, cancel=cancel)
    return together(job, Changes(facts=facts))


def metadata(job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None) -> Changes:
    """Return what there is to know of the file: hash, sides, colour and camera, or rate and sound. Not the place."""
    if "sha256" in job.facts:
        return Changes()
    with stage_folder(workshop) as folder:
        file = fetch(workshop, job.input_key, folder)
        still = kind_of(job) == "still"
        taken = _as_json(workshop.models.image_limits if still else workshop.models.clip_limits)
        name, limits = f"describe_{kind_of(job)}", _for_a_still(file, workshop.models)
        facts: dict[str, Any] = confined(_FUNCTIONS + name, str(file), taken, limits=limits, cancel=cancel)
        return Changes(facts={**facts, "sha256": sha256_of(file)})


def _as_json(limits: Any) -> dict[str, Any]:
    return dataclasses.asdict(limits)


def _for_a_still(file: Path, models: Models) -> Confinement:
    """Return what looking at a file and decoding a still may take; the header of a clip takes less."""
    size_bytes = min(file.stat().st_size, models.image_limits.max_bytes)
    memory_bytes = _BASE_BYTES + _BYTES_PER_FILE_BYTE * size_bytes + _BYTES_PER_PIXEL * models.image_limits.max_pixels
    return Confinement(memory_bytes, cpu_s=_STILL_CPU_S, wall_s=_STILL_WALL_S)


def _for_a_clip(file: Path, models: Models, *, pixels: int, frames: int | None) -> Confinement:
    """Return what decoding a clip may take, whose frames have so many pixels."""
    longest = frames or models.clip_limits.max_frames
    cpu_s = _STILL_CPU_S + longest * pixels // _SLOWEST_PIXELS_PER_S
    whole_file = file.stat().st_size  # an animated WebP is read into memory
    memory_bytes = _BASE_BYTES + whole_file + _FRAMES_HELD * _BYTES_PER_FRAME_PIXEL * pixels
    return Confinement(memory_bytes, cpu_s=cpu_s, wall_s=2.0 * cpu_s)
