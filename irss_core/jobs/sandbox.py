"""Functions run on files nobody trusts, in a process of their own with limits on memory, processor time and time.

A decoder that crashes, spins or takes all memory ends that process and nothing else. The process is started with the
first call and waits for the next ones; see ``sandbox_child`` for what it does.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from irss_core.errors import (
    CorruptMediaError,
    InputError,
    InvalidOptionError,
    IrssError,
    LimitExceededError,
    ResourceError,
    UnsupportedFormatError,
)
from irss_core.progress import CancelToken

_MEBIBYTE = 1024**2
_STARTING_S = 60.0  # what the process may take to start and import, on a machine that is busy
_GRACE_S = 5.0
_CANCEL_EVERY_S = 0.1
_ERRORS: Mapping[str, type[IrssError]] = {
    kind.code: kind
    for kind in (InputError, UnsupportedFormatError, CorruptMediaError, LimitExceededError, InvalidOptionError)
}
# No more of the environment than a Python needs: what is in there of secrets is not for a decoder to read.
_ENVIRONMENT = (
    *("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT"),
    *("HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP"),
)
# Our own folder comes last, and the one that the program was started in not at all: neither hides a module of Python's.
_START = "import sys; sys.path.append(sys.argv[1]); from irss_core.jobs.sandbox_child import main; main()"


@dataclass(frozen=True)
class Confinement:
    """What one call may take: memory beside the interpreter's own, processor time, and time."""

    memory_bytes: int
    cpu_s: int
    wall_s: float


def confined(function: str, *arguments: Any, limits: Confinement, cancel: CancelToken | None = None) -> Any:
    """Return what a function gives that is called in a process of its own.

    Args:
        function: "module:name", of this project.
        arguments: as JSON has them, like the answer.

    Raises:
        InputError: and its kinds, as the function raised them.
        LimitExceededError: it took more than its limits; the message names the one.
        CorruptMediaError: the process crashed.
        ResourceError: the system killed the process, or it could not be started; another time it may do.
        CancelledError: asked to stop.
        RuntimeError: the function raised what no file should make it raise; with its traceback.
    """
    request = {
        "function": function,
        "arguments": arguments,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
    }
    return _value(_child.ask(request, limits=limits, cancel=cancel), limits)


def _value(answer: Mapping[str, Any], limits: Confinement) -> Any:
    if answer.get("late"):
        raise _over_time(limits.wall_s)
    if "signal" in answer:
        raise _killed(answer["signal"], limits)
    result = answer["result"]
    if "value" in result:
        return result["value"]
    if result.get("memory"):
        raise LimitExceededError(
            f"Reading the file takes more than {limits.memory_bytes // _MEBIBYTE:,} MiB of memory, which is more than "
            "a file of its kind and size may take. Make it smaller, or save it in another format."
        )
    if "error" in result:
        raise _ERRORS.get(result["error"], CorruptMediaError)(result["message"])
    raise RuntimeError(result["bug"])


def _over_time(seconds: float, what: str = "") -> LimitExceededError:
    return LimitExceededError(
        f"Reading the file takes more than {seconds:g} s{what}, which is more than a file of its kind and size may "
        "take. Make it smaller, or save it in another format."
    )


def _killed(number: int, limits: Confinement) -> IrssError:
    if number == getattr(signal, "SIGXCPU", None):
        return _over_time(limits.cpu_s, " of processor time")
    if number == getattr(signal, "SIGKILL", None):
        return ResourceError(
            "The system ended the process that reads the file, probably for lack of memory. Free some memory; the file "
            "is tried again."
        )
    name = signal.Signals(number).name if number in {each.value for each in signal.Signals} else f"signal {number}"
    return CorruptMediaError(
        f"The file makes its decoder crash ({name}; it may use {limits.memory_bytes // _MEBIBYTE:,} MiB of memory and "
        f"{limits.cpu_s} s of processor time): it is damaged. Export it again from the program that made it."
    )


class _Child:
    """The process, started when there is something to ask; asks one thing at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def ask(self, request: Mapping[str, Any], *, limits: Confinement, cancel: CancelToken | None) -> Mapping[str, Any]:
        """Return the process's answer to a request; without one in time, or when cancelled, the process is ended."""
        with self._lock:
            try:
                self._write(json.dumps(request).encode() + b"\n")
                return self._answer(limits, cancel)
            except BaseException:
                self._end()  # whatever it still says would be taken for the answer to the next request
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Leave the process to whom it belongs: this is a fork of its parent, which starts one of its own."""
        self._lock, self._process = threading.Lock(), None

    def _write(self, line: bytes) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()
        try:
            self._send(line)
        except OSError:  # it ended between two requests
            self._start()
            self._send(line)

    def _send(self, line: bytes) -> None:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None:
            raise BrokenPipeError
        pipe.write(line)
        pipe.flush()

    def _answer(self, limits: Confinement, cancel: CancelToken | None) -> Mapping[str, Any]:
        deadline = time.monotonic() + limits.wall_s + _STARTING_S + _GRACE_S
        while time.monotonic() < deadline:
            if cancel is not None:
                cancel.raise_if_cancelled()
            try:
                line = self._answers.get(timeout=_CANCEL_EVERY_S)
            except queue.Empty:
                continue
            if not line:
                raise ResourceError("The process that reads files ended without an answer. The file is tried again.")
            answer: Mapping[str, Any] = json.loads(line)
            return answer
        raise _over_time(limits.wall_s)

    def _start(self) -> None:
        self._end()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # Without thread pools, which a fork would be without.
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[2])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # a Ctrl-C is for the worker; this one ends with its input
            )
        except OSError as exc:
            raise ResourceError(f"The process that reads files cannot be started ({exc}). Free some memory.") from exc
        self._answers = queue.SimpleQueue()
        threading.Thread(
            target=_forward, args=(self._process.stdout, self._answers), name="irss-sandbox", daemon=True
        ).start()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # with the fork it may have at work
            else:
                process.kill()
        process.wait()
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()


def _forward(pipe: IO[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    """Hand on lines as they come, and an empty one at the end: a pipe cannot be waited for with a limit everywhere."""
    with pipe:
        for line in pipe:
            answers.put(line)
    answers.put(b"")


_child = _Child()
atexit.register(_child.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child.forget)
