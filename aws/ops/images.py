"""The worker's image: built with docker if it is here, and pushed to the stack's repository."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from irss_core.errors import ResourceError

ROOT = Path(__file__).resolve().parents[2]
_PLATFORMS = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}
_CUDA = "https://pypi.org/simple"  # the index whose torch is built for GPUs, as the Dockerfile says
_PARTS = ("Dockerfile", "requirements.txt", "constraints.txt", "pyproject.toml", "app.py", "irss_core", "vendor", "web")

Run = Callable[[Sequence[str], str | None], int]
"""Runs a command with a text on its standard input, and returns its exit status."""


@dataclass(frozen=True)
class Image:
    """An image to build for one kind of machine; its tag is of what it is built from."""

    repository: str
    tag: str
    architecture: str
    gpu: bool

    @property
    def uri(self) -> str:
        """Its address."""
        return f"{self.repository}:{self.tag}"

    @property
    def commands(self) -> list[list[str]]:
        """How it is built and pushed, here or by hand where there is a docker."""
        options = ["--build-arg", f"TORCH_INDEX={_CUDA}"] if self.gpu else []
        platform = ["--platform", _PLATFORMS[self.architecture]]
        return [["docker", "build", *platform, *options, "--tag", self.uri, str(ROOT)], ["docker", "push", self.uri]]


def planned_image(repository: str, *, architecture: str, gpu: bool, root: Path = ROOT) -> Image:
    """Return the image of the sources that are here, for a repository in ECR."""
    digest = hashlib.sha256(f"{architecture} {gpu}\n".encode())
    for path in _sources(root):
        digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return Image(repository, digest.hexdigest()[:16], architecture, gpu)


def docker_is_here() -> bool:
    """Whether there is a docker, and it answers."""
    return shutil.which("docker") is not None and run(["docker", "version"], "") == 0


def push_image(account: Account, image: Image, *, run: Run) -> None:
    """Build an image and push it; one that is there already stays as it is.

    Raises:
        ResourceError: docker failed; what it said is above.
    """
    registry, _, name = image.repository.partition("/")
    with asking("ECR", f"look into the repository {name}"):
        if _is_there(account.client("ecr"), name, image.tag):
            return
        (login,) = account.client("ecr").get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(login["authorizationToken"]).decode().partition(":")
    sign_in = ["docker", "login", "--username", user, "--password-stdin", registry]
    for command, typed in ((sign_in, password), *((command, None) for command in image.commands)):
        if status := run(command, typed):
            raise ResourceError(
                f"`{' '.join(command[:2])}` ended with status {status}; what it said is above. Correct that, or name "
                "an image in ECR with --image."
            )


def run(command: Sequence[str], typed: str | None) -> int:
    """Run a command whose output goes where this program's own goes; with a text to type, it is kept silent."""
    if typed is None:
        return subprocess.run(command, check=False).returncode
    return subprocess.run(command, input=typed, text=True, capture_output=True, check=False).returncode


def _is_there(client: Any, name: str, tag: str) -> bool:
    try:
        found = client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
    except ClientError as error:
        if refusal(error) == "ImageNotFoundException":
            return False
        raise
    return bool(found["imageDetails"])


def _sources(root: Path) -> Iterator[Path]:
    for part in _PARTS:
        path = root / part
        found = [path] if path.is_file() else path.rglob("*")
        yield from sorted(each for each in found if each.is_file() and "__pycache__" not in each.parts)
