"""A run's results as text: a Markdown table for a paper or README, and every value as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from irss_core.bench.report.tables import ARROWS, PARTIAL_MARK, Cell, Column, score_table
from irss_core.bench.results import Average, QualityResults

_MARKDOWN_SIGNS = re.compile(r"([\\`*\[\]<>|$~])")
_AVERAGES: tuple[Average, ...] = ("frames", "clips")


def to_markdown(results: QualityResults, average: Average = "frames") -> str:
    """Return the table for a paper or README: best values bold, arrows to the better side, footnotes for what lacks."""
    table = score_table(results, average)
    columns = [*table.metrics, table.costs[0]]
    heads = ["entry", *(_markdown_head(column) for column in columns)]
    lines = [_markdown_row(heads), _markdown_row(["---", *["---:"] * len(columns)])]
    for row in table.rows:
        cells = (*row.metrics, row.costs[0])
        lines.append(_markdown_row([_markdown(row.label), *(_markdown_cell(cell) for cell in cells)]))
    notes = [table.caption]
    notes += [f"[{index}] {_markdown(words)}" for index, words in enumerate(table.missing, 1)]
    notes += map(_markdown, table.notes)
    return "\n".join([*lines, "", "  \n".join(notes)]) + "\n"


def _markdown_head(column: Column) -> str:
    unit = f" ({_markdown(column.unit)})" if column.unit else ""
    note = f" [{column.note}]" if column.note else ""
    return f"{_markdown(column.label)}{unit} {ARROWS[column.better]}{note}"


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return text + (f" {PARTIAL_MARK}" if cell.coverage else "")


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return _MARKDOWN_SIGNS.sub(r"\\\1", text.replace("&", "&amp;"))


def to_csv(results: QualityResults) -> str:
    """Return every value in long form: entry, sample, frame, counted, metric, value.

    Below an entry's frames of a sample stand their means (frame "mean"); below all samples the averages, whose sample
    is empty and whose frame is "mean over frames" or "mean over clips". Values have all their digits.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["entry", "sample", "frame", "counted", "metric", "value"])
    keys = [metric.key for metric in results.metrics]
    for entry in results.entries:
        for score in results.scores_of(entry.name):
            for frame in score.frames:
                counted = "yes" if frame.counted else "no"
                writer.writerows(
                    [entry.name, score.sample, frame.index, counted, key, repr(float(frame.values[key]))]
                    for key in keys
                    if key in frame.values
                )
            means = {key: score.mean(key) for key in keys}
            writer.writerows(_mean_rows(entry.name, score.sample, "mean", means))
        for average in _AVERAGES:
            means = {key: results.average(entry.name, key, average) for key in keys}
            writer.writerows(_mean_rows(entry.name, "", f"mean over {average}", means))
    return out.getvalue()


def _mean_rows(entry: str, sample: str, frame: str, means: Mapping[str, float | None]) -> list[list[str]]:
    return [[entry, sample, frame, "", key, repr(float(value))] for key, value in means.items() if value is not None]
