"""What happens to a stack: its events as they come, until it rests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from irss_core.errors import ResourceError

LOOK_EVERY_S = 2.0
AT_MOST_S = 2 * 3600.0  # a distribution of CloudFront takes up to half an hour, a domain's certificate longer


@dataclass(frozen=True)
class StackEvent:
    """What happened to a part of a stack, or to the stack itself."""

    id: str
    at: datetime
    logical_id: str
    type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        """Whether it went wrong, and not only because something else did."""
        return self.status.endswith("_FAILED") and "cancelled" not in self.reason.lower()

    @property
    def done(self) -> bool:
        """Whether the part needs nothing more."""
        return self.status.endswith("_COMPLETE")


def last_event(account: Account, stack_id: str) -> str | None:
    """Return the id of the newest event, to follow what comes after it; None: there is none."""
    return next((event.id for event in _newest_first(account, stack_id)), None)


def follow(
    account: Account,
    stack_id: str,
    *,
    after: str | None,
    tell: Callable[[StackEvent], None],
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Tell every event that comes after one, oldest first, until the stack rests; return its status.

    Raises:
        ResourceError: it never does.
    """
    begun = False
    for _ in range(round(AT_MOST_S / LOOK_EVERY_S)):
        news: list[StackEvent] = []
        for event in _newest_first(account, stack_id):
            if event.id == after:
                break
            news.append(event)
        after, begun = (news[0].id, True) if news else (after, begun)
        for event in reversed(news):
            tell(event)
        status = _status(account, stack_id)
        if (begun and not status.endswith("_IN_PROGRESS")) or status == "DELETE_COMPLETE":
            return status
        sleep(LOOK_EVERY_S)
    raise ResourceError(
        f"The stack did not come to rest within {AT_MOST_S / 3600:.0f} hours. It goes on without being watched; "
        "`irss cloud status` says how far it is."
    )


def _newest_first(account: Account, stack_id: str) -> Iterator[StackEvent]:
    with asking("CloudFormation", "tell what happened"):
        pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack_id)
        for page in pages:
            for each in page["StackEvents"]:
                yield StackEvent(
                    id=str(each["EventId"]),
                    at=each["Timestamp"],
                    logical_id=str(each.get("LogicalResourceId", "")),
                    type=str(each.get("ResourceType", "")),
                    status=str(each.get("ResourceStatus", "")),
                    reason=str(each.get("ResourceStatusReason", "")),
                )


def _status(account: Account, stack_id: str) -> str:
    with asking("CloudFormation", "describe a stack"):
        try:
            (found,) = account.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
        except ClientError as error:
            if refusal(error) == "ValidationError" and "does not exist" in str(error):
                return "DELETE_COMPLETE"  # by its id a deleted stack is still known to AWS, but not to every emulator
            raise
    return str(found["StackStatus"])
