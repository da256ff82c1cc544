"""How a stack is: its addresses, its queues, its workers, its alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from aws.ops.account import Account, asking
from aws.ops.stack import Resource, Stack, environment, parts_of_type, resources
from irss_core.adapters.aws.dead_letters import message_counts
from irss_core.errors import NotFoundError

_ADDRESSES = {"page": "WebUrl", "API": "ApiUrl", "sign-in": "SignInUrl"}
_QUEUES = {
    "intake": ("IntakeQueueUrl", "IntakeDlqUrl"),
    "tasks": ("TasksQueueUrl", "TasksDlqUrl"),
    "mails": ("MailQueueUrl", "MailDlqUrl"),
    "events": (None, "EventsDlqUrl"),
}
_SHOWN_ALARMS = 10
_WITHOUT_WORRY = "FirstWorkerWanted"  # it starts a worker


@dataclass(frozen=True)
class QueueState:
    """About how many messages a queue has: waiting, put off, with somebody, and dead."""

    name: str
    waiting: int
    delayed: int
    in_work: int
    dead: int


@dataclass(frozen=True)
class WorkerState:
    """How many workers are asked for, run, and are being started; and the image they run."""

    wanted: int
    running: int
    starting: int
    image: str


@dataclass(frozen=True)
class AlarmState:
    """An alarm: "OK", "ALARM" or "INSUFFICIENT_DATA", since when, and why."""

    name: str
    state: str
    since: datetime
    reason: str
    about: str


@dataclass(frozen=True)
class Overview:
    """All of it; ``worker`` None: the stack was deployed without."""

    stack: Stack
    region: str
    addresses: Mapping[str, str]
    environment: Mapping[str, str]
    queues: tuple[QueueState, ...]
    worker: WorkerState | None
    alarms: tuple[AlarmState, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        facts = asdict(self)
        facts["stack"] = {"name": self.stack.name, "status": self.stack.status, "outputs": dict(self.stack.outputs)}
        for alarm in facts["alarms"]:
            alarm["since"] = alarm["since"].isoformat()
        return facts


def look(account: Account, stack: Stack) -> Overview:
    """Return how the stack is."""
    parts = resources(account, stack)
    return Overview(
        stack=stack,
        region=account.region,
        addresses={name: stack.outputs[key] for name, key in _ADDRESSES.items() if stack.outputs.get(key)},
        environment=_settings(account, parts),
        queues=tuple(queue_states(account, stack)),
        worker=_worker(account, stack),
        alarms=tuple(alarm_states(account, parts)),
    )


def settings_of(account: Account, stack: Stack) -> dict[str, str]:
    """Return the variables by which another machine works on a stack's jobs.

    Raises:
        NotFoundError: the stack has no function of ours that would tell.
    """
    found = _settings(account, resources(account, stack))
    if not found:
        raise NotFoundError(
            f"The stack {stack.name!r} ({stack.status}) has no function of IRSS. `irss cloud deploy` puts in what is "
            "missing."
        )
    return found


def queue_states(account: Account, stack: Stack) -> list[QueueState]:
    """Return how many messages each queue has."""
    client, found = account.client("sqs"), []
    with asking("SQS", "count messages"):
        for name, (queue, dead_letters) in _QUEUES.items():
            alive = _counts(client, stack.outputs.get(queue) if queue else None)
            dead = _counts(client, stack.outputs.get(dead_letters))
            found.append(QueueState(name, *alive, dead=sum(dead)))
    return found


def alarm_states(account: Account, parts: Mapping[str, Resource]) -> list[AlarmState]:
    """Return the stack's alarms, those that ring first, then those that changed last."""
    names = {each.physical_id: each for each in parts_of_type(parts, "AWS::CloudWatch::Alarm")}
    if not names:
        return []
    with asking("CloudWatch", "tell the alarms"):
        pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=sorted(names))
        found = [each for page in pages for each in page["MetricAlarms"]]
    states = [
        AlarmState(
            name=names[each["AlarmName"]].logical_id.removesuffix("Alarm"),
            state=str(each["StateValue"]),
            since=each["StateUpdatedTimestamp"],
            reason=str(each.get("StateReason", "")),
            about=str(each.get("AlarmDescription", "")),
        )
        for each in found
        if names[each["AlarmName"]].logical_id != _WITHOUT_WORRY
    ]
    return sorted(states, key=lambda each: (each.state != "ALARM", -each.since.timestamp()))[:_SHOWN_ALARMS]


def _settings(account: Account, parts: Mapping[str, Resource]) -> dict[str, str]:
    found = environment(account, parts)
    return {"AWS_DEFAULT_REGION": account.region, **found} if found else {}


def _worker(account: Account, stack: Stack) -> WorkerState | None:
    cluster, service = stack.outputs.get("ClusterName"), stack.outputs.get("WorkerServiceName")
    if not cluster or not service:
        return None
    with asking("ECS", "tell of the workers"):
        found = account.client("ecs").describe_services(cluster=cluster, services=[service])["services"]
    if not found:
        return None
    (told,) = found
    return WorkerState(
        told["desiredCount"], told["runningCount"], told["pendingCount"], stack.parameters.get("ImageUri", "")
    )


def _counts(client: Any, url: str | None) -> tuple[int, int, int]:
    if not url:
        return (0, 0, 0)
    counts = message_counts(client, url)
    return (
        counts["ApproximateNumberOfMessages"],
        counts["ApproximateNumberOfMessagesDelayed"],
        counts["ApproximateNumberOfMessagesNotVisible"],
    )
