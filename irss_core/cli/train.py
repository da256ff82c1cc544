"""``irss train``: weights of one's own."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from irss_core.cli.invocation import help_instead, invocation_of, load_settings
from irss_core.cli.options import Device, Precision
from irss_core.errors import WeightsUnavailableError

if TYPE_CHECKING:
    from irss_core.config import Settings
    from irss_core.metrics.perceptual_weights import LpipsWeights
    from irss_core.train.config import Degradation, Stage, TrainConfig
    from irss_core.train.validation import Validation

EXAMPLES = """\b
Examples:
  irss train tecogan --photos photos --clips clips --out mine --lpips-weights lpips-squeeze.safetensors
  irss train tecogan --photos photos --out mine --stage frvsr --max-minutes 9
  irss train tecogan --photos photos --out mine --stage tecogan --start frvsr.safetensors --set batch=8

The same command goes on where it was stopped. Each stage has a folder in DIR: weights.safetensors (fp16), card.md,
training.svg, the logs, and the checkpoint that the next call goes on from.
"""

app = typer.Typer(invoke_without_command=True)


@app.callback()
def train(context: typer.Context) -> None:
    """Train weights of your own."""
    help_instead(context)


@app.command(epilog=EXAMPLES)
def tecogan(
    context: typer.Context,
    *,
    photos: Annotated[
        list[Path] | None, typer.Option("--photos", metavar="DIR", help="Photographs to move; repeatable.")
    ] = None,
    clips: Annotated[list[Path] | None, typer.Option("--clips", metavar="DIR", help="Real clips; repeatable.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where everything goes, and goes on from.")],
    stage: Annotated[
        Literal["motion", "frvsr", "tecogan"] | None,
        typer.Option("--stage", help="Only this one; default: all, one after the other."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", metavar="FILE", help="The checkpoint that the first stage begins with.")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", min=0.0, metavar="N", help="Stop this call then, to be gone on with."),
    ] = None,
    max_iterations: Annotated[
        int | None, typer.Option("--max-iterations", min=1, metavar="N", help="Length of a stage, over all calls.")
    ] = None,
    validate: Annotated[
        Path | None, typer.Option("--validate", metavar="DIR", help="Clips to measure on now and then.")
    ] = None,
    lpips_weights: Annotated[
        list[Path] | None,
        typer.Option("--lpips-weights", metavar="FILE", help="LPIPS with SqueezeNet, for loss and metric; repeatable."),
    ] = None,
    degradation: Annotated[
        Literal["bd", "real"], typer.Option("--degradation", help="bd: blur, every fourth pixel; real: noise and more.")
    ] = "bd",
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is left to chance.")] = 1,
    knob: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KNOB=VALUE", help="Any other setting of config.json, such as batch=8; repeatable."
        ),
    ] = None,
    device: Device = None,
    dtype: Precision = None,
) -> None:
    """Train the motion estimator, FRVSR and TecoGAN, on photographs that are moved and on real clips.

    Ctrl-C stops after the step in work, with a checkpoint. `--set loss_weights.adversarial=0.005` weighs one loss.
    """
    from irss_core.sr.device import choose_device
    from irss_core.train.config import STAGES
    from irss_core.train.material import load_material
    from irss_core.train.recipe import StageRequest, sampling, starting_point, train_stage

    started_s = time.monotonic()
    invocation, settings = invocation_of(context), load_settings(device=device, dtype=dtype)
    console = invocation.console
    options = _Options(seed, degradation, max_minutes, max_iterations, tuple(knob or ()))
    stages: tuple[Stage, ...] = (stage,) if stage is not None else STAGES
    plan = {each: _config(each, settings, options) for each in stages}
    files = tuple(lpips_weights or ())
    place = str(choose_device(settings.device))
    lpips, validation = _lpips(settings, files), _validation(validate, settings, files)
    with invocation.cancellable() as cancel:
        size_hr = 4 * max(config.size_lr for config in plan.values())
        with console.progress("Reading") as progress:
            material = load_material(
                photos or [], clips or [], device=place, size_hr=size_hr, progress=progress, cancel=cancel
            )
        for sentence in material.notes:
            console.note(sentence)
        for each, config in plan.items():
            request = StageRequest(
                config=config,
                out=out / each,
                make_source=sampling(material),
                sources=material.sources,
                device=settings.device,
                start=starting_point(each, out, start if each == stages[0] else None),
                lpips=lpips,
                validation=validation,
                command=invocation.command,
                started_s=started_s,
            )
            with console.progress(each) as progress:
                outcome = train_stage(request, note=console.note, progress=progress, cancel=cancel)
            state = "finished" if outcome.complete else "not finished; the same command goes on from there"
            console.result(f"{outcome.result}  {outcome.iteration} iterations, {state}")
            if not outcome.complete:
                break


@dataclass(frozen=True)
class _Options:
    seed: int
    degradation: Degradation
    max_minutes: float | None
    max_iterations: int | None
    knobs: tuple[str, ...]


def _config(stage: Stage, settings: Settings, options: _Options) -> TrainConfig:
    from irss_core.train.recipe import default_config

    config = default_config(
        stage, device=settings.device, dtype=settings.dtype, seed=options.seed, degradation=options.degradation
    )
    config = replace(config, max_minutes=options.max_minutes)
    if options.max_iterations is not None:
        config = replace(config, max_iterations=options.max_iterations)
    for knob in options.knobs:
        config = config.with_knob(knob)
    return config


def _lpips(settings: Settings, files: Sequence[Path]) -> LpipsWeights | None:
    """Return the weights of the perceptual loss, of the files or of this machine; None if they are not here."""
    from irss_core.metrics.perceptual_weights import resolve_lpips

    try:
        return resolve_lpips("squeeze", cache_dir=settings.cache_dir, files=files, offline=True)
    except WeightsUnavailableError:
        if files:
            raise
        return None


def _validation(data: Path | None, settings: Settings, files: Sequence[Path]) -> Validation | None:
    from irss_core.bench.measuring import load_network
    from irss_core.train.validation import Validation

    if data is None:
        return None
    load = functools.partial(
        load_network, cache_dir=settings.cache_dir, files=tuple(files), offline=True, device=settings.device
    )
    return Validation(data, settings.cache_dir, load, device=settings.device, dtype=settings.dtype)
