"""VideoUpscaler: one frame out for each one in, warmed up, reset at cuts, in memory that does not grow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irss_core.errors import CancelledError, CorruptMediaError, InputError, InvalidOptionError
from irss_core.progress import CancelToken, ProgressUpdate
from irss_core.sr.clip_state import read_clip_state, write_clip_state
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.loader import LoadedModel
from irss_core.sr.scenes import SceneCutDetector
from irss_core.sr.video import ClipState, VideoUpscaler
from tests.tiny_models import baseline, noise_picture, tiny_frnet, tiny_srvgg


def clip(count: int, *, seed: int = 0, height: int = 8, width: int = 16) -> list[np.ndarray]:
    """A picture that pans by a pixel a frame."""
    wide = noise_picture(height, width + count, seed=seed)
    return [np.ascontiguousarray(wide[:, index : index + width]) for index in range(count)]


def two_scenes() -> list[np.ndarray]:
    dark = [frame // 4 for frame in clip(8, seed=1)]
    bright = [255 - frame // 4 for frame in clip(8, seed=2)]
    return dark + bright


def upscaled(model: LoadedModel, frames: list[np.ndarray], **options: object) -> list[np.ndarray]:
    run = VideoUpscaler(model, device="cpu", dtype="fp32").start(**options)  # type: ignore[arg-type]
    return list(run.frames(frames))


@pytest.mark.parametrize("make", [tiny_frnet, tiny_srvgg, baseline])
@pytest.mark.parametrize("count", [1, 2, 6, 13])
def test_one_frame_out_for_each_one_in(make: Callable[[], LoadedModel], count: int) -> None:
    made = upscaled(make(), clip(count))
    assert [frame.shape for frame in made] == [(32, 64, 3)] * count


def test_any_outscale() -> None:
    assert upscaled(tiny_frnet(), clip(2), outscale=2.5)[1].shape == (20, 40, 3)


def test_still_model_does_to_each_frame_what_it_does_to_a_picture() -> None:
    frames = clip(3)
    expected = [ImageUpscaler(tiny_srvgg(), device="cpu", dtype="fp32")(frame).image for frame in frames]
    assert all(np.array_equal(a, b) for a, b in zip(upscaled(tiny_srvgg(), frames), expected, strict=True))


def test_a_still_is_the_clip_of_that_frame() -> None:
    frame = clip(1)[0]
    assert np.array_equal(
        upscaled(tiny_frnet(), [frame])[0], ImageUpscaler(tiny_frnet(), device="cpu", dtype="fp32")(frame).image
    )


def test_first_frame_is_warmed_up_by_the_mirrored_start() -> None:
    frames = clip(9)
    by_hand = upscaled(tiny_frnet(), frames[5:0:-1] + frames)
    # The hand-made clip is itself warmed up: nine frames further on, both forget how they began, up to rounding.
    warmed = upscaled(tiny_frnet(), frames)
    assert np.abs(by_hand[-1].astype(int) - warmed[-1]).max() <= 2
    recurrent = ImageUpscaler(tiny_frnet(), device="cpu", dtype="fp32").recurrent
    assert recurrent is not None
    state = None
    for frame in frames[5:0:-1]:
        state = recurrent.step(frame, state).state
    assert np.array_equal(recurrent.step(frames[0], state).pixels, warmed[0])


def test_state_is_forgotten_at_a_cut() -> None:
    frames = two_scenes()
    run = VideoUpscaler(tiny_frnet(), device="cpu", dtype="fp32").start()
    made = list(run.frames(frames))
    alone = upscaled(tiny_frnet(), frames[8:])
    assert run.report().scene_cuts == 1
    assert all(np.array_equal(a, b) for a, b in zip(made[8:], alone, strict=True))


def test_warm_up_does_not_reach_over_a_cut() -> None:
    frames = two_scenes()[5:]  # three dark frames, then the cut
    made = upscaled(tiny_frnet(), frames)
    alone = upscaled(tiny_frnet(), frames[:3])
    assert all(np.array_equal(a, b) for a, b in zip(made[:3], alone, strict=True))


def test_motion_noise_and_fades_are_not_cuts_but_another_picture_is() -> None:
    detector = SceneCutDetector()
    pan = clip(20, height=90, width=160)
    fade = [np.rint(pan[-1] * (1 - step / 20)).astype(np.uint8) for step in range(15)]
    assert [detector.starts_scene(frame) for frame in pan + fade] == [True] + [False] * 34
    assert detector.starts_scene(255 - pan[0] // 3)


def test_frames_are_pulled_as_they_are_needed() -> None:
    pulled = 0

    def source() -> Iterator[np.ndarray]:
        nonlocal pulled
        for frame in clip(20):
            pulled += 1
            yield frame

    made = VideoUpscaler(tiny_frnet(), device="cpu", dtype="fp32").start().frames(source())
    for done in range(1, 9):
        next(made)
        assert pulled <= done + 6


def test_report_counts_what_was_done() -> None:
    run = VideoUpscaler(tiny_frnet(), device="cpu", dtype="fp32").start()
    list(run.frames(clip(4), total=4))
    report = run.report()
    assert (report.frames, report.frames_run, report.tiles, report.scene_cuts, report.fallbacks) == (4, 9, 9, 0, ())
    assert (report.device, report.dtype, report.outscale) == ("cpu", "fp32", 4)
    assert report.fps == pytest.approx(report.frames / report.seconds)
    assert report.peak_memory_bytes > 10_000_000


def test_cancel_stops_within_one_frame() -> None:
    token = CancelToken()
    seen: list[ProgressUpdate] = []
    run = VideoUpscaler(tiny_srvgg(), device="cpu", dtype="fp32").start()

    def callback(update: ProgressUpdate) -> None:
        seen.append(update)
        if update.done == 2:
            token.cancel()

    with pytest.raises(CancelledError):
        list(run.frames(clip(10), total=10, progress=callback, cancel=token))
    assert seen[-1].done == 2


def test_clip_without_frames_is_an_error() -> None:
    with pytest.raises(InputError, match="no frames"):
        upscaled(tiny_frnet(), [])


def test_frames_of_two_sizes_are_an_error_that_names_the_frame() -> None:
    with pytest.raises(InputError, match=r"Frame 3 is 9x8, the first one 16x8"):
        upscaled(tiny_srvgg(), [*clip(2), noise_picture(8, 9)])


def from_file(state: ClipState, path: Path) -> ClipState:
    write_clip_state(state, path)
    return read_clip_state(path)


@pytest.mark.parametrize("make", [tiny_frnet, tiny_srvgg, baseline])
@pytest.mark.parametrize("done", [1, 5, 7, 8, 9, 15])
def test_run_goes_on_from_a_file_to_the_bit(make: Callable[[], LoadedModel], done: int, tmp_path: Path) -> None:
    frames = two_scenes()  # the cut is at frame 8: before, at and after it, and within the look-ahead
    upscaler = VideoUpscaler(make(), device="cpu", dtype="fp32")
    whole = upscaler.start()
    expected = list(whole.frames(frames))
    first = upscaler.start()
    made = list(itertools.islice(first.frames(frames), done))
    second = VideoUpscaler(make(), device="cpu", dtype="fp32").start(state=from_file(first.state(), tmp_path / "s"))
    made += list(second.frames(frames[done:]))
    assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))
    facts = [replace(run.report(), seconds=0, peak_memory_bytes=0) for run in (second, whole)]
    assert facts[0] == facts[1]


def test_run_goes_on_after_the_last_frame_with_nothing(tmp_path: Path) -> None:
    run = VideoUpscaler(tiny_frnet(), device="cpu", dtype="fp32").start()
    list(run.frames(clip(3)))
    again = VideoUpscaler(tiny_frnet(), device="cpu", dtype="fp32").start(state=from_file(run.state(), tmp_path / "s"))
    assert list(again.frames([])) == []
    assert again.report().frames == 3


def test_state_keeps_the_layout_of_its_tensors(tmp_path: Path) -> None:
    run = VideoUpscaler(tiny_frnet(), device="cpu", dtype="fp32").start()
    list(run.frames(clip(3)))
    before, after = run.state().sequence, from_file(run.state(), tmp_path / "s").sequence
    assert before is not None
    assert after is not None
    for a, b in ((before.lr, after.lr), (before.hr, after.hr)):
        assert torch.equal(a, b)
        assert a.stride()[1:] == b.stride()[1:]


def test_run_of_another_model_or_scale_does_not_go_on() -> None:
    run = VideoUpscaler(tiny_srvgg(), device="cpu", dtype="fp32").start()
    list(run.frames(clip(2)))
    with pytest.raises(InvalidOptionError, match="begun with tiny at x4"):
        VideoUpscaler(baseline()).start(state=run.state())
    with pytest.raises(InvalidOptionError, match="at x2"):
        VideoUpscaler(tiny_srvgg()).start(outscale=2, state=run.state())


def test_frame_of_another_size_after_a_break_is_named_by_its_place_in_the_clip() -> None:
    run = VideoUpscaler(tiny_srvgg(), device="cpu", dtype="fp32").start()
    list(run.frames(clip(2)))
    with pytest.raises(InputError, match="Frame 4 is 9x8"):
        list(VideoUpscaler(tiny_srvgg()).start(state=run.state()).frames([*clip(1), noise_picture(8, 9)]))


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x05\x06" + bytes(18)])
def test_file_without_a_state_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(CorruptMediaError, match="state of a clip"):
        read_clip_state(tmp_path / "s")


def test_clip_keeps_the_tiles_it_began_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    upscaler = VideoUpscaler(tiny_srvgg(), device="cpu", dtype="fp32", memory_limit_bytes=300_000)
    run = upscaler.start()
    frames = clip(4, height=64, width=64)
    made = run.frames(frames)
    next(made)
    tiles = run.report().tiles
    assert tiles > 1
    monkeypatch.setattr(upscaler.image_upscaler, "_memory_limit_bytes", 1 << 30)
    again = upscaler.start(state=from_file(run.state(), tmp_path / "s"))
    list(again.frames(frames[1:]))
    assert again.report().tiles == 4 * tiles
