"""Tasks of a state machine: how a worker understands them, answers, and is kept from being taken away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from irss_core.adapters.aws.tasks import Executions, ScaleInProtection, TaskLedger, assign_tasks
from irss_core.errors import ConflictError
from irss_core.jobs.job import JobStatus, begin_attempt, given_up, processed, redriven, with_results
from irss_core.jobs.options import Stage
from irss_core.jobs.ports import Message
from irss_core.jobs.worker import Assignment
from tests.made_jobs import Backstage, Stages

UNPROTECTED = ScaleInProtection(None)


class StateMachine:
    """What of Step Functions a worker and the intake call."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.executions: dict[str, str] = {}
        self.over = False

    def _say(self, what: str, **said: Any) -> None:
        if self.over:
            raise ClientError({"Error": {"Code": "TaskTimedOut", "Message": "over"}}, "SendTask")
        self.said.append((what, said))

    def send_task_success(self, **said: Any) -> None:
        self._say("success", **said)

    def send_task_failure(self, **said: Any) -> None:
        self._say("failure", **said)

    def send_task_heartbeat(self, **said: Any) -> None:
        self._say("heartbeat", **said)

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:
        if name in self.executions:
            raise ClientError({"Error": {"Code": "ExecutionAlreadyExists", "Message": name}}, "StartExecution")
        assert json.loads(input)["job_id"] == name[:64]
        self.executions[name] = "RUNNING"

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        name = executionArn.rpartition(":")[2]
        if name not in self.executions:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": name}}, "DescribeExecution")
        return {"status": self.executions[name]}


@pytest.fixture
def machine() -> StateMachine:
    return StateMachine()


@pytest.fixture
def backstage(tmp_path: Path) -> Backstage:
    return Backstage(tmp_path)


def assigned(backstage: Backstage, machine: StateMachine, body: str) -> Assignment | None:
    assign = assign_tasks(backstage.store, backstage.clock, machine, Stages(backstage), protection=UNPROTECTED)
    return assign(Message("1", body, "receipt", 1))


def test_a_message_asks_for_the_steps_of_its_lane(backstage, machine):
    (job,) = backstage.batch()
    work = assigned(backstage, machine, f"{job.id} token function")
    assert work.job == job
    assert set(work.stages) == {Stage.PREPROCESS, Stage.UPSCALE, Stage.FILTER}
    assert Stage.VALIDATE in assigned(backstage, machine, f"{job.id} token worker").stages


def test_a_job_that_ended_meanwhile_is_told_to_the_state_machine(backstage, machine):
    (job,) = backstage.batch()
    backstage.service.cancel(job.id)
    assert assigned(backstage, machine, f"{job.id} token function") is None
    ((what, said),) = machine.said
    assert (what, said["taskToken"], said["error"]) == ("failure", "token", "not-found")


def test_success_is_told_with_the_attempt_and_what_was_made_is_written_first(backstage, machine):
    (made,) = backstage.batch()
    begun = begin_attempt(made, now=backstage.clock.now())
    backstage.store.save(made, begun)
    ledger = TaskLedger(backstage.store, backstage.clock, machine, "token")
    done = with_results(begun, outputs={"result": "processed/x/result"}, facts={}, now=backstage.clock.now())
    ledger.settle(begun, processed(done, now=backstage.clock.now()))
    ((what, said),) = machine.said
    assert (what, json.loads(said["output"])) == ("success", {"job_id": made.id, "attempt": 1})
    job = backstage.job(made)
    assert job.status is JobStatus.NOT_PROCESSED, "the state machine settles it"
    assert dict(job.outputs) == {"result": "processed/x/result"}


def test_failure_is_told_and_left_to_the_state_machine(backstage, machine):
    (made,) = backstage.batch()
    ledger = TaskLedger(backstage.store, backstage.clock, machine, "token")
    ledger.settle(made, given_up(made, code="corrupt-media", error="It is cut off.", now=backstage.clock.now()))
    ((what, said),) = machine.said
    assert (what, said["error"], said["cause"]) == ("failure", "corrupt-media", "It is cut off.")
    assert backstage.job(made) == made


def test_a_task_that_is_over_is_somebody_elses(backstage, machine):
    machine.over = True
    ledger = TaskLedger(backstage.store, backstage.clock, machine, "token")
    for call in (ledger.beat, lambda: ledger.fail("unexpected", "?")):
        with pytest.raises(ConflictError):
            call()


def test_an_execution_has_its_jobs_name_and_is_started_once(backstage, machine):
    (job,) = backstage.batch()
    runs = Executions(machine, "arn:aws:states:us-east-1:1:stateMachine:irss", backstage.store)
    assert runs.start(job)
    assert not runs.start(job)
    assert runs.runs(job)
    machine.executions[job.id] = "FAILED"
    assert not runs.runs(job)


def test_a_redriven_job_has_an_execution_of_its_own(backstage, machine):
    (job,) = backstage.batch()
    runs = Executions(machine, "arn:aws:states:us-east-1:1:stateMachine:irss", backstage.store)
    runs.start(job)
    failed = given_up(job, code="unexpected", error="?", now=backstage.clock.now())
    backstage.store.settle(job, failed)
    again = redriven(failed, JobStatus.NOT_PROCESSED, now=backstage.clock.now())
    backstage.store.redrive(failed, again, by="operator")
    assert runs.start(again)
    assert list(machine.executions) == [job.id, f"{job.id}-1"]


@pytest.fixture
def agent() -> Iterator[tuple[str, list[Any]]]:
    """An ECS agent, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_worker_that_works_is_protected_from_scale_in(agent: tuple[str, list[Any]]) -> None:
    address, asked = agent
    ScaleInProtection(address).hold()
    assert asked == [("/task-protection/v1/state", {"ProtectionEnabled": True, "ExpiresInMinutes": 3})]


def test_an_agent_that_does_not_answer_stops_no_work() -> None:
    ScaleInProtection("http://127.0.0.1:9").hold()
