"""A ClipState in a file, so that another process can go on with a clip; nothing in the file is ever executed."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irss_core.errors import CorruptMediaError
from irss_core.sr.scenes import SceneState
from irss_core.sr.video import ClipReport, ClipState
from vendor.tecogan.sequence import SequenceState


def write_clip_state(state: ClipState, path: Path) -> None:
    """Write a state to a new file, every bit of it."""
    facts: dict[str, Any] = {
        "report": dataclasses.asdict(state.report),
        "budget_bytes": state.budget_bytes,
        "recent_change": state.scene.recent_change,
    }
    arrays: dict[str, np.ndarray] = {}
    if state.scene.previous is not None:
        arrays["previous"] = state.scene.previous
    if state.sequence is not None:
        for name, tensor in (("lr", state.sequence.lr), ("hr", state.sequence.hr)):
            arrays[name] = tensor.detach().cpu().contiguous().numpy()
            # Kept, because a convolution may round otherwise in another layout of the same numbers.
            facts[f"{name}_channels_last"] = tensor.is_contiguous(memory_format=torch.channels_last)
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with path.open("xb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_clip_state(path: Path) -> ClipState:
    """Return the state that ``write_clip_state`` wrote, its tensors on the CPU.

    Raises:
        CorruptMediaError: the file is not one of those.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            report = facts["report"]
            return ClipState(
                report=ClipReport(**{**report, "fallbacks": tuple(report["fallbacks"])}),
                budget_bytes=facts["budget_bytes"],
                scene=SceneState(arrays.get("previous"), facts["recent_change"]),
                sequence=SequenceState(lr=_tensor("lr", arrays, facts), hr=_tensor("hr", arrays, facts))
                if "lr" in arrays
                else None,
            )
    except (ValueError, LookupError, TypeError, EOFError, OSError, zipfile.BadZipFile) as exc:
        raise CorruptMediaError(
            f"{path.name} does not hold the state of a clip ({exc}). Start the clip from its first frame."
        ) from exc


def _tensor(name: str, arrays: Any, facts: dict[str, Any]) -> Tensor:
    tensor = torch.from_numpy(arrays[name])
    layout = torch.channels_last if facts[f"{name}_channels_last"] else torch.contiguous_format
    return tensor.contiguous(memory_format=layout)
