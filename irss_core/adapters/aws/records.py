"""DynamoRecords: small texts that end by themselves."""

from __future__ import annotations

import math
from typing import Any

from irss_core.adapters.aws.actions import change, delete, put
from irss_core.adapters.aws.dynamo import DynamoTable, RefusedError
from irss_core.adapters.aws.items import Item, attribute, key_of
from irss_core.adapters.aws.table import BY_STATE, TTL, record_key
from irss_core.jobs.ports import Clock

_STATE = "record"
_ALIVE = "attribute_exists(#pk) AND #expires_at > :now"
_NOTHING_ALIVE = "attribute_not_exists(#pk) OR #expires_at <= :now"


class DynamoRecords:
    """The Records on AWS, for any number of functions and workers.

    AWS deletes what is over by itself, but up to days late: until then it counts as nothing here.
    """

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._table = DynamoTable(client, table)
        self._clock = clock

    def get(self, key: str) -> str | None:
        """Return the text, or None if there is none or its time is over."""
        item = self._table.get(record_key(key))
        if item is None or float(item["expires_at"]["N"]) <= self._clock.now():
            return None
        (text,) = item["value"].values()  # a counter's number is a text, too, on its way
        return str(text)

    def put(self, key: str, value: str, *, expires_at: float, replacing: str | None = None) -> bool:
        """Write a text if what is there is ``replacing`` (None: nothing alive); return whether it was written."""
        where, known = (
            (_NOTHING_ALIVE, {}) if replacing is None else (f"#value = :old AND {_ALIVE}", {"old": replacing})
        )
        action = put(_item(key, value, expires_at), where=where, now=self._clock.now(), **known)

        def step() -> bool:
            try:
                self._table.transact([action])
            except RefusedError as refused:
                if refused.failed:
                    return False
                raise
            return True

        return self._table.insist(step)

    def count(self, key: str, *, expires_at: float, amount: int = 1) -> int:
        """Add to a counter and return it; a new one ends at ``expires_at``."""

        def step() -> int:
            now = self._clock.now()
            counted = self._table.write(
                change(record_key(key), "ADD #value :amount", where=_ALIVE, amount=amount, now=now)
            )
            if counted is not None:
                return int(counted["value"]["N"])
            # If another one begins it first, this is refused, and the next turn adds to it.
            self._table.transact([put(_item(key, amount, expires_at), where=_NOTHING_ALIVE, now=now)])
            return amount

        return self._table.insist(step)

    def delete(self, key: str) -> None:
        """Delete a text, if it is there."""
        self._table.write(delete(record_key(key)))

    def expire(self) -> int:
        """Delete what is over, and return how many those were."""
        now = self._clock.now()
        pages = self._table.query("#in_state = :state AND #since <= :now", index=BY_STATE, state=_STATE, now=now)
        over = [delete(key_of(item), where="#expires_at <= :now", now=now) for page in pages for item in page]
        return sum(self._table.write(action) is not None for action in over)


def _item(key: str, value: str | int, expires_at: float) -> Item:
    ends = {"expires_at": expires_at, TTL: math.ceil(expires_at), "in_state": _STATE, "since": expires_at}
    return {name: attribute(each) for name, each in {**record_key(key), "value": value, **ends}.items()}
