"""LPIPS as a loss: the metric's network and heads, with gradients back to the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from irss_core.metrics.lpips_networks import TRUNKS, FeatureNetwork, LpipsNet, scaled_pixels
from irss_core.metrics.perceptual_weights import LpipsWeights
from irss_core.sr.networks import fill


class PerceptualLoss(nn.Module):
    """LPIPS v0.1 of pictures in 0..1, frozen; it agrees with ``irss_core.metrics.perceptual.Lpips``.

    The metric's own way through its network changes what autograd needs, so the layers are walked here.
    """

    def __init__(self, net: LpipsNet, weights: LpipsWeights) -> None:
        super().__init__()
        trunk = TRUNKS[net]
        network = FeatureNetwork(trunk)
        fill(network, weights.backbone, architecture=trunk.title)
        self.layers = network.features
        self.heads = nn.ParameterList(weights.heads)
        self._taps = frozenset(trunk.taps)
        self.requires_grad_(False).eval()

    def forward(self, made: Tensor, truth: Tensor) -> Tensor:
        """Return the mean distance of Nx3xHxW pictures, RGB nominally in 0..1; only ``made`` gets a gradient."""
        with torch.no_grad():
            wanted = self._features(truth)
        layers = zip(self._features(made), wanted, self.heads, strict=True)
        distances = [((a - b).square() * head.view(1, -1, 1, 1)).sum(1).mean() for a, b, head in layers]
        return torch.stack(distances).sum()

    def _features(self, rgb: Tensor) -> list[Tensor]:
        x = scaled_pixels(rgb * 255)
        found = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self._taps:
                whole = x.float()
                length = whole.square().sum(1, keepdim=True).add(1e-10).sqrt()  # its slope stays finite at zero
                found.append(whole / length)
        return found
