"""Comparing two models on a clip: parts, sound, the stacked preview, profiles. Baselines stand in for networks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irss_core.config import Settings
from irss_core.errors import CancelledError
from irss_core.media.video import ClipPart, ClipWriter, probe_clip, read_frames
from irss_core.progress import CancelToken
from irss_core.services import Services, build_services
from irss_core.sr.video import ClipReport
from irss_core.ui.clips import ClipComparison, Stack, compare_clip, seconds_per_frame, temporal_profiles
from irss_core.ui.requests import ClipRequest, LargeClip
from irss_core.ui.running import Board

WIDTH, HEIGHT, FRAMES, FPS = 32, 24, 12, Fraction(12)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return build_services(Settings(cache_dir=tmp_path / "cache", offline=True))


def frame(index: int) -> np.ndarray:
    """A grey step that moves to the right by one pixel a frame; its upper half gets brighter with time."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[:, 8 + index :] = 180
    pixels[: HEIGHT // 2] += np.uint8(5 * index)
    return pixels


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "step.mp4")


def write(path: Path) -> Path:
    with ClipWriter(path, width=WIDTH, height=HEIGHT, fps=FPS, crf=4) as writer:
        for index in range(FRAMES):
            writer.write(frame(index), index / FPS)
    return path


def request_for(path: Path, **changes: object) -> ClipRequest:
    asked = ClipRequest(path, ("bicubic", "lanczos"), ("Bicubic", "Lanczos"), outscale=2.0)
    return replace(asked, **changes)  # type: ignore[arg-type]


def run(
    asked: ClipRequest, services: Services, tmp_path: Path, *, cancel: CancelToken | None = None
) -> ClipComparison | LargeClip:
    folder = tmp_path / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return compare_clip(asked, services, folder, board=Board(asked.steps), cancel=cancel or CancelToken())


def compared(asked: ClipRequest, services: Services, tmp_path: Path) -> ClipComparison:
    made = run(asked, services, tmp_path)
    assert isinstance(made, ClipComparison)
    return made


def test_every_frame_comes_out_at_its_time(services: Services, clip: Path, tmp_path: Path) -> None:
    made = compared(request_for(clip), services, tmp_path)
    for result in made.results:
        frames = list(read_frames(result.files[0]))
        assert [frame.pixels.shape for frame in frames] == [(2 * HEIGHT, 2 * WIDTH, 3)] * FRAMES
        assert [float(frame.pts_s) for frame in frames] == pytest.approx([i / FPS for i in range(FRAMES)], abs=1e-3)
    assert made.times_s == pytest.approx([i / FPS for i in range(FRAMES)], abs=1e-3)


def test_a_part_is_cut_out_and_begins_at_zero(services: Services, clip: Path, tmp_path: Path) -> None:
    made = compared(request_for(clip, part=ClipPart(start_s=0.5, length_s=0.25)), services, tmp_path)
    frames = list(read_frames(made.results[0].files[0]))
    assert len(frames) == 3 == made.results[0].facts.frames
    assert float(frames[0].pts_s) == 0
    wanted = np.asarray(frame(6), np.int16)[::4, ::4]
    # frame 6, not frame 0, which is 26 levels off
    assert np.abs(frames[0].pixels[::8, ::8].astype(np.int16) - wanted).mean() < 12


def test_the_whole_is_forecast_from_a_part(services: Services, clip: Path, tmp_path: Path) -> None:
    made = compared(request_for(clip, part=ClipPart(0.0, 0.25)), services, tmp_path)
    assert made.whole_seconds == pytest.approx(made.seconds_per_frame * FRAMES)
    assert compared(request_for(clip), services, tmp_path / "again").whole_seconds is None


def test_the_warm_up_of_a_sequence_model_is_not_counted_with_every_frame() -> None:
    def report(frames: int, frames_run: int, seconds: float) -> ClipReport:
        return ClipReport(
            frames=frames, frames_run=frames_run, seconds=seconds, peak_memory_bytes=1, device="cpu", dtype="fp32",
            tiles=1, scene_cuts=0, fallbacks=(), model="m", outscale=4.0,
        )  # fmt: skip

    # 4 frames: the still model takes 1 s each, the sequence model 2 s on each of 9; 2 s go to reading and writing.
    assert seconds_per_frame([report(4, 4, 4.0), report(4, 9, 18.0)], wall_s=24.0) == pytest.approx(1 + 2 + 0.5)


