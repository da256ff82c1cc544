"""What every object store holds to: what a key and a content type are, names to save files under, and copying bytes."""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO, Protocol
from urllib.parse import quote

from irss_core.errors import InvalidOptionError, LimitExceededError, NotFoundError
from irss_core.jobs.keys import is_key

_CONTENT_TYPE = re.compile(r"[a-z0-9][\w.+-]*/[a-z0-9][\w.+-]*(?:; ?[\w-]+=[\w.-]+)*", re.ASCII | re.IGNORECASE)
_CHUNK = 1024 * 1024


class Readable(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return at most that many, none at the end."""
        ...


def require_key(key: str) -> None:
    """Return if that is a key.

    Raises:
        InvalidOptionError: it is none.
    """
    if not is_key(key):
        raise InvalidOptionError(
            f"An object cannot have the key {key[:40]!r}: keys are lower-case words and digits with / . - between them."
        )


def require_content_type(content_type: str) -> None:
    """Return if that is a content type.

    Raises:
        InvalidOptionError: it is none.
    """
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise InvalidOptionError(
            f"The content type is {content_type[:40]!r}; it must look like image/png. "
            "Take application/octet-stream if you do not know it."
        )


def no_such_object() -> NotFoundError:
    """Return the error for an object that is not there, whatever its key."""
    return NotFoundError("There is no such object, or not any more.")


def saved_name(filename: str) -> str:
    """Return the name with what no file's name can have replaced."""
    return "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in filename)


def attachment(name: str) -> str:
    """Return a Content-Disposition that says to store a file under that name (RFC 6266, RFC 5987).

    The name is given twice: in ASCII for what is old, and as it is.
    """
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def copy_bytes(source: Readable, target: BinaryIO, *, max_bytes: int | None = None) -> tuple[int, str]:
    """Copy a stream, and return how many bytes it had and their SHA-256.

    Raises:
        LimitExceededError: it has more bytes than that.
    """
    size_bytes, digest = 0, hashlib.sha256()
    while chunk := source.read(_CHUNK):
        size_bytes += len(chunk)
        if max_bytes is not None and size_bytes > max_bytes:
            raise LimitExceededError(
                f"The file is longer than the {max_bytes} bytes that its upload form takes. Choose a smaller file, or "
                "ask for a form for its true size."
            )
        digest.update(chunk)
        target.write(chunk)
    return size_bytes, digest.hexdigest()
