"""Random interleavings of a queue's users, on every Queue: nothing lost, nothing held twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from irss_core.jobs.ports import Message, Queue
from tests.aws_clock import moto_by
from tests.contract.stores import QUEUES
from tests.fakes.clock import FakeClock

JUMP_S = 1200
LONGEST_S = 9
MAX_DELIVERIES = 5
ELSEWHERE = {"sqs"}  # the queues whose clock nobody here sets, and whose leases are lost at their end

durations = st.integers(1, LONGEST_S)
delays = st.sampled_from([0, 0, 2, LONGEST_S])
picks = st.integers(0, 10**6)


@dataclass
class Expected:
    """What must hold of a message. Times are true ones, which only pass; the queue sees a clock that is also set."""

    waits_s: int  # the lease or delay last asked for
    earliest: float  # nobody gets it before
    latest: float | None  # it can surely be had then; None: not known until the queue has seen the clock set back
    deliveries: int = 0
    holder: str | None = None  # the receipt of the last lease, until it is given back
    dead: bool = False


class QueueUsers(RuleBasedStateMachine):
    """Any number of senders, receivers and operators, none of whom knows of the others."""

    def __init__(self, make: Callable[[FakeClock], Queue], *, elsewhere: bool) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.moto = moto_by(self.clock)
        self.moto.__enter__()
        self.queue = make(self.clock)
        self.elsewhere = elsewhere
        self.time = 0.0
        self.expected: dict[str, Expected] = {}  # by body; what was deleted is not in it
        self.leases: list[Message] = []
        self.bodies = itertools.count()

    @rule(delay_s=delays)
    def send(self, delay_s: int) -> None:
        body = str(next(self.bodies))
        self.queue.send(body, delay_s=delay_s)
        self.expected[body] = Expected(delay_s, self.time + delay_s, self.time + delay_s)

    @rule(timeout_s=durations)
    def receive(self, timeout_s: int) -> None:
        self.take(timeout_s)

    def take(self, timeout_s: int) -> Message | None:
        for entry in self.expected.values():
            if entry.latest is None:
                entry.latest = self.time + entry.waits_s
        message = self.queue.receive(wait_s=0, visibility_timeout_s=timeout_s)
        self.note_the_dead()
        if message is None:
            overdue = [body for body, entry in self.alive().items() if entry.latest <= self.time]
            assert not overdue, "they can be had, and nobody gets them"
            return None
        entry = self.expected[message.body]
        assert not entry.dead
        assert entry.earliest <= self.time, "it is somebody else's, or not to be had yet"
        entry.deliveries += 1
        assert message.deliveries == entry.deliveries <= MAX_DELIVERIES
        assert message.receipt not in [lease.receipt for lease in self.leases]
        self.wait_from_now(entry, timeout_s)
        entry.holder = message.receipt
        self.leases.append(message)
        return message

    @precondition(lambda self: self.leases)
    @rule(pick=picks, timeout_s=durations)
    def extend(self, pick: int, timeout_s: int) -> None:
        message, holds = self.lease(pick)
        assert self.queue.extend(message, visibility_timeout_s=timeout_s) is holds
        if holds:
            self.wait_from_now(self.expected[message.body], timeout_s)

    @precondition(lambda self: self.leases)
    @rule(pick=picks, delay_s=delays)
    def release(self, pick: int, delay_s: int) -> None:
        message, holds = self.lease(pick)
        assert self.queue.release(message, delay_s=delay_s) is holds
        if holds:
            self.wait_from_now(self.expected[message.body], delay_s)
            self.expected[message.body].holder = None

    @precondition(lambda self: self.leases)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        message, holds = self.lease(pick)
        assert self.queue.delete(message) is holds
        if holds:
            del self.expected[message.body]

    @rule(seconds=st.integers(1, LONGEST_S))
    def time_passes(self, seconds: int) -> None:
        self.time += seconds
        self.clock.advance(seconds)

    @precondition(lambda self: not self.elsewhere)
    @rule()
    def the_clock_is_set_forward(self) -> None:
        self.clock.advance(JUMP_S)
        for entry in self.expected.values():
            entry.earliest -= JUMP_S

    @precondition(lambda self: not self.elsewhere)
    @rule()
    def the_clock_is_set_back(self) -> None:
        self.clock.advance(-JUMP_S)
        for entry in self.expected.values():
            entry.latest = None

    @rule()
    def a_poisoned_message_wears_out_its_receivers(self) -> None:
        for _ in range(MAX_DELIVERIES + 1):
            message = self.take(LONGEST_S)
            if message is not None:
                self.release(len(self.leases) - 1, 0)

    @rule(timeout_s=durations)
    def a_receiver_comes_back_too_late(self, timeout_s: int) -> None:
        late = len(self.leases)
        if self.take(timeout_s) is not None:
            self.time_passes(timeout_s + 1)
            self.take(LONGEST_S)
            self.extend(late, timeout_s)
            self.delete(late)

    @precondition(lambda self: len(self.alive()) < len(self.expected))
    @rule(pick=picks)
    def redrive(self, pick: int) -> None:
        letter = self.letter(pick)
        assert self.queue.redrive(letter.id)
        self.expected[letter.body] = Expected(0, self.time, self.time)

    @precondition(lambda self: len(self.alive()) < len(self.expected))
    @rule(pick=picks)
    def discard(self, pick: int) -> None:
        letter = self.letter(pick)
        assert self.queue.discard(letter.id)
        del self.expected[letter.body]

    @invariant()
    def every_message_is_counted_once(self) -> None:
        depth = self.queue.depth()
        assert depth.ready + depth.delayed + depth.leased == len(self.alive())
        assert depth.dead == len(self.expected) - len(self.alive())

    def teardown(self) -> None:
        try:
            self.nothing_is_stuck()
        finally:
            self.moto.__exit__(None, None, None)

    def nothing_is_stuck(self) -> None:
        """Whatever happened: after the longest wait every message can be had, or is dead."""
        if not self.expected:
            return
        self.receive(1)  # by somebody who dies
        self.time_passes(LONGEST_S + 1)
        while (message := self.take(LONGEST_S)) is not None:
            assert self.queue.delete(message)
            del self.expected[message.body]
        assert not self.alive()
        self.every_message_is_counted_once()

    def alive(self) -> dict[str, Expected]:
        return {body: entry for body, entry in self.expected.items() if not entry.dead}

    def lease(self, pick: int) -> tuple[Message, bool]:
        """Some lease of all that ever were, and whether it still holds."""
        message = self.leases[pick % len(self.leases)]
        entry = self.expected.get(message.body)
        holds = entry is not None and not entry.dead and entry.holder == message.receipt
        return message, holds and not (self.elsewhere and entry.latest <= self.time)

    def letter(self, pick: int) -> Message:
        letters = self.queue.dead_letters(limit=100)
        letter = letters[pick % len(letters)]
        assert self.expected[letter.body].dead
        assert letter.deliveries == MAX_DELIVERIES
        return letter

    def wait_from_now(self, entry: Expected, seconds: int) -> None:
        entry.waits_s, entry.earliest, entry.latest = seconds, self.time + seconds, self.time + seconds

    def note_the_dead(self) -> None:
        if all(entry.deliveries < MAX_DELIVERIES for entry in self.alive().values()):
            return
        for letter in self.queue.dead_letters(limit=100):
            entry = self.expected[letter.body]
            if not entry.dead:
                assert entry.deliveries == MAX_DELIVERIES
                assert entry.earliest <= self.time, "its last holder may be at it"
                entry.dead = True


@pytest.mark.parametrize("name", QUEUES)
def test_nothing_is_lost_and_nothing_is_held_twice(name: str, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in itertools.count())
    run_state_machine_as_test(
        lambda: QueueUsers(lambda clock: QUEUES[name](next(folders), clock), elsewhere=name in ELSEWHERE),
        settings=settings(
            # A question to a server takes its time: fewer are asked, and a failure is shown as it was found.
            max_examples=8 if name in ELSEWHERE else 25,
            phases=[Phase.generate] if name in ELSEWHERE else list(Phase),
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
        ),
    )
