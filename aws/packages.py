"""The Lambda packages: folders of what the functions import, as small as that can be.

``control`` is for the functions that decide and tell; ``media`` for those that read pictures, which has the decoders.
boto3 is Lambda's own. Versions are those installed here, which constraints.txt pins.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from irss_core.errors import ResourceError

ROOT = Path(__file__).resolve().parents[1]
LAMBDA_PYTHON = "3.12"
LAMBDA_PLATFORM = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
CONTROL_BYTES = 50 * 1000**2
MEDIA_BYTES = 250 * 1024**2
"""Lambda's own limit; the decoders and numpy are most of it."""

_COMMON = (
    *("aws-lambda-powertools[tracer]", "email-validator", "httpx", "itsdangerous", "platformdirs"),
    "pydantic-settings",
)
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "control": (
        *_COMMON,
        *("fastapi", "filelock", "Jinja2", "mangum", "prometheus_client", "PyJWT[crypto]"),
        *("python-multipart", "sse-starlette"),
    ),
    "media": (*_COMMON, "av", "numpy", "Pillow"),
}
"""What each package needs; what these need comes along."""

_OF_LAMBDA = frozenset({"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"})
_NOT_OURS = ("ui", "cli", "bench", "train", "ratings", "jobs_speed", "metrics")
_NOT_THEIRS = re.compile(
    r"(^|/)(tests?|testing|__pycache__|_pyinstaller|f2py|distutils)/|\.(pyi|pxd|pyx|h|a|lib|c|md)$"
)
_SCRIPTS = re.compile(r"^(\.\./|/)")


def build_package(name: str, target: Path) -> int:
    """Write the package of this machine's own kind of processor, and return its bytes: for an emulator of Lambda.

    Raises:
        ResourceError: one of its packages is not installed here.
    """
    _begin(target)
    for distribution in distributions(PACKAGES[name]):
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if source.is_file() and not _SCRIPTS.match(str(file)) and not _NOT_THEIRS.search(str(file)):
                copy = target / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
    return _end(target)


def fetch_package(name: str, target: Path) -> int:
    """Write the package for Lambda's processors, from the package index, and return its bytes.

    Raises:
        ResourceError: a package could not be had.
    """
    _begin(target)
    pins = [f"{each.metadata['Name']}=={each.version}" for each in distributions(PACKAGES[name])]
    platforms = [word for platform in LAMBDA_PLATFORM for word in ("--platform", platform)]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    kind = ["--implementation", "cp", "--python-version", LAMBDA_PYTHON, "--only-binary=:all:", *platforms]
    command = [*pip, *kind, "--target", str(target), *pins]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResourceError(f"The packages for Lambda could not be had: {done.stderr.strip()[-500:]}")
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_file() and _NOT_THEIRS.search(path.relative_to(target).as_posix()):
            path.unlink()
    return _end(target)


def distributions(names: Iterable[str]) -> list[metadata.Distribution]:
    """Return the installed packages of these requirements and all that they need, but for what Lambda has itself.

    Raises:
        ResourceError: one is not installed.
    """
    extras: dict[str, set[str]] = {}
    todo = [Requirement(name) for name in names]
    while todo:
        wanted = todo.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in _OF_LAMBDA or (name in extras and wanted.extras <= extras[name]):
            continue
        extras.setdefault(name, set()).update(wanted.extras)
        for each in map(Requirement, _distribution(name).requires or ()):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in (*wanted.extras, "")):
                todo.append(each)
    return [_distribution(name) for name in sorted(extras)]


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise ResourceError(f"{name} is not installed here. `make install-dev` installs what Lambda needs.") from None


def _begin(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    skipped = shutil.ignore_patterns("__pycache__", *_NOT_OURS)
    shutil.copytree(ROOT / "irss_core", target / "irss_core", ignore=skipped)
    (target / "aws").mkdir()
    for source in ("__init__.py", "handlers.py"):
        shutil.copyfile(ROOT / "aws" / source, target / "aws" / source)


def _end(target: Path) -> int:
    shutil.rmtree(target / "bin", ignore_errors=True)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
