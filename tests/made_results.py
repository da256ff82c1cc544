"""A made quality run with plausible numbers from a seeded generator, and its pictures: what a report is made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from irss_core.bench.results import (
    EntryInfo,
    FrameScore,
    Glimpse,
    MetricInfo,
    QualityResults,
    SampleInfo,
    Score,
)
from irss_core.metrics.catalog import METRICS

SIDE, SCALE = 96, 4
SKIPPED = 2  # frames at both ends of a clip that do not count
FETCH_LPIPS = "Fetch alexnet-owt-7be5be79.pth and put it into ~/.cache/irss/backbones."


@dataclass(frozen=True)
class Maker:
    """An entry and how good it is: what it adds to each metric's middle, and how its pictures look."""

    info: EntryInfo
    psnr: float
    lpips: float
    seconds: float
    filters: tuple[ImageFilter.Filter, ...] = ()


def _model(name: str, title: str, parameters: int, multiply_adds: float) -> EntryInfo:
    digest = f"{abs(hash_of(name)):064x}"[-64:]
    return EntryInfo(name, title, "model", parameters, multiply_adds, (digest,) if parameters else (), "cpu", "fp32")


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode() * 32, "big") * 0x9E3779B97F4A7C15


MAKERS = (
    Maker(_model("bicubic", "Bicubic", 0, 0.0), 0.0, 0.0, 0.0031),
    Maker(_model("lanczos", "Lanczos", 0, 0.0), 0.25, -0.008, 0.0044, (ImageFilter.UnsharpMask(1, 30, 0),)),
    Maker(
        _model("realesrgan-x4plus", "Real-ESRGAN x4plus", 16_697_987, 17_893_824.0), -0.9, -0.19, 3.4,
        (ImageFilter.MedianFilter(5), ImageFilter.UnsharpMask(3, 180, 0)),
    ),
    Maker(
        _model("realesr-animevideov3", "Real-ESRGAN anime video v3", 621_424, 620_000.0), -0.4, -0.12, 0.162,
        (ImageFilter.SMOOTH, ImageFilter.UnsharpMask(2, 120, 0)),
    ),
    Maker(
        EntryInfo("ours-made-elsewhere", "ours-made-elsewhere", "results"), 1.1, -0.07, 0.0,
        (ImageFilter.UnsharpMask(2, 90, 0),),
    ),
)  # fmt: skip


def metric(key: str, missing: str = "") -> MetricInfo:
    found = METRICS[key]
    return MetricInfo(found.key, found.label, found.unit, found.better, found.digits, found.definition, missing)


DEFAULT_METRICS = (
    metric("psnr_y"), metric("ssim_y"), metric("lpips_squeeze"), metric("lpips_alex", FETCH_LPIPS), metric("tof"),
    metric("consistency"),
)  # fmt: skip
PROTOCOL = {
    "name": "tecogan-official",
    "description": [
        "tecogan-official: TecoGAN's metrics for clips",
        "What the rows of TecoGAN were measured with. Optical flow is taken of whole frames, then cropped.",
        "Measures: stills and clips, at scale 4",
        "Input: Gaussian blur of sigma 1.5, then every fourth pixel",
        "Crop: a centred crop to multiples of 32 that leaves out at least 16 pixels",
        "Counted: all but the first and last 2 frames; a pair of frames where both count",
        "Average: over all counted frames, as published; over the means of the clips beside it",
        "PSNR-Y (dB): Y of BT.601 in limited range (16..235), peak 255.",
        "Source: metrics.py of github.com/thunil/TecoGAN; Chu et al. 2020 (arXiv:1811.09393)",
    ],
    "title": "TecoGAN's metrics for clips",
    "source": "metrics.py of github.com/thunil/TecoGAN; Chu et al. 2020 (arXiv:1811.09393)",
    "scale": 4,
    "skipped_ends": SKIPPED,
    "crop": {"border": 0, "multiple": 32, "least_left_out": 16},
    "kinds": ["still", "clip"],
    "metrics": ["psnr_y", "ssim_y", "lpips_squeeze", "lpips_alex", "tof"],
    "degradation": "bd",
}
RUN = {
    "conditions": {"protocol": "tecogan-official", "degradation": "bd"},
    "sources": {"sample calendar": "3f1c9a0b22e4", "entry bicubic": "77aa01c3f0d2"},
    "command": "irss bench quality --data sets/made --protocol tecogan-official --model bicubic --model lanczos",
    "irss": "0.3.0",
    "commit": "9047d43c1a",
    "versions": {"torch": "2.13.0", "numpy": "2.4.6", "Pillow": "12.3.0"},
    "python": "3.11.7",
    "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
    "machine": {"device": "cpu", "device_name": "Intel Xeon", "threads": 2, "memory_total_bytes": 25_200_000_000},
    "started": "2026-11-21T09:12:04+00:00",
    "ended": "2026-11-21T09:48:31+00:00",
}


