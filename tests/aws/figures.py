"""The figures of docs/aws.md that an emulator can give: ``python -m tests.aws.figures``, on a quiet machine.

It deploys the packages and the template, as the tests do, sends jobs through one after the other, and prints what
each took outside its model; then how long a new process takes to import what the functions are made of.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from irss_core.adapters.aws.job_store import DynamoJobStore
from irss_core.jobs.job import Job
from tests.aws.cloud import Cloud, deployed, until
from tests.aws.test_service import ended, send
from tests.e2e.visitors import picture

JOBS, IMPORTS = 12, 5
_OWNER = "figures@example.org"

# What a new process of each function does before its first event: its package's handlers, and what they import late.
_COLD = {
    "control: intake, begin, commit, fail, mail, events": ("control", "import aws.handlers"),
    "control: the API": ("control", "import aws.handlers, fastapi, mangum, irss_core.api"),
    "media: stages, archive": ("media", "import aws.handlers, irss_core.jobs.stages"),
}


def main() -> None:
    """Measure and print, as Markdown."""
    _say(f"load {os.getloadavg()[0]:.2f}, Python {sys.version.split()[0]}\n")
    _say("| figure | median | worst |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with deployed(folder) as cloud:
            cold = {name: _cold_s(folder / package, code) for name, (package, code) in _COLD.items()}
            try:
                _through_the_pipeline(cloud, folder)
            finally:
                cloud.stop()
    for name, seconds in cold.items():
        _row(f"cold import, {name}", seconds)


def _through_the_pipeline(cloud: Cloud, folder: Path) -> None:
    store = DynamoJobStore(cloud.client("dynamodb"), cloud.outputs["TableName"])
    visitor = cloud.visitor(cloud.sign_in(_OWNER))
    cloud.start_worker()
    whole, mailed, presigned, jobs = [], [], [], []
    for number in range(JOBS + 2):  # the first ones start the functions' processes and the worker
        path = picture(folder / f"figure-{number:02}.png", 120, 90, seed=number)
        begun = time.time()
        job_id = send(visitor, path, options={"model": "bicubic"})
        presigned.append(time.time() - begun)
        ended(visitor, job_id)
        letter = cloud.letter_about(path.name)
        assert letter["To"] == _OWNER
        mailed.append(time.time() - begun)
        job = store.job(job_id)
        assert job is not None
        assert job.finished_at is not None
        assert job.error is None
        whole.append(job.finished_at - job.created_at - job.facts["seconds"])
        jobs.append(job)
    _row("overhead a job: created to processed, without the model", whole[2:])
    for step in ("Begin", "Validate", "Metadata", "Beside", "Archive", "Commit"):
        _row(f"of it {step}", [_state_s(cloud, job, step) for job in jobs[2:]])
    _row("upload by a presigned form", presigned[2:])
    _row("from the upload's begin to the mail at the mail server", mailed[2:])


def _state_s(cloud: Cloud, job: Job, state: str) -> float:
    """Return how long an execution was in a state."""
    arn = f"{cloud.outputs['StateMachineArn'].replace(':stateMachine:', ':execution:')}:{job.id}"
    client = cloud.client("stepfunctions")
    history = until(lambda: client.get_execution_history(executionArn=arn, maxResults=1000)["events"])
    when = {
        (details, each[details]["name"]): each["timestamp"]
        for each in history
        for details in ("stateEnteredEventDetails", "stateExitedEventDetails")
        if details in each
    }
    left, entered = when["stateExitedEventDetails", state], when["stateEnteredEventDetails", state]
    return float((left - entered).total_seconds())


def _cold_s(package: Path, code: str) -> list[float]:
    """Return how long new processes take for it, without compiled files: Lambda's disk cannot be written to."""
    timed = f"import time; begun = time.perf_counter(); {code}; print(time.perf_counter() - begun)"
    command = [sys.executable, "-B", "-S", "-c", timed]
    kept = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # boto3 is not in the packages but Lambda's own.
    environment = {"PYTHONPATH": f"{package}:{kept}", "PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    return [
        float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for _ in range(IMPORTS)
    ]


def _row(name: str, seconds: Sequence[float]) -> None:
    _say(f"| {name} | {statistics.median(seconds) * 1000:.0f} ms | {max(seconds) * 1000:.0f} ms |")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
