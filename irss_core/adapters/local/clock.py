"""SystemClock: the time of day of this machine."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock, which its owner or a time server may set at any moment."""

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return time.time()
