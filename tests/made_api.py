"""The HTTP API over a whole service on this machine's adapters, for tests: no page, no worker, a clock of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.adapters.local.records import SqliteRecords
from irss_core.adapters.local.signing import UrlSigner
from irss_core.api import build_api
from irss_core.config import Settings
from irss_core.jobs.identity import COOKIE, Owner, Sessions
from irss_core.jobs.job import Job, JobStatus, at_stage, begin_attempt, given_up, processed, with_results
from irss_core.jobs.keys import output_key
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.service import JobService
from tests.fakes.clock import FakeClock
from tests.fakes.mailer import FakeMailer

SECRET = b"s" * 32
ADA, BOB = "ada@example.org", "bob@example.org"


@dataclass
class MadeServices:
    """What ``build_api`` asks of the services."""

    settings: Settings
    jobs: JobService


@dataclass
class Site:
    """A server in this process, and what is behind it."""

    app: FastAPI
    settings: Settings
    service: JobService
    clock: FakeClock
    mailer: FakeMailer

    def owner(self, address: str = ADA) -> Owner:
        return self.service.sessions.owner_of_address(address)

    def token(self, address: str = ADA) -> str:
        return self.service.sessions.token(self.owner(address))

    def program(self, address: str | None = ADA, *, ip: str = "198.51.100.7") -> TestClient:
        """A program that shows a session's token; None: nobody in particular."""
        headers = {"Authorization": f"Bearer {self.token(address)}"} if address else {}
        return TestClient(self.app, self.settings.address, headers=headers, client=(ip, 1), follow_redirects=False)

    def browser(self, address: str | None = ADA, *, headers: Mapping[str, str] | None = None) -> TestClient:
        """A browser with a session's cookie, on a page of ours unless ``headers`` say where it is."""
        sent = {"Origin": self.settings.address, "Sec-Fetch-Site": "same-origin"} if headers is None else headers
        client = TestClient(self.app, self.settings.address, headers=dict(sent), follow_redirects=False)
        if address:
            client.cookies.set(COOKIE, self.token(address))
        return client

    def submitted(self, files: int = 1, *, address: str = ADA, options: JobOptions | None = None) -> list[Job]:
        """Jobs of one submission, handed in at the service."""
        folder = self.settings.data_dir / "handed-in"
        folder.mkdir(exist_ok=True)
        uploads = []
        for number in range(1, files + 1):
            path = folder / f"picture {number}.png"
            path.write_bytes(png())
            uploads.append(self.service.add_upload(self.owner(address), path, name=path.name))
        return list(self.service.submit(self.owner(address), uploads, options or JobOptions(), ip=None).jobs)

    def at(self, job: Job, stage: Stage, progress: float, remaining_s: float | None = None) -> Job:
        """The job as a worker would write it in the middle of its work."""
        job = self.service.job(job.id)
        if not job.attempt:
            self._save(job, job := begin_attempt(job, now=self.clock.now()))
        after = at_stage(job, stage, now=self.clock.now(), progress=progress, remaining_s=remaining_s)
        self._save(job, after)
        return after

    def done(self, job: Job, *, picture: bytes | None = None, facts: Mapping[str, Any] | None = None) -> Job:
        """The job as a worker would leave it, its results stored."""
        job = self.at(job, Stage.ARCHIVE, 1.0)
        outputs = {}
        for role in ("result", "thumbnail", "preview"):
            path = self.settings.data_dir / "made"
            path.write_bytes(picture if picture and role == "result" else png(100))
            outputs[role] = output_key(job.id, role)
            self.service.objects.put(outputs[role], path, content_type="image/png")
        if facts is None:
            facts = {
                "kind": "still", "width": 16, "height": 16, "format": "png", "result_width": 64, "result_height": 64,
                "result_format": "png", "result_bytes": 300, "seconds": 1.5,
            }  # fmt: skip
        after = processed(with_results(job, outputs=outputs, facts=facts, now=self.clock.now()), now=self.clock.now())
        self.service.store.settle(job, after)
        return after

    def failed(self, job: Job, error: str = "it is truncated.", code: str = "corrupt-media") -> Job:
        job = self.at(job, Stage.VALIDATE, 0.0)
        after = given_up(job, code=code, error=error, now=self.clock.now())
        self.service.store.settle(job, after)
        return after

    def status(self, job: Job) -> JobStatus:
        return self.service.job(job.id).status

    def _save(self, before: Job, after: Job) -> None:
        self.service.store.save(before, after)


def made_site(folder: Path, *, limits: JobLimits | None = None, **settings: Any) -> Site:
    """A server whose data lies in ``folder``."""
    said = Settings(
        data_dir=folder / "data", cache_dir=folder / "cache", offline=True, host=None, space_id=None, **settings
    )
    said.data_dir.mkdir(parents=True, exist_ok=True)
    clock, database, mailer = FakeClock(), Database(said.data_dir / "jobs.sqlite3"), FakeMailer()
    service = JobService(
        store=SqliteJobStore(database),
        objects=FileObjects(
            said.data_dir / "objects", signer=UrlSigner(SECRET, clock), address=said.address, clock=clock
        ),
        records=SqliteRecords(database, clock),
        work=SqliteQueue(database, "work", clock),
        mails=SqliteQueue(database, "mails", clock),
        mailer=mailer,
        clock=clock,
        sessions=Sessions(lambda: SECRET, clock=clock),
        limits=limits or JobLimits(),
        address=said.address,
        sender="IRSS <irss@example.org>",
    )
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    build_api(app, MadeServices(said, service))  # type: ignore[arg-type]
    return Site(app, said, service, clock, mailer)


def png(side: int = 16) -> bytes:
    """A small picture's file."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (200, 80, 40)).save(stream, "PNG")
    return stream.getvalue()


def problem(answer: Any) -> dict[str, Any]:
    """The problem document that an answer is, checked to be whole."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] == answer.status_code
    assert found["type"] == f"urn:irss:problem:{found['code']}"
    assert found["title"]
    assert found["detail"]
    return found


@dataclass
class Raw:
    """An answer, and how much of the request's body the server took before it gave it."""

    status: int
    headers: dict[str, str]
    body: bytes
    pieces_taken: int

    def json(self) -> Any:
        return json.loads(self.body)


def ask_raw(
    app: FastAPI,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    pieces: Iterable[bytes],
    ends: bool | None = True,
) -> Raw:
    """Ask as a client that sends piece by piece, and then ends the request, hangs up (False), or is silent (None)."""
    waiting, taken, sent = iter(pieces), 0, []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        piece = next(waiting, None)
        if piece is None and ends is None:
            await anyio.sleep_forever()
        if piece is None:
            return {"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path, "root_path": "",
        "raw_path": path.encode(), "query_string": b"", "client": ("198.51.100.7", 1), "server": ("127.0.0.1", 7860),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    anyio.run(app, scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    return Raw(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in sent),
        pieces_taken=taken,
    )


def multipart(
    fields: Mapping[str, str], pieces: Iterable[bytes], *, filename: str = "x", whole: bool = True
) -> Iterator[bytes]:
    """A form's body as it is sent: its fields, and a file in pieces. Its boundary is "b"."""
    for name, value in fields.items():
        yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    yield f'--b\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'.encode()
    yield from pieces
    if whole:
        yield b"\r\n--b--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=b", "Host": "127.0.0.1:7860"}
