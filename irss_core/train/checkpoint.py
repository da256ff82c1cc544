"""Checkpoints: everything a run goes on from, whole or not at all, in files small enough to carry; and the export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from irss_core.errors import UnsupportedCheckpointError, WeightsCorruptError
from irss_core.media.atomic import atomic_file
from irss_core.sr.loader import load_checkpoint
from vendor.tecogan.generator import FRNet

MAX_FILE_BYTES = 15_000_000
_NUMBERS = "state.json"
_PREFIX = "checkpoint-"


@dataclass(frozen=True)
class Checkpoint:
    """``tensors`` by name, and ``numbers``: everything else, as JSON has it."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, iteration: int) -> Path:
    """Write a checkpoint below ``folder`` and remove the older ones; return its own folder.

    It is written under another name and renamed, so that there is a whole one at any moment. Tensors are kept bit by
    bit, in safetensors files of at most ``MAX_FILE_BYTES`` (a larger tensor has one of its own).
    """
    target = folder / f"{_PREFIX}{iteration:07d}"
    older = _all(folder)
    if target in older:  # nothing was learnt since
        return target
    part = folder / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for index, shard in enumerate(_shards(checkpoint.tensors)):
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in shard.items()}, part / f"tensors-{index}.safetensors"
        )
    (part / _NUMBERS).write_text(json.dumps(checkpoint.numbers, indent=1), encoding="utf-8")
    part.rename(target)
    for each in older:
        shutil.rmtree(each, ignore_errors=True)
    return target


def load_latest(folder: Path) -> Checkpoint | None:
    """Return the latest checkpoint below ``folder``, on the CPU; None if there is none.

    Raises:
        WeightsCorruptError: it is there, but damaged.
    """
    found = _all(folder)
    if not found:
        return None
    latest = found[-1]
    try:
        numbers = json.loads((latest / _NUMBERS).read_text(encoding="utf-8"))
        tensors = {
            name: tensor for file in sorted(latest.glob("*.safetensors")) for name, tensor in load_file(file).items()
        }
    except (OSError, ValueError, SafetensorError) as exc:
        raise WeightsCorruptError(f"{latest} is damaged ({exc}). Remove it to begin anew.") from exc
    return Checkpoint(tensors, numbers)


def export(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a generator's weights as fp16 safetensors with TecoGAN-PyTorch's keys; whole or not at all."""
    halved = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in weights.items()}
    with atomic_file(path, overwrite=True) as stream:
        stream.write(save(halved))


def load_start(path: Path) -> FRNet:
    """Return the generator of a checkpoint, in fp32 on the CPU.

    Raises:
        UnsupportedCheckpointError: it is another network than this recipe trains.
        ModelError: it cannot be read.
    """
    network = load_checkpoint(path).network
    if not isinstance(network, FRNet) or network.scale != 4 or network.degradation != "BD":
        raise UnsupportedCheckpointError(
            f"{path} is no FRNet x4 of the kind BD, which is what is trained here. Leave --start out, or name another."
        )
    return network


def _shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > MAX_FILE_BYTES:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.nbytes
    return shards


def _all(folder: Path) -> list[Path]:
    """Return the whole checkpoints, the latest last."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if (path / _NUMBERS).is_file())
