"""Networks that upscale one picture: one paper, one file. Sequence networks live in ``vendor.tecogan``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from irss_core.errors import UnsupportedCheckpointError

StateDict = Mapping[str, Tensor]

_NAMED = 4  # keys named in a message before "and N more"


@runtime_checkable
class StillNetwork(Protocol):
    """An upscaler of single pictures, split where tiling becomes exact.

    ``features`` may see far (``features_reach`` LR pixels); ``render`` sees ``render_reach`` feature pixels, so a tile
    of features with that margin gives the very pixels that the whole picture gives. Feature maps are 1/``stride`` of
    the input; each feature pixel becomes ``render_scale`` x ``render_scale`` output pixels, each input pixel
    ``scale`` x ``scale``.
    """

    scale: int
    blocks: int
    stride: int
    features_reach: int
    render_reach: int
    render_scale: int

    def features(self, x: Tensor) -> Tensor:
        """Return the feature map of N x 3 x H x W RGB floats in 0..1; H and W are multiples of ``stride``."""
        ...

    def render(self, features: Tensor) -> Tensor:
        """Return N x 3 x (rH) x (rW) RGB floats, about 0..1 and unclamped, of a feature map or any part of one."""
        ...

    def forward(self, x: Tensor) -> Tensor:
        """Return ``render(features(x))``."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``forward(x)``."""
        ...


def fill(network: nn.Module, state_dict: StateDict, *, architecture: str) -> None:
    """Give ``network`` exactly these weights, as fp32; fp32 tensors are taken over without a copy.

    Raises:
        UnsupportedCheckpointError: a key is missing, left over, or of another shape; the message names the first few.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in state_dict]
    extra = [key for key in state_dict if key not in wanted]
    shapes = [
        f"{key} {tuple(state_dict[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state_dict and state_dict[key].shape != tensor.shape
    ]
    faults = [
        f"{label}: {name_first(found)}"
        for label, found in (("missing", missing), ("not part of it", extra), ("of another shape", shapes))
        if found
    ]
    if faults:
        raise UnsupportedCheckpointError(
            f"The checkpoint looks like {architecture}, but does not fit it: {'; '.join(faults)}. "
            "It was made for a changed network, or is incomplete."
        )
    network.load_state_dict({key: state_dict[key].detach().float().contiguous() for key in wanted}, assign=True)


def name_first(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
