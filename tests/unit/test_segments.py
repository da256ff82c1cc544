"""Clips in segments: killed anywhere, the work goes on at the last finished segment and gives the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.local.signing import UrlSigner
from irss_core.errors import CancelledError, ResourceError
from irss_core.jobs import segments
from irss_core.jobs.job import Job
from irss_core.jobs.keys import work_key
from irss_core.jobs.options import Stage
from irss_core.jobs.stages import Workshop
from irss_core.media.clip_join import join_clips
from irss_core.media.video import ClipWriter, probe_clip, read_frames
from irss_core.progress import CancelToken, ProgressUpdate
from tests.fakes.clock import FakeClock
from tests.fakes.objects import MemoryObjects
from tests.made_clips import Sound, make_clip, packets_of
from tests.made_workshop import TinyModels, job_of, run_stages
from tests.tiny_models import noise_picture

SIZE = (24, 16)
TICK = Fraction(1, 24)


class Killed(BaseException):
    """Stands for the end of the process: nothing is cleaned up after it but what the interpreter cannot help."""


def pan(count: int, *, seed: int) -> list[np.ndarray]:
    wide = noise_picture(SIZE[1], SIZE[0] + count, seed=seed)
    return [np.ascontiguousarray(wide[:, index : index + SIZE[0]]) for index in range(count)]


def two_scenes(first: int, second: int) -> list[np.ndarray]:
    """A dark pan and then a bright one: a cut for the detector."""
    return [frame // 4 for frame in pan(first, seed=1)] + [255 - frame // 4 for frame in pan(second, seed=2)]


def clip_of(folder: Path, frames: list[np.ndarray], *, sound: bool = True) -> Path:
    """A clip of varying rate that does not begin at zero."""
    ticks = [2 + index + (index // 3) for index in range(len(frames))]
    path = folder / "in.mp4"
    tone = Sound(seconds=float((ticks[-1] + 1) * TICK)) if sound else None
    return make_clip(path, ticks=ticks, tick=TICK, last_ticks=5, size=SIZE, frames=frames, sound=tone)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(objects=MemoryObjects(FakeClock()), models=TinyModels(), scratch=tmp_path / "scratch")


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 5)


def killing_at(frame: int) -> Any:
    def tell(update: ProgressUpdate) -> None:
        if update.done >= frame:
            raise Killed

    return tell


def ready(workshop: Workshop, clip: Path, **options: Any) -> Job:
    return run_stages(job_of(workshop.objects, clip, **options), workshop, Stage.VALIDATE, Stage.METADATA)


def result(workshop: Workshop, job: Job) -> bytes:
    return workshop.objects.stored[job.outputs["result"]][1]  # type: ignore[attr-defined]


def undisturbed(workshop: Workshop, job: Job) -> bytes:
    """The result of a run of its own, without a trace in the workshop."""
    other = replace(workshop, objects=MemoryObjects(FakeClock(), stored=dict(workshop.objects.stored)))  # type: ignore[attr-defined]
    return result(other, run_stages(job, other, segment_stage(job)))


def segment_stage(job: Job) -> Stage:
    return Stage.UPSCALE if Stage.UPSCALE in job.options.stages else Stage.FILTER


@pytest.mark.parametrize(("model", "cut"), [("sequence", 9), ("sequence", 10), ("sequence", 14), ("still", 10)])
def test_work_killed_twice_gives_the_bytes_of_undisturbed_work(
    workshop: Workshop, tmp_path: Path, model: str, cut: int
) -> None:
    job = ready(workshop, clip_of(tmp_path, two_scenes(cut, 18 - cut)), model=model, width=80)
    expected = undisturbed(workshop, job)
    for frame in (7, 13):  # in the second segment, and in the third
        with pytest.raises(Killed):
            run_stages(job, workshop, Stage.UPSCALE, progress=killing_at(frame))
    seen: list[ProgressUpdate] = []
    job = run_stages(job, workshop, Stage.UPSCALE, progress=seen.append)
    assert result(workshop, job) == expected
    assert seen[0].done == 10  # two segments were not made again
    assert (seen[-1].done, seen[-1].total, seen[-1].remaining_s) == (18, 18, 0)
    assert job.facts["frames"] == 18
    if model == "sequence":
        assert job.facts["scene_cuts"] == 1
        assert job.facts["frames_run"] == 18 + 2 * 5


def test_clip_without_a_model_is_resumed_too(workshop: Workshop, tmp_path: Path) -> None:
    clip = clip_of(tmp_path, pan(13, seed=1))
    job = ready(workshop, clip, preset="filters", denoise=True, sharpen=1.0)
    expected = undisturbed(workshop, job)
    with pytest.raises(Killed):
        run_stages(job, workshop, Stage.FILTER, progress=killing_at(11))
    seen: list[ProgressUpdate] = []
    job = run_stages(job, workshop, Stage.FILTER, progress=seen.append)
    assert (seen[0].done, result(workshop, job)) == (10, expected)


@pytest.mark.parametrize("count", [1, 5, 10, 11])
def test_every_frame_keeps_its_time_and_the_sound_its_bytes(workshop: Workshop, tmp_path: Path, count: int) -> None:
    clip = clip_of(tmp_path, pan(count, seed=3))
    job = run_stages(ready(workshop, clip, model="bicubic", outscale=2), workshop, Stage.UPSCALE)
    made = tmp_path / "out.mp4"
    made.write_bytes(result(workshop, job))
    before, after = list(read_frames(clip)), list(read_frames(made))
    assert [(f.pts_s, f.duration_s) for f in after] == [(f.pts_s, f.duration_s) for f in before]
    assert packets_of(made) == packets_of(clip)
    assert probe_clip(made).frame_count == count
    # Each frame is itself, whatever segment it is in: coded well enough to be told from its neighbours.
    upscaler = TinyModels().image_upscaler("bicubic")
    for one, other in zip(before, after, strict=True):
        assert np.abs(upscaler(one.pixels, outscale=2).image.astype(int) - other.pixels).mean() < 12


def test_all_segments_done_and_only_the_joining_missing(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready(workshop, clip_of(tmp_path, pan(10, seed=1)), model="sequence")
    expected = undisturbed(workshop, job)
    with monkeypatch.context() as patch:
        patch.setattr("irss_core.media.clip_join.join_clips", lambda *_, **__: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run_stages(job, workshop, Stage.UPSCALE)
    held = workshop.models.times_held  # type: ignore[attr-defined]
    job = run_stages(job, workshop, Stage.UPSCALE)
    assert workshop.models.times_held == held + 1  # type: ignore[attr-defined]
    assert result(workshop, job) == expected
    assert job.facts["frames"] == 10


def test_only_the_newest_state_is_kept(workshop: Workshop, tmp_path: Path) -> None:
    job = ready(workshop, clip_of(tmp_path, pan(18, seed=1)), model="bicubic")
    with pytest.raises(Killed):
        run_stages(job, workshop, Stage.UPSCALE, progress=killing_at(16))
    names = [key.rpartition("/")[2] for key in workshop.objects.keys(work_key(job.id, ""))]
    assert names == ["segment-000000", "segment-000001", "segment-000002", "state-000002"]


def test_segment_counts_only_with_its_state_and_all_before_it(workshop: Workshop, tmp_path: Path) -> None:
    job = ready(workshop, clip_of(tmp_path, pan(18, seed=1)), model="bicubic")
    expected = undisturbed(workshop, job)
    for lost in ("state-000002", "segment-000001"):
        with pytest.raises(Killed):
            run_stages(job, workshop, Stage.UPSCALE, progress=killing_at(16))
        (key,) = (key for key in workshop.objects.keys("work/") if key.endswith(lost))
        workshop.objects.delete(key)
        seen: list[ProgressUpdate] = []
        done = run_stages(job, workshop, Stage.UPSCALE, progress=seen.append)
        assert (seen[0].done, result(workshop, done)) == (0, expected)
        for key in workshop.objects.keys("processed/"):
            workshop.objects.delete(key)
        for key in workshop.objects.keys("work/"):
            workshop.objects.delete(key)


def test_state_that_cannot_be_read_begins_the_clip_again(workshop: Workshop, tmp_path: Path) -> None:
    job = ready(workshop, clip_of(tmp_path, pan(12, seed=1)), model="bicubic")
    expected = undisturbed(workshop, job)
    with pytest.raises(Killed):
        run_stages(job, workshop, Stage.UPSCALE, progress=killing_at(7))
    (key,) = (key for key in workshop.objects.keys("work/") if "state" in key)
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    workshop.objects.put(key, tmp_path / "rubbish", content_type="application/octet-stream")
    seen: list[ProgressUpdate] = []
    job = run_stages(job, workshop, Stage.UPSCALE, progress=seen.append)
    assert (seen[0].done, result(workshop, job)) == (0, expected)


def test_work_of_another_plan_is_not_gone_on_with(workshop: Workshop, tmp_path: Path) -> None:
    clip = clip_of(tmp_path, pan(12, seed=1))
    job = ready(workshop, clip, model="sequence")
    with pytest.raises(Killed):
        run_stages(job, workshop, Stage.UPSCALE, progress=killing_at(7))
    for changes in ({"model": "still"}, {"outscale": 2}, {"sharpen": 1.0}, {"width": 60}):
        other = replace(job, options=replace(job.options, **changes))  # type: ignore[arg-type]
        seen: list[ProgressUpdate] = []

        def tell(update: ProgressUpdate, seen: list[ProgressUpdate] = seen) -> None:
            seen.append(update)
            raise Killed

        with pytest.raises(Killed):
            run_stages(other, workshop, Stage.UPSCALE, progress=tell)
        assert seen[0].done == 0


def test_cancel_acts_within_one_frame_and_the_device_is_let_go(workshop: Workshop, tmp_path: Path) -> None:
    job = ready(workshop, clip_of(tmp_path, pan(18, seed=1)), model="still")
    token, seen = CancelToken(), []

    def tell(update: ProgressUpdate) -> None:
        seen.append(update.done)
        if update.done == 7:
            token.cancel()

    with pytest.raises(CancelledError):
        run_stages(job, workshop, Stage.UPSCALE, progress=tell, cancel=token)
    assert seen[-1] == 7
    assert workshop.models.held == 0  # type: ignore[attr-defined]
    assert list(workshop.scratch.glob("**/*")) == []


def test_device_is_let_go_between_segments(workshop: Workshop, tmp_path: Path) -> None:
    job = ready(workshop, clip_of(tmp_path, pan(12, seed=1)), model="still")
    run_stages(job, workshop, Stage.UPSCALE)
    assert workshop.models.times_held == 4  # type: ignore[attr-defined]  # three segments, and a look for a fourth


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.unit.test_segments import *
segments.SEGMENT_FRAMES = 5
folder = Path(sys.argv[1])
def tell(update):
    if update.done >= 13:
        os.kill(os.getpid(), signal.SIGKILL)
workshop = on_disk(folder)
run_stages(ready(workshop, folder / "in.mp4", model="sequence"), workshop, Stage.UPSCALE, progress=tell)
"""


