"""How often may be submitted, by whom, and what is said to who did so too often."""

from __future__ import annotations

import pytest

from irss_core.config import Settings
from irss_core.errors import RateLimitedError
from irss_core.jobs.identity import Owner
from irss_core.jobs.limits import JobLimits, admit_submission, admit_upload, count, network_of
from tests import made_submissions
from tests.fakes.clock import FakeClock
from tests.fakes.job_store import MemoryJobStore
from tests.fakes.records import MemoryRecords

HOUR_S, DAY_S = 3600.0, 24 * 3600.0
ANA, EVE = Owner("a" * 64, "ana@example.org"), Owner("e" * 64, "eve@example.org")


class Gate:
    """The limits over fakes, at the beginning of an hour."""

    def __init__(self) -> None:
        self.clock = FakeClock(1_800_000_000.0 // DAY_S * DAY_S)
        self.store, self.records = MemoryJobStore(), MemoryRecords(self.clock)

    def admit(self, owner: Owner = ANA, network: str | None = "one", **limits: int) -> None:
        admit_submission(
            owner,
            network=network,
            limits=JobLimits(**limits),
            store=self.store,
            records=self.records,
            now=self.clock.now(),
        )


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_the_limits_are_those_of_the_settings() -> None:
    settings, limits = Settings(), JobLimits()
    assert limits == JobLimits(
        max_files=settings.max_batch_files,
        max_image_bytes=settings.max_image_bytes,
        max_clip_bytes=settings.max_clip_bytes,
        submissions_per_hour=settings.submissions_per_hour,
        submissions_per_day=settings.submissions_per_day,
        submissions_in_flight=settings.submissions_in_flight,
        upload_bytes_per_day=settings.upload_bytes_per_day,
        keep_inputs_s=settings.keep_inputs_days * DAY_S,
        keep_results_s=settings.keep_results_days * DAY_S,
    )


def test_so_many_bytes_a_day_are_taken_of_one_person(gate: Gate) -> None:
    limits = JobLimits(upload_bytes_per_day=1000)

    def upload(size_bytes: int, owner: Owner = ANA) -> None:
        admit_upload(owner, size_bytes, limits=limits, records=gate.records, now=gate.clock.now())

    upload(600)
    with pytest.raises(RateLimitedError, match=r"1,000 bytes a day .*IRSS_UPLOAD_BYTES_PER_DAY.* 24 hours") as caught:
        upload(401)
    assert caught.value.retry_after_s == DAY_S
    upload(400)  # what was refused does not count
    with pytest.raises(RateLimitedError):
        upload(1)
    upload(1000, EVE)
    gate.clock.advance(DAY_S)
    upload(1000)


def test_ten_submissions_an_hour_are_taken_from_a_network(gate: Gate) -> None:
    gate.clock.advance(600)
    for number in range(10):
        gate.admit(Owner(str(number), ""))
    with pytest.raises(RateLimitedError, match=r"At most 10 .* one network address.*in 50 minutes") as caught:
        gate.admit(EVE)
    assert caught.value.retry_after_s == 3000
    gate.admit(EVE, network="another")
    for number in range(20):
        gate.admit(Owner(f"local {number}", ""), network=None)  # the command line of this machine
    gate.clock.advance(caught.value.retry_after_s)
    gate.admit(EVE)


def test_twenty_submissions_a_day_are_taken_of_a_person(gate: Gate) -> None:
    for hour in range(20):
        gate.admit(network=str(hour))
        gate.clock.advance(HOUR_S)
    with pytest.raises(RateLimitedError, match=r"At most 20 .* one person.*in 4 hours") as caught:
        gate.admit(network=None)
    assert caught.value.retry_after_s == 4 * HOUR_S
    gate.admit(EVE)
    gate.clock.advance(caught.value.retry_after_s)
    gate.admit()


def test_five_submissions_of_a_person_may_be_in_work(gate: Gate) -> None:
    for _ in range(4):
        made_submissions.stored_batch(gate.store, owner=ANA.key)
    gate.admit()
    _, (job,) = made_submissions.stored_batch(gate.store, owner=ANA.key)
    with pytest.raises(RateLimitedError, match="5 of your submissions are still in work") as caught:
        gate.admit()
    assert caught.value.retry_after_s > 0
    gate.admit(EVE)
    gate.store.settle(job, made_submissions.done(job))
    gate.admit()


def test_who_is_turned_away_uses_nothing_up(gate: Gate) -> None:
    for _ in range(2):
        made_submissions.stored_batch(gate.store, owner=ANA.key)
    for _ in range(3):
        with pytest.raises(RateLimitedError, match="in work"):
            gate.admit(submissions_in_flight=2, submissions_per_hour=1, submissions_per_day=1)
    gate.admit(submissions_per_hour=1, submissions_per_day=1)


def test_a_counter_begins_anew_in_the_next_window(gate: Gate) -> None:
    def once() -> None:
        count(gate.records, "x", most=1, window_s=60, now=gate.clock.now(), what="things a minute are done")

    gate.clock.advance(59)
    once()
    with pytest.raises(RateLimitedError, match=r"At most 1 things a minute .* again in 1 minute\.") as caught:
        once()
    assert caught.value.retry_after_s == 1
    gate.clock.advance(1)
    once()


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_behind_an_ipv6_network_is_one_household(ip: str, network: str) -> None:
    assert network_of(ip) == network
