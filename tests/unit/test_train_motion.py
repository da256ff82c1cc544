"""Photographs set in motion: the motion that is promised is the motion that is rendered."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from irss_core.train.motion import Layer, Mask, MotionPlan, Track, draw_plan, render, warp_back
from irss_core.train.motion_plan import MAX_SPEED

FRAMES = 8


def smooth_photo(height: int = 400, width: int = 480, seed: int = 0) -> Tensor:
    """Waves of 30 px and more: what bicubic sampling does to them is far below the tolerance."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    planes = []
    for _ in range(3):
        plane = torch.zeros(height, width)
        for _ in range(5):
            heading, length, phase = torch.rand(3, generator=g).tolist()
            along = x * math.cos(6.28 * heading) + y * math.sin(6.28 * heading)
            plane += torch.cos(along * 6.28 / (30 + 90 * length) + 6.28 * phase)
        planes.append(0.5 + plane / 12)
    return torch.stack(planes).clamp(0.05, 0.95)


def track(frames: int = FRAMES, *, pan: tuple[float, float] = (0.0, 0.0)) -> Track:
    steps = torch.arange(frames, dtype=torch.float64)[:, None]
    ones = torch.ones(frames, dtype=torch.float64)
    shift = steps * torch.tensor(pan, dtype=torch.float64)
    return Track(shift, ones, 0 * ones, 0 * shift, torch.eye(2, dtype=torch.float64))


def plan(background: Track, *layers: Layer, density: float = 1.0) -> MotionPlan:
    gains = torch.ones(len(background.zoom), dtype=torch.float64)
    return MotionPlan(background, layers, gains, shrink=1.0, place=(0.5, 0.5), density=density)


def stripe_layer(pan: tuple[float, float]) -> Layer:
    """One wave of 64 px: stripes 32 px wide, at rest centred on the frame."""
    wave = torch.tensor([[2 * math.pi / 64, 0.0]], dtype=torch.float64)
    return Layer(track(pan=pan), Mask(wave, torch.zeros(1, dtype=torch.float64), 0.0, 1.5), (0.5, 0.5))


def test_next_frame_fetched_along_the_flow_is_this_frame() -> None:
    photo, errors = smooth_photo(), []
    for seed in range(60):
        drawn = draw_plan(torch.Generator().manual_seed(seed), frames=FRAMES)
        drawn = replace(drawn, gains=torch.ones_like(drawn.gains))
        made = render(photo, drawn, frames=FRAMES, height=96, width=128, foregrounds=[smooth_photo(seed=1)] * 2)
        difference = (warp_back(made.frames[1:], made.flow) - made.frames[:-1]).abs().mean(1) * 255
        if made.visible.any():
            errors.append(float(difference[made.visible].mean()))
    assert len(errors) > 50
    assert max(errors) < 0.5, sorted(errors)[-5:]


def test_the_flow_of_a_pan_is_the_opposite_of_the_camera_s_way() -> None:
    made = render(smooth_photo(), plan(track(pan=(2.25, -1.5))), frames=FRAMES, height=40, width=48)
    assert torch.allclose(made.flow[:, 0], torch.tensor(-2.25), atol=1e-4)
    assert torch.allclose(made.flow[:, 1], torch.tensor(1.5), atol=1e-4)


