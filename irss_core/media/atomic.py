"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from irss_core.errors import InvalidOptionError, OutputExistsError, ResourceError
from irss_core.media.file_names import shown_name

_FULL_OR_FAILING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


@contextmanager
def atomic_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A stream whose bytes become ``path`` when the block ends well; nothing is left of them when it does not.

    They are written beside the target under another name, flushed to the disk, and renamed.

    Raises:
        InvalidOptionError: the target cannot be a file (no such folder, a folder itself, not writable).
        OutputExistsError: ``path`` exists, or came to exist meanwhile, and ``overwrite`` is off.
        ResourceError: the disk is full or failing.
    """
    if path.is_dir():
        raise InvalidOptionError(f"{shown_name(path)} is a folder. Give the name of a file in it.")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    part = path.with_name(f".irss-{secrets.token_hex(8)}.part")
    try:
        stream = part.open("xb")
    except OSError as exc:
        raise InvalidOptionError(
            f"{shown_name(path)} cannot be written in the folder {path.parent} ({exc.strerror}). "
            "Choose a folder that exists and that you may write to."
        ) from exc
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _publish(part, path, overwrite=overwrite)
    except OSError as exc:
        if exc.errno not in _FULL_OR_FAILING:
            raise
        raise ResourceError(
            f"{shown_name(path)} could not be written ({exc.strerror}). Free some space, or choose another folder."
        ) from exc
    finally:
        part.unlink(missing_ok=True)


def _publish(part: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(path)
    else:
        _publish_new(part, path)
    _flush_folder(path.parent)


def _publish_new(part: Path, path: Path) -> None:
    """Give ``part`` the name ``path`` unless somebody else took it first."""
    try:
        os.link(part, path)
    except FileExistsError as exc:
        raise _exists(path) from exc
    except OSError:  # a file system without hard links (FAT, some network shares)
        if os.path.lexists(path):
            raise _exists(path) from None
        part.replace(path)


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system lets one flush a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{shown_name(path)} exists already and was left as it is. Choose another name, or allow overwriting."
    )
