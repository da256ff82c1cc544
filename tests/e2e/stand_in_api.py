"""A stand-in for the HTTP API: its answers, made by hand on demand, with faults, for the browser tests of ``web/``."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from irss_core.api.answers import batch_answer, job_answer
from irss_core.jobs.identity import Owner
from irss_core.jobs.job import Batch, Job, new_id
from irss_core.jobs.options import JobOptions, Stage
from tests.e2e.chromium import ROOT
from tests.e2e.visitors import free_port

WEB = ROOT / "web"
CODE = "123456"
TOKEN = "a-token"
OWNER = Owner("0" * 64, "ada@example.org")
# What of the service an answer asks: until when an original is kept.
_SERVICE: Any = SimpleNamespace(
    clock=SimpleNamespace(now=time.time), limits=SimpleNamespace(keep_inputs_s=1e6, keep_results_s=1e6)
)
MODELS = ["realesrgan-x4plus", "tecogan-x4", "bicubic"]


@dataclass(frozen=True)
class Fault:
    """What is answered instead, the next time that somebody asks so."""

    method: str
    path: str  # a regular expression
    answer: Response


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None


@dataclass
class StandIn:
    """The server, and what a test makes it do: faults, jobs that get on, uploads that are held up."""

    folder: Path
    address: str = ""
    now: float = field(default_factory=time.time)
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    submissions: dict[str, str] = field(default_factory=dict)  # Idempotency-Key -> batch
    files: dict[str, Path] = field(default_factory=dict)  # role -> file that is given for it
    gate: threading.Event = field(default_factory=threading.Event)  # closed: uploads stop after some bytes
    broken_events: bool = False  # streams end after their first event
    config: str | None = None  # instead of web/config.js

    def __post_init__(self) -> None:
        self.gate.set()

    def fail(self, method: str, path: str, status: int, *, detail: str = "", times: int = 1, **more: Any) -> None:
        """Answer the next times with a problem document."""
        told = {"title": f"Problem {status}", "status": status, "detail": detail, "code": "made", **more}
        media_type = "application/problem+json"
        self.faults += [Fault(method, path, JSONResponse(told, status, media_type=media_type)) for _ in range(times)]

    def count(self, method: str, path: str) -> int:
        """How often it was asked for."""
        return sum(each.method == method and re.fullmatch(path, each.path) is not None for each in self.asked)

    def change(self, job: Job, **changes: Any) -> Job:
        """Let a job get on."""
        self.now += 1
        self.jobs[job.id] = replace(self.jobs[job.id], updated_at=self.now, **changes)
        return self.jobs[job.id]

    def of(self, name: str) -> Job:
        """The newest job of a file of that name."""
        return [job for job in self.jobs.values() if job.name == name][-1]

    def submit(self, names: list[str], options: dict[str, Any] | None = None, ids: list[str] | None = None) -> Batch:
        """Take a submission on."""
        self.now += 10
        batch = Batch(new_id(), OWNER.key, OWNER.address, self.now, len(names), len(names))
        self.batches[batch.id] = batch
        for number, (name, each) in enumerate(zip(names, ids or [new_id() for _ in names], strict=True), 1):
            self.jobs[each] = Job(
                id=each, batch_id=batch.id, owner=OWNER.key, number=number, name=name, input_key=f"uploads/{each}",
                input_bytes=9, options=JobOptions.from_dict(options or {}), created_at=self.now, updated_at=self.now,
            )  # fmt: skip
        return batch

    def answer(self, batch: Batch) -> dict[str, Any]:
        """The batch as the API tells it."""
        mine = [job for job in self.jobs.values() if job.batch_id == batch.id]
        return batch_answer(batch, mine, asked_by=OWNER, jobs=_SERVICE).model_dump(mode="json")


def build(stand_in: StandIn) -> ASGIApp:
    """Return the app of a stand-in."""

    def known(request: Request) -> bool:
        said = request.headers.get("authorization") == f"Bearer {TOKEN}"
        return said or request.cookies.get("irss_session") == TOKEN

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "models": MODELS})

    async def verify(request: Request) -> Response:
        await request.json()
        return JSONResponse({"expires_in_s": 1800}, 202)

    async def confirm(request: Request) -> Response:
        if (await request.json())["code"] != CODE:
            return problem(401, "Not signed in", "That is not the code from the newest mail. 4 tries are left.")
        answer = JSONResponse({"token": TOKEN, "expires_in_s": 2592000})
        answer.set_cookie("irss_session", TOKEN, httponly=True)
        return answer

    async def sign_out(_: Request) -> Response:
        answer = Response(status_code=204)
        answer.delete_cookie("irss_session")
        return answer

    async def begin_upload(request: Request) -> Response:
        if not known(request):
            return problem(401, "Not signed in", "Nobody is signed in.")
        upload_id, asked = new_id(), await request.json()
        stand_in.uploads[upload_id] = asked
        fields = {"key": f"uploads/{upload_id}", "policy": "p", "signature": "s"}
        form = {"id": upload_id, "url": f"{stand_in.address}/objects", "fields": fields}
        return JSONResponse({**form, "max_bytes": asked["size_bytes"], "expires_at": "2030-01-01T00:00:00Z"}, 201)

    async def take(request: Request) -> Response:
        content, held = b"", 300_000
        async for piece in request.stream():
            content += piece
            while len(content) > held and not stand_in.gate.is_set():
                await anyio.sleep(0.01)
        head, _, rest = content.partition(b'name="file"')
        upload_id = re.findall(rb"uploads/([0-9a-f]{64})", head)[0].decode()
        stand_in.uploads[upload_id]["stored"] = rest.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        return Response(status_code=204)

    async def process(request: Request) -> Response:
        body, key = await request.json(), request.headers["idempotency-key"]
        stand_in.asked[-1] = replace(stand_in.asked[-1], body=body)
        if key not in stand_in.submissions:
            names = [stand_in.uploads[each]["name"] for each in body["uploads"]]
            stand_in.submissions[key] = stand_in.submit(names, body["options"], body["uploads"]).id
        batch = stand_in.batches[stand_in.submissions[key]]
        return JSONResponse({"created": True, "batch": stand_in.answer(batch)}, 202)

    async def read_batch(request: Request) -> Response:
        batch = stand_in.batches.get(request.path_params["id"])
        if batch is None or not any(job.batch_id == batch.id for job in stand_in.jobs.values()):
            return problem(404, "Not found", "There is no batch of that id for you.")
        return JSONResponse(stand_in.answer(batch))

    async def read_job(request: Request) -> Response:
        return JSONResponse(
            job_answer(stand_in.jobs[request.path_params["id"]], asked_by=OWNER, jobs=_SERVICE).model_dump(mode="json")
        )

    async def events(request: Request) -> Response:
        async def news() -> Any:
            said = ""
            while job := stand_in.jobs.get(request.path_params["id"]):
                now = job_answer(job, asked_by=OWNER, jobs=_SERVICE).model_dump_json()
                if now != said:
                    yield ServerSentEvent(event="job", data=now)
                said = now
                if job.settled or stand_in.broken_events:
                    return
                await anyio.sleep(0.02)
            yield ServerSentEvent(event="gone", data="{}")

        return EventSourceResponse(news())

    async def cancel(request: Request) -> Response:
        job = stand_in.change(stand_in.jobs[request.path_params["id"]], cancel_requested=True)
        return JSONResponse(job_answer(job, asked_by=OWNER, jobs=_SERVICE).model_dump(mode="json"))

    async def delete(request: Request) -> Response:
        del stand_in.jobs[request.path_params["id"]]
        return Response(status_code=204)

    async def images(request: Request) -> Response:
        if not known(request):
            return problem(401, "Not signed in", "Nobody is signed in.")
        start, limit = int(request.query_params.get("cursor", 0)), int(request.query_params["limit"])
        newest = sorted(stand_in.jobs.values(), key=lambda job: -job.created_at)
        page = [
            job_answer(job, asked_by=OWNER, jobs=_SERVICE).model_dump(mode="json")
            for job in newest[start : start + limit]
        ]
        return JSONResponse({"images": page, "next": str(start + limit) if start + limit < len(newest) else None})

    async def image(request: Request) -> Response:
        return RedirectResponse(f"/objects/{request.query_params.get('role', 'result')}", 303)

    async def give(request: Request) -> Response:
        path = stand_in.files[request.path_params["role"]]
        return FileResponse(path, filename=path.name, headers={"X-Content-Type-Options": "nosniff"})

    async def config(_: Request) -> Response:
        text = (WEB / "config.js").read_text() if stand_in.config is None else stand_in.config
        return PlainTextResponse(text, media_type="text/javascript")

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/verify", verify, methods=["POST"]),
            Route("/verify/confirm", confirm, methods=["POST"]),
            Route("/sign-out", sign_out, methods=["POST"]),
            Route("/uploads", begin_upload, methods=["POST"]),
            Route("/objects", take, methods=["POST"]),
            Route("/objects/{role}", give),
            Route("/process-file", process, methods=["POST"]),
            Route("/batches/{id}", read_batch),
            Route("/jobs/{id}", read_job, methods=["GET"]),
            Route("/jobs/{id}", delete, methods=["DELETE"]),
            Route("/jobs/{id}/events", events),
            Route("/jobs/{id}/cancel", cancel, methods=["POST"]),
            Route("/images", images),
            Route("/image/{id}", image),
            Route("/web/config.js", config),
            Mount("/web", StaticFiles(directory=WEB, html=True)),
        ],
        middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])],
    )
    return _Faulty(app, stand_in)


class _Faulty:
    """Writes requests down and gives the faults that were asked for."""

    def __init__(self, app: ASGIApp, stand_in: StandIn) -> None:
        self._app, self._stand_in = app, stand_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        request, stand_in = Request(scope), self._stand_in
        stand_in.asked.append(Asked(request.method, request.url.path, dict(request.headers)))
        for fault in stand_in.faults:
            if fault.method == request.method and re.fullmatch(fault.path, request.url.path):
                stand_in.faults.remove(fault)
                await fault.answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def problem(status: int, title: str, detail: str) -> Response:
    """Return a problem document."""
    return JSONResponse({"title": title, "status": status, "detail": detail}, status)


def made(stand_in: StandIn, job: Job, *, fmt: str = "png", kind: str = "still", size: tuple[int, int]) -> Job:
    """Let a job be finished with a result of that size."""
    from irss_core.jobs.job import JobStatus

    facts = {
        "kind": kind,
        "result_width": size[0],
        "result_height": size[1],
        "result_format": fmt,
        "result_bytes": 12345,
    }
    outputs = {"result": "r", "thumbnail": "t", "preview": "p"}
    done: dict[str, Any] = {"status": JobStatus.PROCESSED, "stage": Stage.ARCHIVE, "finished_at": stand_in.now}
    return stand_in.change(job, facts=facts, outputs=outputs, **done)


@contextmanager
def serving(stand_in: StandIn) -> Iterator[StandIn]:
    """Run the stand-in for as long as the block lasts."""
    port = free_port()
    stand_in.address = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(build(stand_in), port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield stand_in
    finally:
        stand_in.gate.set()
        server.should_exit = True
        thread.join(10)
