"""Runs models over a data set under a protocol, measures every frame, and goes on where an earlier run stopped."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from irss_core.bench.cost import multiply_adds_per_pixel
from irss_core.bench.dataset import Limits, Sample, find_samples, match_results
from irss_core.bench.glimpses import GlimpseKeeper, Shown
from irss_core.bench.measuring import FrameMeter, Networks, PerceptualLoader, prepare_networks
from irss_core.bench.record import difference, digests, environment
from irss_core.bench.results import EntryInfo, FrameScore, MetricInfo, QualityResults, SampleInfo, Score
from irss_core.bench.streams import check_counts, check_sizes, fork, in_step, present, whole_multiples
from irss_core.errors import CancelledError, InputError, InvalidOptionError, IrssError, OutputExistsError
from irss_core.metrics.catalog import METRICS, find_metric
from irss_core.metrics.degradation import degrade, find_degradation
from irss_core.metrics.protocols import Protocol, counted_pairs
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter
from irss_core.sr.catalog import MODELS
from irss_core.sr.device import machine_report
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.loader import LoadedModel, load_checkpoint, load_model
from irss_core.sr.memory import reusing_memory
from irss_core.sr.video import VideoUpscaler

RESULTS_FILE = "results.json"
ModelLoader = Callable[[str], LoadedModel]
ScoreCallback = Callable[[Score, QualityResults], None]

# Work that a metric's frame takes beside the network's, in multiply-adds an input pixel, for the time left.
_MEASURING_WORK = 1e6


@dataclass(frozen=True)
class Contestant:
    """Who is measured: a model of the catalog, a checkpoint, or what another program made of the same inputs.

    ``name`` stands in the table. ``source`` is what the loader takes, or the folder of results.
    """

    name: str
    kind: Literal["model", "checkpoint", "results"]
    source: str


@dataclass(frozen=True)
class QualityRequest:
    """Everything that decides what is measured and where it is written.

    ``degradation`` is a name of DEGRADATIONS; "none" takes the inputs that the data set has. ``metrics`` are measured
    beside the protocol's own.
    """

    data: Path
    protocol: Protocol
    contestants: tuple[Contestant, ...]
    out: Path
    degradation: str
    metrics: tuple[str, ...] = ()
    device: str = "auto"
    dtype: str = "auto"
    memory_limit_bytes: int | None = None
    limits: Limits = Limits()
    command: str = ""

    @property
    def metric_keys(self) -> tuple[str, ...]:
        """The columns: the protocol's metrics, then those asked for, then what needs no truth."""
        return tuple(dict.fromkeys((*self.protocol.metrics, *self.metrics, "consistency")))


def load_contestant(source: str, *, cache_dir: Path, offline: bool = False) -> LoadedModel:
    """Return the model of the catalog of that name, or else of the checkpoint file at that path."""
    if source in MODELS:
        return load_model(source, cache_dir=cache_dir, offline=offline)
    return load_checkpoint(Path(source))


def run_quality(
    request: QualityRequest,
    *,
    load: ModelLoader,
    load_network: PerceptualLoader | None = None,
    workers: int = 1,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    on_score: ScoreCallback | None = None,
) -> QualityResults:
    """Return what every contestant reaches on every sample; results.json in ``request.out`` is kept up to date.

    What an earlier run into the same folder measured under the same conditions is taken over.

    Args:
        load: returns a loaded model by the contestant's name.
        load_network: returns a learned metric's network; what it raises stands in the column instead of numbers.
        workers: processes that measure at the same time; with more than one the loaders must be picklable.
        on_score: called after each sample of each contestant, with everything so far.

    Raises:
        InputError: there is nothing to measure on. InvalidOptionError: impossible options.
        OutputExistsError: the folder holds results of another kind of run.
        ModelError: a model cannot be had. CancelledError: asked to stop; what was measured is kept.
    """
    check_request(request)
    bench = QualityBench(request, load=load, networks=prepare_networks(load_network, request.metric_keys))
    bench.take_over_earlier()
    tasks = bench.open_tasks()
    meter = ProgressMeter(sum(task.work for task in tasks), "work", callback=progress, cancel=cancel)
    if workers > 1 and len(tasks) > 1:
        from irss_core.bench.parallel import measure_in_processes

        scores = measure_in_processes(
            tasks, request, workers=workers, load=load, load_network=load_network, advance=meter.advance
        )
    else:
        scores = (bench.measure(task, advance=meter.advance, cancel=cancel) for task in tasks)
    measured = 0
    try:
        for score in scores:
            measured += 1
            results = bench.keep(score)
            if on_score is not None:
                on_score(score, results)
    except CancelledError:
        raise CancelledError(
            f"Stopped with {measured} of {len(tasks)} measured, which are kept in {request.out}. "
            "The same command goes on from there."
        ) from None
    return bench.keep()