def test_the_preview_stacks_bicubic_a_and_b(services: Services, clip: Path, tmp_path: Path) -> None:
    made = compared(request_for(clip), services, tmp_path)
    info = probe_clip(made.preview)
    assert (info.width, info.height) == (made.panel_width, 3 * made.panel_height) == (64, 144)
    first = next(iter(read_frames(made.preview))).pixels.reshape(3, 48, 64, 3).astype(np.int16)
    assert np.abs(first[0] - first[1]).mean() < 2  # model A is the bicubic baseline
    assert np.abs(first[0] - first[2]).mean() < 6


@pytest.mark.parametrize(
    ("width", "height", "outscale"), [(640, 360, 4), (1920, 1080, 4), (90, 1600, 4), (31, 17, 3.5), (1, 1, 1)]
)
def test_panels_stay_within_what_browsers_decode_and_are_even(width: int, height: int, outscale: float) -> None:
    stack = Stack(width, height, outscale)
    assert stack.panel_width % 2 == stack.panel_height % 2 == 0
    assert stack.panel_width <= 1920
    assert 3 * stack.panel_height <= 4096 + 6  # rounding to even sides
    assert stack.panel_width > 0 < stack.panel_height


def test_a_gif_gives_a_gif_too(services: Services, tmp_path: Path) -> None:
    made = compared(request_for(write(tmp_path / "step.gif")), services, tmp_path)
    assert [path.suffix for path in made.results[0].files] == [".mp4", ".gif"]
    with Image.open(made.results[0].files[1]) as gif:
        assert getattr(gif, "n_frames", 1) == FRAMES
        assert gif.size == (2 * WIDTH, 2 * HEIGHT)


def test_a_profile_is_one_row_over_time(services: Services, clip: Path, tmp_path: Path) -> None:
    made = compared(request_for(clip), services, tmp_path)
    dark, bright = (temporal_profiles(made, row) for row in (40, 8))
    with Image.open(dark["a"]) as image:
        below = np.asarray(image.convert("L"), np.int16)
    with Image.open(bright["a"]) as image:
        above = np.asarray(image.convert("L"), np.int16)
    assert below.shape[1] == 64
    assert below.shape[0] % FRAMES == 0
    assert above[-1, 4] - above[0, 4] > 30, "the upper half gets brighter with time"
    assert abs(below[-1, 4] - below[0, 4]) < 10
    edges = [int(np.argmax(row > 120)) for row in below[:: below.shape[0] // FRAMES]]
    assert edges == sorted(edges)
    assert edges[-1] - edges[0] == pytest.approx(2 * (FRAMES - 1), abs=2), "the step moves two pixels a frame"


@pytest.mark.parametrize("row", [-5, 10_000])
def test_a_row_outside_is_moved_inside(services: Services, clip: Path, tmp_path: Path, row: int) -> None:
    made = compared(request_for(clip, part=ClipPart(0.0, 0.2)), services, tmp_path)
    assert temporal_profiles(made, row)["b"].exists()


def test_long_work_is_asked_about_first_and_done_when_confirmed(services: Services, clip: Path, tmp_path: Path) -> None:
    services.settings.large_work_seconds = 1e-9
    large = run(request_for(clip), services, tmp_path)
    assert isinstance(large, LargeClip)
    assert isinstance(run(replace(large.request, confirmed=True), services, tmp_path), ClipComparison)


def test_a_cancel_leaves_nothing_behind(services: Services, clip: Path, tmp_path: Path) -> None:
    cancel = CancelToken()
    asked = request_for(clip)
    folder = tmp_path / "results"
    folder.mkdir()

    class CancellingBoard(Board):
        def begin(self, step: str) -> None:
            super().begin(step)
            if step.startswith("A:"):
                cancel.cancel()

    with pytest.raises(CancelledError):
        compare_clip(asked, services, folder, board=CancellingBoard(asked.steps), cancel=cancel)
    assert list(folder.iterdir()) == []
