"""The account that an operator works in: who signed in, in which region, and clients of its services."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from irss_core.adapters.aws.clients import aws_client
from irss_core.adapters.aws.errors import aws_errors
from irss_core.errors import InputError, InvalidOptionError


@dataclass(frozen=True)
class Account:
    """An AWS account in one region; ``client`` gives a client of a service there ("s3", "cloudformation" …)."""

    id: str
    region: str
    caller: str  # ARN of who signed in
    client: Callable[[str], Any]

    @property
    def partition(self) -> str:
        """The part of AWS that it belongs to: "aws", or that of China or of a government."""
        return self.caller.split(":")[1]

    @property
    def emulated(self) -> bool:
        """Whether it is no account at all, but an emulator that AWS_ENDPOINT_URL names."""
        return "amazonaws.com" not in self.client("s3").meta.endpoint_url


def sign_in(region: str | None = None) -> Account:
    """Return the account of the credentials that this machine has, in that region or the one it is set up for.

    Raises:
        InvalidOptionError: no region, or one that there is not.
        StoreUnavailableError: no credentials, or none that are valid (any more).
    """
    with aws_errors("AWS", "be signed in to"):
        session = boto3.Session()
        name = region or session.region_name
        known = [
            each for part in session.get_available_partitions() for each in session.get_available_regions("s3", part)
        ]
    if name is None:
        raise InvalidOptionError("No region is named. Give --region, such as us-east-1, or set AWS_DEFAULT_REGION.")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Is it {near[0]}?" if near else ""
        raise InvalidOptionError(f"AWS has no region {name!r}.{hint} Give --region, such as us-east-1.")

    @cache
    def client(service: str) -> Any:
        return aws_client(service, region=name)

    with asking("AWS", "say who you are"):
        who = client("sts").get_caller_identity()
    return Account(id=str(who["Account"]), region=name, caller=str(who["Arn"]), client=client)


@contextlib.contextmanager
def asking(service: str, purpose: str) -> Iterator[None]:
    """As ``aws_errors``, for who sits before it: what AWS says against a request is told in its own words.

    Raises:
        StoreUnavailableError: as ``aws_errors``. InputError: AWS refused.
    """
    try:
        with aws_errors(service, purpose):
            yield
    except ClientError as error:
        told = error.response.get("Error", {})
        text = str(told.get("Message", "")).strip().rstrip(".") or "it gave no reason"
        raise InputError(
            f"{service} would not {purpose}: {text} ({told.get('Code', 'unknown')}). Correct that and try again."
        ) from error
    except BotoCoreError as error:
        raise InputError(f"{service} could not {purpose}: {error} Correct that and try again.") from error


def refusal(error: ClientError) -> str:
    """Return the code by which AWS says why it refused."""
    return str(error.response.get("Error", {}).get("Code", ""))
