"""Small networks with fixed random weights: the engine's behaviour does not depend on what a network has learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from irss_core.sr.loader import LoadedModel
from irss_core.sr.networks.rrdbnet import RRDBNet
from irss_core.sr.networks.srvgg import SRVGGNetCompact
from vendor.tecogan.generator import FRNet


def loaded(network: nn.Module, architecture: str, *, name: str = "tiny") -> LoadedModel:
    """Wrap a network as the loader would."""
    sequence = architecture == "frnet"
    corner = sequence and network.degradation == "BD"
    return LoadedModel(
        name=name,
        title=name,
        architecture=architecture,
        network=network.eval().requires_grad_(False),
        scale=network.scale,
        default_outscale=float(network.scale),
        kind="sequence" if sequence else "still",
        grid="corner" if corner else "half-pixel",
        blocks=network.blocks,
        parameters=sum(p.numel() for p in network.parameters()),
        sha256="0" * 64,
        source="made for a test",
        spec=None,
    )


def tiny_rrdbnet(scale: int = 4, *, blocks: int = 1) -> LoadedModel:
    """An RRDBNet whose output is a picture-like function of its input."""
    torch.manual_seed(1)
    return loaded(RRDBNet(scale, blocks=blocks, features=8, growth=4), "rrdbnet")


def tiny_srvgg(scale: int = 4) -> LoadedModel:
    """An SRVGGNetCompact with two blocks."""
    torch.manual_seed(2)
    return loaded(SRVGGNetCompact(scale, blocks=2, features=8), "srvgg")


def tiny_frnet(degradation: str = "BD") -> LoadedModel:
    """An FRNet with two blocks."""
    torch.manual_seed(3)
    return loaded(FRNet(scale=4, blocks=2, degradation=degradation), "frnet")


def baseline(name: str = "bicubic") -> LoadedModel:
    """A resampling baseline, as the loader returns it."""
    model = tiny_srvgg()
    return replace(model, name=name, architecture="resample", network=None, default_outscale=4.0)


def noise_picture(height: int, width: int, *, channels: int = 3, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """HxWxC noise with some structure, the same every time."""
    generator = np.random.default_rng(seed)
    rough = generator.random((height, width, channels))
    ramp = np.linspace(0, 1, width)[None, :, None]
    return ((0.5 * rough + 0.5 * ramp) * np.iinfo(dtype).max).astype(dtype)