@dataclass(frozen=True)
class Task:
    """One contestant on one sample: the unit that is resumed or handed to a worker."""

    contestant: int
    sample: int
    work: float


class QualityBench:
    """A run in progress: what is to be measured, with whom, and what is known already."""

    def __init__(self, request: QualityRequest, *, load: ModelLoader, networks: Networks) -> None:
        self._request, self._load = request, load
        self._networks = networks
        self.dataset = find_samples(
            request.data,
            kinds=request.protocol.kinds,
            inputs_only=request.degradation == "none",
            limits=request.limits,
        )
        clips = any(sample.kind == "clip" for sample in self.dataset.samples)
        self._keys = [key for key in request.metric_keys if clips or "previous" not in METRICS[key].needs]
        self._scale = request.protocol.scale
        self._upscalers: dict[int, ImageUpscaler] = {}
        self._entries = tuple(self._entry(index) for index in range(len(request.contestants)))
        self._scores: dict[tuple[str, str], Score] = {}
        self._environment = environment(request.device, request.dtype)
        self._started = time.time()
        folders = {each.name: Path(each.source) for each in request.contestants if each.kind == "results"}
        self._sources = digests(self.dataset, folders)

    # -- what there is to do

    def take_over_earlier(self) -> None:
        """Take over the scores of results.json in the output folder that were measured under these conditions.

        Raises:
            OutputExistsError: the file there is of another protocol, degradation or set of metrics.
        """
        path = self._request.out / RESULTS_FILE
        if not path.exists():
            return
        try:
            earlier = QualityResults.from_json(path.read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError) as error:
            raise OutputExistsError(
                f"{path} cannot be continued ({error}). Choose another folder, or remove it."
            ) from None
        if earlier.run.get("conditions") != self._conditions():
            others = difference(earlier.run.get("conditions"), self._conditions())
            raise OutputExistsError(
                f"{path} was measured under other conditions: {others}. Choose another folder, or remove it."
            )
        entries = {entry.name: entry for entry in earlier.entries}
        sources = earlier.run.get("sources", {})
        for score in earlier.scores:
            same_entry = entries.get(score.entry) in self._entries
            same_sources = all(
                sources.get(key) == self._sources.get(key) for key in (f"sample {score.sample}", f"entry {score.entry}")
            )
            if same_entry and same_sources and not score.problem:
                self._scores[score.entry, score.sample] = score

    def open_tasks(self) -> list[Task]:
        """Return what is not measured yet, contestant by contestant within each sample."""
        return [
            Task(contestant, sample, self._work(contestant, sample))
            for sample, each in enumerate(self.dataset.samples)
            for contestant, entry in enumerate(self._entries)
            if (entry.name, each.name) not in self._scores
        ]

    def keep(self, score: Score | None = None) -> QualityResults:
        """Add a score if there is a new one, write results.json, and return everything so far."""
        if score is not None:
            self._scores[score.entry, score.sample] = score
        results = self.results()
        self._request.out.mkdir(parents=True, exist_ok=True)
        results.write(self._request.out / RESULTS_FILE)
        return results

    def results(self) -> QualityResults:
        """Return everything that is known now."""
        request = self._request
        return QualityResults(
            protocol={
                **_plain(request.protocol),
                "degradation": request.degradation,
                "description": request.protocol.describe(),
            },
            run=self._run_facts(),
            data=str(request.data),
            metrics=tuple(self._metric(key) for key in self._keys),
            entries=self._entries,
            samples=tuple(self._sample_info(sample) for sample in self.dataset.samples),
            scores=tuple(
                self._scores[entry.name, sample.name]
                for sample in self.dataset.samples
                for entry in self._entries
                if (entry.name, sample.name) in self._scores
            ),
            problems=self.dataset.problems,
        )

    # -- one task

    def measure(self, task: Task, *, advance: Callable[[float], None], cancel: CancelToken | None = None) -> Score:
        """Return the score of one contestant on one sample; whatever is wrong with them stands in the score.

        Raises:
            CancelledError: ``cancel`` was thrown, or ``advance`` was told to stop.
        """
        entry, sample = self._entries[task.contestant], self.dataset.samples[task.sample]
        done = 0.0

        def frame_done() -> None:
            nonlocal done
            share = task.work / max(sample.footage.frame_count or 1, 1)
            share = min(share, task.work - done)
            done += share
            advance(share)

        try:
            score = self._measured(task, frame_done, cancel)
        except CancelledError:
            raise
        except (IrssError, OSError) as error:
            score = Score(entry=entry.name, sample=sample.name, problem=str(error))
        advance(task.work - done)
        return score

    def _measured(self, task: Task, frame_done: Callable[[], None], cancel: CancelToken | None) -> Score:
        request, protocol = self._request, self._request.protocol
        entry, sample = self._entries[task.contestant], self.dataset.samples[task.sample]
        higher = METRICS[protocol.metrics[0]].better == "higher"
        expected = sample.footage.frame_count
        keeper = GlimpseKeeper(
            middle=(expected or 2 * protocol.skipped_ends + 1) // 2,
            skipped_ends=protocol.skipped_ends if sample.kind == "clip" else 0,
            higher_is_better=higher,
        )
        meter = FrameMeter(
            protocol,
            self._keys,
            degradation=request.degradation,
            networks=self._networks,
            over_time=sample.kind == "clip",
        )
        truths, inputs = self._streams(sample)
        fed, measured_against = fork(inputs)
        made = _Made(self._upscalers.get(task.contestant), self._scale)
        outputs = made.run(fed, cancel) if made.upscaler else self._made_elsewhere(task)
        values: list[Mapping[str, float]] = []
        with closing(meter), reusing_memory():
            for index, (truth, lr, result) in enumerate(in_step(truths, measured_against, outputs, entry.name)):
                check_sizes(result, lr=lr, truth=truth, scale=self._scale, entry=entry.name)
                values.append(meter.add(result, truth=truth, lr=lr))
                keeper.watch(Shown(index, result, truth, lr), values[-1].get(protocol.metrics[0]))
                frame_done()
        counted = protocol.counted_frames(len(values)) if sample.kind == "clip" else range(len(values))
        glimpses, profile = keeper.write(
            request.out,
            sample=_file_name(task.sample, sample.name),
            entry=_file_name(task.contestant, entry.name),
            metric=protocol.metrics[0],
        )
        facts = made.facts()
        return replace(
            facts,
            fallbacks=(*facts.fallbacks, *meter.notes),
            entry=entry.name,
            sample=sample.name,
            frames=tuple(_frame_score(index, each, counted) for index, each in enumerate(values)),
            glimpses=glimpses,
            profile=profile,
        )

    def _streams(self, sample: Sample) -> tuple[Iterator[np.ndarray | None], Iterator[np.ndarray]]:
        """Return the truths (None where there is none) and the inputs of a sample, frame by frame."""
        limits, scale, degradation = self._request.limits, self._scale, self._request.degradation
        if sample.truth is None:
            inputs, again = fork(present(sample.input).frames(limits))
            return (None for _ in again), inputs
        truths, degraded = fork(whole_multiples(sample.truth.frames(limits), scale))
        if degradation == "none":
            given = present(sample.input)
            check_counts(sample.name, sample.truth, given)
            return truths, given.frames(limits)
        return truths, (degrade(truth, degradation, scale) for truth in degraded)

    def _made_elsewhere(self, task: Task) -> Iterator[np.ndarray]:
        sample, contestant = self.dataset.samples[task.sample], self._request.contestants[task.contestant]
        only = len(self.dataset.samples) == 1
        footage = match_results(Path(contestant.source), sample, only_sample=only, limits=self._request.limits)
        there, expected = footage.frame_count, sample.footage.frame_count
        if there is not None and expected is not None and there != expected:
            raise InputError(f"{contestant.name} has {there} frames of {sample.name}, the data set has {expected}.")
        return footage.frames(self._request.limits)

    # -- facts

    def _entry(self, index: int) -> EntryInfo:
        contestant, request = self._request.contestants[index], self._request
        if contestant.kind == "results":
            return EntryInfo(contestant.name, contestant.name, "results")
        model = self._load(contestant.source)
        grid = find_degradation(request.degradation).grid
        upscaler = ImageUpscaler(
            model,
            device=request.device,
            dtype=request.dtype,
            memory_limit_bytes=request.memory_limit_bytes,
            output_grid=grid,
        )
        upscaler.check_outscale(self._scale)
        self._upscalers[index] = upscaler
        report = machine_report(request.device, request.dtype)
        return EntryInfo(
            name=contestant.name,
            title=model.title,
            kind=contestant.kind,
            parameters=model.parameters if model.network is not None else 0,
            multiply_adds=multiply_adds_per_pixel(model),
            weights_sha256=(model.sha256,) if model.network is not None else (),
            device=str(upscaler.device) if model.network is not None else "cpu",
            dtype=report.dtype if model.network is not None else "uint8",
        )

    def _metric(self, key: str) -> MetricInfo:
        metric = METRICS[key]
        missing = next((words for need in metric.needs if isinstance(words := self._networks.get(need), str)), "")
        fields = {name: getattr(metric, name) for name in ("key", "label", "unit", "better", "digits", "definition")}
        return MetricInfo(**fields, missing=missing)

    def _sample_info(self, sample: Sample) -> SampleInfo:
        footage, scale = sample.footage, self._scale
        width, height = footage.width, footage.height
        notes = []
        if sample.truth is None:
            width, height = width * scale, height * scale
            notes.append("no truth: only what needs none is measured")
        elif width % scale or height % scale:
            width, height = width - width % scale, height - height % scale
            notes.append(f"truth cropped from {footage.width}x{footage.height} to a multiple of {scale}")
        if sample.kind == "clip" and footage.frame_count == 1:
            notes.append("a single frame: nothing is measured over time")
        return SampleInfo(
            name=sample.name,
            kind=sample.kind,
            frames=footage.frame_count or 0,
            width=width,
            height=height,
            has_truth=sample.truth is not None,
            notes=tuple(notes),
        )

    def _work(self, contestant: int, sample: int) -> float:
        footage = self.dataset.samples[sample].footage
        area = footage.width * footage.height / (self._scale**2 if self.dataset.samples[sample].truth else 1)
        return (footage.frame_count or 100) * area * (self._entries[contestant].multiply_adds + _MEASURING_WORK)

    def _conditions(self) -> dict[str, Any]:
        keys = [key for key in self._keys if not self._metric(key).missing]
        return {"protocol": self._request.protocol.name, "degradation": self._request.degradation, "metrics": keys}

    def _run_facts(self) -> dict[str, Any]:
        request = self._request
        return {
            "conditions": self._conditions(),
            "sources": self._sources,
            "command": request.command,
            **self._environment,
            "started": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        }