def on_disk(folder: Path) -> Workshop:
    clock = FakeClock()
    objects = FileObjects(
        folder / "objects", signer=UrlSigner(b"s" * 32, clock), address="http://irss.test", clock=clock
    )
    return Workshop(objects=objects, models=TinyModels(), scratch=folder / "scratch")


def test_process_killed_in_the_middle_of_a_clip(workshop: Workshop, tmp_path: Path) -> None:
    clip = clip_of(tmp_path, two_scenes(11, 7))
    expected = undisturbed(workshop, ready(workshop, clip, model="sequence"))
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=120, cwd=root)
    assert done.returncode == -signal.SIGKILL
    again = on_disk(tmp_path)
    assert any(key.endswith("state-000001") for key in again.objects.keys("work/"))
    seen: list[ProgressUpdate] = []
    job = run_stages(ready(again, clip, model="sequence"), again, Stage.UPSCALE, progress=seen.append)
    again.objects.get(job.outputs["result"], tmp_path / "out.mp4")
    assert seen[0].done == 10
    assert (tmp_path / "out.mp4").read_bytes() == expected


def written(path: Path, *, width: int = 24, threads: int | None = None) -> Path:
    with ClipWriter(path, width=width, height=16, fps=Fraction(24), time_base=TICK, threads=threads) as writer:
        for index, frame in enumerate(pan(4, seed=1)):
            writer.write(frame[:, :width], index * TICK)
    return path


def test_parts_that_do_not_fit_are_not_joined(tmp_path: Path) -> None:
    parts = [written(tmp_path / "a.mp4"), written(tmp_path / "b.mp4", width=20)]
    with pytest.raises(ValueError, match=r"b\.mp4 was coded with other options"):
        join_clips(parts, tmp_path / "out.mp4", time_base=TICK, audio_from=None)


def test_joining_on_a_disk_that_cannot_be_written_may_succeed_another_time(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="could not be put together"):
        join_clips([written(tmp_path / "a.mp4")], tmp_path / "no" / "out.mp4", time_base=TICK, audio_from=None)


def test_number_of_threads_reaches_the_encoder(tmp_path: Path) -> None:
    # What x264 was told stands in its first packet.
    for threads in (1, 4):
        data = written(tmp_path / f"{threads}.mp4", threads=threads).read_bytes()
        assert f" threads={threads} ".encode() in data
