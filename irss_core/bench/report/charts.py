"""The report's four kinds of charts as SVG: bars, dots on a line a sample, points over time, lines over frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from irss_core.bench.report.labels import is_away, place_labels
from irss_core.bench.report.svg import (
    FONT_SIZE,
    GRID,
    INK,
    PAPER,
    QUIET,
    SHADE,
    SMALL,
    draw,
    series_color,
    series_dashes,
    series_marker,
)
from irss_core.bench.report.words import shortened, text_width

WIDTH = 520.0  # px, so that letters can still be read when a phone shows it at 350

_BAR_HEIGHT = 22.0
_LABELS_WIDTH = 186.0
_VALUES_WIDTH = 72.0
_TICKS = 6
_STRIP_HEIGHT = 19.0
_ALL_MARKED = 40  # frames up to which every one gets its marker


@dataclass(frozen=True)
class Bar:
    """A bar with its label on the left and its value behind it; ``number`` is the entry's. Infinity has no bar."""

    label: str
    value: float | None
    text: str
    number: int
    best: bool = False


def bars(rows: Sequence[Bar], *, span: tuple[float, float], name: str, words: str) -> str:
    """Return horizontal bars from zero. ``span`` has zero and every value in it, the same in charts to be compared."""
    low, high = span
    height = _BAR_HEIGHT * len(rows) + 8
    scale = (WIDTH - _LABELS_WIDTH - _VALUES_WIDTH) / ((high - low) or 1.0)
    zero = _LABELS_WIDTH - low * scale

    def paint(figure: Figure) -> None:
        axes = _canvas(figure, height)
        for index, row in enumerate(rows):
            y = 4 + _BAR_HEIGHT * (index + 0.5)
            length = row.value * scale if row.value is not None and math.isfinite(row.value) else 0.0
            label = shortened(row.label, _LABELS_WIDTH - 12, size=FONT_SIZE)
            axes.text(_LABELS_WIDTH - 8, y, label, ha="right", va="center_baseline", fontsize=FONT_SIZE)
            axes.add_patch(Rectangle((zero, y - 7), length, 14, facecolor=series_color(row.number), linewidth=0))
            weight = "bold" if row.best else "normal"
            x = zero + max(length, 0) + 6
            axes.text(x, y, row.text, va="center_baseline", fontsize=FONT_SIZE, fontweight=weight)
        axes.plot([zero, zero], [2, height - 2], color=QUIET, linewidth=1)

    return draw(paint, width=WIDTH, height=height, name=name, words=words)


def strips(
    rows: Sequence[tuple[str, Sequence[float | None]]], *, numbers: Sequence[int], axis: str, name: str, words: str
) -> str:
    """Return one line a row with a dot for every value; ``numbers`` are the entries' that the values belong to."""
    top, bottom = 44.0, 26.0
    height = top + _STRIP_HEIGHT * len(rows) + bottom
    finite = [value for _, values in rows for value in values if value is not None and math.isfinite(value)]

    def paint(figure: Figure) -> None:
        axes = _axes(figure, height, left=_LABELS_WIDTH, top=top, bottom=bottom, right=14)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(*_widened(finite))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.tick_params(labeltop=True)
        labels = [shortened(label, _LABELS_WIDTH - 12, size=SMALL) for label, _ in rows]
        axes.yaxis.set_major_locator(FixedLocator(range(len(rows))))
        axes.set_yticks(range(len(rows)), labels, color=INK)
        for column, number in enumerate(numbers):
            places = [
                (value, index)
                for index, (_, values) in enumerate(rows)
                if (value := values[column]) is not None and math.isfinite(value)
            ]
            axes.plot(
                [x for x, _ in places], [y for _, y in places], linestyle="none", marker=series_marker(number),
                markersize=7, color=series_color(number), markeredgecolor=PAPER, markeredgewidth=0.7,
            )  # fmt: skip
        figure.text(1 - 14 / WIDTH, 1 - 12 / height, axis, ha="right", va="center_baseline", color=QUIET)

    return draw(paint, width=WIDTH, height=height, name=name, words=words)


@dataclass(frozen=True)
class Point:
    """An entry in a plane; ``x`` is positive, both are finite."""

    label: str
    x: float
    y: float
    number: int


