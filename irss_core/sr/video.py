"""VideoUpscaler: a stream of frames in, a stream of larger frames out, one for one, in memory that does not grow."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from irss_core.errors import InputError, InvalidOptionError
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter
from irss_core.sr.device import DTYPE_NAMES
from irss_core.sr.image import ImageUpscaler, output_size
from irss_core.sr.loader import LoadedModel
from irss_core.sr.memory import PeakMemory, reusing_memory
from irss_core.sr.recurrent import WARM_UP_FRAMES, FrameOutput, RecurrentRunner
from irss_core.sr.resample import resize
from irss_core.sr.scenes import SceneCutDetector, SceneState
from vendor.tecogan.sequence import SequenceState


@dataclass(frozen=True)
class ClipReport:
    """The measured facts of a clip's run. ``seconds`` is the model's time alone, without reading and writing files.

    ``frames_run`` counts what the network ran on: a sequence model also runs on some frames to warm its state up.
    """

    frames: int
    frames_run: int
    seconds: float
    peak_memory_bytes: int
    device: str
    dtype: str
    tiles: int
    scene_cuts: int
    fallbacks: tuple[str, ...]
    model: str
    outscale: float

    @property
    def fps(self) -> float:
        """Frames a second of the model alone."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, eq=False)
class ClipState:
    """Where a run of a clip is between two frames: another run goes on from here as if there had been no break.

    ``scene`` and ``sequence`` are those of the last frame that came out; frames that were read ahead are not in it.
    """

    report: ClipReport
    budget_bytes: int
    scene: SceneState
    sequence: SequenceState | None


class VideoUpscaler:
    """Upscales clips with one model: a sequence model carries its state along, a still model runs frame by frame.

    Args: as for ``ImageUpscaler``.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        device: str = "auto",
        dtype: str = "auto",
        memory_limit_bytes: int | None = None,
    ) -> None:
        self.image_upscaler = ImageUpscaler(model, device=device, dtype=dtype, memory_limit_bytes=memory_limit_bytes)
        self.model = model

    @classmethod
    def sharing(cls, image_upscaler: ImageUpscaler) -> Self:
        """Return a VideoUpscaler on the network that an ImageUpscaler holds already."""
        upscaler = cls.__new__(cls)
        upscaler.image_upscaler, upscaler.model = image_upscaler, image_upscaler.model
        return upscaler

    def start(self, *, outscale: float | None = None, state: ClipState | None = None) -> ClipRun:
        """Return a new run of one clip; the model stays loaded, the run keeps the clip's state and facts.

        Args:
            state: where an earlier run stopped; the frames handed to this one are those that come after.

        Raises:
            InvalidOptionError: an impossible outscale, or a state of another model or outscale.
        """
        run = ClipRun(self.image_upscaler, self.image_upscaler.check_outscale(outscale))
        if state is not None:
            run.resume(state)
        return run


class ClipRun:
    """One clip on its way through a model: iterate ``frames``, then read ``report``."""

    def __init__(self, upscaler: ImageUpscaler, outscale: float) -> None:
        self.outscale = outscale
        self._upscaler = upscaler
        self._frames = self._frames_run = self._tiles = self._cuts = self._peak_bytes = 0
        self._seconds = 0.0
        self._dtype = DTYPE_NAMES[upscaler.dtype]
        self._fallbacks: dict[str, None] = {}
        self._budget_bytes = upscaler.working_budget_bytes()  # one for all frames: tiles that change change the bits
        self._scene = SceneState()
        self._sequence_state: SequenceState | None = None

    def resume(self, state: ClipState) -> None:
        """Go on from where another run of this model at this scale stopped; call it before ``frames``.

        Raises:
            InvalidOptionError: the state is of another model or outscale.
        """
        before, here = state.report, (self._upscaler.model.name, self.outscale)
        if (before.model, before.outscale) != here:
            raise InvalidOptionError(
                f"The clip was begun with {before.model} at x{before.outscale:g} and cannot go on with {here[0]} at "
                f"x{here[1]:g}. Start it from its first frame."
            )
        self._frames, self._frames_run, self._tiles = before.frames, before.frames_run, before.tiles
        self._cuts, self._peak_bytes, self._seconds = before.scene_cuts, before.peak_memory_bytes, before.seconds
        self._dtype, self._fallbacks = before.dtype, dict.fromkeys(before.fallbacks)
        self._budget_bytes, self._scene = state.budget_bytes, state.scene
        if state.sequence is not None:
            self._sequence_state = state.sequence.to(self._upscaler.device)

    def state(self) -> ClipState:
        """Return where the run is after the frames that came out so far; ask between two frames."""
        return ClipState(self.report(), self._budget_bytes, self._scene, self._sequence_state)

    def frames(
        self,
        frames: Iterable[np.ndarray],
        *,
        total: int | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield one HxWx3 uint8 RGB frame for each one taken in, in order; at most six are held at a time.

        Args:
            frames: HxWx3 uint8 RGB, all of one size; of a run that goes on, those that are left.
            total: how many there will be, if known, for the time left.
            progress, cancel: as for ``ImageUpscaler``; a cancel acts within one frame.

        Raises:
            InputError: no frame at all, or a frame of another size. Else as ``ImageUpscaler``.
        """
        meter = ProgressMeter(total, "frames", callback=progress, cancel=cancel)
        checked = _same_size(frames, number=self._frames + 1)
        recurrent = self._upscaler.recurrent
        upscaled = self._sequence(recurrent, checked, cancel) if recurrent else self._one_by_one(checked, cancel)
        with PeakMemory(self._upscaler.device) as peak, reusing_memory():
            while True:
                started = time.perf_counter()
                frame = next(upscaled, None)
                self._seconds += time.perf_counter() - started
                self._peak_bytes = max(self._peak_bytes, peak.peak_bytes)
                if frame is None:
                    break
                self._frames += 1
                meter.advance()
                yield frame
        self._peak_bytes = max(self._peak_bytes, peak.peak_bytes)
        if not self._frames:
            raise InputError("The clip has no frames. Check that the file plays in a video player.")

    def report(self) -> ClipReport:
        """Return the facts of the frames done so far."""
        return ClipReport(
            frames=self._frames,
            frames_run=self._frames_run,
            seconds=self._seconds,
            peak_memory_bytes=self._peak_bytes,
            device=str(self._upscaler.device) if self._upscaler.model.network is not None else "cpu",
            dtype=self._dtype,
            tiles=self._tiles,
            scene_cuts=self._cuts,
            fallbacks=tuple(self._fallbacks),
            model=self._upscaler.model.name,
            outscale=self.outscale,
        )

    def _one_by_one(self, frames: Iterator[np.ndarray], cancel: CancelToken | None) -> Iterator[np.ndarray]:
        for frame in frames:
            result = self._upscaler(frame, outscale=self.outscale, budget_bytes=self._budget_bytes, cancel=cancel)
            self._frames_run += 1
            self._tiles += result.tiles
            self._dtype = result.dtype
            self._fallbacks.update(dict.fromkeys(result.fallbacks))
            yield result.image

    def _sequence(
        self, recurrent: RecurrentRunner, frames: Iterator[np.ndarray], cancel: CancelToken | None
    ) -> Iterator[np.ndarray]:
        state, budget_bytes = self._sequence_state, self._budget_bytes
        for frame, warm_up, scene in _with_warm_up(frames, SceneCutDetector(self._scene)):
            if warm_up is not None:
                state = None
                self._cuts += self._frames > 0
                for earlier in warm_up:
                    if cancel is not None:
                        cancel.raise_if_cancelled()
                    output = recurrent.step(earlier, state, want_pixels=False, budget_bytes=budget_bytes)
                    state = self._count(output).state
            output = self._count(recurrent.step(frame, state, budget_bytes=budget_bytes))
            state = self._sequence_state = output.state
            self._scene = scene
            height, width = output_size(frame.shape[0], frame.shape[1], self.outscale)
            yield resize(output.pixels, height=height, width=width)

    def _count(self, output: FrameOutput) -> FrameOutput:
        self._frames_run += 1
        self._tiles += output.tiles
        self._fallbacks.update(dict.fromkeys(output.fallbacks))
        return output


