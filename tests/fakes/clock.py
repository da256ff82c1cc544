"""FakeClock: time that passes when a test says so."""

from __future__ import annotations


class FakeClock:
    """The Clock of tests. It may also be set, forward and back, as real ones are."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def set(self, now: float) -> None:
        self._now = now

    def advance(self, seconds: float) -> None:
        self._now += seconds
