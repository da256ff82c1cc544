"""``irss cloud cost``: what pictures cost on AWS, and how many workers it takes to be done in time."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irss_core.cli.invocation import invocation_of
from irss_core.cli.options import AsJson
from irss_core.errors import InvalidOptionError
from irss_core.words import time_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws.ops.cost import Line, Load
    from aws.ops.throughput import Throughput
    from irss_core.cli.console import Console

COST_EXAMPLES = """\b
Examples:
  irss cloud cost --images 1000 --megapixels 1
  irss cloud cost --images 1000 --megapixels 1 --gpu g5.xlarge --seconds-per-megapixel 0.4
  irss cloud cost --images 5000 --megapixels 12 --seconds-per-megapixel 60 --workers 1,2,4,8
"""


def cost(
    context: typer.Context,
    *,
    images: Annotated[int, typer.Option("--images", metavar="N", help="How many pictures.")],
    megapixels: Annotated[float, typer.Option("--megapixels", metavar="M", help="Of each picture handed in.")],
    seconds_per_megapixel: Annotated[
        float | None,
        typer.Option("--seconds-per-megapixel", metavar="S", help="Of one worker; default: as measured on CPUs."),
    ] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="TYPE", help="On machines of EC2: g4dn.xlarge, g5.xlarge, g6.xlarge.")
    ] = None,
    arm: Annotated[bool, typer.Option("--arm", help="On Fargate's Arm processors.")] = False,
    cores: Annotated[float, typer.Option("--cores", metavar="VCPU", help="Of a worker on Fargate.")] = 4.0,
    memory_gb: Annotated[float, typer.Option("--memory-gb", metavar="GB", help="Of a worker on Fargate.")] = 16.0,
    workers: Annotated[
        str | None, typer.Option("--workers", metavar="N,N…", help="Also how long so many workers would take.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate what pictures cost on AWS, in all and for every 1,000, with every assumption.

    Prices are AWS's list prices of us-east-1, of the date that is printed. Nothing is asked of AWS.
    """
    from aws.ops.cost import Load, Workers, assumptions, cost_of, monthly
    from aws.ops.throughput import Pace, simulate

    load = Load(
        images=images,
        megapixels=megapixels,
        seconds_per_megapixel=seconds_per_megapixel,
        workers=Workers(machine=_machine(gpu, arm=arm), cores=cores, memory_gb=memory_gb),
    )
    lines, fixed, console = cost_of(load), monthly(), invocation_of(context).console
    pace = Pace(_picture_seconds(load), start_s=load.workers.start_s)
    runs = [simulate(pictures=images, workers=number, pace=pace) for number in _numbers(workers)]
    if as_json:
        console.block(json.dumps(_facts(lines, fixed, assumptions(load), runs, load), indent=2))
        return
    _tell_lines(lines, console, images=images)
    console.block("")
    console.result("A month without pictures:")
    console.table(
        ["service", "what", "$ a month"], [[each.service, each.what, f"{each.dollars:.2f}"] for each in fixed]
    )
    if runs:
        console.block("")
        _tell_runs(runs, console)
    console.block("")
    for text in assumptions(load):
        console.result(f"- {text}")


def _machine(gpu: str | None, *, arm: bool) -> Any:
    from aws.ops.prices import GPU_MACHINES

    if gpu is None:
        return "fargate-arm" if arm else "fargate-x86"
    if arm:
        raise InvalidOptionError("--gpu and --arm cannot be given together. Choose one.")
    if gpu not in GPU_MACHINES:
        raise InvalidOptionError(f"There is no price of {gpu!r} here. --gpu takes {', '.join(GPU_MACHINES)}.")
    return gpu


def _numbers(text: str | None) -> list[int]:
    try:
        return [int(each) for each in text.split(",")] if text else []
    except ValueError:
        raise InvalidOptionError(f"--workers cannot be {text!r}. Give numbers, such as 1,2,4,8.") from None


def _picture_seconds(load: Load) -> float:
    from aws.ops.cost import picture_seconds

    return picture_seconds(load)


def _tell_lines(lines: Sequence[Line], console: Console, *, images: int) -> None:
    from aws.ops.cost import by_service, total
    from aws.ops.prices import AS_OF, REGION

    rows = [
        [
            each.service,
            each.what,
            f"{each.amount:,.6g}",
            _price(each),
            _dollars(each.dollars),
        ]
        for each in lines
    ]
    console.table(["service", "what", "amount", "$ / units", "$ in all"], rows)
    console.block("")
    services = [[name, _dollars(sum_), _dollars(sum_ * 1000 / images)] for name, sum_ in by_service(lines).items()]
    whole = total(lines)
    everything = ["all", _dollars(whole), _dollars(whole * 1000 / images)]
    console.table(["service", "$ in all", "$ per 1,000"], [*services, everything])
    console.result(f"List prices of {REGION}, {AS_OF}; other regions are up to a third dearer.")


def _tell_runs(runs: Sequence[Throughput], console: Console) -> None:
    console.table(
        ["workers", "all done after", "pictures an hour", "busy"],
        [
            [str(run.workers), time_words(run.seconds), f"{run.pictures_per_hour:,.0f}", f"{run.busy_share:.0%}"]
            for run in runs
        ],
    )
    console.result("Simulated: all pictures wait at the start, and no worker runs yet.")


def _price(line: Line) -> str:
    units = "" if line.price.units == 1 else f"{line.price.units:,.0f} "
    return f"{line.price.dollars:g} / {units}{line.price.unit}"


def _dollars(dollars: float) -> str:
    return f"{dollars:.4f}" if dollars < 1 else f"{dollars:,.2f}"


def _facts(
    lines: Sequence[Line], fixed: Sequence[Line], assumed: list[str], runs: Sequence[Throughput], load: Load
) -> dict[str, Any]:
    from aws.ops.cost import by_service, total
    from aws.ops.prices import AS_OF, REGION

    def told(each: Line) -> dict[str, Any]:
        return asdict(each) | {"dollars": each.dollars}

    return {
        "prices": {"region": REGION, "as_of": AS_OF},
        "images": load.images,
        "dollars": total(lines),
        "dollars_per_1000": total(lines) * 1000 / load.images,
        "by_service": by_service(lines),
        "lines": [told(each) for each in lines],
        "monthly": [told(each) for each in fixed],
        "assumptions": assumed,
        "workers": [asdict(run) | {"pictures_per_hour": run.pictures_per_hour} for run in runs],
    }
