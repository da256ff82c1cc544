"""DynamoDB Local: AWS's own engine, where Java and its jar are; scripts/aws_tools.sh installs the jar."""

from __future__ import annotations

import atexit
import functools
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.aws_emulator import client_at

_FOLDER = Path(__file__).parents[1] / ".aws-tools/dynamodb/aws_dynamodb_local"
_STARTS_WITHIN_S = 60.0
_EMPTY = "\x00empty"

MOST_ACTIONS = 10
"""What a transaction holds there; the engine is older than today's hundred."""


@functools.cache
def local_client() -> Any:
    """A client of a server that lives as long as this process; skips the test where there is none."""
    java, jar = shutil.which("java"), _FOLDER / "DynamoDBLocal.jar"
    if java is None or not jar.exists():
        pytest.skip(f"{'Java' if java is None else 'DynamoDBLocal.jar'} is not here")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    library = f"-Djava.library.path={_FOLDER / 'DynamoDBLocal_lib'}"
    command = [java, "-Xmx256m", library, "-jar", str(jar), "-inMemory", "-port", str(port)]
    server = subprocess.Popen(command, cwd=_FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(server.kill)
    until = time.monotonic() + _STARTS_WITHIN_S
    while not _listens(port):
        assert server.poll() is None, f"DynamoDB Local ended with {server.returncode}"
        assert time.monotonic() < until, f"DynamoDB Local did not start within {_STARTS_WITHIN_S:.0f} s"
        time.sleep(0.1)
    client = client_at(f"http://127.0.0.1:{port}", "dynamodb")
    # It refuses empty texts, as DynamoDB did until 2020.
    client.meta.events.register("provide-client-params.dynamodb", lambda params, **_: _replaced(params, "", _EMPTY))
    client.meta.events.register("after-call.dynamodb", lambda parsed, **_: _replace(parsed, _EMPTY, ""))
    return client


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _replaced(value: Any, old: str, new: str) -> Any:
    """What is sent, with one text for another; the caller's own is left as it is."""
    if isinstance(value, dict):
        return {name: _replaced(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return new if value == old else value


def _replace(answer: dict[str, Any], old: str, new: str) -> None:
    answer.update(_replaced(answer, old, new))
