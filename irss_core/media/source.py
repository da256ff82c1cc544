"""Opening a file somebody handed in: regular, readable, not empty, not too large; and wording what is wrong with it."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from irss_core.errors import CorruptMediaError, InputError, LimitExceededError, ResourceError
from irss_core.media.file_names import shown_name
from irss_core.media.limits import ImageLimits

_MAX_DETAIL = 160

_DECODER_COMPLAINTS = (
    SyntaxError,  # Pillow's word for a broken header
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What decoders raise on damaged files, short of OSError and MemoryError."""


@dataclass(frozen=True)
class Source:
    """A file open for reading, with the name to show for it."""

    name: str
    stream: BinaryIO
    size_bytes: int

    def read_all(self) -> bytes:
        """The whole file."""
        self.stream.seek(0)
        return self.stream.read(self.size_bytes)


@contextmanager
def open_source(path: Path, limits: ImageLimits) -> Iterator[Source]:
    """The file, open; closed again when the block ends.

    A pipe or a device is refused without opening it for good: reading one may block for ever.

    Raises:
        InputError: missing, a folder, a pipe or device, or not readable.
        CorruptMediaError: empty.
        LimitExceededError: longer than ``limits.max_bytes``.
    """
    name = shown_name(path)
    stream = _open_regular(path, name)
    with stream:
        size_bytes = os.fstat(stream.fileno()).st_size
        if size_bytes == 0:
            raise CorruptMediaError(f"{name} is empty (0 bytes). Copy or download it again.")
        limits.check_bytes(name, size_bytes)
        yield Source(name, stream, size_bytes)


def _open_regular(path: Path, name: str) -> BinaryIO:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        _require_regular(path.stat().st_mode, name)
        descriptor = os.open(path, flags)
    except FileNotFoundError as exc:
        raise InputError(f"There is no file {name}. Check its name and folder.") from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        raise _unreadable(name, exc) from exc
    stream = os.fdopen(descriptor, "rb")
    try:
        _require_regular(os.fstat(descriptor).st_mode, name)  # it may have been exchanged since
    except InputError:
        stream.close()
        raise
    return stream


def _require_regular(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise InputError(f"{name} is a folder, not a picture. Choose one file in it.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name} is a pipe or a device, not a file. Save the picture to a file first.")


def _unreadable(name: str, exc: OSError | ValueError) -> InputError:
    reason = getattr(exc, "strerror", None) or str(exc)
    return InputError(f"{name} cannot be read ({reason}). Check that the file exists and that you may read it.")


def corrupt(name: str, what: str) -> CorruptMediaError:
    """The error for a damaged file: what is wrong with it, and what to do."""
    return CorruptMediaError(
        f"{name} is damaged: {what}. Copy or download it again, or export it again from the program that made it."
    )


@contextmanager
def decoder_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a bad file into an error of ours that names the file.

    Raises:
        CorruptMediaError: the decoder could not make sense of the file.
        InputError: the file could not be read from its disk.
        LimitExceededError: the decoder's own size guard stepped in.
        ResourceError: memory ran out.
    """
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise LimitExceededError(
            f"{name} has more pixels than its decoder takes ({_detail(exc)}). "
            "Save it as PNG, or make it smaller; IRSS_MAX_IMAGE_PIXELS cannot move this limit."
        ) from exc
    except MemoryError as exc:
        raise ResourceError(
            f"There is not enough memory to decode {name}. Close other programs, or make the picture smaller "
            "(lower IRSS_MAX_IMAGE_PIXELS to refuse such pictures at once)."
        ) from exc
    except OSError as exc:
        if exc.errno is not None:
            raise _unreadable(name, exc) from exc
        raise corrupt(name, f"it ends too early or cannot be decoded ({_detail(exc)})") from exc
    except _DECODER_COMPLAINTS as exc:
        raise corrupt(name, f"it cannot be decoded ({_detail(exc)})") from exc


def _detail(exc: BaseException) -> str:
    text = "".join(c for c in str(exc) if c.isprintable()) or type(exc).__name__
    return text[:_MAX_DETAIL]
