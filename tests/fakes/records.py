"""MemoryRecords: the Records in a dict."""

from __future__ import annotations

import threading

from irss_core.jobs.ports import Clock


class MemoryRecords:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: dict[str, tuple[str, float]] = {}  # text, when it is over

    def get(self, key: str) -> str | None:
        with self._lock:
            value, expires_at = self._entries.get(key, ("", 0.0))
            return value if expires_at > self._clock.now() else None

    def put(self, key: str, value: str, *, expires_at: float, replacing: str | None = None) -> bool:
        with self._lock:
            if self.get(key) != replacing:
                return False
            self._entries[key] = (value, expires_at)
            return True

    def count(self, key: str, *, expires_at: float, amount: int = 1) -> int:
        with self._lock:
            before = self.get(key)
            if before is not None:
                expires_at = self._entries[key][1]
            after = int(before or 0) + amount
            self._entries[key] = (str(after), expires_at)
            return after

    def delete(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def expire(self) -> int:
        with self._lock:
            over = [key for key, (_, expires_at) in self._entries.items() if expires_at <= self._clock.now()]
            for key in over:
                del self._entries[key]
            return len(over)
