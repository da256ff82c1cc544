"""Cloud: AWS without AWS. MiniStack in a process of its own, the whole stack deployed in it, and a mail server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from tests.aws_emulator import REGION, client_at
from tests.e2e.visitors import free_port
from tests.mail_server import MailServer

ROOT = Path(__file__).resolve().parents[2]
MINISTACK = ROOT / ".aws-tools" / "ministack" / "bin" / "ministack"
OPERATOR = "operator@irss.test"
PATIENCE_S = 120.0
_STEP_S = 0.1


@dataclass
class Cloud:
    """A deployed service, and everything of it within a test's reach."""

    endpoint: str
    mails: MailServer
    outputs: Mapping[str, str]
    functions: Mapping[str, str]  # logical name -> name
    settings: Mapping[str, str]  # IRSS_… of every part
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator."""
        return client_at(self.endpoint, service)

    @property
    def api_address(self) -> str:
        """Where the emulator answers for the HTTP API."""
        api_id = re.match(r"https://([a-z0-9]+)\.execute-api", self.outputs["ApiUrl"])[1]  # type: ignore[index]
        return f"{self.endpoint}/_aws/execute-api/{api_id}/$default"

    def visitor(self, token: str | None = None) -> httpx.Client:
        """Somebody at the HTTP API, with a session or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.api_address, headers=headers, timeout=60)

    def environment(self) -> dict[str, str]:
        """What the worker and `irss serve` are told."""
        nobody = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": REGION,
        }
        rest = {name: value for name, value in os.environ.items() if not name.startswith(("IRSS_", "AWS_"))}
        return rest | nobody | {**self.settings, "IRSS_DATA_DIR": str(self.folder / "worker"), "IRSS_OFFLINE": "true"}

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker as it runs on ECS."""
        command = [sys.executable, "-m", "irss_core.cli", "worker"]
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        worker = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log, cwd=ROOT)
        self.workers.append(worker)
        return worker

    def letters(self, to: str, subject: str = "") -> list[EmailMessage]:
        """The mails that somebody got."""
        return [each for each in self.mails.arrived if each["To"] == to and subject in each["Subject"]]

    def sign_in(self, address: str) -> str:
        """A session's token, by the code that is mailed."""
        with self.visitor() as visitor:
            assert visitor.post("/verify", json={"address": address}).status_code in (200, 202, 204)
            (letter,) = until(lambda: self.letters(address, "code"))
            code = re.search(r"\b(\d{6})\b", letter.get_body(("plain",)).get_content())[1]  # type: ignore[index,union-attr]
            answer = visitor.post("/verify/confirm", json={"address": address, "code": code})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["token"])

    def stop(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(20)


def until(found: Callable[[], Any], *, patience_s: float = PATIENCE_S) -> Any:
    """What a function gives as soon as that is something."""
    over_at = time.monotonic() + patience_s
    while time.monotonic() < over_at:
        if value := found():
            return value
        time.sleep(_STEP_S)
    raise AssertionError(f"waited {patience_s:g} s in vain")


@contextlib.contextmanager
def ministack(folder: Path, *, smtp_port: int) -> Iterator[str]:
    """The emulator's address while the block runs."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "IRSS_"))},
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "SMTP_HOST": f"127.0.0.1:{smtp_port}",
        "TMPDIR": str(folder),
    }
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen([MINISTACK], env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            until(lambda: _answers(endpoint), patience_s=60)
            yield endpoint
        finally:
            process.terminate()
            process.wait(30)


def _answers(endpoint: str) -> bool:
    try:
        return httpx.get(f"{endpoint}/_ministack/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
