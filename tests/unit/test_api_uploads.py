"""How files come in over HTTP, and how they go out at signed addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from irss_core.adapters.object_rules import attachment
from irss_core.api import forms, uploads
from irss_core.jobs.limits import JobLimits
from tests.made_api import FORM, Site, ask_raw, made_site, multipart, png, problem

PIECE = b"x" * 65536
PROBLEM = "application/problem+json"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made_site(tmp_path)


def test_a_form_takes_the_file_that_it_was_made_for_and_then_it_can_be_submitted(site: Site) -> None:
    client, file = site.program(), png()
    form = client.post("/uploads", json={"name": "a.png", "size_bytes": len(file), "content_type": "image/png"})
    assert form.status_code == 201
    body = form.json()
    assert set(body) == {"id", "url", "fields", "max_bytes", "expires_at"}
    assert body["max_bytes"] == len(file)

    sent = site.program(None).post(body["url"], data=body["fields"], files={"file": ("x", file)})
    assert (sent.status_code, sent.content) == (204, b""), "the form is the right to send; no session is asked for"
    job = client.post("/process-file", json={"uploads": [body["id"]]}).json()["batch"]["jobs"][0]
    assert job["name"] == "a.png", "and not what the form called it"


def test_a_file_that_comes_with_an_order_is_a_job_at_once(site: Site) -> None:
    client, file = site.program(), png()
    new = {"name": "a.png", "size_bytes": len(file), "content_type": "image/png"}
    body = client.post("/uploads", json={**new, "options": {"preset": "thumbnail-100"}}).json()
    assert client.get(f"/jobs/{body['id']}").status_code == 404
    sent = site.program(None).post(body["url"], data=body["fields"], files={"file": ("x", file)})
    assert sent.status_code == 204
    job = client.get(f"/jobs/{body['id']}").json()
    assert (job["name"], job["status"], job["options"]["preset"]) == ("a.png", 1, "thumbnail-100")


def test_a_form_takes_one_file_only(site: Site) -> None:
    body = _form(site)
    for status in (204, 404):
        answer = site.program(None).post("/objects", data=body["fields"], files={"file": ("x", png())})
        assert answer.status_code == status
    problem(answer)


@pytest.mark.parametrize("field", ["key", "content-type", "policy", "signature"])
def test_a_form_that_was_changed_takes_nothing(site: Site, field: str) -> None:
    body = _form(site)
    for fields in ({**body["fields"], field: "0"}, {k: v for k, v in body["fields"].items() if k != field}):
        answer = site.program(None).post("/objects", data=fields, files={"file": ("x", png())})
        assert problem(answer)["status"] == 404
    assert _stored(site) == []


def test_a_form_is_over_some_time(site: Site) -> None:
    body = _form(site)
    site.clock.advance(24 * 3600)
    answer = site.program(None).post("/objects", data=body["fields"], files={"file": ("x", png())})
    assert problem(answer)["status"] == 404


def test_a_file_beyond_what_its_form_takes_is_cut_off_as_it_arrives(site: Site) -> None:
    body = _form(site, size_bytes=100)
    answer = ask_raw(site.app, "POST", "/objects", headers=FORM, pieces=multipart(body["fields"], [PIECE] * 1000))
    assert (answer.status, answer.json()["code"]) == (413, "limit-exceeded")
    assert answer.pieces_taken < 50, "of 1000"
    assert _stored(site) == []
    assert _send(site, body).status_code == 204, "what did not arrive does not use up the form"


def test_nothing_is_read_for_a_form_that_is_not_ours(site: Site) -> None:
    fields = {"key": "uploads/1", "content-type": "image/png", "policy": "", "signature": ""}
    answer = ask_raw(site.app, "POST", "/objects", headers=FORM, pieces=multipart(fields, [PIECE] * 1000))
    assert answer.status == 404
    assert answer.pieces_taken < 50, "of 1000"


def test_a_form_that_breaks_off_leaves_nothing(site: Site) -> None:
    body = _form(site, size_bytes=10 * len(PIECE))
    pieces = list(multipart(body["fields"], [PIECE] * 4, whole=False))
    for ends in (True, False):
        answer = ask_raw(site.app, "POST", "/objects", headers=FORM, pieces=pieces, ends=ends)
        assert (answer.status, answer.json()["code"]) == (400, "bad-input")
    assert _stored(site) == []
    assert _files(site, "objects") == [], "not even a part"


def test_an_upload_that_stalls_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_STALLED_S", 0.05)
    body = _form(site)
    answer = ask_raw(
        site.app, "POST", "/objects", headers=FORM, pieces=multipart(body["fields"], [], whole=False), ends=None
    )
    assert (answer.status, answer.json()["code"]) == (408, "request-timeout")


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        ("application/json", [b"{}"]),
        ("multipart/form-data", [b""]),
        ("multipart/form-data; boundary=" + "b" * 300, [b""]),
        ("multipart/form-data; boundary=b", [b"no form at all"]),
        (
            "multipart/form-data; boundary=b",
            [b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n1\r\n--b--\r\n'],
        ),
        ("multipart/form-data; boundary=b", [b"--b\r\n\r\n1\r\n--b--\r\n"]),
        ("multipart/form-data; boundary=b", list(multipart({"a": "1" * 70_000}, [b""]))),
        ("multipart/form-data; boundary=b", list(multipart({f"f{n}": "" for n in range(40)}, [b""]))),
        ("multipart/form-data; boundary=b", [*multipart({}, [b"x", b"\r\n"], whole=False), *multipart({}, [b"y"])]),
        ("multipart/form-data; boundary=b", [*list(multipart({"a": "1"}, []))[:1], *multipart({"a": "2"}, [])]),
    ],
)
@pytest.mark.parametrize("path", ["/upload", "/objects"])
def test_what_is_no_form_with_one_file_at_its_end_is_refused(
    site: Site, path: str, kind: str, pieces: list[bytes]
) -> None:
    headers = {**FORM, "Content-Type": kind, "Authorization": f"Bearer {site.token()}"}
    answer = ask_raw(site.app, "POST", path, headers=headers, pieces=list(pieces))
    assert (answer.status, answer.headers["content-type"]) in [(400, PROBLEM), (404, PROBLEM)]
    assert _stored(site) == []


def test_a_small_file_is_taken_at_once(site: Site) -> None:
    client = site.program()
    answer = client.post("/upload", files={"file": ("Katze auf Dach.png", png())})
    assert answer.status_code == 201
    job = client.post("/process-file", json={"uploads": [answer.json()["id"]]}).json()["batch"]["jobs"][0]
    assert job["name"] == "Katze auf Dach.png"


def test_a_direct_upload_is_cut_off_at_its_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "DIRECT_UPLOAD_BYTES", 1000)
    headers = {**FORM, "Authorization": f"Bearer {site.token()}"}
    answer = ask_raw(site.app, "POST", "/upload", headers=headers, pieces=multipart({}, [PIECE] * 1000))
    assert (answer.status, answer.json()["code"]) == (413, "limit-exceeded")
    assert "POST /uploads" in answer.json()["detail"]
    assert answer.pieces_taken < 50, "of 1000"


def test_nobody_uploads_without_a_session_and_nothing_is_read(site: Site) -> None:
    answer = ask_raw(site.app, "POST", "/upload", headers=FORM, pieces=multipart({}, [PIECE] * 1000))
    assert answer.status == 401
    assert answer.pieces_taken == 0
    assert problem(site.program(None).post("/uploads", json={}))["status"] == 401


@pytest.mark.parametrize(
    ("name", "status"),
    [("../../etc/passwd.png", 201), ("a\r\nSet-Cookie: x=1.png", 201), ("x.exe", 415), ("x.svg", 415), ("\0.png", 201)],
)
def test_names_never_become_paths_or_headers(site: Site, name: str, status: int) -> None:
    client = site.program()
    asked = client.post("/uploads", json={"name": name, "size_bytes": 82, "content_type": "image/png"})
    assert asked.status_code == status
    assert "set-cookie" not in asked.headers
    if status == 201:
        assert asked.json()["fields"]["key"] == f"uploads/{asked.json()['id']}"
    else:
        problem(asked)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a.png", "size_bytes": 0, "content_type": "image/png"},
        {"name": "a.png", "size_bytes": "82", "content_type": "image/png"},
        {"name": "a.png", "size_bytes": 82},
        {"name": "", "size_bytes": 82, "content_type": "image/png"},
        {"name": "a.png", "size_bytes": 82, "content_type": "image/png", "path": "/etc/passwd"},
        {"name": "a.png", "size_bytes": 82, "content_type": "text/html\r\nX: y"},
    ],
)
def test_an_upload_that_cannot_be_is_told_why(site: Site, body: dict[str, object]) -> None:
    assert problem(site.program().post("/uploads", json=body))["status"] == 422


def test_files_over_the_limit_are_refused_before_they_are_sent(tmp_path: Path) -> None:
    site = made_site(tmp_path, limits=JobLimits(max_image_bytes=1000))
    body = {"name": "a.png", "size_bytes": 1001, "content_type": "image/png"}
    answer = problem(site.program().post("/uploads", json=body))
    assert (answer["status"], answer["code"]) == (413, "limit-exceeded")


def test_a_download_is_an_attachment_that_no_browser_runs(site: Site) -> None:
    answer = site.program(None).get(_download(site, png()))
    assert (answer.status_code, answer.content) == (200, png())
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["cache-control"].startswith("private")
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_download_may_be_had_in_parts(site: Site) -> None:
    client, address, whole = site.program(None), _download(site, png()), png()
    part = client.get(address, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, whole[2:5])
    assert part.headers["content-range"] == f"bytes 2-4/{len(whole)}"
    assert client.get(address, headers={"Range": "bytes=-5"}).content == whole[-5:]
    assert client.get(address, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    assert client.get(address, headers={"Range": "bytes=0-1", "If-Range": '"another"'}).content == whole
    head = client.head(address)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole)))


def test_a_download_address_is_good_for_one_file_under_one_name_for_minutes(site: Site) -> None:
    client, address = site.program(None), _download(site, png())
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    other = site.submitted()[0]
    for path, asked in [
        (f"/objects/uploads/{other.id}", query),
        (parts.path, {**query, "filename": "x.html"}),
        (parts.path, {**query, "expires": "99999999999"}),
        (parts.path, {**query, "expires": "x"}),
        (parts.path, {**query, "signature": "0" * 64}),
        (parts.path, {"signature": query["signature"]}),
        (parts.path, {}),
    ]:
        assert problem(client.get(path, params=asked))["code"] == "not-found"
    assert client.get(address).status_code == 200
    site.clock.advance(301)
    assert problem(client.get(address))["status"] == 404


@pytest.mark.parametrize(
    "key",
    [
        "../secret.key",
        "..%2f..%2fjobs.sqlite3",
        "%2e%2e/jobs.sqlite3",
        "/etc/passwd",
        "processed//..",
        "%00",
        "x" * 290,
    ],
)
def test_path_tricks_lead_nowhere(site: Site, key: str) -> None:
    good = dict(parse_qsl(urlsplit(_download(site, png())).query))
    answer = site.program(None).get(f"/objects/{key}", params=good)
    assert answer.status_code == 404
    assert str(site.settings.data_dir) not in answer.text


def test_a_file_that_is_gone_is_not_found(site: Site) -> None:
    address = _download(site, png())
    for key in list(site.service.objects.keys("processed/")):
        site.service.objects.delete(key)
    assert problem(site.program(None).get(address))["status"] == 404


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.png", "attachment; filename=\"a.png\"; filename*=UTF-8''a.png"),
        ('a"b\\c.png', "attachment; filename=\"a_b_c.png\"; filename*=UTF-8''a%22b%5Cc.png"),
        ("ä\r\nX: y", "attachment; filename=\"___X: y\"; filename*=UTF-8''%C3%A4%0D%0AX%3A%20y"),
        ("\ud800", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
    ],
)
def test_a_name_in_a_header_is_only_a_name(name: str, header: str) -> None:
    assert attachment(name) == header


@pytest.mark.parametrize(
    ("settings", "headers", "url"),
    [
        ({}, {}, "http://127.0.0.1:7860/objects"),
        ({}, {"Host": "irss.local:8080"}, "http://irss.local:8080/objects"),
        ({}, {"Host": "irss.local", "Origin": "https://irss.local"}, "https://irss.local/objects"),
        ({}, {"Host": "irss.local", "Origin": "https://evil.example"}, "http://irss.local/objects"),
        ({"trusted_proxies": 1}, {"Host": "irss.local", "X-Forwarded-Proto": "https"}, "https://irss.local/objects"),
        ({"public_url": "https://irss.example.org/"}, {"Host": "evil.example"}, "https://irss.example.org/objects"),
    ],
)
def test_a_form_leads_to_where_the_caller_reaches_us(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], url: str
) -> None:
    body = {"name": "a.png", "size_bytes": 82, "content_type": "image/png"}
    assert made_site(tmp_path, **settings).program().post("/uploads", json=body, headers=headers).json()["url"] == url


def test_a_download_stays_on_the_host_that_was_asked(tmp_path: Path) -> None:
    site = made_site(tmp_path, public_url="https://irss.example.org")
    assert _download(site, png()).startswith("/objects/processed/")


def _form(site: Site, *, size_bytes: int | None = None) -> dict[str, Any]:
    body = {"name": "a.png", "size_bytes": size_bytes or len(png()), "content_type": "image/png"}
    form: dict[str, Any] = site.program().post("/uploads", json=body).json()
    return form


def _send(site: Site, form: dict[str, Any], file: bytes = b"1") -> Any:
    return site.program(None).post("/objects", data=form["fields"], files={"file": ("x", file)})


def _download(site: Site, file: bytes) -> str:
    job = site.done(site.submitted()[0], picture=file)
    answer = site.program(None).get(f"/image/{job.id}")
    assert answer.status_code == 303
    return str(answer.headers["location"])


def _stored(site: Site) -> list[str]:
    return list(site.service.objects.keys("uploads/"))


def _files(site: Site, folder: str) -> list[Path]:
    return [path for path in (site.settings.data_dir / folder).rglob("*") if path.is_file()]
