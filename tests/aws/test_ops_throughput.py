"""Workers against a queue, simulated: held against what was computed by hand."""

from __future__ import annotations

import pytest

from aws.ops.throughput import LAUNCHED_A_MINUTE, MOST_IN_FLIGHT, Pace, launch_delay_s, simulate
from irss_core.errors import InvalidOptionError

PACE = Pace(picture_s=9.5, receive_s=0.5, start_s=100.0)  # 10 s from picture to picture


@pytest.mark.parametrize(
    ("pictures", "workers", "seconds"),
    [
        (1, 1, 110.0),
        (7, 1, 170.0),
        (7, 2, 140.0),  # four rounds, the last one half empty
        (8, 2, 140.0),
        (7, 7, 110.0),
        (7, 50, 110.0),  # more workers than pictures are of no use
    ],
)
def test_all_are_done_after(pictures: int, workers: int, seconds: float) -> None:
    assert simulate(pictures=pictures, workers=workers, pace=PACE).seconds == pytest.approx(seconds)


def test_pictures_an_hour_count_the_start() -> None:
    assert simulate(pictures=26, workers=1, pace=PACE).pictures_per_hour == pytest.approx(26 / 360 * 3600)


def test_what_is_paid_and_how_much_of_it_is_work() -> None:
    # Two workers, three pictures: one works for 20 s, the other for 10, each after 100 s of starting.
    run = simulate(pictures=3, workers=2, pace=PACE)
    assert run.worker_seconds == pytest.approx(120 + 110)
    assert run.busy_share == pytest.approx(3 * 9.5 / 230)


def test_twice_as_many_workers_are_nearly_twice_as_fast_until_the_start_counts() -> None:
    alone, eight, many = (simulate(pictures=800, workers=number, pace=PACE).seconds for number in (1, 8, 800))
    assert alone == pytest.approx(8100)
    assert eight == pytest.approx(1100)
    assert many == pytest.approx(120)  # 300 workers are launched a minute later, when others have done their work


def test_ecs_launches_so_many_a_minute() -> None:
    assert [launch_delay_s(number) for number in (0, LAUNCHED_A_MINUTE - 1, LAUNCHED_A_MINUTE)] == [0.0, 0.0, 60.0]


def test_sqs_lets_only_so_many_be_held() -> None:
    pace = Pace(picture_s=1e6, receive_s=0.0, start_s=0.0)  # so long that launching hardly counts
    held = simulate(pictures=MOST_IN_FLIGHT + 1, workers=MOST_IN_FLIGHT + 1, pace=pace)
    assert held.seconds == pytest.approx(2e6)  # the one too many waits for a whole round


@pytest.mark.parametrize(("pictures", "workers"), [(0, 1), (1, 0), (1_000_001, 1)])
def test_impossible_amounts_are_refused(pictures: int, workers: int) -> None:
    with pytest.raises(InvalidOptionError):
        simulate(pictures=pictures, workers=workers, pace=PACE)
