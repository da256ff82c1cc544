"""Turn an LPIPS v0.1 SqueezeNet network in ONNX into the one .safetensors that IRSS takes as its weights.

    python scripts/lpips_from_onnx.py lpips_sq.onnx lpips-squeeze.safetensors

The ONNX file is one that holds the whole network, backbone and linear heads, under the names of the package lpips
(``….net.slice1.0.weight``, ``….lins.0.model.1.weight``), as torch exports it. Its inputs are pictures in 0..1, less
ImageNet's mean, over ImageNet's deviation; it undoes that, takes the result to [-1, 1] and on through LPIPS' own
scaling layer. That layer is the same normalisation again (shift = 2 mean - 1, scale = 2 deviation), so the network
sees what it is given, and the weights can be used behind LPIPS' scaling layer alone.

Every initializer must be a weight of the network or a constant known here, and every weight must be there once.
Needs the package ``onnx``. Run it from the repository's root, in the environment that ``make demo`` makes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from safetensors.numpy import save

from irss_core.errors import IrssError
from irss_core.metrics.lpips_networks import TRUNKS, FeatureNetwork
from irss_core.metrics.perceptual_files import parts_in

_BACKBONE = re.compile(r"(?:.*\.)?net\.slice\d\.(\d+\..+)")
_HEAD = re.compile(r"(?:.*\.)?lins\.(\d)\.model\.1\.weight")
_CONSTANTS = {
    "in_mean": (0.485, 0.456, 0.406),
    "in_std": (0.229, 0.224, 0.225),
    "shift": (-0.030, -0.088, -0.188),
    "scale": (0.458, 0.448, 0.450),
}
_EXPORTER_CONSTANT = re.compile(r"val_\d+")  # axes, exponents and the like, of a number or two each


def main() -> None:
    """Convert the file named on the command line, and print what came of it; exit 1 if it is another network."""
    parser = argparse.ArgumentParser(description="Convert LPIPS-squeeze from ONNX to .safetensors.")
    parser.add_argument("onnx", type=Path, help="the network, with its weights inside")
    parser.add_argument("output", type=Path, help="the .safetensors to write; must not be there yet")
    arguments = parser.parse_args()
    try:
        convert(arguments.onnx, arguments.output)
    except (OSError, ValueError, DecodeError, IrssError) as exc:
        sys.exit(f"{arguments.onnx}: {exc}")


def convert(source: Path, output: Path) -> None:
    """Write the weights in ``source`` to ``output``, which must not be there yet.

    Raises:
        ValueError: it is no such network, or has more or fewer weights than one.
        OSError, DecodeError: it cannot be read as ONNX, or ``output`` cannot be written.
    """
    if output.exists():
        raise ValueError(f"{output} is there already; name another file, or delete it")
    content = source.read_bytes()
    initializers = [
        (tensor.name, numpy_helper.to_array(tensor)) for tensor in onnx.load_from_string(content).graph.initializer
    ]
    weights = converted(initializers)
    source_sha256 = hashlib.sha256(content).hexdigest()
    packed = save(weights, metadata={"converted_from_sha256": source_sha256})  # one entry: their order is not fixed
    parts = parts_in(io.BytesIO(packed), name=output.name)
    if parts.net != "squeeze" or parts.backbone is None or parts.heads is None:
        raise ValueError("its weights, converted, are not recognised as LPIPS with SqueezeNet 1.1")
    output.write_bytes(packed)
    numbers = sum(array.size for array in weights.values())
    print(f"{source} (SHA-256 {source_sha256})")
    print(f"{output} (SHA-256 {hashlib.sha256(packed).hexdigest()})")
    print(f"{len(weights)} tensors, {numbers:,} numbers: {TRUNKS['squeeze'].title} and its {len(parts.heads)} heads.")


def converted(initializers: list[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the weights under torchvision's and LPIPS' names; each initializer is used once or known as a constant.

    Raises:
        ValueError: an initializer is unknown, twice there or missing, or a constant has another value.
    """
    weights: dict[str, np.ndarray] = {}
    for name, array in initializers:
        key = _key_of(name)
        if key is None:
            _check_constant(name, array)
        elif key in weights:
            raise ValueError(f"{name} is there twice")
        else:
            weights[key] = np.ascontiguousarray(array, dtype=np.float32)
    trunk = TRUNKS["squeeze"]
    wanted = {key: tuple(tensor.shape) for key, tensor in FeatureNetwork(trunk).state_dict().items()}
    wanted |= {f"lin{index}.model.1.weight": (1, count, 1, 1) for index, count in enumerate(trunk.channels)}
    wrong = [key for key in wanted | weights if key not in weights or weights[key].shape != wanted.get(key)]
    if wrong:
        raise ValueError(f"it is not LPIPS with {trunk.title}: missing, left over or of another shape: {wrong}")
    return weights


def _key_of(name: str) -> str | None:
    if match := _BACKBONE.fullmatch(name):
        return f"features.{match[1]}"
    if match := _HEAD.fullmatch(name):
        return f"lin{match[1]}.model.1.weight"
    return None


def _check_constant(name: str, array: np.ndarray) -> None:
    known = _CONSTANTS.get(name.rpartition(".")[2])
    if known is not None:
        if array.size != len(known) or not np.allclose(array.ravel(), known, rtol=0, atol=1e-6):
            raise ValueError(f"{name} is {array.ravel()}, not {known}: the network expects other input than LPIPS's")
    elif not _EXPORTER_CONSTANT.fullmatch(name) or array.size > 2:
        raise ValueError(f"{name}, of shape {array.shape}, is no part of LPIPS that is known here")


if __name__ == "__main__":
    main()
