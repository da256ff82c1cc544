"""What the clip tab computes: two models on a clip or a part of it, one stacked preview, and profiles over time.

No gradio here; everything runs on the inference thread (see ``running``) and writes into the visitor's folder.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from PIL import Image

from irss_core.media.video import (
    ClipInfo,
    ClipLimits,
    ClipWriter,
    Frame,
    clip_part,
    part_frames,
    probe_clip,
    read_frames,
)
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter
from irss_core.sr.image import output_size
from irss_core.sr.resample import resize
from irss_core.sr.video import ClipReport
from irss_core.ui.requests import ClipRequest, LargeClip
from irss_core.ui.running import Board
from irss_core.ui.stills import file_stem
from irss_core.upscaling import ClipOptions, upscale_clip
from irss_core.votes import fingerprint

if TYPE_CHECKING:
    from irss_core.services import Services
    from irss_core.sr.video import VideoUpscaler

PANELS = ("bicubic", "a", "b")
# What every browser decodes in hardware or quickly without: the three panels are stacked into one video.
_STACK_HEIGHT, _STACK_WIDTH = 4096, 1920
_PREVIEW_CRF = 12
_PROFILE_FRAMES = 240
_PROFILE_HEIGHT = 160
_TRIAL_FRAMES, _TRIAL_SIDE = 3, 128
_ANIMATIONS = ("gif", "webp")
_OWN_FILES = ClipLimits(max_seconds=1e9, max_frames=2**40, max_bytes=2**50, max_frame_pixels=2**28)


@dataclass(frozen=True)
class ClipResult:
    """What one model made, the measured facts, and the files to take home."""

    name: str
    title: str
    facts: ClipReport
    files: tuple[Path, ...]


@dataclass(frozen=True)
class ClipComparison:
    """Everything the page shows of a finished run.

    ``preview`` stacks bicubic, A and B, each ``panel_width`` x ``panel_height``; ``times_s`` are its frames' times.
    """

    request: ClipRequest
    info: ClipInfo
    width: int
    height: int
    outscale: float
    results: tuple[ClipResult, ClipResult]
    preview: Path
    panel_width: int
    panel_height: int
    times_s: tuple[float, ...]
    seconds_per_frame: float
    whole_seconds: float | None  # forecast, after a run on a part
    source_digest: str  # of the whole input; see votes.fingerprint
    notes: tuple[str, ...]  # what had to be mended in the clip

    @property
    def middle_row(self) -> int:
        """The pixel row in the middle of a panel."""
        return self.panel_height // 2

    @property
    def fps(self) -> float:
        """Frames a second of the preview."""
        return float(self.info.fps)


def compare_clip(
    request: ClipRequest,
    services: Services,
    folder: Path,
    *,
    board: Board,
    cancel: CancelToken,
    measured: ClipComparison | None = None,
) -> ClipComparison | LargeClip:
    """Return both models' clips, written into ``folder``; or what it would take, if that is long.

    Args:
        measured: an earlier comparison, the best base for a forecast if it ran the same models.

    Raises:
        IrssError: as the reading, the loading and the upscaling do; CancelledError when asked to stop.
    """
    reading, loading, *model_steps, stacking = request.steps
    board.begin(reading)
    info = probe_clip(request.source, services.clip_limits)
    board.begin(loading)
    for name in request.models:
        services.image_upscaler(name, progress=board.report, cancel=cancel)  # fetches and loads what is not here yet
    upscalers = [services.video_upscaler(name) for name in request.models]
    outscale = request.outscale or max(upscaler.model.default_outscale for upscaler in upscalers)
    run = _ClipWork(request, info, outscale=outscale, folder=folder, limits=services.clip_limits, cancel=cancel)
    if not request.confirmed:
        per_frame = measured.seconds_per_frame if _fits(measured, request) else run.measure(upscalers)
        seconds = per_frame * (part_frames(info, request.part) or 1)
        if seconds > services.settings.large_work_seconds:
            return LargeClip(request, seconds)

    started = time.perf_counter()
    results = []
    for step, index in zip(model_steps, (0, 1), strict=True):
        board.begin(step)
        results.append(run.upscale(upscalers[index], index, progress=board.report))
    board.begin(stacking)
    stack = Stack(info.width, info.height, outscale)
    preview, times = run.write_preview(stack, results, progress=board.report)
    per_frame = seconds_per_frame([result.facts for result in results], wall_s=time.perf_counter() - started)
    return ClipComparison(
        request=request,
        info=info,
        width=stack.width,
        height=stack.height,
        outscale=outscale,
        results=(results[0], results[1]),
        preview=preview,
        panel_width=stack.panel_width,
        panel_height=stack.panel_height,
        times_s=times,
        seconds_per_frame=per_frame,
        whole_seconds=_forecast(info, per_frame) if request.part else None,
        source_digest=fingerprint(request.source),
        notes=run.notes,
    )


class Stack:
    """The geometry of the player's video: three panels of one size, one above the other.

    ``width`` x ``height`` is a result's size, ``panel_width`` x ``panel_height`` a panel's: smaller where three results
    would make a video that browsers cannot decode, and even, as H.264 wants it.
    """

    def __init__(self, width: int, height: int, outscale: float) -> None:
        self.height, self.width = output_size(height, width, outscale)
        share = min(1.0, _STACK_WIDTH / self.width, _STACK_HEIGHT / (len(PANELS) * self.height))
        self.panel_width, self.panel_height = _even(self.width * share), _even(self.height * share)

    def compose(self, source: np.ndarray, results: Sequence[np.ndarray]) -> np.ndarray:
        """Return the stacked frame of an input frame and both results, all HxWx3 uint8 RGB."""
        baseline = resize(source, height=self.height, width=self.width, method="bicubic")
        panels = [
            resize(_cut(frame, self.height, self.width), height=self.panel_height, width=self.panel_width)
            for frame in (baseline, *results)
        ]
        return np.concatenate(panels)


class _ClipWork:
    """One request on its way: the frames asked for, through each model into files, then into the preview."""

    def __init__(
        self,
        request: ClipRequest,
        info: ClipInfo,
        *,
        outscale: float,
        folder: Path,
        limits: ClipLimits,
        cancel: CancelToken,
    ) -> None:
        self._request, self._info, self._outscale, self._folder = request, info, outscale, folder
        self._limits, self._cancel = limits, cancel
        self.notes: tuple[str, ...] = ()

    def measure(self, upscalers: Sequence[VideoUpscaler]) -> float:
        """Return the seconds a frame takes both models, going by the middle of the first few frames."""
        rows, columns = _middle(self._info.height, _TRIAL_SIDE), _middle(self._info.width, _TRIAL_SIDE)
        with contextlib.closing(self._frames()) as frames:
            trial = [
                np.ascontiguousarray(frame.pixels[rows, columns]) for frame in itertools.islice(frames, _TRIAL_FRAMES)
            ]
        if not trial:
            return 0.0
        seconds = 0.0
        for upscaler in upscalers:
            run = upscaler.start(outscale=self._outscale)
            for _ in run.frames(trial, cancel=self._cancel):
                pass
            report = run.report()
            seconds += report.seconds / report.frames_run
        share: float = trial[0].shape[0] * trial[0].shape[1] / (self._info.height * self._info.width)
        return seconds / share

    def upscale(self, upscaler: VideoUpscaler, index: int, *, progress: ProgressCallback) -> ClipResult:
        """Return what one model made: a video, with the sound if all of the clip was asked for; of a GIF also a GIF."""
        name, title = self._request.models[index], self._request.titles[index]
        label = file_stem(title if ":" in name else name) + ("_b" if index and name == self._request.models[0] else "")
        stem = f"{file_stem(self._request.source.name)}_{label}_x{self._outscale:g}"
        files = tuple(self._folder / f"{stem}{suffix}" for suffix in self._suffixes)
        report = upscale_clip(
            self._request.source,
            files[0],
            upscaler,
            also=files[1:],
            options=ClipOptions(outscale=self._outscale, part=self._request.part),
            limits=self._limits,
            progress=progress,
            cancel=self._cancel,
        )
        return ClipResult(name, title, report, files)

    def write_preview(
        self, stack: Stack, results: Sequence[ClipResult], *, progress: ProgressCallback
    ) -> tuple[Path, tuple[float, ...]]:
        """Return the stacked video and the times of its frames."""
        path = self._folder / "preview.mp4"
        meter = ProgressMeter(results[0].facts.frames, "frames", callback=progress, cancel=self._cancel)
        times = []
        made = [read_frames(result.files[0], _OWN_FILES) for result in results]
        writer = ClipWriter(
            path,
            width=stack.panel_width,
            height=len(PANELS) * stack.panel_height,
            fps=self._info.fps,
            crf=_PREVIEW_CRF,
        )
        with contextlib.closing(made[0]), contextlib.closing(made[1]), writer:
            for source, *frames in zip(self._frames(), *made, strict=False):
                writer.write(stack.compose(source.pixels, [frame.pixels for frame in frames]), source.pts_s)
                times.append(float(source.pts_s))
                meter.advance()
        return path, tuple(times)

    def _frames(self) -> Generator[Frame, None, None]:
        """Yield the frames asked for."""
        with read_frames(self._request.source, self._limits) as reader:
            yield from clip_part(reader, self._request.part, cancel=self._cancel)
            self.notes = reader.notes

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return (".mp4", ".gif") if self._info.format in _ANIMATIONS else (".mp4",)


def seconds_per_frame(reports: Sequence[ClipReport], *, wall_s: float) -> float:
    """Return what one more frame takes: each model by the frames it ran on, and its share of reading and writing.

    A sequence model also runs on a few frames of warm-up, which weigh much in a short part and little in the whole.
    """
    models = sum(report.seconds / report.frames_run for report in reports)
    files = max(wall_s - sum(report.seconds for report in reports), 0.0) / reports[0].frames
    return models + files


def _forecast(info: ClipInfo, seconds_per_frame: float) -> float | None:
    """Return how long the whole clip will take, or None where its length is unknown."""
    frames = part_frames(info, None)
    return None if frames is None else frames * seconds_per_frame


def _fits(measured: ClipComparison | None, request: ClipRequest) -> TypeGuard[ClipComparison]:
    """Whether an earlier comparison ran the same models on the same clip at the same scale."""
    if measured is None:
        return False
    before = measured.request
    return (before.source, before.models, before.outscale) == (request.source, request.models, request.outscale)


def _middle(length: int, wanted: int) -> slice:
    start = max((length - wanted) // 2, 0)
    return slice(start, start + min(wanted, length))


def _even(side: float) -> int:
    return max(2 * round(side / 2), 2)


def _cut(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the frame without what the encoder may have added to make its sides even."""
    return frame[:height, :width]


def temporal_profiles(comparison: ClipComparison, row: int) -> dict[str, Path]:
    """Return for each panel a PNG of one pixel row over time: time runs downwards.

    What moves smoothly draws a smooth line; what flickers from frame to frame draws a ragged one.
    """
    height = comparison.panel_height
    row = min(max(row, 0), height - 1)
    paths = {panel: comparison.preview.parent / f"profile-{panel}-{row}.png" for panel in PANELS}
    if all(path.exists() for path in paths.values()):
        return paths
    rows: dict[str, list[np.ndarray]] = {panel: [] for panel in PANELS}
    with read_frames(comparison.preview, _OWN_FILES) as frames:
        for frame in itertools.islice(frames, _PROFILE_FRAMES):
            for index, panel in enumerate(PANELS):
                rows[panel].append(frame.pixels[index * height + row])
    for panel, lines in rows.items():
        profile = np.repeat(np.stack(lines), max(_PROFILE_HEIGHT // len(lines), 1), axis=0)
        Image.fromarray(profile).save(paths[panel])
    return paths
