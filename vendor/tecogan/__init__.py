"""TecoGAN, self-contained: the recurrent generator and its state. Needs torch and nothing else."""

from vendor.tecogan.generator import (
    Degradation,
    FRNet,
    Hyperparameters,
    hyperparameters_from_state_dict,
    space_to_depth,
    strip_prefix,
)
from vendor.tecogan.sequence import SequenceState

__all__ = [
    "Degradation",
    "FRNet",
    "Hyperparameters",
    "SequenceState",
    "hyperparameters_from_state_dict",
    "space_to_depth",
    "strip_prefix",
]
