"""What the recipe learns from: batches of short sequences, true and made small."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Batch(Protocol):
    """Sequences: ``hr`` NxTx3x(4h)x(4w), ``lr`` NxTx3xhxw, float32 RGB in 0..1, on the device of the training."""

    @property
    def hr(self) -> Tensor:
        """The truth."""

    @property
    def lr(self) -> Tensor:
        """What was made of it: the input."""


class BatchSource(Protocol):
    """Makes batches; all chance in them comes from one generator, whose state the checkpoints hold."""

    def batch(self) -> Batch:
        """Return the next batch."""
