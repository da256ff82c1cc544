"""What is done to an item, and under which condition, in the words of DynamoDB's transactions.

In a condition or change ``#name`` is an attribute and ``:name`` a value: names are never written plainly, for hundreds
of them ("status", "owner", "value" …) are reserved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from irss_core.adapters.aws.items import Item, attribute, key_of
from irss_core.adapters.aws.table import Key

_NAME = re.compile(r"#(\w+)")
_IS_NEW = "attribute_not_exists(#pk)"


@dataclass(frozen=True)
class Action:
    """One action of a transaction, but for the table's name; an update or a deletion can be done by itself, too."""

    kind: Literal["Put", "Update", "Delete", "ConditionCheck"]
    request: Mapping[str, Any]


def put(item: Item, *, where: str = "", **values: Any) -> Action:
    """Write an item in place of any before."""
    return Action("Put", {"Item": item, **_conditions(where, values)})


def put_new(item: Item) -> Action:
    """Write an item where none is; what is there else comes back with the refusal."""
    tell = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    return Action("Put", {"Item": item, **_conditions(_IS_NEW, {}), **tell})


def change(key: Key, how: str, *, where: str, **values: Any) -> Action:
    """Change an item."""
    expression = {"UpdateExpression": how}
    return Action("Update", {"Key": _typed(key), **expression, **_conditions(where, values, also=how)})


def change_to(before: Item, after: Item, *, known: Sequence[str], also: str = "", **values: Any) -> Action:
    """Write the attributes in which ``after`` differs, if those ``known`` are still those of ``before``.

    ``also`` is one more assignment. Where nothing differs, what is known is written again: the condition stays.
    """
    new = {name: value for name, value in after.items() if before.get(name) != value}
    new = new or {name: after[name] for name in known}
    gone = [name for name in before if name not in after]
    assignments = [f"#{name} = :new_{name}" for name in new] + ([also] if also else [])
    how = f"SET {', '.join(assignments)}" + (f" REMOVE {', '.join(f'#{name}' for name in gone)}" if gone else "")
    where, of_known = as_known(before, known)
    of_new = {f"new_{name}": value for name, value in new.items()}
    return change(key_of(before), how, where=where, **of_new, **of_known, **values)


def delete(key: Key, *, where: str = "", **values: Any) -> Action:
    """Delete an item, if it is there."""
    return Action("Delete", {"Key": _typed(key), **_conditions(where, values)})


def check(key: Key, *, where: str, **values: Any) -> Action:
    """Do nothing to an item, but hold the transaction to a condition."""
    return Action("ConditionCheck", {"Key": _typed(key), **_conditions(where, values)})


def as_known(item: Item, known: Sequence[str]) -> tuple[str, Item]:
    """Return the condition that those attributes are still the item's, and its values."""
    return " AND ".join(f"#{name} = :known_{name}" for name in known), {f"known_{name}": item[name] for name in known}


def expressions(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the names and values in a text stand for."""
    names = {f"#{name}": name for name in _NAME.findall(text)}
    typed = {f":{name}": attribute(value) for name, value in values.items()}
    return {
        **({"ExpressionAttributeNames": names} if names else {}),
        **({"ExpressionAttributeValues": typed} if typed else {}),
    }


def _conditions(where: str, values: Mapping[str, Any], *, also: str = "") -> dict[str, Any]:
    return ({"ConditionExpression": where} if where else {}) | expressions(f"{where} {also}", values)


def _typed(key: Key) -> Item:
    return {name: attribute(value) for name, value in key.items()}
