"""RRDBNet, the generator of ESRGAN and Real-ESRGAN.

Papers: ESRGAN (arXiv 1809.00219), Real-ESRGAN (arXiv 2107.10833). Original repositories: github.com/xinntao/ESRGAN and
github.com/xinntao/Real-ESRGAN. The module names are the keys of the official Real-ESRGAN checkpoints; ``modern_keys``
renames the two earlier generations.
"""

from __future__ import annotations

import re
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irss_core.errors import UnsupportedCheckpointError
from irss_core.sr.networks import StateDict, fill, name_first

ARCHITECTURE = "RRDBNet (ESRGAN)"

_SLOPE = 0.2  # of every LeakyReLU
_RESIDUAL = 0.2  # share of a block's output that is added to its input
_STRIDES = {4: 1, 2: 2, 1: 4}  # scale -> pixel-unshuffle factor; the layers after it always enlarge by 4
_RENDER_SCALE = 4
_CONVS_PER_BLOCK = 15


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each reading the input and every output before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(features, growth)
        self.conv2 = _conv(features + growth, growth)
        self.conv3 = _conv(features + 2 * growth, growth)
        self.conv4 = _conv(features + 3 * growth, growth)
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` + 0.2 of the block's output; same shape."""
        # One growing map instead of a list of all outputs: the same bytes are copied, and only two maps are alive.
        joined = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            joined = torch.cat((joined, _activate(conv(joined))), dim=1)
        return torch.add(x, self.conv5(joined), alpha=_RESIDUAL)


class ResidualDenseBlocks(nn.Module):
    """The paper's RRDB: three dense blocks and a residual around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` + 0.2 of the three blocks' output; same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_RESIDUAL)


class RRDBNet(nn.Module):
    """Upscales N x 3 x H x W RGB floats in 0..1 by ``scale`` (4, 2 or 1); a StillNetwork.

    The x2 and x1 forms fold 2x2 or 4x4 input pixels into channels first, so their input sides must be multiples of
    ``stride``: the caller pads.
    """

    def __init__(self, scale: int = 4, *, blocks: int = 23, features: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.scale = scale
        self.blocks = blocks
        self.stride = _STRIDES[scale]
        self.features_reach = (2 + _CONVS_PER_BLOCK * blocks) * self.stride
        # conv_last, conv_hr and conv_up2 see 3 pixels at x4: they lie on 2 at x2, conv_up1 makes it 3, those lie on 2.
        self.render_reach = 2
        self.render_scale = _RENDER_SCALE

        self.conv_first = _conv(3 * self.stride**2, features)
        self.body = nn.Sequential(*(ResidualDenseBlocks(features, growth) for _ in range(blocks)))
        self.conv_body = _conv(features, features)
        self.conv_up1 = _conv(features, features)
        self.conv_up2 = _conv(features, features)
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, 3)

    @classmethod
    def from_state_dict(cls, state_dict: StateDict) -> Self:
        """Return the network these weights are of, in fp32, with every hyper-parameter read off the shapes.

        Raises:
            UnsupportedCheckpointError: not an RRDBNet we run; the message names what differs.
        """
        weights = modern_keys(state_dict)
        scale, blocks, features, growth = _hyperparameters(weights)
        with torch.device("meta"):  # shapes only: nothing is allocated or initialised to be thrown away
            network = cls(scale, blocks=blocks, features=features, growth=growth)
        fill(network, weights, architecture=ARCHITECTURE)
        return network

    def features(self, x: Tensor) -> Tensor:
        """Return N x features x H/stride x W/stride: everything that sees far, up to the skip after conv_body."""
        first: Tensor = self.conv_first(F.pixel_unshuffle(x, self.stride) if self.stride > 1 else x)
        seen_far: Tensor = self.conv_body(self.body(first))
        return first + seen_far

    def render(self, features: Tensor) -> Tensor:
        """Return N x 3 x 4h x 4w RGB floats of an h x w feature map or of any part of one."""
        x = _activate(self.conv_up1(F.interpolate(features, scale_factor=2, mode="nearest")))
        x = _activate(self.conv_up2(F.interpolate(x, scale_factor=2, mode="nearest")))
        rendered: Tensor = self.conv_last(_activate(self.conv_hr(x)))
        return rendered

    def forward(self, x: Tensor) -> Tensor:
        """Return N x 3 x (scale H) x (scale W) RGB floats, about 0..1 and unclamped."""
        return self.render(self.features(x))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)


# -- Checkpoint keys ---------------------------------------------------------------------------------------------------

