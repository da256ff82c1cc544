"""Database: one SQLite file that several threads and processes read and write, and that a power cut does not hurt."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from irss_core.adapters.local.schema import MIGRATIONS
from irss_core.errors import StoreUnavailableError

_MAKING = threading.Lock()  # held while a file is made
_ASK_EVERY_S = 0.003  # for the right to write: about as long as a commit takes

# By SQLite's primary result code: what is wrong, and what to do. Any other error is ours.
_BUSY = ("another process has been writing to it for too long", "Try again; if it lasts, stop what holds the file.")
_UNWRITABLE = ("it cannot be written to", "Make IRSS_DATA_DIR a folder that IRSS may write to.")
_FAILING = ("the disk fails", "Look at the disk that IRSS_DATA_DIR is on.")
_DAMAGED = (
    "it is damaged, or no database",
    "Stop IRSS, move the file away, and put a copy of it back if you have one.",
)
_REMEDIES = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space on the disk that IRSS_DATA_DIR is on."),
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_AUTH: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_IOERR: _FAILING,
    sqlite3.SQLITE_NOLFS: _FAILING,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


class Database:
    """One file, made at its first use with mode 600 (a new folder with 700) and brought to the newest schema then.

    Each thread has a connection of its own. Processes that share the file open it themselves: SQLite's locks do not
    survive a fork, so a process that was forked off one that had it open is refused.

    Every method raises StoreUnavailableError when the file cannot be used now: locked by somebody else for longer than
    ``busy_timeout_s``, a full or failing disk, not writable, damaged, written by a later version of IRSS.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = 5.0, migrations: Sequence[Sequence[str]] = MIGRATIONS
    ) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._migrations = migrations
        self._of_thread = threading.local()
        self._opened_by: int | None = None  # the process
        self._committed = threading.Condition()
        self._commits = 0  # of this process

    def read(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query, which sees the database as it was at one moment."""
        with self._told():
            return self._connection().execute(sql, values).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody writes beside; on the disk, whole, when the block has ended well, else undone."""
        with self._told():
            connection = self._connection()
            try:
                self._begin(connection)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
        with self._committed:
            self._commits += 1
            self._committed.notify_all()

    def changes(self) -> tuple[int, int]:
        """Return what differs after every commit, whichever process made it; cheap enough to ask ten times a second."""
        (row,) = self.read("PRAGMA data_version")  # says nothing of this thread's own commits
        with self._committed:
            return self._commits, row[0]

    def wait_for_commit(self, seen: tuple[int, int], *, timeout_s: float) -> None:
        """Sleep that long, or until this process commits something that ``changes`` did not know of at ``seen``."""
        with self._committed:
            if self._commits == seen[0]:
                self._committed.wait(timeout_s)

    def close(self) -> None:
        """Close this thread's connection; what is not committed is undone. The next call opens another."""
        connection = self._of_thread.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        if self._opened_by not in (None, os.getpid()):
            raise RuntimeError(f"{self.path.name} was open when this process was forked. Start processes anew instead.")
        connection: sqlite3.Connection | None = self._of_thread.__dict__.get("connection")
        if connection is None:
            connection = self._of_thread.connection = self._open()
            self._opened_by = os.getpid()
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the one right to write.

        SQLite's own waiting asks ever more rarely, so that with many writers who waits longest gets it last. Asking
        evenly gives all the same chance.
        """
        until = time.monotonic() + self._busy_timeout_s
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    # IMMEDIATE: who reads first and locks later may be refused where waiting does not help.
                    connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                        raise
                time.sleep(_ASK_EVERY_S)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self._busy_timeout_s * 1000)}")

    def _open(self) -> sqlite3.Connection:
        self._make_file()
        connection = sqlite3.connect(self.path, timeout=self._busy_timeout_s, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            # The change to WAL, once in a file's life, waits for nobody; who is refused is so by one who does it.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            # In WAL mode NORMAL does not flush a commit to the disk: a power cut would take the last ones back, among
            # them jobs that were promised and mails that were noted as sent. FULL costs a flush a commit.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if self._missing_steps(connection):
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self) -> None:
        # Closing any descriptor of a file gives up all locks that this process has on it. So it is opened here only
        # when it is new, and with no other thread between.
        try:
            with _MAKING:
                if not self.path.exists():
                    self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    with contextlib.suppress(FileExistsError):
                        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.path.name} cannot be made ({error.strerror}). Make IRSS_DATA_DIR a folder that IRSS may write "
                "to, with some space left."
            ) from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the file to the newest schema, whole or not at all."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in self._missing_steps(connection):  # asked again: another process may have been faster
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise

    def _missing_steps(self, connection: sqlite3.Connection) -> Sequence[Sequence[str]]:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise StoreUnavailableError(
                f"{self.path.name} was written by a later version of IRSS (schema {version}, this one knows "
                f"{len(self._migrations)}). Update IRSS, or name another folder with IRSS_DATA_DIR."
            )
        return self._migrations[version:]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Name what is wrong with the file, and start from a new connection after it."""
        try:
            yield
        except sqlite3.Error as error:
            code = _primary_code(error)
            if code not in _REMEDIES:
                raise
            with contextlib.suppress(sqlite3.Error):
                self.close()
            wrong, remedy = _REMEDIES[code]
            raise StoreUnavailableError(f"{self.path.name} cannot be used: {wrong} ({error}). {remedy}") from error


def _primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's result code without its details, 0 for an error that is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
