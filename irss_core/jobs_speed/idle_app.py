"""measure_idle_app: the memory of the app as ``python app.py`` starts it, when it has nothing to do."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from irss_core.config import Settings
from irss_core.errors import ResourceError
from irss_core.jobs_speed.report import IdleApp
from irss_core.jobs_speed.site import Site
from irss_core.sr.catalog import find_model
from irss_core.sr.weights import resolve_weights
from irss_core.worker_processes import environment_of

MODELS = ("realesrgan-x4plus", "tecogan-x4")
"""What the app loads by itself, in the background, so that its first visitor need not wait."""

_WITHIN_S = 180.0
_LOOK_EVERY_S, _LOOKS, _IDLE_SHARE = 1.0, 4, 0.15  # of one core, in so many looks in a row
_END_WITHIN_S = 10.0


def measure_idle_app(site: Site) -> IdleApp:
    """Return the resident memory of the app with one worker, once it has loaded its models and come to rest.

    Raises:
        ResourceError: it does not start, or does not come to rest.
        WeightsUnavailableError: the models that it would load are not to be had.
    """
    for name in MODELS:  # so that the app's quiet is not that of waiting for a download
        resolve_weights(find_model(name), cache_dir=site.settings.cache_dir, offline=site.settings.offline)
    with _app(site.settings) as app:
        _come_to_rest(app)
        own, worker = resident_bytes(app)
        site.delivered(site.submit())
        _come_to_rest(app)
        return IdleApp(MODELS, own, worker, worker_after_a_job_bytes=resident_bytes(app)[1])


def resident_bytes(process: psutil.Process) -> tuple[int, int]:
    """Return the resident memory of a process, and that of all processes below it."""
    children = sum(_rss(child) for child in process.children(recursive=True))
    return _rss(process), children


def _rss(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):  # it ended just now
        return int(process.memory_info().rss)
    return 0


def _processor_s(process: psutil.Process) -> float:
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _come_to_rest(app: psutil.Process) -> None:
    until, quiet = time.monotonic() + _WITHIN_S, 0
    while quiet < _LOOKS:
        if time.monotonic() > until:
            raise ResourceError(f"The app did not come to rest within {_WITHIN_S:.0f} s. Try again later.")
        busy_s = _processor_s(app)
        time.sleep(_LOOK_EVERY_S)
        quiet = quiet + 1 if _processor_s(app) - busy_s < _IDLE_SHARE * _LOOK_EVERY_S else 0


@contextmanager
def _app(settings: Settings) -> Iterator[psutil.Process]:
    """The app on a free port, from the moment at which it answers."""
    given = settings.model_copy(update={"host": "127.0.0.1", "port": _free_port()})
    # -P: an app.py in the folder that we were started in is none of ours.
    command = [sys.executable, "-P", "-m", "app"]
    with subprocess.Popen(command, env=environment_of(given), stdout=subprocess.PIPE, text=True) as process:
        in_time = threading.Timer(_WITHIN_S, process.kill)
        in_time.start()
        try:
            if process.stdout is None or not process.stdout.readline():  # "IRSS is ready"
                raise ResourceError("The app did not start. Start it with `irss serve` to see why.")
            in_time.cancel()
            yield psutil.Process(process.pid)
        finally:
            in_time.cancel()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_WITHIN_S)
            process.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
