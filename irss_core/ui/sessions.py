"""Visitors: each has a private folder with an unguessable name, the work running for them, and an end."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from irss_core.errors import InputError
from irss_core.progress import CancelToken

_T = TypeVar("_T")

_SAFE_PART = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A phone that locks its screen drops the connection and comes back; its pictures should still be there then.
_GRACE_AFTER_LEAVING_S = 120.0
_SWEEP_EVERY_S = 30.0


class Session:
    """One open page: its folder, its uploads, its running work and its own checkpoints.

    ``folder`` lies below ``<root>/visitors`` under a random name, which is the only key to what is in it.
    """

    def __init__(self, folder: Path, *, uploads: Path) -> None:
        self.folder = folder
        self.own_models: dict[str, str] = {}  # name -> title of checkpoints this visitor loaded
        self._uploads = uploads
        self._tokens: dict[str, CancelToken] = {}
        self._kept: dict[type, object] = {}
        self._lock = threading.Lock()

    def begin(self, place: str) -> CancelToken:
        """Return the token of new work at ``place`` ("image", "clip" …), cancelling what still runs there."""
        token = CancelToken()
        with self._lock:
            earlier, self._tokens[place] = self._tokens.get(place), token
        if earlier is not None:
            earlier.cancel()
        return token

    def end(self, place: str, token: CancelToken) -> None:
        """Note that the work of ``token`` is over."""
        with self._lock:
            if self._tokens.get(place) is token:
                del self._tokens[place]

    def cancel(self, place: str | None = None) -> None:
        """Ask the work at ``place``, or all work, to stop."""
        with self._lock:
            tokens = [token for name, token in self._tokens.items() if place in (None, name)]
        for token in tokens:
            token.cancel()

    @property
    def busy(self) -> bool:
        """Whether work is running or waiting for this visitor."""
        with self._lock:
            return bool(self._tokens)

    def keep(self, value: object) -> None:
        """Remember ``value``, in place of an earlier one of its type."""
        with self._lock:
            self._kept[type(value)] = value

    def kept(self, kind: type[_T]) -> _T | None:
        """Return the value of that type which was last kept, or None."""
        with self._lock:
            value = self._kept.get(kind)
        return value if isinstance(value, kind) else None

    def forget(self, kind: type) -> None:
        """Drop the kept value of that type."""
        with self._lock:
            self._kept.pop(kind, None)

    def new_folder(self, place: str) -> Path:
        """Return a new empty folder for the results of ``place``."""
        folder = self.folder / f"{place}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        return folder

    def keep_only(self, folder: Path) -> None:
        """Delete the earlier folders of the place that ``folder`` was made for."""
        place = folder.name.rpartition("-")[0]
        for sibling in self.folder.glob(f"{place}-*"):
            if sibling != folder:
                shutil.rmtree(sibling, ignore_errors=True)

    def adopt(self, upload: str | os.PathLike[str], place: str) -> Path:
        """Return a copy of an uploaded file in a new folder of this visitor, under the name it came with.

        Raises:
            InputError: the path is not one that the page's upload made.
        """
        return self.copy(self.received(upload), place)

    def received(self, upload: str | os.PathLike[str]) -> Path:
        """Return the path of an uploaded file where it lies, which is not for long.

        Raises:
            InputError: as ``adopt``.
        """
        source = Path(upload)
        if not source.resolve().is_relative_to(self._uploads.resolve()) or not source.is_file():
            raise InputError("The uploaded file is gone or was never uploaded here. Upload it again.")
        return source

    def as_upload(self, source: Path) -> Path:
        """Return a file of this visitor's where an upload of it would lie, as if it had just come.

        Raises:
            InputError: it is not there any more.
        """
        if not source.is_file():
            raise InputError(f"{source.name} is no longer here. Open it once more.")
        target = self._uploads / secrets.token_hex(16) / source.name
        target.parent.mkdir()
        link_or_copy(source, target)
        target.touch()  # or it would be swept away with what came when the file did
        return target

    def copy(self, source: Path, place: str) -> Path:
        """Return a copy of a file in a new folder of this visitor."""
        target = self.new_folder(place) / source.name
        link_or_copy(source, target)
        return target


class SessionStore:
    """Every visitor's session, and the one folder all their files lie in.

    ``root`` holds ``visitors/`` (results, served under their random names) and ``uploads/`` (what gradio received).
    """

    def __init__(
        self,
        *,
        max_age_s: float,
        parent: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        parent = parent or Path(tempfile.gettempdir())
        prefix = f"irss-{zlib.crc32(platform.node().encode()):08x}-"
        _remove_abandoned(parent, prefix)
        self.root = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent)).resolve()
        self.visitors, self.uploads = self.root / "visitors", self.root / "uploads"
        self.visitors.mkdir()
        self.uploads.mkdir()
        self._max_age_s, self._clock, self._wall_clock = max_age_s, clock, wall_clock
        self._sessions: dict[str, Session] = {}
        self._last_seen: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def visit(self, key: str) -> Session:
        """Return the session of the page with that key, making it at the first call."""
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                folder = self.visitors / secrets.token_hex(16)
                folder.mkdir(mode=0o700)
                session = self._sessions[key] = Session(folder, uploads=self.uploads)
            self._last_seen[key] = self._clock()
            self._left.pop(key, None)
        return session

    def leave(self, key: str) -> None:
        """Note that the page was closed: its work stops now, its files go shortly after."""
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                self._left[key] = self._clock()
        if session is not None:
            session.cancel()

    def address(self, path: Path) -> str:
        """Return the address of a visitor's file, relative to the page."""
        return "results/" + path.relative_to(self.visitors).as_posix()

    def find(self, visitor: str, folder: str, name: str) -> Path | None:
        """Return the file behind an address, or None if there is none (unknown and forbidden look alike)."""
        if not (_SAFE_PART.fullmatch(visitor) and _SAFE_PART.fullmatch(folder)):
            return None
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            return None
        path = self.visitors / visitor / folder / name
        return path if path.is_file() else None

    def sweep(self) -> None:
        """Delete the files of visitors who left or were not seen for long, and uploads past their age."""
        now = self._clock()
        with self._lock:
            gone = [
                key
                for key, session in self._sessions.items()
                if not session.busy
                and (
                    now - self._last_seen[key] > self._max_age_s
                    or now - self._left.get(key, now) > _GRACE_AFTER_LEAVING_S
                )
            ]
            folders = [self._sessions.pop(key).folder for key in gone]
            for key in gone:
                self._last_seen.pop(key, None)
                self._left.pop(key, None)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._sweep_uploads()

    def sweep_regularly(self) -> None:
        """Sweep in the background until ``close``."""
        threading.Thread(target=self._sweep_until_closed, name="sweep", daemon=True).start()

    def cancel_all(self) -> None:
        """Ask all work of all visitors to stop."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            session.cancel()

    def close(self) -> None:
        """Stop all work and delete everything."""
        self._closing.set()
        self.cancel_all()
        with self._lock:
            self._sessions.clear()
        shutil.rmtree(self.root, ignore_errors=True)

    def _sweep_until_closed(self) -> None:
        while not self._closing.wait(_SWEEP_EVERY_S):
            self.sweep()

    def _sweep_uploads(self) -> None:
        oldest = self._wall_clock() - self._max_age_s
        for path in list(self.uploads.rglob("*")):
            with contextlib.suppress(OSError):  # gone meanwhile, or a folder that is not empty
                if path.stat().st_mtime >= oldest:
                    continue
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy of it on a file system that has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Delete the folders of earlier runs on this host that were killed before they could clean up."""
    for folder in parent.glob(f"{prefix}*-*"):
        pid = folder.name.removeprefix(prefix).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
