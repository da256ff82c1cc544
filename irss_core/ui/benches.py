"""What the benchmark tab computes: models measured on a set under a protocol, as a table that fills and as files.

No gradio here; everything runs on the inference thread (see ``running``) and writes into the visitor's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from irss_core.bench.dataset import Limits
from irss_core.bench.measuring import Perceptual, PerceptualLoader, load_network
from irss_core.bench.quality import RESULTS_FILE, Contestant, QualityRequest, run_quality
from irss_core.bench.report.page import write_report
from irss_core.bench.report.text import to_csv
from irss_core.bench.results import QualityResults
from irss_core.config import MEBIBYTE
from irss_core.errors import InvalidOptionError, OutputExistsError, WeightsUnavailableError
from irss_core.metrics.catalog import Need
from irss_core.metrics.lpips_networks import PerceptualNet
from irss_core.metrics.perceptual_weights import NAME_A_FILE, missing_words
from irss_core.metrics.protocols import find_protocol
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.services import OWN_PREFIX
from irss_core.sr.loader import LoadedModel
from irss_core.ui import made_set
from irss_core.ui.bench_forecast import forecast_s
from irss_core.ui.bench_sets import UploadedSet, samples_of
from irss_core.ui.requests import BenchRequest, LargeBench
from irss_core.ui.running import Board

if TYPE_CHECKING:
    from irss_core.config import Settings
    from irss_core.services import Services

REPORT_FILE, TABLE_FILE = "report.html", "results.csv"


@dataclass(frozen=True)
class BenchRun:
    """A finished measurement: the results, and in ``folder`` the report, results.json and results.csv."""

    request: BenchRequest
    results: QualityResults
    folder: Path

    @property
    def report(self) -> Path:
        """The page that holds everything."""
        return self.folder / REPORT_FILE

    @property
    def data_files(self) -> tuple[Path, Path]:
        """Everything for programs: as JSON and as CSV."""
        return self.folder / RESULTS_FILE, self.folder / TABLE_FILE


def run_bench(
    request: BenchRequest, services: Services, folder: Path, *, board: Board, cancel: CancelToken
) -> BenchRun | LargeBench:
    """Return what the models reach on the set, or what it would take if that is long; ``board`` shows it as it comes.

    What an earlier run into ``folder`` measured under the same conditions is taken over.

    Raises:
        IrssError: as the reading, the loading and the measuring do; CancelledError when asked to stop.
    """
    reading, loading, estimating, measuring, writing = request.steps
    board.begin(reading)
    uploaded = _set_of(request, services, folder)
    limits = Limits(still=services.image_limits, clip=services.clip_limits)
    dataset = samples_of(uploaded, kinds=find_protocol(request.protocol).kinds, limits=limits)
    board.begin(loading)
    models = _load(request, services, board=board, cancel=cancel)
    asked = _quality_request(request, uploaded, services, limits=limits, folder=folder)
    load_network = _loader(services.settings)
    if not request.confirmed:
        board.begin(estimating)
        limit_s = services.settings.large_work_seconds
        seconds = forecast_s(
            asked, dataset, models, load_network=load_network, quick_s=limit_s, progress=board.report, cancel=cancel
        )
        if seconds > limit_s:
            return LargeBench(request, seconds)
    board.begin(measuring)

    def show(so_far: QualityResults) -> None:
        board.show(_without_paths(so_far, uploaded))

    results = _without_paths(
        _measure(asked, models, load_network, progress=board.report, cancel=cancel, show=show), uploaded
    )
    board.begin(writing)
    made = BenchRun(request, results, folder)
    results_file, table_file = made.data_files
    results.write(results_file)
    table_file.write_text(to_csv(results), encoding="utf-8", errors="replace")
    write_report(results, folder, made.report)
    return made


def _measure(
    asked: QualityRequest,
    models: Mapping[str, LoadedModel],
    load_network: PerceptualLoader,
    *,
    progress: ProgressCallback,
    cancel: CancelToken,
    show: Callable[[QualityResults], None],
) -> QualityResults:
    def measure() -> QualityResults:
        return run_quality(
            asked,
            load=models.__getitem__,
            load_network=load_network,
            progress=progress,
            cancel=cancel,
            on_score=lambda _, so_far: show(so_far),
        )

    try:
        return measure()
    except OutputExistsError:  # of an earlier run when, say, a metric's weights were not here yet
        (asked.out / RESULTS_FILE).unlink()
        return measure()


def _loader(settings: Settings) -> PerceptualLoader:
    """Return a loader of the learned metrics' networks whose errors say what is missing to a visitor of the page."""

    def load(need: Need) -> Perceptual:
        try:
            return load_network(need, cache_dir=settings.cache_dir, offline=settings.offline, device=settings.device)
        except WeightsUnavailableError as error:
            words = missing_words(cast(PerceptualNet, need.removeprefix("lpips-")), cache_dir=settings.cache_dir)
            if not words:
                raise
            words = words.removesuffix(f"; or {NAME_A_FILE}.").rstrip(".")
            raise WeightsUnavailableError(
                f"not measured. {words}: once whoever runs this server has put it there, the column fills."
            ) from error

    return load


def _set_of(request: BenchRequest, services: Services, folder: Path) -> UploadedSet:
    """Return the visitor's set, or the built-in one: all of it, or its clip for a protocol that measures clips only."""
    if request.root is not None:
        return UploadedSet(request.root, request.name)
    try:
        root = made_set.made_set(services.settings.cache_dir / "bench")
    except OSError:  # a cache that cannot be written in
        root = made_set.made_set(folder)
    stills = "still" in find_protocol(request.protocol).kinds
    return UploadedSet(root if stills else root / made_set.CLIP, request.name)


def _load(request: BenchRequest, services: Services, *, board: Board, cancel: CancelToken) -> dict[str, LoadedModel]:
    scale = find_protocol(request.protocol).scale
    models = {}
    for name, title in zip(request.models, request.titles, strict=True):
        model = models[name] = services.loaded_model(name, progress=board.report, cancel=cancel)
        if model.scale != scale and model.network is not None:
            raise InvalidOptionError(
                f"{title} makes pictures {model.scale} times larger, and this protocol measures at {scale} times. "
                "Take it out of the models."
            )
    return models


def _quality_request(
    request: BenchRequest, uploaded: UploadedSet, services: Services, *, limits: Limits, folder: Path
) -> QualityRequest:
    settings = services.settings
    return QualityRequest(
        data=uploaded.root,
        protocol=find_protocol(request.protocol),
        contestants=tuple(
            Contestant(title, "checkpoint", name) if name.startswith(OWN_PREFIX) else Contestant(name, "model", name)
            for name, title in zip(request.models, request.titles, strict=True)
        ),
        out=folder,
        degradation=request.degradation,
        device=settings.device,
        dtype=settings.dtype,
        memory_limit_bytes=settings.memory_limit_mb * MEBIBYTE if settings.memory_limit_mb else None,
        limits=limits,
    )


def _without_paths(results: QualityResults, uploaded: UploadedSet) -> QualityResults:
    """Return the results without the folders of this server, which are nobody's business and name a visitor's own."""
    root = str(uploaded.root)

    def clean(words: str) -> str:
        return words.replace(root, uploaded.name)

    return replace(
        results,
        data=uploaded.name,
        problems=tuple(map(clean, results.problems)),
        scores=tuple(replace(score, problem=clean(score.problem)) for score in results.scores),
    )
