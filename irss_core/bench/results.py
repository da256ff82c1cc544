"""What a quality run found: plain data that goes to results.json and comes back, and the averages over it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from irss_core.media.atomic import atomic_file

FORMAT = "irss-quality/1"
Average = Literal["frames", "clips"]


@dataclass(frozen=True)
class SampleInfo:
    """One still or clip of the data set. ``width`` x ``height`` are the truth's, or the result's without a truth."""

    name: str
    kind: Literal["still", "clip"]
    frames: int
    width: int
    height: int
    has_truth: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EntryInfo:
    """One row of the table: a model of ours, a checkpoint, or pictures made elsewhere (kind "results").

    ``multiply_adds`` are per input pixel and frame; ``weights_sha256`` is empty for what has no weights.
    """

    name: str
    title: str
    kind: Literal["model", "checkpoint", "results"]
    parameters: int = 0
    multiply_adds: float = 0.0
    weights_sha256: tuple[str, ...] = ()
    device: str = ""
    dtype: str = ""


@dataclass(frozen=True)
class FrameScore:
    """One frame's values by metric; a metric that has none here (the first frame's tOF) is absent.

    ``counted`` is False for the frames at a clip's ends that the protocol leaves out of the averages.
    """

    index: int
    counted: bool
    values: Mapping[str, float]


@dataclass(frozen=True)
class Glimpse:
    """One frame kept for the report: the same ``box`` (x, y, width, height) of truth, input and result, as files.

    ``kind`` is "middle" (the same frame and box for all entries) or "worst" (this entry's worst counted frame by
    ``metric``, around its worst place). Paths are relative to the folder of results.json; ``truth`` may be "".
    """

    kind: Literal["middle", "worst"]
    index: int
    box: tuple[int, int, int, int]
    result: str
    truth: str
    input: str
    metric: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Score:
    """What one entry reached on one sample. ``problem`` says in words why there are no frames, or fewer.

    ``seconds`` is the model's time alone. ``profile`` is the file of the temporal profile ("" for stills): one row of
    pixels of every frame, the truth's above the result's if there is a truth.
    """

    entry: str
    sample: str
    frames: tuple[FrameScore, ...] = ()
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    tiles: int = 0
    fallbacks: tuple[str, ...] = ()
    problem: str = ""
    profile: str = ""
    glimpses: tuple[Glimpse, ...] = ()

    def mean(self, metric: str) -> float | None:
        """Return the mean over the counted frames that have the metric; None if none has."""
        return mean(frame.values[metric] for frame in self.frames if frame.counted and metric in frame.values)

    @property
    def seconds_per_frame(self) -> float | None:
        """The model's time for one frame."""
        return self.seconds / len(self.frames) if self.frames and self.seconds else None


@dataclass(frozen=True)
class MetricInfo:
    """A column. ``missing`` says what to fetch and where to put it when the metric could not be computed; else ""."""

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int
    definition: str
    missing: str = ""


@dataclass(frozen=True)
class QualityResults:
    """A finished or interrupted run, with everything needed to publish or repeat it.

    ``protocol`` and ``run`` are plain values for people and programs: the protocol's fields; versions, commit,
    machine, device, dtype, threads, command, start and end.
    """

    protocol: Mapping[str, Any]
    run: Mapping[str, Any]
    data: str
    metrics: tuple[MetricInfo, ...]
    entries: tuple[EntryInfo, ...]
    samples: tuple[SampleInfo, ...]
    scores: tuple[Score, ...]
    problems: tuple[str, ...] = field(default=())

    def scores_of(self, entry: str) -> list[Score]:
        """Return the entry's scores in the order of the samples."""
        return [score for score in self.scores if score.entry == entry]

    def average(self, entry: str, metric: str, over: Average) -> float | None:
        """Return the entry's mean of a metric over all counted frames, or over the means of its samples."""
        scores = self.scores_of(entry)
        if over == "clips":
            return mean(value for score in scores if (value := score.mean(metric)) is not None)
        return mean(
            frame.values[metric]
            for score in scores
            for frame in score.frames
            if frame.counted and metric in frame.values
        )

    @property
    def complete(self) -> bool:
        """Whether everything was measured: no problem with the data, an entry or a metric."""
        return not self.problems and not any(score.problem for score in self.scores)

    def to_json(self) -> str:
        """Return everything as JSON; infinity (the PSNR of equal pictures) is written as the string "inf"."""
        plain = {"format": FORMAT, **asdict(self), "averages": self._averages()}
        return json.dumps(_finite(plain), indent=1, ensure_ascii=False)

    def _averages(self) -> dict[str, Any]:
        return {
            entry.name: {
                f"over_{over}": {metric.key: self.average(entry.name, metric.key, over) for metric in self.metrics}
                for over in ("frames", "clips")
            }
            for entry in self.entries
        }

    @classmethod
    def from_json(cls, text: str) -> QualityResults:
        """Return what ``to_json`` wrote.

        Raises:
            ValueError: not such a text; KeyError, TypeError: another version's.
        """
        plain = json.loads(text)
        if plain.get("format") != FORMAT:
            raise ValueError(f"The file is {plain.get('format')!r}, not {FORMAT!r}.")
        return cls(
            protocol=plain["protocol"],
            run=plain["run"],
            data=plain["data"],
            metrics=tuple(MetricInfo(**each) for each in plain["metrics"]),
            entries=tuple(
                EntryInfo(**{**each, "weights_sha256": tuple(each["weights_sha256"])}) for each in plain["entries"]
            ),
            samples=tuple(SampleInfo(**{**each, "notes": tuple(each["notes"])}) for each in plain["samples"]),
            scores=tuple(_score(each) for each in plain["scores"]),
            problems=tuple(plain["problems"]),
        )

    def write(self, path: Path) -> None:
        """Write the JSON file, whole or not at all."""
        with atomic_file(path, overwrite=True) as stream:
            stream.write(self.to_json().encode())


def mean(values: Iterable[float]) -> float | None:
    """Return the arithmetic mean, or None of nothing."""
    known = list(values)
    return statistics.fmean(known) if known else None


def _score(plain: dict[str, Any]) -> Score:
    frames = tuple(
        FrameScore(
            each["index"], each["counted"], {key: float(value) for key, value in each["values"].items()}
        )  # float("inf") reads the string back
        for each in plain["frames"]
    )
    glimpses = tuple(
        Glimpse(**{**each, "box": tuple(each["box"]), "value": None if each["value"] is None else float(each["value"])})
        for each in plain["glimpses"]
    )
    return Score(**{**plain, "frames": frames, "glimpses": glimpses, "fallbacks": tuple(plain["fallbacks"])})


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
