"""DynamoTable: one table of DynamoDB, read consistently and written in transactions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from irss_core.adapters.aws.actions import Action, expressions
from irss_core.adapters.aws.errors import aws_errors
from irss_core.adapters.aws.items import Item, attribute
from irss_core.adapters.aws.table import Key
from irss_core.errors import ConflictError, StoreUnavailableError

_MOST_READ = 100  # items of one request
_TRIES = 12
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_DICE = random.SystemRandom()

# Why a transaction is refused that may be done a moment later. The client tries again what is throttled, but it does
# not see it where that is the reason of a refusal.
_OTHERS_AT_IT = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}

_T = TypeVar("_T")


class RefusedError(Exception):
    """Nothing was done. Known only to those who call ``insist``, which reads and tries again after it.

    ``failed`` has the places of the actions whose condition does not hold, each with the item that is there, if the
    action asked for it. None: others were at the items.
    """

    def __init__(self, failed: Mapping[int, Item]) -> None:
        super().__init__("A transaction of DynamoDB was refused.")
        self.failed = failed


class DynamoTable:
    """What the stores need of DynamoDB; each method raises StoreUnavailableError when it cannot be used now.

    ``most_actions`` is what a transaction can hold: AWS's own limit, unless an emulator's is less.
    """

    def __init__(
        self, client: Any, name: str, *, most_actions: int = 100, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._name = name
        self._pause = pause
        self.most_actions = most_actions

    def get(self, key: Key) -> Item | None:
        """Return an item as it is now, or None."""
        with aws_errors("DynamoDB", "be read"):
            answer = self._client.get_item(TableName=self._name, Key=_typed(key), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def get_many(self, keys: Iterable[Key]) -> dict[tuple[str, str], Item]:
        """Return the items there are of those, each as it is now, by ``pk`` and ``sk``."""
        wanted = [{"pk": pk, "sk": sk} for pk, sk in dict.fromkeys((key["pk"], key["sk"]) for key in keys)]
        found: dict[tuple[str, str], Item] = {}
        for start in range(0, len(wanted), _MOST_READ):
            asked = [_typed(key) for key in wanted[start : start + _MOST_READ]]
            for _ in self._turns():
                with aws_errors("DynamoDB", "be read"):
                    answer = self._client.batch_get_item(
                        RequestItems={self._name: {"Keys": asked, "ConsistentRead": True}}
                    )
                for item in answer["Responses"].get(self._name, ()):
                    found[item["pk"]["S"], item["sk"]["S"]] = item
                asked = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys")
                if not asked:
                    break
        return found

    def query(
        self, where: str, *, index: str | None = None, page: int | None = None, **values: Any
    ) -> Iterator[list[Item]]:
        """Return the items under one key in their order, page by page; of an index only keys, and a moment late."""
        for answer in self._answers(where, index, values, **({"Limit": page} if page else {})):
            yield answer["Items"]

    def count(self, where: str, *, index: str, **values: Any) -> int:
        """Return how many items an index has under one key."""
        return sum(answer["Count"] for answer in self._answers(where, index, values, Select="COUNT"))

    def write(self, action: Action) -> Item | None:
        """Do one update or deletion by itself, and return the new values; None where its condition does not hold.

        At half a transaction's price, but if the answer is lost on the way, it is done once more.
        """
        return self.insist(lambda: self._write(action))

    def transact(self, actions: Sequence[Action], *, lost: ConflictError | None = None) -> None:
        """Do all of them or none; what is sent twice because the answer was lost is done once.

        Raises:
            ConflictError: ``lost``, if that is given and the condition of the first one does not hold.
            RefusedError: another condition does not hold, or others are at the items.
        """
        requests = [{action.kind: {"TableName": self._name, **action.request}} for action in actions]
        try:
            with aws_errors("DynamoDB", "be written"):
                self._client.transact_write_items(TransactItems=requests)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            reasons = error.response.get("CancellationReasons", [])
            codes = [reason.get("Code", "None") for reason in reasons]
            if not reasons or {*codes} - _OTHERS_AT_IT - {"None", "ConditionalCheckFailed"}:
                raise
            failed = [place for place, code in enumerate(codes) if code == "ConditionalCheckFailed"]
            if lost is not None and 0 in failed:
                raise lost from None
            raise RefusedError({place: reasons[place].get("Item", {}) for place in failed}) from None

    def insist(self, step: Callable[[], _T]) -> _T:
        """Return what a step returns, which is taken again, with all that it reads, while it is refused."""
        for _ in self._turns():
            try:
                return step()
            except RefusedError:
                continue
        raise AssertionError("The turns end with an error.")

    def _turns(self) -> Iterator[None]:
        """Return a bounded number of turns, with ever longer pauses between, of random length: others pass by then."""
        for turn in range(_TRIES):
            if turn:
                self._pause(_DICE.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**turn)))
            yield
        raise StoreUnavailableError(
            f"DynamoDB cannot do it now: {_TRIES} times others were at the same items. Try again."
        )

    def _write(self, action: Action) -> Item | None:
        try:
            with aws_errors("DynamoDB", "be written"):
                if action.kind == "Delete":
                    self._client.delete_item(TableName=self._name, **action.request)
                    return {}
                answer = self._client.update_item(TableName=self._name, ReturnValues="UPDATED_NEW", **action.request)
                return dict(answer.get("Attributes", {}))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                return None
            if code == "TransactionConflictException":
                raise RefusedError({}) from None
            raise

    def _answers(
        self, where: str, index: str | None, values: Mapping[str, Any], **how: Any
    ) -> Iterator[Mapping[str, Any]]:
        how |= {"TableName": self._name, "KeyConditionExpression": where, **expressions(where, values)}
        how |= {"IndexName": index} if index else {"ConsistentRead": True}
        while True:
            with aws_errors("DynamoDB", "be read"):
                answer = self._client.query(**how)
            yield answer
            if "LastEvaluatedKey" not in answer:
                return
            how["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def in_parts(actions: Sequence[Action], size: int) -> Iterator[Sequence[Action]]:
    """Return the actions in their order, that many at a time."""
    for start in range(0, len(actions), size):
        yield actions[start : start + size]


def _typed(key: Key) -> Item:
    return {name: attribute(value) for name, value in key.items()}