class _Made:
    """What one contestant makes of a stream of inputs, and the facts of its run without the reading of the inputs."""

    def __init__(self, upscaler: ImageUpscaler | None, scale: int) -> None:
        self.upscaler = upscaler
        self._run = VideoUpscaler.sharing(upscaler).start(outscale=scale) if upscaler else None
        self._reading_s = 0.0

    def run(self, inputs: Iterator[np.ndarray], cancel: CancelToken | None) -> Iterator[np.ndarray]:
        assert self._run is not None  # noqa: S101  asked only of those who have one
        return self._run.frames(self._timed(inputs), cancel=cancel)

    def facts(self) -> Score:
        if self._run is None:
            return Score("", "")
        report = self._run.report()
        return Score(
            entry="",
            sample="",
            seconds=max(report.seconds - self._reading_s, 0.0),
            peak_memory_bytes=report.peak_memory_bytes,
            tiles=report.tiles,
            fallbacks=report.fallbacks,
        )

    def _timed(self, inputs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        while True:
            started = time.perf_counter()
            frame = next(inputs, None)
            self._reading_s += time.perf_counter() - started
            if frame is None:
                return
            yield frame


# -- checks of what comes together -------------------------------------------------------------------------------------


def check_request(request: QualityRequest) -> None:
    """Raise InvalidOptionError if something in the request is of no known name, or named twice."""
    find_degradation(request.degradation)
    for key in request.metrics:
        find_metric(key)
    names = [contestant.name for contestant in request.contestants]
    if not names:
        raise InvalidOptionError("There is nobody to measure. Name at least one model, or results made elsewhere.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidOptionError(f"{twice!r} is named twice. Give each model or folder of results a name of its own.")


def _frame_score(index: int, values: Mapping[str, float], counted: range) -> FrameScore:
    # The first frame that counts follows one that does not: what is measured over that pair is not to be averaged.
    dropped = index in counted and index not in counted_pairs(counted)
    kept = {key: value for key, value in values.items() if not (dropped and "previous" in METRICS[key].needs)}
    return FrameScore(index, index in counted, kept)


def _plain(protocol: Protocol) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(protocol), default=str))  # type: ignore[no-any-return]


def _file_name(index: int, name: str) -> str:
    """Return a name for files: the number makes it unique, the letters are for people."""
    return f"{index:03d}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:40]}".rstrip("-")
