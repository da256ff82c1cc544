"""Names, numbers and facts as the report prints them: cleaned of what no page can show, rounded, with their units."""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irss_core.bench.results import MetricInfo, QualityResults

NOTHING = "–"

# Names come from files and may hold anything; XML allows none of these, and a chart has room for one line only.
_NO_XML = re.compile("[^\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_ACRONYMS = {"irss": "IRSS", "sha256": "SHA-256", "os": "OS", "cpu": "CPU", "gpu": "GPU", "dtype": "precision"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SHORT = 12  # letters of a version: several go on one line
_UNITS = {"px": "px", "s": "s", "db": "dB", "bytes": "bytes"}


def plain(text: object) -> str:
    """Return the text on one line, without what XML and UTF-8 cannot hold."""
    return _NO_XML.sub("\ufffd", " ".join(str(text).split()))


def shortened(text: str, width: float, *, size: float) -> str:
    """Return as much of the text as fits into a width at a font size, both in px; "…" stands for its middle.

    The end stays because that is where names of checkpoints differ.
    """
    if text_width(text, size=size) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = cut(text, kept)
        if text_width(short, size=size) <= width:
            return short
    return "…"


def cut(text: str, length: int) -> str:
    """Return the text, with "…" for its middle if it is longer than that many letters."""
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def text_width(text: str, *, size: float) -> float:
    """Return about how wide the text is in the widest of the usual system fonts, in px."""
    return size * sum(_character_width(character) for character in text)


def _character_width(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in "MWm@%":
        return 0.98
    if character in "ijl.,:;|'! ":
        return 0.36
    if character in "tfrI()[]-/":
        return 0.42
    return 0.78 if character in "wGNOQDHU" else 0.66


def entry_labels(results: QualityResults) -> dict[str, str]:
    """Return what to call each entry, by name: its title, with the name behind it where two have the same title."""
    titles = {entry.name: plain(entry.title) or plain(entry.name) for entry in results.entries}
    times = Counter(titles.values())
    return {
        name: title if times[title] == 1 or title == plain(name) else f"{title} ({plain(name)})"
        for name, title in titles.items()
    }


def number(value: float | None, digits: int) -> str:
    """Return the value rounded; "∞" for infinity, "–" for none."""
    if value is None:
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return "not a number" if math.isnan(value) else f"{value:.{digits}f}"


def unit_of(metric: MetricInfo) -> str:
    """Return a metric's unit as it is printed: "1e-3" as a power of ten."""
    power = re.fullmatch(r"1e(-?\d+)", metric.unit)
    return f"× 10{power[1].translate(_RAISED)}" if power else plain(metric.unit)


def with_unit(value: float | None, metric: MetricInfo) -> str:
    """Return the value with the metric's digits and unit."""
    text = number(value, metric.digits)
    return f"{text} {unit_of(metric)}" if metric.unit and value is not None else text


def significant(value: float | None) -> str:
    """Return a positive number with three significant digits and no power of ten."""
    if value is None:
        return NOTHING
    if not math.isfinite(value) or value <= 0:
        return number(value, 0)
    digits = max(2 - math.floor(math.log10(value)), 0)
    return f"{value:.{min(digits, 9)}f}"


def counted_in(value: float, *, unit: str = "") -> str:
    """Return a large number in thousands (k), millions (M) or more, with three significant digits."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{significant(value / factor)} {letter}{unit}"
    return f"{value:.0f} {unit}".rstrip()


def many(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun: "1 clip", "2 clips"."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def joined(words: Sequence[str], *, last: str = "and") -> str:
    """Return a list in words: "a, b and c"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def listed(words: Sequence[str], *, at_most: int = 6) -> str:
    """Return a list in words that stops early: "a, b, c and 12 more"."""
    if len(words) <= at_most + 1:
        return joined(words)
    return f"{', '.join(words[:at_most])} and {len(words) - at_most} more"


@dataclass(frozen=True)
class Fact:
    """A line of a list of facts: text, or parts of its own."""

    label: str
    text: str
    parts: tuple[Fact, ...] = ()


def facts(values: Mapping[str, Any], *, names: Mapping[str, str] | None = None) -> tuple[Fact, ...]:
    """Return plain data as lines for people.

    Args:
        names: what to print instead of a value that is one of these keys: the labels of metrics.
    """
    return tuple(_fact(key, value, names or {}) for key, value in values.items())


def _fact(key: str, value: Any, names: Mapping[str, str]) -> Fact:
    words = plain(key).split("_") if " " not in key else [plain(key)]
    unit = _UNITS.get(words[-1], "") if len(words) > 1 and isinstance(value, int | float) else ""
    words = words[:-1] if unit else words
    label = " ".join(_ACRONYMS.get(word, word) for word in words)
    label = label[:1].upper() + label[1:]
    if (
        isinstance(value, Mapping)
        and value
        and all(isinstance(each, str) and len(each) <= _SHORT for each in value.values())
    ):
        return Fact(label, ", ".join(f"{plain(inner)} {_said(each, names)}" for inner, each in value.items()))
    if isinstance(value, Mapping):
        return Fact(label, "", tuple(_fact(inner, each, names) for inner, each in value.items()))
    if unit == "bytes":
        return Fact(label, counted_in(float(value), unit="B"))
    text = shlex.join(map(str, value)) if key == "command" and isinstance(value, list | tuple) else _said(value, names)
    return Fact(label, f"{text} {unit}".rstrip())


def _said(value: Any, names: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, str | list | tuple) and not value):
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{plain(key)}: {_said(each, names)}" for key, each in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_said(each, names) for each in value)
    return names.get(str(value), plain(value))
