"""UrlSigner: forms and addresses that work for whoever holds them, for one object, until they expire."""

from __future__ import annotations

import base64
import hmac
import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import quote, urlencode

from irss_core.errors import NotFoundError
from irss_core.jobs.ports import Clock

_PURPOSE = b"irss presigned addresses"  # so that nothing else that is signed with the same secret passes here


@dataclass(frozen=True)
class UploadPolicy:
    """What a form takes: one file, for that key, of that type, at most so long, until then; ``nonce`` is its own."""

    key: str
    content_type: str
    max_bytes: int
    expires_at: float
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))


class UrlSigner:
    """Signs with HMAC-SHA256, under a key that is derived from the secret for this alone."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._key = hmac.digest(secret, _PURPOSE, "sha256")
        self._clock = clock

    def upload_fields(self, policy: UploadPolicy) -> dict[str, str]:
        """Return the fields of a form that stands for the policy."""
        text = base64.urlsafe_b64encode(json.dumps(asdict(policy)).encode()).decode()
        return {
            "key": policy.key,
            "content-type": policy.content_type,
            "policy": text,
            "signature": self._signature("upload", text),
        }

    def upload_policy(self, fields: Mapping[str, str]) -> UploadPolicy:
        """Return the policy that a form's fields stand for.

        Raises:
            NotFoundError: it was not signed here, was changed since, or is over.
        """
        text = fields.get("policy", "")
        if not self._is_signed(fields, "upload", text):
            raise NotFoundError("This upload form was not made here, or was changed. Ask for a new one.")
        policy = UploadPolicy(**json.loads(base64.urlsafe_b64decode(text)))
        if (fields.get("key"), fields.get("content-type")) != (policy.key, policy.content_type):
            raise NotFoundError(
                "This upload form was made for another key or content type. Send its fields as they were given, "
                "or ask for a new one."
            )
        if self._clock.now() >= policy.expires_at:
            raise NotFoundError("This upload form is over. Ask for a new one.")
        return policy

    def download_query(self, key: str, *, filename: str, expires_at: float) -> str:
        """Return the query of an address that gives the object under that name."""
        expires = str(math.ceil(expires_at))
        signature = self._signature("download", key, filename, expires)
        return urlencode({"filename": filename, "expires": expires, "signature": signature}, quote_via=quote)

    def download_filename(self, key: str, query: Mapping[str, str]) -> str:
        """Return the name under which an address gives the object.

        Raises:
            NotFoundError: the address was not signed here, was changed since, or is over.
        """
        filename, expires = query.get("filename", ""), query.get("expires", "")
        if not self._is_signed(query, "download", key, filename, expires) or self._clock.now() >= int(expires):
            raise NotFoundError("There is nothing at this address, or not any more. Ask the job's page for a new one.")
        return filename

    def _signature(self, *parts: str) -> str:
        return hmac.digest(self._key, json.dumps(parts).encode(), "sha256").hex()

    def _is_signed(self, fields: Mapping[str, str], *parts: str) -> bool:
        given = fields.get("signature", "").encode("ascii", "replace")
        return hmac.compare_digest(self._signature(*parts).encode("ascii"), given)
