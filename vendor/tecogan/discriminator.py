"""The spatio-temporal discriminator of TecoGAN, and the triplets of frames that it judges.

Paper: "Learning Temporal Coherence via Self-Supervision for GAN-based Video Generation" (arXiv 1811.09393). First
repository: github.com/thunil/TecoGAN (Apache-2.0), whose assembly is kept here, as TecoGAN-PyTorch keeps it.

It sees 27 channels at the size of the output, three groups of nine:

1. three consecutive frames, t-1, t, t+1, as they are;
2. the same three, the outer ones warped onto the middle one by the motion, which learns nothing from this;
3. the condition: the three input frames, enlarged as the generator's skip connection enlarges them.

Within a group a colour's three times stand together: R(t-1), R(t), R(t+1), G(t-1) … B(t+1). The border of the warped
group is black, because motion leads out of the frame there: both repositories crop it to 75 % and pad it with zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TRIPLET_CHANNELS = 27
STRIDE = 16  # output pixels a judged cell
WARPED_SHARE = 0.75  # of a side, in the middle, that the warped frames keep

Warp = Callable[[Tensor, Tensor], Tensor]


class SpatioTemporalDiscriminator(nn.Module):
    """Judges triplets, one logit a 16x16 cell: positive for "real".

    As in thunil/TecoGAN the last layer is a dense one over the channels of each cell, so the input has any size from
    16x16; TecoGAN-PyTorch has one dense layer over all cells of a fixed size instead. Batch normalisation always goes
    by the batch at hand, as there: there are no running statistics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Sequential(nn.Conv2d(TRIPLET_CHANNELS, 64, 3, padding=1), nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList(_halving(*channels) for channels in ((64, 64), (64, 64), (64, 128), (128, 256)))
        self.dense = nn.Conv2d(256, 1, 1)

    def forward(self, triplets: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return Nx1x(H/16)x(W/16) logits and the four blocks' features, for Nx27xHxW of ``assemble_triplets``.

        The logits are float32 or wider, under autocast, too.
        """
        x = self.conv_in(triplets)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        logits = self.dense(x)
        return logits.to(torch.promote_types(logits.dtype, torch.float32)), tuple(features)


def ping_pong(frames: Tensor) -> Tensor:
    """Return NxTx… as Nx(2T-1)x…: played forth and back, 0, 1 … T-1 … 1, 0."""
    return torch.cat((frames, frames.flip(1)[:, 1:]), 1)


def triplet_flows(flows: Tensor) -> Tensor:
    """Return NxKx3x2xHxW: the motion that brings each triplet of a ping-pong sequence onto its middle frame.

    Args:
        flows: Nx(L-1)x2xHxW, of all L = 2T-1 frames; ``flows[:, i]`` leads from frame i+1 back to frame i.

    Triplet k is the frames 3k, 3k+1, 3k+2; frames that fill no triplet are left out. The way ahead, from 3k+1 to
    3k+2, needs no estimate of its own: it is a way back in the other half of the sequence. No gradient passes.

    Raises:
        ValueError: fewer than three frames, or an even number, which is no ping-pong sequence.
    """
    length = flows.shape[1] + 1
    if length < 3 or length % 2 == 0:
        raise ValueError(f"A ping-pong sequence has 3, 5, 7 … frames, not {length}.")
    count = length // 3
    back = flows[:, 0 : 3 * count : 3]
    ahead = flows.flip(1)[:, 1 : 3 * count : 3]
    return torch.stack((back, torch.zeros_like(back), ahead), 2).detach()


def assemble_triplets(
    frames: Tensor, condition: Tensor, flows: Tensor, *, warp: Warp, kept_share: float = WARPED_SHARE
) -> Tensor:
    """Return (N*K)x27xHxW, what the discriminator judges, triplet by triplet within each sequence.

    Args:
        frames: NxLx3xHxW, generated or true. condition: NxLx3xHxW, the inputs enlarged.
        flows: NxKx3x2xHxW of ``triplet_flows``.
        warp: samples an image (Mx3xHxW) along a motion (Mx2xHxW), as ``FRNet.warp``.
        kept_share: of either side, in the middle, that the warped frames keep; the rest of them is 0.
    """
    n, count = flows.shape[:2]
    height, width = frames.shape[-2:]
    plain = frames[:, : 3 * count].reshape(n * count, 3, 3, height, width)
    warped = warp(plain.flatten(0, 1), flows.flatten(0, 2)).view_as(plain)
    given = condition[:, : 3 * count].reshape(n * count, 3, 3, height, width)
    groups = (_by_colour(plain), _black_border(_by_colour(warped), kept_share), _by_colour(given))
    return torch.cat(groups, 1)


def _by_colour(triplets: Tensor) -> Tensor:
    """Return M x time x colour x H x W as Mx9xHxW with the channels in the order (colour, time)."""
    return triplets.transpose(1, 2).flatten(1, 2)


def _black_border(x: Tensor, kept_share: float) -> Tensor:
    height, width = x.shape[-2:]
    top, left = (round(side * (1 - kept_share) / 2) for side in (height, width))
    return F.pad(x[..., top : height - top, left : width - left], (left, left, top, top))


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs, track_running_stats=False),
        nn.LeakyReLU(0.2),
    )
