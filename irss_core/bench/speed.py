"""How fast the engine is beside what the upstream scripts do, measured alternately in one process.

The reference is the upstream inference path: the network in fp32 (fp16 on CUDA, which is their ``half`` option),
contiguous NCHW, eager, the whole picture at once, float output. Its result is rounded to 8 bit for the comparison only.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from skimage import data
from torch import Tensor, nn

from irss_core.bench.cost import multiply_adds_per_pixel
from irss_core.errors import InvalidOptionError
from irss_core.metrics.image import psnr
from irss_core.progress import ProgressCallback, ProgressMeter
from irss_core.sr.arrays import to_pixels, to_tensor
from irss_core.sr.device import MachineReport, machine_report, synchronize
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.loader import LoadedModel
from irss_core.sr.memory import PeakMemory, return_freed_memory
from irss_core.sr.recurrent import WARM_UP_FRAMES, to_half_pixel_grid
from irss_core.sr.video import VideoUpscaler
from vendor.tecogan.generator import FRNet

T = TypeVar("T")

_GEMM_SIDE = 2048
_CLIP_FRAMES = 20


@dataclass(frozen=True)
class SpeedCase:
    """One row to measure: a model on a picture or a clip of one size; ``reference`` False measures the engine alone."""

    name: str
    model: str
    width: int
    height: int
    frames: int = 1
    rounds: int = 3
    reference: bool = True


CASES = (
    SpeedCase("x4plus-192", "realesrgan-x4plus", 192, 192),
    SpeedCase("x4plus-512", "realesrgan-x4plus", 512, 512, rounds=1),
    SpeedCase("animevideov3-640x360", "realesr-animevideov3", 640, 360),
    SpeedCase("tecogan-320x134", "tecogan-x4", 320, 134, frames=_CLIP_FRAMES),
    SpeedCase("x4plus-2mp", "realesrgan-x4plus", 1632, 1224, rounds=1, reference=False),
)
QUICK_CASES = ("x4plus-192", "animevideov3-640x360", "tecogan-320x134")


@dataclass(frozen=True)
class SpeedRow:
    """What was measured for a case. Seconds are medians, for the whole picture or clip.

    ``gemm_share`` is the engine's multiply-adds a second over those of a large matrix product in the same precision.
    """

    case: str
    frames: int
    reference_s: float | None
    engine_s: float
    ratio: float | None
    psnr_db: float | None
    dtype: str
    reference_peak_bytes: int | None
    engine_peak_bytes: int
    gemm_share: float
    tiles: int
    fallbacks: tuple[str, ...]


@dataclass(frozen=True)
class SpeedReport:
    """A finished benchmark: the machine and its rows."""

    machine: MachineReport
    python: str
    rows: tuple[SpeedRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything measured as plain data for JSON."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Return the machine in a sentence and the rows as a Markdown table."""
        machine = self.machine
        lines = [
            f"{machine.device_name} ({machine.device}), {machine.threads} threads, {machine.dtype} "
            f"({machine.dtype_reason}), torch {machine.torch_version}, Python {self.python}",
            "",
            "| case | reference s | engine s | times as fast | PSNR dB | precision | reference peak GB "
            "| engine peak GB | share of GEMM rate | tiles |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_markdown_row(row) for row in self.rows]
        return "\n".join(lines)


def run_speed_bench(
    cases: list[str] | None = None,
    *,
    load: Callable[[str], LoadedModel],
    quick: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: ProgressCallback | None = None,
) -> SpeedReport:
    """Return the engine's speed against the reference path's, measured now.

    Args:
        cases: names out of CASES; all by default, the short ones if ``quick``.
        load: returns a loaded model by name.

    Raises:
        InvalidOptionError: there is no case of that name.
    """
    known = {case.name: case for case in CASES}
    names = cases or list(QUICK_CASES if quick else known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidOptionError(f"There is no speed case {unknown[0]!r}. The cases are: {', '.join(known)}.")
    meter = ProgressMeter(len(names), "cases", callback=progress)
    rows = []
    for name in names:
        case = known[name]
        rows.append(_measure(case, load(case.model), device=device, dtype=dtype, rounds=1 if quick else case.rounds))
        meter.advance()
    return SpeedReport(machine_report(device, dtype), platform.python_version(), tuple(rows))


def gemm_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the multiply-adds a second of a large matrix product here: what a network could reach at best."""
    with torch.inference_mode():
        a = torch.randn(_GEMM_SIDE, _GEMM_SIDE).to(device=device, dtype=dtype)
        a @ a
        timings = []
        for _ in range(5):
            synchronize(device)
            started = time.perf_counter()
            a @ a
            synchronize(device)
            timings.append(time.perf_counter() - started)
    return float(_GEMM_SIDE**3 / min(timings))


def _measure(case: SpeedCase, model: LoadedModel, *, device: str, dtype: str, rounds: int) -> SpeedRow:
    upscaler = ImageUpscaler(model, device=device, dtype=dtype)
    frames = [_photo(case.width, case.height, shift=index) for index in range(case.frames)]
    engine = _clip_engine(upscaler) if model.kind == "sequence" else _still_engine(upscaler)
    reference = _reference(model, upscaler.device) if case.reference else None
    rate = gemm_rate(upscaler.device, upscaler.dtype)
    warm_up = [frame[:48, :48] for frame in frames[:2]]
    engine(warm_up)
    if reference is not None:
        reference(warm_up)
    engine_s, reference_s, engine_peak, reference_peak = [], [], 0, 0
    expected: list[np.ndarray] = []
    for _ in range(rounds):
        if reference is not None:
            expected, seconds, peak = _timed(reference, frames, upscaler.device)
            reference_s.append(seconds)
            reference_peak = max(reference_peak, peak)
        (made, tiles, fallbacks), seconds, engine_round_peak = _timed(engine, frames, upscaler.device)
        engine_s.append(seconds)
        engine_peak = max(engine_peak, engine_round_peak)
    steps = case.frames + (WARM_UP_FRAMES if model.kind == "sequence" else 0)
    multiply_adds = multiply_adds_per_pixel(model) * case.width * case.height * steps
    rate = max(rate, gemm_rate(upscaler.device, upscaler.dtype))  # before and after: the machine may not be ours alone
    engine_median = statistics.median(engine_s)
    reference_median = statistics.median(reference_s) if reference_s else None
    return SpeedRow(
        case=case.name,
        frames=case.frames,
        reference_s=reference_median,
        engine_s=engine_median,
        ratio=reference_median / engine_median if reference_median else None,
        psnr_db=_mean_psnr(expected, made) if expected else None,
        dtype=machine_report(device, dtype).dtype,
        reference_peak_bytes=reference_peak or None,
        engine_peak_bytes=engine_peak,
        gemm_share=multiply_adds / engine_median / rate,
        tiles=tiles,
        fallbacks=fallbacks,
    )


Made = tuple[list[np.ndarray], int, tuple[str, ...]]


def _still_engine(upscaler: ImageUpscaler) -> Callable[[list[np.ndarray]], Made]:
    def run(frames: list[np.ndarray]) -> Made:
        results = [upscaler(frame) for frame in frames]
        fallbacks = tuple(note for result in results for note in result.fallbacks)
        return [result.image for result in results], sum(result.tiles for result in results), fallbacks

    return run


def _clip_engine(upscaler: ImageUpscaler) -> Callable[[list[np.ndarray]], Made]:
    def run(frames: list[np.ndarray]) -> Made:
        clip = VideoUpscaler.sharing(upscaler).start()
        made = list(clip.frames(frames, total=len(frames)))
        return made, clip.report().tiles, clip.report().fallbacks

    return run


def _reference(model: LoadedModel, device: torch.device) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """Return the upstream path as a function of frames; a sequence is warmed up as the published evaluation does it."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    network = deepcopy(cast(nn.Module, model.network)).to(device=device, dtype=dtype)

    def inputs(frames: list[np.ndarray]) -> Iterator[Tensor]:
        return (to_tensor(frame, device=device, dtype=dtype).contiguous() for frame in frames)

    def still(frames: list[np.ndarray]) -> list[np.ndarray]:
        return [to_pixels(network(x).float(), dtype=np.dtype(np.uint8)) for x in inputs(frames)]

    def sequence(frames: list[np.ndarray]) -> list[np.ndarray]:
        state, made = None, []
        mirrored = frames[WARM_UP_FRAMES:0:-1]
        for index, x in enumerate(inputs(mirrored + frames)):
            hr, state = cast(FRNet, network).step(x, state)
            if index >= len(mirrored):
                hr = to_half_pixel_grid(hr, model.scale) if model.grid == "corner" else hr
                made.append(to_pixels(hr, dtype=np.dtype(np.uint8)))
        return made

    def run(frames: list[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            return sequence(frames) if model.kind == "sequence" else still(frames)

    return run


def _timed(
    function: Callable[[list[np.ndarray]], T], frames: list[np.ndarray], device: torch.device
) -> tuple[T, float, int]:
    return_freed_memory()  # of the run before, which would count for this one's peak and spare it page faults
    with PeakMemory(device) as peak:
        synchronize(device)
        started = time.perf_counter()
        made = function(frames)
        synchronize(device)
        seconds = time.perf_counter() - started
    return made, seconds, peak.peak_bytes


def _photo(width: int, height: int, *, shift: int) -> np.ndarray:
    """Return a crop of a photograph, moved by a pixel a frame; the picture is mirrored where it is too small."""
    photo: np.ndarray = data.astronaut() if width == height else data.rocket()  # type: ignore[no-untyped-call]
    rows = max(height + 4 - photo.shape[0], 0)
    columns = max(width + 2 * _CLIP_FRAMES - photo.shape[1], 0)
    if rows or columns:
        photo = np.pad(photo, ((0, rows), (0, columns), (0, 0)), mode="symmetric")
    top = (photo.shape[0] - height) // 3
    left = (photo.shape[1] - width - _CLIP_FRAMES) // 2 + shift
    return np.ascontiguousarray(photo[top : top + height, max(left, 0) : max(left, 0) + width])


def _mean_psnr(expected: list[np.ndarray], made: list[np.ndarray]) -> float:
    return statistics.fmean(psnr(a, b) for a, b in zip(expected, made, strict=True))


def _markdown_row(row: SpeedRow) -> str:
    def number(value: float | None, pattern: str) -> str:
        return "-" if value is None else format(value, pattern)

    gigabyte = 1e9
    cells = [
        row.case + (f", {row.frames} frames" if row.frames > 1 else ""),
        number(row.reference_s, ".2f"),
        f"{row.engine_s:.2f}",
        number(row.ratio, ".2f"),
        number(row.psnr_db, ".1f"),
        row.dtype,
        number(row.reference_peak_bytes / gigabyte if row.reference_peak_bytes else None, ".2f"),
        f"{row.engine_peak_bytes / gigabyte:.2f}",
        f"{row.gemm_share:.0%}",
        str(row.tiles),
    ]
    return f"| {' | '.join(cells)} |"
