"""The tools that check the AWS side, which scripts/aws_tools.sh puts into .aws-tools/."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "aws" / "template.yaml"
PIPELINE = ROOT / "aws" / "pipeline.asl.json"
_TOOLS = ROOT / ".aws-tools"
_NOWHERE = "http://127.0.0.1:9"  # so that no tool asks for news or tells of its use


def tool(path: str) -> Path:
    """Return a tool by its path below .aws-tools/, or skip the test: it is not installed."""
    found = _TOOLS / path
    if not found.exists():
        pytest.skip(f".aws-tools/{path} is not there: `sh scripts/aws_tools.sh` installs it")
    return found


def run(path: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool that reaches nothing beyond this machine, and knows of no account."""
    quiet = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", "NO_COLOR": "1"}
    quiet["__SAM_CLI_APP_DIR"] = str(_TOOLS / "sam" / "notes")  # else it leaves some in the user's home
    ways_out = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _NOWHERE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_", "IRSS_"))}
    command = [tool(path), *arguments]
    return subprocess.run(command, env=kept | quiet | ways_out, cwd=ROOT, capture_output=True, text=True, check=False)
