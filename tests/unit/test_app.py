"""The app as its HTTP clients see it: what is served, to whom, and what is not."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import app as entry
from irss_core.config import Settings
from irss_core.ui import layout
from irss_core.ui.sessions import SessionStore


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(cache_dir=tmp_path_factory.mktemp("cache"), offline=True, host=None, space_id=None)


@pytest.fixture(scope="module")
def served(settings: Settings) -> FastAPI:
    return entry.build_app(settings)


@pytest.fixture(scope="module")
def client(served: FastAPI) -> Iterator[TestClient]:
    client = TestClient(served)  # without its lifespan: nothing is warmed up, nothing swept
    yield client
    client.close()


def test_health_answers_with_what_works(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert "tecogan-x4" in body["models"]
    assert "realesrgan-x2plus" not in body["models"], "its weights are not in this cache"


def test_the_api_and_the_page_stand_side_by_side(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "IRSS"
    for path in ("/jobs", "/upload", "/batches/x/y"):
        assert client.get(path).headers["content-type"] == "application/problem+json", path
    uploaded = client.post("/gradio_api/upload", files={"files": ("a.txt", b"the page's own upload")})
    assert uploaded.status_code == 200
    assert Path(uploaded.json()[0]).read_bytes() == b"the page's own upload"
    assert client.get("/config").json()["title"].startswith("IRSS · ")


def test_settings_that_do_not_go_together_give_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(port=_free_port(), host="127.0.0.1", oidc_issuer="https://login.example.org")
    assert entry.serve(settings) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("IRSS_OIDC_ISSUER is set and IRSS_OIDC_AUDIENCE is not")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_page_asks_no_other_host_for_anything(client: TestClient) -> None:
    page = client.get("/").text
    head = page[: page.index("window.gradio_config")]
    assert re.findall(r"https?://[^\"' ]+", head) == []
    assert "Gradio" not in head
    assert "IRSS" in page


def test_everything_the_head_names_is_served(client: TestClient) -> None:
    names = re.findall(r'(?:href|src)="([^"]+)"', layout.make_head())
    assert len(names) == 4
    for name in names:
        assert client.get(f"/{name}").status_code == 200, name
    assert client.get("/favicon.ico").status_code == 200


def test_only_the_three_endpoints_are_offered_and_they_say_what_they_do(client: TestClient) -> None:
    info = client.get("/gradio_api/info").json()
    endpoints = info["named_endpoints"]
    assert set(endpoints) == {"/upscale", "/compare", "/models"}
    assert info["unnamed_endpoints"] == {}
    assert [parameter["parameter_name"] for parameter in endpoints["/upscale"]["parameters"]] == [
        "file", "model", "outscale",
    ]  # fmt: skip
    assert [parameter["parameter_name"] for parameter in endpoints["/compare"]["parameters"]] == [
        "file", "model_a", "model_b", "outscale",
    ]  # fmt: skip
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_a_path_on_the_server_is_not_taken_for_an_upload(
    served: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "_WARM_MODELS", ())
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"not yours")
    with TestClient(served) as client:  # the queue needs the lifespan
        answer = _call(client, "upscale", [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}, "bicubic", 2])
    assert "error" in answer
    assert "secret" not in answer.replace(str(secret), "")
    assert '"data"' not in answer


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "irss_core/config.py"])
def test_gradio_serves_no_file_of_ours(client: TestClient, path: str) -> None:
    answer = client.get(f"/gradio_api/file={path}")
    assert answer.status_code in (403, 404)


def test_results_go_to_who_knows_their_address_and_to_no_cache(tmp_path: Path) -> None:
    store = SessionStore(max_age_s=100, parent=tmp_path)
    folder = store.visit("anna").new_folder("still")
    (folder / "a b.png").write_bytes(b"0123456789")
    bare = FastAPI()
    entry._add_results(bare, store)
    client = TestClient(bare)

    answer = client.get(f"/{store.address(folder)}/a%20b.png")
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["cache-control"].startswith("private")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts", "a visitor's page is not our page"
    part = client.get(f"/{store.address(folder)}/a%20b.png", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234"), "a player seeks"
    for foreign in (f"/{store.address(folder)}/other.png", "/results/x/y/z.png", f"/{store.address(folder)}/..%2Fx"):
        missing = client.get(foreign)
        assert missing.status_code == 404
        assert str(tmp_path) not in missing.text
    store.close()


def test_a_port_in_use_gives_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert entry.serve(Settings(port=port, host="127.0.0.1")) == 1
    captured = capsys.readouterr()
    assert captured.err == (f"Port {port} is in use. Stop the other program or choose another: PORT=7860 make demo\n")
    assert captured.out == ""


def test_an_address_that_is_not_ours_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.serve(Settings(port=7860, host="192.0.2.1")) == 1
    assert "Cannot listen on 192.0.2.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")],
)
def test_the_address_to_open_is_one_that_a_browser_takes(host: str, address: str) -> None:
    settings = Settings(host=host, port=1)
    assert settings.local_address == settings.address == f"http://{address}:1"
    assert Settings(host=host, public_url="https://irss.example/").address == "https://irss.example"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _call(client: TestClient, endpoint: str, data: list[Any]) -> str:
    """Return the text of an endpoint's event stream."""
    event = client.post(f"/gradio_api/call/{endpoint}", json={"data": data})
    if event.status_code != 200:
        return event.text
    answer: httpx.Response = client.get(f"/gradio_api/call/{endpoint}/{event.json()['event_id']}")
    return answer.text
