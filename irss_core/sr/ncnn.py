"""Reads the weights of ncnn models: a text ``.param`` that lists the layers and a ``.bin`` with their numbers.

Only what RRDBNet and SRVGGNetCompact are made of is understood; anything else is refused by name, because a layer
that is skipped would shift every number after it. NumPy only, so that weights can be prepared without torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from irss_core.errors import LimitExceededError, UnsupportedCheckpointError, WeightsCorruptError

Weights = npt.NDArray[np.float16 | np.float32]

MAGIC = b"7767517"
MAX_PARAM_BYTES = 4 * 1024**2  # the largest model we know has 0.12 MB of text

_FP32 = 0
_FP16 = 0x01306B47
_ALIGNMENT = 4
_KERNEL = 3
_PLAIN_CONVOLUTION = (  # setting, what it is, its default in the format, what our networks have
    ("1", "kernel width", 0, _KERNEL),
    ("11", "kernel height", _KERNEL, _KERNEL),
    ("2", "dilation", 1, 1),
    ("3", "stride", 1, 1),
    ("4", "padding", 0, 1),
    ("5", "bias", 0, 1),
    ("8", "int8 quantisation", 0, 0),
    ("19", "weights computed while running", 0, 0),
)
_WITHOUT_WEIGHTS = frozenset(
    {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle", "ReLU", "Noop"}
)
_SUPPORTED = "Supported are ncnn models of RRDBNet (ESRGAN, x4) and of SRVGGNetCompact."


@dataclass(frozen=True)
class Layer:
    """A layer with weights: a 3x3 convolution (outputs x inputs x 3 x 3, and a bias) or PReLU (slopes, no bias)."""

    kind: Literal["convolution", "prelu"]
    name: str
    weight: Weights
    bias: Weights | None = None


def read_state_dict(param_path: Path, bin_path: Path) -> dict[str, Weights]:
    """Return the pair's weights under the keys of RRDBNet or SRVGGNetCompact, fp16 or fp32 as they are stored.

    Raises:
        WeightsCorruptError: a file is damaged, or the two do not belong together.
        UnsupportedCheckpointError: a sound pair of another network.
        LimitExceededError: the ``.param`` is longer than any network we run needs.
    """
    return state_dict(read_layers(param_path.read_bytes(), bin_path.read_bytes()))


def read_layers(param: bytes, weights: bytes) -> list[Layer]:
    """Return the layers that carry weights, in the order of the file; every byte of ``weights`` is accounted for.

    Raises:
        WeightsCorruptError: ``param`` is malformed, or ``weights`` is too short or too long for it.
        UnsupportedCheckpointError: a layer RRDBNet and SRVGGNetCompact do not have.
        LimitExceededError: ``param`` is longer than any network we run needs.
    """
    if len(param) > MAX_PARAM_BYTES:
        raise LimitExceededError(
            f"The ncnn .param has {len(param):,} bytes; at most {MAX_PARAM_BYTES:,} are read. "
            "No network that is supported needs as many."
        )
    reader = _BinReader(weights)
    layers = []
    for row in _rows(param):
        if row.kind == "Convolution":
            layers.append(_read_convolution(row, reader))
        elif row.kind == "PReLU":
            slopes = reader.floats(row.count("0"), what=row.name)
            layers.append(Layer("prelu", row.name, slopes))
        elif row.kind not in _WITHOUT_WEIGHTS:
            raise UnsupportedCheckpointError(
                f"The ncnn model has a layer of the kind {row.kind[:40]!r} ({row.name[:40]!r}). {_SUPPORTED}"
            )
    reader.expect_end()
    return layers


def state_dict(layers: list[Layer]) -> dict[str, Weights]:
    """Return the layers' weights under the keys of the network whose layers and shapes these are, in order.

    Raises:
        UnsupportedCheckpointError: the layers or their shapes are those of neither network.
    """
    if not layers or layers[0].kind != "convolution":
        raise UnsupportedCheckpointError(f"The ncnn model does not begin with a convolution. {_SUPPORTED}")
    slots = list(_srvgg_slots(layers) if any(layer.kind == "prelu" for layer in layers) else _rrdbnet_slots(layers))
    if len(slots) != len(layers):
        raise UnsupportedCheckpointError(
            f"The ncnn model has {len(layers)} convolutions; an RRDBNet has 15 a block and 6 more. {_SUPPORTED}"
        )
    weights: dict[str, Weights] = {}
    for (key, shape), layer in zip(slots, layers, strict=True):
        if layer.weight.shape != shape:
            raise UnsupportedCheckpointError(
                f"Layer {layer.name[:40]!r} of the ncnn model has the shape {layer.weight.shape}; as {key} of the "
                f"network it looks like it would have {shape}. {_SUPPORTED}"
            )
        weights[f"{key}.weight"] = layer.weight
        if layer.bias is not None:
            weights[f"{key}.bias"] = layer.bias
    return weights


# -- Layers to keys ----------------------------------------------------------------------------------------------------

_Slot = tuple[str, tuple[int, ...]]


def _rrdbnet_slots(layers: list[Layer]) -> Iterator[_Slot]:
    """Yield key and weight shape of every layer of an x4 RRDBNet as wide and deep as these layers say."""
    features = layers[0].weight.shape[0]
    growth = layers[1].weight.shape[0] if len(layers) > 1 else 0
    yield "conv_first", _convolution(3, features)
    for block in range((len(layers) - 6) // 15):
        for dense in (1, 2, 3):
            for conv in (1, 2, 3, 4):
                yield f"body.{block}.rdb{dense}.conv{conv}", _convolution(features + (conv - 1) * growth, growth)
            yield f"body.{block}.rdb{dense}.conv5", _convolution(features + 4 * growth, features)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        yield name, _convolution(features, features)
    yield "conv_last", _convolution(features, 3)


def _srvgg_slots(layers: list[Layer]) -> Iterator[_Slot]:
    """Yield key and weight shape of every layer of an SRVGGNetCompact as wide and deep as these layers say."""
    features = layers[0].weight.shape[0]
    scale = math.isqrt(layers[-1].weight.shape[0] // 3)
    last = len(layers) - 1
    for index in range(last):
        inputs = features if index else 3
        yield f"body.{index}", _convolution(inputs, features) if index % 2 == 0 else (features,)
    yield f"body.{last}", _convolution(features, 3 * scale**2)


def _convolution(inputs: int, outputs: int) -> tuple[int, ...]:
    return outputs, inputs, _KERNEL, _KERNEL


# -- .param ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A line of ``.param``: what the layer is, and its ``key=value`` settings."""

    kind: str
    name: str
    settings: dict[str, str]

    def count(self, key: str) -> int:
        """Return a setting that must be a positive whole number."""
        number = self.number(key, default=0)
        if number <= 0:
            raise WeightsCorruptError(
                f"Layer {self.name[:40]!r} of the ncnn .param has {number} for setting {key}; "
                "a positive number was expected. The file is damaged."
            )
        return number

    def number(self, key: str, *, default: int) -> int:
        """Return a setting that must be a whole number, or the default where it is left out."""
        return _integer(self.settings.get(key, str(default)), what=f"setting {key} of layer {self.name[:40]!r}")


