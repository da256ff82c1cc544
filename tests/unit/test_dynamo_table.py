"""DynamoTable where AWS answers what emulators do not: others at the items, half an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from irss_core.adapters.aws.actions import change, put_new
from irss_core.adapters.aws.dynamo import DynamoTable, RefusedError
from irss_core.adapters.aws.items import attribute
from irss_core.errors import ConflictError, StoreUnavailableError

KEY = {"pk": "mail#1", "sk": "mail"}
ITEM = {name: attribute(value) for name, value in KEY.items()}


def refused(*codes: str) -> ClientError:
    reasons = [{"Code": code} for code in codes]
    answer = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
    return ClientError(answer, "TransactWriteItems")


class Dynamo:
    """A client whose calls are answered one by one as the test says; an error is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._answer

    def _answer(self, **request: Any) -> Any:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses() -> list[float]:
    return []


def made(dynamo: Dynamo, pauses: list[float]) -> DynamoTable:
    return DynamoTable(dynamo, "irss", pause=pauses.append)


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_step_that_met_others_is_taken_again_with_all_that_it_reads(code, pauses):
    dynamo = Dynamo({"Item": ITEM}, refused("None", code), {"Item": ITEM}, {})
    table = made(dynamo, pauses)

    def step() -> str:
        table.get(KEY)
        table.transact([put_new(ITEM)])
        return "done"

    assert table.insist(step) == "done"
    assert len(dynamo.asked) == 4
    assert len(pauses) == 1


def test_pauses_grow_and_end(pauses):
    dynamo = Dynamo(*[refused("TransactionConflict")] * 50)
    table = made(dynamo, pauses)
    with pytest.raises(StoreUnavailableError, match=r"12 times.*Try again"):
        table.insist(lambda: table.transact([put_new(ITEM)]))
    assert len(dynamo.asked) == 12
    assert all(0 <= pause <= min(1.0, 0.02 * 2**turn) for turn, pause in enumerate(pauses, start=1))
    assert max(pauses) > 0.05
    assert len(set(pauses)) > 8, "of random length: who met once does not meet again"


def test_the_first_ones_condition_is_the_callers_and_any_other_is_named_by_its_place():
    lost = ConflictError("lost")
    table = made(
        Dynamo(*[refused("None", "ConditionalCheckFailed")] * 2, refused("ConditionalCheckFailed", "None")), []
    )
    for _ in range(2):
        with pytest.raises(RefusedError) as raised:
            table.transact([], lost=lost)
        assert [*raised.value.failed] == [1]
    with pytest.raises(ConflictError):
        table.transact([], lost=lost)


def test_a_transaction_that_could_never_be_done_is_a_bug():
    table = made(Dynamo(refused("ConditionalCheckFailed", "ValidationError")), [])
    with pytest.raises(ClientError):
        table.transact([])


def test_a_single_write_waits_for_a_transaction_at_its_item(pauses):
    at_it = ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")
    dynamo = Dynamo(at_it, at_it, {"Attributes": {"value": {"N": "2"}}})
    action = change(KEY, "ADD #value :one", where="attribute_exists(#pk)", one=1)
    assert made(dynamo, pauses).write(action) == {"value": {"N": "2"}}
    assert len(pauses) == 2


def test_what_a_read_left_out_is_asked_for_again(pauses):
    keys = [{"pk": f"mail#{number}", "sk": "mail"} for number in range(150)]
    items = [{name: attribute(value) for name, value in key.items()} for key in keys]

    def half(number: int, *left: dict[str, Any]) -> dict[str, Any]:
        return {
            "Responses": {"irss": items[number : number + 50]},
            "UnprocessedKeys": {"irss": {"Keys": [*left]}} if left else {},
        }

    dynamo = Dynamo(half(0, *items[50:100]), half(50), half(100))
    found = made(dynamo, pauses).get_many([*keys, *keys])
    assert [*found] == [(key["pk"], key["sk"]) for key in keys]
    asked = [request["RequestItems"]["irss"] for request in dynamo.asked]
    assert [each["Keys"] for each in asked] == [items[:100], items[50:100], items[100:]]
    assert all(each["ConsistentRead"] for each in asked)
    assert len(pauses) == 1


def test_every_page_of_a_count_is_counted():
    dynamo = Dynamo({"Count": 7, "LastEvaluatedKey": ITEM}, {"Count": 3})
    assert made(dynamo, []).count("#in_state = :state", index="by-state", state="1") == 10
    assert dynamo.asked[1]["ExclusiveStartKey"] == ITEM
