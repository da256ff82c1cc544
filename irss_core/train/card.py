"""The card of a trained checkpoint, in Markdown: what it was made of, how, how long, how good it is, and where not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irss_core.sr.weights import sha256_of
from irss_core.train.config import Stage, TrainConfig

Source = tuple[str, str, str]
"""A file of the training data, its licence, and where it is from."""

_TITLES: dict[Stage, str] = {
    "motion": "FRVSR's motion estimator alone, for the whole network to begin with; its pictures are of no use",
    "frvsr": "FRVSR: Charbonnier loss on the output, warp loss on the input; close to the truth, soft where unsure",
    "tecogan": "TecoGAN: adversarial, with a spatio-temporal discriminator; sharp, its detail plausible, not true",
}
_MEANINGS = {
    "charbonnier": "output against truth",
    "warp": "input frame against the one before, warped",
    "warp_hr": "true frame against the one before, warped by the same motion",
    "optical_flow": "motion of the output against motion of the truth, where Lucas and Kanade find it",
    "ping_pong": "the two visits to a frame of a sequence played forth and back",
    "perceptual": "LPIPS with SqueezeNet, output against truth",
    "adversarial": "what the discriminator does not believe",
    "feature_space": "the discriminator's features of output and truth",
}
_MADE_FOR = {
    "bd": "clips made small by a Gaussian blur of sigma 1.5 and decimation by four, without noise or compression",
    "real": "footage from cameras and the web: varied blur, some noise, compression",
}
_LIMITS: dict[str, tuple[str, ...]] = {
    "bd": (
        "It undoes blur and decimation, nothing else: noise and compression in the input are kept or made stronger, "
        "and an input made small by another filter comes out too soft or too sharp.",
    ),
    "real": ("On clean input it is softer than a model that was trained on the BD degradation alone.",),
}
_COMMON_LIMITS = (
    "Most motion in training is synthetic, rendered from photographs: cloth, water, smoke and faces are hardly seen. "
    "Motion beyond 24 input pixels a frame cannot be followed.",
    "The first frame of a sequence has no past and is softer, unless a few frames are played as a warm-up. After a "
    "scene cut the state must be dropped.",
    "Not for reading faces, number plates or text, nor for measuring.",
)


@dataclass(frozen=True)
class CardFacts:
    """Everything the card says. ``machine`` and ``commit`` as ``bench.record.environment`` has them.

    ``last`` is the last line of the training log, ``validations`` the lines of the validation log, ``baseline`` the
    same metrics of bicubic resampling; empty where nothing was measured.
    """

    config: TrainConfig
    weights: Path
    iteration: int
    minutes: float
    complete: bool
    parameters: int
    commit: str
    machine: Mapping[str, Any]
    command: str
    start: str
    sources: Sequence[Source]
    last: Mapping[str, Any] = field(default_factory=dict)
    validations: Sequence[Mapping[str, Any]] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    validation_data: str = ""
    protocol: str = ""


def write_card(facts: CardFacts, path: Path) -> None:
    """Write the card, and beside it data.tsv, every file of the training data with its licence and source."""
    path.write_text(card(facts), encoding="utf-8")
    rows = ["file\tlicence\tsource", *("\t".join(source) for source in facts.sources)]
    path.with_name("data.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def card(facts: CardFacts) -> str:
    """Return the card's text."""
    blocks = [f"# {facts.weights.stem}", _summary(facts), "## Training", _training(facts), _losses(facts)]
    blocks += ["## Data", _data(facts.sources), "## Measured", _validation(facts)]
    limits = (*_LIMITS[facts.config.degradation], *_COMMON_LIMITS)
    blocks += ["## Known limits", "\n".join(f"- {each}" for each in limits)]
    settings = "\n".join(f"    {line}" for line in facts.config.to_json().splitlines())
    return "\n\n".join([*blocks, "## All settings", settings]) + "\n"


def _summary(facts: CardFacts) -> str:
    return _table(("", ""), [
        ("file", f"`{facts.weights.name}`, {facts.weights.stat().st_size:,} bytes"),
        ("SHA-256", f"`{sha256_of(facts.weights)}`"),
        ("network", f"FRNet x4, {facts.parameters:,} parameters, averaged over the training, stored as fp16"),
        ("stage", _TITLES[facts.config.stage]),
        ("made for", _MADE_FOR[facts.config.degradation]),
        ("output grid", "corner: output pixel 4i lies on input pixel i"),
    ])  # fmt: skip


def _training(facts: CardFacts) -> str:
    config, machine = facts.config, facts.machine
    threads, size = machine.get("threads", ""), f"{config.size_lr}x{config.size_lr}"
    both_ways = ", played forth and back" if config.stage == "tecogan" else ""
    return _table(("", ""), [
        ("iterations", f"{facts.iteration:,}" + ("" if facts.complete else ", not finished")),
        ("minutes", f"{facts.minutes:.1f}"),
        ("hardware", f"{machine.get('device_name', '')}, {machine.get('device', '')}, {threads} CPU threads"),
        ("precision", f"{config.precision}; torch {machine.get('torch_version', '')}"),
        ("began with", facts.start or "random weights"),
        ("batch", f"{config.batch} sequences of {config.frames} frames of {size} input pixels{both_ways}"),
        ("optimiser", f"AdamW, {config.learning_rate:g} as a cosine; weights averaged, decay {config.ema_decay:g}"),
        ("seed", str(config.seed)),
        ("commit", f"`{facts.commit}`" if facts.commit else "not known"),
        ("command", f"`{facts.command}`" if facts.command else "not known"),
    ])  # fmt: skip


def _losses(facts: CardFacts) -> str:
    rows = [
        (name, f"{weight:g}", _number(facts.last.get(name)), _MEANINGS[name])
        for name, weight in facts.config.loss_weights.items()
    ]
    note = ""
    if facts.config.stage == "tecogan" and "perceptual" not in facts.config.loss_weights:
        note = "\n\nThe weights of LPIPS were not at hand: there was no perceptual loss."
    return _table(("loss", "weight", "last value, unweighted", "what"), rows) + note


def _data(sources: Sequence[Source]) -> str:
    if not sources:
        return "Not stated."
    counts = Counter(licence or "not stated" for _, licence, _ in sources)
    rows = [(licence, str(count)) for licence, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    return _table(("licence", "files"), rows) + "\n\nEvery file with its source stands in `data.tsv`."


def _validation(facts: CardFacts) -> str:
    from irss_core.metrics.catalog import METRICS

    rows = [("bicubic", facts.baseline)] if facts.baseline else []
    rows += [(f"after {each['iteration']:,} iterations, {each['minutes']:.1f} min", each) for each in facts.validations]
    keys = [key for key in METRICS if any(key in values for _, values in rows)]
    if not keys:
        return "Not measured."
    headings = [
        f"{METRICS[key].label}{f' ({METRICS[key].unit})' if METRICS[key].unit else ''}, {METRICS[key].better} is better"
        for key in keys
    ]
    cells = [(name, *(_digits(values.get(key), METRICS[key].digits) for key in keys)) for name, values in rows]
    return f"{facts.validation_data}, protocol `{facts.protocol}`.\n\n" + _table(("", *headings), cells)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def _digits(value: Any, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
