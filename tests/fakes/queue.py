"""MemoryQueue: the Queue in a dict."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from irss_core.jobs.ports import Clock, Message, QueueDepth

_LOOK_EVERY_S = 0.02  # at the clock, which tests move


@dataclass
class _Entry:
    body: str
    asked_at: float
    visible_at: float
    deliveries: int = 0
    receipt: str | None = None


class MemoryQueue:
    def __init__(self, clock: Clock, *, max_deliveries: int = 5) -> None:
        self._clock = clock
        self._max_deliveries = max_deliveries
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._alive: dict[str, _Entry] = {}
        self._dead: dict[str, _Entry] = {}  # oldest first

    def send(self, body: str, *, delay_s: float = 0.0) -> None:
        with self._changed:
            now = self._clock.now()
            self._alive[str(next(self._numbers))] = _Entry(body, asked_at=now, visible_at=now + delay_s)
            self._changed.notify_all()

    def receive(self, *, wait_s: float, visibility_timeout_s: float) -> Message | None:
        until = time.monotonic() + wait_s
        with self._changed:
            while True:
                message = self._take(visibility_timeout_s)
                left_s = until - time.monotonic()
                if message is not None or left_s <= 0:
                    return message
                self._changed.wait(min(left_s, _LOOK_EVERY_S))

    def extend(self, message: Message, *, visibility_timeout_s: float) -> bool:
        def extended(entry: _Entry) -> None:
            entry.asked_at, entry.visible_at = self._clock.now(), self._clock.now() + visibility_timeout_s

        return self._if_held(message, extended)

    def delete(self, message: Message) -> bool:
        return self._if_held(message, lambda _: self._alive.pop(message.id))

    def release(self, message: Message, *, delay_s: float = 0.0) -> bool:
        def released(entry: _Entry) -> None:
            entry.receipt = None
            entry.asked_at, entry.visible_at = self._clock.now(), self._clock.now() + delay_s

        return self._if_held(message, released)

    def depth(self) -> QueueDepth:
        with self._changed:
            now = self._clock.now()
            ready = [entry for entry in self._alive.values() if entry.visible_at <= now]
            waiting = [entry for entry in self._alive.values() if entry.visible_at > now]
            return QueueDepth(
                ready=len(ready),
                delayed=sum(entry.receipt is None for entry in waiting),
                leased=sum(entry.receipt is not None for entry in waiting),
                dead=len(self._dead),
                oldest_ready_s=max((now - entry.visible_at for entry in ready), default=None),
            )

    def dead_letters(self, *, limit: int) -> list[Message]:
        with self._changed:
            letters = list(self._dead.items())[:limit]
            return [Message(id=key, body=entry.body, receipt="", deliveries=entry.deliveries) for key, entry in letters]

    def redrive(self, message_id: str) -> bool:
        with self._changed:
            entry = self._dead.pop(message_id, None)
            if entry is None:
                return False
            now = self._clock.now()
            self._alive[message_id] = _Entry(entry.body, asked_at=now, visible_at=now)
            self._changed.notify_all()
            return True

    def discard(self, message_id: str) -> bool:
        with self._changed:
            return self._dead.pop(message_id, None) is not None

    def _take(self, visibility_timeout_s: float) -> Message | None:
        now = self._clock.now()
        for entry in self._alive.values():
            if entry.asked_at > now:  # the clock was set back
                entry.asked_at, entry.visible_at = now, now + entry.visible_at - entry.asked_at
        for key, entry in sorted(self._alive.items(), key=lambda each: each[1].visible_at):
            if entry.visible_at > now:
                return None
            if entry.deliveries >= self._max_deliveries:
                entry.receipt = None
                self._dead[key] = self._alive.pop(key)
                continue
            entry.deliveries += 1
            entry.receipt = f"{key}.{entry.deliveries}.{next(self._numbers)}"
            entry.asked_at, entry.visible_at = now, now + visibility_timeout_s
            return Message(id=key, body=entry.body, receipt=entry.receipt, deliveries=entry.deliveries)
        return None

    def _if_held(self, message: Message, change: Callable[[_Entry], object]) -> bool:
        with self._changed:
            entry = self._alive.get(message.id)
            if entry is None or entry.receipt != message.receipt:
                return False
            change(entry)
            self._changed.notify_all()
            return True
