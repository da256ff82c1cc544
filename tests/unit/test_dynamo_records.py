"""What of records AWS itself must know."""

from __future__ import annotations

import pytest

from irss_core.adapters.aws.records import DynamoRecords
from irss_core.adapters.aws.table import TTL
from tests.aws_emulator import client
from tests.fakes.clock import FakeClock
from tests.made_tables import made_table


@pytest.fixture
def table() -> str:
    return made_table(client("dynamodb"))


def test_aws_may_delete_a_record_only_after_its_time(table):
    clock = FakeClock()
    records = DynamoRecords(client("dynamodb"), table, clock)
    records.put("key", "text", expires_at=clock.now() + 0.25)
    records.count("counter", expires_at=clock.now() + 60)
    items = client("dynamodb").scan(TableName=table)["Items"]
    assert sorted(int(item[TTL]["N"]) - clock.now() for item in items) == [1, 60]


def test_a_counter_that_is_over_but_not_deleted_yet_starts_anew_for_all_at_once(table):
    clock = FakeClock()
    records = DynamoRecords(client("dynamodb"), table, clock)
    records.count("counter", expires_at=clock.now() + 60)
    clock.advance(60)
    assert [records.count("counter", expires_at=clock.now() + 60) for _ in range(2)] == [1, 2]
    clock.advance(59)
    assert records.get("counter") == "2"
