"""What every ObjectStore must hold to, run against the one in a folder, the one in memory, and the one in S3."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest

from irss_core.adapters.aws.objects import S3Objects
from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.local.signing import UrlSigner
from irss_core.errors import InvalidOptionError, LimitExceededError, NotFoundError, OutputExistsError
from irss_core.jobs.keys import output_key, upload_key, work_key
from irss_core.jobs.ports import ObjectInfo, ObjectStore, UploadForm
from tests.aws_clock import moto_by
from tests.aws_emulator import client
from tests.fakes.clock import FakeClock
from tests.fakes.objects import MemoryObjects
from tests.post_policy import FormRefused, FormTooLarge, hold_to_policy

JOB = "3f" * 32
KEY = output_key(JOB, "result")
NO_KEYS = [
    "",
    "/",
    "../secret.key",
    "uploads/../../secret.key",
    "/etc/passwd",
    "Uploads/A",
    "a//b",
    "a\x00b",
    "ä",
    "a b",
]


class Site(Protocol):
    """A store, and what a browser can do with its forms and addresses."""

    store: ObjectStore
    not_shown: Mapping[str, str]  # the tests that it cannot pass, and why

    def upload(self, fields: Mapping[str, str], data: bytes) -> ObjectInfo: ...

    def download(self, url: str) -> tuple[bytes, str, str]: ...


class LocalSite:
    not_shown: ClassVar[Mapping[str, str]] = {}

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        signer = UrlSigner(b"s" * 32, clock)
        self.store = FileObjects(folder / "objects", signer=signer, address="https://irss.test", clock=clock)

    def upload(self, fields: Mapping[str, str], data: bytes) -> ObjectInfo:
        return self.store.take_upload(fields, io.BytesIO(data))

    def download(self, url: str) -> tuple[bytes, str, str]:
        parts = urlsplit(url)
        prefix = "/objects/"
        assert (parts.scheme, parts.netloc, parts.path[: len(prefix)]) == ("https", "irss.test", prefix)
        path, filename, content_type = self.store.open_download(
            parts.path.removeprefix(prefix), dict(parse_qsl(parts.query, keep_blank_values=True))
        )
        return path.read_bytes(), filename, content_type


class MemorySite:
    not_shown: ClassVar[Mapping[str, str]] = {}

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.store = MemoryObjects(clock)
        self.upload, self.download = self.store.upload, self.store.download


class S3Site:
    """Two buckets of moto's, and what S3 checks of a form, and moto does not."""

    not_shown: ClassVar[Mapping[str, str]] = {
        "test_form_is_good_once_even_when_its_object_is_gone": "S3 takes a form as often as it is sent until it ends",
        "test_form_ends": "moto takes forms at any time; see test_s3_objects.py for what is signed",
        "test_address_ends": "moto gives objects at any time; see test_s3_objects.py for what is signed",
    }

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        one, two = f"irss-{secrets.token_hex(8)}", f"irss-{secrets.token_hex(8)}"
        for bucket in (one, two):
            client("s3").create_bucket(Bucket=bucket)
        buckets = {"uploads": one, "processed": two, "work": two, "a": one, "a.json": two, "ab": two}
        self._bucket_of_uploads = one
        self.store = S3Objects(client("s3"), buckets, clock)

    def upload(self, fields: Mapping[str, str], data: bytes) -> ObjectInfo:
        try:
            hold_to_policy(fields, bucket=self._bucket_of_uploads, size_bytes=len(data))
        except FormTooLarge as exc:
            raise LimitExceededError(str(exc)) from exc
        except FormRefused as exc:
            raise NotFoundError(str(exc)) from exc
        form = form_of(self.store)
        answer = httpx.post(form.url, data=dict(fields), files={"file": ("x", data)}, trust_env=False)
        assert answer.status_code == 204
        info = self.store.info(fields["key"])
        assert info is not None
        return info

    def download(self, url: str) -> tuple[bytes, str, str]:
        answer = httpx.get(url, trust_env=False)
        if answer.status_code in (403, 404):  # moto says 403 where S3 says 404
            raise NotFoundError("There is nothing at this address.")
        _, _, filename = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
        return answer.content, unquote(filename), answer.headers["content-type"]


@contextmanager
def local_site(folder: Path, clock: FakeClock) -> Iterator[Site]:
    yield LocalSite(folder, clock)


@contextmanager
def memory_site(folder: Path, clock: FakeClock) -> Iterator[Site]:
    yield MemorySite(folder, clock)


@contextmanager
def s3_site(folder: Path, clock: FakeClock) -> Iterator[Site]:
    with moto_by(clock):
        yield S3Site(folder, clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[local_site, memory_site, s3_site])
def site(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Site]:
    with request.param(tmp_path, clock) as made:
        if reason := made.not_shown.get(request.node.originalname):
            pytest.skip(reason)
        yield made


