"""TrainConfig: every knob of a training run, in one place, as JSON and back."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from irss_core.errors import InvalidOptionError

Stage = Literal["motion", "frvsr", "tecogan"]
Precision = Literal["fp32", "bf16", "fp16"]
Degradation = Literal["bd", "real"]
STAGES: tuple[Stage, ...] = get_args(Stage)

# What a run may be continued with although it began with something else: how long it takes and what it writes.
CHANGEABLE = frozenset({
    "max_iterations", "total_minutes", "max_minutes", "validate_every_minutes", "checkpoint_every_minutes", "log_every",
    "compile", "precision",
})  # fmt: skip

# TecoGAN-PyTorch's weights, but for the perceptual term (LPIPS in place of VGG-19's cosines), the feature space, which
# has thunil/TecoGAN's, and what neither has: warp_hr and optical_flow (docs/training.md).
_LOSS_WEIGHTS: dict[Stage, dict[str, float]] = {
    "motion": {"warp": 1.0, "warp_hr": 1.0},
    "frvsr": {"charbonnier": 1.0, "warp": 1.0, "warp_hr": 1.0},
    "tecogan": {
        "charbonnier": 1.0,
        "warp": 1.0,
        "warp_hr": 1.0,
        "ping_pong": 0.5,
        "optical_flow": 0.2,
        "perceptual": 0.25,
        "adversarial": 0.01,
        "feature_space": 0.02,
    },
}

# A CPU takes few sequences at a time: at the weights above, results became worse the longer the discriminator learnt.
# Half of the feature space against more of LPIPS lies between the weights that worked (docs/training.md).
_SMALL_BATCH_WEIGHTS = {"perceptual": 1.0, "feature_space": 0.01}
_SMALL_BATCH: dict[Stage, int] = {"motion": 4, "frvsr": 2, "tecogan": 1}
_ITERATIONS: dict[Stage, tuple[int, int]] = {  # on a CPU, on CUDA
    "motion": (4_000, 10_000),
    "frvsr": (8_000, 20_000),
    "tecogan": (4_000, 10_000),
}


@dataclass(frozen=True)
class TrainConfig:
    """One stage of the training. Lengths are in frames and LR pixels, times in minutes of training.

    ``max_iterations`` and ``total_minutes`` end the stage, whichever comes first (None: it does not), over however
    many calls; the learning rate falls towards that end. ``max_minutes`` ends one call; the next one goes on.
    """

    stage: Stage = "frvsr"
    seed: int = 1
    degradation: Degradation = "bd"  # what makes the input: blur and decimation alone, or noise and compression, too

    # -- the batch
    batch: int = 4  # sequences
    frames: int = 6  # of a sequence; in the stage "tecogan" they are played forth and back
    size_lr: int = 32  # side of the input, in LR pixels; a multiple of 8
    blocks: int = 10  # residual blocks of a network that starts from nothing

    # -- the optimiser
    learning_rate: float = 3e-4  # of the generator, at its highest
    motion_rate_share: float = 0.1  # of the generator's rate, what its motion estimator learns at; see Trainer
    discriminator_learning_rate: float = 1e-4  # of the discriminator, at its highest
    warmup_iterations: int = 100  # over which the rates rise from 0
    last_rate_share: float = 0.02  # of the highest rate, what the cosine ends at
    weight_decay: float = 1e-4  # of AdamW
    clip_norm: float = 1.0  # largest norm of all gradients together, of either network
    ema_decay: float = 0.999  # an iteration, of the averaged weights, which are the result

    # -- the losses
    loss_weights: Mapping[str, float] = field(default_factory=lambda: dict(_LOSS_WEIGHTS["frvsr"]))  # by name
    warped_share: float = 0.75  # of a side, in the middle, what the discriminator sees of warped frames
    balance_threshold: float = 0.4  # above this average balance the discriminator does not learn
    balance_decay: float = 0.99  # an iteration, of that average

    # -- how long
    max_iterations: int | None = 20_000  # of the stage
    total_minutes: float | None = None  # of the stage
    max_minutes: float | None = None  # of one call, from its start to its last checkpoint, validation not counted
    validate_every_minutes: float = 30.0
    checkpoint_every_minutes: float = 5.0
    log_every: int = 10  # iterations a line of the log, which has their means

    # -- the machine
    precision: Precision = "fp32"  # of the convolutions, by autocast; weights, motion and losses are fp32
    compile: bool = False  # torch.compile: costs a minute or two, pays on CUDA in runs longer than that

    def __post_init__(self) -> None:
        for name, allowed in (("stage", STAGES), ("precision", get_args(Precision)), ("degradation", ("bd", "real"))):
            if getattr(self, name) not in allowed:
                raise InvalidOptionError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}.")
        least = {"batch": 1, "frames": 2, "blocks": 1, "log_every": 1, "warmup_iterations": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise InvalidOptionError(f"{name} is {getattr(self, name)}; it must be at least {limit}.")
        if self.size_lr < 8 or self.size_lr % 8:
            raise InvalidOptionError(f"size_lr is {self.size_lr}; it must be a multiple of 8, and at least 8.")
        unknown = sorted(set(self.loss_weights) - set(_LOSS_WEIGHTS[self.stage]))
        if unknown:
            raise InvalidOptionError(
                f"The stage {self.stage!r} has no loss {unknown[0]!r}. It has {', '.join(_LOSS_WEIGHTS[self.stage])}."
            )
        object.__setattr__(self, "loss_weights", types.MappingProxyType(dict(self.loss_weights)))

    @classmethod
    def for_device(cls, stage: Stage, device_type: str, *, precision: Precision = "fp32", seed: int = 1) -> TrainConfig:
        """Return what is sensible for a stage on a kind of device: "cuda", or another one, which is slow."""
        fast = device_type == "cuda"
        adversarial = stage == "tecogan"
        weights = _LOSS_WEIGHTS[stage] | (_SMALL_BATCH_WEIGHTS if adversarial and not fast else {})
        return cls(
            stage=stage,
            seed=seed,
            precision=precision,
            learning_rate=3e-4 if not adversarial else 1e-4 if fast else 2e-4,
            loss_weights=weights,
            log_every=10 if fast else 5,
            validate_every_minutes=5.0 if fast else 60.0,
            checkpoint_every_minutes=2.0 if fast else 5.0,
            max_iterations=_ITERATIONS[stage][fast],
            batch=16 if fast else _SMALL_BATCH[stage],
            frames=3 if stage == "motion" else 10 if fast else 5,
            size_lr=48 if stage == "motion" else 32,  # motion is seen farther than detail
        )

    def without_loss(self, name: str) -> TrainConfig:
        """Return the same run without one of the losses."""
        return replace(self, loss_weights={key: value for key, value in self.loss_weights.items() if key != name})

    def with_knob(self, text: str) -> TrainConfig:
        """Return the same run with one setting changed, as in "batch=8" or "loss_weights.warp=0.5".

        Raises:
            InvalidOptionError: there is no such setting, or the value is of another kind.
        """
        place, sign, value = text.partition("=")
        name, _, part = place.strip().partition(".")
        kinds = {each.name: str(each.type) for each in fields(self)}
        if not sign or name not in kinds or (part != "") != (name == "loss_weights"):
            raise InvalidOptionError(
                f"{text!r} is no setting with a value. Write NAME=VALUE or loss_weights.NAME=VALUE; the names are "
                f"{', '.join(kinds)}."
            )
        if part:
            number = _value(text, value, "float")
            return replace(self, loss_weights={**self.loss_weights, part: number})
        return replace(self, **{name: _value(text, value, kinds[name])})

    def to_json(self) -> str:
        """Return the configuration as JSON, one knob a line."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return the knobs as plain values."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**plain, "loss_weights": dict(self.loss_weights)}

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Return what ``to_json`` wrote.

        Raises:
            InvalidOptionError: it is no such text, or of another version of the program.
        """
        try:
            return cls.from_dict(json.loads(text))
        except ValueError as exc:
            raise InvalidOptionError(f"The configuration of the run cannot be read: {exc}.") from exc

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TrainConfig:
        """Return what ``to_dict`` returned. Raises InvalidOptionError for settings of another version."""
        try:
            return cls(**plain)
        except TypeError as exc:
            raise InvalidOptionError(f"The configuration of the run is of another version: {exc}.") from exc

    def fixed(self) -> dict[str, Any]:
        """Return what must stay the same for as long as the run lasts."""
        return {name: value for name, value in self.to_dict().items() if name not in CHANGEABLE}

    def progress(self, iteration: int, minutes: float) -> float:
        """Return the share of the stage that is done, in 0..1; 0 for a stage without an end."""
        shares = [0.0]
        if self.max_iterations is not None:
            shares.append(iteration / max(self.max_iterations, 1))
        if self.total_minutes is not None:
            shares.append(minutes / max(self.total_minutes, 1e-9))
        return min(max(shares), 1.0)


def _value(text: str, value: str, kind: str) -> Any:
    """Return a setting's value as the type its field names; "none" where that is allowed."""
    allowed = [each.strip() for each in kind.split("|")]
    try:
        if "None" in allowed and value.lower() == "none":
            return None
        if "bool" in allowed:
            return {"true": True, "false": False}[value.lower()]
        if "int" in allowed:
            return int(value)
        return float(value) if "float" in allowed else value
    except (ValueError, KeyError):
        raise InvalidOptionError(f"{text!r}: the value must be of the kind {kind}.") from None
