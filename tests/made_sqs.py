"""Queues of moto's SQS, each with its dead letters beside it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from irss_core.adapters.aws.queue import SnsTopic, SqsQueue
from tests.aws_emulator import client


@dataclass(frozen=True)
class MadeQueue:
    """A new queue that nobody else has: its name, and its addresses in the emulator."""

    url: str
    arn: str
    dead_letters_url: str

    def by(self, elapsed: Callable[[], float], *, asking: Any = None, topic: SnsTopic | None = None) -> SqsQueue:
        """Return the adapter, whose leases go by that time."""
        return SqsQueue(
            asking or client("sqs"), url=self.url, dead_letters_url=self.dead_letters_url, topic=topic, elapsed=elapsed
        )


def made_queue(*, max_deliveries: int = 5) -> MadeQueue:
    sqs, name = client("sqs"), f"work-{secrets.token_hex(8)}"
    dead_letters_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": _arn(sqs, dead_letters_url), "maxReceiveCount": max_deliveries}
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
    return MadeQueue(url, _arn(sqs, url), dead_letters_url)


def _arn(sqs: Any, url: str) -> str:
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn
