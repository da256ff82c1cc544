"""``irss bench quality`` and ``irss bench reproduce``: models measured on a data set under a named protocol."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from irss_core.cli.invocation import Invocation, invocation_of, load_settings
from irss_core.cli.options import Device, Precision, complete_model
from irss_core.errors import InvalidOptionError
from irss_core.sr.catalog import MODELS, find_model

if TYPE_CHECKING:
    from irss_core.bench.published import PublishedRow
    from irss_core.bench.quality import Contestant, QualityRequest
    from irss_core.bench.results import QualityResults, Score
    from irss_core.config import Settings

QUALITY_EXAMPLES = """\b
Examples:
  irss bench quality --data Set5 --protocol y-crop4 -m bicubic -m realesrgan-x4plus
  irss bench quality --data Vid4 --protocol tecogan-official -m tecogan-x4 -m own.pth --workers 2
  irss bench quality --data Vid4 --protocol tecogan-official -m bicubic --results basicvsr=out/basicvsr
"""
REPRODUCE_EXAMPLES = """\b
Examples:
  irss bench reproduce
  irss bench reproduce set5-bi-bicubic --data Set5
  irss bench reproduce vid4-bd-tecogan --data Vid4 --weights TecoGAN_BD_iter500000.pth
"""

Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Pictures, folders of frames, videos; or HR and LR below it."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Where results.json, results.csv and report.html go."),
]
Workers = Annotated[
    int, typer.Option("--workers", "-w", min=1, max=64, help="Processes that measure at the same time.")
]
LpipsFiles = Annotated[
    list[Path] | None,
    typer.Option("--lpips-weights", metavar="FILE", help="Weights of LPIPS or ST-LPIPS that you have; repeatable."),
]


def quality(
    context: typer.Context,
    *,
    data: Data,
    protocol: Annotated[
        str,
        typer.Option("--protocol", "-p", metavar="NAME", help="How to measure; `irss bench protocols` lists them."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            autocompletion=complete_model,
            help="A model, or a checkpoint of your own; repeatable.",
        ),
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option("--results", metavar="NAME=DIR", help="What another program made of the inputs; repeatable."),
    ] = None,
    degrade: Annotated[
        Literal["bd", "bi", "none"] | None,
        typer.Option("--degrade", help="What makes the inputs; none: the data has them. Default: the protocol's."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="One more column; repeatable.")
    ] = None,
    out: Out = None,
    workers: Workers = 1,
    lpips_weights: LpipsFiles = None,
    device: Device = None,
    dtype: Precision = None,
) -> None:
    """Measure models on a data set under a named protocol.

    Goes on where an earlier run into the same folder stopped. The exit status is 1 if anything could not be measured.
    """
    from irss_core.bench.quality import QualityRequest
    from irss_core.metrics.protocols import find_protocol

    invocation = invocation_of(context)
    settings = load_settings(device=device, dtype=dtype)
    chosen = find_protocol(protocol)
    degradation = degrade or ("none" if _brings_inputs(data) else chosen.degradation)
    request = QualityRequest(
        data=data,
        protocol=chosen,
        contestants=(*map(_contestant, model or []), *map(_results_of, results or [])),
        out=out or Path("irss-bench") / f"{data.resolve().name}-{chosen.name}-{degradation}",
        degradation=degradation,
        metrics=tuple(metric or ()),
        device=settings.device,
        dtype=settings.dtype,
        command=invocation.command,
    )
    for line in chosen.describe():
        invocation.console.note(line)
    found = _run(request, invocation, settings, workers=workers, lpips_weights=lpips_weights or ())
    _conclude(found, request, invocation)
    raise typer.Exit(0 if found.complete else 1)


def reproduce(
    context: typer.Context,
    row: Annotated[str | None, typer.Argument(metavar="[ROW]", help="Which row; without it they are listed.")] = None,
    *,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The ground truth it needs.")] = None,
    weights: Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="The checkpoint it needs.")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="DIR", help="Instead of weights: what the model made elsewhere.")
    ] = None,
    out: Out = None,
    workers: Workers = 1,
    lpips_weights: LpipsFiles = None,
    device: Device = None,
    dtype: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option("--dtype", help="Precision; rows were published in fp32.")
    ] = "fp32",
) -> None:
    """Run a row of a published table, and print ours beside theirs.

    The exit status is 0 if every value is within its tolerance.
    """
    from irss_core.bench.published import PUBLISHED, find_row

    invocation = invocation_of(context)
    if row is None:
        invocation.console.table(
            ["row", "what", "needs"],
            [[each.name, each.title, each.model or each.weights] for each in PUBLISHED.values()],
        )
        return
    chosen = find_row(row)
    settings = load_settings(device=device, dtype=dtype)
    request = _row_request(chosen, data=data, weights=weights, results=results, out=out, settings=settings)
    request = replace(request, command=invocation.command)
    found = _run(request, invocation, settings, workers=workers, lpips_weights=lpips_weights or ())
    _conclude(found, request, invocation)
    raise typer.Exit(0 if _verdict(chosen, found, invocation) else 1)


def protocols(context: typer.Context) -> None:
    """Say what each protocol and each metric is."""
    from irss_core.metrics.catalog import METRICS
    from irss_core.metrics.protocols import PROTOCOLS

    console = invocation_of(context).console
    for each in PROTOCOLS.values():
        console.block("\n".join([each.name, *(f"  {line}" for line in each.describe()), ""]))
    console.table(
        ["metric", "better", "what it is"], [[key, each.better, each.definition] for key, each in METRICS.items()]
    )


def _contestant(name: str) -> Contestant:
    from irss_core.bench.quality import Contestant

    if name in MODELS:
        return Contestant(name, "model", name)
    path = Path(name)
    if path.suffix and path.exists():
        return Contestant(path.stem, "checkpoint", name)
    if path.suffix.lower() in (".pth", ".pt", ".safetensors", ".param", ".bin"):
        raise InvalidOptionError(f"There is no checkpoint {name}. Check the path of --model.")
    return Contestant(find_model(name).name, "model", name)


def _results_of(text: str) -> Contestant:
    from irss_core.bench.quality import Contestant

    name, sign, folder = text.partition("=")
    if not (name and sign and folder):
        raise InvalidOptionError(f"--results {text!r} is not NAME=DIR. Write for example --results mine=out/mine.")
    if not Path(folder).is_dir():
        raise InvalidOptionError(f"There is no folder {folder}. Check the path of --results {name}.")
    return Contestant(name, "results", folder)


def _brings_inputs(data: Path) -> bool:
    from irss_core.bench.dataset import brings_inputs

    return brings_inputs(data)


def _row_request(
    row: PublishedRow,
    *,
    data: Path | None,
    weights: Path | None,
    results: Path | None,
    out: Path | None,
    settings: Settings,
) -> QualityRequest:
    from irss_core.bench.quality import Contestant, QualityRequest
    from irss_core.metrics.protocols import find_protocol

    if data is None or (row.weights and weights is None and results is None):
        needs = f"{row.name} ({row.title}) needs --data DIR: {row.data}"
        if row.weights:
            needs += f"; and --weights FILE: {row.weights} (or --results DIR with what that model made)"
        raise InvalidOptionError(f"{needs}. Source of the row: {row.source}.")
    if results is not None:
        contestant = _results_of(f"{row.name}={results}")
    elif weights is not None:
        contestant = _contestant(str(weights))
    else:
        contestant = Contestant(row.model, "model", row.model)
    return QualityRequest(
        data=data,
        protocol=find_protocol(row.protocol),
        contestants=(contestant,),
        out=out or Path("irss-bench") / row.name,
        degradation=row.degradation,
        metrics=tuple(each.metric for each in row.expected),
        device=settings.device,
        dtype=settings.dtype,
    )


def _run(
    request: QualityRequest,
    invocation: Invocation,
    settings: Settings,
    *,
    workers: int,
    lpips_weights: Sequence[Path],
) -> QualityResults:
    from irss_core.bench.measuring import load_network
    from irss_core.bench.quality import load_contestant, run_quality

    invocation.console.note(f"writing to {request.out}{os.sep}; the same command goes on from there if it is stopped")

    def tell(score: Score, so_far: QualityResults) -> None:
        invocation.console.result(_score_line(score, so_far))

    with invocation.cancellable() as cancel, invocation.console.progress("Measuring") as progress:
        return run_quality(
            request,
            load=functools.partial(load_contestant, cache_dir=settings.cache_dir, offline=settings.offline),
            load_network=functools.partial(
                load_network,
                cache_dir=settings.cache_dir,
                files=tuple(lpips_weights),
                offline=settings.offline,
                device=settings.device,
            ),
            workers=workers,
            progress=progress,
            cancel=cancel,
            on_score=tell,
        )


def _score_line(score: Score, results: QualityResults) -> str:
    """Return one measured sample as a line: who, on what, the values, the time of a frame."""
    place = f"{score.sample}  {score.entry}"
    if score.problem:
        return f"{place}  not measured: {score.problem}"
    values = [
        f"{metric.label} {value:.{metric.digits}f}"
        for metric in results.metrics
        if (value := score.mean(metric.key)) is not None
    ]
    if score.seconds_per_frame is not None:
        values.append(f"{score.seconds_per_frame:.3g} s a frame")
    return "  ".join([place, *values])


def _conclude(results: QualityResults, request: QualityRequest, invocation: Invocation) -> None:
    """Write the CSV and the report beside results.json, and print the table."""
    from irss_core.bench.report.page import write_report
    from irss_core.bench.report.text import to_csv, to_markdown

    (request.out / "results.csv").write_text(to_csv(results), encoding="utf-8")
    write_report(results, request.out, request.out / "report.html")
    console = invocation.console
    for problem in (*results.problems, *(f"{s.sample}, {s.entry}: {s.problem}" for s in results.scores if s.problem)):
        console.note(problem)
    console.block(to_markdown(results, average=request.protocol.published_average))
    console.note(f"wrote {request.out / 'results.json'}, results.csv and report.html beside it")


def _verdict(row: PublishedRow, results: QualityResults, invocation: Invocation) -> bool:
    """Print ours beside theirs, and return whether all values are near enough."""
    from irss_core.bench.published import check_data, compare
    from irss_core.metrics.catalog import METRICS

    console = invocation.console
    compared = compare(row, results)
    lines = []
    for each in compared:
        digits = METRICS[each.metric].digits
        ours = "-" if each.ours is None else f"{each.ours:.{digits}f}"
        difference = "-" if each.ours is None else f"{each.ours - each.theirs:+.{digits}f}"
        verdict = "pass" if each.passed else "fail" if each.ours is not None else "not measured"
        lines.append([METRICS[each.metric].label, ours, f"{each.theirs:g}", difference, f"{each.tolerance:g}", verdict])
    console.table(["metric", "ours", "theirs", "difference", "tolerance", "verdict"], lines)
    console.note(f"theirs: {row.source}")
    remarks = [*check_data(row, results), *dict.fromkeys(each.why for each in compared if each.why)]
    for remark in remarks:
        console.note(remark)
    return all(each.passed for each in compared) and not check_data(row, results)
