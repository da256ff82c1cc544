"""Queues whose clock is set while messages are on their way, and what is particular to the queues of a database."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.jobs.ports import Message, Queue
from tests.contract.stores import QUEUES
from tests.fakes.clock import FakeClock

JUMP_S = 20 * 60
TIMEOUT_S = 120
YEARS_S = 10 * 365 * 24 * 3600


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def take(queue: Queue) -> Message | None:
    return queue.receive(wait_s=0, visibility_timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("jump_s", [JUMP_S, YEARS_S])
class TestClockSet:
    @pytest.fixture(params=[name for name in QUEUES if name != "sqs"])  # whose clock is AWS's own
    def queue(self, request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Queue:
        return QUEUES[request.param](tmp_path, clock)

    def test_forward_a_lease_ends_early_and_its_holder_is_told(self, queue, clock, jump_s):
        queue.send("job")
        first = take(queue)
        clock.advance(jump_s)
        second = take(queue)
        assert (second.id, second.deliveries) == (first.id, 2)
        assert not queue.extend(first, visibility_timeout_s=TIMEOUT_S)
        assert not queue.delete(first)
        assert queue.delete(second)

    def test_forward_a_holder_that_is_quicker_keeps_its_lease(self, queue, clock, jump_s):
        queue.send("job")
        message = take(queue)
        clock.advance(jump_s)
        assert queue.extend(message, visibility_timeout_s=TIMEOUT_S)
        assert take(queue) is None
        assert queue.delete(message)

    def test_back_a_dead_workers_message_returns_after_the_timeout_at_most(self, queue, clock, jump_s):
        queue.send("job")
        take(queue)  # and dies
        clock.advance(1)
        clock.advance(-jump_s)
        assert take(queue) is None, "it may also be alive: its lease holds"
        clock.advance(TIMEOUT_S - 1)
        assert take(queue) is None
        clock.advance(1)
        assert take(queue).deliveries == 2

    def test_back_a_holder_keeps_its_lease(self, queue, clock, jump_s):
        queue.send("job")
        message = take(queue)
        clock.advance(-jump_s)
        for _ in range(4):
            clock.advance(TIMEOUT_S - 1)
            assert queue.extend(message, visibility_timeout_s=TIMEOUT_S)
            assert take(queue) is None
        assert queue.delete(message)

    def test_back_a_message_without_a_delay_is_had_at_once(self, queue, clock, jump_s):
        queue.send("job")
        clock.advance(-jump_s)
        assert take(queue) is not None

    def test_back_a_delayed_message_waits_for_its_delay_at_most(self, queue, clock, jump_s):
        queue.send("sent", delay_s=60)
        queue.send("released")
        queue.release(take(queue), delay_s=60)
        clock.advance(-jump_s)
        assert take(queue) is None
        clock.advance(60)
        assert {take(queue).body, take(queue).body} == {"sent", "released"}

    def test_back_and_forth_loses_nothing(self, queue, clock, jump_s):
        for number in range(6):
            queue.send(str(number), delay_s=10 * (number % 2))
        held = [take(queue), take(queue)]
        for step in (-jump_s, jump_s, jump_s, -2 * jump_s, jump_s):
            clock.advance(step)
            held.append(take(queue))
        for _ in range(2):
            clock.advance(TIMEOUT_S)
            while (message := take(queue)) is not None:
                held.append(message)
                assert queue.delete(message)
        assert {message.body for message in held if message} == {str(number) for number in range(6)}
        depth = queue.depth()
        assert (depth.ready, depth.delayed, depth.leased, depth.dead) == (0, 0, 0, 0)

    def test_back_while_somebody_waits_is_noticed(self, queue, clock, jump_s):
        queue.send("job", delay_s=60)
        threading.Timer(0.1, clock.advance, [-jump_s]).start()
        threading.Timer(0.3, clock.advance, [60]).start()  # 60 s on from the jump, but long before the stored time
        assert queue.receive(wait_s=20, visibility_timeout_s=TIMEOUT_S) is not None


class CountingDatabase(Database):
    """Counts how often it is asked."""

    asked = 0

    def read(self, sql, values=()):
        self.asked += 1
        return super().read(sql, values)


class TestSharedDatabase:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "jobs.sqlite3"

    def test_queues_of_one_database_do_not_mix(self, path, clock):
        database = Database(path)
        work, mails = (SqliteQueue(database, name, clock, max_deliveries=1) for name in ("work", "mails"))
        work.send("job")
        message = take(work)
        assert take(mails) is None
        assert not mails.delete(message)
        assert not mails.extend(message, visibility_timeout_s=1)
        work.release(message)
        assert take(work) is None, "one delivery is all that this queue allows"
        (letter,) = work.dead_letters(limit=10)
        assert mails.dead_letters(limit=10) == []
        assert not mails.redrive(letter.id)
        assert not mails.discard(letter.id)
        assert (work.depth().dead, mails.depth().dead) == (1, 0)
        assert work.redrive(letter.id)

    def test_the_number_of_a_deleted_message_is_not_used_again(self, path, clock):
        queue = SqliteQueue(Database(path), "work", clock)
        numbers = set()
        for _ in range(3):
            queue.send("job")
            message = take(queue)
            numbers.add(message.id)
            queue.delete(message)
        assert len(numbers) == 3

    def test_a_message_outlives_the_process(self, path, clock):
        SqliteQueue(Database(path), "work", clock).send("job")
        assert take(SqliteQueue(Database(path), "work", clock)).body == "job"

    def test_anothers_message_wakes_a_waiting_receiver(self, path):
        waiting = SqliteQueue(Database(path), "work", SystemClock())
        sent_at = []

        def send() -> None:
            SqliteQueue(Database(path), "work", SystemClock()).send("job")  # wakes nobody: as another process
            sent_at.append(time.monotonic())

        threading.Timer(0.3, send).start()
        assert waiting.receive(wait_s=20, visibility_timeout_s=TIMEOUT_S) is not None
        assert time.monotonic() - sent_at[0] < 5, "0.08 s and what a busy machine adds, not the 20"

    def test_a_delay_that_ends_wakes_a_waiting_receiver(self, path):
        queue = SqliteQueue(Database(path), "work", SystemClock())
        queue.send("job", delay_s=0.2)
        before = time.monotonic()
        assert queue.receive(wait_s=20, visibility_timeout_s=TIMEOUT_S) is not None
        assert 0.15 < time.monotonic() - before < 10

    def test_who_waits_asks_a_few_times_a_second(self, path):
        database = CountingDatabase(path)
        queue = SqliteQueue(database, "work", SystemClock())
        queue.send("not yet", delay_s=60)
        database.asked = 0
        assert queue.receive(wait_s=0.5, visibility_timeout_s=TIMEOUT_S) is None
        assert database.asked <= 12
