"""Progress, its time left, and cancelling."""

from __future__ import annotations

import pytest

from irss_core.errors import CancelledError
from irss_core.progress import CancelToken, ProgressMeter, ProgressUpdate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_from_the_rate_so_far() -> None:
    clock, seen = Clock(), list[ProgressUpdate]()
    meter = ProgressMeter(10, "tiles", callback=seen.append, clock=clock)
    clock.now += 4
    meter.advance(2)
    assert seen[0] == ProgressUpdate(0, 10, "tiles", 0, None)
    assert seen[1] == ProgressUpdate(2, 10, "tiles", 4, 16)
    assert (seen[1].fraction, seen[1].rate) == (0.2, 0.5)


def test_unknown_total_has_a_rate_but_no_time_left() -> None:
    clock, seen = Clock(), list[ProgressUpdate]()
    meter = ProgressMeter(None, "frames", callback=seen.append, clock=clock)
    clock.now += 2
    meter.advance()
    assert (seen[1].fraction, seen[1].remaining_s, seen[1].rate) == (None, None, 0.5)


def test_more_done_than_announced_is_not_over_one() -> None:
    seen = list[ProgressUpdate]()
    ProgressMeter(2, "frames", callback=seen.append).advance(3)
    assert seen[-1].fraction == 1
    assert seen[-1].remaining_s == 0


def test_cancel_raises_after_the_step_was_reported() -> None:
    token, seen = CancelToken(), list[ProgressUpdate]()
    meter = ProgressMeter(3, "tiles", callback=seen.append, cancel=token)
    meter.advance()
    token.cancel()
    with pytest.raises(CancelledError):
        meter.advance()
    assert seen[-1].done == 2
    with pytest.raises(CancelledError):
        meter.check()
