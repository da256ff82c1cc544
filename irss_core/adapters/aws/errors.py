"""What AWS and the way to it answer when they fail, as the project's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError

from irss_core.errors import StoreUnavailableError

# What is wrong, and what to do.
_BUSY = (
    "it is asked too much at once",
    "Try again; if it lasts, raise the account's quota for it (Service Quotas in the AWS console).",
)
_FAILING = ("it has a fault of its own", "Try again; if it lasts, look at https://health.aws.amazon.com.")
_SILENT = (
    "it cannot be reached, or did not answer in time",
    "Try again; if it lasts, look at the network, at the region, and at AWS_ENDPOINT_URL if that is set.",
)
_NO_CREDENTIALS = (
    "there are no credentials, or they are not valid (any more)",
    "Sign in (aws sso login, aws configure), or run it under a role.",
)
_CLOCK = ("this machine's clock is wrong", "Set the clock by a time server.")
_FORBIDDEN = ("the credentials do not allow it", "Let the role do it: aws/template.yaml says what each one may.")
_ABSENT = (
    "the account has no such table, bucket, queue or state machine in this region",
    "Deploy the stack, or correct the IRSS_AWS_… settings and the region.",
)
_NO_REGION = ("no region is named", "Set AWS_DEFAULT_REGION.")

_BY_CODE = {
    **dict.fromkeys(
        (
            "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled",
            "TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
            "TransactionInProgressException", "SlowDown", "BandwidthLimitExceeded", "PriorRequestNotComplete",
        ),
        _BUSY,
    ),
    **dict.fromkeys(
        (
            "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "InternalServiceException",
            "ServiceUnavailableException",
        ),
        _FAILING,
    ),
    **dict.fromkeys(("RequestTimeout", "RequestTimeoutException"), _SILENT),
    **dict.fromkeys(
        (
            "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignature",
            "InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken",
            "MissingAuthenticationTokenException", "SignatureDoesNotMatch", "TokenRefreshRequired",
            "UnrecognizedClientException",
        ),
        _NO_CREDENTIALS,
    ),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _CLOCK),
    **dict.fromkeys(
        (
            "AccessDenied", "AccessDeniedException", "AccessDeniedFault", "AuthorizationError",
            "KMSAccessDeniedException", "NotAuthorized", "OptInRequired", "UnauthorizedOperation",
        ),
        _FORBIDDEN,
    ),
    **dict.fromkeys(
        (
            "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "QueueDoesNotExist", "ResourceNotFoundException",
            "StateMachineDoesNotExist",
        ),
        _ABSENT,
    ),
}  # fmt: skip

_BY_KIND: tuple[tuple[tuple[type[BotoCoreError], ...], tuple[str, str]], ...] = (
    (
        (
            botocore_errors.NoCredentialsError,
            botocore_errors.PartialCredentialsError,
            botocore_errors.CredentialRetrievalError,
            botocore_errors.MetadataRetrievalError,
            botocore_errors.NoAuthTokenError,
            botocore_errors.ProfileNotFound,
            botocore_errors.SSOError,
            botocore_errors.LoginError,
            botocore_errors.TokenRetrievalError,
        ),
        _NO_CREDENTIALS,
    ),
    ((botocore_errors.NoRegionError,), _NO_REGION),
    (
        (
            botocore_errors.ConnectionError,
            botocore_errors.HTTPClientError,
            botocore_errors.IncompleteReadError,
        ),
        _SILENT,
    ),
)


@contextlib.contextmanager
def aws_errors(service: str, purpose: str) -> Iterator[None]:
    """Name what is wrong with a service ("DynamoDB") and what it was to do ("write a job"), if it cannot now.

    An answer that says something about the request itself, such as a condition that does not hold, passes unchanged.

    Raises:
        StoreUnavailableError: throttled, failing, silent, or not ours to use.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        reason = _BY_CODE.get(code)
        if reason is None:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status < 500:
                raise
            code, reason = code or str(status), _FAILING
        # From None: botocore's own text can hold what was asked for, and an id of ours is the key to what it names.
        raise _unavailable(service, purpose, code, reason) from None
    except BotoCoreError as error:
        reason = next((reason for kinds, reason in _BY_KIND if isinstance(error, kinds)), None)
        if reason is None:
            raise
        raise _unavailable(service, purpose, type(error).__name__, reason) from None


def _unavailable(service: str, purpose: str, code: str, reason: tuple[str, str]) -> StoreUnavailableError:
    wrong, remedy = reason
    return StoreUnavailableError(f"{service} cannot {purpose} now: {wrong} ({code}). {remedy}")
