"""``irss worker``: works on what was handed off, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Annotated

import typer

from irss_core.cli.invocation import invocation_of, load_settings
from irss_core.errors import InvalidOptionError

EXAMPLES = """\b
Examples:
  irss worker
  irss worker --until-idle
"""


def worker(
    context: typer.Context,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Do one job, if one waits, send the mails due, and stop.")
    ] = False,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop as soon as nothing waits.")] = False,
    while_input_is_open: Annotated[
        bool, typer.Option("--while-input-is-open", hidden=True, help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Work on jobs that were handed off, and send the mails.

    Any number of workers may run on one machine. Ctrl-C or SIGTERM makes a worker give back what it has in hand, for
    another one to go on with; a second one ends it at once. The log goes to stderr, a JSON object a line.
    """
    from irss_core.jobs.log import log_as_json
    from irss_core.services import build_services, build_worker

    if once and until_idle:
        raise InvalidOptionError("--once and --until-idle cannot be given together. Choose one.")
    settings = load_settings()
    log_as_json(settings.log_level)
    work = build_worker(build_services(settings))
    stop = threading.Event()
    if while_input_is_open:
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), name="input", daemon=True).start()
    run_until_told(work.run_once if once else work.run_until_idle if until_idle else work.run, stop)
    if until_idle and not stop.is_set():
        invocation_of(context).console.note("nothing waits any more")


def run_until_told(task: Callable[[threading.Event], bool], stop: threading.Event) -> None:
    """Run a worker's task until it ends, or SIGTERM or SIGINT tells it to stop; a second one ends the process at once.

    The process is ended here if the task could not end all that it had in hand.
    """
    _stop_at_signals(stop)
    if not task(stop):
        # A step of the work still runs, which nothing can interrupt; its message is with others by now.
        sys.stderr.flush()
        os._exit(0)


def _stop_at_signals(stop: threading.Event) -> None:
    told_before = threading.Event()  # not ``stop``, which others may set, too

    def told(number: int, _frame: FrameType | None) -> None:
        if told_before.is_set():
            os._exit(128 + number)
        told_before.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()
