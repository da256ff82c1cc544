"""WorkerProcesses: the workers that the app brings along, each a process of its own that never outlives the app.

A worker reads its standard input, a pipe whose other end only the app holds. However the app ends, the pipe closes
with it, and the worker gives back what it has in hand and ends too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from pydantic import SecretStr

from irss_core.config import Settings

logger = logging.getLogger("irss")

_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # before a worker is started again, by how often it ended right away
_STEADY_S = 60.0  # who lived for that long did not end right away
_STOP_WITHIN_S = 3.0


class WorkerProcesses:
    """``settings.workers`` processes of ``irss worker``, each started again whenever it ends by itself."""

    def __init__(self, settings: Settings, *, pauses_s: tuple[float, ...] = _PAUSES_S) -> None:
        self._settings, self._pauses_s = settings, pauses_s
        self._stopping = threading.Event()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._starting = threading.Lock()
        self._keepers = [
            threading.Thread(target=self._keep_one, name=f"worker-{number}", daemon=True)
            for number in range(settings.workers)
        ]

    @property
    def process_ids(self) -> list[int]:
        """The processes that run now."""
        with self._starting:
            return sorted(process.pid for process in self._processes)

    def start(self) -> None:
        """Start them; returns at once."""
        for keeper in self._keepers:
            keeper.start()

    def stop(self) -> None:
        """End them within 3 seconds; what they have in hand they give back."""
        over_at = time.monotonic() + _STOP_WITHIN_S
        with self._starting:
            self._stopping.set()
            for process in self._processes:
                _close_input(process)
        for keeper in self._keepers:
            keeper.join(max(over_at - time.monotonic(), 0.0))
        with self._starting:
            for process in self._processes:
                logger.warning("worker %d did not end in time and is ended hard", process.pid)
                process.kill()

    def _keep_one(self) -> None:
        ended_early = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._start_one()
            if process is not None:
                status = process.wait()
                with self._starting:
                    self._processes.discard(process)
                _close_input(process)
                if self._stopping.is_set():
                    return
                logger.warning("worker %d ended with status %d; another is started", process.pid, status)
            ended_early = 0 if time.monotonic() - started >= _STEADY_S else ended_early + 1
            pause_s = self._pauses_s[min(max(ended_early, 1), len(self._pauses_s)) - 1]
            self._stopping.wait(pause_s)

    def _start_one(self) -> subprocess.Popen[bytes] | None:
        with self._starting:
            if self._stopping.is_set():
                return None
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "irss_core.cli", "worker", "--while-input-is-open"],
                    stdin=subprocess.PIPE,
                    env=environment_of(self._settings),
                    start_new_session=True,  # a Ctrl-C in the app's terminal is the app's, which then ends us
                )
            except OSError as error:
                logger.warning("no worker could be started (%s); it is tried again", error.strerror)
                return None
            self._processes.add(process)
            return process


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process has these settings, and finds this program."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("IRSS_")}
    paths = [str(Path(__file__).parents[1]), *filter(None, [foreign.get("PYTHONPATH")])]
    ours = {f"IRSS_{name.upper()}": getattr(settings, name) for name in settings.model_fields_set}
    given = {name: _as_text(value) for name, value in ours.items() if value is not None}
    return foreign | given | {"PYTHONPATH": os.pathsep.join(paths)}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, tuple | list | bool) else str(value)


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
