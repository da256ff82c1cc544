"""The queue in SQS: its limits, its topic, leases that nobody here took, and dead letters that are only looked at."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from irss_core.adapters.aws.leases import LONGEST_S, Leases
from irss_core.adapters.aws.queue import SnsTopic, SqsQueue
from irss_core.errors import StoreUnavailableError
from irss_core.jobs.ports import Message
from tests.aws_clock import moto_by
from tests.aws_emulator import client
from tests.fakes.clock import FakeClock
from tests.made_sqs import MadeQueue, made_queue

TIMEOUT_S = 3


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    clock = FakeClock()
    with moto_by(clock):
        yield clock


@pytest.fixture
def made(clock: FakeClock) -> MadeQueue:
    return made_queue()


@pytest.fixture
def queue(made: MadeQueue, clock: FakeClock) -> SqsQueue:
    return made.by(clock.now)


def receive(queue: SqsQueue) -> Message | None:
    return queue.receive(wait_s=0, visibility_timeout_s=TIMEOUT_S)


def got(queue: SqsQueue) -> Message:
    message = receive(queue)
    assert message is not None
    return message


def let_die(queue: SqsQueue, *bodies: str) -> None:
    for body in bodies:
        queue.send(body)
    while (message := receive(queue)) is not None:
        queue.release(message)


class Told:
    """A client that notes what it is asked, and answers with an error, or as another one does, or with nothing."""

    def __init__(self, *, error: Exception | None = None, real: Any = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error = error
        self._real = real

    def __getattr__(self, name: str) -> Any:
        def call(**values: Any) -> Any:
            self.asked.append(values)
            if self.error is not None:
                raise self.error
            return getattr(self._real, name)(**values) if self._real else {}

        return call


def refusal(code: str, status: int = 400) -> ClientError:
    error = {"Error": {"Code": code, "Message": "No."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "Any")  # type: ignore[arg-type]


def over(told: Told) -> SqsQueue:
    return SqsQueue(told, url="https://sqs.test/work", dead_letters_url="https://sqs.test/dead")


LEASED = Message(id="1", body="job", receipt="of Lambda", deliveries=1)


# --- SQS's limits ---


@pytest.mark.parametrize(
    ("wait_s", "timeout_s", "asked"),
    [(0, 3, (0, 3)), (0.2, 2.1, (1, 3)), (20, LONGEST_S, (20, LONGEST_S)), (60, LONGEST_S + 1, (20, LONGEST_S))],
)
def test_times_are_rounded_up_and_cut_to_the_longest(wait_s: float, timeout_s: float, asked: tuple[int, int]) -> None:
    told = Told()
    assert over(told).receive(wait_s=wait_s, visibility_timeout_s=timeout_s) is None
    assert (told.asked[0]["WaitTimeSeconds"], told.asked[0]["VisibilityTimeout"]) == asked


def test_a_longer_delay_than_sqs_has_is_cut_to_it(queue: SqsQueue, clock: FakeClock) -> None:
    queue.send("job", delay_s=3600)
    clock.advance(899)
    assert receive(queue) is None
    clock.advance(2)
    assert got(queue).body == "job"


def test_a_lease_that_would_last_for_more_than_12_hours_is_not_extended_and_goes_on(
    queue: SqsQueue, clock: FakeClock
) -> None:
    queue.send("job")
    message = got(queue)
    clock.advance(1)
    assert not queue.extend(message, visibility_timeout_s=LONGEST_S)
    assert queue.extend(message, visibility_timeout_s=60)
    clock.advance(50)
    assert queue.delete(message)


# --- leases ---


def test_a_lease_is_lost_at_its_end_and_sqs_is_not_even_asked(made: MadeQueue, clock: FakeClock) -> None:
    told = Told(real=client("sqs"))
    queue = made.by(clock.now, asking=told)
    queue.send("job")
    message = got(queue)
    told.asked.clear()
    clock.advance(TIMEOUT_S)
    assert not queue.delete(message)
    assert not queue.extend(message, visibility_timeout_s=60)
    assert not queue.release(message)
    assert told.asked == []


def test_a_message_that_lambda_received_is_deleted_extended_and_released(made: MadeQueue, clock: FakeClock) -> None:
    queue, of_lambda = made.by(clock.now), made.by(clock.now)
    queue.send("job")
    message = got(of_lambda)
    assert queue.extend(message, visibility_timeout_s=60)
    clock.advance(30)
    assert receive(of_lambda) is None
    assert queue.release(message, delay_s=5)
    clock.advance(6)
    assert queue.delete(got(of_lambda))
    clock.advance(60)
    assert receive(of_lambda) is None


@pytest.mark.parametrize("code", ["InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"])
def test_what_sqs_says_of_a_lost_lease_is_false(code: str) -> None:
    queue = over(Told(error=refusal(code)))
    assert not queue.delete(LEASED)
    assert not queue.extend(LEASED, visibility_timeout_s=60)
    assert not queue.release(LEASED)


def test_a_receipt_of_nobody_is_a_lost_lease(queue: SqsQueue) -> None:
    assert not queue.delete(LEASED)
    assert not queue.extend(LEASED, visibility_timeout_s=60)


@pytest.mark.parametrize("error", [refusal("RequestThrottled"), refusal("AccessDenied", 403), refusal("Odd", 503)])
def test_a_queue_that_cannot_be_asked_is_unavailable_and_the_lease_goes_on(
    made: MadeQueue, clock: FakeClock, error: ClientError
) -> None:
    told = Told(real=client("sqs"))
    queue = made.by(clock.now, asking=told)
    queue.send("job")
    message = got(queue)
    told.error = error
    with pytest.raises(StoreUnavailableError, match="SQS cannot hold a message now"):
        queue.extend(message, visibility_timeout_s=60)
    told.error = None
    assert queue.extend(message, visibility_timeout_s=60)


def test_a_queue_that_is_not_there_is_unavailable(made: MadeQueue, clock: FakeClock) -> None:
    gone = replace(made, url=f"{made.url}-gone", dead_letters_url=f"{made.url}-gone").by(clock.now)
    for ask in (
        lambda: gone.send("job"),
        lambda: receive(gone),
        gone.depth,
        lambda: gone.dead_letters(limit=1),
        lambda: gone.redrive("1"),
    ):
        with pytest.raises(StoreUnavailableError, match="Deploy the stack"):
            ask()


def test_old_leases_are_forgotten_when_sqs_has_forgotten_them() -> None:
    clock = FakeClock()
    leases = Leases(clock.now)
    leases.take("old", seconds=3)
    clock.advance(LONGEST_S)
    leases.take("new", seconds=3)
    assert leases.is_lost("old")
    clock.advance(1)
    leases.take("newer", seconds=3)
    assert not leases.is_lost("old"), "nothing is known of it"
    assert len(leases._leases) == 2


# --- the topic ---


@pytest.fixture
def topic() -> SnsTopic:
    return SnsTopic(client("sns"), client("sns").create_topic(Name=f"intake-{secrets.token_hex(4)}")["TopicArn"])


def subscribe(topic: SnsTopic, made: MadeQueue) -> None:
    client("sns").subscribe(
        TopicArn=topic.arn, Protocol="sqs", Endpoint=made.arn, Attributes={"RawMessageDelivery": "true"}
    )


def test_what_is_sent_without_delay_goes_to_all_who_listen(topic: SnsTopic, made: MadeQueue, clock: FakeClock) -> None:
    other = made_queue()
    for each in (made, other):
        subscribe(topic, each)
    queue = made.by(clock.now, topic=topic)
    queue.send("größer ✓")
    for each in (queue, other.by(clock.now)):
        assert got(each).body == "größer ✓"
        assert receive(each) is None, "and once"


def test_what_is_delayed_or_redriven_goes_to_the_queue_itself(
    topic: SnsTopic, made: MadeQueue, clock: FakeClock
) -> None:
    other = made_queue()
    for each in (made, other):
        subscribe(topic, each)
    queue = made.by(clock.now, topic=topic)
    queue.send("later", delay_s=2)
    clock.advance(3)
    assert queue.delete(got(queue))
    let_die(made.by(clock.now), "poison")
    (letter,) = queue.dead_letters(limit=1)
    assert queue.redrive(letter.id)
    assert got(queue).body == "poison"
    assert receive(other.by(clock.now)) is None


# --- dead letters ---


def test_looking_at_dead_letters_takes_none_away(queue: SqsQueue) -> None:
    bodies = [str(number) for number in range(12)]  # more than SQS gives at a time
    let_die(queue, *bodies)
    for _ in range(3):
        letters = queue.dead_letters(limit=100)
        assert sorted(letter.body for letter in letters) == sorted(bodies)
        assert {(letter.receipt, letter.deliveries) for letter in letters} == {("", 5)}
        assert queue.depth().dead == 12


def test_one_of_many_dead_letters_is_found_and_the_others_stay(queue: SqsQueue) -> None:
    let_die(queue, *(str(number) for number in range(12)))
    for letter in queue.dead_letters(limit=12)[-2:]:
        assert queue.discard(letter.id)
        assert not queue.discard(letter.id)
    assert len(queue.dead_letters(limit=100)) == 10


def test_a_redrive_that_fails_before_the_message_is_back_loses_nothing(
    made: MadeQueue, queue: SqsQueue, clock: FakeClock
) -> None:
    let_die(queue, "poison")
    (letter,) = queue.dead_letters(limit=1)
    half = replace(made, url=f"{made.url}-gone").by(clock.now)
    with pytest.raises(StoreUnavailableError):
        half.redrive(letter.id)
    clock.advance(31)
    assert [each.id for each in queue.dead_letters(limit=1)] == [letter.id]
    assert receive(queue) is None


def test_the_redrive_policy_decides_when_a_message_is_dead(clock: FakeClock) -> None:
    made = made_queue(max_deliveries=2)
    queue = made.by(clock.now)
    queue.send("poison")
    for _ in range(2):
        queue.release(got(queue))
    assert receive(queue) is None
    assert queue.depth().dead == 1
