"""The two logs of a run, a JSON object a line: training.jsonl (iterations) and validation.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irss_core.media.atomic import atomic_file

TRAINING, VALIDATION = "training.jsonl", "validation.jsonl"


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line; numbers that are not finite are written as null, which JSON has."""
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entry.items()
    }
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(plain) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the entries; a last line that was cut off is left out."""
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


def rewind(path: Path, iteration: int) -> None:
    """Drop what was written after ``iteration``, as a run does that goes on from a checkpoint of then."""
    entries = read(path)
    kept = [entry for entry in entries if entry["iteration"] <= iteration]
    if len(kept) != len(entries) or path.exists():
        with atomic_file(path, overwrite=True) as stream:
            stream.writelines(f"{json.dumps(entry)}\n".encode() for entry in kept)


class Means:
    """Means of named numbers since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Count one iteration's numbers."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means, and begin anew."""
        found = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return found
