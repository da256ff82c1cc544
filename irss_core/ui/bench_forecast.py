"""About how long a measurement will take, going by one of a small piece."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from irss_core.bench.dataset import Dataset, Sample
from irss_core.bench.measuring import PerceptualLoader
from irss_core.bench.quality import QualityRequest, run_quality
from irss_core.bench.results import QualityResults, Score
from irss_core.errors import IrssError
from irss_core.progress import CancelToken, ProgressCallback, ProgressUpdate
from irss_core.sr.loader import LoadedModel
from irss_core.sr.recurrent import WARM_UP_FRAMES

# Result pixels a second that the heaviest model makes on a slow machine with two cores: what takes little time even at
# this pace is begun without a trial.
_SLOW_PIXELS_PER_S = 12_000
_TRIAL_SIDE, _TRIAL_FRAMES = 192, 4
_FIRST, _SECOND = "1", "2"
_FIRST_SIDE = 96  # of the sample before the trial's, on which everything is loaded and warms up
_UNKNOWN_FRAMES = 100  # of a video whose header does not count them


@dataclass(frozen=True)
class _Extent:
    """How large a sample is: its frames, and the pixels of a result's frame."""

    frames: int
    area: int


@dataclass(frozen=True)
class _Pace:
    """What a model on the trial takes, with all that is done around it.

    ``frame_s`` is for a frame, ``warm_up_s`` for the frames that a sequence model first runs on, and ``sample_s`` for
    what is done once a sample, whatever its size.
    """

    frame_s: float
    warm_up_s: float
    sample_s: float


def forecast_s(
    asked: QualityRequest,
    dataset: Dataset,
    models: Mapping[str, LoadedModel],
    *,
    load_network: PerceptualLoader,
    quick_s: float,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> float:
    """Return about how many seconds the measurement will take, or 0 if that is surely less than ``quick_s``.

    Every model is measured on the middle of a few frames; the rest is taken to cost as much a pixel.

    Args:
        models: by the contestants' source.

    Raises:
        IrssError: as ``run_quality`` does.
    """
    extents = [_extent(sample, asked.protocol.scale) for sample in dataset.samples]
    pixels = sum(each.frames * each.area for each in extents)
    if pixels * len(models) <= quick_s * _SLOW_PIXELS_PER_S:
        return 0.0
    trial = asked.out / "trial"
    try:
        clips_first = sorted(dataset.samples, key=lambda sample: sample.kind != "clip")
        tried = _write_trial(clips_first, asked, trial / "set")
        if tried is None:
            return 0.0
        paces = _measure(
            replace(asked, data=trial / "set", out=trial / "results", degradation=asked.protocol.degradation),
            models,
            load_network=load_network,
            progress=progress,
            cancel=cancel,
        )
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return sum(
        pace.sample_s + each.area / tried.area * (each.frames * pace.frame_s + pace.warm_up_s)
        for pace in paces.values()
        for each in extents
    )


def _extent(sample: Sample, scale: int) -> _Extent:
    footage = sample.footage
    area = footage.width * footage.height * (1 if sample.truth is not None else scale**2)
    return _Extent(footage.frame_count or _UNKNOWN_FRAMES, area)


def _write_trial(samples: Sequence[Sample], asked: QualityRequest, folder: Path) -> _Extent | None:
    """Write a trial set of the first sample that can be read and return how large it is, or None if none can.

    It has two samples of the same frames: a small one first, then the middle of the frames.
    """
    least = 2 * asked.protocol.skipped_ends + 1
    for sample in samples:
        try:
            frames = sample.footage.frames(asked.limits)
            pictures = list(itertools.islice(frames, max(_TRIAL_FRAMES, least) if sample.kind == "clip" else 1))
        except (IrssError, OSError):  # which the measurement will tell
            continue
        for name, side in ((_FIRST, _FIRST_SIDE), (_SECOND, _TRIAL_SIDE)):
            for index, picture in enumerate(pictures):
                path = folder / name / f"{index}.png" if sample.kind == "clip" else folder / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(_middle(picture, side)).save(path, compress_level=1)
        height, width = _middle(pictures[0], _TRIAL_SIDE).shape[:2]
        return _Extent(len(pictures), height * width)
    return None


def _middle(picture: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of a picture, at most ``side`` pixels a side."""
    height, width = picture.shape[:2]
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def _measure(
    trial: QualityRequest,
    models: Mapping[str, LoadedModel],
    *,
    load_network: PerceptualLoader,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> dict[str, _Pace]:
    """Return the pace of each model, by source, on the second sample of a trial set."""
    paces: dict[str, _Pace] = {}
    marks = [time.perf_counter()]  # the end of the sample before, then of each frame, then of the sample

    def note_frame(update: ProgressUpdate) -> None:
        marks.append(time.perf_counter())
        progress(update)

    def note_sample(score: Score, _: QualityResults) -> None:
        if score.sample == _SECOND and score.frames:
            source = sources[score.entry]
            paces[source] = _pace(marks, score, is_sequence=models[source].kind == "sequence")
        marks[:] = [time.perf_counter()]

    sources = {contestant.name: contestant.source for contestant in trial.contestants}
    run_quality(
        trial,
        load=models.__getitem__,
        load_network=load_network,
        progress=note_frame,
        cancel=cancel,
        on_score=note_sample,
    )
    return paces


def _pace(marks: Sequence[float], score: Score, *, is_sequence: bool) -> _Pace:
    """Return the pace of a sample; ``marks`` are the end of the one before, of each frame, and of this one."""
    count = len(score.frames)
    before, *frames = marks[: count + 1]
    # The first frame of several bears the reading ahead and the warm-up.
    frame_s = (frames[-1] - frames[0]) / (count - 1) if count > 1 else frames[0] - before
    extra = WARM_UP_FRAMES if is_sequence else 0
    return _Pace(
        frame_s=frame_s if count > 1 else max(frame_s - extra * score.seconds / (count + extra), 0.0),
        warm_up_s=extra * score.seconds / (count + extra),
        sample_s=time.perf_counter() - frames[-1],
    )
