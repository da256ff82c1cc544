"""SRVGGNetCompact, the small network of Real-ESRGAN's general-x4v3 and animevideov3.

Paper: Real-ESRGAN (arXiv 2107.10833). Original repository: github.com/xinntao/Real-ESRGAN, whose checkpoint keys
(``body.{k}.weight``, ``body.{k}.bias``, numbered in order of the layers) are kept.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irss_core.errors import UnsupportedCheckpointError
from irss_core.sr.networks import StateDict, fill

ARCHITECTURE = "SRVGGNetCompact (Real-ESRGAN)"


class SRVGGNetCompact(nn.Module):
    """Upscales N x 3 x H x W RGB floats in 0..1 by ``scale``; a StillNetwork.

    A row of 3x3 convolutions at the input's size, then a pixel shuffle, added to the input enlarged by nearest
    neighbour. Nothing in it sees far, so ``features`` passes the picture through and ``render`` is the whole network.
    """

    def __init__(self, scale: int = 4, *, blocks: int = 32, features: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.blocks = blocks
        self.stride = 1
        self.features_reach = 0
        self.render_reach = blocks + 2  # one pixel a convolution
        self.render_scale = scale

        layers: list[nn.Module] = [_conv(3, features), nn.PReLU(features)]
        for _ in range(blocks):
            layers += [_conv(features, features), nn.PReLU(features)]
        layers.append(_conv(features, 3 * scale**2))
        self.body = nn.Sequential(*layers)

    @classmethod
    def from_state_dict(cls, state_dict: StateDict) -> Self:
        """Return the network these weights are of, in fp32, with every hyper-parameter read off the shapes.

        Raises:
            UnsupportedCheckpointError: not an SRVGGNetCompact we run; the message names what differs.
        """
        scale, blocks, features = _hyperparameters(state_dict)
        with torch.device("meta"):  # shapes only: nothing is allocated or initialised to be thrown away
            network = cls(scale, blocks=blocks, features=features)
        fill(network, state_dict, architecture=ARCHITECTURE)
        return network

    def features(self, x: Tensor) -> Tensor:
        """Return ``x``: nothing of this network needs more than ``render`` sees."""
        return x

    def render(self, features: Tensor) -> Tensor:
        """Return N x 3 x (scale H) x (scale W) RGB floats of N x 3 x H x W RGB floats, or of any part of them."""
        residual = F.pixel_shuffle(self.body(features), self.scale)
        return residual + F.interpolate(features, scale_factor=self.scale, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        """Return N x 3 x (scale H) x (scale W) RGB floats, about 0..1 and unclamped."""
        return self.render(self.features(x))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def is_srvgg(state_dict: StateDict) -> bool:
    """Whether these are the keys of an SRVGGNetCompact: convolutions and PReLU slopes taking turns in ``body``."""
    first, slopes = state_dict.get("body.0.weight"), state_dict.get("body.1.weight")
    return first is not None and slopes is not None and first.ndim == 4 and slopes.ndim == 1


def _hyperparameters(state_dict: StateDict) -> tuple[int, int, int]:
    """Return scale, blocks and features, read off the shapes."""
    weights = sorted(
        (int(parts[1]), tensor)
        for key, tensor in state_dict.items()
        if len(parts := key.split(".")) == 3 and parts[0] == "body" and parts[1].isdecimal() and parts[2] == "weight"
    )
    first, last = weights[0][1], weights[-1][1]
    if first.ndim == last.ndim == 4 and first.shape[0] > 0 and first.shape[1] == 3 and last.shape[0] > 0:
        scale = math.isqrt(last.shape[0] // 3)
        if last.shape[0] == 3 * scale**2:
            return scale, (len(weights) - 3) // 2, first.shape[0]
    raise UnsupportedCheckpointError(
        f"The checkpoint looks like {ARCHITECTURE}, but its first layer has the shape {tuple(first.shape)} and its "
        f"last {tuple(last.shape)}. Supported are RGB networks: 3 input channels and 3 x scale x scale output channels."
    )