def test_a_whole_pixel_pan_shows_the_photograph_s_own_pixels() -> None:
    photo = torch.randint(256, (3, 90, 100), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    still = replace(plan(track(pan=(3.0, 1.0))), place=(0.0, 0.0))
    made = render(photo, still, frames=3, height=33, width=41)
    levels = (made.frames * 255).round().to(torch.uint8)
    corner = (photo[:, :60, :60].unfold(1, 33, 1).unfold(2, 41, 1) == levels[0][:, None, None]).all(-1).all(-1).all(0)
    assert corner.sum() == 1
    top, left = (int(each) for each in corner.nonzero()[0])
    for step, frame in enumerate(levels):
        assert torch.equal(frame, photo[:, top + step : top + step + 33, left + 3 * step : left + 3 * step + 41])


def test_zoom_turn_tilt_and_mirror_move_pixels_as_the_formula_says() -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        drawn = draw_plan(generator, frames=3).track
        u = torch.tensor([11.0, -7.0], dtype=torch.float64)
        matrices = drawn.matrices()
        for t in range(3):
            turn = torch.tensor(
                [
                    [math.cos(drawn.angle[t]), -math.sin(drawn.angle[t])],
                    [math.sin(drawn.angle[t]), math.cos(drawn.angle[t])],
                ],
                dtype=torch.float64,
            )
            depth = 1 + float(drawn.tilt[t] @ u)
            wanted = (drawn.shift[t] * depth + drawn.zoom[t] * turn @ drawn.mirror @ u) / depth
            got = matrices[t] @ torch.tensor([11.0, -7.0, 1.0], dtype=torch.float64)
            assert torch.allclose(got[:2] / got[2], wanted)


def test_a_foreground_hides_what_is_behind_and_moves_its_own_way() -> None:
    behind, before = torch.full((3, 200, 300), 0.25), torch.full((3, 200, 300), 0.75)
    drawn = plan(track(), stripe_layer(pan=(4.0, 0.0)))
    made = render(behind, drawn, frames=FRAMES, height=32, width=129, foregrounds=[before])
    covered = made.coverage[0]
    assert torch.allclose(made.frames[:, 0], 0.25 + 0.5 * covered, atol=1e-5)
    assert 0.4 < float(covered.mean()) < 0.6
    shifted = (covered[1][:, :-4] - covered[0][:, 4:]).abs().max()
    assert float(shifted) < 1e-4
    assert float((covered[1] - covered[0]).abs().max()) > 0.9


def test_edges_of_foregrounds_are_soft_and_not_counted_as_visible() -> None:
    drawn = plan(track(), stripe_layer(pan=(4.0, 0.0)))
    made = render(smooth_photo(), drawn, frames=2, height=16, width=129)
    partial = (made.coverage[0, 0] > 0.02) & (made.coverage[0, 0] < 0.98)
    assert 0 < float(partial.float().mean()) < 0.1
    assert not (made.visible[0] & partial).any()
    on_layer = made.coverage[0, 0] > 0.99
    assert torch.allclose(made.flow[0, 0][on_layer], torch.tensor(-4.0), atol=1e-4)
    assert torch.allclose(made.flow[0, 0][made.coverage[0, 0] < 0.01], torch.tensor(0.0), atol=1e-4)
    # What the stripe is about to cover, 4 px before its edge, is not visible any more.
    hidden = (made.coverage[0, 0] < 0.01) & (made.coverage[0, 1] > 0.99)
    assert hidden.any()
    assert not (made.visible[0] & hidden).any()


def test_held_frames_are_identical_and_only_those() -> None:
    still = held = moving = 0
    photo = smooth_photo()
    for seed in range(80):
        drawn = draw_plan(torch.Generator().manual_seed(seed), frames=FRAMES)
        matrices = drawn.track.matrices()
        same = [torch.equal(matrices[t], matrices[t + 1]) for t in range(FRAMES - 1)]
        still += all(same)
        held += any(same) and not all(same)
        moving += not any(same)
        if any(same):
            frames = render(photo, drawn, frames=FRAMES, height=24, width=24).frames
            assert all(torch.equal(frames[t], frames[t + 1]) for t in range(FRAMES - 1) if same[t])
    assert still >= 1
    assert held >= 3
    assert moving > 50


def test_exposure_multiplies_every_pixel_of_a_frame() -> None:
    gains = torch.linspace(1.0, 0.6, FRAMES, dtype=torch.float64)
    flat = plan(track())
    lit = render(smooth_photo(), replace(flat, gains=gains), frames=FRAMES, height=20, width=20).frames
    plain = render(smooth_photo(), flat, frames=FRAMES, height=20, width=20).frames
    assert torch.allclose(lit, plain * gains.float()[:, None, None, None], atol=1e-6)


def test_plans_stay_within_their_limits_and_use_them() -> None:
    plans = [draw_plan(torch.Generator().manual_seed(seed), frames=10) for seed in range(300)]
    speeds = torch.stack([(each.track.shift.diff(dim=0)).norm(dim=1).max() for each in plans])
    assert float(speeds.max()) < MAX_SPEED + 2.5  # shake comes on top
    assert int((speeds > 4).sum()) > 30
    assert int((speeds > 6.5).sum()) < 40
    zooms = torch.stack([each.track.zoom for each in plans])
    assert 0.85 < float(zooms.min()) < 0.97
    assert 1.03 < float(zooms.max()) < 1.18
    counts = [len(each.layers) for each in plans]
    assert {0, 1, 2} == set(counts)
    assert counts.count(0) > 100
    assert {tuple(each.track.mirror.flatten().tolist()) for each in plans}.__len__() == 8
    assert all(torch.equal(each.gains, torch.ones_like(each.gains)) for each in plans) is False
    assert all(float(each.gains.min()) > 0.6 and float(each.gains.max()) < 1.5 for each in plans)


def test_a_generator_s_state_decides_the_plan() -> None:
    generator = torch.Generator().manual_seed(5)
    state = generator.get_state()
    first = render(smooth_photo(), draw_plan(generator, frames=4), frames=4, height=16, width=16).frames
    other = render(smooth_photo(), draw_plan(generator, frames=4), frames=4, height=16, width=16).frames
    generator.set_state(state)
    again = render(smooth_photo(), draw_plan(generator, frames=4), frames=4, height=16, width=16).frames
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_photograph_smaller_than_its_clip_goes_on_mirrored() -> None:
    made = render(smooth_photo(40, 50), plan(track(pan=(12.0, 12.0))), frames=FRAMES, height=64, width=64)
    assert float(made.frames.min()) >= 0.04
    assert float(made.frames.std()) > 0.05


def test_shrinking_first_keeps_fine_lines_from_aliasing() -> None:
    """Lines of 2 px, shrunk to 1.2: nothing but grey can be left, and no slow beat of a false pattern."""
    lines = (torch.arange(600) % 2).float().repeat(3, 400, 1)
    made = render(lines, replace(plan(track(), density=1.0), shrink=0.6), frames=1, height=96, width=96)
    assert float((made.frames - 0.5).abs().max()) < 0.06


@pytest.mark.parametrize("frames", [0, FRAMES + 1])
def test_more_frames_than_planned_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match=str(FRAMES)):
        render(smooth_photo(), plan(track()), frames=frames, height=16, width=16)


def test_half_floats_around_do_not_change_the_clip() -> None:
    drawn = draw_plan(torch.Generator().manual_seed(2), frames=3)
    plain = render(smooth_photo(), drawn, frames=3, height=24, width=24).frames
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain, render(smooth_photo(), drawn, frames=3, height=24, width=24).frames)
