"""The workflow that deploys from GitHub: staged, approved, without a stored key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TEXT = (Path(__file__).resolve().parents[2] / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]


def test_no_key_is_stored() -> None:
    assert "secrets." not in TEXT
    assert "AKIA" not in TEXT
    for job in JOBS.values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        (signing_in,) = (step for step in job["steps"] if "configure-aws-credentials" in step.get("uses", ""))
        assert signing_in["with"].keys() == {"role-to-assume", "aws-region", "role-session-name"}


def test_production_comes_after_staging_was_tested_and_in_an_environment_that_can_ask_for_approval() -> None:
    assert (JOBS["production"]["needs"], JOBS["production"]["environment"]) == ("staging", "production")
    assert JOBS["staging"]["environment"] == "staging"
    names = [step.get("name", "") for step in JOBS["staging"]["steps"]]
    assert names.index("Smoke test") > names.index("Deploy")
    assert JOBS["production"]["steps"] == JOBS["staging"]["steps"]


def test_two_deployments_never_run_at_once() -> None:
    concurrency = yaml.safe_load(TEXT)["concurrency"]
    assert concurrency == {"group": "deploy", "cancel-in-progress": False}