def _rows(param: bytes) -> Iterator[_Row]:
    try:
        lines = param.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise WeightsCorruptError("The ncnn .param is not text. It is damaged, or another kind of file.") from None
    if lines[0].strip() != MAGIC.decode():
        raise WeightsCorruptError(
            f"The ncnn .param begins with {lines[0][:20]!r} instead of {MAGIC.decode()}. It is another kind of file."
        )
    counts = lines[1].split() if len(lines) > 1 else []
    rows = [line.split() for line in lines[2:] if line.strip()]
    claimed = _integer(counts[0], what="the number of layers") if len(counts) == 2 else -1
    if claimed != len(rows):
        raise WeightsCorruptError(
            f"The ncnn .param announces {claimed} layers and lists {len(rows)}. The file is cut off or damaged."
        )
    for row in rows:
        yield _row(row)


def _row(tokens: list[str]) -> _Row:
    fixed = 4  # kind, name, number of inputs, number of outputs; the names of both follow
    if len(tokens) < fixed:
        raise WeightsCorruptError(f"A line of the ncnn .param is cut short: {' '.join(tokens)[:60]!r}.")
    inputs, outputs = (_integer(token, what=f"an input or output count of {tokens[1][:40]!r}") for token in tokens[2:4])
    settings = tokens[fixed + inputs + outputs :]
    if inputs < 0 or outputs < 0 or len(tokens) < fixed + inputs + outputs or not all("=" in s for s in settings):
        raise WeightsCorruptError(
            f"Layer {tokens[1][:40]!r} of the ncnn .param claims {inputs} inputs and {outputs} outputs, "
            "which its line does not name. The file is damaged."
        )
    keys_and_values = (setting.partition("=") for setting in settings)
    return _Row(tokens[0], tokens[1], {key: value for key, _, value in keys_and_values})