def scatter(points: Sequence[Point], *, x_axis: str, y_axis: str, name: str, words: str) -> str:
    """Return labelled points over a logarithmic x-axis."""
    height, top = 340.0, 34.0

    def paint(figure: Figure) -> None:
        axes = _axes(figure, height, left=58, top=top, bottom=48, right=14)
        axes.set_xscale("log")
        low, high = min(point.x for point in points) / 1.7, max(point.x for point in points) * 1.7
        axes.set_xlim(low, high)
        axes.set_ylim(*_widened([point.y for point in points], share=0.18))
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _decimal(value)))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel(x_axis)
        figure.text(8 / WIDTH, 1 - 14 / height, y_axis, va="center_baseline", color=QUIET)
        for point in points:
            axes.plot(
                [point.x], [point.y], marker=(marker := series_marker(point.number)),
                markersize=8.5 if marker in "Ds" else 10.5, color=series_color(point.number), markeredgecolor=PAPER,
            )  # fmt: skip
        _label_points(figure, axes, points, height=height)

    return draw(paint, width=WIDTH, height=height, name=name, words=words)


def _label_points(figure: Figure, axes: Axes, points: Sequence[Point], *, height: float) -> None:
    """Write every point's name beside it, on a canvas in px that lies over the axes."""
    pixels = [axes.transData.transform((point.x, point.y)) for point in points]
    places_of_points = [(float(x), height - float(y)) for x, y in pixels]
    texts = [shortened(point.label, 190, size=SMALL) for point in points]
    sizes = [(text_width(text, size=SMALL), SMALL + 3) for text in texts]
    places = place_labels(places_of_points, sizes, bounds=(60, 26, WIDTH - 2, height - 50))
    canvas = _canvas(figure, height)
    for (x, y), text, place in zip(places_of_points, texts, places, strict=True):
        left, upper, right, lower = place
        if is_away((x, y), place):
            near = min(max(x, left), right), min(max(y, upper), lower)
            canvas.plot([x, near[0]], [y, near[1]], color=QUIET, linewidth=0.8, zorder=0)
        # Letters are narrower in most fonts than was reckoned: kept on the side of the point.
        beside = "left" if left >= x else "right" if right <= x else "center"
        at = {"left": left, "right": right, "center": (left + right) / 2}[beside]
        canvas.text(at, (upper + lower) / 2, text, ha=beside, va="center_baseline", fontsize=SMALL)


@dataclass(frozen=True)
class Line:
    """An entry's values over the frames; None where there is none, or an infinite one."""

    number: int
    frames: tuple[int, ...]
    values: tuple[float | None, ...]


def lines(series: Sequence[Line], *, shaded: Sequence[tuple[int, int]], x_axis: str, name: str, words: str) -> str:
    """Return a line an entry; ``shaded`` are first and last frames of what does not count."""
    height = 210.0

    def paint(figure: Figure) -> None:
        axes = _axes(figure, height, left=58, top=8, bottom=42, right=10)
        frames = [frame for line in series for frame in line.frames]
        axes.set_xlim(min(frames) - 0.5, max(frames) + 0.5)
        axes.set_ylim(*_widened([value for line in series for value in line.values if value is not None]))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(x_axis)
        for first, last in shaded:
            axes.axvspan(first - 0.5, last + 0.5, facecolor=SHADE, linewidth=0, zorder=0)
        for line in series:
            axes.add_line(_line(line))

    return draw(paint, width=WIDTH, height=height, name=name, words=words)


def _line(line: Line) -> Line2D:
    count = len(line.values)
    step = 1 if count <= _ALL_MARKED else count // 12
    return Line2D(
        line.frames,
        [math.nan if value is None else value for value in line.values],
        color=series_color(line.number),
        linewidth=1.6,
        linestyle=series_dashes(line.number),
        marker=series_marker(line.number),
        markersize=5,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
        markevery=(line.number * step // 3 % step, step),
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones: of 1, 2 and 5 times powers of ten as many as have room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for digits in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{digit}e{power}") for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _TICKS:
            return ticks
    return ticks[:: math.ceil(len(ticks) / _TICKS)]


def _decimal(value: float) -> str:
    return f"{value:.{max(-math.floor(math.log10(value)), 0)}f}"


def _widened(values: Sequence[float], *, share: float = 0.06) -> tuple[float, float]:
    """Return the range of the values with some room at both ends."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def _axes(figure: Figure, height: float, *, left: float, top: float, bottom: float, right: float) -> Axes:
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    )
    axes.grid(color=GRID)
    axes.ticklabel_format(style="plain")
    return axes


def _canvas(figure: Figure, height: float) -> Axes:
    """Return invisible axes over the whole drawing, in px from its upper left corner."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    return axes