def made_results(
    folder: Path | None = None,
    *,
    makers: Sequence[Maker] = MAKERS,
    clips: Sequence[str] = ("calendar", "walk"),
    stills: Sequence[str] = ("baby", "bird", "butterfly"),
    frames: int = 24,
    metrics: Sequence[MetricInfo] = DEFAULT_METRICS,
    has_truth: bool = True,
    **changes: Any,
) -> QualityResults:
    """A finished run; its pictures are written into ``folder``, and there are none without one."""
    samples = [
        SampleInfo(name, kind, frames + 7 * place if kind == "clip" else 1, 4 * SIDE, 3 * SIDE, has_truth)
        for kind, names in (("still", stills), ("clip", clips))
        for place, name in enumerate(names)
    ]
    scores = [
        _score(folder, maker, sample, place, metrics)
        for place, sample in enumerate(samples)
        for maker in makers
    ]  # fmt: skip
    fields = {
        "protocol": PROTOCOL,
        "run": RUN,
        "data": "sets/made",
        "metrics": tuple(metrics),
        "entries": tuple(maker.info for maker in makers),
        "samples": tuple(samples),
        "scores": tuple(scores),
    }
    return QualityResults(**(fields | changes))


def _score(
    folder: Path | None, maker: Maker, sample: SampleInfo, place: int, metrics: Sequence[MetricInfo]
) -> Score:  # fmt: skip
    chance = random.Random(f"{maker.info.name}/{sample.name}")
    level = 24 + 2.3 * (place % 5)
    frames = []
    for index in range(sample.frames):
        wave = 0.8 * np.sin(index / 5 + place)
        made = {
            "psnr_y": level + maker.psnr + wave + chance.gauss(0, 0.12),
            "ssim_y": min(0.7 + 0.02 * (place % 5) + 0.02 * maker.psnr + 0.02 * wave, 0.99),
            "lpips_squeeze": max(0.36 + maker.lpips - 0.01 * (place % 5) - 0.02 * wave + chance.gauss(0, 0.004), 0.01),
            "consistency": 41 + 3 * maker.psnr + chance.gauss(0, 0.2),
        }
        if sample.kind == "clip" and index:
            made["tof"] = max(0.3 + maker.lpips / 2 + chance.gauss(0, 0.015), 0.01)
        needs_none = {"consistency"}
        values = {
            each.key: float(made[each.key])
            for each in metrics
            if each.key in made and not each.missing and (sample.has_truth or each.key in needs_none)
        }
        counted = sample.kind == "still" or SKIPPED <= index < sample.frames - SKIPPED
        frames.append(FrameScore(index, counted, values))
    ours = maker.info.kind != "results"
    glimpses, profile = _pictures(folder, maker, sample, place) if folder is not None else ((), "")
    return Score(
        entry=maker.info.name,
        sample=sample.name,
        frames=tuple(frames),
        seconds=maker.seconds * sample.frames * chance.uniform(0.95, 1.05),
        peak_memory_bytes=int(4.1e8 + maker.info.parameters * 40) if ours else 0,
        tiles=sample.frames if ours else 0,
        glimpses=glimpses,
        profile=profile,
    )


# -- pictures ----------------------------------------------------------------------------------------------------------


@cache
def _photo() -> Image.Image:
    import skimage.data

    data: Any = skimage.data
    return Image.fromarray(data.coffee())


def _pictures(folder: Path, maker: Maker, sample: SampleInfo, place: int) -> tuple[tuple[Glimpse, ...], str]:
    below = Path("pictures") / f"sample-{place}"
    (folder / below).mkdir(parents=True, exist_ok=True)
    own = f"{hash_of(maker.info.name) % 10**8}"
    middle = sample.frames // 2
    worst = min(sample.frames - 1, 5 + place)
    glimpses = []
    for kind, index, at in (("middle", middle, (60 + 70 * place, 60)), ("worst", worst, (90 + 40 * place, 170))):
        truth = _photo().crop((*at, at[0] + SIDE, at[1] + SIDE))
        files = {
            "truth": (f"{kind}-truth.png", truth),
            "input": (f"{kind}-input.png", _reduced(truth).resize(truth.size, Image.Resampling.NEAREST)),
            "result": (f"{own}-{kind}.png", _enlarged(truth, maker)),
        }
        for name, picture in files.values():
            picture.save(folder / below / name)
        paths = {key: (below / name).as_posix() for key, (name, _) in files.items()}
        glimpses.append(
            Glimpse(
                kind="middle" if kind == "middle" else "worst",
                index=index,
                box=(*at, SIDE, SIDE),
                result=paths["result"],
                truth=paths["truth"] if sample.has_truth else "",
                input=paths["input"],
                metric="psnr_y" if kind == "worst" else "",
                value=19.4 + maker.psnr + place if kind == "worst" else None,
            )
        )
    if sample.kind == "still":
        return tuple(glimpses), ""
    profile = below / f"{own}-profile.png"
    _profile(maker, sample.frames).save(folder / profile)
    return tuple(glimpses), profile.as_posix()


def _reduced(truth: Image.Image) -> Image.Image:
    return truth.resize((truth.width // SCALE, truth.height // SCALE), Image.Resampling.BICUBIC)


def _enlarged(truth: Image.Image, maker: Maker) -> Image.Image:
    made = _reduced(truth).resize(truth.size, Image.Resampling.BICUBIC)
    for each in maker.filters:
        made = made.filter(each)
    return made


def _profile(maker: Maker, frames: int) -> Image.Image:
    """One row of a photo that moves sideways, frame under frame; the truth above, what the entry made below."""
    rows = [np.asarray(_photo().crop((40 + 2 * index, 200, 40 + 2 * index + 4 * SIDE, 201))) for index in range(frames)]
    truth = Image.fromarray(np.concatenate(rows))
    made = truth.resize((SIDE, frames)).resize(truth.size, Image.Resampling.BICUBIC)
    for each in maker.filters:
        made = made.filter(each)
    return Image.fromarray(np.concatenate([np.asarray(truth), np.asarray(made)]))
