"""What a mail says of a job: whether it is ready, its figures, why it failed and what to do, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from irss_core.jobs.job import Job, JobStatus
from irss_core.jobs.names import shown_name
from irss_core.jobs.options import Stage
from irss_core.sr.catalog import MODELS
from irss_core.words import size_words, time_words

_MAX_NAME = 80
_MAX_REASON = 400
_AGAIN = (
    "Hand it in again. If that does not help, tell whoever runs this service; the page behind the link names the job."
)
_OTHER_MODEL = "Choose another model, and hand it in again."
_LATER = "Hand it in again later, or make it smaller."
_ADVICE = {
    "cancelled": "Nothing, unless you want it after all: the file is well.",
    "unsupported-format": "Save it as PNG, JPEG, WebP or TIFF, or a clip as MP4, and hand that in.",
    "corrupt-media": "Open it on your computer. If it looks whole there, save it as a new file, and hand that in.",
    "limit-exceeded": "Make it smaller, or cut it into parts, and hand those in.",
    "invalid-option": "Change that option, and hand it in again.",
    "unknown-model": _OTHER_MODEL,
    "model-error": _OTHER_MODEL,
    "weights-unavailable": _OTHER_MODEL,
    "weights-corrupt": _OTHER_MODEL,
    "unsupported-checkpoint": _OTHER_MODEL,
    "out-of-resources": _LATER,
    "store-unavailable": _LATER,
    "attempts-exhausted": f"The file may be at fault, or this server. {_AGAIN}",
}


class Outcome(StrEnum):
    """What has become of a job, as its mail calls it."""

    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    AT_WORK = "still in work"  # somebody sent it through again while the mail was on its way


@dataclass(frozen=True)
class Line:
    """A job as a mail shows it; what is not known is empty."""

    number: int
    name: str
    kind: str  # "picture", "clip" or "file"
    link: str
    outcome: Outcome
    model: str = ""
    time: str = ""
    size: str = ""  # of the file
    pixels_before: str = ""
    pixels: str = ""
    why: str = ""
    advice: str = ""


def line(job: Job, *, address: str) -> Line:
    """Return what a mail shows of a job."""
    facts, outcome = job.facts, outcome_of(job)
    failed = outcome in (Outcome.FAILED, Outcome.CANCELLED)
    return Line(
        number=job.number,
        name=short_name(job),
        kind={"still": "picture", "clip": "clip"}.get(str(facts.get("kind")), "file"),
        link=f"{address}/jobs/{job.id}",
        outcome=outcome,
        model=_model(job),
        time=time_words(facts["seconds"]) if "seconds" in facts else "",
        size=size_words(facts["result_bytes"]) if "result_bytes" in facts else "",
        pixels_before=_pixels(job, "width", "height"),
        pixels=_pixels(job, "result_width", "result_height"),
        why=_plain(job.error or "It was not said why.") if failed else "",
        advice=_ADVICE.get(job.error_code or "", _AGAIN) if failed else "",
    )


def outcome_of(job: Job) -> Outcome:
    """Return what has become of a job. One whose mail failed has its result all the same."""
    if job.status in (JobStatus.PROCESSED, JobStatus.DELIVERED):
        return Outcome.READY
    if job.status is JobStatus.NOT_PROCESSED:
        return Outcome.AT_WORK
    if job.error_code == "mail-failed" and "result" in job.outputs:
        return Outcome.READY
    return Outcome.CANCELLED if job.error_code == "cancelled" else Outcome.FAILED


def verb(job: Job) -> str:
    """Return what was to be done with a job's file."""
    return "enlarged" if Stage.UPSCALE in job.options.stages else "processed"


def short_name(job: Job) -> str:
    """Return the file's name on one line, cut to 80 characters in its middle."""
    name = shown_name(job.name)
    if len(name) <= _MAX_NAME:
        return name
    tail = PurePath(name).suffix[-10:]
    return f"{name[: _MAX_NAME - 1 - len(tail)]}…{tail}"


def _pixels(job: Job, width: str, height: str) -> str:
    return f"{job.facts[width]} x {job.facts[height]}" if width in job.facts and height in job.facts else ""


def _model(job: Job) -> str:
    if Stage.UPSCALE not in job.options.stages:
        return ""
    spec = MODELS.get(job.options.model)
    return spec.title if spec else _plain(job.options.model)


def _plain(text: str) -> str:
    """The text on one line, without what cannot be printed, of a length that a mail can take."""
    words = " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split())
    return words if len(words) <= _MAX_REASON else f"{words[: _MAX_REASON - 1]}…"
