"""What stages work with and what they answer, and the files and objects between them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from irss_core.errors import StoreUnavailableError
from irss_core.jobs.job import Job
from irss_core.jobs.ports import ObjectStore
from irss_core.progress import CancelToken, ProgressCallback

if TYPE_CHECKING:
    from irss_core.media.images import ImageLimits
    from irss_core.media.video import ClipLimits
    from irss_core.sr.image import ImageUpscaler
    from irss_core.sr.video import VideoUpscaler

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_MAX_NOTES, _MAX_NOTE_LENGTH = 20, 500
# Errors begin with the name of the file they speak of; the user's own name never becomes a path.
_NAME_IN_ERRORS = "The file"


class Models(Protocol):
    """Models ready to run, and what may be taken in."""

    @property
    def image_limits(self) -> ImageLimits:
        """The largest still that is taken."""
        ...

    @property
    def clip_limits(self) -> ClipLimits:
        """The largest clip that is taken."""
        ...

    def image_upscaler(self, name: str, *, denoise: float | None = None) -> ImageUpscaler:
        """Return the model of that name for stills."""
        ...

    def video_upscaler(self, name: str, *, denoise: float | None = None) -> VideoUpscaler:
        """Return the model of that name for clips."""
        ...

    def inference_slot(self) -> AbstractContextManager[None]:
        """Hold the device while the block runs."""
        ...


@dataclass(frozen=True)
class Workshop:
    """What stages work with, one a worker process. Temporary files live in ``scratch``, each stage's in its own folder.

    A folder that a stage left there was left by a process that was killed.
    """

    objects: ObjectStore
    models: Models
    scratch: Path


@dataclass(frozen=True)
class Changes:
    """What a stage made (object keys by role) and found (as JSON has it), to be added to the job."""

    outputs: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    facts: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


class StageFunction(Protocol):
    """One step of the pipeline; run twice, it gives the same keys and bytes."""

    def __call__(
        self, job: Job, workshop: Workshop, *, progress: ProgressCallback | None, cancel: CancelToken | None
    ) -> Changes:
        """Return what the stage made and found.

        Raises:
            InputError: the file, or what is asked of it, is at fault. CancelledError: asked to stop.
        """
        ...


def together(job: Job, *changes: Changes) -> Changes:
    """Return the changes as one; "stored" and "notes", which grow from stage to stage, with the job's own."""
    outputs: dict[str, str] = {}
    facts: dict[str, Any] = {}
    stored: dict[str, Any] = dict(job.facts.get("stored", {}))
    notes: dict[str, None] = dict.fromkeys(job.facts.get("notes", ()))
    for each in changes:
        outputs |= each.outputs
        facts |= each.facts
        stored |= each.facts.get("stored", {})
        notes |= dict.fromkeys(note[:_MAX_NOTE_LENGTH] for note in each.facts.get("notes", ()))
    facts |= {"stored": stored} if stored else {}
    facts |= {"notes": list(notes)[:_MAX_NOTES]} if notes else {}
    return Changes(outputs, facts)


def noted(*notes: str) -> Changes:
    """Return sentences for the user as changes."""
    return Changes(facts={"notes": notes})


@contextmanager
def stage_folder(workshop: Workshop) -> Iterator[Path]:
    """An empty folder that is gone with everything in it when the block ends."""
    workshop.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=workshop.scratch) as folder:
        yield Path(folder)


def fetch(workshop: Workshop, key: str, folder: Path) -> Path:
    """Return a file in a new folder below ``folder`` with an object's bytes.

    Raises:
        NotFoundError: there is no such object.
    """
    target = Path(tempfile.mkdtemp(dir=folder)) / _NAME_IN_ERRORS
    workshop.objects.get(key, target)
    return target


def put_output(workshop: Workshop, role: str, key: str, source: Path, *, content_type: str) -> Changes:
    """Return the output stored under the key, its size and hash noted for ``is_stored``.

    Raises:
        StoreUnavailableError: the store has not what was given to it.
    """
    sha256 = sha256_of(source)
    info = workshop.objects.put(key, source, content_type=content_type)
    size_bytes = source.stat().st_size
    if (info.size_bytes, info.sha256) != (size_bytes, sha256):
        raise StoreUnavailableError(
            f"The store has {info.size_bytes:,} bytes of {role!r} with another hash instead of {size_bytes:,}. "
            "Check its disk; the job is tried again."
        )
    return Changes({role: key}, {"stored": {role: {"size_bytes": size_bytes, "sha256": sha256}}})


def sha256_of(file: Path) -> str:
    """Return the hash of a file's bytes in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_stored(job: Job, workshop: Workshop, *roles: str) -> bool:
    """Whether outputs were made before and the store has them as they were written."""
    return not any(missing(job, workshop, role) for role in roles)


def missing(job: Job, workshop: Workshop, role: str) -> str | None:
    """Return what is wrong with an output, or None."""
    written = job.facts.get("stored", {}).get(role)
    if role not in job.outputs or written is None:
        return "was not made"
    info = workshop.objects.info(job.outputs[role])
    if info is None:
        return "is gone from the store"
    if (info.size_bytes, info.sha256) != (written["size_bytes"], written["sha256"]):
        return f"has {info.size_bytes:,} bytes in the store, other ones than the {written['size_bytes']:,} written"
    return None


def check_cancel(cancel: CancelToken | None) -> None:
    """Raise CancelledError if somebody asked to stop."""
    if cancel is not None:
        cancel.raise_if_cancelled()
