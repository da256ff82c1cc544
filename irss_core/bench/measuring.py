"""Measures one clip or still frame by frame by every metric asked for; remembers one frame, however long the clip."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast
from typing import Protocol as TypingProtocol

import numpy as np

from irss_core.errors import InputError, IrssError
from irss_core.metrics.catalog import METRICS, Need
from irss_core.metrics.color import luma_full, luma_limited
from irss_core.metrics.degradation import consistency
from irss_core.metrics.image import ms_ssim, psnr, ssim, ssim_uniform
from irss_core.metrics.lpips_networks import LpipsNet
from irss_core.metrics.perceptual import Lpips, StLpips
from irss_core.metrics.perceptual_weights import resolve_lpips, resolve_stlpips
from irss_core.metrics.protocols import Protocol
from irss_core.metrics.temporal import flow, grey, tof, warping_error

T = TypeVar("T")
Box = tuple[slice, slice]
Measure = Callable[[], float | None]
_NOTHING = np.empty((0, 0), np.uint8)


class Perceptual(TypingProtocol):
    """A learned distance: features of a picture once, distances between them as often as needed."""

    def features(self, rgb: np.ndarray) -> Any:
        """Return what ``distance`` compares, of HxWx3 uint8 RGB."""

    def distance(self, a: Any, b: Any) -> float:
        """Return the distance of two pictures."""


PerceptualLoader = Callable[[Need], Perceptual]
Networks = Mapping[Need, Perceptual | str]


def load_network(
    need: Need, *, cache_dir: Path, files: Sequence[Path] = (), offline: bool = False, device: str = "auto"
) -> Perceptual:
    """Return a learned metric's network, its weights found or fetched as ``resolve_lpips`` does.

    Raises:
        WeightsUnavailableError: they are nowhere to be had; the message says what to fetch and where to put it.
    """
    if need == "stlpips":
        return StLpips(resolve_stlpips(files=files), device=device)
    net = cast(LpipsNet, need.removeprefix("lpips-"))
    return Lpips(net, resolve_lpips(net, cache_dir=cache_dir, files=files, offline=offline), device=device)


def prepare_networks(load: PerceptualLoader | None, metric_keys: Iterable[str]) -> Networks:
    """Return each learned network that the metrics need, or words on what is missing and where to get it."""
    networks: dict[Need, Perceptual | str] = {}
    for need in dict.fromkeys(need for key in metric_keys for need in METRICS[key].needs if _is_network(need)):
        try:
            networks[need] = load(need) if load is not None else f"{need} was not asked for in this run."
        except IrssError as error:
            networks[need] = str(error)
    return networks


@dataclass(frozen=True)
class _Frame:
    """One frame as it is measured, and what the next one needs of it."""

    truth: np.ndarray
    result: np.ndarray
    truth_grey: np.ndarray
    result_grey: np.ndarray
    features: Mapping[Need, tuple[Any, Any]]


class FrameMeter:
    """Measures the frames of one entry on one sample, in order.

    Args:
        metric_keys: what to measure; a metric whose network is not in ``networks`` is left out.
        degradation: what made the inputs, for the consistency.
        over_time: whether frames follow each other; False for a still.
    """

    def __init__(
        self,
        protocol: Protocol,
        metric_keys: Sequence[str],
        *,
        degradation: str,
        networks: Networks,
        over_time: bool = True,
    ) -> None:
        self._protocol, self._degradation = protocol, degradation
        needed = {need for key in metric_keys for need in METRICS[key].needs}
        self._networks = {need: each for need, each in networks.items() if need in needed and not isinstance(each, str)}
        self._keys = [
            key for key in metric_keys if all(not _is_network(n) or n in self._networks for n in METRICS[key].needs)
        ]
        self._flows = over_time and any(key in ("tof", "warp_error") for key in self._keys)
        self._before: _Frame | None = None
        self._left_out: dict[str, None] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="metric")

    def add(self, result: np.ndarray, *, truth: np.ndarray | None, lr: np.ndarray) -> dict[str, float]:
        """Return the next frame's values by metric; what cannot be measured on it is absent.

        Args:
            result, truth: HxWx3 uint8 RGB of one size. lr: the input, hxwx3 uint8 RGB.

        Raises:
            InputError: too small for the protocol's crop.
        """
        box = self._protocol.crop.box(*result.shape[:2])
        values: dict[str, float] = {}
        if truth is None:
            self._collect(values, self._start({"consistency": self._consistency(result, lr)}))
            return values
        frame = self._frame(result, truth)
        # The flows take longest, so they start first, and everything else fills the threads beside them.
        flows = self._start_flows(frame)
        started = self._start({"consistency": self._consistency(result, lr), **_still_measures(frame, box)})
        features = self._features(frame, box)
        for need, (of_truth, of_result) in features.items():
            values[need.replace("-", "_")] = self._networks[need].distance(of_truth, of_result)
        if self._before is not None:
            values |= self._learned_over_time(self._before.features, features)
            self._collect(values, self._start(_measures_over_time(self._before, frame, flows, box)))
        self._collect(values, started)
        self._before = replace(frame, features=features)
        return {key: values[key] for key in self._keys if key in values}

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be measured and why, in words."""
        return tuple(self._left_out)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown()

    def _start(self, measures: Mapping[str, Measure]) -> dict[str, Future[float | None]]:
        """Start what was asked for of these, in threads: OpenCV and NumPy let others run meanwhile."""
        return {key: self._threads.submit(measure) for key, measure in measures.items() if key in self._keys}

    def _collect(self, values: dict[str, float], started: Mapping[str, Future[float | None]]) -> None:
        for key, future in started.items():
            value = self._or_left_out(key, future.result)
            if value is not None:
                values[key] = value

    def _or_left_out(self, key: str, measure: Callable[[], T]) -> T | None:
        """Return what ``measure`` returns, or None, noted, if the pictures are too small for this metric."""
        try:
            return measure()
        except InputError as error:
            self._left_out[f"{METRICS[key].label} is left out: {error}"] = None
            return None

    def _consistency(self, result: np.ndarray, lr: np.ndarray) -> Measure:
        return lambda: consistency(result, lr, self._degradation, self._protocol.scale)

    def _frame(self, result: np.ndarray, truth: np.ndarray) -> _Frame:
        greys = (grey(truth), grey(result)) if self._flows else (_NOTHING, _NOTHING)
        return _Frame(truth, result, truth_grey=greys[0], result_grey=greys[1], features={})

    def _start_flows(self, frame: _Frame) -> tuple[Future[np.ndarray], ...]:
        before = self._before
        if not self._flows or before is None:
            return ()
        return (
            self._threads.submit(flow, before.truth_grey, frame.truth_grey),
            self._threads.submit(flow, before.result_grey, frame.result_grey),
        )

    def _features(self, frame: _Frame, box: Box) -> dict[Need, tuple[Any, Any]]:
        """Return the features of truth and result by each network that is there and big enough pictures for it."""
        features: dict[Need, tuple[Any, Any]] = {}
        for need, network in self._networks.items():
            of_both = functools.partial(_features_of, network, frame.truth[box], frame.result[box])
            pair = self._or_left_out(need.replace("-", "_"), of_both)
            if pair is not None:
                features[need] = pair
        return features

    def _learned_over_time(
        self, before: Mapping[Need, tuple[Any, Any]], now: Mapping[Need, tuple[Any, Any]]
    ) -> dict[str, float]:
        values = {}
        for need in now:
            network = self._networks[need]
            of_truth, of_result = (network.distance(*pair) for pair in zip(before[need], now[need], strict=True))
            values[f"tlp100_{need.removeprefix('lpips-')}"] = 100 * abs(of_truth - of_result)
        return values


