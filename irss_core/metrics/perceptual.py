"""Learned perceptual distances: LPIPS v0.1 with its linear heads, and Shift-tolerant LPIPS.

A frame's features are computed once and compared as often as needed: a clip compares each frame of the truth and of
the result with its own predecessor as well as with each other.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.backends import cudnn

from irss_core.errors import InputError, UnsupportedCheckpointError
from irss_core.metrics.lpips_networks import (
    TRUNKS,
    FeatureNetwork,
    LpipsNet,
    Trunk,
    scaled_pixels,
)
from irss_core.metrics.perceptual_weights import LpipsWeights
from irss_core.sr.device import choose_device, prepare_network
from irss_core.sr.networks import fill

_BAND_ELEMENTS = 2**20  # of a feature map, compared at a time: 4 MiB, so the difference needs no map of its own


@dataclass(frozen=True)
class LpipsFeatures:
    """What a distance needs of one picture; opaque. ``size`` is the picture's width and height."""

    metric: str
    size: tuple[int, int]
    maps: tuple[Tensor, ...]


class _PerceptualDistance:
    """A trunk and its heads on a device, in fp32."""

    def __init__(self, name: str, trunk: Trunk, weights: LpipsWeights, *, device: str) -> None:
        self._name, self._trunk, self._device = name, trunk, choose_device(device)
        if tuple(len(head) for head in weights.heads) != trunk.channels:
            raise UnsupportedCheckpointError(
                f"{name} compares {trunk.channels} channels, but the heads given weigh "
                f"{tuple(len(head) for head in weights.heads)}. They are those of another network."
            )
        network = FeatureNetwork(trunk)
        fill(network, weights.backbone, architecture=trunk.title)
        self._network = prepare_network(network.requires_grad_(False), self._device, torch.float32)
        self._heads = tuple(head.to(self._device, torch.float32) for head in weights.heads)

    def features(self, rgb: np.ndarray) -> LpipsFeatures:
        """Return what ``distance`` compares, of one picture; it stays on the device.

        Args:
            rgb: HxWx3 uint8 RGB.

        Raises:
            InputError: not such a picture, or too small for the network.
        """
        self._check(rgb)
        pixels = torch.tensor(np.ascontiguousarray(rgb), device=self._device)
        # A view with channels last in memory, which is the layout that the network has.
        pixels = pixels.permute(2, 0, 1).unsqueeze(0)
        with torch.inference_mode(), _whole_fp32():
            maps = self._network(scaled_pixels(pixels))
        return LpipsFeatures(self._name, (rgb.shape[1], rgb.shape[0]), maps)

    def distance(self, a: LpipsFeatures, b: LpipsFeatures) -> float:
        """Return the distance of two pictures: 0 for equal ones, the same both ways.

        Raises:
            InputError: the pictures differ in size, or their features are of another network.
        """
        if a.metric != self._name or b.metric != self._name:
            raise InputError(f"{self._name} cannot compare features of {a.metric} and {b.metric}: compute them anew.")
        if a.size != b.size:
            raise InputError(
                f"{self._name} compares pictures of one size; these are {a.size[0]}x{a.size[1]} and "
                f"{b.size[0]}x{b.size[1]}."
            )
        with torch.inference_mode():
            return sum(_layer_distance(*layer) for layer in zip(a.maps, b.maps, self._heads, strict=True))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the distance of two HxWx3 uint8 RGB pictures of one size; raises as the two steps do."""
        return self.distance(self.features(a), self.features(b))

    def _check(self, rgb: np.ndarray) -> None:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise InputError(
                f"{self._name} measures HxWx3 pictures of type uint8; this one is "
                f"{'x'.join(map(str, rgb.shape))} of {rgb.dtype}. Convert it to 8-bit RGB."
            )
        height, width = rgb.shape[:2]
        least = self._trunk.minimum_side
        if min(height, width) < least:
            raise InputError(
                f"{self._name} needs at least {least}x{least} pixels; the picture is {width}x{height}. "
                "Leave this metric out, or measure larger pictures."
            )


class Lpips(_PerceptualDistance):
    """LPIPS v0.1 with linear heads (Zhang et al. 2018, github.com/richzhang/PerceptualSimilarity), lower is closer.

    Agrees with the package ``lpips`` 0.1.4, ``LPIPS(net=…)``, on pictures in [-1, 1]. ``device`` as ``choose_device``
    has it.

    Raises:
        UnsupportedCheckpointError: the weights are of another network.
        InvalidOptionError: the device is unknown or absent.
    """

    def __init__(self, net: LpipsNet, weights: LpipsWeights, *, device: str = "auto") -> None:
        super().__init__(f"LPIPS ({TRUNKS[net].title})", TRUNKS[net], weights, device=device)


class StLpips(_PerceptualDistance):
    """Shift-tolerant LPIPS, AlexNet (Ghildyal and Liu 2022), lower is closer; not on the scale of LPIPS.

    Agrees with the package ``stlpips-pytorch`` 0.0.2, ``LPIPS(net="alex", variant="shift_tolerant")``, on pictures in
    [-1, 1]; the weights are that package's. Otherwise as ``Lpips``.
    """

    def __init__(self, weights: LpipsWeights, *, device: str = "auto") -> None:
        super().__init__("ST-LPIPS", TRUNKS["stlpips"], weights, device=device)


def _whole_fp32() -> AbstractContextManager[None]:
    """Return a context without TF32: by default cuDNN rounds what convolutions take to 11 bits."""
    flags: AbstractContextManager[None] = cudnn.flags(enabled=cudnn.enabled, allow_tf32=False)
    return flags


def _layer_distance(a: Tensor, b: Tensor, head: Tensor) -> float:
    """Return the mean over pixels of the weighted sum over channels of (a - b)^2, for 1xCxHxW and C weights."""
    _, channels, height, width = a.shape
    rows = max(1, _BAND_ELEMENTS // (channels * width))
    total = torch.zeros((), device=a.device)
    for top in range(0, height, rows):
        band = slice(top, top + rows)
        squares = (a[:, :, band] - b[:, :, band]).square_()
        total += (squares.permute(0, 2, 3, 1) @ head).sum()
    return float(total) / (height * width)
