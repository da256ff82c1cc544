"""Errors as problem documents, what every answer carries, and how the service says how it is doing."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from irss_core import errors
from irss_core.api import build_api, health
from irss_core.errors import IrssError, StoreUnavailableError
from irss_core.jobs.options import Stage
from tests.made_api import Site, ask_raw, made_site, png, problem

UNKNOWN = "0" * 64


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made_site(tmp_path)


def _broken(site: Site, error: Exception) -> TestClient:
    """A client of a server whose store fails with that error."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    site.service.store = SimpleNamespace(job=fail, counts=fail)  # type: ignore[assignment]
    site.service.records = SimpleNamespace(count=fail)  # type: ignore[assignment]
    return TestClient(site.app, site.settings.address, raise_server_exceptions=False)


def _all_errors() -> list[type[IrssError]]:
    found = [IrssError]
    for each in found:
        found += each.__subclasses__()
    return [each for each in found if each.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_ours_is_a_problem_document(site: Site, kind: Callable[..., IrssError]) -> None:
    error = kind("Too much of it.", retry_after_s=7.2) if kind is errors.RateLimitedError else kind("Too much of it.")
    answer = _broken(site, error).get(f"/image/{UNKNOWN}")
    found = problem(answer)
    if isinstance(error, errors.NotFoundError):
        return
    assert (found["status"], found["code"]) == (error.http_status, error.code)
    if isinstance(error, errors.RateLimitedError):
        assert (found["retry_after"], answer.headers["retry-after"]) == (8, "8")
    if isinstance(error, errors.ResourceError):
        assert "retry-after" in answer.headers
    else:
        assert found["detail"] == "Too much of it."


def test_a_fault_of_the_machine_is_logged_and_not_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    client = _broken(site, StoreUnavailableError("/srv/irss/jobs.sqlite3 is locked"))
    assert "/srv" not in client.get(f"/image/{UNKNOWN}").text
    assert "/srv/irss/jobs.sqlite3 is locked" in caplog.text


def test_a_bug_is_named_and_not_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    answer = _broken(site, RuntimeError("password=hunter2")).get(f"/image/{UNKNOWN}")
    found = problem(answer)
    assert (found["status"], found["code"]) == (500, "internal-error")
    assert "hunter2" not in answer.text
    ours = [record.getMessage() for record in caplog.records if record.name == "irss.api"]
    assert len(ours) == 1
    assert found["instance"].removeprefix("urn:irss:incident:") in ours[0]
    assert "GET /image/{key}" in ours[0]
    assert UNKNOWN not in ours[0]


def test_faults_in_a_request_are_named_without_repeating_it(site: Site) -> None:
    body = {"address": ["hunter2"], "hunter3": 1}
    found = problem(site.browser(None).post("/verify", json=body))
    assert (found["status"], found["code"]) == (422, "invalid-request")
    assert [fault["at"] for fault in found["errors"]] == ["body.address", "body.hunter3"]
    assert "hunter2" not in str(found)


def test_many_faults_are_cut_short(site: Site) -> None:
    found = problem(site.program().post("/process-file", json={f"f{n}" * 50: n for n in range(1000)}))
    assert len(found["errors"]) == 20
    assert len(str(found)) < 10_000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"address": "\\ud800"}', b"[" * 10_000])
def test_what_is_no_json_is_refused(site: Site, content: bytes) -> None:
    answer = site.browser(None).post("/verify", content=content, headers={"Content-Type": "application/json"})
    assert problem(answer)["status"] in (400, 422)


def test_json_larger_than_any_submission_is_cut_off_as_it_arrives(site: Site) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {site.token()}"}
    for declared, most in (({}, 10), ({"Content-Length": str(100 * 65536)}, 0)):
        answer = ask_raw(
            site.app, "POST", "/process-file", headers={**headers, **declared}, pieces=[b"[" * 65536] * 100
        )
        assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
        assert answer.json()["code"] == "limit-exceeded"
        assert answer.pieces_taken <= most, "of 100"


