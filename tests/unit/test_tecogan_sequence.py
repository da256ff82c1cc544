"""SequenceState: a sequence can be stopped, stored and continued without a trace."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import vendor.tecogan
from vendor.tecogan import FRNet, SequenceState

WEIGHTS = Path(vendor.tecogan.__file__).parent / "weights" / "tecogan-x4-v2.safetensors"


@pytest.fixture(scope="module")
def network() -> FRNet:
    return FRNet.from_state_dict(load_file(WEIGHTS)).eval().requires_grad_(False)


def clip(frames: int) -> Tensor:
    return torch.rand(frames, 3, 10, 13, generator=torch.Generator().manual_seed(5))


def through_torch_save(tensors: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    torch.save(tensors, folder / "state.pt")
    loaded: dict[str, Tensor] = torch.load(folder / "state.pt", weights_only=True)
    return loaded


def through_safetensors(tensors: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    save_file(tensors, folder / "state.safetensors")
    return load_file(folder / "state.safetensors")


@pytest.mark.parametrize("store", [through_torch_save, through_safetensors])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_stored_sequence_continues_bit_by_bit(
    store: Callable[[dict[str, Tensor], Path], dict[str, Tensor]],
    dtype: torch.dtype,
    layout: torch.memory_format,
    network: FRNet,
    tmp_path: Path,
) -> None:
    frames = torch.split(clip(4).to(dtype).to(memory_format=layout), 1)
    _, state = network.step(frames[0])
    _, state = network.step(frames[1], state)

    restored = SequenceState.from_dict(store(state.to_dict(), tmp_path))

    for frame in frames[2:]:
        uninterrupted, state = network.step(frame, state)
        continued, restored = network.step(frame, restored)
        assert torch.equal(uninterrupted, continued)


def test_to_dict_copies_the_frame_and_not_its_clip() -> None:
    long_clip = clip(200)
    state = SequenceState(lr=long_clip[7:8], hr=torch.zeros(1, 3, 40, 52))

    tensors = state.to_dict()
    long_clip.zero_()

    stored = io.BytesIO()
    torch.save(tensors, stored)
    assert tensors["lr"].abs().sum() > 0
    assert len(stored.getvalue()) < 100_000  # the whole clip would be 312,000 bytes


def test_zeros_is_black_of_the_frames_kind() -> None:
    state = SequenceState.zeros(torch.ones(2, 3, 5, 7, dtype=torch.bfloat16), 4)

    assert state.lr.shape == (2, 3, 5, 7)
    assert state.hr.shape == (2, 3, 20, 28)
    assert state.lr.dtype == state.hr.dtype == torch.bfloat16
    assert not state.lr.any()
    assert not state.hr.any()


def test_detach_cuts_the_graph_and_keeps_the_values() -> None:
    lr = torch.rand(1, 3, 4, 4, requires_grad=True)
    state = SequenceState(lr=lr * 2, hr=lr.repeat(1, 1, 4, 4) * 3)

    cut = state.detach()

    assert not cut.lr.requires_grad
    assert not cut.hr.requires_grad
    assert torch.equal(cut.hr, state.hr)


def test_to_moves_both_tensors() -> None:
    state = SequenceState.zeros(torch.zeros(1, 3, 4, 4), 4).to("meta")

    assert (state.lr.device.type, state.hr.device.type) == ("meta", "meta")


@pytest.mark.parametrize(
    ("lr", "hr"),
    [
        ((3, 4, 4), (3, 16, 16)),
        ((1, 3, 4, 4), (1, 1, 16, 16)),
        ((1, 3, 4, 4), (2, 3, 16, 16)),
        ((1, 3, 4, 4), (1, 3, 16, 8)),
        ((1, 3, 4, 4), (1, 3, 6, 6)),
    ],
)
def test_tensors_that_make_no_state_are_refused(lr: tuple[int, ...], hr: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not"):
        SequenceState(lr=torch.zeros(lr), hr=torch.zeros(hr))


@pytest.mark.parametrize("names", [(), ("lr",), ("lr", "hr", "flow")])
def test_dict_with_other_tensors_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="'lr' and 'hr'"):
        SequenceState.from_dict({name: torch.zeros(1, 3, 4, 4) for name in names})
