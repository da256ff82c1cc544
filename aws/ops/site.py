"""The page: the files of web/ in their bucket, with the address of the API in them."""

from __future__ import annotations

import mimetypes
import re
import time
from pathlib import Path

from aws.ops.account import Account, asking
from irss_core.errors import NotFoundError

WEB = Path(__file__).resolve().parents[2] / "web"
API_ON_THE_SAME_ADDRESS = ""
"""CloudFront hands on to the API what is not of the page."""

_LEFT_OUT = ("README.md",)
_CONFIG = "config.js"
_KEPT_S = 300  # by browsers; CloudFront is told at once


def put_site(account: Account, bucket: str, *, api: str, distribution: str | None, web: Path = WEB) -> int:
    """Write the page into its bucket, delete what is no part of it any more, and return how many files it has.

    Args:
        api: where the API answers, for config.js.
        distribution: the one of CloudFront that shows the page, to fetch it anew; None: there is none.

    Raises:
        NotFoundError: the page is not here.
    """
    files = {path.name: path for path in sorted(web.glob("*")) if path.is_file() and path.name not in _LEFT_OUT}
    if _CONFIG not in files:
        raise NotFoundError(f"The page is not in {web}. Run this in a clone of the repository.")
    client = account.client("s3")
    with asking("S3", "take the page"):
        for name, path in files.items():
            body = config(path.read_text(encoding="utf-8"), api).encode() if name == _CONFIG else path.read_bytes()
            client.put_object(
                Bucket=bucket,
                Key=name,
                Body=body,
                ContentType=content_type(name),
                CacheControl=f"max-age={_KEPT_S}",
                ExpectedBucketOwner=account.id,
            )
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, ExpectedBucketOwner=account.id):
            for old in (each["Key"] for each in page.get("Contents", ()) if each["Key"] not in files):
                client.delete_object(Bucket=bucket, Key=old, ExpectedBucketOwner=account.id)
    if distribution is not None:
        with asking("CloudFront", "fetch the page anew"):
            everything = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": str(time.time_ns())}
            account.client("cloudfront").create_invalidation(DistributionId=distribution, InvalidationBatch=everything)
    return len(files)


def config(text: str, api: str) -> str:
    """Return config.js with another address of the API."""
    line = f'export const API = "{api}";'
    return re.sub(r"^export const API\b.*$", lambda _: line, text, flags=re.MULTILINE)


def content_type(name: str) -> str:
    """Return the type that browsers are told; texts are UTF-8."""
    kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    kind = kind or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
