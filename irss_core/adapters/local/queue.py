"""SqliteQueue: messages under leases, in a database that several threads and processes share.

The wall clock may be set by 20 minutes at any moment. Forward, leases end early: the message may be delivered to
somebody else, who then fences off the first holder, or the first holder extends its lease before that. Back, a lease
would end late, a dead worker's message would be stuck: every lease and delay is stored with the time at which it was
asked for, and one that was asked for in what is now the future begins anew.

A lease also says which process holds it. When that is gone, killed or crashed, whoever looks for messages gives its
messages back at once; nobody has to wait for the lease to end.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
import time
from typing import Any

from irss_core.adapters.local.database import Database
from irss_core.adapters.local.holder import Holder
from irss_core.jobs.ports import Clock, Message, QueueDepth

_LOOK_EVERY_S = 0.08  # for messages of other processes, which cannot wake this one

_LOOK_FOR_GONE_EVERY_S = 2.0

_ALIVE = "queue = :queue AND died_at IS NULL"
_NEXT = f"""
SELECT (SELECT min(visible_at) FROM messages WHERE {_ALIVE}) AS next_at,
  EXISTS (SELECT 1 FROM messages WHERE {_ALIVE} AND visible_at > :now AND asked_at > :now) AS clock_was_set_back
"""  # noqa: S608  text of our own, here and below
_BEGIN_ANEW = f"""
UPDATE messages SET visible_at = :now + (visible_at - asked_at), asked_at = :now
WHERE {_ALIVE} AND visible_at > :now AND asked_at > :now
"""  # noqa: S608
_OLDEST_READY = f"""
SELECT id, body, deliveries FROM messages WHERE {_ALIVE} AND visible_at <= :now ORDER BY visible_at, id LIMIT 1
"""  # noqa: S608
_LEASE = """
UPDATE messages
SET deliveries = deliveries + 1, receipt = :receipt, holder = :holder, asked_at = :now, visible_at = :now + :timeout_s
WHERE id = :id
"""
_HOLDERS = f"SELECT DISTINCT holder FROM messages WHERE {_ALIVE} AND receipt IS NOT NULL AND visible_at > :now"  # noqa: S608
_GIVE_BACK = f"""
UPDATE messages SET receipt = NULL, asked_at = :now, visible_at = :now
WHERE {_ALIVE} AND receipt IS NOT NULL AND holder = :holder
"""  # noqa: S608
_DEPTH = """
SELECT count(*) FILTER (WHERE died_at IS NULL AND visible_at <= :now) AS ready,
  count(*) FILTER (WHERE died_at IS NULL AND visible_at > :now AND receipt IS NULL) AS delayed,
  count(*) FILTER (WHERE died_at IS NULL AND visible_at > :now AND receipt IS NOT NULL) AS leased,
  count(died_at) AS dead,
  :now - min(visible_at) FILTER (WHERE died_at IS NULL AND visible_at <= :now) AS oldest_ready_s
