"""S3Objects: the object store in S3 buckets, one for each kind of key."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, NoCredentialsError

from irss_core.adapters.aws.errors import aws_errors
from irss_core.adapters.object_rules import (
    attachment,
    copy_bytes,
    no_such_object,
    require_content_type,
    require_key,
    saved_name,
)
from irss_core.errors import InvalidOptionError, ResourceError
from irss_core.jobs.keys import is_key
from irss_core.jobs.ports import Clock, ObjectInfo, UploadForm
from irss_core.media.atomic import atomic_file

_TRANSFER = TransferConfig(
    multipart_threshold=64 * 1024 * 1024,
    multipart_chunksize=16 * 1024 * 1024,  # what is in memory at a time, and 10,000 of it at most in an object
    use_threads=False,
)
_LONGEST_S = 7 * 86_400  # for which an address or a form can be signed
_UNSAID = ("400", "403", "404")  # all that is known of a refused HEAD, whose answer has no words
_SHA256 = "sha256"  # in an object's metadata: S3's own checksum of many parts is none of the whole


class S3Objects:
    """The objects in buckets. ``buckets`` names the bucket by a key's first word: {"uploads": "irss-uploads-…", …}.

    A store that gives a key new bytes replaces what was there whole, also while others read it. Parts of a large object
    whose writer was killed are in no listing; the bucket's lifecycle rule deletes them. Who asks for objects needs
    ``s3:ListBucket``, too: without it S3 calls what is not there forbidden.
    """

    def __init__(self, client: Any, buckets: Mapping[str, str], clock: Clock) -> None:
        self._client = client
        self._buckets = dict(buckets)
        self._clock = clock

    def put(self, key: str, source: Path, *, content_type: str) -> ObjectInfo:
        """Store a file's bytes, in place of any before, whole or not at all.

        Raises:
            InvalidOptionError: not a key that has a bucket, or not a content type.
            StoreUnavailableError: S3 cannot be reached, or refuses.
        """
        bucket = self._bucket_to_write(key)
        require_content_type(content_type)
        with source.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size_bytes = stream.tell()
            stream.seek(0)
            facts = {"ContentType": content_type, "Metadata": {_SHA256: sha256}, "ChecksumAlgorithm": "SHA256"}
            with aws_errors("S3", "store an object"):
                self._client.upload_fileobj(stream, bucket, key, ExtraArgs=facts, Config=_TRANSFER)
        return ObjectInfo(key, size_bytes, sha256, content_type, self._clock.now())

    def get(self, key: str, target: Path) -> ObjectInfo:
        """Write an object's bytes to a file that is not there yet: a copy, checked against the SHA-256 if known.

        Raises:
            NotFoundError: there is no such object.
            OutputExistsError: the target is there.
            ResourceError: its bytes are not those that were stored.
            StoreUnavailableError: S3 cannot be reached, or refuses, or the line broke.
        """
        with aws_errors("S3", "read an object"):
            answer = self._opened(key)
            if answer is None:
                raise no_such_object()
            info = _info(key, answer)
            with closing(answer["Body"]) as stream, atomic_file(target, overwrite=False) as sink:
                size_bytes, sha256 = copy_bytes(stream, sink)
                if size_bytes != info.size_bytes or info.sha256 not in (None, sha256):
                    raise ResourceError(
                        f"An object of {info.size_bytes} bytes is damaged: it no longer has the SHA-256 that it was "
                        "stored with. Hand the file in again."
                    )
        return info

    def info(self, key: str) -> ObjectInfo | None:
        """Return an object's facts, or None. Of one that came by a form the SHA-256 is not known.

        Raises:
            StoreUnavailableError: S3 cannot be reached, or refuses.
        """
        bucket = self._bucket(key)
        if bucket is None:
            return None
        with aws_errors("S3", "look for an object"):
            try:
                return _info(key, self._client.head_object(Bucket=bucket, Key=key))
            except ClientError as error:
                if error.response["Error"]["Code"] not in _UNSAID:
                    raise
            answer = self._opened(key)  # which says why not: no such object, no such bucket, no permission
            if answer is None:
                return None
            answer["Body"].close()
            return _info(key, answer)

    def delete(self, key: str) -> None:
        """Delete an object, if it is there.

        Raises:
            InvalidOptionError: not a key that has a bucket.
            StoreUnavailableError: S3 cannot be reached, or refuses.
        """
        bucket = self._bucket_to_write(key)
        with aws_errors("S3", "delete an object"):
            self._client.delete_object(Bucket=bucket, Key=key)

    def keys(self, prefix: str) -> Iterable[str]:
        """Return the keys that begin with the prefix, sorted; they are asked for as they are taken.

        Raises:
            StoreUnavailableError: S3 cannot be reached, or refuses.
        """
        word, slash, _ = prefix.partition("/")
        words = (each for each in self._buckets if (each == word if slash else each.startswith(word)))
        buckets = sorted({self._buckets[each] for each in words})
        return heapq.merge(*(self._listed(bucket, prefix) for bucket in buckets))

    def upload_form(self, key: str, *, content_type: str, max_bytes: int, expires_in_s: float) -> UploadForm:
        """Return a form that lets who holds it store 1 to ``max_bytes`` bytes under that key until it expires.

        S3 takes a form as often as it is sent until then: the later file replaces the earlier one. Whoever reads an
        upload holds on to its SHA-256. The form ends with the credentials it was signed with, if that is earlier.

        Raises:
            InvalidOptionError: not a key that has a bucket, or not a content type.
            StoreUnavailableError: there are no credentials to sign with.
        """
        bucket = self._bucket_to_write(key)
        require_content_type(content_type)
        with aws_errors("S3", "sign an upload form"):
            try:
                form = self._client.generate_presigned_post(
                    Bucket=bucket,
                    Key=key,
                    Fields={"Content-Type": content_type},
                    Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                    ExpiresIn=_whole_s(expires_in_s),
                )
            except AttributeError as exc:  # which is how botocore says here that there are none
                raise NoCredentialsError from exc
        return UploadForm(form["url"], form["fields"], max_bytes, self._clock.now() + expires_in_s)

    def download_url(self, key: str, *, filename: str, expires_in_s: float) -> str:
        """Return an address that gives the object as an attachment of that name until it expires.

        It ends with the credentials it was signed with, if that is earlier.

        Raises:
            NotFoundError: not a key.
            StoreUnavailableError: there are no credentials to sign with.
        """
        bucket = self._bucket(key)
        if bucket is None:
            raise no_such_object()
        wanted = {"Bucket": bucket, "Key": key, "ResponseContentDisposition": attachment(saved_name(filename))}
        with aws_errors("S3", "sign an address"):
            url = self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=_whole_s(expires_in_s))
        return str(url)

    def _opened(self, key: str) -> Mapping[str, Any] | None:
        """Return S3's answer with an object's facts and its bytes to read, or None if there is none."""
        bucket = self._bucket(key)
        if bucket is None:
            return None
        try:
            answer: Mapping[str, Any] = self._client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        return answer

    def _bucket(self, key: str) -> str | None:
        return self._buckets.get(_first_word(key)) if is_key(key) else None

    def _bucket_to_write(self, key: str) -> str:
        require_key(key)
        word = _first_word(key)
        if word not in self._buckets:
            raise InvalidOptionError(
                f"There is no bucket for objects of {word!r}; there are some for {', '.join(sorted(self._buckets))}."
            )
        return self._buckets[word]

    def _listed(self, bucket: str, prefix: str) -> Iterator[str]:
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))
        while True:
            with aws_errors("S3", "list objects"):
                page = next(pages, None)
            if page is None:
                return
            yield from (each["Key"] for each in page.get("Contents", ()) if self._bucket(each["Key"]) == bucket)


def _first_word(key: str) -> str:
    return key.partition("/")[0]


def _whole_s(seconds: float) -> int:
    return max(1, min(math.floor(seconds), _LONGEST_S))


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=answer["ContentLength"],
        sha256=answer["Metadata"].get(_SHA256),
        content_type=answer["ContentType"],
        modified_at=answer["LastModified"].timestamp(),
    )
