"""moto by a test's clock: its S3 and SQS are as late as the test says."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import pytest
from moto.sqs.models import SQSBackend

from irss_core.jobs.ports import Clock

_WAITS_FASTER = 20  # a second of waiting for a message takes a twentieth


@contextmanager
def moto_by(clock: Clock) -> Iterator[None]:
    """Inside, moto dates objects and hides messages by that clock, and does one thing at a time, as it does not else.

    Its time still passes a little between any two questions: it shows a message again only when it is later than when
    that was released.
    """
    ticks, one_at_a_time = itertools.count(1), threading.RLock()
    receive_now = SQSBackend.receive_message

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with one_at_a_time:
                return method(*args, **kwargs)

        return call

    def receive(backend: SQSBackend, queue: str, count: int, wait_s: int, *args: Any) -> list[Any]:
        until = time.monotonic() + wait_s / _WAITS_FASTER
        while True:
            with one_at_a_time:
                messages = receive_now(backend, queue, count, 0, *args)
            if messages or time.monotonic() >= until:
                return messages
            time.sleep(0.01)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.s3.models.utcnow", lambda: datetime.fromtimestamp(clock.now(), UTC).replace(tzinfo=None))
        patch.setattr("moto.sqs.models.unix_time", clock.now)
        patch.setattr("moto.sqs.models.unix_time_millis", lambda: clock.now() * 1000 + next(ticks) * 0.001)
        patch.setattr(SQSBackend, "receive_message", receive)
        for name in ("send_message", "delete_message", "change_message_visibility"):
            patch.setattr(SQSBackend, name, locked(getattr(SQSBackend, name)))
        yield
