"""Identity tokens over HTTP, of an issuer on a socket of this machine with keys made here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.testclient import TestClient

from irss_core.errors import InvalidOptionError
from tests.made_api import Site, made_site, png, problem

AUDIENCE = "irss-app"


@dataclass
class Issuer:
    """An OpenID Connect issuer that can be made to fail, and counts who asks it for what."""

    address: str = ""
    jwks_uri: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def document(self, path: str) -> dict[str, Any]:
        if path == "/keys":
            kinds = {
                rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
                ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
            }
            listed = []
            for name, key in self.keys.items():
                to_jwk = next(algorithm.to_jwk for kind, algorithm in kinds.items() if isinstance(key, kind))
                listed.append({**json.loads(to_jwk(key.public_key())), "kid": name, "use": "sig"})
            return {"keys": listed}
        return {"issuer": self.address, "jwks_uri": self.jwks_uri}

    def token(self, key: Any = None, algorithm: str = "RS256", kid: str | None = "rsa", **claims: Any) -> str:
        now = int(time.time())
        said = {
            "iss": self.address, "aud": AUDIENCE, "sub": "ada-1", "iat": now, "nbf": now, "exp": now + 60,
            "email": "ada@example.org", "email_verified": True, **claims,
        }  # fmt: skip
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(
            said, self.keys["rsa"] if key is None else key, algorithm, headers={"kid": kid} if kid else None
        )


@pytest.fixture(scope="module")
def made_keys() -> dict[str, Any]:
    return {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1())}


@pytest.fixture
def issuer(made_keys: dict[str, Any]) -> Iterator[Issuer]:
    issuer = Issuer(keys=dict(made_keys))

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            if issuer.down:
                self.send_error(500)
                return
            body = json.dumps(issuer.document(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    issuer.address = f"http://127.0.0.1:{server.server_port}"
    issuer.jwks_uri = f"{issuer.address}/keys"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield issuer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(tmp_path: Path, issuer: Issuer) -> Site:
    return made_site(tmp_path, oidc_issuer=issuer.address, oidc_audience=AUDIENCE)


def _client(site: Site, token: str) -> TestClient:
    return TestClient(site.app, site.settings.address, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_whom_the_issuer_names_owns_their_jobs(site: Site, issuer: Issuer, kid: str, algorithm: str) -> None:
    client = _client(site, issuer.token(issuer.keys[kid], algorithm, kid))
    upload = client.post("/upload", files={"file": ("a.png", png())}).json()["id"]
    job = client.post("/process-file", json={"uploads": [upload]}).json()["batch"]["jobs"][0]
    assert [image["id"] for image in client.get("/images").json()["images"]] == [job["id"]]
    assert (
        site.service.job(job["id"]).owner
        == site.service.sessions.owner_of_subject(issuer.address, "ada-1", "x@y.org").key
    )
    same = _client(site, issuer.token(email="ada@elsewhere.org"))
    assert len(same.get("/images").json()["images"]) == 1, "the subject counts, not the address"
    other = _client(site, issuer.token(sub="bob-2"))
    assert other.get("/images").json()["images"] == [], "not even with the same address"
    assert other.delete(f"/jobs/{job['id']}").status_code == 404
    assert site.program("ada@example.org").get("/images").json()["images"] == [], "a mail session is somebody else"


def test_keys_are_fetched_once(site: Site, issuer: Issuer) -> None:
    for _ in range(3):
        assert _client(site, issuer.token()).get("/images").status_code == 200
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def _pem(key: Any) -> bytes:
    raw: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return raw


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """The known trick: HS256 with the RSA key that everybody can read. By hand, for PyJWT refuses to make it."""
    head, payload, _ = issuer.token().split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"rsa"}').rstrip(b"=").decode()
    mac = hmac.digest(_pem(issuer.keys["rsa"]), f"{head}.{payload}".encode(), hashlib.sha256)
    return f"{head}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


BAD = {
    "another issuer": lambda i: i.token(iss="https://evil.example"),
    "another audience": lambda i: i.token(aud="another-app"),
    "no audience": lambda i: i.token(aud=None),
    "expired": lambda i: i.token(exp=int(time.time()) - 60),
    "no expiry": lambda i: i.token(exp=None),
    "not yet": lambda i: i.token(nbf=int(time.time()) + 120),
    "no subject": lambda i: i.token(sub=None),
    "an empty subject": lambda i: i.token(sub=""),
    "no address": lambda i: i.token(email=None),
    "an address that is none": lambda i: i.token(email=["ada@example.org"]),
    "an unverified address": lambda i: i.token(email_verified=False),
    "nothing said of the address": lambda i: i.token(email_verified=None),
    "an unknown key": lambda i: i.token(kid="unknown"),
    "no key named": lambda i: i.token(kid=None),
    "another key under that name": lambda i: i.token(rsa.generate_private_key(65537, 2048)),
    "the wrong kind of key": lambda i: i.token(i.keys["ec"], "ES256", "rsa"),
    "no signature": lambda i: i.token("", "none"),
    "a stripped signature": lambda i: i.token().rpartition(".")[0] + ".",
    "a secret": lambda i: i.token("secret" * 8, "HS256"),
    "the public key as a secret": _signed_with_the_public_key,
    "another algorithm": lambda i: i.token(algorithm="RS512"),
    "a changed claim": lambda i: ".".join(
        [i.token().split(".")[0], i.token(sub="eve").split(".")[1], i.token().split(".")[2]]
    ),
    "no token": lambda i: "x1x.y2y.z3z",
    "far too long": lambda i: i.token(junk="x" * 10_000),
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_issuer_did_not_say_for_us_is_refused(site: Site, issuer: Issuer, name: str) -> None:
    token = BAD[name](issuer)
    answer = _client(site, token).get("/images")
    found = problem(answer)
    assert (found["status"], found["code"]) == (401, "not-signed-in")
    assert token not in answer.text
    assert token.split(".")[1] not in answer.text


def test_an_unknown_key_does_not_make_us_ask_the_issuer_again_and_again(site: Site, issuer: Issuer) -> None:
    for number in range(5):
        assert _client(site, issuer.token(kid=f"unknown-{number}")).get("/images").status_code == 401
    assert issuer.asked.count("/keys") == 1


def test_an_issuer_that_does_not_answer_is_told_and_left_alone_for_a_while(site: Site, issuer: Issuer) -> None:
    issuer.down = True
    for _ in range(3):
        answer = _client(site, issuer.token()).get("/images")
        assert problem(answer)["status"] == 503
        assert int(answer.headers["retry-after"]) > 0
    assert len(issuer.asked) == 1
    assert site.program().get("/images").status_code == 200, "sessions of our own do not need it"


def test_an_issuer_that_comes_back_is_believed_again(site: Site, issuer: Issuer) -> None:
    now = 0.0
    tokens = site.app.state.api.identity_tokens
    tokens._monotonic = lambda: now
    issuer.down = True
    assert _client(site, issuer.token()).get("/images").status_code == 503
    issuer.down, now = False, 6.0
    assert _client(site, issuer.token()).get("/images").status_code == 200


def test_keys_may_be_named_where_the_discovery_document_cannot_be_read(tmp_path: Path, issuer: Issuer) -> None:
    keys = f"{issuer.address}/keys"
    named = {"oidc_issuer": "https://login.example.org", "oidc_audience": AUDIENCE, "oidc_keys_url": keys}
    token = issuer.token(iss="https://login.example.org")
    assert _client(made_site(tmp_path, **named), token).get("/images").status_code == 200
    assert issuer.asked == ["/keys"]


@pytest.mark.parametrize("uri", ["http://evil.example/keys", "file:///etc/passwd", ""])
def test_keys_that_anybody_could_put_in_are_not_used(site: Site, issuer: Issuer, uri: str) -> None:
    issuer.jwks_uri = uri
    assert problem(_client(site, issuer.token()).get("/images"))["status"] == 503


def test_a_discovery_document_of_another_issuer_is_not_used(site: Site, issuer: Issuer) -> None:
    token, issuer.address = issuer.token(), "https://evil.example"
    assert problem(_client(site, token).get("/images"))["status"] == 503


@pytest.mark.parametrize(
    "settings",
    [
        {"oidc_issuer": "https://login.example.org"},
        {"oidc_issuer": "http://login.example.org", "oidc_audience": AUDIENCE},
        {"oidc_issuer": "login.example.org", "oidc_audience": AUDIENCE},
        {
            "oidc_issuer": "https://login.example.org",
            "oidc_audience": AUDIENCE,
            "oidc_keys_url": "http://login.example.org/keys",
        },
    ],
)
def test_an_issuer_that_cannot_be_trusted_stops_the_start(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(InvalidOptionError, match="IRSS_OIDC"):
        made_site(tmp_path, **settings)


def test_without_an_issuer_its_tokens_are_nothing(tmp_path: Path, issuer: Issuer) -> None:
    answer = _client(made_site(tmp_path), issuer.token()).get("/images")
    assert problem(answer)["status"] == 401
    assert issuer.asked == []
