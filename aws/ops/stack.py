"""The stack: what CloudFormation has made of the template, and where its parts are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from irss_core.errors import InvalidOptionError, NotFoundError

DEFAULT_NAME = "irss"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,26}[a-z0-9]")
"""Buckets are named after the stack, and the account and the region, in at most 63 characters."""

# Of the functions' environment, what would be wrong on another machine.
_OF_FUNCTIONS = frozenset({"IRSS_DATA_DIR", "IRSS_PROXY_KEY", "IRSS_TRUSTED_PROXIES"})


@dataclass(frozen=True)
class Stack:
    """A stack as CloudFormation describes it."""

    name: str
    id: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def exists(self) -> bool:
        """Whether anything was ever made: not so while only a plan is there."""
        return self.status != "REVIEW_IN_PROGRESS"

    @property
    def works(self) -> bool:
        """Whether what is there is whole: made, or as it was before a change that failed."""
        return self.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE") or (
            self.status.endswith("_CLEANUP_IN_PROGRESS")
        )


@dataclass(frozen=True)
class Resource:
    """A part of a stack: its name in the template, its type, and what AWS calls it."""

    logical_id: str
    type: str
    physical_id: str


def check_name(name: str) -> str:
    """Return the name of a stack, if it is one.

    Raises:
        InvalidOptionError: it is not.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidOptionError(
            f"{name!r} cannot be a stack's name. Take 2 to 28 lower-case letters, digits and hyphens, "
            "a letter first, no hyphen last."
        )
    return name


def find_stack(account: Account, name: str) -> Stack | None:
    """Return the stack of that name, or None."""
    check_name(name)
    with asking("CloudFormation", "describe a stack"):
        try:
            (found,) = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if refusal(error) == "ValidationError" and "does not exist" in str(error):
                return None
            raise
    return Stack(
        name=name,
        id=str(found["StackId"]),
        status=str(found["StackStatus"]),
        reason=str(found.get("StackStatusReason", "")),
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", ())},
        outputs={each["OutputKey"]: each.get("OutputValue", "") for each in found.get("Outputs", ())},
    )


def require_stack(account: Account, name: str) -> Stack:
    """Return the stack of that name.

    Raises:
        NotFoundError: there is none.
    """
    found = find_stack(account, name)
    if found is None or not found.exists:
        raise NotFoundError(
            f"There is no stack {name!r} in {account.region} of account {account.id}. `irss cloud deploy` makes one; "
            "--stack and --region name another one."
        )
    return found


def resources(account: Account, stack: Stack) -> dict[str, Resource]:
    """Return the parts of a stack that are there, by their name in the template."""
    with asking("CloudFormation", "list the parts of a stack"):
        found = [
            Resource(each["LogicalResourceId"], each["ResourceType"], str(each["PhysicalResourceId"]))
            for page in _pages(account.client("cloudformation"), stack)
            for each in page["StackResourceSummaries"]
            if each.get("PhysicalResourceId") and each.get("ResourceStatus") != "DELETE_COMPLETE"
        ]
    return {each.logical_id: each for each in found}


def part(parts: Mapping[str, Resource], logical_id: str) -> str | None:
    """Return what AWS calls a part, or None if the stack was made without it."""
    found = parts.get(logical_id)
    return None if found is None else found.physical_id


def parts_of_type(parts: Mapping[str, Resource], kind: str) -> list[Resource]:
    """Return all parts of a type ("AWS::S3::Bucket")."""
    return [each for each in parts.values() if each.type == kind]


def environment(account: Account, parts: Mapping[str, Resource]) -> dict[str, str]:
    """Return the settings of another machine that works on the same jobs, as its functions have them.

    Nothing if the stack has no function of ours yet, or any more.
    """
    for function in parts_of_type(parts, "AWS::Lambda::Function"):
        with asking("Lambda", "describe a function"):
            answer = account.client("lambda").get_function_configuration(FunctionName=function.physical_id)
        variables: dict[str, str] = answer.get("Environment", {}).get("Variables", {})
        if variables.get("IRSS_BACKEND") == "aws":
            ours = {name: value for name, value in variables.items() if name.startswith("IRSS_")}
            return {name: ours[name] for name in sorted(ours) if name not in _OF_FUNCTIONS and ours[name]}
    return {}


def _pages(client: Any, stack: Stack) -> Iterator[Any]:
    return iter(client.get_paginator("list_stack_resources").paginate(StackName=stack.id))
