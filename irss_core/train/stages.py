"""The stages: what a batch costs the generator, term by term, and what the discriminator learns beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from irss_core.train.batches import Batch
from irss_core.train.config import TrainConfig
from irss_core.train.perceptual import PerceptualLoss
from vendor.tecogan.discriminator import SpatioTemporalDiscriminator, assemble_triplets, ping_pong, triplet_flows
from vendor.tecogan.generator import FRNet
from vendor.tecogan.losses import (
    adversarial_loss,
    balance,
    charbonnier,
    discriminator_loss,
    feature_space_loss,
    optical_flow,
    ping_pong_loss,
)


@dataclass(frozen=True)
class Rollout:
    """A generated sequence: ``frames`` NxTx3xHxW, and the motion back to the frame before, for all but the first.

    ``flows`` is Nx(T-1)x2xHxW in HR pixels, ``flows_lr`` Nx(T-1)x2xhxw in LR pixels.
    """

    frames: Tensor
    flows: Tensor
    flows_lr: Tensor


@dataclass(frozen=True)
class Costs:
    """``terms`` are the generator's losses by name, unweighted.

    ``discriminator`` is the discriminator's own loss, ``balance`` how strong it is; None in a stage without one.
    ``facts`` are further numbers for the log.
    """

    terms: Mapping[str, Tensor]
    discriminator: Tensor | None = None
    balance: Tensor | None = None
    facts: Mapping[str, Tensor] = field(default_factory=dict)


def motion(network: FRNet, lr: Tensor) -> tuple[Tensor, Tensor]:
    """Return the motion back to the frame before, for all but the first of NxTx3xhxw, in LR and in HR pixels."""
    n, length = lr.shape[:2]
    coarse = network.flow(lr[:, :-1].flatten(0, 1), lr[:, 1:].flatten(0, 1))
    fine = network.upsample_flow(coarse)
    return coarse.view(n, length - 1, *coarse.shape[1:]), fine.view(n, length - 1, *fine.shape[1:])


def unroll(network: FRNet, lr: Tensor) -> Rollout:
    """Return what ``network.step`` makes of NxTx3xhxw from a black start, all motion estimated at once."""
    n, length, _, height, width = lr.shape
    flows_lr, flows = motion(network, lr)
    frame = network.reconstruct(lr[:, 0], lr.new_zeros(n, 3, network.scale * height, network.scale * width))
    frames = [frame]
    for index in range(1, length):
        frame = network.reconstruct(lr[:, index], network.warp(frame, flows[:, index - 1]))
        frames.append(frame)
    return Rollout(torch.stack(frames, 1), flows, flows_lr)


def mean_motion(flows_lr: Tensor) -> Tensor:
    """Return how far things move from frame to frame on average, in LR pixels along either axis, for the log."""
    return flows_lr.detach().abs().mean()


def warp_loss(network: FRNet, frames: Tensor, flows: Tensor) -> Tensor:
    """Return how far each frame of NxTx3xHxW is from the one before, warped onto it by Nx(T-1)x2xHxW."""
    before, now = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
    return charbonnier(network.warp(before, flows.flatten(0, 1)), now)


def optical_flow_loss(network: FRNet, made: Rollout, hr: Tensor) -> Tensor:
    """Return how far what the output shows moves otherwise than the truth does, in HR pixels, for NxTx3xHxW ``hr``.

    In both the same motion brings each frame onto the next, and the optical flow that is left over is compared.
    """
    flows = made.flows.detach().flatten(0, 1)
    left_over = []
    for frames in (made.frames, hr):
        light = frames.mean(2, keepdim=True)
        before, now = light[:, :-1].flatten(0, 1), light[:, 1:].flatten(0, 1)
        left_over.append(optical_flow(network.warp(before, flows), now))
    made_flow, true_flow = left_over
    return (made_flow - true_flow).square().sum(1).add(1e-4).sqrt().mean()


class MotionStage:
    """The motion estimator alone: what it cannot follow, no later stage can carry on.

    A tenth of an LR pixel, hardly seen in the soft input, is nearly half a pixel of the output: so the true frames must
    come to lie on each other, too.
    """

    discriminator: nn.Module | None = None

    def costs(self, network: FRNet, batch: Batch) -> Costs:
        """Return what a batch costs."""
        flows_lr, flows = motion(network, batch.lr)
        terms = {"warp": warp_loss(network, batch.lr, flows_lr), "warp_hr": warp_loss(network, batch.hr, flows)}
        return Costs(terms, facts={"motion": mean_motion(flows_lr)})


class FrvsrStage:
    """FRVSR: close to the truth, pixel by pixel, and motion that brings one input frame onto the next."""

    discriminator: nn.Module | None = None

    def costs(self, network: FRNet, batch: Batch) -> Costs:
        """Return what a batch costs."""
        made = unroll(network, batch.lr)
        terms = {
            "charbonnier": charbonnier(made.frames, batch.hr),
            "warp": warp_loss(network, batch.lr, made.flows_lr),
            "warp_hr": warp_loss(network, batch.hr, made.flows),
        }
        return Costs(terms, facts={"motion": mean_motion(made.flows_lr)})


class TecoganStage:
    """TecoGAN: like real footage, in each frame and over time. Sequences are played forth and back."""

    def __init__(self, config: TrainConfig, *, perceptual: PerceptualLoss | None) -> None:
        self._share = config.warped_share
        self._perceptual = perceptual
        self.discriminator: nn.Module | None = SpatioTemporalDiscriminator()

    def costs(self, network: FRNet, batch: Batch) -> Costs:
        """Return what a batch costs; the graphs of both networks' losses share the judgement of the made frames."""
        lr, hr = ping_pong(batch.lr), ping_pong(batch.hr)
        made = unroll(network, lr)
        terms = {
            "charbonnier": charbonnier(made.frames, hr),
            "warp": warp_loss(network, lr, made.flows_lr),
            "warp_hr": warp_loss(network, hr, made.flows),
            "ping_pong": ping_pong_loss(made.frames),
            "optical_flow": optical_flow_loss(network, made, hr),
        }
        if self._perceptual is not None:
            terms["perceptual"] = self._perceptual(made.frames.flatten(0, 1), hr.flatten(0, 1))
        return self._with_discriminator(network, lr, hr, made, terms)

    def _with_discriminator(
        self, network: FRNet, lr: Tensor, hr: Tensor, made: Rollout, terms: dict[str, Tensor]
    ) -> Costs:
        judge = self.discriminator
        assert judge is not None  # noqa: S101  this stage has one
        condition = network.upsample_func(lr.flatten(0, 1)).view_as(hr)
        flows = triplet_flows(made.flows)
        real, fake = (
            judge(assemble_triplets(frames, condition, flows, warp=network.warp, kept_share=self._share))
            for frames in (hr, made.frames)
        )
        terms["adversarial"] = adversarial_loss(fake[0])
        terms["feature_space"] = feature_space_loss(real[1], fake[1])
        return Costs(
            terms,
            discriminator=discriminator_loss(real[0], fake[0]),
            balance=balance(real[0], fake[0]),
            facts={
                "motion": mean_motion(made.flows_lr),
                "real_score": real[0].detach().sigmoid().mean(),
                "fake_score": fake[0].detach().sigmoid().mean(),
            },
        )
