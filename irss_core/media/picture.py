"""What a still is in memory, and what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irss_core.media.limits import ImageLimits

Pixels = npt.NDArray[Any]
"""An array of ``uint8`` or ``uint16`` samples, full range, RGB order where there are three channels."""

OUTPUT_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
"""What stills are written as."""

_MOVING_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True)
class ImageHeader:
    """What a still's header says. ``width`` and ``height`` are those after the EXIF orientation.

    ``mode`` is Pillow's name for the stored layout, with ``;16`` appended to colour of 16 bits (``RGB;16``).
    ``bit_depth`` is what :func:`read_image` returns: 16 for more than 8 bits a channel, else 8. ``frames`` counts the
    frames of an animation or the pages of a TIFF, as far as they are counted (see ``pages.py``). ``orientation`` is
    EXIF's, already applied to the sides; ``exif`` and ``icc_profile`` are what will travel with the pixels, if sound.
    """

    format: str
    width: int
    height: int
    mode: str
    bit_depth: int
    has_alpha: bool
    frames: int
    size_bytes: int
    orientation: int = 1
    exif: bytes | None = None
    icc_profile: bytes | None = None

    @property
    def animated(self) -> bool:
        """Whether the frames are moments (GIF, WebP, PNG, AVIF) and not pages (TIFF)."""
        return self.frames > 1 and self.format in _MOVING_FORMATS


@dataclass(frozen=True, eq=False)
class Picture:
    """A still in memory, upright, with what must travel with its pixels.

    Args:
        color: HxWx3 (RGB) or HxWx1 (grey), ``uint8`` or ``uint16``, full range, C-contiguous.
        alpha: HxW, same dtype, straight (not premultiplied), 0 is transparent; None where the format had none.
        icc_profile: the colour profile's bytes as they were in the file, fitting ``color``.
        exif: an EXIF block starting with ``Exif\\0\\0``; position, thumbnail and maker notes removed, orientation 1.
        format: what the file was (``PNG``, ``JPEG`` ...).
        notes: sentences for the user on what was changed or left out while reading.
    """

    color: Pixels
    alpha: Pixels | None
    icc_profile: bytes | None
    exif: bytes | None
    format: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        color, alpha = self.color, self.alpha
        if color.ndim != 3 or color.shape[2] not in (1, 3) or 0 in color.shape:
            raise ValueError(f"color must be HxWx3 or HxWx1 and not empty, not {color.shape}")
        if color.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"color must be uint8 or uint16, not {color.dtype}")
        object.__setattr__(self, "color", np.ascontiguousarray(color))
        if alpha is None:
            return
        if alpha.shape != color.shape[:2] or alpha.dtype != color.dtype:
            raise ValueError(
                f"alpha must be {color.shape[:2]} of {color.dtype}, like color, not {alpha.shape} of {alpha.dtype}"
            )
        object.__setattr__(self, "alpha", np.ascontiguousarray(alpha))

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.color.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.color.shape[0])

    @property
    def bit_depth(self) -> int:
        """Bits a channel: 8 or 16."""
        return 8 * self.color.dtype.itemsize
