"""ImageUpscaler: a loaded model, held ready on a device, that enlarges pictures and says how each run went."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from irss_core.errors import InputError, InvalidOptionError
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter
from irss_core.sr.arrays import to_pixels, to_tensor
from irss_core.sr.catalog import Grid
from irss_core.sr.device import DTYPE_NAMES, choose_device, choose_dtype
from irss_core.sr.loader import LoadedModel
from irss_core.sr.memory import PeakMemory, reusing_memory, working_budget_bytes
from irss_core.sr.networks import StillNetwork
from irss_core.sr.recurrent import RecurrentRunner, to_grid
from irss_core.sr.resample import ResampleMethod, enlarge, resize
from irss_core.sr.tiled import TiledOutput, TiledRunner, TileSize

MAX_OUTSCALE = 16.0


@dataclass(frozen=True)
class UpscaleResult:
    """A larger picture and the measured facts of the run that made it.

    ``image`` has the input's dtype and channels. ``peak_memory_bytes`` is the process's resident peak on a CPU and the
    allocator's on CUDA. ``dtype`` is what the network ran in ("uint8" for a baseline without one). ``fallbacks`` says
    in words whatever had to be done differently from the plan.
    """

    image: np.ndarray
    seconds: float
    peak_memory_bytes: int
    device: str
    dtype: str
    tiles: int
    fallbacks: tuple[str, ...]
    model: str
    outscale: float


class ImageUpscaler:
    """Upscales pictures with one model; make it once and call it many times.

    Args:
        model: what ``irss_core.sr.loader`` returns: a still network, a sequence network, or a resampling baseline.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        dtype: "auto", "fp32", "bf16" or "fp16".
        memory_limit_bytes: working memory of a run; by default at most 4 GiB and 60 % of what is free.
        output_grid: where output pixels lie; "corner" (see the catalog) is for measuring on data that was made so, and
            goes with the model's own scale only.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        device: str = "auto",
        dtype: str = "auto",
        memory_limit_bytes: int | None = None,
        output_grid: Grid = "half-pixel",
    ) -> None:
        self.model = model
        self.output_grid = output_grid
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device, dtype)
        self._memory_limit_bytes = memory_limit_bytes
        self._tiled: TiledRunner | None = None
        self.recurrent: RecurrentRunner | None = None
        if model.architecture == "frnet":
            self.recurrent = RecurrentRunner(
                model,
                device=self.device,
                dtype=self.dtype,
                memory_limit_bytes=memory_limit_bytes,
                output_grid=output_grid,
            )
        elif model.network is not None:
            self._tiled = TiledRunner(
                cast(StillNetwork, model.network),
                device=self.device,
                dtype=self.dtype,
                memory_limit_bytes=memory_limit_bytes,
            )

    def __call__(
        self,
        image: np.ndarray,
        *,
        outscale: float | None = None,
        tile: TileSize = "auto",
        budget_bytes: int | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> UpscaleResult:
        """Return the picture ``outscale`` times as large (the model's own scale by default), with the run's facts.

        Args:
            image: HxWx3 RGB or HxWx1 grey, uint8 or uint16; any size from 1x1.
            outscale: any factor above 0 up to 16; the model runs at its own scale and the result is resampled
                with antialiasing.
            tile: side of a tile in input pixels, or "auto" for what memory allows.
            budget_bytes: working memory that "auto" plans with; by default ``working_budget_bytes``.
            progress: called with a time left as the run goes on.
            cancel: stops the run within one block of the network or one tile.

        Raises:
            InputError: not such an array. InvalidOptionError: impossible outscale or tile.
            ResourceError: out of memory with the smallest tiles. CancelledError: asked to stop.
        """
        _check_image(image)
        factor = self.check_outscale(outscale)
        height, width = image.shape[:2]
        target = output_size(height, width, factor)
        started = time.perf_counter()

        def meter(total: float) -> ProgressMeter:
            return ProgressMeter(total, "work", callback=progress, cancel=cancel)

        with PeakMemory(self.device) as peak, reusing_memory():
            if self._tiled is None and self.recurrent is None:
                once = meter(1)
                once.check()
                enlarged = self._resample(image, factor, target)
                once.advance()
                output = TiledOutput(enlarged, 1, (), torch.uint8)
            else:
                output = self._run(_three_channels(image), tile, meter, budget_bytes)
                if self._tiled is not None and self.output_grid == "corner":
                    output = replace(output, pixels=self._on_corner_grid(output.pixels))
                enlarged = resize(output.pixels, height=target[0], width=target[1])
                enlarged = _channels_as(image, enlarged)
        return UpscaleResult(
            image=enlarged,
            seconds=time.perf_counter() - started,
            peak_memory_bytes=peak.peak_bytes,
            device=str(self.device) if self.model.network is not None else "cpu",
            dtype=DTYPE_NAMES.get(output.dtype, str(image.dtype)),
            tiles=output.tiles,
            fallbacks=output.fallbacks,
            model=self.model.name,
            outscale=factor,
        )

    def check_outscale(self, outscale: float | None) -> float:
        """Return the factor of a run: the one asked for, or the model's own.

        Raises:
            InvalidOptionError: a factor we do not produce, or that does not go with the output grid.
        """
        factor = check_outscale(self.model.default_outscale if outscale is None else outscale)
        if self.output_grid == "corner" and factor != self.model.scale:
            raise InvalidOptionError(
                f"On the corner grid {self.model.name} gives x{self.model.scale} only, not x{factor:g}: "
                "resampling would move the pixels off it. Choose a model of that scale."
            )
        return factor

    def working_budget_bytes(self) -> int:
        """Return the working memory a run that begins now may plan with: the limit set, else by what is free."""
        return working_budget_bytes(self.device, self._memory_limit_bytes)

    def estimate_memory_bytes(self, height: int, width: int) -> int:
        """Return the memory a run on a picture of that size takes beside what the process holds already, estimated."""
        pictures = 3 * height * width * (1 + self.model.scale**2)
        runner = self._tiled or self.recurrent
        return pictures + (runner.estimate_memory_bytes(height, width) if runner else 0)

    def _run(
        self, image: np.ndarray, tile: TileSize, meter: Callable[[float], ProgressMeter], budget_bytes: int | None
    ) -> TiledOutput:
        if self._tiled is not None:
            return self._tiled.run(image, tile=tile, meter=meter, budget_bytes=budget_bytes)
        assert self.recurrent is not None  # noqa: S101  one of the two runners is there whenever a network is
        return self.recurrent.run_still(image, tile=tile, meter=meter, budget_bytes=budget_bytes)

    def _resample(self, image: np.ndarray, factor: float, target: tuple[int, int]) -> np.ndarray:
        method: ResampleMethod = "bicubic" if self.model.name == "bicubic" else "lanczos"
        if self.output_grid == "corner":
            return enlarge(image, int(factor), method=method, grid="corner")
        return resize(image, height=target[0], width=target[1], method=method)

    def _on_corner_grid(self, pixels: np.ndarray) -> np.ndarray:
        hr = to_tensor(pixels, device=self.device, dtype=torch.float32)
        return to_pixels(to_grid(hr, self.model.scale, "half-pixel", "corner"), dtype=pixels.dtype)


def check_outscale(outscale: float) -> float:
    """Return the factor if it is one we produce, else raise InvalidOptionError."""
    if not 0 < outscale <= MAX_OUTSCALE:
        raise InvalidOptionError(
            f"Scale {outscale:g} is not possible. Use a number above 0 and up to {MAX_OUTSCALE:g}."
        )
    return float(outscale)


def output_size(height: int, width: int, outscale: float) -> tuple[int, int]:
    """Return the sides of a height x width picture after scaling, at least one pixel each."""
    return max(round(height * outscale), 1), max(round(width * outscale), 1)


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise InputError(f"An array of shape {image.shape} is not a picture. Pass HxWx3 RGB or HxWx1 grey.")
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"Pixels of type {image.dtype} are not supported. Pass uint8 (0..255) or uint16 (0..65535).")


def _three_channels(image: np.ndarray) -> np.ndarray:
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)


def _channels_as(original: np.ndarray, enlarged: np.ndarray) -> np.ndarray:
    if original.shape[2] == 3:
        return enlarged
    grey: np.ndarray = np.rint(enlarged.mean(axis=2, keepdims=True, dtype=np.float32))
    return grey.astype(original.dtype)