_MODERN_BODY = re.compile(r"body\.(\d+)\.rdb([123])\.conv([1-5])\.(weight|bias)")
_FIRST_GENERATION = re.compile(r"model\.(\d+)\.(weight|bias)")
_FIRST_GENERATION_BODY = re.compile(r"model\.1\.sub\.(\d+)\.RDB([123])\.conv([1-5])\.0\.(weight|bias)")
_FIRST_GENERATION_CONV_BODY = re.compile(r"model\.1\.sub\.(\d+)\.(weight|bias)")
_FIRST_GENERATION_LAYERS = {
    "0": "conv_first", "3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last",
}  # fmt: skip
_SECOND_GENERATION_BODY = re.compile(r"RRDB_trunk\.(\d+)\.RDB([123])\.conv([1-5])\.(weight|bias)")
_SECOND_GENERATION_LAYERS = {
    "conv_first": "conv_first", "trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2",
    "HRconv": "conv_hr", "conv_last": "conv_last",
}  # fmt: skip


def is_rrdbnet(state_dict: StateDict) -> bool:
    """Whether these are the keys of an RRDBNet of any generation, complete or not."""
    return any(
        generation.fullmatch(key)
        for key in state_dict
        for generation in (_MODERN_BODY, _FIRST_GENERATION_BODY, _SECOND_GENERATION_BODY)
    )


def modern_keys(state_dict: StateDict) -> dict[str, Tensor]:
    """Return the weights under the keys of Real-ESRGAN, whichever of the three generations they come in.

    Keys of no generation are kept as they are, for the strict check afterwards to name.

    Raises:
        UnsupportedCheckpointError: a first-generation network that does not enlarge by 4.
    """
    if any(_FIRST_GENERATION_BODY.fullmatch(key) for key in state_dict):
        _check_first_generation_layers(state_dict)
        return {_from_first_generation(key): tensor for key, tensor in state_dict.items()}
    if any(_SECOND_GENERATION_BODY.fullmatch(key) for key in state_dict):
        return {_from_second_generation(key): tensor for key, tensor in state_dict.items()}
    return dict(state_dict)


def _from_first_generation(key: str) -> str:
    if match := _FIRST_GENERATION_BODY.fullmatch(key):
        return "body.{}.rdb{}.conv{}.{}".format(*match.groups())
    if match := _FIRST_GENERATION_CONV_BODY.fullmatch(key):
        return f"conv_body.{match[2]}"
    if (match := _FIRST_GENERATION.fullmatch(key)) and match[1] in _FIRST_GENERATION_LAYERS:
        return f"{_FIRST_GENERATION_LAYERS[match[1]]}.{match[2]}"
    return key


def _from_second_generation(key: str) -> str:
    if match := _SECOND_GENERATION_BODY.fullmatch(key):
        return "body.{}.rdb{}.conv{}.{}".format(*match.groups())
    layer, _, kind = key.rpartition(".")
    return f"{_SECOND_GENERATION_LAYERS[layer]}.{kind}" if layer in _SECOND_GENERATION_LAYERS else key


def _check_first_generation_layers(state_dict: StateDict) -> None:
    # The numbers count every layer, activations included, so they tell how often the network doubles.
    last = max((int(match[1]) for key in state_dict if (match := _FIRST_GENERATION.fullmatch(key))), default=0)
    known = {4: 1, 7: 2, 13: 8}
    if last in known:
        raise UnsupportedCheckpointError(
            f"This is a first-generation ESRGAN that enlarges {known[last]} times (its last layer is model.{last}). "
            "Of that generation only networks that enlarge 4 times are supported (last layer model.10)."
        )


def _hyperparameters(weights: StateDict) -> tuple[int, int, int, int]:
    """Return scale, blocks, features and growth, read off the shapes."""
    needed = ["conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"]
    missing = [key for key in needed if key not in weights]
    if missing:
        raise UnsupportedCheckpointError(
            f"The checkpoint looks like {ARCHITECTURE}, but lacks {name_first(missing)}. It is incomplete."
        )
    first, growing, last = (weights[key] for key in needed)
    for key, tensor in zip(needed, (first, growing, last), strict=True):
        if tensor.ndim != 4 or not all(tensor.shape):
            raise UnsupportedCheckpointError(
                f"The checkpoint looks like {ARCHITECTURE}, but {key} has the shape {tuple(tensor.shape)}; "
                "a convolution (outputs, inputs, 3, 3) was expected."
            )
    scales = {3 * stride**2: scale for scale, stride in _STRIDES.items()}
    if first.shape[1] not in scales or last.shape[0] != 3:
        raise UnsupportedCheckpointError(
            f"The checkpoint is an {ARCHITECTURE} with {first.shape[1]} input and {last.shape[0]} output channels. "
            "Supported are RGB networks: 3, 12 or 48 input channels (for x4, x2, x1) and 3 output channels."
        )
    blocks = len({match[1] for key in weights if (match := _MODERN_BODY.fullmatch(key))})
    return scales[first.shape[1]], blocks, first.shape[0], growing.shape[0]
