"""Side-by-side sheets: arrays and labels in, one labelled picture out. No files, no models, no settings.

``compose_sheet`` lays out stills with their captions; ``FrameSheet`` does the same for every frame of a clip, whose
captions are drawn once and whose size never changes.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.uint8]

_PAPER = (246, 246, 247)
_INK = (24, 24, 27)
_INK_SOFT = (95, 95, 105)
_COLUMNS_AT_MOST = 4
_LEAST_COLUMN = 280  # so that a caption under a thumbnail still has room for a few words a line
_FONT_SIZES = range(14, 45)
# Pillow's own font knows ASCII; for a heading with other characters, the first of these that has them all.
_WIDER_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
)


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet, HxWx3 uint8 RGB, and what is written over it."""

    title: str
    image: Array
    facts: tuple[str, ...] = ()


def compose_sheet(panels: Sequence[Panel], *, heading: str = "") -> Array:
    """Return HxWx3 uint8 RGB: the panels side by side, every pixel of theirs unchanged, each under its caption.

    More than four panels go on several rows of nearly equal length.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("a sheet needs at least one panel")
    images = [panel.image for panel in panels]
    type_size = _type_size(max(image.shape[1] for image in images))
    gap = type_size
    column_width = max(_LEAST_COLUMN, *(image.shape[1] for image in images))
    columns = grid_columns(len(panels))
    width = columns * column_width + (columns + 1) * gap

    captions = [_caption(panel.title, panel.facts, column_width, type_size) for panel in panels]
    bands = [_blank(width, gap)]
    if heading:
        block = _text_block([(heading, type_size, _INK_SOFT)], width - 2 * gap)
        bands += [_indent(block, width, gap), _blank(width, gap)]
    for first in range(0, len(panels), columns):
        row = slice(first, first + columns)
        bands += [_row(captions[row], column_width, width, gap), _blank(width, gap // 2)]
        bands += [_row(images[row], column_width, width, gap), _blank(width, gap)]
    return np.concatenate(bands)


class FrameSheet:
    """Lays equally large frames side by side under titles that are drawn once.

    ``width`` and ``height`` are the composed frame's, both even, as most video encoders want them.
    """

    def __init__(self, titles: Sequence[str], frame_width: int, frame_height: int) -> None:
        if not titles:
            raise ValueError("a sheet needs at least one title")
        size = _type_size(frame_width)
        self._frame_shape = (frame_height, frame_width, 3)
        gap = 2 + (frame_width * len(titles) % 2 if len(titles) > 1 else 0)
        self._lefts = [index * (frame_width + gap) for index in range(len(titles))]
        used = self._lefts[-1] + frame_width
        blocks = [_text_block([(title, size, _PAPER)], max(frame_width - size, 1), paper=_INK) for title in titles]
        self._top = max(block.shape[0] for block in blocks) + size // 2
        self.width = used + used % 2
        self.height = self._top + frame_height + (self._top + frame_height) % 2
        self._canvas = np.empty((self.height, self.width, 3), np.uint8)
        self._canvas[:] = _INK
        for block, left in zip(blocks, self._lefts, strict=True):
            tall, wide = block.shape[:2]
            wide = min(wide, frame_width - min(size // 2, frame_width - 1))
            start = left + min(size // 2, frame_width - 1)
            self._canvas[size // 4 : size // 4 + tall, start : start + wide] = block[:, :wide]

    def compose(self, frames: Sequence[Array]) -> Array:
        """Return a new HxWx3 uint8 RGB array of ``height`` x ``width`` with one HxWx3 uint8 frame under each title.

        Raises:
            ValueError: another number of frames than titles, or a frame of another size than announced.
        """
        if len(frames) != len(self._lefts):
            raise ValueError(f"{len(frames)} frames for {len(self._lefts)} titles")
        canvas = self._canvas.copy()
        for frame, left in zip(frames, self._lefts, strict=True):
            if frame.shape != self._frame_shape:
                raise ValueError(f"a frame of shape {frame.shape} where {self._frame_shape} was announced")
            canvas[self._top : self._top + frame.shape[0], left : left + frame.shape[1]] = frame
        return canvas


def enlarge_pixels(image: Array, width: int, height: int) -> Array:
    """Return ``image`` (HxWxC) at ``width`` x ``height`` by nearest pixel: they show as squares."""
    rows = (np.arange(height) * image.shape[0]) // height
    columns = (np.arange(width) * image.shape[1]) // width
    return np.ascontiguousarray(image[rows][:, columns])


def grid_columns(count: int) -> int:
    """Return how many of ``count`` panels stand in a row: all up to four, beyond that rows of nearly equal length."""
    rows = -(-count // _COLUMNS_AT_MOST)
    return -(-count // rows)


def wrap_text(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return the text as lines no wider than ``width`` pixels, broken at spaces, or inside words that have none."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *pieces, line = _pieces(word, font, width)
        lines += pieces
    return [*lines, line] if line or not lines else lines


def _pieces(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return the word cut where it would be wider than ``width``; every piece has at least one character."""
    pieces = []
    while len(word) > 1 and font.getlength(word) > width:
        fitting = bisect_right(range(1, len(word)), width, key=lambda n: ceil(font.getlength(word[:n])))
        cut = max(fitting, 1)
        pieces.append(word[:cut])
        word = word[cut:]
    return [*pieces, word]


