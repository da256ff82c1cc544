"""Small pictures of what a visitor opened, for the page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from PIL import Image

from irss_core.media.images import Picture, thumbnail_rgb
from irss_core.media.video import ClipLimits, extract_frame
from irss_core.sr.resample import resize

_PREVIEW_SIDE = 1280


def write_preview(picture: Picture, target: Path) -> Path:
    """Return ``target``, written as a PNG of the picture, reduced to what a page shows."""
    Image.fromarray(thumbnail_rgb(picture, _PREVIEW_SIDE)).save(target, "PNG")
    return target


def write_poster(source: Path, target: Path, limits: ClipLimits) -> Path:
    """Return ``target``, written as a PNG of the clip's first frame.

    Raises:
        InputError: as reading a clip does.
    """
    Image.fromarray(extract_frame(source, 0, limits)).save(target, "PNG")
    return target


def within(picture: Picture, *, pixels: int) -> Picture:
    """Return the picture, reduced if it has more than ``pixels``."""
    height, width = picture.color.shape[:2]
    if height * width <= pixels:
        return picture
    factor = math.sqrt(pixels / (height * width))
    height, width = max(int(height * factor), 1), max(int(width * factor), 1)
    return replace(
        picture,
        color=resize(picture.color, height=height, width=width),
        alpha=None if picture.alpha is None else resize(picture.alpha, height=height, width=width),
    )
