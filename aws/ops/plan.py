"""The plan of a deployment: what CloudFormation would change, before it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from aws.ops.stack import Stack
from irss_core.errors import ConflictError, InputError, ResourceError

_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_LOOK_EVERY_S, _LOOKS = 1.0, 600
_NOTHING = ("didn't contain changes", "No updates are to be performed")
_AT_REST_BUT_BROKEN = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True)
class Change:
    """What happens to a part: "Add", "Modify", "Remove" …; ``replaced``: "True", "Conditional" or nothing."""

    action: str
    logical_id: str
    type: str
    replaced: str


@dataclass(frozen=True)
class Plan:
    """A change set; without changes there is nothing to carry out."""

    id: str
    stack_id: str
    stack_name: str
    makes_stack: bool
    changes: tuple[Change, ...]


def make_plan(
    account: Account,
    *,
    name: str,
    before: Stack | None,
    template_url: str,
    parameters: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Plan:
    """Return what would change; parameters that are not given stay as they are.

    Args:
        before: the stack as it is, None: there is none.
        parameters: of a new stack, all that have no default must be among them.

    Raises:
        ConflictError: the stack cannot be changed as it is. InputError: CloudFormation refuses the template.
    """
    makes_stack = before is None or not before.exists
    if before is not None:
        _check_changeable(before)
    client, kept = account.client("cloudformation"), set() if before is None or makes_stack else set(before.parameters)
    given: list[dict[str, Any]] = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    given += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept - set(parameters))]
    with asking("CloudFormation", "plan the deployment"):
        asked = _parameters_of(client, template_url)
        made = client.create_change_set(
            StackName=name,
            ChangeSetName=f"deploy-{time.time_ns()}",
            ChangeSetType="CREATE" if makes_stack else "UPDATE",
            TemplateURL=template_url,
            Parameters=[each for each in given if each["ParameterKey"] in asked],
            Capabilities=list(_CAPABILITIES),
            OnStackFailure="DELETE" if makes_stack else "ROLLBACK",  # a stack that was never whole is of no use
            Tags=[{"Key": "irss:stack", "Value": name}],
        )
        described = _settled(client, made["Id"], sleep)
    plan = Plan(made["Id"], made["StackId"], name, makes_stack, _changes(client, made["Id"]))
    if described["Status"] == "FAILED":
        reason = str(described.get("StatusReason", ""))
        drop_plan(account, plan)
        if any(words in reason for words in _NOTHING):
            return Plan("", plan.stack_id, name, False, ())
        raise InputError(f"CloudFormation cannot carry the template out: {reason} Correct that and try again.")
    return plan


def drop_plan(account: Account, plan: Plan) -> None:
    """Delete a plan that is not carried out, and the empty stack that a first one makes."""
    client = account.client("cloudformation")
    with asking("CloudFormation", "drop a plan"):
        client.delete_change_set(ChangeSetName=plan.id)
        if plan.makes_stack:
            client.delete_stack(StackName=plan.stack_id)


def carry_out(account: Account, plan: Plan) -> None:
    """Have CloudFormation do what the plan says; it begins at once and goes on by itself."""
    with asking("CloudFormation", "carry out the plan"):
        account.client("cloudformation").execute_change_set(ChangeSetName=plan.id)


def _check_changeable(stack: Stack) -> None:
    if stack.status in _AT_REST_BUT_BROKEN:
        raise ConflictError(
            f"The stack {stack.name!r} is in the state {stack.status}, in which nothing can be changed. "
            f"`irss cloud destroy --stack {stack.name}` clears it away; then deploy again."
        )
    if stack.exists and stack.status.endswith("_IN_PROGRESS") and not stack.works:
        raise ConflictError(
            f"The stack {stack.name!r} is being changed already ({stack.status}). Wait until that is over: "
            f"`irss cloud status --stack {stack.name}`."
        )


def _parameters_of(client: Any, template_url: str) -> set[str]:
    """Return what the template asks: a parameter that an older one had may not be named any more."""
    try:
        summary = client.get_template_summary(TemplateURL=template_url)
    except ClientError as error:
        if refusal(error) != "ValidationError":
            raise
        raise InputError(
            f"CloudFormation does not understand the template: {error.response['Error'].get('Message', '')}"
        ) from error
    return {each["ParameterKey"] for each in summary.get("Parameters", ())}


def _settled(client: Any, change_set: str, sleep: Callable[[float], None]) -> Mapping[str, Any]:
    for _ in range(_LOOKS):
        described: Mapping[str, Any] = client.describe_change_set(ChangeSetName=change_set)
        if described["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return described
        sleep(_LOOK_EVERY_S)
    raise ResourceError(
        f"CloudFormation did not finish the plan within {_LOOKS * _LOOK_EVERY_S / 60:.0f} minutes. Try again; if it "
        "lasts, look at https://health.aws.amazon.com."
    )


def _changes(client: Any, change_set: str) -> tuple[Change, ...]:
    with asking("CloudFormation", "read the plan"):
        pages = client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
        found = [each["ResourceChange"] for page in pages for each in page.get("Changes", ())]
    return tuple(
        Change(
            action=str(each["Action"]),
            logical_id=str(each["LogicalResourceId"]),
            type=str(each["ResourceType"]),
            replaced="" if each.get("Replacement", "False") == "False" else str(each["Replacement"]),
        )
        for each in found
    )
