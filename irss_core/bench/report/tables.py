"""The table of entries and metrics under one of the two averages, and what may be compared in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from irss_core.bench.report.words import (
    NOTHING,
    counted_in,
    entry_labels,
    joined,
    listed,
    many,
    number,
    plain,
    significant,
    unit_of,
)
from irss_core.bench.results import Average, EntryInfo, MetricInfo, QualityResults, Score

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
PARTIAL_MARK = "†"
_CAPTIONS: dict[Average, str] = {
    "frames": "Averages over all counted frames: a long clip weighs more than a short one.",
    "clips": "Averages over the means of the clips and stills: each weighs the same.",
}
_ONE_SAMPLE = "There is one sample: averages over frames and over clips are the same."
_ONE_FRAME = "Every sample has one frame that counts: averages over frames and over clips are the same."


@dataclass(frozen=True)
class Column:
    """A metric or a cost. ``better`` is empty where neither way is; ``note`` numbers the footnote, 0 for none."""

    label: str
    unit: str
    better: str
    note: int = 0


@dataclass(frozen=True)
class Cell:
    """A value as printed and as sorted. ``coverage`` says in words over how many frames, if not over all."""

    text: str
    value: float | None
    best: bool = False
    coverage: str = ""


@dataclass(frozen=True)
class Row:
    """An entry; ``number`` is its place in the results, which its colour hangs on."""

    number: int
    label: str
    entry: EntryInfo
    metrics: tuple[Cell, ...]
    costs: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Entries by metrics and costs under one of the two averages. ``missing`` are footnotes 1, 2, …"""

    average: Average
    caption: str
    metrics: tuple[Column, ...]
    costs: tuple[Column, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def score_table(results: QualityResults, average: Average) -> Table:
    """Return the table; the best values are those that print the same as the best of the fully measured entries."""
    labels = entry_labels(results)
    missing = tuple(dict.fromkeys(metric.missing for metric in results.metrics if metric.missing))
    columns = [_cells(results, metric, average) for metric in results.metrics]
    rows = tuple(
        Row(index, labels[entry.name], entry, tuple(column[index] for column in columns), _costs(results, entry))
        for index, entry in enumerate(results.entries)
    )
    return Table(
        average=average,
        caption=_caption(results, average, rows),
        metrics=tuple(
            Column(plain(m.label), unit_of(m), m.better, missing.index(m.missing) + 1 if m.missing else 0)
            for m in results.metrics
        ),
        costs=(
            Column("Seconds a frame", "", "lower"),
            Column("Peak memory", "MB", "lower"),
            Column("Parameters", "", ""),
            Column("Multiply-adds", "per input pixel", ""),
        ),
        rows=rows,
        missing=tuple(f"{joined_labels(results.metrics, words)}: {plain(words)}" for words in missing),
        notes=_notes(results, rows),
    )


def has_one_average(results: QualityResults) -> bool:
    """Return whether there is one sample, or no sample has two frames that count: both averages are the same."""
    return len(results.samples) == 1 or all(
        sum(frame.counted for frame in score.frames) <= 1 for score in results.scores
    )


def _caption(results: QualityResults, average: Average, rows: Sequence[Row]) -> str:
    if not any(score.frames for score in results.scores):
        return "Nothing has been measured."
    same = _ONE_SAMPLE if len(results.samples) == 1 else _ONE_FRAME
    what = same if has_one_average(results) else _CAPTIONS[average]
    return f"{what} Bold is best." if any(cell.best for row in rows for cell in row.metrics) else what


def _notes(results: QualityResults, rows: Sequence[Row]) -> tuple[str, ...]:
    notes = []
    covered = {row.label: next((cell.coverage for cell in row.metrics if cell.coverage), "") for row in rows}
    partial = [f"{label} {coverage}" for label, coverage in covered.items() if coverage]
    if partial:
        notes.append(f"{PARTIAL_MARK} Over fewer frames than were counted in all, so not compared: {listed(partial)}.")
    empty = [
        plain(metric.label)
        for index, metric in enumerate(results.metrics)
        if not metric.missing and all(row.metrics[index].value is None for row in rows)
    ]
    if empty and any(score.frames for score in results.scores):
        notes.append(f"{NOTHING} No sample has what {joined(empty)} needs: a truth, or a frame before it.")
    return tuple(notes)


def joined_labels(metrics: Sequence[MetricInfo], missing: str) -> str:
    """Return the labels of the metrics that lack the same thing."""
    return ", ".join(plain(metric.label) for metric in metrics if metric.missing == missing)


def best_entries(results: QualityResults, average: Average) -> dict[str, list[str]]:
    """Return for each metric that can be compared the names of the best entries: several if they print the same."""
    table = score_table(results, average)
    best = {
        metric.key: [row.entry.name for row in table.rows if row.metrics[index].best]
        for index, metric in enumerate(results.metrics)
    }
    return {key: names for key, names in best.items() if names}


def seconds_per_frame(scores: Sequence[Score]) -> float | None:
    """Return the model's seconds over all frames of these scores that were timed."""
    timed = [score for score in scores if score.seconds and score.frames]
    return sum(score.seconds for score in timed) / sum(len(score.frames) for score in timed) if timed else None


def _cells(results: QualityResults, metric: MetricInfo, average: Average) -> list[Cell]:
    """Return a metric's column."""
    covered = [_covered(results.scores_of(entry.name), metric.key) for entry in results.entries]
    everything = set().union(*covered)
    cells = [
        Cell(
            text=number(value := results.average(entry.name, metric.key, average), metric.digits),
            value=None if value is not None and math.isnan(value) else value,
            coverage=f"over {len(own)} of {many(len(everything), 'frame')}" if own and own != everything else "",
        )
        for entry, own in zip(results.entries, covered, strict=True)
    ]
    compared = [cell.value for cell in cells if cell.value is not None and not cell.coverage]
    if sum(cell.value is not None for cell in cells) < 2 or not compared:
        return cells
    best = number(max(compared) if metric.better == "higher" else min(compared), metric.digits)
    return [replace(cell, best=cell.text == best and not cell.coverage) for cell in cells]


def _covered(scores: Sequence[Score], metric: str) -> set[tuple[str, int]]:
    return {
        (score.sample, frame.index)
        for score in scores
        for frame in score.frames
        if frame.counted and metric in frame.values
    }


def _costs(results: QualityResults, entry: EntryInfo) -> tuple[Cell, ...]:
    scores = results.scores_of(entry.name)
    seconds = seconds_per_frame(scores)
    peak = max((score.peak_memory_bytes for score in scores), default=0) / 1e6
    ours = entry.kind != "results"
    return (
        Cell(significant(seconds), seconds),
        Cell(f"{peak:.0f}", peak) if peak else Cell(NOTHING, None),
        Cell(counted_in(entry.parameters), float(entry.parameters)) if ours else Cell(NOTHING, None),
        Cell(counted_in(entry.multiply_adds), entry.multiply_adds) if entry.multiply_adds else Cell(NOTHING, None),
    )
