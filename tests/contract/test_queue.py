"""What every Queue holds to. Times are whole seconds, and few: some queues know no shorter ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from irss_core.adapters.aws.queue import SqsQueue
from irss_core.jobs.ports import Message, Queue
from tests.aws_clock import moto_by
from tests.contract.stores import QUEUES
from tests.fakes.clock import FakeClock

TIMEOUT_S = 3


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Queue]:
    with moto_by(clock):
        yield QUEUES[request.param](tmp_path, clock)


@pytest.fixture
def receive(queue: Queue) -> Callable[[], Message | None]:
    return lambda: queue.receive(wait_s=0, visibility_timeout_s=TIMEOUT_S)


@pytest.fixture
def dead(queue: Queue, receive: Callable[[], Message | None], clock: FakeClock) -> Message:
    """A message that was delivered five times and never deleted."""
    queue.send("poison")
    for _ in range(5):
        assert receive() is not None
        clock.advance(TIMEOUT_S + 1)
    assert receive() is None
    (letter,) = queue.dead_letters(limit=10)
    return letter


def test_an_empty_queue_gives_nothing(queue, receive):
    assert receive() is None
    depth = queue.depth()
    assert (depth.ready, depth.delayed, depth.leased, depth.dead, depth.oldest_ready_s) == (0, 0, 0, 0, None)
    assert queue.dead_letters(limit=10) == []


def test_a_message_comes_out_as_it_went_in(queue, receive):
    queue.send("größer ✓ \n")
    message = receive()
    assert (message.body, message.deliveries) == ("größer ✓ \n", 1)
    assert message.receipt


def test_a_leased_message_is_nobody_elses_until_the_timeout(queue, receive, clock):
    queue.send("job")
    first = receive()
    clock.advance(TIMEOUT_S - 1)
    assert receive() is None
    clock.advance(2)
    again = receive()
    assert (again.id, again.body, again.deliveries) == (first.id, "job", 2)
    assert again.receipt != first.receipt


def test_a_deleted_message_never_comes_back(queue, receive, clock):
    queue.send("job")
    assert queue.delete(receive())
    clock.advance(TIMEOUT_S + 1)
    assert receive() is None
    assert queue.depth().dead == 0


def test_who_lost_the_lease_can_neither_delete_nor_extend_nor_release(queue, receive, clock):
    queue.send("job")
    lost = receive()
    clock.advance(TIMEOUT_S + 1)
    held = receive()
    assert not queue.delete(lost)
    assert not queue.extend(lost, visibility_timeout_s=60)
    assert not queue.release(lost)
    clock.advance(TIMEOUT_S - 1)
    assert receive() is None, "the second lease is as it was"
    assert queue.delete(held)


def test_a_deleted_message_is_neither_extended_nor_released(queue, receive):
    queue.send("job")
    message = receive()
    queue.delete(message)
    assert not queue.extend(message, visibility_timeout_s=TIMEOUT_S)
    assert not queue.release(message)
    assert receive() is None


def test_a_heartbeat_holds_the_message_from_now_on(queue, receive, clock):
    queue.send("job")
    message = receive()
    for _ in range(4):
        clock.advance(TIMEOUT_S - 1)
        assert receive() is None
        assert queue.extend(message, visibility_timeout_s=TIMEOUT_S)
    clock.advance(TIMEOUT_S + 1)
    assert receive().deliveries == 2


def test_an_extension_may_also_be_shorter(queue, receive, clock):
    queue.send("job")
    queue.extend(receive(), visibility_timeout_s=1)
    clock.advance(2)
    assert receive() is not None


def test_a_released_message_can_be_had_at_once_and_its_old_lease_is_over(queue, receive):
    queue.send("job")
    released = receive()
    assert queue.release(released)
    again = receive()
    assert (again.id, again.deliveries) == (released.id, 2)
    assert not queue.delete(released)


def test_a_message_released_or_sent_with_a_delay_waits_for_it(queue, receive, clock):
    queue.send("job", delay_s=2)
    assert receive() is None
    clock.advance(1)
    assert receive() is None
    clock.advance(2)
    queue.release(receive(), delay_s=2)
    clock.advance(1)
    assert receive() is None
    clock.advance(2)
    assert receive().deliveries == 2


def test_the_sixth_delivery_does_not_happen(queue, receive, clock):
    queue.send("poison")
    for delivery in range(1, 6):
        message = receive()
        assert message.deliveries == delivery
        queue.release(message)
    assert receive() is None
    (letter,) = queue.dead_letters(limit=10)
    assert (letter.id, letter.body, letter.receipt, letter.deliveries) == (message.id, "poison", "", 5)
    clock.advance(60)
    assert receive() is None


def test_a_dead_message_does_not_stand_before_the_living(queue, receive, clock):
    queue.send("poison")
    for _ in range(5):
        queue.release(receive())
    queue.send("job")
    bodies = []
    for _ in range(2):
        message = receive()
        bodies.append(message and message.body)
    assert "job" in bodies
    assert queue.depth().dead == 1


def test_the_last_of_five_leases_still_holds(queue, receive, clock):
    queue.send("slow")
    for _ in range(4):
        queue.release(receive())
    last = receive()
    assert receive() is None
    assert queue.extend(last, visibility_timeout_s=TIMEOUT_S)
    assert queue.delete(last)
    assert queue.dead_letters(limit=10) == []


def test_a_redriven_message_is_delivered_as_if_new(queue, receive, dead):
    assert queue.redrive(dead.id)
    assert queue.dead_letters(limit=10) == []
    message = receive()
    assert (message.body, message.deliveries) == ("poison", 1)
    assert queue.delete(message)


def test_a_discarded_message_is_gone(queue, receive, dead, clock):
    assert queue.discard(dead.id)
    assert queue.dead_letters(limit=10) == []
    assert not queue.redrive(dead.id)
    clock.advance(60)
    assert receive() is None


def test_only_dead_messages_are_redriven_or_discarded(queue, receive):
    queue.send("alive")
    message = receive()
    for unknown in (message.id, "no such message", "", "-1"):
        assert not queue.redrive(unknown)
        assert not queue.discard(unknown)
    assert queue.delete(message)


def test_dead_letters_come_oldest_first_and_no_more_than_asked_for(queue, receive, clock):
    for body in ("first", "second", "third"):
        queue.send(body)
        for _ in range(5):
            queue.release(receive())
        assert receive() is None
        clock.advance(1)
    assert [letter.body for letter in queue.dead_letters(limit=2)] == ["first", "second"]
    assert len(queue.dead_letters(limit=10)) == 3


def test_the_depth_counts_each_message_once(queue, receive, dead, clock):
    queue.send("leased")
    receive()
    queue.send("ready")
    queue.send("ready too")
    queue.send("delayed", delay_s=60)
    depth = queue.depth()
    assert (depth.ready, depth.delayed, depth.leased, depth.dead) == (2, 1, 1, 1)


def test_the_depth_tells_how_long_the_oldest_has_waited(queue, receive, clock):
    if isinstance(queue, SqsQueue):
        pytest.skip("SQS tells that to CloudWatch only")
    queue.send("leased")
    receive()
    queue.send("ready")
    clock.advance(2)
    queue.send("ready too")
    queue.send("delayed", delay_s=60)
    assert queue.depth().oldest_ready_s == pytest.approx(2)


def test_every_message_is_had_by_exactly_one_of_many_receivers(queue, receive):
    for number in range(40):
        queue.send(str(number))

    def work(_: int) -> list[str]:
        done = []
        while (message := receive()) is not None:
            assert queue.delete(message)
            done.append(message.body)
        return done

    with ThreadPoolExecutor(4) as pool:
        done = [body for bodies in pool.map(work, range(4)) for body in bodies]
    assert sorted(done, key=int) == [str(number) for number in range(40)]


def test_a_waiting_receiver_is_woken_by_a_message(queue):
    threading.Timer(0.1, queue.send, ["job"]).start()
    message = queue.receive(wait_s=20, visibility_timeout_s=TIMEOUT_S)
    assert message is not None
    assert message.body == "job"


def test_a_waiting_receiver_gets_what_becomes_visible_meanwhile(queue, clock):
    queue.send("later", delay_s=2)
    threading.Timer(0.1, clock.advance, [3]).start()
    assert queue.receive(wait_s=20, visibility_timeout_s=TIMEOUT_S) is not None


def test_waiting_ends(queue):
    assert queue.receive(wait_s=0.1, visibility_timeout_s=TIMEOUT_S) is None
