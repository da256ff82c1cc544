"""SequenceState: all that a recurrent generator carries from one frame to the next, as two plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)  # eq: comparing tensors gives tensors, so two states are equal only if they are one
class SequenceState:
    """The previous low-resolution frame and the output that was made of it.

    ``lr``: Nx3xhxw. ``hr``: Nx3x(s*h)x(s*w), unclamped, on the same device. Both float, RGB, nominally in [0, 1].
    The tensors are the frame that the caller handed in and the output that he got: not copies, so write to neither.
    A sequence is a fold over its frames, and this is the whole accumulator: keep it to pause, drop it to start afresh.
    """

    lr: Tensor
    hr: Tensor

    def __post_init__(self) -> None:
        lr, hr = tuple(self.lr.shape), tuple(self.hr.shape)
        if not (len(lr) == len(hr) == 4 and lr[1] == hr[1] == 3 and lr[0] == hr[0]):
            raise ValueError(f"A state holds Nx3xhxw and Nx3xHxW frames, not {lr} and {hr}.")
        if hr[2] * lr[3] != hr[3] * lr[2] or hr[2] % lr[2]:
            raise ValueError(f"The output's sides must be one whole multiple of the frame's, not {hr} to {lr}.")

    @classmethod
    def zeros(cls, lr: Tensor, scale: int) -> SequenceState:
        """Return the state before the first frame: black frames of ``lr``'s shape, dtype and device, ``hr`` scaled."""
        n, c, h, w = lr.shape
        return cls(lr=lr.new_zeros(n, c, h, w), hr=lr.new_zeros(n, c, scale * h, scale * w))

    def to(self, device: torch.device | str) -> SequenceState:
        """Return the same state on ``device``."""
        return SequenceState(lr=self.lr.to(device), hr=self.hr.to(device))

    def detach(self) -> SequenceState:
        """Return the same state cut off from the graph that made it (for truncated backpropagation through time)."""
        return SequenceState(lr=self.lr.detach(), hr=self.hr.detach())

    def to_dict(self) -> dict[str, Tensor]:
        """Return the state as a flat dict of contiguous copies, ready for ``torch.save`` or safetensors.

        Copies, because a frame is often a view into a whole clip, and ``torch.save`` would write all of that.
        """
        return {
            name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in (("lr", self.lr), ("hr", self.hr))
        }

    @classmethod
    def from_dict(cls, tensors: Mapping[str, Tensor]) -> SequenceState:
        """Return the state that ``to_dict`` wrote; a sequence continues from it bit by bit as if never stopped.

        Raises:
            ValueError: ``tensors`` is not what ``to_dict`` writes.
        """
        if set(tensors) != {"lr", "hr"}:
            raise ValueError(f"A sequence state has the tensors 'lr' and 'hr', not {sorted(tensors)}.")
        return cls(lr=tensors["lr"], hr=tensors["hr"])
