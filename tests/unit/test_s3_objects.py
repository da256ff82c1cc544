"""The objects in S3: what is signed and stored with them, and what is said when S3 is not as it should be."""

from __future__ import annotations

import hashlib
import io
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.response import StreamingBody
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from irss_core.adapters.aws.clients import aws_client
from irss_core.adapters.aws.objects import S3Objects
from irss_core.errors import InvalidOptionError, OutputExistsError, ResourceError, StoreUnavailableError
from irss_core.jobs.keys import output_key, upload_key
from tests.aws_emulator import client
from tests.fakes.clock import FakeClock
from tests.post_policy import policy_of

JOB = "3f" * 32
KEY = output_key(JOB, "result")
UPLOAD = upload_key(JOB)
MB = 1024 * 1024


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def bucket() -> str:
    name = f"irss-{secrets.token_hex(8)}"
    client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def store(bucket: str, clock: FakeClock) -> S3Objects:
    return over(client("s3"), bucket, clock)


@pytest.fixture
def watched() -> Any:
    """A client of its own, whose calls can be listened to."""
    return client.__wrapped__("s3")


def over(s3: Any, bucket: str, clock: FakeClock) -> S3Objects:
    return S3Objects(s3, {"uploads": bucket, "processed": bucket}, clock)


def source_of(folder: Path, data: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(data)
    return path


# --- storing ---


def test_object_has_its_hash_in_its_metadata_and_s3_checks_the_bytes(
    store: S3Objects, bucket: str, tmp_path: Path
) -> None:
    store.put(KEY, source_of(tmp_path, b"pixels"), content_type="image/png")
    stored = client("s3").head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert stored["Metadata"] == {"sha256": hashlib.sha256(b"pixels").hexdigest()}
    assert stored["ContentType"] == "image/png"
    assert stored["ChecksumSHA256"]


def test_large_object_goes_in_parts_and_comes_back_whole(
    watched: Any, bucket: str, clock: FakeClock, tmp_path: Path
) -> None:
    parts: list[int] = []
    watched.meta.events.register("before-call.s3.UploadPart", lambda **_: parts.append(1))
    store = over(watched, bucket, clock)
    source = tmp_path / "source"
    with source.open("wb") as stream:
        stream.truncate(64 * MB)
        stream.seek(0, io.SEEK_END)
        stream.write(b"the end")
    info = store.put(KEY, source, content_type="video/mp4")
    assert len(parts) == 5
    assert info.size_bytes == 64 * MB + 7
    stored = store.info(KEY)
    assert stored is not None
    assert (stored.size_bytes, stored.sha256, stored.content_type) == (info.size_bytes, info.sha256, "video/mp4")
    store.get(KEY, tmp_path / "got")
    with (tmp_path / "got").open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == info.sha256


def test_large_object_that_breaks_off_leaves_what_was_there_and_no_parts(
    watched: Any, bucket: str, clock: FakeClock, tmp_path: Path
) -> None:
    store = over(watched, bucket, clock)
    before = store.put(KEY, source_of(tmp_path, b"older"), content_type="image/png")
    parts: list[int] = []

    def break_off(**_: Any) -> None:
        parts.append(1)
        if len(parts) == 3:
            raise EndpointConnectionError(endpoint_url="http://s3.test")

    watched.meta.events.register("before-call.s3.UploadPart", break_off)
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(65 * MB)
    with pytest.raises(StoreUnavailableError, match="cannot store an object now"):
        store.put(KEY, tmp_path / "large", content_type="image/png")
    left = store.info(KEY)
    assert left is not None
    assert left.sha256 == before.sha256
    assert "Uploads" not in client("s3").list_multipart_uploads(Bucket=bucket)


def test_key_of_no_bucket_is_refused(store: S3Objects, tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="'work'; there are some for processed, uploads"):
        store.put(f"work/{JOB}/part", source_of(tmp_path, b"x"), content_type="image/png")
    assert store.info(f"work/{JOB}/part") is None


# --- reading ---


def test_object_that_came_by_a_form_has_no_known_hash_and_can_be_got(
    store: S3Objects, bucket: str, tmp_path: Path
) -> None:
    client("s3").put_object(Bucket=bucket, Key=UPLOAD, Body=b"pixels", ContentType="image/png")
    info = store.get(UPLOAD, tmp_path / "got")
    assert (info.sha256, info.size_bytes, (tmp_path / "got").read_bytes()) == (None, 6, b"pixels")
    assert store.info(UPLOAD) == info


def test_damaged_object_is_told_and_leaves_no_file(store: S3Objects, bucket: str, tmp_path: Path) -> None:
    metadata = {"sha256": hashlib.sha256(b"pixels").hexdigest()}
    client("s3").put_object(Bucket=bucket, Key=KEY, Body=b"pixelz", Metadata=metadata)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResourceError, match="6 bytes is damaged") as told:
        store.get(KEY, tmp_path / "folder" / "got")
    assert not isinstance(told.value, StoreUnavailableError)
    assert list((tmp_path / "folder").iterdir()) == []


def test_target_that_is_there_stays_even_though_the_object_is_there(store: S3Objects, tmp_path: Path) -> None:
    store.put(KEY, source_of(tmp_path, b"pixels"), content_type="image/png")
    with pytest.raises(OutputExistsError):
        store.get(KEY, tmp_path / "source")


