"""The Lambda packages: what is in them, what is not, and how large they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aws import packages
from aws.packages import CONTROL_BYTES, LAMBDA_PYTHON, MEDIA_BYTES, PACKAGES, build_package
from irss_core.errors import ResourceError
from tests.aws.compiled import resources

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "PIL", "av", "scipy", "cv2", "gradio")


def imported(module: str) -> set[str]:
    """What of the heavy ones a fresh interpreter has loaded after importing a module."""
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    environment = {"PATH": "/usr/bin:/bin", "AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_TRACE_DISABLED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["aws.handlers", "irss_core.api", "irss_core.jobs.letters", "irss_core.aws_jobs"])
def test_what_decides_and_tells_loads_no_decoder(module: str) -> None:
    assert imported(module) == set()


def test_what_reads_pictures_loads_no_network() -> None:
    assert imported("irss_core.jobs.stages.examination, irss_core.jobs.stages.thumbnails") <= {"numpy", "PIL", "av"}


@pytest.mark.parametrize(("name", "most"), [("control", CONTROL_BYTES), ("media", MEDIA_BYTES)])
def test_packages_keep_within_their_budget_and_hold_what_their_functions_import(
    name: str, most: int, tmp_path: Path
) -> None:
    size = build_package(name, tmp_path / "package")
    assert 5_000_000 < size <= most
    there = {path.name for path in (tmp_path / "package").iterdir()}
    assert {"aws", "irss_core", "pydantic", "aws_lambda_powertools"} <= there
    assert not there & {"boto3", "botocore", "torch", "gradio", "scipy", "bin"}
    assert ("numpy" in there) is (name == "media")
    assert not list((tmp_path / "package").rglob("__pycache__"))


def test_a_package_is_made_anew_and_whole(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "left.over").write_text("")
    build_package("control", tmp_path / "package")
    assert not (tmp_path / "package" / "left.over").exists()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PACKAGES", {**PACKAGES, "control": ("no-such-distribution",)})
    with pytest.raises(ResourceError, match="no-such-distribution"):
        packages.distributions(packages.PACKAGES["control"])


def test_functions_run_on_the_python_that_packages_are_fetched_for() -> None:
    runtimes = {each["Runtime"] for each in resources("AWS::Lambda::Function").values()}
    assert runtimes == {f"python{LAMBDA_PYTHON}"}
