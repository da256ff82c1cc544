"""Runs a sequence network (FRNet: TecoGAN, FRVSR) frame by frame, in tiles where a frame is large."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from irss_core.errors import InvalidOptionError, ModelError, ResourceError
from irss_core.progress import ProgressMeter
from irss_core.sr.arrays import is_finite, to_pixels, to_tensor
from irss_core.sr.catalog import Grid
from irss_core.sr.device import DTYPE_NAMES, prepare_network
from irss_core.sr.loader import LoadedModel
from irss_core.sr.memory import is_out_of_memory, working_budget_bytes
from irss_core.sr.tiled import MIN_TILE, TiledOutput, TileSize
from irss_core.sr.tiling import Box, split_box
from vendor.tecogan.generator import FRNet
from vendor.tecogan.sequence import SequenceState

# Frames the recurrence runs on before the first one counts: from zeros it needs about five to reach its sharpness.
WARM_UP_FRAMES = 5
_HALF_PIXEL_TAPS = 8


@dataclass(frozen=True)
class FrameOutput:
    """One finished frame: HxWx3 pixels on the runner's output grid, and the state the next frame goes on from."""

    pixels: np.ndarray
    state: SequenceState
    tiles: int
    fallbacks: tuple[str, ...]


class RecurrentRunner:
    """Holds one sequence network on one device in one precision; the state of a clip is the caller's to keep."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        device: torch.device,
        dtype: torch.dtype,
        memory_limit_bytes: int | None = None,
        output_grid: Grid = "half-pixel",
    ) -> None:
        if not isinstance(model.network, FRNet):
            raise ModelError(f"Model {model.name!r} is not a sequence network. Use a TecoGAN or FRVSR checkpoint.")
        self._original = model.network
        self._grids = (model.grid, output_grid)
        self._device, self._dtype = device, dtype
        self._memory_limit_bytes = memory_limit_bytes
        self._prepared: dict[torch.dtype, FRNet] = {}
        self._lock = threading.Lock()

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, a side."""
        return self._original.scale

    def estimate_memory_bytes(self, height: int, width: int) -> int:
        """Return the working memory a frame needs beside the model, estimated."""
        size = self._tile_size("auto")
        state = 3 * height * width * (1 + 3 * self.scale**2) * 4
        return state + min(size, height) * min(size, width) * self._bytes_per_pixel

    def run_still(
        self,
        pixels: np.ndarray,
        *,
        tile: TileSize,
        meter: Callable[[float], ProgressMeter],
        budget_bytes: int | None = None,
    ) -> TiledOutput:
        """Return a picture as the last frame of a clip that shows it still for the warm-up; see ``step``."""
        frames = WARM_UP_FRAMES + 1
        progress = meter(frames * pixels.shape[0] * pixels.shape[1])
        state: SequenceState | None = None
        fallbacks: list[str] = []
        for index in range(frames):
            wanted = index == frames - 1
            output = self.step(
                pixels, state, tile=tile, progress=progress, want_pixels=wanted, budget_bytes=budget_bytes
            )
            state = output.state
            fallbacks.extend(output.fallbacks)
        dtype = self._dtype_for(pixels)
        return TiledOutput(output.pixels, output.tiles, tuple(dict.fromkeys(fallbacks)), dtype)

    def step(
        self,
        pixels: np.ndarray,
        state: SequenceState | None,
        *,
        tile: TileSize = "auto",
        progress: ProgressMeter | None = None,
        want_pixels: bool = True,
        budget_bytes: int | None = None,
    ) -> FrameOutput:
        """Return the next frame of a clip at the network's scale.

        Args:
            pixels: HxWx3 RGB, uint8 or uint16 (which runs in fp32).
            state: what the frame before gave, or None for the first frame after a cut.
            progress: counts input pixels done, and is asked whether to stop, after every tile.
            want_pixels: False skips making pixels of a frame that only warms the state up.
            budget_bytes: working memory that ``tile`` "auto" plans with; by default what is free now.

        Raises:
            ResourceError: out of memory with the smallest tiles. CancelledError: asked to stop.
            ModelError: the network gives NaN or infinity even in fp32.
        """
        dtype, size = self._dtype_for(pixels), self._tile_size(tile, budget_bytes)
        fallbacks: list[str] = []
        with self._lock, torch.inference_mode():
            while True:
                try:
                    hr, lr, tiles = self._reconstruct(pixels, state, dtype, size, progress)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    if size <= MIN_TILE:
                        raise ResourceError(
                            f"Memory ran out even with tiles of {MIN_TILE} pixels. Close other programs, "
                            "use a smaller clip, or run on a machine with more memory."
                        ) from error
                    size = max(size // 2, MIN_TILE)
                    fallbacks.append(f"out of memory: tiles halved to {size} pixels")
                    if self._device.type == "cuda":
                        torch.cuda.empty_cache()
                    continue
                if is_finite(hr):
                    break
                if dtype == torch.float32:
                    raise ModelError(
                        "The model gives values that are not numbers for this frame, even in fp32. "
                        "Its checkpoint is probably damaged: fetch it again or choose another model."
                    )
                fallbacks.append(f"a frame was not finite in {DTYPE_NAMES[dtype]}: run again in fp32")
                dtype, progress = torch.float32, None
            made = self._pixels(hr, pixels.dtype) if want_pixels else np.empty((0, 0, 3), pixels.dtype)
            return FrameOutput(made, SequenceState(lr=lr, hr=hr), tiles, tuple(fallbacks))

    def _dtype_for(self, pixels: np.ndarray) -> torch.dtype:
        return self._dtype if pixels.dtype == np.uint8 else torch.float32

    @property
    def _bytes_per_pixel(self) -> int:
        width = self._original.srnet.conv_out.in_channels
        return 3 * width * self.scale**2 * self._dtype.itemsize

    def _tile_size(self, tile: TileSize, budget_bytes: int | None = None) -> int:
        if tile == "auto":
            budget = budget_bytes or working_budget_bytes(self._device, self._memory_limit_bytes)
            return max(int(math.sqrt(budget / 2 / self._bytes_per_pixel)) - 2 * self._original.reach, MIN_TILE)
        if tile < MIN_TILE:
            raise InvalidOptionError(f"Tile size {tile} is below {MIN_TILE}. Use {MIN_TILE} or more, or auto.")
        return tile

    def _network(self, dtype: torch.dtype) -> FRNet:
        if dtype not in self._prepared:
            network = prepare_network(deepcopy(self._original), self._device, dtype)
            assert isinstance(network, FRNet)  # noqa: S101  .to() keeps the type
            self._prepared[dtype] = network
        return self._prepared[dtype]

    def _reconstruct(
        self,
        pixels: np.ndarray,
        state: SequenceState | None,
        dtype: torch.dtype,
        size: int,
        progress: ProgressMeter | None,
    ) -> tuple[Tensor, Tensor, int]:
        """Return the frame in HR, the frame in LR (both as the network gives them) and the number of tiles."""
        network, scale = self._network(dtype), self.scale
        # Frames and state stay in fp32 whatever the convolutions run in: the recurrence would add up their rounding.
        lr = to_tensor(pixels, device=self._device, dtype=torch.float32)
        plane = Box(0, 0, pixels.shape[0], pixels.shape[1])
        warped = lr.new_zeros((1, 3, plane.height * scale, plane.width * scale))
        if state is not None:
            motion = network.upsample_flow(network.flow(state.lr, lr))
            warped = network.warp(state.hr, motion)
        parts = list(split_box(plane, size=size))
        if len(parts) == 1:
            hr = network.reconstruct(lr, warped)
            if progress is not None:
                progress.advance(plane.area)
            return hr, lr, 1
        hr = torch.empty_like(warped)
        for core in parts:
            seen = core.grown(network.reach, within=plane)
            rows, columns = seen.slices
            hr_rows, hr_columns = seen.scaled(scale).slices
            part = network.reconstruct(lr[:, :, rows, columns], warped[:, :, hr_rows, hr_columns])
            rows, columns = core.relative_to(seen).scaled(scale).slices
            hr_rows, hr_columns = core.scaled(scale).slices
            hr[:, :, hr_rows, hr_columns] = part[:, :, rows, columns]
            if progress is not None:
                progress.advance(core.area)
        return hr, lr, len(parts)

    def _pixels(self, hr: Tensor, dtype: np.dtype[Any]) -> np.ndarray:
        return to_pixels(to_grid(hr, self.scale, *self._grids), dtype=dtype)


def to_grid(hr: Tensor, scale: int, here: Grid, wanted: Grid) -> Tensor:
    """Return a 1 x 3 x H x W picture that lies on one grid moved to the other; see ``to_half_pixel_grid``."""
    if here == wanted:
        return hr
    if wanted == "half-pixel":
        return to_half_pixel_grid(hr, scale)
    return to_half_pixel_grid(hr.flip(2, 3), scale).flip(2, 3)


def to_half_pixel_grid(hr: Tensor, scale: int) -> Tensor:
    """Return a picture on the corner grid moved to the half-pixel grid, so that it lies where other models' lie.

    A network trained on the BD degradation puts output pixel ``scale * i`` on input pixel ``i``. Everybody else centres
    pixels, which is (scale - 1) / 2 output pixels away: 1.5 at x4. Whole pixels are shifted, a half one is interpolated
    with an 8-tap Lanczos kernel (a shorter one would soften this model alone). Edges are replicated.

    Args:
        hr: 1 x 3 x H x W floats; computed in fp32 whatever it is.
    """
    whole, half = divmod(scale - 1, 2)
    hr = hr.to(torch.float32)
    for axis in (2, 3):
        hr = _shift(hr, axis=axis, whole=whole, half=bool(half))
    return hr


def _shift(hr: Tensor, *, axis: int, whole: int, half: bool) -> Tensor:
    """Return the picture moved by ``whole`` (+ 0.5) pixels towards higher indices of the axis."""
    length = hr.shape[axis]
    taps = _half_pixel_kernel() if half else (1.0,)
    before, after = whole + len(taps) // 2, max((len(taps) - 1) // 2 - whole, 0)
    padding = (0, 0, before, after) if axis == 2 else (before, after, 0, 0)
    padded = F.pad(hr, padding, mode="replicate")
    shifted = padded.narrow(axis, 0, length) * taps[0]
    for offset, tap in enumerate(taps[1:], start=1):
        shifted.add_(padded.narrow(axis, offset, length), alpha=tap)
    return shifted


@functools.cache
def _half_pixel_kernel() -> tuple[float, ...]:
    """Return the Lanczos kernel half-way between pixels, summing to 1."""
    reach = _HALF_PIXEL_TAPS // 2
    distances = [offset - reach + 0.5 for offset in range(_HALF_PIXEL_TAPS)]
    weights = [_sinc(distance) * _sinc(distance / reach) for distance in distances]
    return tuple(weight / sum(weights) for weight in weights)


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x)
