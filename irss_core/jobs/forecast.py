"""About how long a submission will take and how large its results will be, before anything is computed.

It rests on what jobs of the same model took on this machine. Until one is done, it rests on what was measured once on a
slow one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.ports import QueueDepth, Records
from irss_core.sr.catalog import find_model

KEPT_S = 90 * 24 * 3600.0
_FADING = 0.8  # of what is known, by each further job: a machine's speed changes with what else it does
_ROUNDS = 5
_RECORD, _ALL = "speeds", ""

# Seconds a megapixel of input on 2 cores of an Intel Xeon without bf16 instructions, in fp32 (docs/benchmarks.md):
# x4plus-512 took 83.48 s, animevideov3-640x360 1.41 s, 25 frames of 320x134 with tecogan 15.05 s. The other networks by
# their weights: 6 of 23 blocks, twice the channels' work, and the same body on a quarter of the pixels.
_ON_A_SLOW_CPU: Mapping[str, float] = {
    "realesrgan-x4plus": 320.0,
    "realesrgan-x4plus-anime": 90.0,
    "realesrgan-x2plus": 80.0,
    "realesr-animevideov3": 6.0,
    "realesr-animevideov3-x3": 6.0,
    "realesr-animevideov3-x2": 6.0,
    "realesr-general-x4v3": 12.0,
    "tecogan-x4": 14.0,
    "frvsr-x4": 14.0,
}
_REST_PER_MEGAPIXEL_S = 1.5  # reading, resampling to four times the size and writing PNG took 0.9 s
_REST_PER_FILE_S = 0.5

# Bytes a pixel of a result, about: photographs, at the usual qualities.
_BYTES_PER_PIXEL: Mapping[str, float] = {"png": 1.2, "jpeg": 0.3, "webp": 0.15, "tiff": 3.0, "mp4": 0.06}
_LEAST_BYTES_PER_PIXEL = 0.1
_THUMBNAIL_PIXELS = 100 * 100


@dataclass(frozen=True)
class FileFacts:
    """What a file's header says that a forecast needs. ``frames`` of a still is 1."""

    kind: Literal["still", "clip"]
    width: int
    height: int
    frames: int = 1
    bytes: int = 0

    @property
    def megapixels(self) -> float:
        """Of all its frames."""
        return self.width * self.height * self.frames / 1e6


@dataclass(frozen=True)
class Speed:
    """What finished jobs took, with every stage, those of long ago counting less."""

    seconds: float = 0.0
    megapixels: float = 0.0  # of the inputs
    jobs: float = 0.0

    @property
    def seconds_per_megapixel(self) -> float:
        """Beyond what a file takes of any size."""
        return max(self.seconds - self.jobs * _REST_PER_FILE_S, 0.0) / self.megapixels

    def after(self, *, megapixels: float, seconds: float) -> Speed:
        """Return it with one more job counted."""
        return Speed(self.seconds * _FADING + seconds, self.megapixels * _FADING + megapixels, self.jobs * _FADING + 1)


@dataclass(frozen=True)
class SubmissionForecast:
    """What a submission is expected to take, and what that expectation rests on.

    ``seconds`` is until the last of its files is done, ``waiting_s`` of it for others that are ahead.
    """

    seconds: float
    waiting_s: float
    files: int
    megapixels: float  # of the inputs, all frames
    result_bytes: int
    basis: str


class Speeds:
    """What jobs took on this machine, by model and over all. Forecasts read it; nothing depends on it."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def note(self, model: str | None, *, megapixels: float, seconds: float, now: float) -> None:
        """Count a finished job, of None one without a model; it is left out if others write all the time."""
        for _ in range(_ROUNDS):
            text = self._records.get(_RECORD)
            known = _read(text)
            for name in {model or _ALL, _ALL}:
                known[name] = known.get(name, Speed()).after(megapixels=megapixels, seconds=seconds)
            noted = json.dumps({name: asdict(speed) for name, speed in known.items()})
            if self._records.put(_RECORD, noted, expires_at=now + KEPT_S, replacing=text):
                return

    def of(self, model: str) -> Speed | None:
        """Return what jobs of the model took, or None if that is not known."""
        return _read(self._records.get(_RECORD)).get(model)

    def of_all(self) -> Speed | None:
        """Return what jobs took, whatever their model, or None if that is not known."""
        return self.of(_ALL)


def forecast_submission(
    files: Sequence[FileFacts],
    options: JobOptions,
    *,
    speed: Speed | None = None,
    usual: Speed | None = None,
    ahead: QueueDepth | None = None,
) -> SubmissionForecast:
    """Return what the files will take with these options, by one worker.

    Args:
        speed: of jobs with the same model; by default what a slow CPU was measured at.
        usual: of all jobs, to know how long those ahead will take.

    Raises:
        UnknownModelError: there is no such model.
    """
    upscaling = Stage.UPSCALE in options.stages
    megapixels = sum(each.megapixels for each in files)
    rest_s = len(files) * _REST_PER_FILE_S + megapixels * _REST_PER_MEGAPIXEL_S
    if not upscaling:
        seconds, basis = rest_s, "what reading and writing files takes; no model runs"
    elif speed is not None and speed.megapixels > 0:
        seconds = len(files) * _REST_PER_FILE_S + megapixels * speed.seconds_per_megapixel
        basis = f"what the last jobs with {options.model} took on this machine"
    else:
        find_model(options.model)
        seconds = rest_s + megapixels * _ON_A_SLOW_CPU.get(options.model, 0.0)
        basis = "what a slow computer with 2 cores took; this one may be several times as fast"
    waiting = 0 if ahead is None else ahead.ready + ahead.leased + ahead.delayed
    each_s = usual.seconds / usual.jobs if usual and usual.jobs else seconds / max(len(files), 1)
    return SubmissionForecast(
        seconds=seconds + waiting * each_s,
        waiting_s=waiting * each_s,
        files=len(files),
        megapixels=megapixels,
        result_bytes=round(sum(_result_bytes(each, options) for each in files)),
        basis=basis,
    )


def _result_bytes(file: FileFacts, options: JobOptions) -> float:
    pixels = file.width * file.height * file.frames
    per_pixel = _BYTES_PER_PIXEL.get(options.format or ("mp4" if file.kind == "clip" else ""))
    if per_pixel is None:  # the kind of file that was handed in, and so its own share, except of emptiness
        per_pixel = min(max(file.bytes / max(pixels, 1), _LEAST_BYTES_PER_PIXEL), _BYTES_PER_PIXEL["tiff"])
    if options.preset == "thumbnail-100":
        pixels = _THUMBNAIL_PIXELS
    elif options.width:
        pixels = round(pixels * (options.width / file.width) ** 2)
    elif Stage.UPSCALE in options.stages:
        pixels = round(pixels * (options.outscale or find_model(options.model).scale) ** 2)
    most = options.max_bytes if options.max_bytes and file.kind == "still" else float("inf")
    return min(pixels * per_pixel, most)


def _read(text: str | None) -> dict[str, Speed]:
    return {} if text is None else {name: Speed(**values) for name, values in json.loads(text).items()}
