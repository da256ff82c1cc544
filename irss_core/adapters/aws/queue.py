"""SqsQueue: messages under leases in a queue of SQS, whose redrive policy puts the dead ones into another queue."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from irss_core.adapters.aws.dead_letters import DeadLetters, message_counts
from irss_core.adapters.aws.errors import aws_errors
from irss_core.adapters.aws.leases import LONGEST_S, Leases
from irss_core.jobs.ports import Message, QueueDepth

_LONGEST_DELAY_S = 900
_LONGEST_WAIT_S = 20
_LOST = (  # also for what can be extended no longer
    "InvalidParameterValue",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "ReceiptHandleIsInvalid",
)


@dataclass(frozen=True)
class SnsTopic:
    """A topic that queues are subscribed to, with raw delivery."""

    client: Any
    arn: str

    def publish(self, body: str) -> None:
        """Give a message to all subscribers."""
        self.client.publish(TopicArn=self.arn, Message=body)


class SqsQueue:
    """A standard queue. SQS knows whole seconds only: all times are rounded up.

    The lease of a message that was received here is lost as soon as its time is over (see ``Leases``); one that Lambda
    received is as SQS says. SQS leaves a message with nobody for more than 12 hours, however often it is extended.
    ``max_deliveries`` is what the queue's redrive policy says.

    With a ``topic`` that the queue is subscribed to, what is sent without delay goes there, to whoever listens.
    """

    def __init__(
        self,
        client: Any,
        *,
        url: str,
        dead_letters_url: str,
        max_deliveries: int = 5,
        topic: SnsTopic | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._dead_letters = DeadLetters(client, dead_letters_url)
        self._max_deliveries = max_deliveries
        self._topic = topic
        self._leases = Leases(elapsed)

    def send(self, body: str, *, delay_s: float = 0.0) -> None:
        """Put a message in, which can be had after the delay, or after 15 minutes, which is the longest SQS has."""
        delay = min(math.ceil(delay_s), _LONGEST_DELAY_S)
        with aws_errors("SQS", "take a message"):
            if self._topic is not None and delay <= 0:
                self._topic.publish(body)
            else:
                self._client.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay)

    def receive(self, *, wait_s: float, visibility_timeout_s: float) -> Message | None:
        """Return a message that nobody else gets until the timeout, waiting up to 20 s; None if none came."""
        timeout = _timeout(visibility_timeout_s)
        with aws_errors("SQS", "give a message"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=min(math.ceil(wait_s), _LONGEST_WAIT_S),
                VisibilityTimeout=timeout,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        if not answer.get("Messages"):
            return None
        (given,) = answer["Messages"]
        self._leases.take(given["ReceiptHandle"], seconds=timeout)
        deliveries = int(given["Attributes"]["ApproximateReceiveCount"])
        return Message(id=given["MessageId"], body=given["Body"], receipt=given["ReceiptHandle"], deliveries=deliveries)

    def extend(self, message: Message, *, visibility_timeout_s: float) -> bool:
        """Hold a message for that long from now; False if the lease was lost, or would last for more than 12 hours."""
        timeout, since = _timeout(visibility_timeout_s), self._leases.now()
        if not self._held(message, "hold a message", lambda: self._change_visibility(message, timeout)):
            return False
        self._leases.extend(message.receipt, since=since, seconds=timeout)
        return True

    def delete(self, message: Message) -> bool:
        """Delete a message; False if the lease was lost (then it stays).

        Of a message that Lambda received SQS may say True and not delete it, if somebody else has it meanwhile.
        """

        def delete() -> None:
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

        return self._given_up(message, "delete a message", delete)

    def release(self, message: Message, *, delay_s: float = 0.0) -> bool:
        """Give a message back, to be had after the delay; False if the lease was lost."""
        delay = _timeout(delay_s)
        return self._given_up(message, "take a message back", lambda: self._change_visibility(message, delay))

    def depth(self) -> QueueDepth:
        """Return how many messages there are, approximately. SQS does not tell how long one has been waiting."""
        with aws_errors("SQS", "count messages"):
            counts = message_counts(self._client, self._url)
            return QueueDepth(
                ready=counts["ApproximateNumberOfMessages"],
                delayed=counts["ApproximateNumberOfMessagesDelayed"],
                leased=counts["ApproximateNumberOfMessagesNotVisible"],  # and those released with a delay
                dead=self._dead_letters.count(),
                oldest_ready_s=None,
            )

    def dead_letters(self, *, limit: int) -> list[Message]:
        """Return dead messages, first sent first; their receipt is empty."""
        with aws_errors("SQS", "list dead messages"):
            letters = self._dead_letters.oldest(limit)
        deliveries = self._max_deliveries  # SQS goes on counting when they are looked at
        return [Message(each["MessageId"], each["Body"], receipt="", deliveries=deliveries) for each in letters]

    def redrive(self, message_id: str) -> bool:
        """Put a dead message back, as a new one; False if there is none of that id.

        It is in both queues for a moment: being killed then leaves two of it, but never none.
        """
        with aws_errors("SQS", "put a message back"), self._dead_letters.taken(message_id) as letter:
            if letter is not None:
                self._client.send_message(QueueUrl=self._url, MessageBody=letter["Body"])
            return letter is not None

    def discard(self, message_id: str) -> bool:
        """Delete a dead message; False if there is none of that id."""
        with aws_errors("SQS", "delete a message"), self._dead_letters.taken(message_id) as letter:
            return letter is not None

    def _change_visibility(self, message: Message, timeout: int) -> None:
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=timeout
        )

    def _given_up(self, message: Message, purpose: str, change: Callable[[], None]) -> bool:
        """Have a held message changed so that it is not held any more; return whether it was held."""
        was_held = self._held(message, purpose, change)
        self._leases.end(message.receipt)
        return was_held

    def _held(self, message: Message, purpose: str, change: Callable[[], None]) -> bool:
        """Have a held message changed; return whether it was held."""
        if self._leases.is_lost(message.receipt):
            return False
        with aws_errors("SQS", purpose):
            try:
                change()
            except ClientError as error:
                if error.response["Error"]["Code"] not in _LOST:
                    raise
                return False
        return True


def _timeout(seconds: float) -> int:
    return min(math.ceil(seconds), LONGEST_S)
