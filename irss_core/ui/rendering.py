"""Everything the page shows that gradio has no component for, as HTML: pure functions of plain data."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from irss_core.progress import ProgressUpdate
from irss_core.ui.running import Running, Waiting
from irss_core.words import size_words, time_words


@dataclass(frozen=True)
class Source:
    """One picture or panel that a viewer can show.

    One with a ``side`` ("left" or "right") is offered there only. ``panel`` is its place in a player's video, from 0 on
    top; without one, panels lie as they are listed.
    """

    id: str
    label: str
    address: str = ""
    side: str = ""
    panel: int | None = None


@dataclass(frozen=True)
class Download:
    """One file to take home: where it is, what it will be called, and what the link says."""

    address: str
    filename: str
    label: str
    size_bytes: int


# --- words -----------------------------------------------------------------------------------------------------------


def progress_words(update: ProgressUpdate | None) -> str:
    """Return how far a step is, how fast and how long it still takes, as far as each is known."""
    if update is None:
        return "starting"
    parts = []
    if update.fraction is not None:
        parts.append(f"{update.fraction:.0%}")
    if update.unit == "frames":
        total = f" of {update.total:.0f}" if update.total else ""
        parts.append(f"frame {update.done:.0f}{total}")
        if update.rate:
            parts.append(f"{update.rate:.1f} frames a second")
    if update.unit == "bytes":
        parts.append(size_words(update.done))
    if update.remaining_s is not None and update.done and (update.fraction or 0) < 1:
        parts.append(f"{time_words(update.remaining_s)} left")
    return ", ".join(parts) or "starting"


def readable(text: object) -> str:
    """Return the text safe to put into HTML, on one line, with invisible characters made visible."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))
    return html.escape(shown)


# --- messages and progress -------------------------------------------------------------------------------------------


def notice(message: str, *, kind: str = "info") -> str:
    """Return a message box; ``kind`` is info, good, warn or error (which screen readers announce at once)."""
    role = "alert" if kind in ("warn", "error") else "status"
    return f'<div class="irss-notice irss-{kind}" role="{role}"><p>{readable(message)}</p></div>'


def waiting(state: Waiting) -> str:
    """Return the visitor's place in the line."""
    if state.ahead == 0:
        words = "Starting: this machine does one piece of work at a time, and yours is next."
    elif state.ahead == 1:
        words = "You are second in line: one visitor's work comes before yours. It starts by itself."
    else:
        words = f"You are number {state.ahead + 1} in line: {state.ahead} come before you. It starts by itself."
    return f'<div class="irss-progress" role="status"><p class="irss-progress-head">{words}</p>{bar(None)}</div>'


def progress(state: Running) -> str:
    """Return the steps of running work, a bar for the one that runs, its share done and the time left."""
    fraction = state.update.fraction if state.update is not None else None
    items = []
    for index, step in enumerate(state.steps):
        mark, when = ("✓", "done") if index < state.step else ("●", "now") if index == state.step else ("○", "later")
        items.append(
            f'<li class="irss-step irss-step-{when}"><span aria-hidden="true">{mark}</span> {readable(step)}</li>'
        )
    return (
        '<div class="irss-progress">'
        f'<p class="irss-progress-head"><strong>{readable(state.steps[state.step])}</strong> '
        f'<span class="irss-progress-words">{readable(progress_words(state.update))}</span></p>'
        f"{bar(fraction)}"
        f'<ol class="irss-steps">{"".join(items)}</ol>'
        f'<p class="irss-quiet">{time_words(state.elapsed_s)} since the start</p></div>'
    )


def bar(fraction: float | None) -> str:
    """Return a bar that is full to that share; None: nobody knows how far it is."""
    if fraction is None:
        return '<div class="irss-bar irss-bar-unknown" role="progressbar" aria-label="Progress"><span></span></div>'
    percent = f"{100 * fraction:.1f}"
    return (
        f'<div class="irss-bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent}"><span style="width:{percent}%"></span></div>'
    )


# --- the small parts of the form ------------------------------------------------------------------------------------

PICK_EXAMPLE_JS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("pick", { index: Number(button.dataset.index) });
});
"""


def step_heading(number: int, words: str) -> str:
    """Return the heading of one of the three steps."""
    return f'<h2 class="irss-step-heading"><span aria-hidden="true">{number}</span>{readable(words)}</h2>'


def heading(words: str) -> str:
    """Return the heading of a section."""
    return f'<h2 class="irss-heading">{readable(words)}</h2>'


def hint(words: str) -> str:
    """Return a quiet sentence below a field."""
    return f'<p class="irss-hint">{readable(words)}</p>'


def example_buttons(examples: Sequence[tuple[str, str]], *, noun: str) -> str:
    """Return a row of thumbnails to choose from; each example is its name and the address of its picture."""
    buttons = "".join(
        f'<button type="button" data-index="{index}" aria-label="Take the example {noun} {readable(name)}" '
        f'title="{readable(name)}"><img src="{address(source)}" alt="" loading="lazy"></button>'
        for index, (name, source) in enumerate(examples)
    )
    return f'<div class="irss-examples"><span>or an example</span>{buttons}</div>' if buttons else ""


# --- tables and links ------------------------------------------------------------------------------------------------


def facts_table(columns: Sequence[str], rows: Mapping[str, Sequence[str]], *, caption: str) -> str:
    """Return a table with one column a model and one row a fact; a column's heading repeats beside narrow cells."""
    head = "".join(f'<th scope="col">{readable(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{readable(name)}</th>'
        + "".join(
            f'<td data-column="{readable(column)}">{readable(cell)}</td>'
            for column, cell in zip(columns, cells, strict=True)
        )
        + "</tr>"
        for name, cells in rows.items()
    )
    return (
        f'<div class="irss-table-box"><table class="irss-table"><caption>{readable(caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def definition_list(items: Mapping[str, str]) -> str:
    """Return name and value pairs."""
    pairs = "".join(f"<div><dt>{readable(name)}</dt><dd>{readable(value)}</dd></div>" for name, value in items.items())
    return f'<dl class="irss-facts">{pairs}</dl>'


def downloads(groups: Mapping[str, Iterable[Download]]) -> str:
    """Return the links to take results home, a row a model."""
    rows = []
    for title, files in groups.items():
        links = "".join(
            f'<a class="irss-download" href="{address(file.address)}" download="{readable(file.filename)}">'
            f"{readable(file.label)} <span>{size_words(file.size_bytes)}</span></a>"
            for file in files
        )
        rows.append(f'<div class="irss-download-row"><span>{readable(title)}</span><div>{links}</div></div>')
    return f'<section class="irss-downloads" aria-label="Downloads"><h3>Take it home</h3>{"".join(rows)}</section>'


def figure(source: str, *, alt: str, caption: str, css_class: str = "") -> str:
    """Return a picture under a sentence."""
    return (
        f'<figure class="irss-figure {css_class}"><figcaption>{readable(caption)}</figcaption>'
        f'<img src="{address(source)}" alt="{readable(alt)}" loading="lazy"></figure>'
    )


# --- the interactive elements (viewer.js) ----------------------------------------------------------------------------


def compare_viewer(sources: Sequence[Source], *, left: str, right: str, width: int, height: int) -> str:
    """Return the slider over any two of ``sources``; ``width`` x ``height`` are the pixels of the result."""
    data = [{**_choice(source), "src": quote(source.address)} for source in sources]
    return (
        f'<irss-compare data-sources="{_json(data)}" data-left="{left}" data-right="{right}" '
        f'data-width="{width}" data-height="{height}"></irss-compare>'
    )


def region_picker(source: str, *, width: int, height: int, size: int, corner: tuple[int, int], target: str) -> str:
    """Return the picture with a movable square whose upper left corner is at ``corner`` (x, y).

    Its place is written to the text field that the selector ``target`` finds.
    """
    return (
        f'<irss-region data-src="{address(source)}" data-width="{width}" data-height="{height}" '
        f'data-size="{size}" data-x="{corner[0]}" data-y="{corner[1]}" data-target="{html.escape(target)}">'
        "</irss-region>"
    )


def player(
    source: str,
    panels: Sequence[Source],
    *,
    left: str,
    right: str,
    width: int,
    height: int,
    fps: float,
    times_s: Sequence[float],
    row: int | None = None,
    row_target: str = "",
    stacked: int | None = None,
) -> str:
    """Return the lock-step player of one video that carries all panels, each ``width`` x ``height``, stacked.

    If a ``row`` is given, a movable line marks that pixel row of the profile; where it is moved to is written to the
    text field that the selector ``row_target`` finds. ``stacked`` is how many panels the video has, if not all are
    listed.
    """
    data = [_choice(panel) if panel.panel is None else {**_choice(panel), "panel": panel.panel} for panel in panels]
    times = [round(time_s, 6) for time_s in times_s]
    line = "" if row is None else f' data-row="{row}" data-row-target="{html.escape(row_target)}"'
    return (
        f'<irss-player data-src="{address(source)}" data-panels="{_json(data)}" data-left="{left}" '
        f'data-right="{right}" data-width="{width}" data-height="{height}" data-fps="{fps:.6g}" '
        f'data-frames="{len(times)}" data-times="{_json(times)}" data-stack="{stacked or len(panels)}"{line}>'
        "</irss-player>"
    )


def address(path: str) -> str:
    """Return a relative address with everything escaped that a file name may hold."""
    return html.escape(quote(path))


def _choice(source: Source) -> dict[str, object]:
    side = {"side": source.side} if source.side else {}
    return {"id": source.id, "label": source.label, **side}


def _json(value: object) -> str:
    return html.escape(json.dumps(value, ensure_ascii=False))
