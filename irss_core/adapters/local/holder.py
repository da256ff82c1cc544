"""Holder: a process as who holds leases, in a way that lets others see when it is gone."""

from __future__ import annotations

import contextlib
import secrets
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from irss_core.errors import StoreUnavailableError


class Holder:
    """Holds a lock on a file of its own for as long as the process lives: the system lets go of it at any end.

    No clock and no process number is trusted, for the first is set and the second is used again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None
        self._name = secrets.token_hex(8)
        self._locking = threading.Lock()

    @property
    def name(self) -> str:
        """What leases are noted under; from the first time it is asked for, the lock is held.

        Raises:
            StoreUnavailableError: the folder cannot be written.
        """
        with self._locking:
            if self._lock is None:
                try:
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    for each in list(self._folder.iterdir()):
                        self.is_gone(each.name)
                    self._lock = self._acquire()
                except OSError as exc:
                    raise StoreUnavailableError(
                        f"{self._folder} cannot be written ({exc.strerror}). Check the disk and the folder's rights."
                    ) from exc
            return self._name

    def _acquire(self) -> FileLock:
        while True:
            lock = FileLock(self._folder / self._name, thread_local=False, mode=0o600)
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                if (self._folder / self._name).exists():
                    return lock
                lock.release()
            self._name = secrets.token_hex(8)  # somebody took the new file for one that was left behind

    def is_gone(self, name: str) -> bool:
        """Whether the process of that name has ended. Its file is removed."""
        if name == self._name:
            return False
        path = self._folder / name
        if not path.exists():
            return True
        try:
            with FileLock(path, thread_local=False).acquire(timeout=0):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                return True
        except (Timeout, OSError):  # in doubt it lives, and its lease ends by itself
            return False
