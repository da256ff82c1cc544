"""Measures a checkpoint on real clips while it is trained: by the bench, under one of its protocols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from irss_core.bench.measuring import PerceptualLoader
from irss_core.bench.quality import Contestant, QualityRequest, load_contestant, run_quality
from irss_core.metrics.protocols import find_protocol
from irss_core.progress import CancelToken

PROTOCOL = "tecogan-official"
METRICS = ("psnr_y", "lpips_squeeze", "tof")
_BASELINE = "bicubic"


@dataclass(frozen=True)
class Validation:
    """Where to measure, and on what. ``load_network`` returns a learned metric's network."""

    data: Path
    cache_dir: Path
    load_network: PerceptualLoader
    device: str = "auto"
    dtype: str = "auto"


def validate(
    validation: Validation, checkpoint: Path, *, out: Path, cancel: CancelToken | None = None
) -> dict[str, float]:
    """Return a checkpoint's means by metric over all clips of the data; what cannot be measured is absent.

    Raises:
        InputError: there is nothing to measure on. CancelledError: ``cancel`` was thrown.
    """
    return _measured(validation, Contestant("trained", "checkpoint", str(checkpoint)), out=out, cancel=cancel)


def baseline(validation: Validation, *, out: Path, cancel: CancelToken | None = None) -> dict[str, float]:
    """Return the same of bicubic resampling: what every network must beat. Raises as ``validate`` does."""
    return _measured(validation, Contestant(_BASELINE, "model", _BASELINE), out=out, cancel=cancel)


def _measured(
    validation: Validation, contestant: Contestant, *, out: Path, cancel: CancelToken | None
) -> dict[str, float]:
    protocol = replace(
        find_protocol(PROTOCOL), metrics=METRICS
    )  # its crop and frames; what else it measures takes long
    request = QualityRequest(
        data=validation.data,
        protocol=protocol,
        contestants=(contestant,),
        out=out,
        degradation=protocol.degradation,
        device=validation.device,
        dtype=validation.dtype,
    )
    results = run_quality(
        request,
        load=partial(load_contestant, cache_dir=validation.cache_dir, offline=True),
        load_network=validation.load_network,
        cancel=cancel,
    )
    means = {key: results.average(contestant.name, key, protocol.published_average) for key in METRICS}
    return {key: value for key, value in means.items() if value is not None}
