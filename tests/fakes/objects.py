"""MemoryObjects: an ObjectStore in a dictionary, whose forms and addresses are looked up instead of signed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from irss_core.errors import InvalidOptionError, LimitExceededError, NotFoundError, OutputExistsError
from irss_core.jobs.keys import is_key
from irss_core.jobs.ports import Clock, ObjectInfo, UploadForm


@dataclass
class MemoryObjects:
    """The objects, by key. ``upload`` and ``download`` are what a browser would do with a form or an address."""

    clock: Clock
    stored: dict[str, tuple[ObjectInfo, bytes]] = field(default_factory=dict)
    _forms: dict[str, UploadForm] = field(default_factory=dict)
    _addresses: dict[str, tuple[str, str, float]] = field(default_factory=dict)

    def put(self, key: str, source: Path, *, content_type: str) -> ObjectInfo:
        return self._store(key, source.read_bytes(), content_type)

    def get(self, key: str, target: Path) -> ObjectInfo:
        if key not in self.stored:
            raise NotFoundError("There is no such object.")
        info, data = self.stored[key]
        try:
            with target.open("xb") as stream:
                stream.write(data)
        except FileExistsError as exc:
            raise OutputExistsError(f"{target.name} exists already.") from exc
        return info

    def info(self, key: str) -> ObjectInfo | None:
        return self.stored[key][0] if key in self.stored else None

    def delete(self, key: str) -> None:
        _require_key(key)
        self.stored.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.stored if key.startswith(prefix))

    def upload_form(self, key: str, *, content_type: str, max_bytes: int, expires_in_s: float) -> UploadForm:
        _require_key(key)
        _require_content_type(content_type)
        fields = {"key": key, "content-type": content_type, "token": secrets.token_hex(8)}
        form = UploadForm("memory:", fields, max_bytes, self.clock.now() + expires_in_s)
        self._forms[fields["token"]] = form
        return form

    def download_url(self, key: str, *, filename: str, expires_in_s: float) -> str:
        if not is_key(key):
            raise NotFoundError("There is no such object.")
        url = f"memory:{secrets.token_hex(8)}"
        self._addresses[url] = key, filename, self.clock.now() + expires_in_s
        return url

    def upload(self, fields: Mapping[str, str], data: bytes) -> ObjectInfo:
        form = self._forms.get(fields.get("token", ""))
        if form is None or dict(fields) != form.fields or self.clock.now() >= form.expires_at:
            raise NotFoundError("There is no such form.")
        if len(data) > form.max_bytes:
            raise LimitExceededError(f"{len(data)} bytes are more than {form.max_bytes}.")
        del self._forms[fields["token"]]
        return self._store(fields["key"], data, fields["content-type"])

    def download(self, url: str) -> tuple[bytes, str, str]:
        """Return the bytes, the file's name and its content type."""
        key, filename, expires_at = self._addresses.get(url, ("", "", 0.0))
        if key not in self.stored or self.clock.now() >= expires_at:
            raise NotFoundError("There is nothing at this address.")
        info, data = self.stored[key]
        return data, filename, info.content_type

    def _store(self, key: str, data: bytes, content_type: str) -> ObjectInfo:
        _require_key(key)
        _require_content_type(content_type)
        info = ObjectInfo(key, len(data), hashlib.sha256(data).hexdigest(), content_type, self.clock.now())
        self.stored[key] = info, data
        return info


def _require_key(key: str) -> None:
    if not is_key(key):
        raise InvalidOptionError(f"{key!r} is not a key.")


def _require_content_type(content_type: str) -> None:
    if "/" not in content_type or not content_type.isprintable():
        raise InvalidOptionError(f"{content_type!r} is not a content type.")
