"""SqliteRecords: small texts that end by themselves."""

from __future__ import annotations

from irss_core.adapters.local.database import Database
from irss_core.jobs.ports import Clock

_WRITE = """
INSERT INTO records (key, value, expires_at) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""
# In the update a bare name is what was there before.
_COUNT = """
INSERT INTO records (key, value, expires_at) VALUES (:key, CAST(:amount AS TEXT), :expires_at)
ON CONFLICT (key) DO UPDATE SET
  value = CASE WHEN expires_at > :now THEN CAST(CAST(value AS INTEGER) + :amount AS TEXT)
    ELSE CAST(:amount AS TEXT) END,
  expires_at = CASE WHEN expires_at > :now THEN expires_at ELSE excluded.expires_at END
RETURNING value
"""
_ALIVE = "SELECT value FROM records WHERE key = ? AND expires_at > ?"


class SqliteRecords:
    """The Records on one machine, for any number of threads and processes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, key: str) -> str | None:
        """Return the text, or None if there is none or its time is over."""
        rows = self._database.read(_ALIVE, (key, self._clock.now()))
        return rows[0]["value"] if rows else None

    def put(self, key: str, value: str, *, expires_at: float, replacing: str | None = None) -> bool:
        """Write a text if what is there is ``replacing`` (None: nothing alive); return whether it was written."""
        with self._database.writing() as connection:
            row = connection.execute(_ALIVE, (key, self._clock.now())).fetchone()
            if (row["value"] if row else None) != replacing:
                return False
            connection.execute(_WRITE, (key, value, expires_at))
            return True

    def count(self, key: str, *, expires_at: float, amount: int = 1) -> int:
        """Add to a counter and return it; a new one ends at ``expires_at``."""
        with self._database.writing() as connection:
            values = {"key": key, "expires_at": expires_at, "now": self._clock.now(), "amount": amount}
            (row,) = connection.execute(_COUNT, values).fetchall()
            return int(row["value"])

    def delete(self, key: str) -> None:
        """Delete a text, if it is there."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM records WHERE key = ?", (key,))

    def expire(self) -> int:
        """Delete what is over, and return how many those were."""
        with self._database.writing() as connection:
            return connection.execute("DELETE FROM records WHERE expires_at <= ?", (self._clock.now(),)).rowcount
