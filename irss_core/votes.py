"""VoteStore: blind votes between two models' results, kept in one SQLite file on this machine.

A vote says which two models stood left and right, which was found better, and what it was about. It holds no names of
files, no addresses and nothing of who voted: the time is cut to the hour, the input is known by a fingerprint only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from irss_core.errors import InvalidOptionError, ResourceError

VoteKind = Literal["still", "clip"]
Outcome = Literal["left", "right", "tie"]
Extent = Literal["part", "whole"]  # part: a region of a still, a stretch of a clip

FILENAME = "votes.sqlite3"
SCHEMA_VERSION = 1
_WAIT_S = 10.0  # for another process that is writing

# STRICT, and every rule said here too: the file outlives the program that wrote it.
_SCHEMA = f"""
CREATE TABLE votes (
  id INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN {get_args(VoteKind)}),
  model_left TEXT NOT NULL,
  model_right TEXT NOT NULL CHECK (model_right <> model_left),
  outcome TEXT NOT NULL CHECK (outcome IN {get_args(Outcome)}),
  source TEXT NOT NULL,
  outscale REAL NOT NULL,
  extent TEXT NOT NULL CHECK (extent IN {get_args(Extent)}),
  version TEXT NOT NULL,
  ballot TEXT NOT NULL UNIQUE
) STRICT
"""


def this_hour(now: datetime | None = None) -> str:
    """Return the time in UTC, cut to the hour: "2026-03-01T14:00Z"."""
    return (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:00Z")


def fingerprint(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the file's SHA-256: enough to tell one input from another."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


@dataclass(frozen=True)
class Vote:
    """One answer to "which is better?".

    ``source`` is the ``fingerprint`` of the input. ``version`` is that of IRSS. ``ballot`` is a random word for one
    showing of one comparison: a second vote with the same one does not count.
    """

    kind: VoteKind
    model_left: str
    model_right: str
    outcome: Outcome
    source: str
    outscale: float
    extent: Extent
    version: str
    time: str = field(default_factory=this_hour)
    ballot: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        if self.model_left == self.model_right:
            raise InvalidOptionError(f"Both sides are {self.model_left!r}: a vote needs two different models.")


COLUMNS = tuple(column.name for column in fields(Vote))


class VoteStore:
    """The votes in one file, for several threads and processes at once.

    The file and its folder are made by the first vote. Every call opens the file anew and closes it, so that nothing is
    shared between threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, vote: Vote) -> bool:
        """Store the vote; return False, and store nothing, if its ballot is counted already.

        Raises:
            ResourceError: the file cannot be written: a read-only folder, a full disk, a file of another kind.
        """
        marks = ", ".join("?" * len(COLUMNS))
        with self._told("stored"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._writing() as connection:
                done = connection.execute(
                    f"INSERT INTO votes ({', '.join(COLUMNS)}) VALUES ({marks}) "  # noqa: S608  names of our own
                    "ON CONFLICT (ballot) DO NOTHING",
                    astuple(vote),
                )
                return done.rowcount == 1

    def votes(self, kind: VoteKind | None = None) -> list[Vote]:
        """Return all votes, or those on stills or clips, oldest first; none if there is no file yet.

        Raises:
            ResourceError: the file cannot be read.
        """
        with self._told("read"):
            if not self.path.exists():
                return []
            with self._reading() as connection:
                if not _version(connection):
                    return []
                rows = connection.execute(
                    f"SELECT {', '.join(COLUMNS)} FROM votes "  # noqa: S608  names of our own
                    "WHERE ?1 IS NULL OR kind = ?1 ORDER BY id",
                    (kind,),
                )
                return [Vote(*row) for row in rows]

    def clear(self) -> int:
        """Delete every vote; return how many there were.

        Raises:
            ResourceError: as ``add``.
        """
        with self._told("cleared"):
            if not self.path.exists():
                return 0
            with self._writing() as connection:
                return connection.execute("DELETE FROM votes").rowcount

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that is kept when the block ends well; the table is there."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as connection:
            # The change to WAL, once in a file's life, waits for nobody; who is refused leaves it to the next writer.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                if not _version(connection):
                    connection.execute(_SCHEMA)
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # Reading in WAL mode writes a file beside the votes. Where none can be written nobody writes votes either, and
        # SQLite may take them as they are.
        frozen = not os.access(self.path.parent, os.W_OK)
        address = f"{self.path.absolute().as_uri()}?{'immutable=1' if frozen else 'mode=ro'}"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as connection:
            yield connection

    @contextlib.contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise ResourceError(
                f"Votes cannot be {done} in {self.path} ({error}). "
                "Name a folder that may be written to with IRSS_DATA_DIR, or move that file away."
            ) from error


def _version(connection: sqlite3.Connection) -> int:
    """Return the schema version, 0 of an empty file.

    Raises:
        ResourceError: a later version of IRSS wrote the file.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise ResourceError(
            f"The votes were written by a later version of IRSS (schema {version}, this one knows {SCHEMA_VERSION}). "
            "Update IRSS, or name another folder with IRSS_DATA_DIR."
        )
    return int(version)
