"""The process that runs functions on files nobody trusts; ``sandbox`` starts it and talks to it.

It reads requests, a line of JSON each, from its standard input and answers each with a line on its standard output. It
imports what a request names once and forks for every request, so that the fork finds everything in memory and whatever
becomes of it, this process lives on. It holds no thread when it forks. Where there is no fork (Windows) it runs one
request itself and ends; its parent starts another for the next one.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from irss_core.errors import CorruptMediaError, IrssError, ResourceError

MAX_ANSWER_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_NONSENSE = "The file makes its decoder end without an answer: it is damaged. Export it again from where it was made."
_FORKS = hasattr(os, "fork")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while line := requests.readline():
        request = json.loads(line)
        module = importlib.import_module(request["function"].partition(":")[0])
        answer = _in_a_fork(module, request, requests, answers) if _FORKS else {"result": _run(module, request)}
        try:
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
        except BrokenPipeError:
            return  # nobody is there any more
        if not _FORKS:
            return


def _in_a_fork(module: Any, request: Mapping[str, Any], requests: BinaryIO, answers: BinaryIO) -> dict[str, Any]:
    """Return what a fork made of the request: its "result", the "signal" it died of, or that it was "late"."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            os.close(answers.fileno())  # a decoder gone wild could answer in this process's place
            _confine(request)
            with open(write_end, "wb") as pipe:  # noqa: PTH123  a descriptor has no path
                pipe.write(json.dumps(_run(module, request)).encode())
        finally:
            os._exit(0)  # nothing of this process's end (buffers, exit handlers) belongs to the fork
    os.close(write_end)
    try:
        data, late = _read(read_end, requests, wall_s=request["wall_s"])
    finally:
        os.close(read_end)
    if late:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    answer: dict[str, Any] = {"late": late}
    if os.WIFSIGNALED(status):
        answer["signal"] = os.WTERMSIG(status)
    elif not late:
        try:
            answer["result"] = json.loads(data)
        except ValueError:
            answer["result"] = {"error": CorruptMediaError.code, "message": _NONSENSE}
    return answer


def _read(read_end: int, requests: BinaryIO, *, wall_s: float) -> tuple[bytes, bool]:
    """Return what the fork wrote until it ended, and whether it has to be killed: it took or wrote too much."""
    data, deadline, asked = bytearray(), time.monotonic() + wall_s, requests.fileno()
    while True:
        ready, _, _ = select.select([read_end, asked], [], [], max(deadline - time.monotonic(), 0))
        if read_end in ready:
            piece = os.read(read_end, _READ_BYTES)
            data += piece
            if not piece:
                return bytes(data), False
        if not ready or asked in ready or len(data) > MAX_ANSWER_BYTES:
            return b"", True  # the parent says nothing before it has its answer: it is gone


def _confine(request: Mapping[str, Any]) -> None:
    """Limit this process for good, as far as the platform has such limits, and cut it off from the terminal."""
    import resource

    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    memory_bytes = _address_space_bytes() + request["memory_bytes"]
    limits = (
        (resource.RLIMIT_CPU, request["cpu_s"], request["cpu_s"] + 1),  # at the first SIGXCPU, at the second SIGKILL
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),  # it has nothing to write but its answer, which goes into a pipe
    )
    for which, soft, hard in limits:
        with suppress(ValueError, OSError):  # macOS does not take all of them
            resource.setrlimit(which, (soft, hard))


def _address_space_bytes() -> int:
    """Return what of the address space the process takes already; 0 where /proc does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123  pathlib is slower here, in every fork
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _run(module: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the function's value, the error it raised, or that memory ran out, as JSON has it."""
    try:
        function = getattr(module, request["function"].partition(":")[2])
        return {"value": function(*request["arguments"])}
    except (MemoryError, ResourceError):
        return {"memory": True}
    except IrssError as exc:
        return {"error": exc.code, "message": str(exc)}
    except Exception:  # noqa: BLE001  it goes to the parent, which raises it
        return {"bug": traceback.format_exc()}


def main() -> None:
    """Serve the process that started this one; what libraries print goes where errors go."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)
