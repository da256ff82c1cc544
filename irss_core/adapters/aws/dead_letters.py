"""DeadLetters: what lies in a dead letter queue of SQS, which can only be looked at by receiving it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

_HELD_S = 30  # while it is looked at; if the one who looks is killed, it comes back then
_AT_A_TIME = 10  # which is SQS's limit
_AT_MOST = 1000

DeadLetter = Mapping[str, Any]
"""A message as SQS gives it: "MessageId", "Body", "ReceiptHandle", "Attributes"."""


class DeadLetters:
    """The dead letters of a queue, of which at most 1,000 are looked at. Looking loses none, nor delays it for long.

    SQS counts messages approximately, up to a minute late, and gives each to one asker at a time. So one that has just
    died, or that somebody else looks at this moment, may not be seen.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def count(self) -> int:
        """Return how many there are."""
        counts = message_counts(self._client, self._url)
        return counts["ApproximateNumberOfMessages"] + counts["ApproximateNumberOfMessagesNotVisible"]

    def oldest(self, limit: int) -> list[DeadLetter]:
        """Return those that were sent first, when they were still alive."""
        letters = self._receive(wanted=None)
        self._give_back(letters.values())
        return sorted(letters.values(), key=_sent_at)[:limit]

    @contextlib.contextmanager
    def taken(self, message_id: str) -> Iterator[DeadLetter | None]:
        """A dead letter, deleted if the block ends well, else it comes back by itself; None: there is none."""
        letters = self._receive(wanted=message_id)
        found = letters.pop(message_id, None)
        self._give_back(letters.values())
        yield found
        if found is not None:
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=found["ReceiptHandle"])

    def _receive(self, *, wanted: str | None) -> dict[str, DeadLetter]:
        """Hold all dead letters, or as many as it takes to find one, and return them by their id."""
        expected = message_counts(self._client, self._url)["ApproximateNumberOfMessages"]
        letters: dict[str, DeadLetter] = {}
        for _ in range(_AT_MOST // _AT_A_TIME):
            # Only who waits asks all of SQS's servers; nobody needs to when there should be no more.
            wait_s = 1 if len(letters) < expected else 0
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_AT_A_TIME,
                VisibilityTimeout=_HELD_S,
                WaitTimeSeconds=wait_s,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            letters |= {each["MessageId"]: each for each in answer.get("Messages", ())}
            if not answer.get("Messages") or wanted in letters:
                break
        return letters

    def _give_back(self, letters: Iterable[DeadLetter]) -> None:
        receipts = [letter["ReceiptHandle"] for letter in letters]
        for start in range(0, len(receipts), _AT_A_TIME):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for number, receipt in enumerate(receipts[start : start + _AT_A_TIME])
            ]
            with contextlib.suppress(ClientError):  # they come back all the same
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def message_counts(client: Any, url: str) -> dict[str, int]:
    """Return how many messages a queue has, by the names that SQS has for it."""
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
    ]
    values = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return {name: int(values[name]) for name in names}


def _sent_at(letter: DeadLetter) -> int:
    return int(letter["Attributes"]["SentTimestamp"])