def _integer(text: str, *, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise WeightsCorruptError(
            f"The ncnn .param has {text[:20]!r} for {what}; a whole number was expected."
        ) from None


# -- .bin --------------------------------------------------------------------------------------------------------------


def _read_convolution(row: _Row, reader: _BinReader) -> Layer:
    for key, what, default, plain in _PLAIN_CONVOLUTION:
        value = row.number(key, default=default)
        if value != plain:
            raise UnsupportedCheckpointError(
                f"Convolution {row.name[:40]!r} of the ncnn model has {what} {value} instead of {plain}. {_SUPPORTED}"
            )
    outputs, total = row.count("0"), row.count("6")
    inputs, rest = divmod(total, outputs * _KERNEL**2)
    if rest or not inputs:
        raise WeightsCorruptError(
            f"Convolution {row.name[:40]!r} of the ncnn .param claims {total} weights for {outputs} outputs, "
            f"which is no whole number of {_KERNEL}x{_KERNEL} kernels. The file is damaged."
        )
    weight = reader.flagged(total, what=row.name).reshape(_convolution(inputs, outputs))
    return Layer("convolution", row.name, weight, reader.floats(outputs, what=row.name))


class _BinReader:
    """Takes arrays off the front of a ``.bin``; never makes one that the bytes left do not fill."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def flagged(self, count: int, *, what: str) -> Weights:
        """Return ``count`` numbers of the type that a flag before them names."""
        flag = int(self._take(1, np.dtype("<u4"), what=what)[0])
        if flag == _FP32:
            return self.floats(count, what=what)
        if flag != _FP16:
            raise UnsupportedCheckpointError(
                f"Layer {what[:40]!r} stores its weights in the ncnn type 0x{flag:08X}. Supported are fp32 (0) and "
                f"fp16 (0x{_FP16:08X}). It may also be that the .param and the .bin are not a pair."
            )
        halves = self._take(count, np.dtype("<f2"), what=what)
        self._position += -self._position % _ALIGNMENT
        return halves.astype(np.float16)

    def floats(self, count: int, *, what: str) -> Weights:
        """Return ``count`` fp32 numbers."""
        return self._take(count, np.dtype("<f4"), what=what).astype(np.float32)

    def expect_end(self) -> None:
        """Raise WeightsCorruptError unless every byte was taken."""
        if self._position != len(self._data):
            raise WeightsCorruptError(
                f"The ncnn .bin has {len(self._data):,} bytes, but its .param accounts for {self._position:,}. "
                "They are not a pair, or one of them is damaged."
            )

    def _take(self, count: int, dtype: np.dtype[np.generic], *, what: str) -> npt.NDArray[np.generic]:
        wanted, left = count * dtype.itemsize, len(self._data) - self._position
        if wanted > left:
            raise WeightsCorruptError(
                f"The ncnn .bin ends inside layer {what[:40]!r}: {wanted:,} more bytes are needed and {max(left, 0):,} "
                "are left. It is cut off, or does not belong to its .param."
            )
        taken = np.frombuffer(self._data, dtype, count, offset=self._position)
        self._position += wanted
        return taken