def _features_of(network: Perceptual, truth: np.ndarray, result: np.ndarray) -> tuple[Any, Any]:
    return network.features(truth), network.features(result)


def _still_measures(frame: _Frame, box: Box) -> dict[str, Measure]:
    """Return what can be measured on one frame, by metric."""
    result, truth = (np.ascontiguousarray(each[box]) for each in (frame.result, frame.truth))
    y = luma_limited(result), luma_limited(truth)
    return {
        "ssim_rgb": lambda: ssim(result, truth),
        "ms_ssim_y": lambda: ms_ssim(*y),
        "ssim_y": lambda: ssim(*y),
        "ssim_y_uniform": lambda: ssim_uniform(*y),
        "psnr_y": lambda: psnr(*y),
        "psnr_y_full": lambda: psnr(luma_full(result), luma_full(truth)),
        "psnr_rgb": lambda: psnr(result, truth),
    }


def _measures_over_time(
    before: _Frame, frame: _Frame, flows: tuple[Future[np.ndarray], ...], box: Box
) -> dict[str, Measure]:
    """Return what can be measured along the optical flows, by metric."""
    if not flows:
        return {}
    of_truth, of_result = flows
    return {
        "warp_error": lambda: warping_error(
            before.result,
            frame.result,
            truth_previous=before.truth,
            truth_current=frame.truth,
            truth_flow=of_truth.result(),
            box=box,
        ),
        "tof": lambda: tof(of_result.result()[box], of_truth.result()[box]),
    }


def _is_network(need: str) -> bool:
    return need.startswith("lpips-") or need == "stlpips"
