"""A job's events: what is said when, how the stream ends, and how many there may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient

from irss_core.api.streams import StreamLimit, job_events
from irss_core.errors import RateLimitedError
from irss_core.jobs.job import Job, at_stage, begin_attempt, delivered, given_up, processed
from irss_core.jobs.options import JobOptions, Stage
from tests.made_api import BOB, Site, made_site, problem

NOW = 1_800_000_000.0
JOB = Job(
    "1" * 64, "2" * 64, owner="3" * 64, number=1, name="a.png", input_key="uploads/1", input_bytes=1,
    options=JobOptions(), created_at=NOW, updated_at=NOW,
)  # fmt: skip


def _follow(states: Sequence[Job | None], *, stopped_after: int = 10_000) -> tuple[list[tuple[str, str]], list[float]]:
    """What a stream says of a job that is in these states one after the other, and how long it pauses in between."""
    reads, pauses, said = iter(states), [], []

    async def read() -> Job | None:
        return next(reads)

    async def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) < stopped_after

    async def follow() -> None:
        async for event in job_events(read, lambda job: f"{job.status.value} {job.stage} {job.progress}", pause):
            said.append((str(event.event), str(event.data)))

    anyio.run(follow)
    return said, pauses


def _working(progress: float) -> Job:
    return at_stage(begin_attempt(JOB, now=NOW), Stage.UPSCALE, now=NOW, progress=progress)


def test_only_what_changed_is_said_until_the_job_is_mailed() -> None:
    waiting, done = JOB, processed(_working(1.0), now=NOW)
    states = [waiting, waiting, _working(0.1), _working(0.1), _working(0.2), done, done, delivered(done, now=NOW)]
    said, _ = _follow(states)
    assert said == [
        ("job", "1 None 0.0"),
        ("job", "1 upscale 0.1"),
        ("job", "1 upscale 0.2"),
        ("job", "2 upscale 1.0"),
        ("job", "3 upscale 1.0"),
    ]


def test_a_stream_ends_when_the_job_is_given_up() -> None:
    said, _ = _follow([_working(0.1), given_up(_working(0.1), code="cancelled", error="Cancelled.", now=NOW)])
    assert said[-1] == ("job", "4 upscale 0.1")


def test_a_stream_of_a_deleted_job_says_so() -> None:
    assert _follow([_working(0.1), None])[0][-1] == ("gone", "{}")


def test_the_store_is_asked_twice_a_second_at_most_and_less_while_nothing_happens() -> None:
    said, pauses = _follow([_working(0.1)] * 20 + [_working(0.2), None])
    assert len(said) == 3
    assert pauses[0] == 0.5
    assert pauses[:20] == sorted(pauses[:20])
    assert pauses[18] == 2.0
    assert pauses[20] == 0.5, "something happened: the next news may be near"


def test_a_stream_does_not_stay_open_for_ever() -> None:
    _, pauses = _follow([_working(0.1)] * 4000)
    assert 3600 <= sum(pauses) < 3610


def test_a_stream_ends_when_the_server_stops() -> None:
    _, pauses = _follow([_working(0.1)] * 4, stopped_after=3)
    assert len(pauses) == 3


def test_streams_are_counted_by_client_and_together() -> None:
    limit = StreamLimit(of_one_client=1, of_all=2)
    with limit.hold("a"), limit.hold("b"):
        for client in ("a", "c"):
            with pytest.raises(RateLimitedError) as caught, limit.hold(client):
                pass
            assert caught.value.retry_after_s > 0
    with limit.hold("a"), limit.hold("c"):
        pass


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made_site(tmp_path)


def test_a_finished_job_is_told_once_over_http(site: Site) -> None:
    job = site.failed(site.submitted()[0])
    answer = site.program(None).get(f"/jobs/{job.id}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    [(name, data)] = _events(answer.text)
    assert name == "job"
    assert data == site.program(None).get(f"/jobs/{job.id}").json()


def test_the_batch_is_told_to_its_owner_only(site: Site) -> None:
    job = site.failed(site.submitted()[0])
    for client, batch in (
        (site.browser(), f"/batches/{job.batch_id}"),
        (site.browser(BOB), None),
        (site.browser(None), None),
    ):
        [(_, data)] = _events(client.get(f"/jobs/{job.id}/events").text)
        assert data["links"]["batch"] == batch


def test_there_are_no_events_of_a_job_that_is_not_there(site: Site) -> None:
    for each in ("0" * 64, "x"):
        assert problem(site.program().get(f"/jobs/{each}/events"))["status"] == 404
    with site.app.state.api.streams.hold("198.51.100.7"):
        pass


def test_an_open_stream_holds_its_place_until_the_client_is_gone(site: Site) -> None:
    api = site.app.state.api
    site.app.state.api = replace(api, streams=StreamLimit(of_one_client=1))
    job = site.submitted()[0]
    with TestClient(site.app) as server:  # one loop for all of its requests
        portal = server.portal
        assert portal is not None
        stream = _Stream(site, job)
        future = portal.start_task_soon(stream.run)
        portal.call(stream.begun.wait)
        refused = site.program(None).get(f"/jobs/{job.id}/events")
        assert problem(refused)["code"] == "rate-limited"
        assert int(refused.headers["retry-after"]) > 0
        portal.call(stream.gone.set)
        future.result(5)
        site.failed(job)
        assert site.program(None).get(f"/jobs/{job.id}/events").status_code == 200


class _Stream:
    """A client that reads a job's events until it goes."""

    def __init__(self, site: Site, job: Job) -> None:
        self._site, self._path = site, f"/jobs/{job.id}/events"
        self.begun, self.gone = anyio.Event(), anyio.Event()

    async def run(self) -> None:
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": self._path, "headers": [],
            "raw_path": self._path.encode(), "query_string": b"", "root_path": "", "client": ("198.51.100.7", 1),
            "server": ("127.0.0.1", 7860), "asgi": {"version": "3.0", "spec_version": "2.3"},
        }  # fmt: skip
        await self._site.app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body" and message["body"].startswith(b"event: job"):
            self.begun.set()


def _events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.replace("\r\n", "\n").strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        found.append((lines["event"], json.loads(lines["data"])))
    return found
