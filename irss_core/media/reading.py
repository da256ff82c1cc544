"""What a format's reader answers: the header's facts, and the way to decode the pixels when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from irss_core.errors import UnsupportedFormatError
from irss_core.media.picture import Pixels


@dataclass(frozen=True)
class Decoded:
    """Pixels as stored (not yet turned upright), with what came along. Arrays as in :class:`Picture`."""

    color: Pixels
    alpha: Pixels | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspected:
    """What a header says, sides as stored; ``decode`` does the rest and is called at most once.

    ``exif`` is the cleaned block that will travel on, ``icc_profile`` the profile as stored.
    """

    width: int
    height: int
    mode: str
    bit_depth: int
    has_alpha: bool
    decode: Callable[[], Decoded]
    frames: int = 1
    orientation: int = 1
    exif: bytes | None = None
    icc_profile: bytes | None = None


def present(*notes: str | None) -> tuple[str, ...]:
    """The notes that say something."""
    return tuple(note for note in notes if note)


def split_samples(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """HxW[xC] samples as colour (HxWx1 or HxWx3) and alpha (HxW; None for C of 1 and 3)."""
    if samples.ndim == 2:
        samples = samples[..., None]
    channels = samples.shape[2]
    if channels in (1, 3):
        return np.ascontiguousarray(samples), None
    return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])


def image_samples(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """A decoded Pillow image of up to 8 bits as colour and alpha; palettes resolved, grey kept grey.

    Raises:
        UnsupportedFormatError: a mode without a sane 8-bit meaning (32-bit integers, floating point, Lab).
    """
    mode = _target_mode(image)
    if mode is None:
        raise UnsupportedFormatError(
            f"Pictures in the layout {image.mode!r} are not read; grey, RGB and CMYK of 1 to 16 bits a channel are. "
            "Save the picture with 8 or 16 bits a channel."
        )
    return split_samples(np.array(image if image.mode == mode else image.convert(mode)))


def _target_mode(image: Image.Image) -> str | None:
    transparent = "transparency" in image.info
    if image.mode in ("1", "L"):
        return "LA" if transparent else "L"
    if image.mode in ("LA", "La"):
        return "LA"
    if image.mode == "PA" or (image.mode in ("P", "RGB") and transparent) or image.mode in ("RGBA", "RGBa"):
        return "RGBA"
    return "RGB" if image.mode in ("P", "RGB", "RGBX", "YCbCr") else None
