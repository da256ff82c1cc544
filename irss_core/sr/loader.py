"""Turns a checkpoint into a network that is ready to run: what is in the file is told by its content, not its name.

Nothing in a checkpoint is ever executed. A file that is none of ours is refused with what it looks like.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from irss_core.errors import (
    InvalidOptionError,
    LimitExceededError,
    ModelError,
    UnsupportedCheckpointError,
    WeightsCorruptError,
    WeightsUnavailableError,
)
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr import ncnn
from irss_core.sr.catalog import Architecture, Grid, Kind, ModelSpec, find_model
from irss_core.sr.networks import StateDict, fill, name_first
from irss_core.sr.networks.rrdbnet import RRDBNet, is_rrdbnet
from irss_core.sr.networks.srvgg import SRVGGNetCompact, is_srvgg
from irss_core.sr.weights import download_mishap, looks_like, resolve_weights
from vendor.tecogan.generator import FRNet, hyperparameters_from_state_dict, strip_prefix

MAX_CHECKPOINT_BYTES = 1024**3
SUPPORTED = (
    "Supported are RRDBNet (ESRGAN and Real-ESRGAN), SRVGGNetCompact (Real-ESRGAN's small models) and FRNet (TecoGAN), "
    "as .pth, as .safetensors, or as an ncnn pair of .param and .bin."
)

_GLANCE_BYTES = 1024**2
_NOT_SAFETENSORS = 2**64  # longer than any header can claim to be
_WRAPPERS = ("params_ema", "params", "state_dict")  # the first one that is there holds the weights


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode, fp32, on the CPU and without gradients, and what is known of it.

    ``network`` is None for the resampling baselines. ``scale`` is the network's own, ``default_outscale`` what a user
    gets unless they ask for another. ``sha256`` is of the file the weights were read from; of a blend, of both.
    """

    name: str
    title: str
    architecture: Architecture
    network: nn.Module | None
    scale: int
    default_outscale: float
    kind: Kind
    grid: Grid
    blocks: int
    parameters: int
    sha256: str
    source: str
    spec: ModelSpec | None


def load_checkpoint(path: Path, *, name: str | None = None) -> LoadedModel:
    """Return the model of any checkpoint we can run; architecture, depth and scale are read off its tensors.

    Raises:
        UnsupportedCheckpointError: another kind of file, another network, or a pickle that would run code.
        WeightsCorruptError: empty, cut off, damaged, or not finite.
        WeightsUnavailableError: there is no such file, or the other half of an ncnn pair is missing.
        LimitExceededError: larger than ``MAX_CHECKPOINT_BYTES``.
    """
    path = Path(path)
    checkpoint = _read_checkpoint(path)
    with _naming(path.name):
        family, network = _build(checkpoint.weights)
    title = name or path.stem
    return _describe(family, network, name=title, title=title, checkpoint=checkpoint, spec=None)


