"""What a visitor hands to the queue: the wishes of the form as job options, and the files on their way in.

No gradio here. ``Handover`` is what the image and the clip tab carry over when their work would take long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irss_core.errors import (
    ConflictError,
    InputError,
    InvalidOptionError,
    IrssError,
    LimitExceededError,
    NotFoundError,
)
from irss_core.jobs.identity import Owner
from irss_core.jobs.options import JobOptions
from irss_core.jobs.service import JobService
from irss_core.sr.catalog import MODELS
from irss_core.ui.requests import LargeClip, LargeStill, parse_outscale

NO_FILES = "Choose at least one file first: a picture, a clip, or a zip of them."
_ONLY_OWN = (
    "Your own checkpoints are here for this visit only, so the queue cannot use them. Choose one of the other models."
)
_NO_WIDTH = "Resizing needs a width. Give the result's width in pixels under Optional steps."


@dataclass(frozen=True)
class Wishes:
    """The form as it stands. ``models`` are one or two names; "" and 0 mean: no wish."""

    preset: str = "upscale"
    models: tuple[str, ...] = ("realesrgan-x4plus",)
    scale: str = ""
    model_denoise: float = 0.5
    format: str = ""
    quality: float | None = 90
    denoise: bool = False
    autocontrast: bool = False
    sharpen: float = 0.0
    contrast: float = 1.0
    greyscale: bool = False
    width: float | None = 0
    max_kilobytes: float | None = 0


@dataclass(frozen=True)
class Handover:
    """What another tab hands to the queue; ``models`` are one or two. ``note`` says what is not the same there."""

    source: Path
    models: tuple[str, ...]
    outscale: float | None
    model_denoise: float | None = None
    note: str = ""


class TakenIn(dict[tuple[str, Path], str]):
    """A visitor's uploads that are in the store and not submitted, by their owner and where the file lies here.

    When a submission is turned down, so that it can be tried again without taking everything in again.
    """

    def drop(self, keys: Iterable[tuple[str, Path]]) -> None:
        """Forget these."""
        for key in list(keys):
            self.pop(key, None)


@dataclass(frozen=True)
class HandingIn:
    """So many of the files are in."""

    done: int
    total: int


@dataclass(frozen=True)
class HandedIn:
    """The end of it: so many jobs in so many submissions, each of which gets a mail.

    ``refused`` are files that cannot become jobs, and why. ``left`` are the options that ``error`` kept from being
    submitted, too, when there was more than one model.
    """

    jobs: int
    submissions: int
    refused: tuple[tuple[Path, str], ...] = ()
    left: tuple[JobOptions, ...] = ()
    error: str = ""


def options_of(wishes: Wishes) -> tuple[JobOptions, ...]:
    """Return the options of each submission that the wishes take: one a model, where a model is asked for.

    What a preset leaves out is not looked at.

    Raises:
        InvalidOptionError: an impossible value.
    """
    if wishes.preset == "upscale":
        scale = parse_outscale(wishes.scale)
        each = [_model_options(name, scale, wishes.model_denoise) for name in dict.fromkeys(wishes.models)]
    else:
        each = [{}]
    shared = {"preset": wishes.preset, "format": wishes.format or None, **_steps(wishes)}
    return tuple(JobOptions.from_dict({**shared, **own}) for own in each)


def handover_of(large: LargeStill | LargeClip) -> Handover:
    """Return what the queue is to do of work that would take long here.

    Raises:
        InputError: both models are checkpoints of the visitor's own.
    """
    asked = large.request
    models = tuple(dict.fromkeys(name for name in asked.models if name in MODELS))
    if not models:
        raise InputError(_ONLY_OWN)
    notes = []
    if len(models) < len(set(asked.models)):
        notes.append("Your own checkpoint is left out: it is here for this visit only.")
    if isinstance(large, LargeClip) and large.request.part is not None:
        notes.append("The queue does the whole clip, not a part of it.")
    denoise = large.request.denoise if isinstance(large, LargeStill) else None
    return Handover(asked.source, models, asked.outscale, denoise, " ".join(notes))


def hand_in(
    service: JobService,
    owner: Owner,
    files: Sequence[Path],
    options: Sequence[JobOptions],
    *,
    ip: str | None,
    taken: TakenIn,
) -> Iterator[HandingIn | HandedIn]:
    """Yield how far it is, then what came of it: every file is submitted once with each of the options.

    Args:
        taken: what was taken in and not submitted, of this try or one before; it is kept up to date.

    Raises:
        IrssError: nothing was submitted; no file is taken away from where it lies.
    """
    if not files:
        raise InputError(NO_FILES)
    if len(files) > service.limits.max_files:
        raise LimitExceededError(
            f"These are {len(files)} files; at most {service.limits.max_files} are taken in one submission. Hand in "
            "fewer at once."
        )
    jobs, total = 0, len(files) * len(options)
    refused: dict[Path, str] = {}
    for number, wanted in enumerate(options):
        try:
            for index, path in enumerate(files):
                yield HandingIn(number * len(files) + index, total)
                _take(service, owner, path, taken=taken, refused=refused)
            yield HandingIn((number + 1) * len(files), total)
            jobs += _submit(service, owner, files, wanted, ip=ip, taken=taken, refused=refused)
        except IrssError as error:
            if not number:
                raise
            yield HandedIn(jobs, number, tuple(refused.items()), tuple(options[number:]), str(error))
            return
    yield HandedIn(jobs, len(options), tuple(refused.items()))


def _take(service: JobService, owner: Owner, path: Path, *, taken: TakenIn, refused: dict[Path, str]) -> None:
    """Put a file in; what is no picture or clip is left out, and keeps nobody else back."""
    if path in refused or (owner.key, path) in taken:
        return
    try:
        taken[owner.key, path] = service.add_upload(owner, path, name=path.name)
    except InputError as error:
        refused[path] = str(error)


def _submit(
    service: JobService,
    owner: Owner,
    files: Sequence[Path],
    wanted: JobOptions,
    *,
    ip: str | None,
    taken: TakenIn,
    refused: dict[Path, str],
) -> int:
    """Submit what was put in, and return how many jobs that makes."""
    uploads = {(owner.key, path): taken[owner.key, path] for path in files if path not in refused}
    if not uploads:
        raise InputError(next(iter(refused.values())))
    try:
        submission = service.submit(owner, list(uploads.values()), wanted, ip=ip)
    except (NotFoundError, ConflictError):  # these uploads are used up or over: the next try takes new ones
        taken.drop(uploads)
        raise
    taken.drop(uploads)
    return len(submission.jobs)


def _model_options(name: str, scale: float | None, denoise: float) -> dict[str, Any]:
    if name not in MODELS:
        raise InvalidOptionError(f"There is no model named {name!r} in the queue. Choose one from the list.")
    return {"model": name, "outscale": scale, "model_denoise": denoise if MODELS[name].has_denoise else None}


def _steps(wishes: Wishes) -> dict[str, Any]:
    """Return the options of the steps that the preset has."""
    if wishes.preset == "thumbnail-100":
        return {}
    if wishes.preset == "resize+thumbnail" and not wishes.width:
        raise InvalidOptionError(_NO_WIDTH)
    steps: dict[str, Any] = {
        "sharpen": wishes.sharpen,
        "contrast": wishes.contrast,
        "greyscale": wishes.greyscale,
        "width": round(wishes.width) if wishes.width else None,
        "max_bytes": round(1000 * wishes.max_kilobytes) if wishes.max_kilobytes else None,
        "quality": round(wishes.quality or JobOptions.quality),
    }
    if wishes.preset != "resize+thumbnail":
        steps |= {"denoise": wishes.denoise, "autocontrast": wishes.autocontrast}
    return steps
