"""Tells which part of which perceptual metric a weight file holds: by its keys and shapes, never by its name.

Nothing in a file is ever executed: .pth goes through torch's restricted unpickler, .safetensors holds numbers only.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from irss_core.errors import (
    ModelError,
    UnsupportedCheckpointError,
    WeightsCorruptError,
    WeightsUnavailableError,
)
from irss_core.metrics.lpips_networks import TRUNKS, FeatureNetwork, LpipsNet, PerceptualNet
from irss_core.sr.networks import StateDict, fill, name_first
from irss_core.sr.weights import download_mishap, looks_like

HEADS_MEMBER = "weights/v0.1/{net}.pth"  # in the folder of the package lpips

_MAX_BYTES = 1024**3  # VGG-16 with its classifier, the largest of them, has 553 MB
_MAX_HEADS_BYTES = 64 * 1024
_EXPECTED = (
    "Expected are the weights of torchvision's alexnet, squeezenet1_1 or vgg16, the linear heads of LPIPS v0.1, "
    "or both in one file, as .pth or .safetensors."
)
_HEAD = re.compile(r"lin(\d)\.model\.1\.weight")
_SLICE = re.compile(r"net\.slice\d\.(?=\d+\.)")  # what the package lpips puts before torchvision's numbers
# What torch's readers raise on damaged files, besides UnpicklingError.
_DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, MemoryError, struct.error, zipfile.BadZipFile, SafetensorError,
)  # fmt: skip
_DAMAGED_ZIP = (
    KeyError, ValueError, EOFError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class FileParts:
    """What a file holds for ``net``: the convolutional part (``features.N…``), the heads, or both.

    A head is the weights of one compared layer's channels, as a flat tensor.
    """

    net: PerceptualNet
    backbone: StateDict | None
    heads: tuple[Tensor, ...] | None


def read_parts(path: Path) -> FileParts:
    """Return what the file holds, as fp32; weights of a classifier are left out.

    Raises:
        WeightsUnavailableError: there is no such file, or it cannot be read.
        WeightsCorruptError: empty, cut off, damaged, or not finite.
        UnsupportedCheckpointError: another kind of file or network, or a pickle that would run code.
    """
    try:
        with path.open("rb") as file:
            return parts_in(file, name=path.name)
    except OSError as exc:
        raise WeightsUnavailableError(f"{path} cannot be read: {exc.strerror}. {_EXPECTED}") from exc


def parts_in(file: BinaryIO, *, name: str) -> FileParts:
    """Return what an open file holds; ``name`` begins the messages. Raises as ``read_parts`` does."""
    try:
        weights = _read(file)
        backbone, heads = _backbone_in(weights), _heads_in(weights)
        parts = _identify(backbone, heads, others=list(weights))
        _check_finite([*(parts.backbone or {}).values(), *(parts.heads or ())])
    except ModelError as exc:
        raise type(exc)(f"{name}: {exc}") from exc
    return parts


def heads_in_wheel(path: Path, net: LpipsNet) -> tuple[Tensor, ...]:
    """Return the heads of LPIPS v0.1 in a wheel of the package ``lpips``; only that one member is unpacked.

    Raises:
        WeightsCorruptError: the wheel is damaged, lacks the member, or has a larger one than any heads are.
    """
    member = f"lpips/{HEADS_MEMBER.format(net=net)}"
    try:
        with zipfile.ZipFile(path) as wheel, wheel.open(member) as packed:
            content = packed.read(_MAX_HEADS_BYTES + 1)
    except _DAMAGED_ZIP as exc:
        raise WeightsCorruptError(f"{path} is damaged, or no wheel of lpips: it gives no {member}. Delete it.") from exc
    if len(content) > _MAX_HEADS_BYTES:
        raise WeightsCorruptError(f"{path}: {member} has more than {_MAX_HEADS_BYTES:,} bytes. It is another package.")
    heads = parts_in(io.BytesIO(content), name=f"{path.name}: {member}").heads
    if heads is None:
        raise WeightsCorruptError(f"{path}: {member} holds no heads. It is another package. Delete it.")
    return heads


# -- Weights to parts --------------------------------------------------------------------------------------------------


def _backbone_in(weights: StateDict) -> StateDict:
    renamed = {_SLICE.sub("features.", key): tensor for key, tensor in weights.items()}
    return {key: tensor for key, tensor in renamed.items() if key.startswith("features.") and not key.endswith(".filt")}


def _heads_in(weights: StateDict) -> list[Tensor]:
    found = {int(match[1]): tensor for key, tensor in weights.items() if (match := _HEAD.fullmatch(key))}
    if sorted(found) != list(range(len(found))):
        raise UnsupportedCheckpointError(
            f"It holds heads of LPIPS, but only those numbered {sorted(found)}. Get it anew."
        )
    return [found[index] for index in range(len(found))]


def _identify(backbone: StateDict, heads: list[Tensor], *, others: list[str]) -> FileParts:
    """Return the parts and whose they are; AlexNet's heads alone are LPIPS's, as ST-LPIPS comes in one piece."""
    if not backbone and not heads:
        raise UnsupportedCheckpointError(f"It holds neither: its first weights are {name_first(others)}. {_EXPECTED}")
    net = _nearest(backbone) if backbone else _by_channels(heads)
    trunk = TRUNKS[net]
    if heads and [tuple(head.shape) for head in heads] != [(1, channels, 1, 1) for channels in trunk.channels]:
        shapes = [tuple(head.shape) for head in heads]
        raise UnsupportedCheckpointError(f"Its heads, of shapes {shapes}, do not fit {trunk.title}. {_EXPECTED}")
    if backbone:
        with torch.device("meta"):
            fill(FeatureNetwork(trunk), backbone, architecture=trunk.title)
    return FileParts(
        net,
        {key: tensor.float() for key, tensor in backbone.items()} or None,
        tuple(head.float().flatten() for head in heads) or None,
    )


def _nearest(backbone: StateDict) -> PerceptualNet:
    """Return the trunk that shares most weights by name and shape."""
    shared: dict[PerceptualNet, int] = {}
    for net, trunk in TRUNKS.items():
        with torch.device("meta"):
            wanted = FeatureNetwork(trunk).state_dict()
        shared[net] = sum(key in backbone and backbone[key].shape == wanted[key].shape for key in wanted)
    net = max(shared, key=lambda net: shared[net])
    if not shared[net]:
        raise UnsupportedCheckpointError(
            f"It is another network: its first weights are {name_first(list(backbone))}. {_EXPECTED}"
        )
    return net


def _by_channels(heads: list[Tensor]) -> PerceptualNet:
    channels = tuple(head.numel() for head in heads)
    for net, trunk in TRUNKS.items():
        if trunk.channels == channels:
            return net
    raise UnsupportedCheckpointError(f"Its heads weigh {channels} channels, which is no network of LPIPS. {_EXPECTED}")


def _check_finite(tensors: list[Tensor]) -> None:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise WeightsCorruptError("It has weights that are not finite numbers: it is damaged. Get it again.")


# -- File to weights ---------------------------------------------------------------------------------------------------


def _read(file: BinaryIO) -> StateDict:
    """Return the named tensors in the file; which kind it is, its first bytes tell."""
    start = file.read(512)
    size = file.seek(0, 2)
    file.seek(0)
    if mishap := download_mishap(start):
        raise WeightsCorruptError(f"It is {mishap}. Get it again from where it is published.")
    is_zip = start.startswith(b"PK\x03\x04")
    if size > _MAX_BYTES or (is_zip and _unpacked_bytes(file) > _MAX_BYTES):
        raise UnsupportedCheckpointError(f"It has more than the {_MAX_BYTES:,} bytes of any such file. {_EXPECTED}")
    try:
        if start[8:9] == b"{":
            content: object = safetensors_torch.load(file.read())
        elif is_zip or start[:1] == b"\x80":
            content = torch.load(file, map_location="cpu", weights_only=True)
        else:
            looks = looks_like(start) or "of no kind that is known here"
            raise UnsupportedCheckpointError(f"It is {looks}. {_EXPECTED} LPIPS in ONNX: scripts/lpips_from_onnx.py.")
    except pickle.UnpicklingError as exc:
        raise UnsupportedCheckpointError(
            f"It holds more than tensors, or is damaged; reading it could run code, which is refused. {_EXPECTED}"
        ) from exc
    except _DAMAGED as exc:
        raise WeightsCorruptError(f"It is cut off, damaged, or holds no tensors. Get it again. {_EXPECTED}") from exc
    return _named_tensors(content)


def _unpacked_bytes(file: BinaryIO) -> int:
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except _DAMAGED_ZIP as exc:
        raise WeightsCorruptError("It is cut off or damaged: its table of contents is missing. Get it again.") from exc
    file.seek(0)
    return unpacked


def _named_tensors(content: object) -> StateDict:
    if not isinstance(content, Mapping):
        raise UnsupportedCheckpointError(f"It holds a {type(content).__name__}, not named weights. {_EXPECTED}")
    plain = {
        key: value
        for key, value in content.items()
        if isinstance(key, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.is_floating_point()
        and not value.is_meta
    }
    odd = [str(key) for key in content if key not in plain]
    if odd:
        raise UnsupportedCheckpointError(
            f"It holds other things than plain floating-point weights ({name_first(odd)}). {_EXPECTED}"
        )
    return plain