def _same_size(frames: Iterable[np.ndarray], *, number: int) -> Iterator[np.ndarray]:
    """Yield the frames, the first of which is the clip's ``number``-th."""
    shape: tuple[int, ...] | None = None
    for position, frame in enumerate(frames, start=number):
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(
                f"Frame {position} is {frame.shape[1]}x{frame.shape[0]}, the first one {shape[1]}x{shape[0]}. "
                "All frames of a clip must have one size: split the clip there."
            )
        yield frame


def _with_warm_up(
    frames: Iterator[np.ndarray], detector: SceneCutDetector
) -> Iterator[tuple[np.ndarray, list[np.ndarray] | None, SceneState]]:
    """Yield each frame, with the first of each scene the frames to run before it (the scene's start, mirrored), and
    the detector's state after the frame, which has itself looked further ahead."""
    ahead: deque[tuple[np.ndarray, bool, SceneState]] = deque()
    while True:
        while len(ahead) <= WARM_UP_FRAMES:
            frame = next(frames, None)
            if frame is None:
                break
            ahead.append((frame, detector.starts_scene(frame), detector.state))
        if not ahead:
            return
        frame, starts, scene = ahead.popleft()
        yield frame, _mirrored([frame, *_until_cut(ahead)]) if starts else None, scene


def _until_cut(ahead: Iterable[tuple[np.ndarray, bool, SceneState]]) -> Iterator[np.ndarray]:
    for frame, starts, _ in ahead:
        if starts:
            return
        yield frame


def _mirrored(scene: list[np.ndarray]) -> list[np.ndarray]:
    """Return the WARM_UP_FRAMES frames before the scene's first when it is mirrored there (and back, if short)."""
    period = max(2 * (len(scene) - 1), 1)
    indices = [position % period for position in range(WARM_UP_FRAMES, 0, -1)]
    return [scene[min(index, period - index)] for index in indices]
