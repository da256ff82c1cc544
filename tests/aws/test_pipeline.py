"""The state machine: every state is reached, every failure is caught, and nothing waits for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from irss_core import errors
from tests.aws.tools import PIPELINE

State = dict[str, Any]
DEFINITION: dict[str, Any] = json.loads(PIPELINE.read_text(encoding="utf-8"))
BY_TOKEN = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"


def machines(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a state machine and those of its branches."""
    yield machine
    for state in machine["States"].values():
        for branch in state.get("Branches", ()):
            yield from machines(branch)


def states() -> Iterator[tuple[str, State]]:
    """Yield every state with its name."""
    for machine in machines(DEFINITION):
        yield from machine["States"].items()


def follows(state: State) -> set[str]:
    """Return the states that may come after one."""
    after = {state[name] for name in ("Next", "Default") if name in state}
    return after | {each["Next"] for name in ("Choices", "Catch") for each in state.get(name, ())}


def test_every_state_is_reached() -> None:
    for machine in machines(DEFINITION):
        reached, todo = set(), {machine["StartAt"]}
        while todo:
            name = todo.pop()
            reached.add(name)
            todo |= follows(machine["States"][name]) - reached
        assert reached == set(machine["States"])


@pytest.mark.parametrize(("name", "state"), list(states()))
def test_whatever_does_something_ends_in_time_and_is_caught(name: str, state: State) -> None:
    if state["Type"] in ("Task", "Parallel"):
        assert [each["ErrorEquals"] for each in state["Catch"]] == [["States.ALL"]], name
    if state["Type"] == "Task":
        assert state["TimeoutSeconds"] < DEFINITION["TimeoutSeconds"]
        for retry in state["Retry"]:
            assert retry["JitterStrategy"] == "FULL", "else what failed together is tried again together"
            # Throttled, a step has not begun: of a hundred jobs at once the last one waits for its turn a while.
            assert retry["MaxAttempts"] <= (40 if retry["ErrorEquals"] == ["Lambda.TooManyRequestsException"] else 6)
        # A file that cannot be read is read no better a second time.
        assert "States.ALL" not in {error for retry in state["Retry"] for error in retry["ErrorEquals"]}


def test_what_may_pass_by_itself_is_tried_again() -> None:
    for name, state in states():
        if state.get("Resource") == "arn:aws:states:::lambda:invoke":
            tried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
            assert {"StoreUnavailableError", "ResourceError", "Lambda.TooManyRequestsException"} <= tried, name
            assert not tried & {"InputError", "CorruptMediaError", "ConflictError", "States.TaskFailed"}, name


def test_a_worker_is_waited_for_as_long_as_a_task_may_wait_in_its_queue() -> None:
    waiting = {name: state for name, state in states() if state.get("Resource") == BY_TOKEN}
    assert set(waiting) == {"Work", "Change"}
    for state in waiting.values():
        assert 3600 <= state["HeartbeatSeconds"] < state["TimeoutSeconds"]
        body = "States.Format('{} {} {}', $.job_id, $$.Task.Token, $.lane)"
        assert state["Parameters"] == {"QueueUrl": "${TasksQueueUrl}", "MessageBody.$": body}


def test_every_failure_before_the_end_settles_the_job() -> None:
    top = DEFINITION["States"]
    caught = {name: state["Catch"][0] for name, state in top.items() if "Catch" in state}
    assert {name for name, each in caught.items() if each["Next"] == "Fail"} == {
        *("Begin", "Validate", "Metadata", "Beside", "Work", "Archive", "Commit")
    }
    # To tell others is a courtesy: the job is settled by then, and stays so.
    assert caught["Announce"]["Next"] == "Done"
    assert caught["AnnounceFailure"]["Next"] == "Whose"
    assert top["Fail"]["Parameters"]["Payload"] == {"job_id.$": "$.job_id", "failure.$": "$.failure"}


def test_a_branch_hands_its_failure_on_as_it_was() -> None:
    for machine in list(machines(DEFINITION))[1:]:
        ends = [state for state in machine["States"].values() if state["Type"] == "Fail"]
        assert [(end["ErrorPath"], end["CausePath"]) for end in ends] == [("$.failure.Error", "$.failure.Cause")]


def test_only_a_files_own_fault_is_no_failure_of_the_service() -> None:
    *absent, owners = DEFINITION["States"]["Whose"]["Choices"]
    assert [(each["Variable"], each["Next"]) for each in absent] == [("$.ended.Payload.code", "Done")] * 2
    codes = {each["StringEquals"] for each in owners["Or"]}
    of_owners = (errors.InputError, errors.UnknownModelError, errors.CancelledError)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, of_owners)]
    assert codes == {kind.code for kind in kinds}
    assert owners["Next"] == "Done"
    assert DEFINITION["States"]["Whose"]["Default"] == "Failed"


def test_no_whole_id_is_announced() -> None:
    for name in ("Announce", "AnnounceFailure"):
        assert DEFINITION["States"][name]["Parameters"] == {
            "TopicArn": "${JobEventsTopicArn}",
            "Message.$": "States.JsonToString($.ended.Payload)",
        }