def _below_a_page(site: Site) -> TestClient:
    """The server with a page that takes all paths, as gradio's does."""
    everything = FastAPI(openapi_url=None)

    @everything.get("/{path:path}")
    def page(path: str) -> PlainTextResponse:
        return PlainTextResponse(f"the page, {path}")

    @everything.post("/gradio_api/upload")
    def upload() -> PlainTextResponse:
        return PlainTextResponse("the page's own upload")

    site.app.mount("/", everything)
    return TestClient(site.app, follow_redirects=False)


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/", f"/jobs/{UNKNOWN}/x", "/upload/x", "/metrics/x", "/verify/x", "/batches"]
)
def test_no_page_answers_for_paths_of_the_api(site: Site, path: str) -> None:
    assert problem(_below_a_page(site).get(path))["status"] == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/health", "GET"),
        ("GET", "/process-file", "POST"),
        ("GET", "/upload", "POST"),
        ("PUT", f"/jobs/{UNKNOWN}", "GET, DELETE"),
        ("PATCH", "/objects/x", "GET, HEAD"),
        ("DELETE", "/verify/confirm", "POST"),
    ],
)
def test_another_method_is_told_which_is_right(site: Site, method: str, path: str, allowed: str) -> None:
    answer = _below_a_page(site).request(method, path)
    assert problem(answer)["status"] == 405
    assert answer.headers["allow"] == allowed


def test_the_page_keeps_its_own_paths(site: Site) -> None:
    client = _below_a_page(site)
    assert client.get("/").text == "the page, "
    assert client.get("/uploadsx").text == "the page, uploadsx"
    assert client.post("/gradio_api/upload").text == "the page's own upload"
    assert "referrer-policy" not in client.get("/").headers


def test_answers_are_private_and_of_the_type_they_say(site: Site) -> None:
    job = site.submitted()[0]
    for path in (f"/jobs/{job.id}", "/images", "/health", "/metrics", "/openapi.json", f"/jobs/{UNKNOWN}", "/jobs"):
        headers = site.program().get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path


def test_neither_ids_nor_addresses_are_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "irss")
    job = site.submitted()[0]
    client = site.browser(None)
    client.post("/verify", json={"address": "ada@example.org"})
    client.post("/verify/confirm", json={"address": "ada@example.org", "code": "000000"})
    site.program().get(f"/jobs/{job.id}")
    site.program().delete(f"/jobs/{job.id}")
    logged = "".join(record.getMessage() for record in caplog.records if record.name.startswith("irss"))
    assert job.id not in logged
    assert "example.org" not in logged


def test_health_is_well(site: Site) -> None:
    site.submitted(2)
    body = site.program(None).get("/health").json()
    assert (body["status"], body["problems"], body["store_writable"]) == ("ok", [], True)
    assert (body["jobs_waiting"], body["jobs_in_work"], body["dead_letters"]) == (2, 0, 0)
    assert body["mail"] == "folder"
    assert body["disk_free_bytes"] > 0
    assert {"version", "device", "models"} <= set(body)
    assert not (site.settings.cache_dir).exists(), "nothing is loaded for it"


def test_health_says_when_nobody_works(site: Site) -> None:
    site.submitted(2)
    site.clock.advance(61)
    body = site.program(None).get("/health").json()
    assert body["status"] == "degraded"
    assert [each["what"] for each in body["problems"]] == ["workers"]
    assert "irss worker" in body["problems"][0]["detail"]
    assert site.service.work.receive(wait_s=0, visibility_timeout_s=60) is not None
    assert site.program(None).get("/health").json()["status"] == "ok", "somebody is working: the others wait their turn"


def test_health_says_that_letters_are_dead(site: Site) -> None:
    site.submitted()
    for _ in range(6):
        if message := site.service.work.receive(wait_s=0, visibility_timeout_s=60):
            site.service.work.release(message)
    body = site.program(None).get("/health").json()
    assert [each["what"] for each in body["problems"]] == ["dead-letters"]
    assert body["dead_letters"] == 1


def test_health_says_that_the_disk_is_full(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1024))
    assert [each["what"] for each in site.program(None).get("/health").json()["problems"]] == ["disk"]


