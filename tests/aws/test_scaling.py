"""How many workers there are for how many tasks, by the formulas that the template gives CloudWatch."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from tests.aws.compiled import compiled_template, resources

NO_DATA = math.nan  # what CloudWatch has where nothing was told


def value_of(expression: str, **metrics: float) -> float:
    """Return what CloudWatch makes of a formula of its metric math."""
    known: dict[str, Any] = {
        "IF": lambda wanted, yes, no: yes if wanted else no,
        "FILL": lambda x, by: by if math.isnan(x) else x,
    }
    assert re.fullmatch(r"[\w\s.,()+*/<>=-]+", expression)
    return float(eval(expression, {"__builtins__": {}}, known | metrics))


def scaling() -> dict[str, Any]:
    """The policy that keeps the tasks a worker where they are to be."""
    policy = resources("AWS::ApplicationAutoScaling::ScalingPolicy")["WorkersByBacklog"]
    return dict(policy["TargetTrackingScalingPolicyConfiguration"])


def formula(metrics: list[dict[str, Any]]) -> str:
    """The one formula whose value counts."""
    (asked,) = [each for each in metrics if each.get("ReturnData", True)]
    return str(asked["Expression"])


def workers_asked_for(*, waiting: float, working: float, workers: int) -> int:
    """Return what target tracking asks for next, as AWS describes it: in proportion, rounded up, within the limits."""
    parameters = compiled_template()["Parameters"]
    target, most = int(parameters["TasksPerWorker"]["Default"]), int(parameters["MaxWorkers"]["Default"])
    backlog = formula(scaling()["CustomizedMetricSpecification"]["Metrics"])
    tasks_per_worker = value_of(backlog, waiting=waiting, working=working, workers=workers or NO_DATA)
    return min(math.ceil(workers * tasks_per_worker / target), most)


@pytest.mark.parametrize(
    ("waiting", "working", "workers", "asked"),
    [
        (0, 0, 3, 0),  # nothing to do
        (NO_DATA, NO_DATA, 1, 0),  # nobody has used the queue for hours
        (0, 1, 1, 1),  # the last task is in work
        (0, 2, 4, 1),
        (5, 1, 1, 2),
        (6, 1, 1, 3),
        (7, 3, 4, 4),  # as it is to be
        (500, 4, 4, 4),  # never more than MaxWorkers
        (500, 1, 1, 4),
    ],
)
def test_workers_follow_the_backlog(waiting: float, working: float, workers: int, asked: int) -> None:
    assert workers_asked_for(waiting=waiting, working=working, workers=workers) == asked


def test_what_is_asked_for_does_not_depend_on_how_many_there_are() -> None:
    for tasks in range(1, 40):
        asked = {workers_asked_for(waiting=tasks, working=0, workers=workers) for workers in range(1, 5)}
        assert len(asked) == 1, f"{tasks} tasks: {asked} workers"


@pytest.mark.parametrize(
    ("waiting", "workers", "wanted"),
    [(0, 0, False), (NO_DATA, NO_DATA, False), (1, 0, True), (40, NO_DATA, True), (1, 1, False), (40, 4, False)],
)
def test_first_worker_is_started_when_there_is_none(waiting: float, workers: float, wanted: bool) -> None:
    alarm = resources("AWS::CloudWatch::Alarm")["FirstWorkerWanted"]
    value = value_of(formula(alarm["Metrics"]), waiting=waiting, workers=workers)
    assert (value >= alarm["Threshold"]) is wanted


@pytest.mark.parametrize(
    ("failed", "late", "well", "alarmed"),
    [
        (NO_DATA, NO_DATA, NO_DATA, False),
        (1, NO_DATA, 3, False),  # too few to speak of a rate
        (1, NO_DATA, 9, False),
        (1, NO_DATA, 8, True),
        (NO_DATA, 2, 3, True),
        (5, NO_DATA, NO_DATA, True),
    ],
)
def test_failure_rate(failed: float, late: float, well: float, alarmed: bool) -> None:
    alarm = resources("AWS::CloudWatch::Alarm")["FailureRateAlarm"]
    metrics = {"failed": failed, "late": late, "well": well}
    ended = value_of(next(each["Expression"] for each in alarm["Metrics"] if each["Id"] == "ended"), **metrics)
    percent = value_of(formula(alarm["Metrics"]), ended=ended, **metrics)
    assert (percent > alarm["Threshold"]) is alarmed
