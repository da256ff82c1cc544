"""What happened to a job: the steps of its executions and the log lines that name it, in the order of time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from aws.ops.stack import Resource, Stack, parts_of_type
from irss_core.errors import InvalidOptionError, NotFoundError
from irss_core.jobs.log import redacted

SHORT, FULL = 12, 64
_LEAST = 6
_SEARCHED_EXECUTIONS = 10_000
_MOST_LINES = 5_000
_MARGIN_MS = 60_000  # clocks of different machines, and what is written after the end
_HEX = frozenset("0123456789abcdef")
_MOST_TOLD = 500
_TOLD = ("error", "cause", "name")
_FACTS = (
    *("job", "attempt", "stage", "status", "ending", "error", "code", "seconds", "kind", "queue"),
    *("function_name", "exception_name", "exception", "traceback"),
)


@dataclass(frozen=True)
class Entry:
    """Something that happened: when, where it was told, and the words. Ids are cut short in them."""

    at: datetime
    where: str
    text: str


@dataclass(frozen=True)
class Execution:
    """A run of the state machine: the first of a job has the job's id as its name, later ones a number after it."""

    arn: str
    name: str
    status: str
    began: datetime
    ended: datetime | None


def executions_of(account: Account, stack: Stack, text: str) -> list[Execution]:
    """Return the executions of the job whose id is, or begins with, the text, the first one first.

    Raises:
        InvalidOptionError: no part of an id, or too short, or the beginning of several jobs' ids.
        NotFoundError: there is none.
    """
    text = text.lower()
    if len(text) < _LEAST or len(text) > FULL or not set(text) <= _HEX:
        raise InvalidOptionError(
            f"{text!r} is no job's id. Give its 64 characters, or at least the first {_LEAST} (`irss jobs list`)."
        )
    found = list(_by_name(account, stack, text) if len(text) == FULL else _by_beginning(account, stack, text))
    jobs = {each.name[:FULL] for each in found}
    if not found:
        raise NotFoundError(
            f"No execution of {stack.name!r} is named {text[:SHORT]!r}. The job was not begun yet, or it is more than "
            f"90 days old, or not among the last {_SEARCHED_EXECUTIONS:,}: then give its whole id."
        )
    if len(jobs) > 1:
        raise InvalidOptionError(f"{len(jobs)} jobs' ids begin with {text!r}. Give more characters.")
    return sorted(found, key=lambda each: each.began)


def history(account: Account, executions: list[Execution], parts: Mapping[str, Resource]) -> list[Entry]:
    """Return all that is known of a job, oldest first."""
    entries = [entry for execution in executions for entry in _steps(account, execution)]
    short = executions[0].name[:SHORT]
    begin_ms = round(executions[0].began.timestamp() * 1000) - _MARGIN_MS
    for group in parts_of_type(parts, "AWS::Logs::LogGroup"):
        entries += _lines(account, group, short=short, begin_ms=begin_ms)
    return sorted(entries, key=lambda each: each.at)


def _by_name(account: Account, stack: Stack, job_id: str) -> Iterator[Execution]:
    client, machine = account.client("stepfunctions"), stack.outputs.get("StateMachineArn", "")
    name, number = job_id, 0
    with asking("Step Functions", "describe an execution"):
        while True:
            arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
            try:
                found = client.describe_execution(executionArn=arn)
            except ClientError as error:
                if refusal(error) != "ExecutionDoesNotExist":
                    raise
                return
            yield _execution(found)
            number += 1
            name = f"{job_id}-{number}"


def _by_beginning(account: Account, stack: Stack, text: str) -> Iterator[Execution]:
    pages = account.client("stepfunctions").get_paginator("list_executions")
    with asking("Step Functions", "list executions"):
        listed = (
            each
            for page in pages.paginate(stateMachineArn=stack.outputs.get("StateMachineArn", ""))
            for each in page["executions"]
        )
        for each in islice(listed, _SEARCHED_EXECUTIONS):
            if each["name"].startswith(text):
                yield _execution(each)


def _execution(told: Mapping[str, Any]) -> Execution:
    return Execution(
        arn=str(told["executionArn"]),
        name=str(told["name"]),
        status=str(told["status"]),
        began=told["startDate"],
        ended=told.get("stopDate"),
    )


def _steps(account: Account, execution: Execution) -> Iterator[Entry]:
    """Yield what the state machine did; what went from state to state is left out: it has whole ids and tokens."""
    pages = account.client("stepfunctions").get_paginator("get_execution_history")
    with asking("Step Functions", "tell what happened"):
        for page in pages.paginate(executionArn=execution.arn, includeExecutionData=False):
            for event in page["events"]:
                details: Mapping[str, Any] = next(
                    (value for key, value in event.items() if key.endswith("EventDetails")), {}
                )
                told = [f"{key}: {str(details[key])[:_MOST_TOLD]}" for key in _TOLD if details.get(key)]
                yield Entry(event["timestamp"], "state machine", redacted(", ".join([event["type"], *told])))


def _lines(account: Account, group: Resource, *, short: str, begin_ms: int) -> Iterator[Entry]:
    pages = account.client("logs").get_paginator("filter_log_events")
    with asking("CloudWatch Logs", f"search {group.physical_id}"):
        found = (
            event
            for page in pages.paginate(logGroupName=group.physical_id, filterPattern=f'"{short}"', startTime=begin_ms)
            for event in page["events"]
        )
        for event in islice(found, _MOST_LINES):
            at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            yield Entry(at, group.logical_id.removesuffix("Logs").lower(), _line(event["message"]))


def _line(message: str) -> str:
    """Return a line of a log as a person reads it: what it is about first, then its facts."""
    try:
        told = json.loads(message)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return redacted(message.strip())
    told |= told.get("facts") or {}
    about = told.pop("event", None) or told.pop("message", "")
    level = str(told.pop("level", "info")).lower()
    facts = [f"{key}={value}" for key, value in told.items() if key in _FACTS and value not in (None, "")]
    return redacted(" ".join([*([level] if level not in ("info", "debug") else []), str(about), *facts]))
