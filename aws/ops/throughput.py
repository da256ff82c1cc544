"""How fast a number of workers empties a queue: computed event by event, from what was measured of one picture."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from irss_core.errors import InvalidOptionError

MOST_IN_FLIGHT = 120_000  # messages of a standard queue that are with somebody
LAUNCHED_A_MINUTE = (
    500  # tasks of a service: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
)
MOST_PICTURES = 1_000_000


@dataclass(frozen=True)
class Pace:
    """What a picture and a worker take.

    ``receive_s`` is the time from one picture to the next: deleting the message, receiving another one.
    ``start_s`` is the time until a new worker takes its first message: the alarm that starts it, the task, its image.
    """

    picture_s: float
    receive_s: float = 0.05
    start_s: float = 180.0


@dataclass(frozen=True)
class Throughput:
    """What so many workers do: when the last picture is done, and how much of the paid time they worked."""

    workers: int
    pictures: int
    seconds: float
    worker_seconds: float
    busy_share: float

    @property
    def pictures_per_hour(self) -> float:
        """From the first moment to the last, starting included."""
        return self.pictures / self.seconds * 3600


def simulate(*, pictures: int, workers: int, pace: Pace) -> Throughput:
    """Return how workers empty a queue in which all pictures wait at the start, and no worker runs yet.

    A worker ends when nothing is left for it. Each holds one message; SQS lets 120,000 be held.

    Raises:
        InvalidOptionError: no pictures or workers, or more pictures than it is worth computing.
    """
    if not 1 <= pictures <= MOST_PICTURES:
        raise InvalidOptionError(f"{pictures} pictures cannot be simulated. Take 1 to {MOST_PICTURES}.")
    if workers < 1:
        raise InvalidOptionError(f"{workers} workers do nothing. Take at least 1.")
    at_work = min(workers, pictures, MOST_IN_FLIGHT)
    launched = [launch_delay_s(number) for number in range(at_work)]
    ended = [time + pace.start_s for time in launched]
    free = [(time, number) for number, time in enumerate(ended)]
    done = 0.0
    for _ in range(pictures):
        time, number = heapq.heappop(free)
        ended[number] = time + pace.receive_s + pace.picture_s
        heapq.heappush(free, (ended[number], number))
        done = max(done, ended[number])
    paid = sum(end - start for start, end in zip(launched, ended, strict=True))
    return Throughput(workers, pictures, done, paid, pictures * pace.picture_s / paid)


def launch_delay_s(number: int) -> float:
    """Return when ECS launches the worker of that number, counted from 0."""
    return number // LAUNCHED_A_MINUTE * 60.0
