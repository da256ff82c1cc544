"""``irss bench``: measurements of this machine, of models, of opinions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from irss_core.cli.invocation import help_instead, invocation_of, load_settings
from irss_core.cli.options import Device, Precision, complete_model
from irss_core.cli.quality import QUALITY_EXAMPLES, REPRODUCE_EXAMPLES, protocols, quality, reproduce
from irss_core.cli.votes import EXAMPLES as VOTES_EXAMPLES
from irss_core.cli.votes import votes
from irss_core.errors import InvalidOptionError
from irss_core.sr.catalog import find_model

_EXAMPLES = """\b
Examples:
  irss bench speed --quick
  irss bench speed -m tecogan-x4 --json speed.json
"""

_JOBS_EXAMPLES = """\b
Examples:
  irss bench jobs
  irss bench jobs --only overhead --jobs 100 --json jobs.json
"""

app = typer.Typer(invoke_without_command=True)
app.command(epilog=QUALITY_EXAMPLES)(quality)
app.command(epilog=REPRODUCE_EXAMPLES)(reproduce)
app.command()(protocols)
app.command(epilog=VOTES_EXAMPLES)(votes)


@app.callback()
def bench(context: typer.Context) -> None:
    """Measure how fast the models run here, and how good they are."""
    help_instead(context)


@app.command(epilog=_EXAMPLES)
def speed(
    context: typer.Context,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="The short cases, once each: a first impression.")] = False,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="NAME", autocompletion=complete_model, help="Only this one; repeatable."),
    ] = None,
    device: Device = None,
    dtype: Precision = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there, too, as JSON.")
    ] = None,
) -> None:
    """Measure the engine against the upstream scripts.

    Both run the same networks on the same pictures, alternating. Prints seconds, ratio, peak memory and how alike
    the results are, as a Markdown table.
    """
    for name in model or []:
        find_model(name)
    settings = load_settings(device=device, dtype=dtype)

    from irss_core.bench.speed import CASES, QUICK_CASES, run_speed_bench
    from irss_core.sr.loader import load_model

    cases = [
        case.name for case in CASES if (not model or case.model in model) and (not quick or case.name in QUICK_CASES)
    ]
    if not cases:
        raise InvalidOptionError(f"No speed case runs these models. It runs {', '.join({c.model for c in CASES})}.")
    console = invocation_of(context).console
    with console.progress("Measuring") as progress:
        report = run_speed_bench(
            cases,
            load=lambda name: load_model(
                find_model(name), cache_dir=settings.cache_dir, offline=settings.offline, progress=progress
            ),
            quick=quick,
            device=settings.device,
            dtype=settings.dtype,
            progress=progress,
        )
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    console.block(report.to_markdown())


@app.command(epilog=_JOBS_EXAMPLES)
def jobs(
    context: typer.Context,
    *,
    count: Annotated[
        int, typer.Option("--jobs", min=1, max=10_000, metavar="N", help="How many the overhead is measured with.")
    ] = 20,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="FIGURE", help="Only this one; repeatable. A wrong name lists them."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there, too, as JSON.")
    ] = None,
) -> None:
    """Measure the jobs: handing in, overhead, resumption, memory.

    It runs real workers and the app in a new folder of the data folder (IRSS_DATA_DIR), which is deleted afterwards;
    nothing is mailed. It takes about a minute, and prints a Markdown table.
    """
    from irss_core.jobs_speed import run_jobs_bench

    console = invocation_of(context).console
    with console.progress("Measuring") as progress:
        report = run_jobs_bench(load_settings(), only or (), jobs=count, progress=progress)
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    console.block(report.to_markdown())