def _type_size(panel_width: int) -> int:
    """Return the size of the sheet's type in pixels, so that it reads alike at every panel width."""
    return max(_FONT_SIZES.start, min(panel_width // 28, _FONT_SIZES.stop - 1))


@lru_cache(maxsize=32)
def _font(size: int, name: str = "") -> ImageFont.FreeTypeFont | None:
    """Return Pillow's own font, or the named one if this system has it."""
    try:
        font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None
    return font if isinstance(font, ImageFont.FreeTypeFont) else None


def _font_for(text: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return a font that has every character of the text, and the text; "?" stands for those that no font here has."""
    own = _font(size)
    if own is None:  # the bitmap font of a Pillow built without FreeType has one size and no widths
        raise RuntimeError("Pillow was built without FreeType, so no labels can be drawn. Install Pillow's own wheel.")
    if not text.isascii():
        for name in _WIDER_FONTS:
            font = _font(size, name)
            if font is not None and all(_has_glyph(font, character) for character in set(text)):
                return text, font
        bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        text = bare.encode("ascii", "replace").decode("ascii")
    return text, own


def _has_glyph(font: ImageFont.FreeTypeFont, character: str) -> bool:
    return character.isspace() or bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _drawable(text: str) -> str:
    """Return the text without what cannot be drawn: lone surrogates (from non-UTF-8 names) and controls."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in whole)


def _caption(title: str, facts: Sequence[str], width: int, size: int) -> Array:
    small = max(round(size * 0.8), _FONT_SIZES.start - 2)
    return _text_block([(title, round(size * 1.15), _INK), *((fact, small, _INK_SOFT) for fact in facts)], width)


def _text_block(
    lines: Sequence[tuple[str, int, tuple[int, int, int]]], width: int, *, paper: tuple[int, int, int] = _PAPER
) -> Array:
    """Return HxWx3 uint8 RGB of ``width``, as tall as the wrapped (text, size, ink) lines need."""
    wrapped = []
    for text, size, ink in lines:
        shown, font = _font_for(_drawable(text), size)
        wrapped += [(part, font, round(size * 1.4), ink) for part in wrap_text(shown, font, width)]
    block = Image.new("RGB", (width, sum(leading for _, _, leading, _ in wrapped)), paper)
    draw = ImageDraw.Draw(block)
    top = 0
    for part, font, leading, ink in wrapped:
        draw.text((0, top), part, fill=ink, font=font)
        top += leading
    return np.array(block)


def _blank(width: int, height: int) -> Array:
    band = np.empty((height, width, 3), np.uint8)
    band[:] = _PAPER
    return band


def _indent(block: Array, width: int, left: int) -> Array:
    band = _blank(width, block.shape[0])
    band[:, left : left + block.shape[1]] = block
    return band


def _row(blocks: Sequence[Array], column_width: int, width: int, gap: int) -> Array:
    """Return a band of ``width`` with each block in the upper left corner of its column."""
    tall = max(block.shape[0] for block in blocks)
    band = _blank(width, tall)
    for index, block in enumerate(blocks):
        left = gap + index * (column_width + gap)
        band[: block.shape[0], left : left + block.shape[1]] = block
    return band
