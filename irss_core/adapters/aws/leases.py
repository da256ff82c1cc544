"""Leases: until when this process holds the messages it took from SQS, which SQS itself does not say surely."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

LONGEST_S = 43_200  # that SQS leaves a message with one receiver, however often it is extended
_ON_THE_WAY_S = 0.5  # SQS counts from when it gives a message, not from when that is here


@dataclass(frozen=True)
class _Lease:
    taken_at: float
    ends_at: float


class Leases:
    """What is known of leases by their receipts, for any number of threads.

    SQS may take an old receipt for a message that somebody else has by now, and delete it under them, or say that it
    did and not have done it. So a lease that was taken here is lost as soon as its time is over, also where nobody else
    has the message yet. Of one that was taken elsewhere, by Lambda, only SQS knows.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._leases: dict[str, _Lease] = {}

    def take(self, receipt: str, *, seconds: float) -> None:
        """Note a lease that was given just now."""
        now = self._elapsed()
        for old in [each for each, lease in list(self._leases.items()) if lease.taken_at + LONGEST_S < now]:
            self._leases.pop(old, None)
        self._leases[receipt] = _Lease(now, now + seconds - _ON_THE_WAY_S)

    def extend(self, receipt: str, *, since: float, seconds: float) -> None:
        """Note that a lease holds for that long from ``since``, when it was asked for."""
        if lease := self._leases.get(receipt):
            self._leases[receipt] = replace(lease, ends_at=since + seconds)

    def end(self, receipt: str) -> None:
        """Note that a lease is over."""
        if lease := self._leases.get(receipt):
            self._leases[receipt] = replace(lease, ends_at=lease.taken_at)

    def is_lost(self, receipt: str) -> bool:
        """Whether a lease that was taken here is over."""
        lease = self._leases.get(receipt)
        return lease is not None and self._elapsed() >= lease.ends_at

    def now(self) -> float:
        """Return the time that leases go by."""
        return self._elapsed()
