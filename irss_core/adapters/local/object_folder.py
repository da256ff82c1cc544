"""ObjectFolder: bytes and their facts by key in a folder, never one without the other.

Every part of a key is a folder, but the last, which is two files; the second part is sharded by its first two letters::

    processed/3f/3fa9…/result_facts.json          the object: its facts, and the name of the file with its bytes
    processed/3f/3fa9…/result_5e1c09d25e1c09d2    those bytes

The bytes are written first, under a name that was never used, and flushed. Renaming the facts into place is what makes
the object, or replaces it whole. So a process may be killed at any point: what it leaves besides whole objects is files
that no facts name, and ``sweep`` deletes them. ``_`` is in no key, so nothing can clash.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from irss_core.adapters.object_rules import copy_bytes
from irss_core.errors import InvalidOptionError, ResourceError, StoreUnavailableError
from irss_core.jobs.keys import is_key
from irss_core.jobs.ports import ObjectInfo
from irss_core.media.atomic import atomic_file

_FACTS = "_facts.json"
_BYTES = re.compile(r"([^_]+)_[0-9a-f]{16}")
_PART = re.compile(r"\.irss-[0-9a-f]+\.part")


@dataclass(frozen=True)
class StoredObject:
    """An object's facts, and the file with its bytes."""

    info: ObjectInfo
    file: Path


class ObjectFolder:
    """The objects in a folder, which the first write makes. All methods may raise ``StoreUnavailableError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, key: str) -> StoredObject | None:
        """Return an object, or None if there is none, or that is no key.

        Raises:
            ResourceError: its facts are damaged.
        """
        if not is_key(key):
            return None
        facts = self._facts_file(key)
        with self.told():
            try:
                values = json.loads(facts.read_bytes())
                file = facts.with_name(values.pop("file"))
                return StoredObject(ObjectInfo(**values), file)
            except FileNotFoundError:
                return None
            except (ValueError, TypeError, LookupError, AttributeError) as exc:
                raise ResourceError(
                    f"The facts of an object in {self.path} are damaged ({type(exc).__name__}). Check the disk, and "
                    "hand the file in again."
                ) from exc

    def write(
        self, key: str, source: BinaryIO, *, content_type: str, now: float, max_bytes: int | None = None
    ) -> ObjectInfo:
        """Make an object of a stream's bytes, or replace it whole.

        Raises:
            LimitExceededError: the stream has more bytes than that.
        """
        facts = self._facts_file(key)
        file = facts.with_name(f"{facts.name.removesuffix(_FACTS)}_{secrets.token_hex(8)}")
        with self.told():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts.parent.mkdir(parents=True, exist_ok=True)
            try:
                with file.open("xb") as sink:
                    size_bytes, sha256 = copy_bytes(source, sink, max_bytes=max_bytes)
                    sink.flush()
                    os.fsync(sink.fileno())
                before = self.read(key)
                info = ObjectInfo(key, size_bytes, sha256, content_type, modified_at=now)
                with atomic_file(facts, overwrite=True) as sink:
                    sink.write(json.dumps({**asdict(info), "file": file.name}).encode())
            except BaseException:  # even one that came when the facts were in place already
                if not self._is_named(file):
                    file.unlink(missing_ok=True)
                raise
            if before is not None:
                before.file.unlink(missing_ok=True)
        return info

    def remove(self, key: str) -> None:
        """Delete an object, if it is there."""
        stored = self.read(key)
        if stored is not None:
            with self.told():
                self._facts_file(key).unlink(missing_ok=True)
                stored.file.unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with the prefix, sorted."""
        parent, _, _ = prefix.rpartition("/")
        if parent and not is_key(parent):
            return []
        found = (
            self._key(Path(folder) / name.removesuffix(_FACTS))
            for folder, _, names in os.walk(self._sharded(parent))
            for name in names
            if name.endswith(_FACTS)
        )
        return sorted(key for key in found if key.startswith(prefix))

    def sweep(self, *, before: float) -> int:
        """Delete files that killed writers left before that time, and folders empty since; return how many files."""
        removed = 0
        with self.told():
            for where, _, names in os.walk(self.path, topdown=False):
                folder = Path(where)
                for file in _left_over(folder, names):
                    if file.stat().st_mtime < before and not self._is_named(file):
                        file.unlink()
                        removed += 1
                if folder != self.path and folder.stat().st_mtime < before:
                    with suppress(OSError):  # it is not empty
                        folder.rmdir()
        return removed

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors of the disk in the block become ``StoreUnavailableError``; it names no file: ids are secrets."""
        try:
            yield
        except StoreUnavailableError:
            raise
        except (OSError, InvalidOptionError, ResourceError) as exc:
            cause = exc if isinstance(exc, OSError) else exc.__cause__
            if not isinstance(cause, OSError):
                raise
            raise StoreUnavailableError(
                f"The object store {self.path} cannot be used right now ({cause.strerror or type(cause).__name__}). "
                "Free some space, and see that the folder may be written to."
            ) from exc

    def _sharded(self, key: str) -> Path:
        parts = key.split("/")
        return self.path.joinpath(parts[0], *(part[:2] for part in parts[1:2]), *parts[1:])

    def _facts_file(self, key: str) -> Path:
        path = self._sharded(key)
        return path.with_name(path.name + _FACTS)

    def _key(self, path: Path) -> str:
        first, *rest = path.relative_to(self.path).parts
        return "/".join((first, *rest[1:]))

    def _is_named(self, file: Path) -> bool:
        """Whether the file has the bytes of an object."""
        owner = _BYTES.fullmatch(file.name)
        stored = self.read(self._key(file.with_name(owner[1]))) if owner else None
        return stored is not None and stored.file == file


def _left_over(folder: Path, names: list[str]) -> Iterator[Path]:
    """The files that may be a killed writer's: parts, and bytes without facts or beside other bytes of the same key."""
    owners = [(name, _BYTES.fullmatch(name)) for name in names]
    held = [owner[1] for _, owner in owners if owner]
    for name, owner in owners:
        if _PART.fullmatch(name) or (owner and (f"{owner[1]}{_FACTS}" not in names or held.count(owner[1]) > 1)):
            yield folder / name
