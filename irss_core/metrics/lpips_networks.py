"""The networks LPIPS looks through: AlexNet, SqueezeNet 1.1, VGG-16, and the shift-tolerant AlexNet.

Only the convolutional part, ``features``, is here, with the keys of torchvision's models (``features.N…``), so the
files it publishes fit. Papers: AlexNet in its one-tower form (Krizhevsky 2014, arXiv 1404.5997), SqueezeNet (Iandola
2016, arXiv 1602.07360), VGG-16 (Simonyan 2014, arXiv 1409.1556), LPIPS (Zhang 2018, arXiv 1801.03924), Shift-tolerant
LPIPS (Ghildyal 2022, arXiv 2207.13686), blur-pool (Zhang 2019, arXiv 1904.11486).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LpipsNet = Literal["alex", "squeeze", "vgg"]
PerceptualNet = LpipsNet | Literal["stlpips"]

# The [-1, 1] of LPIPS, shifted and scaled; the same as ImageNet's mean and deviation for values in 0..1, but for
# rounding: shift = 2 mean - 1, scale = 2 deviation.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # keeps the unit length of an all-zero feature vector at zero
_VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)


@dataclass(frozen=True)
class Trunk:
    """A network as LPIPS uses it: ``taps`` are the indices in ``features`` whose output is compared.

    ``channels`` are those of the taps, ``minimum_side`` the smallest picture that leaves every tap a pixel.
    """

    title: str
    taps: tuple[int, ...]
    channels: tuple[int, ...]
    minimum_side: int
    build: Callable[[], nn.Sequential]


class FeatureNetwork(nn.Module):
    """The convolutional part of a trunk, in inference only: it changes its intermediate results in place."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.features = trunk.build()
        self._taps = frozenset(trunk.taps)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return each tap's feature maps, every pixel's channels of unit length, for 1x3xHxW scaled pixels."""
        found = []
        for index, layer in enumerate(self.features):
            following = layer(x)
            if index - 1 in self._taps:  # its successor has been computed, so it may be changed
                found.append(_to_unit_length(x))
            x = following
        return *found, _to_unit_length(x)


def scaled_pixels(rgb: Tensor) -> Tensor:
    """Return 1x3xHxW fp32, as the trunks were trained on, of 1x3xHxW uint8 RGB; the memory layout is kept."""
    shift, scale = (torch.tensor(values, device=rgb.device).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    return rgb.to(torch.float32).div_(127.5).sub_(1).sub_(shift).div_(scale)


def _to_unit_length(x: Tensor) -> Tensor:
    return x.div_(torch.linalg.vector_norm(x, dim=1, keepdim=True).add_(_EPSILON))


# -- Layers ------------------------------------------------------------------------------------------------------------


class Fire(nn.Module):
    """SqueezeNet's block: few channels, then many, half of them through 1x1 and half through 3x3 kernels."""

    def __init__(self, incoming: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(incoming, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x 2*expanded x H x W of N x incoming x H x W."""
        x = self.squeeze(x).relu_()
        return torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1).relu_()


class BlurPool(nn.Module):
    """Every second pixel of the picture under the binomial 3x3 kernel, after two pixels of mirrored border."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(row, row).expand(channels, 1, 3, 3)
        self.register_buffer("kernel", kernel.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x C x (H+3)//2 x (W+3)//2 of N x C x H x W."""
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, stride=2, groups=len(self.kernel))


# -- Trunks ------------------------------------------------------------------------------------------------------------


def _alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), _relu(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), _relu(), nn.MaxPool2d(3, 2),
        *_alexnet_end(),
    )  # fmt: skip


def _shift_tolerant_alexnet() -> nn.Sequential:
    """Return AlexNet with every stride replaced by a blur-pool; the first comes before its ReLU, as published."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, padding=2), BlurPool(64), _relu(), nn.MaxPool2d(3, 1), BlurPool(64),
        nn.Conv2d(64, 192, 5, padding=2), _relu(), nn.MaxPool2d(3, 1), BlurPool(192),
        *_alexnet_end(),
    )  # fmt: skip


def _alexnet_end() -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(192, 384, 3, padding=1), _relu(),
        nn.Conv2d(384, 256, 3, padding=1), _relu(),
        nn.Conv2d(256, 256, 3, padding=1), _relu(),
    )  # fmt: skip


def _squeezenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), _relu(), _ceil_pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), _ceil_pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), _ceil_pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip


def _vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    incoming = 3
    for step in _VGG16:
        if isinstance(step, int):
            layers += [nn.Conv2d(incoming, step, 3, padding=1), _relu()]
            incoming = step
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _relu() -> nn.ReLU:
    return nn.ReLU(inplace=True)


def _ceil_pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


_ALEXNET_CHANNELS = (64, 192, 384, 256, 256)

TRUNKS: dict[PerceptualNet, Trunk] = {
    "alex": Trunk("AlexNet", (1, 4, 7, 9, 11), _ALEXNET_CHANNELS, 31, _alexnet),
    "squeeze": Trunk("SqueezeNet 1.1", (1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512), 17, _squeezenet),
    "vgg": Trunk("VGG-16", (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), 16, _vgg16),
    "stlpips": Trunk("shift-tolerant AlexNet", (2, 6, 10, 12, 14), _ALEXNET_CHANNELS, 21, _shift_tolerant_alexnet),
}
