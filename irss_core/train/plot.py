"""Draws how a run went: its losses and its validations over the iterations, as one SVG file."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irss_core.media.atomic import atomic_file

_NO_LOSS = {"iteration", "seconds", "minutes", "discriminator_learns"}
_COLUMNS = 3
_WINDOW = 0.02  # of the curve's length, averaged for the dark line


def draw(training: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the plot of a run's two logs, one panel a value; nothing if there is nothing to draw."""
    curves = [(entries, name) for entries in (validation, training) for name in _names(entries)]
    if not curves:
        return
    rows = math.ceil(len(curves) / _COLUMNS)
    figure = Figure(figsize=(4 * _COLUMNS, 2.4 * rows), layout="constrained")
    for index, (entries, name) in enumerate(curves):
        axes = figure.add_subplot(rows, _COLUMNS, index + 1)
        _curve(axes, entries, name, dots=entries is validation)
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    with atomic_file(path, overwrite=True) as file:
        file.write(stream.getvalue())


def _names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in dict.fromkeys(name for entry in entries for name in entry) if name not in _NO_LOSS]


def _curve(axes: Axes, entries: Sequence[Mapping[str, Any]], name: str, *, dots: bool) -> None:
    points = [(entry["iteration"], entry[name]) for entry in entries if entry.get(name) is not None]
    x, y = [float(each) for each, _ in points], [float(each) for _, each in points]
    axes.set_title(f"{name} (validation)" if dots else name, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, alpha=0.3)
    if dots:
        axes.plot(x, y, "o-", color="#b3541e", markersize=3)
        return
    axes.plot(x, y, color="#9db4c8", linewidth=0.6)
    axes.plot(x, _smooth(y, max(int(len(y) * _WINDOW), 1)), color="#1f4e79", linewidth=1.2)


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """Return each value averaged with up to ``window`` of its neighbours on either side."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    found = []
    for index in range(len(values)):
        low, high = max(index - window, 0), min(index + window + 1, len(values))
        found.append((sums[high] - sums[low]) / (high - low))
    return found
