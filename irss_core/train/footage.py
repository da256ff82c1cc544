"""Real clips as training material: stretches without a cut, some of each clip, halved where they are soft."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from irss_core.errors import InputError
from irss_core.media.images import IMAGE_SUFFIXES, read_image, to_rgb8
from irss_core.media.video import read_frames
from irss_core.progress import CancelToken
from irss_core.sr.scenes import SceneCutDetector

RUN_FRAMES = 16
SHORTEST_RUN = 5
MAX_CLIP_FRAMES = 192
MAX_CLIP_BYTES = 192 * 2**20
SHARP_FROM = 0.133
"""Of the contrast of a clip's busiest places, the share that does not survive being made half as large."""

_BLOCK = 32
_BUSIEST = 0.75
_LOOK_EVERY = 6
_FLAT = 4.0  # levels of deviation below which a place says nothing about sharpness


def clip_frames(path: Path) -> Iterator[np.ndarray]:
    """Yield each frame of a video file, or of a folder of pictures in the order of their names: HxWx3 uint8 RGB.

    Raises:
        InputError: it cannot be read, or its frames have different sizes; the message says which.
    """
    if not path.is_dir():
        with closing(read_frames(path)) as reader:
            for frame in reader:
                yield frame.pixels
        return
    shape: tuple[int, ...] | None = None
    for picture in frame_files(path):
        pixels = to_rgb8(read_image(picture))
        if shape is not None and pixels.shape != shape:
            raise InputError(
                f"{picture.name} is {pixels.shape[1]}x{pixels.shape[0]}, the frames before it {shape[1]}x{shape[0]}. "
                "All frames of a clip must have one size."
            )
        shape = pixels.shape
        yield pixels


def frame_files(folder: Path) -> list[Path]:
    """Return the pictures directly in a folder, sorted by name, numbers as numbers."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    return sorted(found, key=lambda path: (path.stem.rstrip("0123456789"), len(path.stem), path.name))


def uncut_runs(
    frames: Iterator[np.ndarray], *, max_bytes: int = MAX_CLIP_BYTES, cancel: CancelToken | None = None
) -> list[Tensor]:
    """Return runs of consecutive frames, T x 3 x H x W uint8, none with a scene cut inside.

    Where a clip has more than ``MAX_CLIP_FRAMES`` or ``max_bytes``, runs spread evenly over it are kept, so that the
    motion within each stays what it was. Runs of fewer than ``SHORTEST_RUN`` frames are left out.
    """
    kept: list[tuple[int, Tensor]] = []
    stride = 1
    for number, run in enumerate(_runs(frames, cancel)):
        if number % stride:
            continue
        kept.append((number, torch.stack([torch.from_numpy(each.transpose(2, 0, 1)) for each in run])))
        while len(kept) > 1 and _too_much([each for _, each in kept], max_bytes):
            stride *= 2
            kept = [(place, each) for place, each in kept if place % stride == 0]
    return [run for _, run in kept]


def _too_much(runs: Sequence[Tensor], max_bytes: int) -> bool:
    return sum(run.nbytes for run in runs) > max_bytes or sum(len(run) for run in runs) > MAX_CLIP_FRAMES


def _runs(frames: Iterator[np.ndarray], cancel: CancelToken | None) -> Iterator[list[np.ndarray]]:
    detector = SceneCutDetector()
    run: list[np.ndarray] = []
    for pixels in frames:
        if cancel is not None:
            cancel.raise_if_cancelled()
        if run and (detector.starts_scene(pixels) or len(run) == RUN_FRAMES):
            if len(run) >= SHORTEST_RUN:
                yield run
            run = []
        elif not run:
            detector.starts_scene(pixels)
        run.append(pixels)
    if len(run) >= SHORTEST_RUN:
        yield run


def sharpness(runs: Sequence[Tensor]) -> float:
    """Return how much of a clip's contrast is in detail that only its full size holds, from 0; nan if all is flat.

    At the places of the most contrast: the deviation from the frame halved and enlarged again, over the deviation
    from the mean. About 0.2 for what a good camera takes; under ``SHARP_FROM`` halving costs next to nothing. Of the
    frames looked at, the sharper ones decide: motion blurs the others, which is no reason to halve.

    Args:
        runs: T x 3 x H x W uint8 each.
    """
    frames = [frame for run in runs for frame in run[::_LOOK_EVERY]]
    shares = torch.tensor([share for frame in frames if (share := _fine_share(frame)) is not None])
    return float(shares.quantile(0.8)) if len(shares) else float("nan")


def _fine_share(frame: Tensor) -> float | None:
    luma = frame.float().mean(0)[None, None]
    height, width = (side // 2 * 2 for side in luma.shape[-2:])
    luma = luma[..., :height, :width]
    if min(height, width) < 2 * _BLOCK:
        return None
    halved = F.interpolate(luma, (height // 2, width // 2), mode="bicubic", antialias=True)
    lost = luma - F.interpolate(halved, (height, width), mode="bicubic")
    fine = F.avg_pool2d(lost.square(), _BLOCK).flatten()
    contrast = (F.avg_pool2d(luma.square(), _BLOCK) - F.avg_pool2d(luma, _BLOCK).square()).flatten()
    busiest = contrast >= contrast.quantile(_BUSIEST)
    total = float(contrast[busiest].sum())
    if total < _FLAT**2 * int(busiest.sum()):
        return None
    return math.sqrt(float(fine[busiest].sum()) / total)


def halve(run: Tensor) -> Tensor:
    """Return the run at half its size, antialiased: T x 3 x (H//2) x (W//2) uint8.

    Args:
        run: T x 3 x H x W uint8.
    """
    height, width = run.shape[-2] // 2, run.shape[-1] // 2
    frames = [
        F.interpolate(frame[None].float(), (height, width), mode="bicubic", antialias=True)[0].round().clamp(0, 255)
        for frame in run
    ]
    return torch.stack(frames).to(torch.uint8)
