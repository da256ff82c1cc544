"""FileObjects: the object store in a folder, with forms and addresses that this server itself has signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from irss_core.adapters.local.object_folder import ObjectFolder
from irss_core.adapters.local.signing import UploadPolicy, UrlSigner
from irss_core.adapters.object_rules import (
    copy_bytes,
    no_such_object,
    require_content_type,
    require_key,
    saved_name,
)
from irss_core.errors import NotFoundError, ResourceError
from irss_core.jobs.keys import is_key
from irss_core.jobs.ports import Clock, ObjectInfo, UploadForm
from irss_core.media.atomic import atomic_file

_REPLACED_AT_MOST = 5  # times between reading the facts and opening the bytes
_USED = "_used"  # a folder that no key has: an empty file for each form that was used
_KEEP_USED_S = 86_400  # after the form is over: clocks jump back


class FileObjects:
    """The objects in a folder, for any number of threads and processes at once.

    ``address`` is how others reach this server; it takes forms at ``/objects`` and gives objects at ``/objects/{key}``.
    """

    def __init__(self, folder: Path, *, signer: UrlSigner, address: str, clock: Clock) -> None:
        self._folder = ObjectFolder(folder)
        self._signer = signer
        self._address = address
        self._clock = clock

    def put(self, key: str, source: Path, *, content_type: str) -> ObjectInfo:
        """Store a file's bytes, in place of any before, whole or not at all.

        Raises:
            InvalidOptionError: not a key, or not a content type.
            StoreUnavailableError: the disk is full or failing.
        """
        require_key(key)
        require_content_type(content_type)
        with source.open("rb") as stream:
            return self._folder.write(key, stream, content_type=content_type, now=self._clock.now())

    def get(self, key: str, target: Path) -> ObjectInfo:
        """Write an object's bytes to a file that is not there yet: a copy, checked against the SHA-256.

        Raises:
            NotFoundError: there is no such object.
            OutputExistsError: the target is there.
            ResourceError: its bytes are not those that were stored, or are gone.
        """
        info, stream = self._open(key)
        with stream, atomic_file(target, overwrite=False) as sink:
            if copy_bytes(stream, sink) != (info.size_bytes, info.sha256):
                raise ResourceError(
                    f"An object of {info.size_bytes} bytes is damaged: it no longer has the SHA-256 that it was stored "
                    "with. Check the disk, and hand the file in again."
                )
        return info

    def info(self, key: str) -> ObjectInfo | None:
        """Return an object's facts, or None."""
        stored = self._folder.read(key)
        return stored.info if stored else None

    def delete(self, key: str) -> None:
        """Delete an object, if it is there.

        Raises:
            InvalidOptionError: not a key.
        """
        require_key(key)
        self._folder.remove(key)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with the prefix, sorted."""
        return self._folder.keys(prefix)

    def upload_form(self, key: str, *, content_type: str, max_bytes: int, expires_in_s: float) -> UploadForm:
        """Return a form that lets who holds it store one object under that key, once, until it expires.

        Raises:
            InvalidOptionError: not a key, or not a content type.
        """
        require_key(key)
        require_content_type(content_type)
        policy = UploadPolicy(key, content_type, max_bytes=max_bytes, expires_at=self._clock.now() + expires_in_s)
        fields = self._signer.upload_fields(policy)
        return UploadForm(f"{self._address}/objects", fields, max_bytes, policy.expires_at)

    def take_upload(self, fields: Mapping[str, str], source: Path | BinaryIO) -> ObjectInfo:
        """Store what came with a form of ``upload_form``.

        An upload that fails does not use up the form; being killed in the middle of one does.

        Raises:
            NotFoundError: not a form that was made here, or changed, over, or used already.
            LimitExceededError: more bytes than the form takes.
            StoreUnavailableError: as ``put``.
        """
        policy = self._signer.upload_policy(fields)
        opened = source.open("rb") if isinstance(source, Path) else nullcontext(source)
        with opened as stream, self._used_up(policy):
            return self._folder.write(
                policy.key,
                stream,
                content_type=policy.content_type,
                now=self._clock.now(),
                max_bytes=policy.max_bytes,
            )

    def download_url(self, key: str, *, filename: str, expires_in_s: float) -> str:
        """Return an address that gives the object as an attachment of that name until it expires.

        Raises:
            NotFoundError: not a key.
        """
        if not is_key(key):
            raise no_such_object()
        expires_at = self._clock.now() + expires_in_s
        query = self._signer.download_query(key, filename=saved_name(filename), expires_at=expires_at)
        return f"{self._address}/objects/{key}?{query}"

    def open_download(self, key: str, query: Mapping[str, str]) -> tuple[Path, str, str]:
        """Return the file to send for an address of ``download_url``, the name to send it under, its content type.

        Raises:
            NotFoundError: the address was not made here, or is over, or the object is gone.
        """
        filename = self._signer.download_filename(key, query)
        stored = self._folder.read(key)
        if stored is None:
            raise no_such_object()
        return stored.file, filename, stored.info.content_type

    def sweep_parts(self, older_than_s: float) -> int:
        """Delete what writers left that were killed longer ago than that; return how many files it was."""
        with self._folder.told():
            for used in (self._folder.path / _USED).glob("*/*"):
                _, _, over = used.name.partition("-")
                if self._clock.now() > int(over) + _KEEP_USED_S:
                    used.unlink(missing_ok=True)
        return self._folder.sweep(before=self._clock.now() - older_than_s)

    def _open(self, key: str) -> tuple[ObjectInfo, BinaryIO]:
        for _ in range(_REPLACED_AT_MOST):
            stored = self._folder.read(key)
            if stored is None:
                raise no_such_object()
            with self._folder.told():
                try:
                    return stored.info, stored.file.open("rb")
                except FileNotFoundError:  # replaced or deleted just now
                    continue
        raise ResourceError(
            "An object's facts are there, but not its bytes. Did something else delete files of the store? "
            "Hand the file in again."
        )

    @contextmanager
    def _used_up(self, policy: UploadPolicy) -> Iterator[None]:
        """The form is used up, unless the block fails."""
        used = self._folder.path / _USED / policy.nonce[:2] / f"{policy.nonce}-{int(policy.expires_at)}"
        with self._folder.told():
            used.parent.mkdir(parents=True, exist_ok=True)
            try:
                used.touch(exist_ok=False)
            except FileExistsError:
                raise NotFoundError("This upload form was used already. Ask for a new one.") from None
        try:
            yield
        except BaseException:
            used.unlink(missing_ok=True)
            raise
