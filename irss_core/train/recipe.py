"""The whole recipe: from photographs and clips to the weights, the logs, the plot and the card of a stage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from irss_core.bench.record import commit
from irss_core.errors import InvalidOptionError
from irss_core.metrics.perceptual_weights import LpipsWeights
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.device import choose_device, choose_dtype, machine_report
from irss_core.train import journal
from irss_core.train.batches import BatchSource
from irss_core.train.card import CardFacts, Source, write_card
from irss_core.train.checkpoint import load_start
from irss_core.train.config import Degradation, Precision, Stage, TrainConfig
from irss_core.train.loop import RESULT, Outcome, TrainLoop
from irss_core.train.material import Material
from irss_core.train.perceptual import PerceptualLoss
from irss_core.train.plot import draw
from irss_core.train.sampler import Sampler
from irss_core.train.trainer import Trainer
from irss_core.train.validation import PROTOCOL, Validation, baseline, validate

_BEFORE: dict[Stage, Stage] = {"frvsr": "motion", "tecogan": "frvsr"}
CARD, PLOT = "card.md", "training.svg"

MakeSource = Callable[[TrainConfig, torch.Generator], BatchSource]
Note = Callable[[str], None]


@dataclass(frozen=True)
class StageRequest:
    """One stage and where it goes. ``start``: the checkpoint to begin with, or None for random weights.

    ``sources`` are the files behind ``make_source``, for the card. ``lpips`` are the weights of the perceptual loss;
    without them the stage "tecogan" goes on without that term, and says so. ``started_s``: when, by the clock, the call
    began that ``config.max_minutes`` ends; None: now.
    """

    config: TrainConfig
    out: Path
    make_source: MakeSource
    sources: Sequence[Source]
    device: str = "auto"
    start: Path | None = None
    lpips: LpipsWeights | None = None
    validation: Validation | None = None
    command: str = ""
    started_s: float | None = None


def train_stage(
    request: StageRequest,
    *,
    note: Note,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Return where this call left the stage; weights, logs, plot and card are in ``request.out``.

    Raises:
        InvalidOptionError: the device is not there, or no time is left. ModelError: the start cannot be used.
        OutputExistsError: the folder holds another run. CancelledError: ``cancel`` was thrown; all is kept.
    """
    started_s = clock() if request.started_s is None else request.started_s
    request = _with_lpips_or_without(request, note)
    if request.config.stage == "motion":  # there is no picture to measure yet
        request = replace(request, validation=None)
    config, out, device = request.config, request.out, choose_device(request.device)
    start = load_start(request.start) if request.start is not None else None
    perceptual = PerceptualLoss("squeeze", request.lpips) if request.lpips is not None else None
    trainer = Trainer(config, device=device, start=start, perceptual=perceptual)
    generator = torch.Generator().manual_seed(config.seed)

    def measure(checkpoint: Path, folder: Path) -> dict[str, float]:
        if request.validation is None:
            raise InvalidOptionError("There is nothing to validate on. Name it with --validate.")
        values = validate(request.validation, checkpoint, out=folder, cancel=cancel)
        note(f"validation: {', '.join(f'{name} {value:.4g}' for name, value in values.items())}")
        return values

    loop = TrainLoop(
        trainer,
        request.make_source(config, generator),
        generator,
        out=out,
        validate=measure if request.validation is not None else None,
        progress=progress,
        cancel=cancel,
        deadline_s=None if config.max_minutes is None else started_s + 60 * config.max_minutes,
        clock=clock,
    )
    if request.validation is not None and not (out / "baseline.json").exists():
        values = baseline(request.validation, out=out / "validation" / "bicubic", cancel=cancel)
        (out / "baseline.json").write_text(json.dumps(values), encoding="utf-8")
    try:
        outcome = loop.run()
    finally:  # stopped or not, what there is gets described
        if (out / RESULT).exists():
            describe(request, loop.outcome(), parameters=sum(each.numel() for each in trainer.network.parameters()))
    return outcome


def default_config(
    stage: Stage, *, device: str = "auto", dtype: str = "auto", seed: int = 1, degradation: Degradation = "bd"
) -> TrainConfig:
    """Return what is sensible for a stage here. "auto" is bf16 where CUDA has it: unlike fp16 it needs no scaling.

    Raises:
        InvalidOptionError: the device or the precision is unknown, or not here.
    """
    place = choose_device(device)
    chosen = choose_dtype(place, dtype)
    if dtype == "auto" and place.type == "cuda" and torch.cuda.is_bf16_supported():
        chosen = torch.bfloat16
    precision: Precision = "fp32" if chosen == torch.float32 else "bf16" if chosen == torch.bfloat16 else "fp16"
    config = TrainConfig.for_device(stage, place.type, precision=precision, seed=seed)
    return replace(config, degradation=degradation)


def describe(request: StageRequest, outcome: Outcome, *, parameters: int) -> None:
    """Write the plot and the card of a stage from its logs."""
    out = request.out
    training, validations = journal.read(out / journal.TRAINING), journal.read(out / journal.VALIDATION)
    draw(training, validations, out / PLOT)
    measured = out / "baseline.json"
    facts = CardFacts(
        config=request.config,
        weights=outcome.result,
        iteration=outcome.iteration,
        minutes=outcome.minutes,
        complete=outcome.complete,
        parameters=parameters,
        commit=commit(),
        machine=asdict(machine_report(request.device, request.config.precision)),
        command=request.command,
        start=request.start.name if request.start is not None else "",
        sources=request.sources,
        last=training[-1] if training else {},
        validations=validations,
        baseline=json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else {},
        validation_data=request.validation.data.name if request.validation is not None else "",
        protocol=PROTOCOL,
    )
    write_card(facts, out / CARD)


def sampling(material: Material) -> MakeSource:
    """Return what makes a run's batches of material that is in memory."""

    def make(config: TrainConfig, generator: torch.Generator) -> Sampler:
        return Sampler(
            material,
            batch=config.batch,
            frames=config.frames,
            size_lr=config.size_lr,
            scale=4,
            generator=generator,
            degradation=config.degradation,
        )

    return make


def starting_point(stage: Stage, out: Path, start: Path | None) -> Path | None:
    """Return what a stage begins with: ``start``, or what the one before left in ``out``; None for random weights.

    Raises:
        InvalidOptionError: the stage "tecogan" with neither.
    """
    if start is not None or stage == "motion":
        return start
    left = out / _BEFORE[stage] / RESULT
    if stage == "frvsr":
        return left if left.exists() else None
    if not left.exists():
        raise InvalidOptionError(
            f"TecoGAN begins with trained weights, and FRVSR left none in {left.parent}. Train it first (leave "
            "--stage out, or --stage frvsr), or name a checkpoint with --start."
        )
    return left


def _with_lpips_or_without(request: StageRequest, note: Note) -> StageRequest:
    if request.config.stage != "tecogan" or "perceptual" not in request.config.loss_weights:
        return replace(request, lpips=None)
    if request.lpips is None:
        note("the weights of LPIPS (SqueezeNet) were not given: training without the perceptual loss (--lpips-weights)")
        return replace(request, config=request.config.without_loss("perceptual"))
    return request
