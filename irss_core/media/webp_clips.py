"""Animated WebP: its header read without decoding, its frames one at a time (ffmpeg cannot read it; Pillow can)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from irss_core.errors import CorruptMediaError, LimitExceededError

_ANIMATION_FLAG = 0x02
_ALPHA_FLAG = 0x10
# Browsers show frames of 10 ms or less for 100 ms, as they do in GIFs: such files were never meant to be that fast.
_SHORTEST_MS = 10
_REPLACED_MS = 100


@dataclass(frozen=True)
class WebpHeader:
    """Canvas size of a WebP, whether it is animated, and how long its first ``len(durations)`` frames are shown."""

    width: int
    height: int
    animated: bool
    has_alpha: bool
    durations: tuple[Fraction, ...]


def read_webp_header(path: Path, *, max_frames: int) -> WebpHeader:
    """The header of a WebP file, its chunks walked without decoding; at most ``max_frames`` + 1 durations.

    Raises:
        CorruptMediaError: a chunk reaches beyond the end of the file.
    """
    with path.open("rb") as file:
        file.seek(12)
        chunk = file.read(8)
        if chunk[:4] != b"VP8X":
            return WebpHeader(0, 0, animated=False, has_alpha=False, durations=())
        flags = file.read(10)
        if len(flags) < 10:
            raise _cut_off(path)
        file.seek(20 + _padded(chunk))
        animated = bool(flags[0] & _ANIMATION_FLAG)
        durations: list[Fraction] = []
        for duration in _frame_durations(file, path) if animated else ():
            durations.append(duration)
            if len(durations) > max_frames:
                break
    return WebpHeader(
        width=1 + int.from_bytes(flags[4:7], "little"),
        height=1 + int.from_bytes(flags[7:10], "little"),
        animated=len(durations) > 1,
        has_alpha=bool(flags[0] & _ALPHA_FLAG),
        durations=tuple(durations),
    )


def webp_frames(path: Path, header: WebpHeader) -> Iterator[np.ndarray]:
    """The frames of an animated WebP, one at a time: HxWx3 uint8 RGB, or HxWx4 RGBA; the file's bytes stay in memory.

    Raises:
        CorruptMediaError: a frame cannot be decoded; the message names it.
    """
    try:
        opened = Image.open(path, formats=["WEBP"])
    except Image.DecompressionBombError as exc:
        raise LimitExceededError(f"{path.name} has frames too large for an animated WebP: {exc}. Use MP4.") from exc
    except (OSError, SyntaxError, ValueError) as exc:
        raise CorruptMediaError(f"{path.name} looks like webp but cannot be read. Get the file again.") from exc
    with opened as image:
        for index in range(len(header.durations)):
            try:
                image.seek(index)
                picture = image.convert("RGBA" if header.has_alpha else "RGB")
            except (OSError, EOFError, SyntaxError, ValueError) as exc:
                raise CorruptMediaError(
                    f"{path.name}: frame {index} of {len(header.durations)} cannot be decoded ({exc}); the file is"
                    " damaged. Get it again from where it came."
                ) from exc
            yield np.array(picture)


def _frame_durations(file: BinaryIO, path: Path) -> Iterator[Fraction]:
    size = path.stat().st_size
    while len(chunk := file.read(8)) == 8:
        start = file.tell()
        if start + int.from_bytes(chunk[4:], "little") > size:
            raise _cut_off(path)
        if chunk[:4] == b"ANMF":
            milliseconds = int.from_bytes(file.read(16)[12:15], "little")
            yield Fraction(milliseconds if milliseconds > _SHORTEST_MS else _REPLACED_MS, 1000)
        file.seek(start + _padded(chunk))


def _padded(chunk: bytes) -> int:
    size = int.from_bytes(chunk[4:8], "little")
    return size + size % 2


def _cut_off(path: Path) -> CorruptMediaError:
    return CorruptMediaError(f"{path.name} is a WebP that was cut off ({path.stat().st_size:,} bytes). Get it again.")
