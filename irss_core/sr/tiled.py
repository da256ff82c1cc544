"""Runs a still network over a picture of any size: no seams, bounded memory, nothing wrong pasted in.

A network here has two parts. ``features`` may see far (RRDBNet's body reaches about 350 pixels), ``render`` sees a few.
So the body runs over as large an area as memory allows, the whole picture where it fits, and only ``render``, which
needs by far the most memory a pixel, is cut in tiles. With a halo as wide as its reach that cut is exact. Where the
body itself must be cut, neighbouring bodies overlap and are blended over the overlap.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from irss_core.errors import InvalidOptionError, ModelError, ResourceError
from irss_core.progress import ProgressMeter
from irss_core.sr.arrays import is_finite, to_pixels, to_tensor
from irss_core.sr.device import DTYPE_NAMES, prepare_network
from irss_core.sr.memory import is_out_of_memory, working_budget_bytes
from irss_core.sr.networks import StillNetwork
from irss_core.sr.tiling import Box, split_box

TileSize = int | Literal["auto"]

# Half the overlap of two bodies is blended, the outer half, which lacks context, is thrown away.
BODY_OVERLAP = 64
MIN_TILE = 32
_MAX_RENDER_TILE = 512


@dataclass(frozen=True)
class TilePlan:
    """How a picture is cut, in feature pixels: sides of a body tile and of a render tile, and the blended overlap."""

    body_size: int
    render_size: int
    overlap: int

    def halved(self) -> TilePlan:
        """Return the plan for half the memory a side; raise ResourceError when tiles are as small as they may be."""
        if self.body_size <= MIN_TILE and self.render_size <= MIN_TILE:
            raise ResourceError(
                f"Memory ran out even with tiles of {MIN_TILE} pixels. Close other programs, "
                "choose a smaller model, or run on a machine with more memory."
            )
        return TilePlan(
            body_size=max(self.body_size // 2, MIN_TILE),
            render_size=max(self.render_size // 2, MIN_TILE),
            overlap=self.overlap or BODY_OVERLAP,
        )


@dataclass(frozen=True)
class TiledOutput:
    """A finished run: HxWx3 pixels of the input's dtype, its tiles, and what had to be done differently."""

    pixels: np.ndarray
    tiles: int
    fallbacks: tuple[str, ...]
    dtype: torch.dtype


class _NonFiniteOutputError(Exception):
    """A network gave NaN or infinity: the tile must not be used."""


