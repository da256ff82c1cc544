"""What AWS answers when it fails, in the project's words; and the one place where calls are tried again."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any

import pytest
from botocore import exceptions as botocore_errors
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from irss_core.adapters.aws.clients import aws_client
from irss_core.adapters.aws.errors import aws_errors
from irss_core.errors import ConflictError, StoreUnavailableError

SECRET = "f" * 64


def answered(code: str, *, status: int = 400) -> ClientError:
    error = {"Error": {"Code": code, "Message": f"about {SECRET}"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "PutItem")


def told(error: Exception) -> StoreUnavailableError:
    with pytest.raises(StoreUnavailableError) as raised, aws_errors("DynamoDB", "be written"):
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (answered("ThrottlingException"), "quota"),
        (answered("ProvisionedThroughputExceededException"), "quota"),
        (answered("SlowDown", status=503), "quota"),
        (answered("InternalServerError", status=500), "health.aws.amazon.com"),
        (answered("SomethingNew", status=502), "health.aws.amazon.com"),
        (answered("ExpiredTokenException"), "Sign in"),
        (answered("UnrecognizedClientException"), "Sign in"),
        (answered("AccessDeniedException"), "template.yaml"),
        (answered("ResourceNotFoundException"), "Deploy the stack"),
        (answered("NoSuchBucket", status=404), "Deploy the stack"),
        (botocore_errors.NoCredentialsError(), "Sign in"),
        (botocore_errors.NoRegionError(), "AWS_DEFAULT_REGION"),
        (botocore_errors.EndpointConnectionError(endpoint_url=f"http://there/{SECRET}"), "network"),
        (botocore_errors.ReadTimeoutError(endpoint_url=f"http://there/{SECRET}"), "network"),
        (botocore_errors.ConnectionClosedError(endpoint_url=f"http://there/{SECRET}"), "network"),
    ],
    ids=lambda value: value.response["Error"]["Code"] if isinstance(value, ClientError) else None,
)
def test_a_store_that_cannot_be_used_now_names_itself_the_purpose_and_the_remedy(error, remedy):
    message = str(told(error))
    assert message.startswith("DynamoDB cannot be written now: ")
    assert remedy in message


@pytest.mark.parametrize(
    "error",
    [answered("ThrottlingException"), botocore_errors.EndpointConnectionError(endpoint_url=f"http://there/{SECRET}")],
)
def test_nothing_of_the_request_is_told_not_even_in_a_traceback(error):
    assert SECRET not in "".join(traceback.format_exception(told(error)))


@pytest.mark.parametrize(
    "error",
    [
        answered("ConditionalCheckFailedException"),
        answered("TransactionCanceledException"),
        answered("ValidationException"),
        botocore_errors.ParamValidationError(report="a bug"),
        ConflictError("Somebody else did."),
    ],
)
def test_an_answer_about_the_request_itself_passes_unchanged(error):
    with pytest.raises(type(error)) as raised, aws_errors("DynamoDB", "be written"):
        raise error
    assert raised.value is error


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_MAX_ATTEMPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")


@pytest.mark.usefixtures("no_settings")
class TestClients:
    def test_without_a_region_there_is_no_client(self):
        with pytest.raises(StoreUnavailableError, match="AWS_DEFAULT_REGION"):
            aws_client("dynamodb")

    def test_a_call_that_was_throttled_is_tried_again(self):
        dynamodb, answers, asked = aws_client("dynamodb", region="us-east-1"), [400, 200], Counter()

        def answer(request: Any, **_: Any) -> AWSResponse:
            asked["times"] += 1
            status = answers.pop(0)
            body = b'{"__type": "ThrottlingException"}' if status == 400 else b'{"TableNames": ["mine"]}'
            raw = type("Raw", (), {"stream": lambda self, *args, **kwargs: iter([body])})()
            return AWSResponse(request.url, status, {}, raw)

        dynamodb.meta.events.register("before-send.dynamodb", answer)
        assert dynamodb.list_tables()["TableNames"] == ["mine"]
        assert asked["times"] == 2

    def test_an_emulators_buckets_are_paths_of_its_one_name(self):
        for endpoint_url, expected in ((None, "https://mine.s3."), ("http://localhost:9", "http://localhost:9/mine/")):
            s3 = aws_client("s3", endpoint_url=endpoint_url, region="eu-central-1")
            url = s3.generate_presigned_url("get_object", Params={"Bucket": "mine", "Key": "a"})
            assert url.startswith(expected)
            assert "X-Amz-Signature=" in url, "signed in the newer way, which every region takes"