def test_health_says_that_the_store_is_not_there(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    answer = _broken(site, StoreUnavailableError("/srv/irss is read-only")).get("/health")
    assert answer.status_code == 200, "the rest works"
    body = answer.json()
    assert (body["status"], body["store_writable"], body["jobs_waiting"]) == ("degraded", False, None)
    assert [each["what"] for each in body["problems"]] == ["store"]
    assert "/srv" not in answer.text
    assert "/srv/irss is read-only" in caplog.text


def test_health_does_not_wait_for_a_store_that_hangs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 0.05)
    count, release = site.service.records.count, threading.Event()
    site.service.records = SimpleNamespace(count=lambda *_, **__: release.wait(5))  # type: ignore[assignment]
    with TestClient(site.app) as client:
        assert [client.get("/health").json()["store_writable"] for _ in range(6)] == [False] * 6
        release.set()  # the looks that hung end one after the other, and make room
    site.service.records = SimpleNamespace(count=count)  # type: ignore[assignment]
    monkeypatch.undo()
    with TestClient(site.app) as client:
        well = (client.get("/health").json()["store_writable"] for _ in range(200) if not time.sleep(0.01))
        assert any(well)


def test_a_store_that_cannot_be_opened_leaves_the_rest_of_the_app_alone(tmp_path: Path) -> None:
    class Closed:
        settings = made_site(tmp_path).settings

        @property
        def jobs(self) -> Any:
            raise StoreUnavailableError("the folder is read-only")

    app = FastAPI()
    build_api(app, Closed())  # type: ignore[arg-type]
    client = TestClient(app)
    assert client.get("/health").json()["status"] == "degraded"
    assert "irss_store_up 0.0" in client.get("/metrics").text
    assert problem(client.get("/images"))["status"] == 503
    page = client.get(f"/jobs/{UNKNOWN}", headers={"Accept": "text/html"})
    assert page.status_code == 503


def test_metrics_count_jobs_mails_queues_and_requests(site: Site) -> None:
    one, two, _ = site.submitted(3)
    site.done(one)
    site.failed(two)
    site.clock.advance(30)
    client = site.program()
    client.get(f"/jobs/{one.id}")
    client.get(f"/jobs/{two.id}")
    client.get(f"/jobs/{UNKNOWN}")
    client.get("/elsewhere")
    client.post(
        "/process-file", json={"uploads": [client.post("/upload", files={"file": ("a.png", png())}).json()["id"]]}
    )
    figures = _figures(client)
    assert figures["irss_store_up", ()] == 1
    assert [figures["irss_jobs", (("status", each),)] for each in "1234"] == [2, 1, 0, 1]
    assert figures["irss_mails", (("state", "pending"),)] == 0
    assert figures["irss_queue_messages", (("queue", "work"), ("state", "ready"))] == 4
    assert figures["irss_queue_oldest_ready_seconds", (("queue", "work"),)] == 30
    answered = "irss_http_requests_total"
    job = ("method", "GET"), ("route", "/jobs/{job_id}")
    assert figures[answered, (*job, ("status", "200"))] == 2
    assert figures[answered, (*job, ("status", "404"))] == 1
    assert figures[answered, (("method", "GET"), ("route", "other"), ("status", "404"))] == 1
    assert figures["irss_http_request_seconds_count", (("route", "/jobs/{job_id}"),)] == 3
    assert figures["irss_http_submissions_total", (("created", "true"),)] == 1


def test_metrics_name_no_job(site: Site) -> None:
    job = site.at(site.submitted()[0], Stage.UPSCALE, 0.5)
    client = site.program()
    client.get(f"/jobs/{job.id}")
    client.request("X" * 50, f"/jobs/{job.id}")
    text = client.get("/metrics").text
    assert job.id not in text
    assert "XXX" not in text


def test_two_apps_of_one_process_count_for_themselves(tmp_path: Path) -> None:
    one, two = made_site(tmp_path / "1"), made_site(tmp_path / "2")
    one.submitted()
    assert _figures(one.program())["irss_jobs", (("status", "1"),)] == 1
    assert _figures(two.program())["irss_jobs", (("status", "1"),)] == 0


def _figures(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