@pytest.fixture
def store(site: Site) -> ObjectStore:
    return site.store


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "source.bin"
    path.write_bytes(b"pixels")
    return path


def stored(store: ObjectStore, key: str, file: Path, data: bytes, content_type: str = "image/png") -> ObjectInfo:
    file.write_bytes(data)
    return store.put(key, file, content_type=content_type)


def bytes_of(store: ObjectStore, key: str, tmp_path: Path) -> bytes:
    target = tmp_path / f"got-{len(list(tmp_path.iterdir()))}"
    store.get(key, target)
    return target.read_bytes()


# --- objects ---


def test_put_tells_the_facts_and_get_gives_the_bytes(
    store: ObjectStore, file: Path, tmp_path: Path, clock: FakeClock
) -> None:
    data = bytes(range(256)) * 9000  # more than one read
    info = stored(store, KEY, file, data)
    assert info == ObjectInfo(KEY, len(data), hashlib.sha256(data).hexdigest(), "image/png", clock.now())
    assert store.info(KEY) == info
    target = tmp_path / "got"
    assert store.get(KEY, target) == info
    assert target.read_bytes() == data


def test_empty_file_is_an_object(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    assert stored(store, KEY, file, b"").size_bytes == 0
    assert bytes_of(store, KEY, tmp_path) == b""


def test_put_replaces_bytes_and_facts(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    stored(store, KEY, file, b"older and longer")
    info = stored(store, KEY, file, b"newer", "image/webp")
    assert store.info(KEY) == info
    assert info.content_type == "image/webp"
    assert bytes_of(store, KEY, tmp_path) == b"newer"


def test_object_is_independent_of_its_source_and_of_what_was_got(
    store: ObjectStore, file: Path, tmp_path: Path
) -> None:
    stored(store, KEY, file, b"pixels")
    file.write_bytes(b"scribble")
    target = tmp_path / "got"
    store.get(KEY, target)
    with target.open("r+b") as stream:
        stream.write(b"SCRIBBLE")
    assert bytes_of(store, KEY, tmp_path) == b"pixels"


def test_get_does_not_overwrite(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    stored(store, KEY, file, b"pixels")
    target = tmp_path / "mine"
    target.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        store.get(KEY, target)
    assert target.read_bytes() == b"mine"


def test_nothing_is_there_before_put_or_after_delete(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    assert store.info(KEY) is None
    store.delete(KEY)
    stored(store, KEY, file, b"pixels")
    store.delete(KEY)
    store.delete(KEY)
    assert store.info(KEY) is None
    assert list(store.keys("")) == []
    with pytest.raises(NotFoundError):
        store.get(KEY, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_deleted_object_can_be_put_again(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    stored(store, KEY, file, b"first")
    store.delete(KEY)
    stored(store, KEY, file, b"second")
    assert bytes_of(store, KEY, tmp_path) == b"second"


def test_keys_are_listed_by_prefix_and_sorted(store: ObjectStore, file: Path) -> None:
    other = "3e" * 32
    keys = [
        upload_key(JOB),
        output_key(JOB, "result"),
        output_key(JOB, "thumbnail"),
        output_key(other, "result"),
        work_key(JOB, "checkpoint-000010"),
        work_key(JOB, "checkpoint-000009"),
    ]
    for key in keys:
        stored(store, key, file, b"x")
    assert list(store.keys("")) == sorted(keys)
    assert list(store.keys(f"processed/{JOB}/")) == [output_key(JOB, "result"), output_key(JOB, "thumbnail")]
    assert list(store.keys("processed/3")) == [output_key(other, "result"), *store.keys(f"processed/{JOB}/")]
    assert list(store.keys(f"work/{JOB}/checkpoint-00001")) == [work_key(JOB, "checkpoint-000010")]
    assert list(store.keys(upload_key(JOB))) == [upload_key(JOB)]


@pytest.mark.parametrize(
    "prefix", ["nothing/", "../", "/", f"processed/{JOB}/result/", "processed/../uploads/", "_used/"]
)
def test_prefix_of_no_key_lists_nothing(store: ObjectStore, file: Path, prefix: str) -> None:
    stored(store, KEY, file, b"x")
    assert list(store.keys(prefix)) == []


def test_keys_may_begin_with_other_keys(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    keys = ["a", "a.json", "a/b", "a/b/c", "a/bb/b", "a/b.json", "a/b-0123456789abcdef", "ab/c"]
    for key in keys:
        stored(store, key, file, key.encode())
    assert list(store.keys("")) == sorted(keys)
    assert [bytes_of(store, key, tmp_path) for key in keys] == [key.encode() for key in keys]
    store.delete("a/b")
    assert list(store.keys("a/b")) == ["a/b-0123456789abcdef", "a/b.json", "a/b/c", "a/bb/b"]


@pytest.mark.parametrize("key", [*NO_KEYS, "a" * 201])
def test_what_is_no_key_is_refused(store: ObjectStore, file: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "secret.key").write_bytes(b"secret")
    with pytest.raises(InvalidOptionError):
        store.put(key, file, content_type="image/png")
    with pytest.raises(InvalidOptionError):
        store.delete(key)
    with pytest.raises(InvalidOptionError):
        store.upload_form(key, content_type="image/png", max_bytes=10, expires_in_s=60)
    assert store.info(key) is None
    with pytest.raises(NotFoundError):
        store.get(key, tmp_path / "got")
    with pytest.raises(NotFoundError):
        store.download_url(key, filename="x", expires_in_s=60)
    assert (tmp_path / "secret.key").read_bytes() == b"secret"


@pytest.mark.parametrize("content_type", ["", "png", "image/png\r\nSet-Cookie: a=b", "image/png\n"])
def test_what_is_no_content_type_is_refused(store: ObjectStore, file: Path, content_type: str) -> None:
    with pytest.raises(InvalidOptionError):
        store.put(KEY, file, content_type=content_type)
    with pytest.raises(InvalidOptionError):
        store.upload_form(KEY, content_type=content_type, max_bytes=10, expires_in_s=60)
    assert store.info(KEY) is None


# --- forms ---


def form_of(store: ObjectStore, *, max_bytes: int = 10) -> UploadForm:
    return store.upload_form(upload_key(JOB), content_type="image/png", max_bytes=max_bytes, expires_in_s=300)


def test_form_stores_one_object(site: Site, tmp_path: Path, clock: FakeClock) -> None:
    form = form_of(site.store)
    assert (form.max_bytes, form.expires_at) == (10, clock.now() + 300)
    assert form.fields["key"] == upload_key(JOB)
    info = site.upload(form.fields, b"0123456789")
    assert info == site.store.info(upload_key(JOB))
    assert (info.size_bytes, info.content_type) == (10, "image/png")
    assert bytes_of(site.store, upload_key(JOB), tmp_path) == b"0123456789"


def test_form_takes_no_more_than_it_says_and_stays_good(site: Site) -> None:
    form = form_of(site.store)
    with pytest.raises(LimitExceededError):
        site.upload(form.fields, b"0123456789a")
    assert site.store.info(upload_key(JOB)) is None
    site.upload(form.fields, b"0123456789")


def test_form_is_good_once_even_when_its_object_is_gone(site: Site, tmp_path: Path) -> None:
    form = form_of(site.store)
    site.upload(form.fields, b"first")
    with pytest.raises(NotFoundError):
        site.upload(form.fields, b"second")
    assert bytes_of(site.store, upload_key(JOB), tmp_path) == b"first"
    site.store.delete(upload_key(JOB))
    with pytest.raises(NotFoundError):
        site.upload(form.fields, b"third")
    assert site.store.info(upload_key(JOB)) is None


def test_form_ends(site: Site, clock: FakeClock) -> None:
    form = form_of(site.store)
    clock.advance(299.9)
    fields = dict(form.fields)
    clock.advance(0.1)
    with pytest.raises(NotFoundError):
        site.upload(fields, b"late")
    assert site.store.info(upload_key(JOB)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("key", upload_key("ab" * 32)), ("content-type", "text/html"), ("key", "../../secret.key"), ("key", "")],
)
def test_form_is_good_for_its_key_and_content_type_only(site: Site, field: str, value: str) -> None:
    form = form_of(site.store)
    with pytest.raises(NotFoundError):
        site.upload({**form.fields, field: value}, b"x")
    assert list(site.store.keys("")) == []


def test_form_without_one_of_its_fields_is_refused(site: Site) -> None:
    fields = dict(form_of(site.store).fields)
    for name in fields:
        with pytest.raises(NotFoundError):
            site.upload({key: value for key, value in fields.items() if key != name}, b"x")
    with pytest.raises(NotFoundError):
        site.upload({}, b"x")
    assert list(site.store.keys("")) == []


# --- addresses ---


def test_address_gives_the_object_under_its_name(site: Site, file: Path) -> None:
    stored(site.store, KEY, file, b"pixels")
    url = site.store.download_url(KEY, filename="Käse & Brot_x4.png", expires_in_s=300)
    assert url.isascii()
    assert site.download(url) == (b"pixels", "Käse & Brot_x4.png", "image/png")
    assert site.download(url)[0] == b"pixels"


def test_address_ends(site: Site, file: Path, clock: FakeClock) -> None:
    stored(site.store, KEY, file, b"pixels")
    url = site.store.download_url(KEY, filename="a.png", expires_in_s=300)
    clock.advance(299)
    assert site.download(url)[0] == b"pixels"
    clock.advance(2)
    with pytest.raises(NotFoundError):
        site.download(url)


def test_address_of_what_is_gone_is_not_found(site: Site, file: Path) -> None:
    stored(site.store, KEY, file, b"pixels")
    url = site.store.download_url(KEY, filename="a.png", expires_in_s=300)
    site.store.delete(KEY)
    with pytest.raises(NotFoundError):
        site.download(url)
