"""What the discriminator is shown, channel by channel, and the shape of its answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vendor.tecogan.discriminator import SpatioTemporalDiscriminator, assemble_triplets, ping_pong, triplet_flows
from vendor.tecogan.generator import FRNet


def numbered(frames: int, *, offset: float = 0.0, size: int = 8, sequences: int = 1) -> Tensor:
    """Frames whose every pixel says which sequence, frame and colour it is: 100 n + 10 t + c."""
    n = torch.arange(sequences).view(-1, 1, 1, 1, 1) * 100
    t = torch.arange(frames).view(1, -1, 1, 1, 1) * 10
    c = torch.arange(3).view(1, 1, 3, 1, 1)
    return (n + t + c + offset).float().expand(sequences, frames, 3, size, size).contiguous()


def no_warp(image: Tensor, flow: Tensor) -> Tensor:
    return image


def test_ping_pong_visits_the_last_frame_once() -> None:
    assert ping_pong(torch.arange(4).view(1, 4))[0].tolist() == [0, 1, 2, 3, 2, 1, 0]


def test_every_channel_of_a_triplet_is_what_the_paper_says() -> None:
    frames, condition = numbered(5), numbered(5, offset=0.5)
    flows = torch.zeros(1, 1, 3, 2, 8, 8)
    shown = assemble_triplets(frames, condition, flows, warp=no_warp, kept_share=1.0)
    assert shown.shape == (1, 27, 8, 8)
    channels = shown[0, :, 4, 4].tolist()
    by_colour_and_time = [10.0 * t + c for c in range(3) for t in range(3)]  # R0 R1 R2 G0 G1 G2 B0 B1 B2
    assert channels[:9] == by_colour_and_time
    assert channels[9:18] == by_colour_and_time
    assert channels[18:] == [value + 0.5 for value in by_colour_and_time]


def test_triplets_follow_each_other_within_each_sequence_and_a_rest_is_left_out() -> None:
    frames = numbered(7, sequences=2)
    flows = torch.zeros(2, 2, 3, 2, 8, 8)
    shown = assemble_triplets(frames, frames, flows, warp=no_warp)
    assert shown[:, 0, 4, 4].tolist() == [0.0, 30.0, 100.0, 130.0]  # the first frame of each triplet, red
    assert shown[:, 2, 4, 4].tolist() == [20.0, 50.0, 120.0, 150.0]


def test_the_border_of_the_warped_frames_alone_is_black() -> None:
    frames = torch.ones(1, 3, 3, 16, 16)
    shown = assemble_triplets(frames, frames, torch.zeros(1, 1, 3, 2, 16, 16), warp=no_warp, kept_share=0.75)[0]
    assert bool((shown[:9] == 1).all())
    assert bool((shown[18:] == 1).all())
    inside = torch.zeros(16, 16)
    inside[2:14, 2:14] = 1  # three quarters of a side
    assert bool((shown[9:18] == inside).all())


def test_the_outer_frames_are_warped_onto_the_middle_one() -> None:
    """Motion by 4 HR pixels a frame to the right: warped, all three frames show the same thing."""
    x = torch.arange(48.0)
    frames = torch.stack([torch.sin((x - 4 * t) / 3).expand(3, 16, 48) for t in (0, 1, 2, 1, 0)]).unsqueeze(0)
    flows = torch.zeros(1, 4, 2, 16, 48)  # flows[i]: from frame i + 1 back to frame i
    flows[:, :2, 0] = -4.0
    flows[:, 2:, 0] = 4.0
    shown = assemble_triplets(
        frames, frames, triplet_flows(flows), warp=FRNet(blocks=1).warp, kept_share=0.5
    )  # the kept part sees no border
    red_before, red_middle, red_after = shown[0, 9:12, 4:12, 12:36]
    assert float((red_before - red_middle).abs().max()) < 1e-5
    assert float((red_after - red_middle).abs().max()) < 1e-5
    assert float((shown[0, 0] - shown[0, 1]).abs().max()) > 0.5  # unwarped, they differ


@pytest.mark.parametrize("frames", [2, 3, 4, 6, 10])
def test_each_triplet_gets_the_way_back_and_the_way_ahead_of_its_middle_frame(frames: int) -> None:
    visited = ping_pong(torch.arange(frames).view(1, frames))[0].tolist()
    # A flow's two numbers: from which frame to which.
    steps = [(visited[i + 1], visited[i]) for i in range(len(visited) - 1)]
    flows = torch.tensor(steps).float().view(1, -1, 2, 1, 1)
    found = triplet_flows(flows)[0, :, :, :, 0, 0].tolist()
    assert len(found) == len(visited) // 3
    for k, (back, still, ahead) in enumerate(found):
        middle = visited[3 * k + 1]
        assert back == [middle, visited[3 * k]]
        assert still == [0, 0]
        assert ahead == [middle, visited[3 * k + 2]]


def test_the_motion_learns_nothing_from_the_discriminator() -> None:
    assert not triplet_flows(torch.zeros(1, 4, 2, 4, 4, requires_grad=True)).requires_grad


def test_flows_of_a_sequence_that_was_not_played_back_are_refused() -> None:
    with pytest.raises(ValueError, match="not 4"):
        triplet_flows(torch.zeros(1, 3, 2, 4, 4))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 96)])
def test_the_discriminator_judges_cells_of_16_pixels(height: int, width: int) -> None:
    judge = SpatioTemporalDiscriminator()
    logits, features = judge(torch.rand(2, 27, height, width))
    assert logits.shape == (2, 1, height // 16, width // 16)
    assert [tuple(each.shape[1:]) for each in features] == [
        (channels, height // 2**k, width // 2**k) for k, channels in ((1, 64), (2, 64), (3, 128), (4, 256))
    ]


def test_the_logits_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits, _ = SpatioTemporalDiscriminator()(torch.rand(2, 27, 32, 32))
    assert logits.dtype == torch.float32
