"""The secret that sessions and presigned addresses are signed with: made once, read by its owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from irss_core.errors import InvalidOptionError, StoreUnavailableError

LENGTH = 32


def load_secret(path: Path) -> bytes:
    """Return the secret in a file, which is made with mode 600 if it is not there yet.

    Processes that start at once all get the same one.

    Raises:
        InvalidOptionError: others may read the file, or it is too short for a secret.
        StoreUnavailableError: it cannot be read or made.
    """
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            secret = stream.read()
    except OSError as exc:
        raise StoreUnavailableError(
            f"The secret key {path} cannot be read or made ({exc.strerror}). "
            "Name a folder of your own that may be written to with IRSS_DATA_DIR."
        ) from exc
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidOptionError(
            f"The secret key {path} has mode {mode:o}: others than its owner may use it. Run chmod 600 on it, or, if "
            "somebody may have read it, delete it: a new one is made, and everybody signs in again."
        )
    if len(secret) < LENGTH:
        raise InvalidOptionError(
            f"The secret key {path} has {len(secret)} bytes; it needs at least {LENGTH}. "
            "Delete it: a new one is made, and everybody signs in again."
        )
    return secret


def _make(path: Path) -> None:
    """Make the file unless another process is first: under a name of its own, then linked to the real one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".irss-", suffix=".part")  # of mode 600 from the start
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(LENGTH))
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
