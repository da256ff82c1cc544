"""What pictures cost on AWS: sums computed by hand, and what they rest on held against template and state machine."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from aws.ops.cost import ALARMS, CALLS, TRANSITIONS, Load, Workers, assumptions, by_service, cost_of, monthly, total
from aws.ops.prices import PRICES
from aws.ops.template import read_template
from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.errors import InvalidOptionError

AWS = Path(__file__).resolve().parents[2] / "aws"
ONE_MEGAPIXEL = Load(1000, 1.0, seconds_per_megapixel=100.0, workers=Workers(at_most=1, start_s=0, idle_s=0))


def dollars(load: Load, service: str) -> float:
    return by_service(cost_of(load))[service]


def irss(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(["cloud", "cost", *arguments], console=Console(out, err))
    return status, out.getvalue(), err.getvalue()


# Sums, computed by hand.


def test_a_thousand_pictures_on_fargate() -> None:
    # 1,000 x (100 + 3) s = 28.6111 h of 4 vCPU at $0.04048, of 16 GB at $0.004445, and of an address at $0.005
    assert dollars(ONE_MEGAPIXEL, "Worker (Fargate)") == pytest.approx(28.6111 * (0.16192 + 0.07112 + 0.005), rel=1e-5)


def test_a_thousand_pictures_on_a_gpu() -> None:
    gpu = Load(1000, 1.0, seconds_per_megapixel=0.6, workers=Workers("g5.xlarge", at_most=1, start_s=0, idle_s=0))
    assert dollars(gpu, "Worker (EC2)") == pytest.approx(3600 / 3600 * (1.006 + 0.005))


def test_starting_and_idling_workers_are_paid_for() -> None:
    # at most 4, but 3 pictures start 3: 3 x (180 + 900) s beside 3 x 103 s
    few = Load(3, 1.0, seconds_per_megapixel=100.0)
    assert dollars(few, "Worker (Fargate)") == pytest.approx((3 * 1080 + 3 * 103) / 3600 * (0.16192 + 0.07112 + 0.005))


def test_the_pipeline() -> None:
    assert dollars(ONE_MEGAPIXEL, "Step Functions") == pytest.approx(12_000 * 0.000025)  # $0.30
    # GB-seconds a picture: Api 6x1x0.1=0.6, Intake 2x0.5x0.2=0.2, Begin 0.05, Stage 3x2.9375x1=8.8125,
    # Archive 1.727539x0.5=0.863770, Commit 0.1, Mail 0.5, SesEvents 2x0.5x0.1=0.1: 11.226270
    assert dollars(ONE_MEGAPIXEL, "Lambda") == pytest.approx(17_000 * 0.2e-6 + 11_226.27 * 0.0000133334, rel=1e-6)
    assert dollars(ONE_MEGAPIXEL, "API Gateway") == pytest.approx(0.006)


def test_storage_for_the_retention() -> None:
    # A picture: 0.3 MB for 7 + 30 days, its result of 4.8 MB for 30: 155.1 MB-days, a month having 365/12.
    storage = 155.1e-3 * 12 / 365 * 1000 / 1000 * 0.023 * 1000
    requests = 7_000 * 0.005e-3 + 14_000 * 0.0004e-3
    tiering = 4_000 * 0.01e-3 + 4_000 * 30 * 12 / 365 * 0.0025e-3
    assert dollars(ONE_MEGAPIXEL, "S3") == pytest.approx(storage + requests + tiering, rel=1e-6)


def test_messages_and_mails() -> None:
    # 12 requests and one for each 40 s of 103 s: 14; the result of 4.8 MB is attached
    assert dollars(ONE_MEGAPIXEL, "SQS") == pytest.approx(14_000 * 0.4e-6)
    assert dollars(ONE_MEGAPIXEL, "SES") == pytest.approx(0.10 + 4.8 * 0.12)
    assert dollars(ONE_MEGAPIXEL, "Data transfer") == pytest.approx(4.8 * 0.09)
    assert dollars(ONE_MEGAPIXEL, "DynamoDB") == pytest.approx(40_000 * 0.625e-6 + 60_000 * 0.125e-6)


def test_what_is_too_large_to_be_attached_is_only_downloaded() -> None:
    two = Load(1000, 2.0, seconds_per_megapixel=1.0)  # results of 9.6 MB
    assert dollars(two, "SES") == pytest.approx(0.10)
    assert dollars(two, "Data transfer") == pytest.approx(9.6 * 0.09)


def test_the_total_is_that_of_its_services() -> None:
    lines = cost_of(ONE_MEGAPIXEL)
    assert total(lines) == pytest.approx(sum(by_service(lines).values()))
    assert 7 < total(lines) < 9


def test_without_a_speed_it_is_what_was_measured_on_cpus() -> None:
    # 640 vCPU-seconds on 4 vCPUs are 160 s, and 3 s beside
    measured = Load(1, 1.0, workers=Workers(at_most=1, start_s=0, idle_s=0))
    assert dollars(measured, "Worker (Fargate)") == pytest.approx(163 / 3600 * (0.16192 + 0.07112 + 0.005))
    assert "docs/benchmarks.md" in assumptions(measured)[0]
    assert "as you said" in assumptions(ONE_MEGAPIXEL)[0]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (Load(0, 1.0), "Take at least 1"),
        (Load(1, 0.0), "more than 0"),
        (Load(1, 1.0, seconds_per_megapixel=0.0), "Take more"),
        (Load(1, 1.0, workers=Workers("g5.xlarge")), "--seconds-per-megapixel"),
    ],
)
def test_what_cannot_be_computed_says_so(load: Load, words: str) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        cost_of(load)


# What it rests on.


def test_every_price_names_its_page() -> None:
    assert {price.page.split("/")[2] for price in PRICES.values()} == {"aws.amazon.com"}
    assert all(price.dollars > 0 for price in PRICES.values())


def steps_of(states: dict[str, Any], name: str | None, choices: dict[str, str]) -> int:
    """How many states are entered from one on, a choice going as it is told."""
    count = 0
    while name is not None:
        state, count = states[name], count + 1
        for branch in state.get("Branches", ()):
            count += steps_of(branch["States"], branch["StartAt"], choices)
        name = choices.get(name) or state.get("Next") or state.get("Default")
    return count


def test_the_steps_are_those_of_the_state_machine() -> None:
    machine = json.loads((AWS / "pipeline.asl.json").read_text())
    choices = {"Lane": "Validate", "ChangesPicture": "Change"}
    assert steps_of(machine["States"], machine["StartAt"], choices) == TRANSITIONS


def test_functions_and_alarms_are_those_of_the_template() -> None:
    template = read_template()
    resources, usual = template["Resources"], template["Globals"]["Function"]["MemorySize"]
    memory = {call.function: resources[call.function]["Properties"].get("MemorySize", usual) for call in CALLS}
    assert memory == {call.function: call.memory_mb for call in CALLS}
    assert sum(each["Type"] == "AWS::CloudWatch::Alarm" for each in resources.values()) == ALARMS
    worker = template["Parameters"]
    assert (worker["WorkerCpu"]["Default"] / 1024, worker["WorkerMemory"]["Default"] / 1024) == (4.0, 16.0)
    assert worker["MaxWorkers"]["Default"] == Workers().at_most


# The command.


def test_the_command_prints_split_total_and_assumptions() -> None:
    status, out, _ = irss("--images", "1000", "--megapixels", "1", "--seconds-per-megapixel", "100")
    assert status == 0
    lines = out.splitlines()
    (whole,) = (line.split() for line in lines if line.startswith("all "))
    assert whole[1] == whole[2] == f"{total(cost_of(Load(1000, 1.0, seconds_per_megapixel=100.0))):,.2f}"
    assert any(line.startswith("Worker (Fargate)") for line in lines)
    assert "List prices of us-east-1" in out
    assert sum(line.startswith("- ") for line in lines) == len(assumptions(ONE_MEGAPIXEL))


def test_the_command_as_json_with_workers() -> None:
    status, out, _ = irss("--images", "500", "--megapixels", "2", "--json", "--workers", "1,4")
    told = json.loads(out)
    assert status == 0
    assert told["dollars_per_1000"] == pytest.approx(2 * told["dollars"])
    assert told["dollars"] == pytest.approx(sum(line["dollars"] for line in told["lines"]))
    assert [run["workers"] for run in told["workers"]] == [1, 4]
    assert sum(line["dollars"] for line in told["monthly"]) == pytest.approx(total(monthly()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gpu", "g5.xlarge"], "was not measured"),
        (["--gpu", "p9.huge"], "g4dn.xlarge"),
        (["--gpu", "g5.xlarge", "--arm"], "cannot be given together"),
        (["--workers", "some"], "1,2,4,8"),
        (["--workers", "0"], "at least 1"),
    ],
)
def test_the_command_refuses_what_it_cannot_know(options: list[str], words: str) -> None:
    status, out, err = irss("--images", "10", "--megapixels", "1", *options)
    assert (status, out) == (2, "")
    assert words in err
