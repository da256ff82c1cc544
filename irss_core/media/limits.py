"""Which files are taken for stills and clips by their ending, and how large they may be. Loads no decoder."""

from __future__ import annotations

from dataclasses import dataclass

from irss_core.errors import CorruptMediaError, LimitExceededError

IMAGE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".avif"}
)

CLIP_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".gif", ".webp"}
)
"""Endings a folder is searched for. Reading a file goes by its content, so a wrong ending does no harm."""


@dataclass(frozen=True)
class ImageLimits:
    """How large a still may be; checked against the header, before a pixel is decoded."""

    max_pixels: int = 40_000_000
    max_side: int = 16_384
    max_bytes: int = 268_435_456

    def check_bytes(self, name: str, size_bytes: int) -> None:
        """Pass if the file is small enough.

        Raises:
            LimitExceededError: it is not.
        """
        if size_bytes > self.max_bytes:
            raise LimitExceededError(
                f"{name} is {size_bytes:,} bytes long; at most {self.max_bytes:,} are taken. "
                "Save it smaller (for example as JPEG or WebP), or raise IRSS_MAX_IMAGE_BYTES."
            )

    def check_size(self, name: str, width: int, height: int) -> None:
        """Pass if the picture has a possible size within the limits.

        Raises:
            CorruptMediaError: a side is zero or negative.
            LimitExceededError: a side or the number of pixels is over the limit.
        """
        size = f"{name} is {width:,} x {height:,} pixels"
        if width < 1 or height < 1:
            raise CorruptMediaError(
                f"{size}, which no picture can be: at least 1 x 1 is needed. "
                "Export it again from the program that made it."
            )
        if max(width, height) > self.max_side:
            raise LimitExceededError(
                f"{size}; the longer side may be at most {self.max_side:,}. "
                "Make the picture smaller, or raise IRSS_MAX_IMAGE_SIDE."
            )
        if width * height > self.max_pixels:
            raise LimitExceededError(
                f"{size}, {width * height:,} in all; at most {self.max_pixels:,} are taken. "
                "Make the picture smaller, or raise IRSS_MAX_IMAGE_PIXELS."
            )


@dataclass(frozen=True)
class ClipLimits:
    """The largest clip that is accepted."""

    max_seconds: float = 600.0
    max_frames: int = 36_000
    max_bytes: int = 2 * 1024**3
    max_frame_pixels: int = 3840 * 2160