class TiledRunner:
    """Holds one still network on one device in one precision, and runs pictures through it, one at a time."""

    def __init__(
        self,
        network: StillNetwork,
        *,
        device: torch.device,
        dtype: torch.dtype,
        memory_limit_bytes: int | None = None,
    ) -> None:
        self._original = network
        self._costs = _Costs.of(network)
        self._device, self._dtype = device, dtype
        self._memory_limit_bytes = memory_limit_bytes
        self._prepared: dict[torch.dtype, StillNetwork] = {}
        self._lock = threading.Lock()

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, a side."""
        return self._original.scale

    def estimate_memory_bytes(self, height: int, width: int, *, tile: TileSize = "auto") -> int:
        """Return the working memory a run needs beside the model and the pictures themselves, estimated."""
        rows, columns = self._feature_sides(height, width)
        plan = self._plan(rows, columns, tile)
        body_area = min(plan.body_size + 2 * plan.overlap, rows) * min(plan.body_size + 2 * plan.overlap, columns)
        render_area = min(plan.render_size, rows) * min(plan.render_size, columns)
        return body_area * self._body_bytes + render_area * self._render_bytes

    def run(
        self,
        pixels: np.ndarray,
        *,
        tile: TileSize = "auto",
        meter: Callable[[float], ProgressMeter],
        budget_bytes: int | None = None,
    ) -> TiledOutput:
        """Return the picture at the network's scale.

        Args:
            pixels: HxWx3 RGB, uint8 or uint16. 16 bit always runs in fp32: bf16 and fp16 hold fewer bits than it has.
            tile: side of a tile in input pixels, or "auto" for what memory allows.
            meter: makes the progress meter for a total amount of work.
            budget_bytes: working memory that "auto" plans with; by default what is free now.

        Raises:
            InvalidOptionError: the tile is too small.
            ResourceError: out of memory with the smallest tiles.
            ModelError: the network gives NaN or infinity even in fp32.
            CancelledError: asked to stop; happens within one block of the body or one tile.
        """
        height, width = pixels.shape[:2]
        rows, columns = self._feature_sides(height, width)
        stride = self._original.stride
        padding = ((0, rows * stride - height), (0, columns * stride - width), (0, 0))
        padded = (
            np.pad(pixels, padding, mode="edge") if rows * stride != height or columns * stride != width else pixels
        )
        plan = self._plan(rows, columns, tile, budget_bytes)
        dtype = self._dtype if pixels.dtype == np.uint8 else torch.float32
        fallbacks: list[str] = []
        with self._lock, torch.inference_mode():
            while True:
                try:
                    output, tiles = self._run_plan(padded, plan, dtype, meter, fallbacks)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    plan = plan.halved()
                    fallbacks.append(f"out of memory: tiles halved to {plan.body_size} pixels")
                    self._release_memory()
                else:
                    break
        scale = self.scale
        return TiledOutput(output[: height * scale, : width * scale], tiles, tuple(fallbacks), dtype)

    def _feature_sides(self, height: int, width: int) -> tuple[int, int]:
        stride = self._original.stride
        return -(-height // stride), -(-width // stride)

    @property
    def _body_bytes(self) -> int:
        return self._costs.body_channels * self._dtype.itemsize

    @property
    def _render_bytes(self) -> int:
        return self._costs.render_channels * self._dtype.itemsize

    def _plan(self, rows: int, columns: int, tile: TileSize, budget_bytes: int | None = None) -> TilePlan:
        exact = self._original.features_reach == 0
        if tile != "auto":
            if tile < MIN_TILE:
                raise InvalidOptionError(f"Tile size {tile} is below {MIN_TILE}. Use {MIN_TILE} or more, or auto.")
            side = -(-tile // self._original.stride)
            return TilePlan(
                max(rows, columns) if exact else side, min(side, _MAX_RENDER_TILE), 0 if exact else BODY_OVERLAP
            )
        budget = budget_bytes or working_budget_bytes(self._device, self._memory_limit_bytes)
        render = int(math.sqrt(budget / 4 / self._render_bytes)) - 2 * self._original.render_reach
        render = min(max(render, MIN_TILE), _MAX_RENDER_TILE)
        if exact:
            return TilePlan(max(rows, columns), render, 0)
        body_area = (budget - min(render**2, rows * columns) * self._render_bytes) / self._body_bytes
        if rows * columns <= body_area:
            return TilePlan(max(rows, columns), render, 0)
        body = max(int(math.sqrt(max(body_area, 1))) - 2 * BODY_OVERLAP, MIN_TILE)
        return TilePlan(body, min(render, body), BODY_OVERLAP)

    def _network(self, dtype: torch.dtype) -> StillNetwork:
        if dtype not in self._prepared:
            module = prepare_network(cast(nn.Module, deepcopy(self._original)), self._device, dtype)
            self._prepared[dtype] = cast(StillNetwork, module)
        return self._prepared[dtype]

    def _run_plan(
        self,
        padded: np.ndarray,
        plan: TilePlan,
        dtype: torch.dtype,
        make_meter: Callable[[float], ProgressMeter],
        fallbacks: list[str],
    ) -> tuple[np.ndarray, int]:
        stride, grow = self._original.stride, self._original.render_scale
        plane = Box(0, 0, padded.shape[0] // stride, padded.shape[1] // stride)
        output = np.empty((plane.height * grow, plane.width * grow, 3), padded.dtype)
        cores = list(split_box(plane, size=plan.body_size))
        tiles = [
            _BodyTile(core.grown(plan.overlap, within=plane), core.grown(plan.overlap // 2, within=plane))
            for core in cores
        ]
        meter = make_meter(sum(self._costs.work(tile) for tile in tiles))
        rendered = 0
        for index, (core, tile) in enumerate(zip(cores, tiles, strict=True)):
            try:
                part, count = self._run_body(self._network(dtype), padded, tile, plan.render_size, meter)
            except _NonFiniteOutputError:
                if dtype == torch.float32:
                    raise ModelError(
                        "The model gives values that are not numbers for this picture, even in fp32. "
                        "Its checkpoint is probably damaged: fetch it again or choose another model."
                    ) from None
                fallbacks.append(
                    f"tile {index + 1} of {len(tiles)} was not finite in {DTYPE_NAMES[dtype]}: run again in fp32"
                )
                part, count = self._run_body(self._network(torch.float32), padded, tile, plan.render_size, None)
                meter.check()
            _composite(output, part, kept=tile.kept, core=core, blend=plan.overlap // 2, grow=grow)
            rendered += count
        return output, rendered

    def _run_body(
        self, network: StillNetwork, padded: np.ndarray, tile: _BodyTile, render_size: int, meter: ProgressMeter | None
    ) -> tuple[np.ndarray, int]:
        """Return the pixels of ``tile.kept`` and the number of render tiles, or raise _NonFiniteOutputError."""
        grow = network.render_scale
        window = padded[tile.window.scaled(network.stride).slices]
        dtype = next(cast(nn.Module, network).parameters()).dtype
        with _counting_blocks(network, meter, tile.window.area * self._costs.body_work):
            features = network.features(to_tensor(window, device=self._device, dtype=dtype))
        if not is_finite(features):
            raise _NonFiniteOutputError
        part = np.empty((tile.kept.height * grow, tile.kept.width * grow, 3), padded.dtype)
        count = 0
        for core in split_box(tile.kept, size=render_size):
            seen = core.grown(network.render_reach, within=tile.window)
            rows, columns = seen.relative_to(tile.window).slices
            pixels = network.render(features[:, :, rows, columns])
            rows, columns = core.relative_to(seen).scaled(grow).slices
            pixels = pixels[:, :, rows, columns]
            if not is_finite(pixels):
                raise _NonFiniteOutputError
            part[core.relative_to(tile.kept).scaled(grow).slices] = to_pixels(pixels, dtype=padded.dtype)
            count += 1
            if meter is not None:
                meter.advance(core.area * self._costs.render_work)
        return part, count

    def _release_memory(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class _BodyTile:
    """One run of the body: the ``window`` it sees and the part of it that is ``kept``, in feature pixels."""

    window: Box
    kept: Box


@dataclass(frozen=True)
class _Costs:
    """What a feature pixel costs: channels alive at the peak of each part, and multiply-adds (roughly) of each part."""

    body_channels: int
    render_channels: int
    body_work: float
    render_work: float

    @classmethod
    def of(cls, network: StillNetwork) -> _Costs:
        modules = cast(nn.Module, network).named_modules()
        convolutions = [(name, layer) for name, layer in modules if isinstance(layer, nn.Conv2d)]
        in_body = ("conv_first", "body", "conv_body") if network.features_reach else ()
        body = [layer for name, layer in convolutions if name.startswith(in_body)] if in_body else []
        render = [layer for name, layer in convolutions if layer not in body]
        area = network.render_scale**2 if in_body else 1
        width = max(layer.out_channels for layer in render)
        return cls(
            # A dense block holds its joined maps twice while they grow, beside four maps kept for the skips.
            body_channels=2 * max(layer.in_channels for layer in body) + 4 * body[0].out_channels if body else 3,
            # A layer's input and output and the interpolated copy between, and the picture itself in fp32.
            render_channels=3 * width * area + 4 * 3 * network.render_scale**2,
            body_work=float(sum(layer.weight.numel() for layer in body)),
            render_work=float(sum(layer.weight.numel() for layer in render) * area),
        )

    def work(self, tile: _BodyTile) -> float:
        return tile.window.area * self.body_work + tile.kept.area * self.render_work


@contextmanager
def _counting_blocks(network: StillNetwork, meter: ProgressMeter | None, work: float) -> Iterator[None]:
    """While open, each block of the body counts its share of the work as it ends, and can be cancelled there."""
    if meter is None or not network.features_reach:
        yield
        return
    blocks = list(cast(nn.Module, network).get_submodule("body").children())
    hooks = [block.register_forward_hook(lambda *_: meter.advance(work / len(blocks))) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _composite(output: np.ndarray, part: np.ndarray, *, kept: Box, core: Box, blend: int, grow: int) -> None:
    """Write a part into the output, fading over from what earlier neighbours above and to the left wrote there."""
    target = output[kept.scaled(grow).slices]
    down = _ramp(kept.height * grow, blend * grow if kept.top < core.top else 0)
    across = _ramp(kept.width * grow, blend * grow if kept.left < core.left else 0)
    faded_rows, faded_columns = np.flatnonzero(down < 1).size, np.flatnonzero(across < 1).size
    before_top, before_left = target[:faded_rows].copy(), target[:, :faded_columns].copy()
    target[:] = part
    for rows, columns, before in (
        (slice(0, faded_rows), slice(None), before_top),
        (slice(faded_rows, None), slice(0, faded_columns), before_left[faded_rows:]),
    ):
        if before.size:
            weight = (down[rows, None] * across[None, columns])[..., None]
            target[rows, columns] = np.rint(before * (1 - weight) + part[rows, columns] * weight)


def _ramp(length: int, blend: int) -> np.ndarray:
    """Return ``length`` weights: rising from 0 to 1 over the first 2 x ``blend``, 1 after that."""
    if not blend:
        return np.ones(length, np.float32)
    return np.minimum((np.arange(length, dtype=np.float32) + 0.5) / (2 * blend), 1)
