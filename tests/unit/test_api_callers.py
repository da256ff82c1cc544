"""Who asks: sessions and their cookie, other sites' pages, proxies, and what browsers of other origins may do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from itsdangerous import URLSafeTimedSerializer
from pydantic import SecretStr

from irss_core.jobs.identity import COOKIE, Sessions
from irss_core.jobs.job import JobStatus
from irss_core.jobs.limits import JobLimits
from tests.made_api import ADA, BOB, SECRET, Site, made_site, png, problem

EVE = "eve@example.org"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made_site(tmp_path)


def test_a_code_that_was_mailed_begins_a_session(site: Site) -> None:
    client = site.browser(None)
    asked = client.post("/verify", json={"address": ADA})
    assert (asked.status_code, asked.json()) == (202, {"expires_in_s": 1800})
    answer = client.post("/verify/confirm", json={"address": ADA, "code": _code(site)})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={answer.json()['token']};")
    assert re.findall(r"HttpOnly|SameSite=lax|Max-Age=2592000|Path=/|Secure", cookie) == [
        "HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=lax",
    ]  # fmt: skip
    assert client.get("/images").status_code == 200, "the cookie is the session"
    token = TestClient(site.app, headers={"Authorization": f"Bearer {answer.json()['token']}"})
    assert token.get("/images").status_code == 200, "and so is the token"


def test_a_wrong_code_begins_nothing_and_five_end_the_tries(site: Site) -> None:
    client = site.browser(None)
    client.post("/verify", json={"address": ADA})
    code = _code(site)
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        answer = client.post("/verify/confirm", json={"address": ADA, "code": wrong})
        assert problem(answer)["status"] == 401
        assert "set-cookie" not in answer.headers
    assert problem(client.post("/verify/confirm", json={"address": ADA, "code": code}))["status"] == 401


def test_a_code_is_good_once_and_not_for_long(site: Site) -> None:
    client = site.browser(None)
    client.post("/verify", json={"address": ADA})
    assert client.post("/verify/confirm", json={"address": ADA, "code": _code(site)}).status_code == 200
    assert client.post("/verify/confirm", json={"address": ADA, "code": _code(site)}).status_code == 401
    client.post("/verify", json={"address": ADA})
    site.clock.advance(1801)
    assert client.post("/verify/confirm", json={"address": ADA, "code": _code(site)}).status_code == 401


def test_an_address_gets_three_codes_a_day(site: Site) -> None:
    client = site.browser(None)
    for _ in range(3):
        assert client.post("/verify", json={"address": ADA}).status_code == 202
    answer = client.post("/verify", json={"address": ADA})
    assert problem(answer)["code"] == "rate-limited"
    assert int(answer.headers["retry-after"]) > 0
    assert len(site.mailer.arrived) == 3


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "ada@example.org\r\nBcc: bob@example.org",
        "ada@example.org\n",
        "a@b@c",
        "ada@[127.0.0.1]",
        "x" * 250 + "@a.b",
    ],
)
def test_what_is_no_address_gets_no_mail(site: Site, address: str) -> None:
    found = problem(site.browser(None).post("/verify", json={"address": address}))
    assert found["status"] == 422
    assert site.mailer.arrived == []


@pytest.mark.parametrize(
    ("settings", "headers", "base"),
    [
        ({"public_url": "https://irss.example.org"}, {}, "http://127.0.0.1:7860"),
        ({}, {}, "https://127.0.0.1:7860"),
        ({"trusted_proxies": 1}, {"X-Forwarded-Proto": "https"}, "http://127.0.0.1:7860"),
    ],
)
def test_over_https_the_cookie_stays_there(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], base: str
) -> None:
    site = made_site(tmp_path, **settings)
    client = TestClient(site.app, base, headers=headers)
    client.post("/verify", json={"address": ADA})
    answer = client.post("/verify/confirm", json={"address": ADA, "code": _code(site)})
    assert "Secure" in answer.headers["set-cookie"]


def test_who_says_https_without_a_proxy_of_ours_is_not_believed(site: Site) -> None:
    client = TestClient(site.app, site.settings.address, headers={"X-Forwarded-Proto": "https"})
    client.post("/verify", json={"address": ADA})
    answer = client.post("/verify/confirm", json={"address": ADA, "code": _code(site)})
    assert "Secure" not in answer.headers["set-cookie"]


def test_signing_out_deletes_the_cookie(site: Site) -> None:
    client = site.browser(None)
    client.post("/verify", json={"address": ADA})
    client.post("/verify/confirm", json={"address": ADA, "code": _code(site)})
    assert client.get("/images").status_code == 200
    answer = client.post("/sign-out")
    assert answer.status_code == 204
    assert f'{COOKIE}="";' in answer.headers["set-cookie"]
    assert client.get("/images").status_code == 401


def _forged(site: Site) -> list[str]:
    owner = site.owner()
    good = site.token()
    return [
        "",
        "x",
        good[:-1],
        good[:-2] + ("A" if good[-2] != "A" else "B") + good[-1],
        Sessions(lambda: b"another secret of 32 characters!", clock=site.clock).token(owner),
        str(URLSafeTimedSerializer(SECRET).dumps([owner.key, owner.address])),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
        "..",
        "\xe9" * 5,
    ]


def test_forged_sessions_are_nobody(site: Site) -> None:
    job = site.submitted()[0]
    for token in _forged(site):
        bearer = TestClient(site.app, headers={"Authorization": f"Bearer {token}".encode("latin-1")})
        cookie = TestClient(
            site.app,
            site.settings.address,
            headers={"Cookie": f"{COOKIE}={token}".encode("latin-1"), "Origin": site.settings.address},
        )
        for client in (bearer, cookie):
            assert problem(client.get("/images"))["code"] == "not-signed-in"
            assert problem(client.delete(f"/jobs/{job.id}"))["status"] == 401
            assert client.get(f"/jobs/{job.id}").json()["links"]["batch"] is None
    assert client.get("/images").headers["www-authenticate"].startswith("Bearer")


def test_a_session_is_over_after_30_days(site: Site) -> None:
    client = site.program()
    site.clock.advance(30 * 86400 - 1)
    assert client.get("/images").status_code == 200
    site.clock.advance(2)
    assert problem(client.get("/images"))["status"] == 401


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Origin": "http://127.0.0.1:7860"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": "irss.local", "Origin": "http://irss.local"}, True),
        ({"Origin": "https://app.example.org"}, True),
        ({}, False),
        ({"Origin": "http://127.0.0.1:8000"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://127.0.0.1:7860.evil.example"}, False),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Referer": "http://127.0.0.1:7860/"}, False),
    ],
)
def test_the_cookie_changes_something_only_from_pages_of_ours(
    tmp_path: Path, headers: dict[str, str], allowed: bool
) -> None:
    site = made_site(tmp_path, cors_origins=("https://app.example.org",))
    job = site.submitted()[0]
    client = site.browser(headers=headers)
    assert client.get("/images").status_code == 200, "reading changes nothing"
    answers = [
        client.post(f"/jobs/{job.id}/cancel"),
        client.post("/uploads", json={"name": "a.png", "size_bytes": 9, "content_type": "image/png"}),
        client.post("/upload", files={"file": ("a.png", png())}),
        client.post(f"/batches/{job.batch_id}/cancel"),
        client.delete(f"/jobs/{job.id}"),
    ]
    if allowed:
        assert [answer.status_code for answer in answers] == [200, 201, 201, 200, 204]
    else:
        assert [problem(answer)["code"] for answer in answers] == ["forbidden"] * 5
        assert site.status(job) is JobStatus.NOT_PROCESSED


def test_other_sites_sign_nobody_in_or_out(site: Site) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        client = site.browser(headers=headers)
        client.post("/verify", json={"address": ADA})
        answer = client.post("/verify/confirm", json={"address": ADA, "code": _code(site)})
        assert problem(answer)["status"] == 403
        assert "set-cookie" not in answer.headers
        assert problem(client.post("/sign-out"))["status"] == 403


def test_a_form_of_another_site_is_no_json(site: Site) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = site.browser().post(
            "/verify", content='{"address": "ada@example.org"}', headers={"Content-Type": kind}
        )
        assert problem(answer)["status"] == 422
    assert site.mailer.arrived == []


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted"),
    [
        (0, ["203.0.113.1"], "198.51.100.7"),
        (1, ["203.0.113.1"], "203.0.113.1"),
        (1, ["10.0.0.1, 203.0.113.1"], "203.0.113.1"),
        (2, ["10.0.0.1, 203.0.113.1, 192.0.2.1"], "203.0.113.1"),
        (1, ["10.0.0.1", "203.0.113.1"], "203.0.113.1"),
        (2, ["203.0.113.1"], "198.51.100.7"),
        (1, [], "198.51.100.7"),
    ],
)
def test_an_address_is_believed_of_our_own_proxies_only(
    tmp_path: Path, proxies: int, forwarded: list[str], counted: str
) -> None:
    """Two submissions count together exactly when they come from the same address."""
    site = made_site(tmp_path, limits=JobLimits(submissions_per_hour=1), trusted_proxies=proxies)
    assert _hand_in(site, ADA, headers=[("X-Forwarded-For", each) for each in forwarded]) == 202
    trusting = {"X-Forwarded-For": ", ".join([counted] * max(proxies, 1))}
    assert _hand_in(site, BOB, headers=trusting, ip=counted) == 429
    trusting = {"X-Forwarded-For": ", ".join(["192.0.2.99"] * max(proxies, 1))}
    assert _hand_in(site, BOB, headers=trusting, ip="192.0.2.99") == 202


def test_who_goes_past_the_proxies_is_not_believed(tmp_path: Path) -> None:
    site = made_site(
        tmp_path, limits=JobLimits(submissions_per_hour=1), trusted_proxies=1, proxy_key=SecretStr("of ours")
    )
    forged, ours, guessed = (
        {"X-Forwarded-For": "203.0.113.1"},
        {"X-IRSS-Proxy-Key": "of ours"},
        {"X-IRSS-Proxy-Key": "x"},
    )
    assert _hand_in(site, ADA, headers={**forged, **ours}) == 202
    assert _hand_in(site, BOB, headers=forged) == 202, "counted by who holds the connection"
    assert _hand_in(site, EVE, headers={**forged, **guessed}) == 429
    assert _hand_in(site, EVE, headers={**forged, **ours}) == 429


def test_no_header_lifts_a_limit(tmp_path: Path) -> None:
    site = made_site(tmp_path, limits=JobLimits(submissions_per_hour=1))
    answers = []
    for ip in ("203.0.113.1", "203.0.113.2", "203.0.113.3"):
        answers.append(_hand_in(site, ADA, headers={"X-Forwarded-For": ip, "X-Real-IP": ip, "Forwarded": f"for={ip}"}))
    assert answers == [202, 429, 429]


def test_only_origins_that_were_named_may_read(tmp_path: Path) -> None:
    site = made_site(tmp_path, cors_origins=("https://app.example.org",))
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}
    client = TestClient(site.app)
    good = client.options("/process-file", headers={"Origin": "https://app.example.org", **asked})
    assert good.status_code == 200
    assert good.headers["access-control-allow-origin"] == "https://app.example.org"
    assert good.headers["access-control-allow-credentials"] == "true"
    bad = client.options("/process-file", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in bad.headers
    refused = client.get("/images", headers={"Origin": "https://app.example.org"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example.org", "problems are read, too"


def test_without_named_origins_no_other_page_reads_anything(site: Site) -> None:
    answer = TestClient(site.app).get("/health", headers={"Origin": "https://app.example.org"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_star_lets_anybody_ask_and_nobody_with_a_visitors_cookie(tmp_path: Path) -> None:
    site = made_site(tmp_path, cors_origins=("*",))
    client = site.browser(headers={"Origin": "https://evil.example"})
    answer = client.get("/images")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert problem(client.post("/upload", files={"file": ("a.png", png())}))["status"] == 403


def _hand_in(site: Site, address: str, *, headers: Any = None, ip: str = "198.51.100.7") -> int:
    client = site.program(address, ip=ip)
    upload = client.post("/upload", files={"file": ("a.png", png())}).json()["id"]
    return int(client.post("/process-file", json={"uploads": [upload]}, headers=headers).status_code)


def _code(site: Site) -> str:
    text = site.mailer.arrived[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    return re.search(r"\b\d{6}\b", text)[0]  # type: ignore[index]
