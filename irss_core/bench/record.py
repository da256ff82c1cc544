"""What makes a run repeatable: the commit, the versions, the machine, and what the files were."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import irss_core
from irss_core.bench.dataset import Dataset
from irss_core.sr.device import machine_report

_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "opencv-python", "av", "Pillow")


def environment(device: str, dtype: str) -> dict[str, Any]:
    """Return versions, commit and machine as plain values."""
    return {
        "irss": irss_core.__version__,
        "commit": commit(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": asdict(machine_report(device, dtype)),
    }


def digests(dataset: Dataset, results_folders: Mapping[str, Path]) -> dict[str, str]:
    """Return what tells whether a sample's files, or results made elsewhere, are still those of an earlier run."""
    found = {}
    for sample in dataset.samples:
        paths = [path for footage in (sample.truth, sample.input) if footage is not None for path in footage.paths]
        found[f"sample {sample.name}"] = _listing_digest(paths)
    for name, folder in results_folders.items():
        if folder.is_dir():
            found[f"entry {name}"] = _listing_digest(sorted(path for path in folder.rglob("*") if path.is_file()))
    return found


def _listing_digest(paths: Sequence[Path]) -> str:
    stats = [(path.name, stat.st_size, stat.st_mtime_ns) for path in paths if (stat := path.stat())]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def difference(earlier: Any, now: Mapping[str, Any]) -> str:
    """Return in words in what two sets of conditions differ."""
    if not isinstance(earlier, Mapping):
        return "they are not stated"
    return ", ".join(
        f"{key} {earlier.get(key)!r} there and {value!r} now" for key, value in now.items() if earlier.get(key) != value
    )


def commit() -> str:
    """Return the commit of the checkout the program runs from, "" if it runs from none."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(irss_core.__file__).parent), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
