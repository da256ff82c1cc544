"""scratch_folder: room on the disk for what is put together here and stored elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from irss_core.errors import ResourceError


@contextmanager
def scratch_folder(parent: Path | None, *, purpose: str) -> Iterator[Path]:
    """A new folder below ``parent`` (None: where the system keeps such), which is gone when the block ends.

    Raises:
        ResourceError: the disk is full or failing; the words say what was to be done.
    """
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="irss-", dir=parent) as folder:
            yield Path(folder)
    except OSError as exc:
        raise ResourceError(
            f"There is no room {purpose} ({exc.strerror or exc}). Try again later; the operator may have to free some "
            "space."
        ) from exc
