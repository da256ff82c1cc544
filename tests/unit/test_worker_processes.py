"""The app's own workers: started, started again, and never there without the app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from irss_core.config import Settings
from irss_core.worker_processes import WorkerProcesses, environment_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes with signals")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", workers=2)


@pytest.fixture
def workers(settings: Settings) -> Iterator[WorkerProcesses]:
    workers = WorkerProcesses(settings, pauses_s=(0.05,))
    workers.start()
    yield workers
    workers.stop()


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(process_id: int) -> bool:
    """Whether the process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def has_begun(settings: Settings, workers: int = 1) -> bool:
    """Whether so many workers are up: each makes a folder for its temporary files."""
    return len(list((settings.data_dir / "scratch").glob("*"))) >= workers


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_run_are_started_again_and_end_in_time(settings, workers):
    wait_for(lambda: has_begun(settings, 2))
    first, second = workers.process_ids
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(workers.process_ids) == 2 and first not in workers.process_ids)
    assert second in workers.process_ids
    begun = time.monotonic()
    workers.stop()
    assert time.monotonic() - begun < 3.5
    wait_for(lambda: not workers.process_ids)
    assert not alive(second)


def test_none_are_started_where_none_are_wanted(tmp_path):
    workers = WorkerProcesses(Settings(data_dir=tmp_path, workers=0))
    workers.start()
    assert workers.process_ids == []
    workers.stop()


APP = """
import sys, time
from irss_core.config import Settings
from irss_core.worker_processes import WorkerProcesses
workers = WorkerProcesses(Settings(workers=1))
workers.start()
while not workers.process_ids:
    time.sleep(0.01)
print(workers.process_ids[0], flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_worker_outlives_an_app_that_is_killed(settings):
    app = subprocess.Popen(
        [sys.executable, "-c", APP], cwd=ROOT, env=environment_of(settings), stdout=subprocess.PIPE, text=True
    )
    assert app.stdout is not None
    worker = int(app.stdout.readline())
    wait_for(lambda: has_begun(settings))
    app.kill()
    app.wait()
    app.stdout.close()
    wait_for(lambda: not alive(worker))


def test_a_worker_has_the_settings_of_the_app_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setenv("IRSS_SMTP_HOST", "mail.example.org")
    settings = Settings(
        data_dir=tmp_path,
        smtp_host=None,
        smtp_password=SecretStr("secret"),
        cors_origins=("https://example.org",),
        offline=True,
        port=7000,
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("IRSS_SMTP_HOST")
    assert "IRSS_SMTP_HOST" not in environment_of(settings)
    assert Settings() == settings
