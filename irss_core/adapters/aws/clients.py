"""aws_client: a boto3 client, with the one place where what AWS throttled or dropped is tried again."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from irss_core.adapters.aws.errors import aws_errors

_ATTEMPTS = 5
_CONNECT_S = 5.0
_READ_S = 30.0  # a long poll of SQS takes up to 20
_CONNECTIONS = 32  # at once, of as many threads


def aws_client(service: str, *, endpoint_url: str | None = None, region: str | None = None) -> Any:
    """Return a boto3 client of a service ("dynamodb", "s3" …), for any number of threads.

    ``endpoint_url`` None is AWS itself, or what AWS_ENDPOINT_URL says; ``region`` None is what the environment says.
    Calls are tried again with exponential waits and jitter, here and nowhere else.

    Raises:
        StoreUnavailableError: no region is named, or the credentials cannot be read.
    """
    config = Config(
        # A mail that broke off may have gone out, and under another Message-ID: that is for the courier to settle.
        retries={"mode": "standard", "total_max_attempts": 1 if service == "ses" else _ATTEMPTS},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        signature_version="s3v4" if service == "s3" else None,  # presigned addresses are made by the older one else
        s3={"addressing_style": "path"} if endpoint_url else None,  # <bucket>.<name of an emulator> leads nowhere
    )
    with aws_errors(service, "be set up"):
        # A session of its own: boto3's common one is not safe where several threads make clients.
        return boto3.Session(region_name=region).client(service, endpoint_url=endpoint_url, config=config)
