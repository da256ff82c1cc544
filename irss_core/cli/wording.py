"""Numbers, names and progress as words: pure functions, so that every command says the same thing the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irss_core.progress import ProgressUpdate
from irss_core.words import size_words, time_words

if TYPE_CHECKING:
    from irss_core.sr.image import UpscaleResult
    from irss_core.sr.video import ClipReport


def counted(number: int, thing: str) -> str:
    """Return "1 file" or "3 files"; the plural is the regular one."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def printable(text: object) -> str:
    r"""Return the text on one line and safe to print anywhere: control characters and undecodable bytes escaped.

    A file name may hold a newline, a terminal's escape codes, or bytes that are no UTF-8 (Python's lone surrogates):
    they come out as ``\n``, ``\x1b`` and ``\xff``.
    """
    return "".join(character if character.isprintable() else _escaped(character) for character in str(text))


def progress_text(update: ProgressUpdate) -> str:
    """Return how far a call is, how fast and how long it still takes, as far as each is known."""
    parts = [_done(update)]
    if update.rate and update.unit != "work":
        parts.append(_rate(update.rate, update.unit))
    if update.remaining_s:
        parts.append(f"{time_words(update.remaining_s)} left")
    return ", ".join(part for part in parts if part)


def describe_still(result: UpscaleResult) -> str:
    """Return the measured facts of a still's run in one line."""
    height, width = result.image.shape[:2]
    return _facts(f"{width}x{height} in {time_words(result.seconds)}", result)


def describe_clip(report: ClipReport) -> str:
    """Return the measured facts of a clip's run in one line."""
    speed = f"{counted(report.frames, 'frame')} in {time_words(report.seconds)} ({report.fps:.2f} frames/s)"
    cuts = [counted(report.scene_cuts, "scene cut")] if report.scene_cuts else []
    return _facts(", ".join([speed, *cuts]), report)


def how_it_ran(result: UpscaleResult | ClipReport) -> str:
    """Return device, precision, tiles and peak memory of a run."""
    parts = [result.device, result.dtype, f"peak {size_words(result.peak_memory_bytes)}"]
    if result.tiles > 1:
        parts.insert(2, counted(result.tiles, "tile"))
    return ", ".join(parts)


def _facts(lead: str, result: UpscaleResult | ClipReport) -> str:
    return "; ".join([f"{lead}; {how_it_ran(result)}", *result.fallbacks])


def _done(update: ProgressUpdate) -> str:
    share = "" if update.fraction is None else f"{update.fraction * 100:.0f} %"
    if update.unit == "work":  # a measure of the engine's own, which means nothing to a reader
        return share
    if update.unit == "bytes":
        whole = "" if update.total is None else f" of {size_words(update.total)}"
        amount = f"{size_words(update.done)}{whole}"
    else:
        amount = f"{update.done:.0f} {update.unit}"
        if update.total is not None:
            amount = f"{update.done:.0f} of {update.total:.0f} {update.unit}"
    return f"{share} ({amount})" if share else amount


def _rate(rate: float, unit: str) -> str:
    if unit == "bytes":
        return f"{size_words(rate)}/s"
    if rate >= 1:
        return f"{rate:.1f} {unit}/s"
    return f"{1 / rate:.1f} s a {unit.removesuffix('s')}"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that the file system's encoding does not know
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
