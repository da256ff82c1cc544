"""What every Records holds to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from irss_core.jobs.ports import Records
from tests.contract.stores import RECORDS
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=RECORDS)
def records(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Records:
    return RECORDS[request.param](tmp_path, clock)


def test_what_is_put_is_there_until_its_time_is_over(records, clock):
    assert records.get("code:ann") is None
    assert records.put("code:ann", "Grüße, 123456", expires_at=clock.now() + 60)
    clock.advance(59)
    assert records.get("code:ann") == "Grüße, 123456"
    clock.advance(1)
    assert records.get("code:ann") is None


def test_put_replaces_only_what_it_names(records, clock):
    later = clock.now() + 60
    assert records.put("key", "first", expires_at=later)
    assert not records.put("key", "second", expires_at=later), "something is there"
    assert not records.put("key", "second", expires_at=later, replacing="other")
    assert records.get("key") == "first"
    assert records.put("key", "second", expires_at=later, replacing="first")
    assert records.get("key") == "second"
    assert not records.put("none", "first", expires_at=later, replacing="second"), "nothing is there"
    assert records.get("none") is None


def test_what_is_over_counts_as_nothing_for_put(records, clock):
    records.put("key", "first", expires_at=clock.now() + 60)
    clock.advance(60)
    assert not records.put("key", "second", expires_at=clock.now() + 60, replacing="first")
    assert records.put("key", "second", expires_at=clock.now() + 60)
    assert records.get("key") == "second"


def test_a_replacement_has_its_own_end(records, clock):
    records.put("key", "first", expires_at=clock.now() + 60)
    records.put("key", "second", expires_at=clock.now() + 600, replacing="first")
    clock.advance(300)
    assert records.get("key") == "second"


def test_a_counter_ends_as_it_was_begun_and_then_starts_anew(records, clock):
    assert [records.count("sent:ann", expires_at=clock.now() + 60) for _ in range(3)] == [1, 2, 3]
    clock.advance(59)
    assert records.count("sent:ann", expires_at=clock.now() + 60) == 4, "the last second of the first one's time"
    clock.advance(1)
    assert records.count("sent:ann", expires_at=clock.now() + 60) == 1
    assert records.get("sent:ann") == "1"
    assert records.count("sent:bob", expires_at=clock.now() + 60) == 1


def test_a_counter_may_count_more_than_one_at_a_time_and_back(records, clock):
    amounts = (20_000_000_000, 5, -5)
    assert [records.count("bytes", expires_at=clock.now() + 60, amount=each) for each in amounts] == [
        20_000_000_000, 20_000_000_005, 20_000_000_000,
    ]  # fmt: skip


def test_delete_takes_away_what_is_there(records, clock):
    records.put("key", "text", expires_at=clock.now() + 60)
    records.put("other", "text", expires_at=clock.now() + 60)
    records.delete("key")
    records.delete("key")
    assert (records.get("key"), records.get("other")) == (None, "text")


def test_expire_deletes_what_is_over_and_counts_it(records, clock):
    for seconds in (10, 20, 30):
        records.put(f"ends after {seconds}", "text", expires_at=clock.now() + seconds)
    clock.advance(20)
    assert records.expire() == 2
    assert records.expire() == 0
    assert records.get("ends after 30") == "text"


def test_of_many_at_once_one_puts_and_each_is_counted(records, clock):
    later = clock.now() + 60

    def take(number: int) -> tuple[bool, int]:
        return records.put("once", str(number), expires_at=later), records.count("all", expires_at=later)

    with ThreadPoolExecutor(8) as pool:
        put, counted = zip(*pool.map(take, range(24)), strict=True)
    assert sum(put) == 1
    assert sorted(counted) == list(range(1, 25))
