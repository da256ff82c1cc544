"""What was opened and what was computed, as HTML: files' facts, measured facts, forecasts, scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irss_core.media.images import ImageHeader
from irss_core.media.video import ClipInfo
from irss_core.ui import rendering
from irss_core.ui.rendering import Download
from irss_core.ui.requests import MAX_SCALE
from irss_core.words import size_words, time_words

if TYPE_CHECKING:
    from irss_core.sr.device import MachineReport
    from irss_core.ui.clips import ClipComparison
    from irss_core.ui.stills import Score, StillComparison
    from irss_core.upscaling import Forecast

CLEARLY = "more than 16 of 255 levels"
_LABELS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WebP", ".tiff": "TIFF", ".mp4": "MP4", ".gif": "GIF"}


def picture_facts(name: str, header: ImageHeader, notes: Sequence[str]) -> str:
    """Return one line on an opened picture, and the notes of its reading."""
    facts = [
        header.format,
        f"{header.width} x {header.height}",
        f"{header.bit_depth} bit",
        *(["transparency"] if header.has_alpha else []),
        size_words(header.size_bytes),
    ]
    return _opened(name, facts, notes)


def clip_facts(name: str, info: ClipInfo) -> str:
    """Return one line on an opened clip, and the notes of its reading."""
    facts = [
        info.format.upper(),
        f"{info.width} x {info.height}",
        f"{float(info.fps):.3g} frames a second" + (" on average" if info.is_variable_rate else ""),
        *([f"{info.frame_count} frames"] if info.frame_count else []),
        *([time_words(info.duration_s)] if info.duration_s else []),
        f"sound ({info.audio_codec})" if info.has_audio else "no sound",
        size_words(info.size_bytes),
    ]
    return _opened(name, facts, info.notes)


def _opened(name: str, facts: Sequence[str], notes: Sequence[str]) -> str:
    line = " · ".join(rendering.readable(fact) for fact in facts)
    return f'<p class="irss-opened"><strong>{rendering.readable(name)}</strong><span>{line}</span></p>' + "".join(
        rendering.notice(note) for note in notes
    )


def whole_forecast(made: StillComparison, forecast: Forecast) -> str:
    """Return what the whole picture will take, from the measurement on a region."""
    width, height = made.whole_size
    words = (
        f"The whole picture ({width} x {height} → {round(width * made.outscale)} x {round(height * made.outscale)}) "
        f"would take about {time_words(forecast.seconds)} and {size_words(forecast.memory_bytes)} of working memory on "
        "this machine, going by this measurement."
    )
    return rendering.notice(words, kind="good")


def clip_remarks(made: ClipComparison) -> str:
    """Return what the whole clip will take, after a run on a part, and what had to be mended in the clip."""
    notes = "".join(rendering.notice(note) for note in made.notes)
    if made.whole_seconds is None:
        return notes
    words = (
        f"The whole clip would take about {time_words(made.whole_seconds)} on this machine, going by this measurement."
    )
    return rendering.notice(words, kind="good") + notes


def still_facts(made: StillComparison) -> str:
    """Return the table of the measured facts, a column a model."""
    facts = [run.facts for run in made.runs]
    rows = {
        "Time": [time_words(fact.seconds) for fact in facts],
        "Speed": [f"{_two_digits(run.megapixels_per_s)} megapixels a second" for run in made.runs],
        "Peak memory": [size_words(fact.peak_memory_bytes) for fact in facts],
        "Computed on": [f"{fact.device}, {fact.dtype}" for fact in facts],
        "Tiles": ["in one piece" if fact.tiles <= 1 else str(fact.tiles) for fact in facts],
        **_deviations([fact.fallbacks for fact in facts]),
    }
    caption = f"Measured while you watched: {_sizes(made.part.width, made.part.height, made.width, made.height)}"
    return rendering.facts_table([run.title for run in made.runs], rows, caption=caption)


def clip_run_facts(made: ClipComparison) -> str:
    """Return the table of the measured facts of a clip, a column a model."""
    facts = [result.facts for result in made.results]
    rows = {
        "Time": [time_words(fact.seconds) for fact in facts],
        "Speed": [f"{_two_digits(fact.fps)} frames a second" for fact in facts],
        "Frames": [str(fact.frames) for fact in facts],
        "Peak memory": [size_words(fact.peak_memory_bytes) for fact in facts],
        "Computed on": [f"{fact.device}, {fact.dtype}" for fact in facts],
        "Scene cuts": [str(fact.scene_cuts) for fact in facts],
        **_deviations([fact.fallbacks for fact in facts]),
    }
    caption = f"Measured while you watched: {_sizes(made.info.width, made.info.height, made.width, made.height)}"
    return rendering.facts_table([result.title for result in made.results], rows, caption=caption)


def difference(address: str, made: StillComparison) -> str:
    """Return the heat map with a sentence that says how to read it."""
    caption = (
        "Dark: both results agree. Bright: they differ. "
        f"{made.differing_percent:.0f} % of the pixels differ clearly ({CLEARLY})."
    )
    return rendering.figure(address, alt="Heat map of the difference between A and B", caption=caption)


def invented(addresses: Sequence[str], made: StillComparison) -> str:
    """Return where each model invented detail, side by side, with a sentence that says how to read it."""
    if not addresses:
        return ""
    figures = ""
    for letter, address, each, run in zip("AB", addresses, made.invented, made.runs, strict=True):
        near = "" if each.consistency_db is None else f" · {_decibels(each.consistency_db)} to your picture"
        alt = f"Where {run.title} invented detail"
        figures += rendering.figure(address, alt=alt, caption=f"{letter}: {run.title}{near}", css_class="irss-half")
    return (
        '<section class="irss-invented"><h3>Where detail was invented</h3>'
        '<p class="irss-quiet">Each result is made small again and compared with your picture. Dim grey: it leads back '
        "to it. Bright: it does not, so what stands there was invented or changed. This needs no original. More "
        f'decibels (dB) are nearer.</p><div class="irss-halves">{figures}</div></section>'
    )


def _decibels(value: float) -> str:
    return "identical" if value == float("inf") else f"{value:.1f} dB"


def scores(values: Sequence[Score]) -> str:
    """Return PSNR and SSIM of each result; higher is nearer to the original."""
    rows = {
        "PSNR": ["identical" if value.psnr_db == float("inf") else f"{value.psnr_db:.2f} dB" for value in values],
        "SSIM": [f"{value.ssim:.4f}" for value in values],
    }
    return rendering.facts_table([value.title for value in values], rows, caption="Nearness to the original")


def profiles(pictures: Sequence[tuple[str, str]], *, row: int) -> str:
    """Return the temporal profiles, one a panel; each is its title and the address of its picture."""
    figures = "".join(
        rendering.figure(source, alt=f"Row {row} of {title} over time", caption=title, css_class="irss-profile")
        for title, source in pictures
    )
    return (
        '<section class="irss-profiles"><h3>One row of pixels over time</h3>'
        f'<p class="irss-quiet">Row {row} of every frame, the first on top. Smooth lines mean steady detail, ragged '
        "ones flicker. Drag the yellow line in the player to choose another row.</p>"
        f"{figures}</section>"
    )


def downloads_of(titles: Sequence[str], files: Sequence[Sequence[tuple[Path, str]]]) -> str:
    """Return the download links of each model's (file, address) pairs."""
    groups = {
        f"{letter}: {title}": [
            Download(address, path.name, _LABELS[path.suffix], path.stat().st_size) for path, address in pairs
        ]
        for letter, title, pairs in zip("AB", titles, files, strict=True)
    }
    return rendering.downloads(groups)


def machine(report: MachineReport) -> str:
    """Return what this machine computes on."""
    return rendering.definition_list(
        {
            "Device": f"{report.device_name} ({report.device})",
            "Precision": f"{report.dtype}: {report.dtype_reason}",
            "Threads": str(report.threads),
            "Memory": f"{size_words(report.memory_free_bytes)} free of {size_words(report.memory_total_bytes)}",
            "PyTorch": report.torch_version,
            "Largest scale": f"{MAX_SCALE:g}",
        }
    )


def _deviations(fallbacks: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """Return the row that says what was done differently from the plan; no row if nothing was."""
    return {"Other than planned": ["; ".join(each) or "nothing" for each in fallbacks]} if any(fallbacks) else {}


def _sizes(width: int, height: int, out_width: int, out_height: int) -> str:
    return f"{width} x {height} → {out_width} x {out_height} pixels"


def _two_digits(value: float) -> str:
    """Return a rate with two digits that count, never in powers of ten."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
