"""Draws with matplotlib into SVG that lives in the report's page: the page's colours and fonts, ids of its own.

A drawing is made in placeholder colours that stand for CSS variables, so that one SVG serves light, dark and paper.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

# Never seen: each is replaced by the CSS variable behind it.
INK, QUIET, GRID, SHADE, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES_COLORS = 8
_VARIABLES = {INK: "--fg", QUIET: "--muted", GRID: "--line", SHADE: "--shade", PAPER: "--card"}

FONT_SIZE = 13.0
SMALL = 12.0

# A series' marker, and the same shape for legends in the page, in a square of 12 px.
_MARKERS = "os^DvPX<"
_DASHES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
_SHAPES = (
    "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
    "M2 2h8v8h-8z",
    "M6 1L11 10.5H1z",
    "M6 .5L11.5 6L6 11.5L.5 6z",
    "M6 11L1 1.5H11z",
    "M4 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "M3.5 1L6 3.5L8.5 1L11 3.5L8.5 6L11 8.5L8.5 11L6 8.5L3.5 11L1 8.5L3.5 6L1 3.5z",
    "M1 6L10.5 1V11z",
)

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the layout is the same on every machine
    "font.size": SMALL,
    "figure.dpi": 72,
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}

_LONG_FRACTION = re.compile(r"(-?\d+\.\d{2})\d+")
_COLOR = re.compile(r"#[0-9a-f]{6}")
_FONT_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_NO_ROTATION = re.compile(r"rotate\(-?0(\.0)? .*\)")
_REFERENCE = re.compile(r"(?:url\()?#([\w-]+)\)?")
_XLINK = "{http://www.w3.org/1999/xlink}href"

_drawing = threading.Lock()  # matplotlib's settings belong to the whole process


def series_color(number: int) -> str:
    """Return the placeholder of an entry's colour."""
    return f"#0a0b{number % SERIES_COLORS:02x}"


def series_variable(number: int) -> str:
    """Return the CSS variable of an entry's colour."""
    return f"--series-{number % SERIES_COLORS}"


def series_marker(number: int) -> str:
    """Return an entry's marker for matplotlib; colour and marker together stand for one entry of up to 64."""
    return _MARKERS[_shape(number)]


def series_shape(number: int) -> str:
    """Return the same marker as the path of an SVG of 12 x 12."""
    return _SHAPES[_shape(number)]


def series_dashes(number: int) -> Literal["-", "--", "-.", ":"]:
    """Return an entry's kind of line: whole for the first of its colour, then dashed and dotted."""
    return _DASHES[number // SERIES_COLORS % len(_DASHES)]


def draw(paint: Callable[[Figure], None], *, width: float, height: float, name: str, words: str) -> str:
    """Return what ``paint`` draws as an SVG element for a page; the same drawing gives the same text.

    Args:
        width, height: in px.
        name: plain letters and digits; ids begin with it, so it must be this drawing's own on the page.
        words: what is to be seen, for those who cannot see it.
    """
    out = io.BytesIO()
    with _drawing, mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that DejaVu lacks: the reader's own fonts draw it
        mpl.rcdefaults()  # not what the user's own matplotlibrc says
        mpl.rcParams.update({**_RC, "svg.hashsalt": name})
        figure = Figure(figsize=(width / 72, height / 72), facecolor="none")
        paint(figure)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(out.getvalue(), name=name, words=words, width=width, height=height)


def _shape(number: int) -> int:
    return (number + number // SERIES_COLORS) % len(_MARKERS)


def _for_page(svg: bytes, *, name: str, words: str, width: float, height: float) -> str:
    root = ElementTree.fromstring(svg)  # noqa: S314  written just now, by matplotlib
    _drop_unused(root)
    used = {match for element in root.iter() for match in _references(element)}
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            unused = key == "id" and value not in used
            if not unused and not _NO_ROTATION.fullmatch(value):
                element.set(*_attribute(key, value, name))
        if element.tag != "text":
            element.text = None  # line breaks and indents
        element.tail = None
    root.attrib.clear()
    label = ElementTree.Element("title")
    label.text = words
    root.insert(0, label)
    for key, value in (("viewBox", f"0 0 {width:g} {height:g}"), ("width", f"{width:g}"), ("height", f"{height:g}")):
        root.set(key, value)
    root.set("role", "img")
    root.set("aria-label", words)
    return ElementTree.tostring(root, encoding="unicode")


def _drop_unused(root: ElementTree.Element) -> None:
    """Remove the metadata, and the style that would apply to the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.partition("}")[2] in {"metadata", "style"}:
                parent.remove(child)


def _references(element: ElementTree.Element) -> list[str]:
    linked = (element.get(_XLINK), element.get("clip-path"))
    return [match[1] for value in linked if value and (match := _REFERENCE.fullmatch(value))]


def _attribute(key: str, value: str, name: str) -> tuple[str, str]:
    """Return an attribute as the page has it."""
    if key == "id":
        return key, f"{name}-{value}"
    if key in {_XLINK, "clip-path"}:
        return key.rpartition("}")[2], value.replace("#", f"#{name}-")
    if key == "style":
        value = _FONT_FAMILY.sub("", value)
        value = _COLOR.sub(lambda m: _variable(m[0]), value)
    return key, _LONG_FRACTION.sub(r"\1", value)


def _variable(color: str) -> str:
    series = {series_color(number): series_variable(number) for number in range(SERIES_COLORS)}
    variable = {**_VARIABLES, **series}.get(color)
    return f"var({variable})" if variable else color
