"""What options mean for a still and for a clip: which can be met, which stage makes the result, and as what file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from irss_core.errors import InvalidOptionError
from irss_core.jobs.job import Job
from irss_core.jobs.options import JobOptions, ResultFormat, Stage

Kind = Literal["still", "clip"]

CONTENT_TYPES: Mapping[str, str] = MappingProxyType({
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "mp4": "video/mp4",
})  # fmt: skip
"""What results are written as."""

_PREPROCESS = ("denoise", "autocontrast")
_UPSCALE = ("outscale", "model_denoise")
_FILTER = ("sharpen", "contrast", "greyscale", "width", "max_bytes")
_IGNORED = {
    "upscale": (),
    "filters": _UPSCALE,
    "resize+thumbnail": _PREPROCESS + _UPSCALE,
    "thumbnail-100": _PREPROCESS + _UPSCALE + _FILTER,
}
_NOT_ASKED = JobOptions()


def check_options_for(kind: Kind, options: JobOptions) -> None:
    """Pass if a file of that kind can be given what the options ask for; nothing asked for is left out silently.

    Raises:
        InvalidOptionError: it cannot; the message says what to do instead.
    """
    for name in _IGNORED[options.preset]:
        if getattr(options, name) != getattr(_NOT_ASKED, name):
            raise InvalidOptionError(
                f"{name} is {getattr(options, name)}, but the preset {options.preset} has no step that does it. "
                "Leave it out, or choose another preset."
            )
    still_wanted = kind == "still" or options.preset == "thumbnail-100"
    if still_wanted and options.format == "mp4":
        raise InvalidOptionError("format is mp4, but the result is a picture. Use png, jpeg, webp or tiff.")
    if not still_wanted and options.format not in (None, "mp4"):
        raise InvalidOptionError(
            f"format is {options.format}, but the result is a clip, which is written as mp4. Leave it out for clips."
        )
    if kind == "clip" and options.autocontrast:
        raise InvalidOptionError(
            "autocontrast is on, but the file is a clip, whose frames would be stretched differently and flicker. "
            "Use contrast instead."
        )
    if kind == "clip" and options.max_bytes is not None:
        raise InvalidOptionError(
            f"max_bytes is {options.max_bytes}, but the file is a clip, and only JPEG and WebP pictures are compressed "
            "to a size. Use width to make a clip smaller."
        )


def kind_of(job: Job) -> Kind:
    """Return what validation found the job's file to be."""
    return "clip" if job.facts["kind"] == "clip" else "still"


def result_stage(kind: Kind, options: JobOptions) -> Stage:
    """Return the stage that makes the result: the last one that changes the picture; without any, the thumbnail's.

    A clip goes through all its steps frame by frame in one pass, so that it is coded once: in the upscaling stage, if
    it has one, which may run on another machine than the others.
    """
    last_first = (Stage.FILTER, Stage.UPSCALE, Stage.PREPROCESS)
    for stage in (Stage.UPSCALE, *last_first) if kind == "clip" else last_first:
        if stage in options.stages:
            return stage
    return Stage.THUMBNAIL


def picture_format(options: JobOptions, *, read_as: str, has_alpha: bool) -> ResultFormat:
    """Return what a picture is written as: what was asked for, else as it came, if that can be and is written at all.

    Args:
        read_as: the format of the file handed in, in lower case.
    """
    if options.format is not None:
        return options.format
    if options.max_bytes is not None and read_as not in ("jpeg", "webp"):
        return "webp" if has_alpha else "jpeg"
    formats: dict[str, ResultFormat] = {"jpeg": "jpeg", "webp": "webp", "tiff": "tiff"}
    return formats.get(read_as, "png")
