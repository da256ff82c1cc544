"""What a network costs, counted and not timed."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from irss_core.sr.loader import LoadedModel
from vendor.tecogan.generator import FRNet

_SIDE = 32


def multiply_adds_per_pixel(model: LoadedModel) -> float:
    """Return the multiply-adds of a frame an input pixel, counted by torch on a small picture; 0 without network."""
    if not isinstance(model.network, nn.Module):
        return 0.0
    x = torch.zeros(1, 3, _SIDE, _SIDE)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode():
        if isinstance(model.network, FRNet):
            _, state = model.network.step(x, None)
            with counter:
                model.network.step(x, state)
        else:
            with counter:
                model.network(x)
    return counter.get_total_flops() / 2 / _SIDE**2
