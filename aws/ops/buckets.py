"""Buckets: the one that packages and templates lie in, and how any of them is emptied."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from irss_core.errors import ConflictError

_FIRST_REGION = "us-east-1"  # which may not be named when a bucket is made there
_DELETED_AT_ONCE = 1000  # S3's own limit
_ABSENT = ("404", "NoSuchBucket", "NotFound")


@dataclass(frozen=True)
class DeployBucket:
    """The bucket of a stack's packages; what lies in it is named by its content.

    Nothing of it is ever deleted while the stack is there: to undo a change, CloudFormation needs the older packages.
    """

    account: Account
    name: str

    def upload(self, source: Path, *, kind: str) -> str:
        """Return the key of a file's bytes, which are sent if they are not there yet."""
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        key = f"{kind}/{digest}{source.suffix}"
        client = self.account.client("s3")
        with asking("S3", "take a package"):
            if not self._is_there(client, key):
                client.upload_file(str(source), self.name, key, ExtraArgs={"ExpectedBucketOwner": self.account.id})
        return key

    def uri(self, key: str) -> str:
        """Return the address of a key as SAM takes it."""
        return f"s3://{self.name}/{key}"

    def url(self, key: str) -> str:
        """Return the address of a key as CloudFormation takes it."""
        return f"{self.account.client('s3').meta.endpoint_url}/{self.name}/{key}"

    def _is_there(self, client: Any, key: str) -> bool:
        try:
            client.head_object(Bucket=self.name, Key=key, ExpectedBucketOwner=self.account.id)
        except ClientError as error:
            if refusal(error) in _ABSENT:
                return False
            raise
        return True


def deploy_bucket_name(account: Account, stack: str) -> str:
    """Return the name of a stack's bucket of packages."""
    return f"{stack}-deploy-{account.id}-{account.region}"


def open_deploy_bucket(account: Account, stack: str) -> DeployBucket:
    """Return the bucket of a stack's packages, made if need be: private, encrypted, by TLS only.

    Raises:
        ConflictError: the name is somebody else's.
    """
    name, client = deploy_bucket_name(account, stack), account.client("s3")
    if not bucket_is_ours(account, name):
        where = {} if account.region == _FIRST_REGION else {"LocationConstraint": account.region}
        with asking("S3", f"make the bucket {name}"):
            client.create_bucket(Bucket=name, **({"CreateBucketConfiguration": where} if where else {}))
    with asking("S3", f"close the bucket {name}"):  # also one that was left half made
        _close(client, name, account.partition)
    return DeployBucket(account, name)


def bucket_is_ours(account: Account, name: str) -> bool:
    """Whether there is a bucket of that name, of this account.

    Raises:
        ConflictError: it is another account's: names are taken once in the world.
    """
    with asking("S3", f"look for the bucket {name}"):
        try:
            account.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=account.id)
        except ClientError as error:
            if refusal(error) in _ABSENT:
                return False
            if refusal(error) == "403":
                raise ConflictError(
                    f"The bucket {name} is not of account {account.id}, or its credentials may not see it. "
                    "Take another name with --stack, or let the role use s3:ListBucket."
                ) from error
            raise
    return True


def empty_bucket(account: Account, name: str, *, gone: Callable[[int], None] | None = None) -> int:
    """Delete all that a bucket holds, old versions and unfinished uploads too, and return how many objects that were.

    Args:
        gone: told after each thousand how many are gone.
    """
    client, owner, deleted = account.client("s3"), account.id, 0
    with asking("S3", f"empty the bucket {name}"):
        objects = _versions(client, name, owner)
        while batch := list(islice(objects, _DELETED_AT_ONCE)):
            answer = client.delete_objects(
                Bucket=name, Delete={"Objects": batch, "Quiet": True}, ExpectedBucketOwner=owner
            )
            if answer.get("Errors"):
                told = answer["Errors"][0]
                raise ConflictError(
                    f"S3 keeps {len(answer['Errors'])} objects of the bucket {name}: {told.get('Message', '')} "
                    f"({told.get('Code', '')}). Delete them yourself, then try again."
                )
            deleted += len(batch)
            if gone is not None:
                gone(deleted)
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=name, ExpectedBucketOwner=owner):
            for upload in page.get("Uploads", ()):
                client.abort_multipart_upload(
                    Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"], ExpectedBucketOwner=owner
                )
    return deleted


def delete_bucket(account: Account, name: str) -> bool:
    """Empty and delete a bucket of this account; False if there is none."""
    if not bucket_is_ours(account, name):
        return False
    empty_bucket(account, name)
    with asking("S3", f"delete the bucket {name}"):
        account.client("s3").delete_bucket(Bucket=name, ExpectedBucketOwner=account.id)
    return True


def _versions(client: Any, name: str, owner: str) -> Iterator[dict[str, str]]:
    pages = client.get_paginator("list_object_versions").paginate(Bucket=name, ExpectedBucketOwner=owner)
    for page in pages:
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}


def _close(client: Any, name: str, partition: str) -> None:
    client.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        ),
    )
    client.put_bucket_ownership_controls(
        Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    encrypted = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encrypted)
    if client.meta.endpoint_url.startswith("http://"):  # an emulator, which this would shut out
        return
    client.put_bucket_policy(Bucket=name, Policy=json.dumps(_tls_only(f"arn:{partition}:s3:::{name}")))


def _tls_only(arn: str) -> dict[str, Any]:
    denied = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [denied]}
