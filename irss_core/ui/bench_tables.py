"""What a measurement found, as HTML: the table that fills, what could not be measured, and the files to take home."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from irss_core.bench.report.summary import fallback_lines, problem_lines
from irss_core.bench.report.tables import ARROWS, PARTIAL_MARK, Cell, Column, Row, score_table
from irss_core.bench.results import QualityResults
from irss_core.ui import rendering, wording
from irss_core.ui.rendering import readable
from irss_core.words import size_words

_BETTER = {"higher": "more is better", "lower": "less is better", "": ""}


def score_board(results: QualityResults) -> str:
    """Return the table of models and metrics, as far as it is filled, and how to read it."""
    average = results.protocol["published_average"]
    table = score_table(results, average)
    columns = [*table.metrics, table.costs[0]]
    rows = "".join(_row(row, (*row.metrics, row.costs[0])) for row in table.rows)
    over = "all frames that count" if average == "frames" else "the means of the pictures and clips"
    done, wanted = len(results.scores), len(results.samples) * len(results.entries)
    about = f"{results.data}, {results.protocol['title']}."
    caption, arrives = f"{about} Averages over {over}.", ' data-arrives=""'
    if done < wanted:
        caption, arrives = f"{about} So far, {done} of {wanted} measured. Averages over {over}.", ""
    partly = any(cell.coverage for row in table.rows for cell in row.metrics)
    notes = [wording.BENCH_LEGEND, *([f"{PARTIAL_MARK} {wording.BENCH_PARTLY}"] if partly else [])]
    return (
        f'<p class="irss-quiet irss-about"{arrives}>{readable(caption)}</p>'
        '<div class="irss-table-box" tabindex="0" role="region" aria-label="Results">'
        '<table class="irss-table irss-scores" aria-label="Results">'
        f'<thead><tr><th scope="col">Model</th>{"".join(map(_heading, columns))}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        + "".join(f'<p class="irss-quiet">{readable(note)}</p>' for note in notes)
        + _missing(table.missing)
    )


def problems(results: QualityResults) -> str:
    """Return what could not be measured or was measured otherwise than planned, and why; nothing if all went well."""
    return _listed(wording.BENCH_PROBLEMS, problem_lines(results), "warn") + _listed(
        wording.BENCH_FALLBACKS, fallback_lines(results), "info"
    )


def files(report: tuple[Path, str], others: Sequence[tuple[Path, str]]) -> str:
    """Return the link that opens the report and those to take all files home; each is a file and its address."""
    links = "".join(
        f'<a class="irss-download" href="{rendering.address(address)}" download="{readable(path.name)}">'
        f"{readable(path.name)} <span>{size_words(path.stat().st_size)}</span></a>"
        for path, address in (report, *others)
    )
    return (
        '<section class="irss-downloads" aria-label="Downloads"><h3>Take it home</h3>'
        f'<div class="irss-download-row"><div><a class="irss-download irss-open" target="_blank" rel="noopener" '
        f'href="{rendering.address(report[1])}">Open the report</a>{links}</div></div>'
        f'<p class="irss-quiet">{wording.BENCH_FILES}</p></section>'
    )


def protocol_lines(lines: Sequence[str]) -> str:
    """Return a protocol's description, folded away."""
    items = "".join(f"<li>{readable(line)}</li>" for line in lines)
    return f'<details class="irss-details"><summary>What exactly this measures</summary><ul>{items}</ul></details>'


def _listed(words: str, lines: Sequence[str], kind: str) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{readable(line)}</li>" for line in lines)
    return f'<div class="irss-notice irss-{kind}" role="status"><p>{words}</p><ul>{items}</ul></div>'


def _heading(column: Column) -> str:
    unit = f" {column.unit}" if column.unit else ""
    note = f"<sup>{column.note}</sup>" if column.note else ""
    better = f'<span aria-hidden="true">{ARROWS[column.better]}</span>' if column.better else ""
    words = f'<span class="irss-unseen"> ({_BETTER[column.better]})</span>' if column.better else ""
    return f'<th scope="col">{readable(column.label)}{note}<small>{readable(unit)} {better}{words}</small></th>'


def _row(row: Row, cells: Sequence[Cell]) -> str:
    return f'<tr><th scope="row">{readable(row.label)}</th>{"".join(map(_cell, cells))}</tr>'


def _cell(cell: Cell) -> str:
    text = f"<strong>{readable(cell.text)}</strong>" if cell.best else readable(cell.text)
    if cell.coverage:
        return f'<td title="{readable(cell.coverage)}">{text} {PARTIAL_MARK}</td>'
    return f"<td>{text}</td>"


def _missing(lines: Sequence[str]) -> str:
    """Return what the empty columns lack."""
    if not lines:
        return ""
    items = "".join(f"<li>{readable(line)}</li>" for line in lines)
    return (
        f'<div class="irss-notice"><p>{wording.BENCH_MISSING}</p>'
        f'<details class="irss-details"><summary>What to fetch, and where to put it</summary><ol>{items}</ol></details>'
        "</div>"
    )
