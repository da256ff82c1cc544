"""The border between pictures in host memory (HWC integers) and network tensors (NCHW floats in 0..1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def to_tensor(pixels: np.ndarray, *, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return pixels as a 1x3xHxW channels-last tensor in 0..1 on the device.

    Args:
        pixels: HxWx3 RGB, uint8 or uint16.
    """
    top = float(np.iinfo(pixels.dtype).max)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    host = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    # Scaling happens in fp32: 255 and its multiples are exact there, and the one rounding is the last.
    planes = host.to(device).permute(2, 0, 1).unsqueeze(0).to(torch.float32)
    return planes.div_(top).to(dtype=dtype, memory_format=torch.channels_last)


def to_pixels(tensor: torch.Tensor, *, dtype: np.dtype[Any]) -> np.ndarray:
    """Return a 1x3xHxW tensor in 0..1 as HxWx3 pixels of the integer dtype, clamped and rounded to nearest."""
    top = np.iinfo(dtype).max
    levels = tensor[0].permute(1, 2, 0).to(torch.float32).clamp(0, 1).mul(top).round_()
    if dtype == np.uint8:
        return np.ascontiguousarray(levels.to(torch.uint8).cpu().numpy())
    return np.ascontiguousarray(levels.cpu().numpy().astype(dtype))


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite. The sum carries either, and is cheaper than a mask of every element."""
    if bool(torch.isfinite(tensor.sum(dtype=torch.float32))):
        return True
    return bool(torch.isfinite(tensor).all())  # the sum itself may have overflowed
