"""Tasks: what a state machine asks of workers through a queue, and how they answer it; and how it is set going."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
from botocore.exceptions import ClientError

from irss_core.adapters.aws.errors import aws_errors
from irss_core.errors import ConflictError
from irss_core.jobs.job import Job, JobStatus, with_results
from irss_core.jobs.log import record
from irss_core.jobs.options import Stage
from irss_core.jobs.ports import Clock, JobStore, Message
from irss_core.jobs.steps import OF_WORKERS
from irss_core.jobs.worker import Assignment

if TYPE_CHECKING:
    from irss_core.jobs.stages import StageFunction

_MOST_CAUSE = 32_000  # of characters, which a state machine takes
_BEAT_EVERY_S = 40.0
_PROTECTED_MINUTES = 3  # more than is between two beats
_AGENT_S = 3.0
_TASK_IS_OVER = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


@dataclass(frozen=True)
class TaskLedger:
    """The ledger of an attempt whose end a state machine waits for: the job's own state is settled there."""

    store: JobStore
    clock: Clock
    client: Any
    token: str

    def settle(self, before: Job, after: Job) -> None:
        """Tell the state machine how it ended; what the last step made is written to the job first.

        Raises:
            ConflictError: the state machine waits no more, or somebody else has the job.
        """
        if after.status is JobStatus.PROCESSED:
            kept = replace(
                with_results(before, outputs=after.outputs, facts=after.facts, now=self.clock.now()),
                error=None,
                error_code=None,
            )
            self.store.save(before, kept)
            answer = json.dumps({"job_id": after.id, "attempt": after.attempt})
            self._tell(lambda: self.client.send_task_success(taskToken=self.token, output=answer))
        else:
            self.fail(after.error_code or "unexpected", after.error or "")

    def fail(self, code: str, text: str) -> None:
        """Tell the state machine that there will be no result, and why; raises as ``settle``."""
        cause = text[:_MOST_CAUSE]
        self._tell(lambda: self.client.send_task_failure(taskToken=self.token, error=code, cause=cause))

    def beat(self) -> None:
        """Show the state machine that somebody works on it.

        Raises:
            ConflictError: it waits no more.
        """
        self._tell(lambda: self.client.send_task_heartbeat(taskToken=self.token))

    def _tell(self, call: Callable[[], object]) -> None:
        with aws_errors("Step Functions", "tell how a task goes"):
            try:
                call()
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TASK_IS_OVER:
                    raise
                raise ConflictError("The state machine does not wait for this task any more.") from error


class ScaleInProtection:
    """Keeps ECS from taking away a worker that works, when fewer are needed.

    It is asked for again and again while there is work, and ends by itself. ``agent`` is the address of the container's
    ECS agent; None: this is no task of ECS, and nothing can take it away.
    """

    def __init__(self, agent: str | None) -> None:
        self._agent = agent

    def hold(self) -> None:
        """Be protected for the next minutes. Without an answer the work goes on: its message would come back."""
        if self._agent is None:
            return
        wanted = {"ProtectionEnabled": True, "ExpiresInMinutes": _PROTECTED_MINUTES}
        try:
            httpx.put(f"{self._agent}/task-protection/v1/state", json=wanted, timeout=_AGENT_S).raise_for_status()
        except httpx.HTTPError as error:
            record("not protected from scale-in", level=logging.WARNING, error=type(error).__name__)


def assign_tasks(
    store: JobStore,
    clock: Clock,
    client: Any,
    stages: Mapping[Stage, StageFunction],
    *,
    protection: ScaleInProtection,
) -> Callable[[Message], Assignment | None]:
    """Return how messages are understood that a state machine sends: a job's id, a task token, and the job's lane.

    Of a job that is settled or gone the state machine is told so, and its message is nothing to do.
    """

    def assign(message: Message) -> Assignment | None:
        job_id, token, lane = message.body.split(" ")
        ledger, job = TaskLedger(store, clock, client, token), store.job(job_id)
        if job is None or job.settled:
            ledger.fail("not-found", "The job was settled or deleted before a worker took it.")
            return None
        wanted = {stage: stages[stage] for stage in OF_WORKERS[lane] if stage in stages}
        protection.hold()

        def beat() -> None:
            protection.hold()
            ledger.beat()

        return Assignment(job, ledger, wanted, beat=_now_and_then(beat))

    return assign


def _now_and_then(beat: Callable[[], None]) -> Callable[[], None]:
    """Return a function that may be called all the time, and beats every 40 seconds."""
    beaten_at = time.monotonic()

    def beat_if_due() -> None:
        nonlocal beaten_at
        if time.monotonic() - beaten_at >= _BEAT_EVERY_S:
            beaten_at = time.monotonic()
            beat()

    return beat_if_due


class Executions:
    """The runs of the state machine, one a job: named by the job's id, and by a number after it once redriven."""

    def __init__(self, client: Any, state_machine: str, store: JobStore) -> None:
        self._client, self._state_machine, self._store = client, state_machine, store

    def start(self, job: Job) -> bool:
        """Have the state machine work on a job; return False if it does, or did: each name is taken once.

        Raises:
            StoreUnavailableError: it could not be asked.
        """
        with aws_errors("Step Functions", "start a job"):
            try:
                self._client.start_execution(
                    stateMachineArn=self._state_machine, name=self._name(job), input=json.dumps({"job_id": job.id})
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                    raise
                return False
        return True

    def runs(self, job: Job) -> bool:
        """Whether the state machine works on a job at the moment."""
        arn = f"{self._state_machine.replace(':stateMachine:', ':execution:')}:{self._name(job)}"
        with aws_errors("Step Functions", "look after a job"):
            try:
                found = self._client.describe_execution(executionArn=arn)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                    raise
                return False
        return bool(found["status"] == "RUNNING")

    def _name(self, job: Job) -> str:
        redrives = len(self._store.audit(job.id))
        return f"{job.id}-{redrives}" if redrives else job.id