class Answers:
    """A client that answers with what it was made with, by the name of the call."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> Any:
            answer = self._answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def refusal(code: str, status: int) -> ClientError:
    error = {"Error": {"Code": code, "Message": f"No {KEY}"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "Any")  # type: ignore[arg-type]


def test_line_that_breaks_in_the_middle_is_told_and_leaves_no_file(clock: FakeClock, tmp_path: Path) -> None:
    answer = {
        "Body": StreamingBody(io.BytesIO(b"pix"), 6),
        "ContentLength": 6,
        "ContentType": "image/png",
        "Metadata": {},
        "LastModified": datetime.now(UTC),
    }
    store = over(Answers(get_object=answer), "irss", clock)
    with pytest.raises(StoreUnavailableError, match="cannot read an object now"):
        store.get(KEY, tmp_path / "got")
    assert list(tmp_path.iterdir()) == []


# --- S3 is not as it should be ---


def test_bucket_that_is_not_there_is_told_with_the_remedy(clock: FakeClock, tmp_path: Path) -> None:
    store = over(client("s3"), f"irss-none-{secrets.token_hex(4)}", clock)
    source = source_of(tmp_path, b"x")
    for ask in (
        lambda: store.put(KEY, source, content_type="image/png"),
        lambda: store.get(KEY, tmp_path / "got"),
        lambda: store.info(KEY),
        lambda: store.delete(KEY),
        lambda: list(store.keys("")),
    ):
        with pytest.raises(StoreUnavailableError, match="Deploy the stack") as told:
            ask()
        assert JOB not in str(told.value)


def test_what_is_denied_is_told_with_the_remedy_and_not_taken_for_absent(clock: FakeClock) -> None:
    denied = refusal("AccessDenied", 403)
    store = over(Answers(head_object=refusal("403", 403), get_object=denied), "irss", clock)
    with pytest.raises(StoreUnavailableError, match="credentials do not allow it") as told:
        store.info(KEY)
    assert JOB not in str(told.value)


# --- listing ---


def test_keys_come_from_all_pages(store: S3Objects, bucket: str) -> None:
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    keys = [f"processed/{number:064x}/result" for number in range(1001)]
    for key in reversed(keys):
        backend.put_object(bucket, key, b"")
    assert list(store.keys("processed/")) == keys


def test_what_is_no_object_of_ours_is_not_listed(store: S3Objects, bucket: str) -> None:
    for key in ("processed/a", "work/b", "AWSLogs/c", "uploads//d", "uploads/e"):
        client("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    assert list(store.keys("")) == ["processed/a", "uploads/e"]


# --- what is signed ---


def test_form_is_signed_for_its_key_type_and_size_until_it_ends(
    store: S3Objects, bucket: str, clock: FakeClock
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    form = store.upload_form(UPLOAD, content_type="image/png", max_bytes=10, expires_in_s=300)
    assert (form.max_bytes, form.expires_at) == (10, clock.now() + 300)
    assert form.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    policy = policy_of(form.fields)
    ends = datetime.fromisoformat(policy["expiration"])
    assert timedelta(seconds=300) <= ends - before <= timedelta(seconds=310)
    conditions = policy["conditions"]
    assert ["content-length-range", 1, 10] in conditions
    exact = {name: value for each in conditions if isinstance(each, dict) for name, value in each.items()}
    assert (exact["bucket"], exact["key"], exact["Content-Type"]) == (bucket, UPLOAD, "image/png")
    assert len(exact) == len(conditions) - 1, "nothing but the size may vary"


def test_address_is_signed_for_its_object_and_name_until_it_ends(store: S3Objects, bucket: str) -> None:
    url = urlsplit(store.download_url(KEY, filename='a/b"ä.png', expires_in_s=300))
    query = parse_qs(url.query)
    assert url.path == f"/{bucket}/{KEY}"
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["300"]
    assert query["response-content-disposition"] == [
        "attachment; filename=\"a_b__.png\"; filename*=UTF-8''a_b_%C3%A4.png"
    ]


@pytest.mark.parametrize(("asked_s", "signed_s"), [(0.2, "1"), (299.9, "299"), (30 * 86_400, "604800")])
def test_address_holds_no_longer_than_asked_for_and_s3_allows(store: S3Objects, asked_s: float, signed_s: str) -> None:
    url = store.download_url(KEY, filename="a.png", expires_in_s=asked_s)
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == [signed_s]


def test_nothing_is_signed_without_credentials(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = over(aws_client("s3", region="eu-central-1"), "irss", clock)
    with pytest.raises(StoreUnavailableError, match="there are no credentials"):
        store.upload_form(UPLOAD, content_type="image/png", max_bytes=10, expires_in_s=300)
    with pytest.raises(StoreUnavailableError, match="there are no credentials"):
        store.download_url(KEY, filename="a.png", expires_in_s=300)


def test_on_aws_addresses_are_the_buckets_own(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    store = over(aws_client("s3", region="us-east-1"), "irss-uploads", clock)
    url = store.download_url(KEY, filename="a.png", expires_in_s=300)
    assert urlsplit(url).netloc.startswith("irss-uploads.s3.")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    form = store.upload_form(UPLOAD, content_type="image/png", max_bytes=10, expires_in_s=300)
    assert urlsplit(form.url).netloc.startswith("irss-uploads.s3.")