FROM messages WHERE queue = :queue
"""
_HELD = "WHERE id = :id AND queue = :queue AND receipt = :receipt"
_DEAD = "WHERE id = :id AND queue = :queue AND died_at IS NOT NULL"


class SqliteQueue:
    """One of the queues of a database, by name. A lease is lost once the message is somebody else's, or given back."""

    def __init__(self, database: Database, name: str, clock: Clock, *, max_deliveries: int = 5) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._max_deliveries = max_deliveries
        self._holder = Holder(database.path.with_name("holders"))
        self._look_for_gone_at = -math.inf

    def send(self, body: str, *, delay_s: float = 0.0) -> None:
        """Put a message in, which can be had after the delay."""
        self._write(
            "INSERT INTO messages (queue, body, asked_at, visible_at) VALUES (:queue, :body, :now, :now + :delay_s)",
            body=body,
            delay_s=delay_s,
        )

    def receive(self, *, wait_s: float, visibility_timeout_s: float) -> Message | None:
        """Return a message that nobody else gets until the timeout, waiting for one; None if none came."""
        until = time.monotonic() + wait_s  # which no setting of the clock moves
        self._give_back_what_the_gone_hold()
        while True:
            seen = self._database.changes()
            looked_at = self._clock.now()
            next_at = self._next_at(looked_at)
            if next_at <= looked_at:
                message = self._take(visibility_timeout_s)
                if message is not None:
                    return message
                continue  # somebody else was faster, or it is dead now
            if not self._sleep(seen, looked_at, next_at=next_at, until=until):
                return None

    def extend(self, message: Message, *, visibility_timeout_s: float) -> bool:
        """Hold a message for that long from now; False if the lease was lost."""
        return self._write(
            f"UPDATE messages SET asked_at = :now, visible_at = :now + :timeout_s {_HELD}",  # noqa: S608
            id=message.id,
            receipt=message.receipt,
            timeout_s=visibility_timeout_s,
        )

    def delete(self, message: Message) -> bool:
        """Delete a message; False if the lease was lost (then it stays)."""
        return self._write(f"DELETE FROM messages {_HELD}", id=message.id, receipt=message.receipt)  # noqa: S608

    def release(self, message: Message, *, delay_s: float = 0.0) -> bool:
        """Give a message back, to be had after the delay; False if the lease was lost."""
        return self._write(
            f"UPDATE messages SET receipt = NULL, asked_at = :now, visible_at = :now + :delay_s {_HELD}",  # noqa: S608
            id=message.id,
            receipt=message.receipt,
            delay_s=delay_s,
        )

    def depth(self) -> QueueDepth:
        """Return how many messages there are."""
        (row,) = self._database.read(_DEPTH, {"queue": self._name, "now": self._clock.now()})
        return QueueDepth(**dict(row))

    def dead_letters(self, *, limit: int) -> list[Message]:
        """Return dead messages, oldest first; their receipt is empty."""
        rows = self._database.read(
            "SELECT id, body, deliveries FROM messages WHERE queue = ? AND died_at IS NOT NULL "
            "ORDER BY died_at, id LIMIT ?",
            (self._name, limit),
        )
        return [_message(row, receipt="", deliveries=row["deliveries"]) for row in rows]

    def redrive(self, message_id: str) -> bool:
        """Put a dead message back with no deliveries counted; False if there is none of that id."""
        return self._write(
            f"UPDATE messages SET died_at = NULL, deliveries = 0, asked_at = :now, visible_at = :now {_DEAD}",  # noqa: S608
            id=message_id,
        )

    def discard(self, message_id: str) -> bool:
        """Delete a dead message; False if there is none of that id."""
        return self._write(f"DELETE FROM messages {_DEAD}", id=message_id)  # noqa: S608

    def _write(self, statement: str, **values: Any) -> bool:
        """Run a statement and return whether it found its message."""
        with self._database.writing() as connection:
            # The clock is read when nobody else can write: what is stored is never from another's future.
            values |= {"queue": self._name, "now": self._clock.now()}
            return connection.execute(statement, values).rowcount == 1

    def _next_at(self, now: float) -> float:
        """Return when the next message can be had, as things are: only reading, for that stands in nobody's way."""
        (row,) = self._database.read(_NEXT, {"queue": self._name, "now": now})
        if row["clock_was_set_back"]:
            self._write(_BEGIN_ANEW)
            (row,) = self._database.read(_NEXT, {"queue": self._name, "now": now})
        return math.inf if row["next_at"] is None else row["next_at"]

    def _give_back_what_the_gone_hold(self) -> None:
        """Give back the messages of processes that have ended, looking for such now and then."""
        if time.monotonic() < self._look_for_gone_at:
            return
        self._look_for_gone_at = time.monotonic() + _LOOK_FOR_GONE_EVERY_S
        rows = self._database.read(_HOLDERS, {"queue": self._name, "now": self._clock.now()})
        for holder in [row["holder"] for row in rows]:
            if self._holder.is_gone(holder):
                self._write(_GIVE_BACK, holder=holder)

    def _take(self, visibility_timeout_s: float) -> Message | None:
        holder = self._holder.name
        with self._database.writing() as connection:
            values = {"queue": self._name, "now": self._clock.now()}
            row = connection.execute(_OLDEST_READY, values).fetchone()
            if row is None:
                return None
            if row["deliveries"] >= self._max_deliveries:
                connection.execute(
                    "UPDATE messages SET died_at = :now, receipt = NULL WHERE id = :id", values | {"id": row["id"]}
                )
                return None
            receipt = secrets.token_hex(16)
            lease = {"id": row["id"], "receipt": receipt, "holder": holder, "timeout_s": visibility_timeout_s}
            connection.execute(_LEASE, values | lease)
            return _message(row, receipt=receipt, deliveries=row["deliveries"] + 1)

    def _sleep(self, seen: tuple[int, int], looked_at: float, *, next_at: float, until: float) -> bool:
        """Return True when it is worth looking again, False when the time to wait is over."""
        while (left_s := until - time.monotonic()) > 0:
            now = self._clock.now()
            if self._database.changes() != seen or not looked_at <= now < next_at:
                return True
            self._database.wait_for_commit(seen, timeout_s=min(left_s, _LOOK_EVERY_S, next_at - now))
        return False


def _message(row: sqlite3.Row, *, receipt: str, deliveries: int) -> Message:
    return Message(id=str(row["id"]), body=row["body"], receipt=receipt, deliveries=deliveries)