def load_model(
    spec_or_name: ModelSpec | str,
    *,
    cache_dir: Path,
    weights_path: Path | None = None,
    denoise: float | None = None,
    offline: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> LoadedModel:
    """Return a model of the catalog, its weights found or fetched as ``resolve_weights`` does.

    ``denoise`` in 0..1, for a model that has it, blends its two sets of weights; 1, the default, is the first alone.

    Raises:
        InvalidOptionError: ``denoise`` out of range, or given for a model that does not have it.
        UnknownModelError, WeightsUnavailableError, WeightsCorruptError, UnsupportedCheckpointError: as they say.
        CancelledError: ``cancel`` was thrown.
    """
    spec = find_model(spec_or_name) if isinstance(spec_or_name, str) else spec_or_name
    strength = _denoise_strength(spec, denoise, weights_path)
    if spec.architecture == "resample":
        return _baseline(spec)
    needed = {1.0: spec.files[:1], 0.0: spec.files[1:]}.get(strength, spec.files)
    resolved = resolve_weights(
        replace(spec, files=needed),
        cache_dir=cache_dir,
        weights_path=weights_path,
        offline=offline,
        progress=progress,
        cancel=cancel,
    )
    if cancel is not None:
        cancel.raise_if_cancelled()
    checkpoints = [_read_checkpoint(path) for path in resolved.paths]
    checkpoint = checkpoints[0] if len(checkpoints) == 1 else _blend(checkpoints[0], checkpoints[1], strength)
    with _naming(checkpoint.source):
        family, network = _build(checkpoint.weights)
    if family.architecture != spec.architecture:
        raise UnsupportedCheckpointError(
            f"{checkpoint.source} holds weights of {family.title}, but {spec.name!r} is another network. "
            "Load them as a checkpoint of your own instead."
        )
    title = spec.title if strength == 1 else f"{spec.title}, denoise {strength:g}"
    checkpoint = replace(checkpoint, source=resolved.source)
    return _describe(family, network, name=spec.name, title=title, checkpoint=checkpoint, spec=spec)


# -- Models of the catalog ---------------------------------------------------------------------------------------------


def _denoise_strength(spec: ModelSpec, denoise: float | None, weights_path: Path | None) -> float:
    if denoise is None:
        return 1.0
    if not spec.has_denoise:
        raise InvalidOptionError(
            f"{spec.name!r} has no denoise strength, but {denoise:g} was given. Leave it out, or take "
            "'realesr-general-x4v3', which has one."
        )
    if not 0 <= denoise <= 1:
        raise InvalidOptionError(f"The denoise strength is {denoise:g}; it must be from 0 (none) to 1 (full).")
    if weights_path is not None and denoise != 1:
        raise InvalidOptionError(
            f"A denoise strength of {denoise:g} blends the two published files of {spec.name!r}, but weights of your "
            "own were given. Leave out one of the two."
        )
    return float(denoise)


def _blend(first: _Checkpoint, second: _Checkpoint, share: float) -> _Checkpoint:
    """Return ``share`` of the first and the rest of the second, parameter by parameter."""
    if {key: tensor.shape for key, tensor in first.weights.items()} != {
        key: tensor.shape for key, tensor in second.weights.items()
    }:
        raise UnsupportedCheckpointError(
            f"{first.source} and {second.source} are of different networks and cannot be blended."
        )
    weights = {
        key: share * tensor.float() + (1 - share) * second.weights[key].float() for key, tensor in first.weights.items()
    }
    return _Checkpoint(weights, f"{first.sha256}+{second.sha256}", f"{first.source}, {second.source}")


def _baseline(spec: ModelSpec) -> LoadedModel:
    return LoadedModel(
        name=spec.name,
        title=spec.title,
        architecture=spec.architecture,
        network=None,
        scale=spec.scale,
        default_outscale=spec.scale,
        kind=spec.kind,
        grid=spec.grid,
        blocks=0,
        parameters=0,
        sha256="",
        source="no weights needed",
        spec=spec,
    )


# -- Weights to network ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Checkpoint:
    weights: StateDict
    sha256: str
    source: str


Network = RRDBNet | SRVGGNetCompact | FRNet


@dataclass(frozen=True)
class _Family:
    """An architecture: how its keys are told, and how a network is made of them."""

    architecture: Architecture
    title: str
    kind: Kind
    recognises: Callable[[StateDict], bool]
    build: Callable[[StateDict], Network]


def _is_frnet(weights: StateDict) -> bool:
    return any(key.startswith("srnet.") for key in weights) and any(key.startswith("fnet.") for key in weights)


def _build_frnet(weights: StateDict) -> FRNet:
    try:
        hyperparameters = hyperparameters_from_state_dict(weights)
    except ValueError as exc:
        raise UnsupportedCheckpointError(f"The checkpoint looks like FRNet (TecoGAN), but is not one. {exc}") from exc
    with torch.device("meta"):  # shapes only: a file that claims a thousand blocks must not get the memory for them
        network = FRNet(**hyperparameters)
    fill(network, weights, architecture="FRNet (TecoGAN)")
    return network


_FAMILIES = (
    _Family("rrdbnet", "RRDBNet (ESRGAN)", "still", is_rrdbnet, RRDBNet.from_state_dict),
    _Family("srvgg", "SRVGGNetCompact", "still", is_srvgg, SRVGGNetCompact.from_state_dict),
    _Family("frnet", "FRNet (TecoGAN)", "sequence", _is_frnet, _build_frnet),
)


def _build(weights: StateDict) -> tuple[_Family, Network]:
    family = next((family for family in _FAMILIES if family.recognises(weights)), None)
    if family is None:
        raise UnsupportedCheckpointError(
            f"It is a checkpoint of a network that is not supported. {_what_network(weights)} {SUPPORTED}"
        )
    _check_plain(weights)
    network = family.build(weights).eval().requires_grad_(False)
    broken = [key for key, tensor in network.state_dict().items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsCorruptError(
            f"It has weights that are not finite numbers, in {name_first(broken)}. "
            "Its training failed, or it is damaged."
        )
    return family, network


def _check_plain(weights: StateDict) -> None:
    odd = [
        key
        for key, tensor in weights.items()
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized or not tensor.is_floating_point()
    ]
    if odd:
        raise UnsupportedCheckpointError(
            f"Its weights are not all plain floating-point numbers (see {name_first(odd)}): it may be quantised. "
            "The weights it was made from are needed, as fp32, fp16 or bf16."
        )


def _describe(
    family: _Family, network: Network, *, name: str, title: str, checkpoint: _Checkpoint, spec: ModelSpec | None
) -> LoadedModel:
    corner = isinstance(network, FRNet) and network.degradation == "BD"
    return LoadedModel(
        name=name,
        title=title,
        architecture=family.architecture,
        network=network,
        scale=network.scale,
        default_outscale=spec.scale if spec is not None else network.scale,
        kind=family.kind,
        grid="corner" if corner else "half-pixel",
        blocks=network.blocks,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        sha256=checkpoint.sha256,
        source=checkpoint.source,
        spec=spec,
    )


# -- File to weights ---------------------------------------------------------------------------------------------------


def _read_checkpoint(path: Path) -> _Checkpoint:
    data = _read(path)
    with _naming(path.name):
        return _parse(path, data)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the file's name before the message of every error about it."""
    try:
        yield
    except (ModelError, LimitExceededError) as exc:
        raise type(exc)(f"{name}: {exc}") from exc


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_CHECKPOINT_BYTES:
            raise LimitExceededError(
                f"{path.name} has {size:,} bytes; checkpoints of at most {MAX_CHECKPOINT_BYTES:,} are read, and no "
                f"network that is supported is as large.{_glance(path)} {SUPPORTED}"
            )
        return path.read_bytes()
    except OSError as exc:
        raise WeightsUnavailableError(f"{path} cannot be read: {exc.strerror}.") from exc


def _parse(path: Path, data: bytes) -> _Checkpoint:
    """Return what the file holds; which kind it is, its first bytes tell."""
    param, binary = path.with_suffix(".param"), path.with_suffix(".bin")
    if mishap := download_mishap(data):
        raise WeightsCorruptError(f"It is {mishap}. Get it again from where it is published.")
    if data.startswith(b"PK\x03\x04"):
        weights = _from_zip(data)
    elif data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        weights = _from_pickle(data)
    elif _safetensors_header_bytes(data) <= len(data) - 8:
        weights = _from_safetensors(data)
    elif data.startswith(ncnn.MAGIC):
        return _from_ncnn(param, binary, data, _read_other_half(binary))
    elif _is_ncnn_param(param):  # a .bin has no mark of its own
        return _from_ncnn(param, binary, _read_other_half(param), data)
    else:
        raise _not_a_checkpoint(path, data)
    return _Checkpoint(_checked(weights), hashlib.sha256(data).hexdigest(), path.name)


def _not_a_checkpoint(path: Path, data: bytes) -> ModelError:
    if looks := looks_like(data):
        return UnsupportedCheckpointError(f"It looks like {looks}, not like a checkpoint. {SUPPORTED}")
    if _safetensors_header_bytes(data) < _NOT_SAFETENSORS:
        return WeightsCorruptError(
            f"It begins like a .safetensors file with a header of {_safetensors_header_bytes(data):,} bytes, but only "
            f"{len(data) - 8:,} bytes follow. It is cut off or damaged. Get it again."
        )
    hint = f" If it is half of an ncnn model, {path.stem}.param must lie beside it." if path.suffix == ".bin" else ""
    return UnsupportedCheckpointError(f"It is of no kind that is known here.{hint} {SUPPORTED}")


def _from_zip(data: bytes) -> StateDict:
    """Read the ZIP form of .pth, after looking at its table of contents: what is in it, and how large it unpacks."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as exc:
        raise WeightsCorruptError(
            "It is cut off or damaged: its table of contents, at the end of the file, is missing. Get it again."
        ) from exc
    names = [member.filename for member in members]
    if not any(name.endswith("/data.pkl") for name in names):
        raise UnsupportedCheckpointError(f"It is a ZIP archive of other things ({name_first(names)}). {SUPPORTED}")
    if any("/code/" in name for name in names):
        raise UnsupportedCheckpointError(f"It is a TorchScript archive: a program, not weights alone. {SUPPORTED}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_CHECKPOINT_BYTES:
        raise LimitExceededError(f"It unpacks to {unpacked:,} bytes; at most {MAX_CHECKPOINT_BYTES:,} are read.")
    return _from_pickle(data)


def _from_pickle(data: bytes) -> StateDict:
    """Read .pth of either form with torch's restricted unpickler, which builds tensors and containers only."""
    try:
        content: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(exc))
        if wanted is None:
            raise WeightsCorruptError(
                "Its list of tensors cannot be read: it is damaged, or holds more than tensors."
            ) from exc
        raise UnsupportedCheckpointError(
            f"It is a pickle with code in it: reading it would run {wanted[1]}, which is refused for your safety. "
            "Ask its author for the weights alone (a state dict), best as .safetensors."
        ) from exc
    except _DAMAGED as exc:
        raise WeightsCorruptError("It is cut off or damaged. Get it again.") from exc
    return _unwrapped(content)


# What torch's readers were seen to raise on damaged files, besides UnpicklingError.
_DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, MemoryError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


def _safetensors_header_bytes(data: bytes) -> int:
    """Return how long the header of a .safetensors file claims to be; ``_NOT_SAFETENSORS`` if it does not begin so."""
    return int.from_bytes(data[:8], "little") if data[8:9] == b"{" else _NOT_SAFETENSORS


def _from_safetensors(data: bytes) -> StateDict:
    try:
        return safetensors_torch.load(data)
    except (SafetensorError, *_DAMAGED) as exc:
        raise WeightsCorruptError(f"It is a .safetensors file, cut off or damaged ({exc}). Get it again.") from exc


def _is_ncnn_param(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(ncnn.MAGIC)) == ncnn.MAGIC
    except OSError:
        return False


def _read_other_half(path: Path) -> bytes:
    if not path.is_file():
        raise WeightsUnavailableError(f"It is one half of an ncnn model; the other, {path.name}, must lie beside it.")
    return _read(path)


def _from_ncnn(param: Path, binary: Path, text: bytes, numbers: bytes) -> _Checkpoint:
    arrays = ncnn.state_dict(ncnn.read_layers(text, numbers))
    weights = {key: torch.from_numpy(array) for key, array in arrays.items()}
    return _Checkpoint(weights, hashlib.sha256(numbers).hexdigest(), f"{param.name} and {binary.name}")


def _unwrapped(content: object) -> StateDict:
    """Return the state dict that a .pth holds, out of the dicts that training programs put around it."""
    if not isinstance(content, Mapping) or not content:
        kind = "nothing" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise UnsupportedCheckpointError(f"It holds {kind} where named weights were expected. {SUPPORTED}")
    weights = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), content)
    others = [str(key) for key, value in weights.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if others:
        raise UnsupportedCheckpointError(
            f"It holds other things than weights ({name_first(others)}), as a saved training state does. "
            f"The weights alone are needed. {SUPPORTED}"
        )
    return dict(weights)


def _checked(weights: StateDict) -> StateDict:
    """Return the weights without the prefix of data-parallel training.

    A tensor may claim a larger shape than the numbers it is stored with; unfolded it would fill the memory.
    """
    if not weights:
        raise UnsupportedCheckpointError(f"It holds no weights. {SUPPORTED}")
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if claimed > MAX_CHECKPOINT_BYTES:
        raise LimitExceededError(f"Its tensors claim {claimed:,} bytes; at most {MAX_CHECKPOINT_BYTES:,} are read.")
    return strip_prefix(weights)


# -- Networks that are not ours ----------------------------------------------------------------------------------------

_FOREIGN = (  # what it is, and parts of key names that together give it away
    ("a Stable Diffusion checkpoint", ("model.diffusion_model.",)),
    ("a diffusion transformer", ("double_blocks.", "single_blocks.")),
    ("a diffusion UNet", ("down_blocks.", "up_blocks.")),
    ("a LoRA (small changes to another model)", ("lora_",)),
    ("a language model", ("model.layers.0.self_attn.",)),
    ("a CLIP text or image encoder", ("text_model.encoder.",)),
    ("HAT", ("layers.0.residual_group.", "overlap_attn.")),
    ("SwinIR", ("layers.0.residual_group.",)),
    ("DAT", ("layers.0.blocks.0.attn.",)),
    ("Restormer", ("encoder_level1.0.attn.",)),
    ("NAFNet", ("encoders.0.0.conv1.", "middle_blks.")),
    ("SPAN", ("block_1.c1_r.",)),
    ("OmniSR", ("residual_layer.0.residual_layer.",)),
    ("RealCUGAN or waifu2x", ("unet1.conv",)),
    ("BasicVSR", ("backward_resblocks.",)),
    ("BasicVSR", ("backward_trunk.",)),
    ("EDVR", ("pcd_align.",)),
    ("RIFE (frame interpolation)", ("block0.conv0.", "block1.conv0.")),
    ("GFPGAN (face restoration)", ("stylegan_decoder",)),
    ("CodeFormer (face restoration)", ("quantize.embedding.",)),
    ("a discriminator of ESRGAN's training (the generator is needed)", ("conv0.weight", "conv9.weight")),
    ("a discriminator of TecoGAN's training (the generator is needed)", ("discriminator_block.",)),
    ("SRResNet", ("conv_first.", "body.0.conv1.", "upconv1.")),
    ("EDSR", ("conv_first.", "body.0.conv1.", "conv_after_body.")),
    ("EDSR or RCAN", ("head.0.", "tail.0.", "body.")),
    ("SRVGGNetCompact with an activation that has no weights", ("body.0.weight", "body.2.weight")),
    ("VGG or another classifier", ("features.0.", "classifier.")),
    ("ResNet or another classifier", ("layer1.0.conv1.", "fc.")),
)


def _foreign_name(keys: Iterable[str]) -> tuple[str, str] | None:
    """Return what network these keys give away, and one of the keys that does."""
    keys = list(keys)
    for name, parts in _FOREIGN:
        hits = [next((key for key in keys if part in key), None) for part in parts]
        if hits[0] is not None and None not in hits:
            return name, hits[0]
    return None


def _glance(path: Path) -> str:
    """Return a sentence on what a file too large to read looks like, if the start of it tells."""
    with path.open("rb") as file:
        start = file.read(_GLANCE_BYTES).decode("latin-1")
    foreign = _foreign_name([start])
    return f" It looks like {foreign[0]}." if foreign is not None else ""


def _what_network(weights: StateDict) -> str:
    foreign = _foreign_name(weights)
    if foreign is not None:
        return f"It looks like {foreign[0]} (it has {foreign[1]})."
    return f"Its first weights are {name_first(list(weights))}."
