"""Names of files for people: what a user called a file, and what its results are called. Never a path or a key."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from irss_core.jobs.job import Job
from irss_core.jobs.options import Stage
from irss_core.media.zips import clean
from irss_core.sr.catalog import MODELS

MAX_NAME = 255
_JOINERS = "\u200c\u200d"  # invisible, and needed to spell some scripts and emoji
_ENDINGS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/tiff": ".tif",
    "image/gif": ".gif",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
    "video/webm": ".webm",
    "application/zip": ".zip",
}


def shown_name(name: str) -> str:
    """Return the file's own name to show, without folders: NFC, no control characters, 1 to 255 characters."""
    last = unicodedata.normalize("NFC", name.replace("\\", "/").rstrip("/").rpartition("/")[2])
    text = "".join(sign if sign.isprintable() or sign in _JOINERS else "\ufffd" for sign in last).strip()
    if text in ("", ".", ".."):
        return "file"
    stem, suffix = text.removesuffix(PurePosixPath(text).suffix[-16:]), PurePosixPath(text).suffix[-16:]
    return stem[: MAX_NAME - len(suffix)] + suffix


def result_name(job: Job, role: str, content_type: str) -> str:
    """Return what a user calls an output: "cat_x4.png" for the result of cat.jpg, of few and harmless signs."""
    label = _scale_label(job) if role == "result" else f"_{role}"
    return f"{clean(PurePosixPath(job.name).stem)}{label}{_ENDINGS.get(content_type, '')}"


def _scale_label(job: Job) -> str:
    """The enlargement as the other entry points write it; nothing where none was asked for."""
    if Stage.UPSCALE not in job.options.stages:
        return ""
    spec = MODELS.get(job.options.model)
    outscale = job.options.outscale or (spec.scale if spec else None)
    return "" if outscale is None else f"_x{outscale:g}"
