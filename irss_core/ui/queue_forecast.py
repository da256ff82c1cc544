"""What a visitor's files are, by their headers, and about what they will take in the queue. No gradio here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from irss_core.errors import IrssError
from irss_core.jobs.forecast import FileFacts, SubmissionForecast
from irss_core.media.images import ImageLimits, read_header
from irss_core.media.video import ClipLimits, is_clip, probe_clip
from irss_core.media.zips import ACCEPTED, ZIP_SUFFIX, unpack
from irss_core.ui.rendering import notice, readable
from irss_core.words import size_words, time_words

# A larger zip is looked into only when it is handed in: unpacking it twice would take too long.
MAX_ZIP_BYTES = 256 * 1024 * 1024
_UNKNOWN_FRAMES = 100  # of a clip whose header does not count them
_SHOWN_PROBLEMS = 3


@dataclass(frozen=True)
class Seen:
    """What a file turned out to be: one picture or clip, several in a zip, or nothing that can be worked on."""

    facts: tuple[FileFacts, ...] = ()
    problem: str = ""
    unread: bool = False  # a zip too large to be looked into now


class SeenFiles(dict[Path, Seen]):
    """What a visitor's files were seen to be, so that no header is read twice."""


def see(path: Path, *, images: ImageLimits, clips: ClipLimits) -> Seen:
    """Return what a file is, by its header; of a zip, what is in it."""
    suffix = path.suffix.lower()
    if suffix not in ACCEPTED | {ZIP_SUFFIX}:
        return Seen(problem=f"{path.name} is neither a picture, nor a clip, nor a zip, and will be left out.")
    try:
        if suffix == ZIP_SUFFIX:
            return _see_zip(path, images=images, clips=clips)
        return Seen((_facts(path, images=images, clips=clips),))
    except IrssError as error:
        return Seen(problem=str(error))


def problems_html(seen: Sequence[Seen]) -> str:
    """Return which files cannot be used, and why."""
    problems = [each.problem for each in seen if each.problem]
    told = [notice(problem, kind="warn") for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        told.append(notice(f"And {len(problems) - _SHOWN_PROBLEMS} more that cannot be used.", kind="warn"))
    if any(each.unread for each in seen):
        told.append(notice("A large zip is looked into when you hand it in; the forecast is without it."))
    return "".join(told)


def forecast_html(forecasts: Sequence[SubmissionForecast]) -> str:
    """Return about what the files take; ``forecasts`` are one a submission, of the same files."""
    if not forecasts:
        return ""
    first = forecasts[0]
    waiting_s = max(each.waiting_s for each in forecasts)
    seconds = sum(each.seconds - each.waiting_s for each in forecasts) + waiting_s
    files = "1 file" if first.files == 1 else f"{first.files} files"
    results = sum(each.result_bytes for each in forecasts)
    ahead = f" ({time_words(waiting_s)} of it for work that is ahead of yours)" if waiting_s >= 1 else ""
    basis = " and ".join(dict.fromkeys(each.basis for each in forecasts))
    return (
        f'<p class="irss-forecast"><strong>{files}, {_megapixels(first.megapixels)}: about {time_words(seconds)}'
        f"</strong>{ahead}, results of about {size_words(results)}."
        f'<span class="irss-quiet">Going by {readable(basis)}.</span></p>'
    )


def _megapixels(megapixels: float) -> str:
    return f"{megapixels:,.1f} megapixels" if megapixels >= 0.05 else "under 0.1 megapixels"


def _see_zip(path: Path, *, images: ImageLimits, clips: ClipLimits) -> Seen:
    if path.stat().st_size > MAX_ZIP_BYTES:
        return Seen(unread=True)
    folder = Path(tempfile.mkdtemp(prefix="zip-", dir=path.parent))
    try:
        files = unpack(path, folder / "files", max_bytes=clips.max_bytes).files
        return Seen(tuple(_readable_facts((place for _, place in files), images=images, clips=clips)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _readable_facts(paths: Iterable[Path], *, images: ImageLimits, clips: ClipLimits) -> Iterable[FileFacts]:
    """Yield the facts of those that can be read: a bad file in a zip fails alone, when its turn comes."""
    for path in paths:
        try:
            yield _facts(path, images=images, clips=clips)
        except IrssError:
            continue


def _facts(path: Path, *, images: ImageLimits, clips: ClipLimits) -> FileFacts:
    if is_clip(path, clips):
        info = probe_clip(path, clips)
        return FileFacts("clip", info.width, info.height, info.frame_count or _UNKNOWN_FRAMES, info.size_bytes)
    header = read_header(path, images)
    return FileFacts("still", header.width, header.height, 1, header.size_bytes)
