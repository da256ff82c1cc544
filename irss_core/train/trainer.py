"""Trainer: one step of the recipe after the other, and everything that the next step depends on, as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from irss_core.train.batches import Batch
from irss_core.train.config import TrainConfig
from irss_core.train.learner import Learner, placed
from irss_core.train.perceptual import PerceptualLoss
from irss_core.train.stages import Costs, FrvsrStage, MotionStage, TecoganStage
from vendor.tecogan.generator import FRNet
from vendor.tecogan.losses import DiscriminatorBalance

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """The networks of a stage, their optimisers, and the averaged weights that are the result.

    ``start``, if given, is the generator to begin with; it is trained in place. All chance in making the networks
    comes from the seed.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        device: torch.device,
        start: FRNet | None = None,
        perceptual: PerceptualLoss | None = None,
    ) -> None:
        self.config, self.device, self.iteration = config, device, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = FRNet(blocks=config.blocks) if start is None else start
            if perceptual is not None:
                perceptual = placed(perceptual, device)
            self._stage = _stage(config, perceptual)
        self.network = placed(network.requires_grad_(True).train(), device)
        # At the full rate the motion estimator may be thrown out of its trained state within some hundred iterations,
        # to no motion at all, from which it does not come back: the log's "motion" then falls to nearly 0.
        shares = {"fnet.": config.motion_rate_share} if config.stage != "motion" else {}
        self._generator = Learner(
            "generator", self.network, highest_rate=config.learning_rate, config=config, rate_shares=shares
        )
        self._judge: Learner | None = None
        if self._stage.discriminator is not None:
            placed(self._stage.discriminator, device)
            rate = config.discriminator_learning_rate
            self._judge = Learner("discriminator", self._stage.discriminator, highest_rate=rate, config=config)
        self._balance = DiscriminatorBalance(threshold=config.balance_threshold, decay=config.balance_decay)
        self._averaged = {name: each.detach().clone() for name, each in self.network.named_parameters()}
        if config.compile:
            for part in (self.network.fnet, self.network.srnet, self._stage.discriminator):
                if part is not None:
                    part.compile()

    def step(self, batch: Batch, *, progress: float) -> dict[str, float]:
        """Return the losses of a batch by name, unweighted, and what else the log has, having learnt from it.

        ``progress`` is the share of the stage that is done, which the learning rates follow.

        Raises:
            InputError: the gradients are not finite, and have not been for long.
        """
        precision = _DTYPES[self.config.precision]
        with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
            costs = self._stage.costs(self.network, batch)
        weights = self.config.loss_weights
        total = torch.stack([weights[name] * term for name, term in costs.terms.items() if name in weights]).sum()
        facts = {**costs.terms, "total": total, **costs.facts}
        rate_share = learning_rate_share(self.config, self.iteration, progress)
        logged = self._learn(total, costs, rate_share)
        self._average()
        self.iteration += 1
        values = torch.stack([each.detach().float() for each in facts.values()]).tolist()
        return dict(zip(facts, values, strict=True)) | logged

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights with FRNet's keys, buffers included: the result so far."""
        return {name: self._averaged.get(name, each).detach() for name, each in self.network.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor that the next step depends on, by name."""
        found = {f"averaged/{name}": each for name, each in self._averaged.items()} | self._generator.tensors()
        return found | (self._judge.tensors() if self._judge is not None else {})

    def numbers(self) -> dict[str, Any]:
        """Return every other value that the next step depends on, for JSON."""
        return {
            "iteration": self.iteration,
            "balance": self._balance.average,
            "generator": self._generator.numbers(),
            "discriminator": self._judge.numbers() if self._judge is not None else None,
        }

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go back to what ``tensors`` and ``numbers`` said: the next step is the one that would have come then.

        Raises:
            KeyError, RuntimeError: they are of another run.
        """
        self._generator.restore(tensors, numbers["generator"])
        if self._judge is not None:
            self._judge.restore(tensors, numbers["discriminator"])
        for name, each in self._averaged.items():
            each.copy_(tensors[f"averaged/{name}"])
        self._balance.average = float(numbers["balance"])
        self.iteration = int(numbers["iteration"])

    def _learn(self, total: Tensor, costs: Costs, rate_share: float) -> dict[str, float]:
        """Take a step of either network, and return norms, rates and balance for the log."""
        learns = False
        logged: dict[str, float] = {}
        if self._judge is not None and costs.discriminator is not None and costs.balance is not None:
            value = float(costs.balance)
            learns = math.isfinite(value) and self._balance.allows(value)
            logged = {
                "discriminator": float(costs.discriminator.detach()),
                "balance": value,
                "average_balance": self._balance.average,
                "discriminator_learns": float(learns),
            }
            if learns:  # before any weight changes: the generator's graph goes through the discriminator's weights
                self._judge.backward(costs.discriminator, retain_graph=True)
        self._generator.backward(total)
        logged["grad_norm"] = self._generator.apply(rate_share)
        if learns and self._judge is not None:
            logged["discriminator_grad_norm"] = self._judge.apply(rate_share)
        return logged | {"learning_rate": rate_share * self.config.learning_rate}

    def _average(self) -> None:
        """Move the averaged weights towards the present ones, faster while there are few to average over."""
        decay = min(self.config.ema_decay, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            now = [each.detach() for each in self.network.parameters()]
            torch._foreach_lerp_(list(self._averaged.values()), now, 1 - decay)


def _stage(config: TrainConfig, perceptual: PerceptualLoss | None) -> MotionStage | FrvsrStage | TecoganStage:
    if config.stage == "motion":
        return MotionStage()
    return FrvsrStage() if config.stage == "frvsr" else TecoganStage(config, perceptual=perceptual)


def learning_rate_share(config: TrainConfig, iteration: int, progress: float) -> float:
    """Return the share of the highest rate: it rises from 0, then falls as a cosine to ``last_rate_share``."""
    warm = min((iteration + 1) / config.warmup_iterations, 1.0) if config.warmup_iterations else 1.0
    low = config.last_rate_share
    return warm * (low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2)
