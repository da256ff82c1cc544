"""Names of files as they are told in messages."""

from __future__ import annotations

from pathlib import Path

_MAX_NAME = 80


def shown_name(path: Path) -> str:
    """The file's own name, safe to print: control characters replaced, cut to 80 characters, never empty."""
    name = "".join(c if c.isprintable() else "\ufffd" for c in path.name) or str(path)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
