"""Taking a stack down, with all that it holds: what can be lost is lost for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from aws.ops.buckets import bucket_is_ours, delete_bucket, deploy_bucket_name, empty_bucket
from aws.ops.events import StackEvent, follow, last_event
from aws.ops.stack import Stack, parts_of_type, resources
from irss_core.errors import ConflictError, ResourceError
from irss_core.progress import ProgressMeter

_ROUNDS = 3  # a function or a worker may write into a bucket after it was emptied


@dataclass(frozen=True)
class Holdings:
    """What would be lost: buckets, and how many parts the stack has."""

    buckets: tuple[str, ...]
    deploy_bucket: str | None
    parts: int

    @property
    def all_buckets(self) -> tuple[str, ...]:
        """Those of the stack, and the one of its packages."""
        return self.buckets if self.deploy_bucket is None else (*self.buckets, self.deploy_bucket)


def holdings(account: Account, name: str, stack: Stack | None) -> Holdings:
    """Return what a stack of that name holds; None: it is gone, but its bucket of packages may be left."""
    parts = {} if stack is None else resources(account, stack)
    buckets = tuple(each.physical_id for each in parts_of_type(parts, "AWS::S3::Bucket"))
    deploy_bucket = deploy_bucket_name(account, name)
    return Holdings(buckets, deploy_bucket if bucket_is_ours(account, deploy_bucket) else None, len(parts))


def stop_workers(account: Account, stack: Stack) -> int:
    """Stop the workers and have no new ones started; return how many ran. One at work would hold up the deletion."""
    cluster, service = stack.outputs.get("ClusterName"), stack.outputs.get("WorkerServiceName")
    if not cluster or not service:
        return 0
    client = account.client("ecs")
    with asking("ECS", "stop the workers"):
        try:
            account.client("application-autoscaling").register_scalable_target(
                ServiceNamespace="ecs",
                ResourceId=f"service/{cluster}/{service}",
                ScalableDimension="ecs:service:DesiredCount",
                MinCapacity=0,
                MaxCapacity=0,
            )
            client.update_service(cluster=cluster, service=service, desiredCount=0)
            pages = client.get_paginator("list_tasks").paginate(cluster=cluster)
            tasks = [arn for page in pages for arn in page["taskArns"]]
            for task in tasks:
                client.stop_task(cluster=cluster, task=task, reason="The stack is deleted.")
        except ClientError as error:
            if refusal(error) in ("ServiceNotFoundException", "ClusterNotFoundException", "ServiceNotActiveException"):
                return 0
            raise
    return len(tasks)


def destroy(
    account: Account,
    stack: Stack | None,
    held: Holdings,
    *,
    meter: ProgressMeter,
    tell: Callable[[StackEvent], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete a stack, its buckets emptied first, and its bucket of packages.

    Raises:
        ResourceError: something cannot be deleted. ConflictError: the stack is being changed.
    """
    if stack is not None:
        _delete_stack(account, stack, held, meter=meter, tell=tell, sleep=sleep)
    if held.deploy_bucket is not None:
        delete_bucket(account, held.deploy_bucket)


def _delete_stack(
    account: Account,
    stack: Stack,
    held: Holdings,
    *,
    meter: ProgressMeter,
    tell: Callable[[StackEvent], None],
    sleep: Callable[[float], None],
) -> None:
    if stack.status.endswith("_IN_PROGRESS") and stack.status not in ("REVIEW_IN_PROGRESS", "DELETE_IN_PROGRESS"):
        raise ConflictError(f"The stack {stack.name!r} is being changed ({stack.status}). Wait until that is over.")
    stop_workers(account, stack)
    failures: list[StackEvent] = []

    def heard(event: StackEvent) -> None:
        if event.failed:
            failures.append(event)
        elif event.status == "DELETE_COMPLETE" and event.logical_id != stack.name:
            meter.advance()

    for _ in range(_ROUNDS):
        failures.clear()
        for bucket in held.buckets:
            if bucket_is_ours(account, bucket):
                empty_bucket(account, bucket)
        after = last_event(account, stack.id)
        with asking("CloudFormation", f"delete the stack {stack.name}"):
            account.client("cloudformation").delete_stack(StackName=stack.id)
        status = follow(account, stack.id, after=after, tell=heard, sleep=sleep)
        if status == "DELETE_COMPLETE":
            return
    for event in failures:
        tell(event)
    first = f" First {failures[0].logical_id}: {failures[0].reason}" if failures else ""
    raise ResourceError(
        f"The stack {stack.name!r} is not gone ({status}).{first} See to that, then `irss cloud destroy "
        f"--stack {stack.name}` again."
    )
