"""Checkpoints to networks: told by content, never executed, and refused in words that say what the file is."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn
from torch.nn import functional as F

from irss_core.errors import (
    CancelledError,
    InvalidOptionError,
    IrssError,
    LimitExceededError,
    UnknownModelError,
    UnsupportedCheckpointError,
    WeightsCorruptError,
    WeightsUnavailableError,
)
from irss_core.progress import CancelToken
from irss_core.sr.catalog import MODELS, ModelSpec, WeightFile, find_model
from irss_core.sr.loader import MAX_CHECKPOINT_BYTES, LoadedModel, load_checkpoint, load_model
from irss_core.sr.networks.rrdbnet import RRDBNet
from irss_core.sr.networks.srvgg import SRVGGNetCompact
from vendor.tecogan.generator import FRNet

Weights = dict[str, Tensor]


@cache
def rrdbnet(seed: int = 1, scale: int = 4) -> RRDBNet:
    torch.manual_seed(seed)
    return RRDBNet(scale, blocks=1, features=8, growth=4).eval().requires_grad_(False)


@cache
def srvgg(seed: int = 1) -> SRVGGNetCompact:
    torch.manual_seed(seed)
    return SRVGGNetCompact(2, blocks=1, features=8).eval().requires_grad_(False)


@cache
def frnet(degradation: str = "BD", scale: int = 4) -> FRNet:
    torch.manual_seed(1)
    network = FRNet(scale, blocks=1, degradation="BD" if degradation == "BD" else "BI")
    return network.eval().requires_grad_(False)


def pth_bytes(content: object, *, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def put(folder: Path, data: bytes, name: str = "given.pth") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def picture(height: int = 6, width: int = 5) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(2))


def output(model: LoadedModel, x: Tensor) -> Tensor:
    assert model.network is not None
    with torch.inference_mode():
        result = model.network(x)
    return result[0] if isinstance(result, tuple) else result


# -- Any form of our own networks --------------------------------------------------------------------------------------

CONTAINERS: dict[str, Callable[[Weights], bytes]] = {
    "bare": pth_bytes,
    "old-pth": lambda weights: pth_bytes({"params": weights}, old=True),
    "params": lambda weights: pth_bytes({"params": weights}),
    "params-ema": lambda weights: pth_bytes({"params": {"other": torch.zeros(1)}, "params_ema": weights}),
    "ema-first": lambda weights: pth_bytes({"params_ema": weights, "params": {k: v * 2 for k, v in weights.items()}}),
    "state-dict": lambda weights: pth_bytes({"epoch": 3, "state_dict": weights}),
    "data-parallel": lambda weights: pth_bytes({f"module.{key}": tensor for key, tensor in weights.items()}),
    "safetensors": safetensors_bytes,
    "parameters": lambda weights: pth_bytes({key: nn.Parameter(tensor) for key, tensor in weights.items()}),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("make", [rrdbnet, srvgg, frnet])
def test_every_container_of_every_network_loads_bit_for_bit(
    tmp_path: Path, make: Callable[[], nn.Module], container: str
) -> None:
    network, data = make(), b""
    data = CONTAINERS[container](network.state_dict())
    model = load_checkpoint(put(tmp_path, data, "file-of-no.kind"))
    with torch.inference_mode():
        expected = network(picture())
    assert torch.equal(output(model, picture()), expected[0] if isinstance(expected, tuple) else expected)
    assert model.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_fp32(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {key: tensor.to(dtype) for key, tensor in rrdbnet().state_dict().items()}
    model = load_checkpoint(put(tmp_path, pth_bytes({"params": weights})))
    assert model.network is not None
    for key, tensor in model.network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, weights[key].float())


def test_a_loaded_network_is_ready_to_run(tmp_path: Path) -> None:
    model = load_checkpoint(put(tmp_path, safetensors_bytes(rrdbnet().state_dict())))
    assert model.network is not None
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert {parameter.device.type for parameter in model.network.parameters()} == {"cpu"}


def test_what_is_known_of_a_users_checkpoint_is_read_off_it(tmp_path: Path) -> None:
    network = rrdbnet(scale=2)
    model = load_checkpoint(put(tmp_path, pth_bytes(network.state_dict()), "my model.pth"))
    assert dataclasses.asdict(dataclasses.replace(model, network=None, sha256="")) == {
        "name": "my model",
        "title": "my model",
        "architecture": "rrdbnet",
        "network": None,
        "scale": 2,
        "default_outscale": 2,
        "kind": "still",
        "grid": "half-pixel",
        "blocks": 1,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sha256": "",
        "source": "my model.pth",
        "spec": None,
    }
    assert load_checkpoint(tmp_path / "my model.pth", name="own:1234").name == "own:1234"


@pytest.mark.parametrize(("degradation", "grid"), [("BD", "corner"), ("BI", "half-pixel")])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_tecogan_checkpoint_is_a_sequence_model_on_the_grid_of_its_kind(
    tmp_path: Path, degradation: str, grid: str, scale: int
) -> None:
    network = frnet(degradation, scale)
    model = load_checkpoint(put(tmp_path, pth_bytes(network.state_dict())))
    assert (model.architecture, model.kind, model.grid, model.scale) == ("frnet", "sequence", grid, scale)
    own = FRNet.from_state_dict(network.state_dict()).eval()
    with torch.inference_mode():
        assert torch.equal(output(model, picture()), own(picture())[0])


# -- ncnn pairs --------------------------------------------------------------------------------------------------------


def write_ncnn(folder: Path, network: SRVGGNetCompact, stem: str = "tiny") -> tuple[Path, Path]:
    rows, numbers = [], b""
    for index, module in enumerate(network.body):
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            setting = f"0={module.out_channels} 1=3 4=1 5=1 6={module.weight.numel()}"
            rows.append(f"Convolution conv{index} 1 1 b{index} b{index + 1} {setting}")
            tensors = [module.weight, module.bias]
            numbers += struct.pack("<I", 0)
        else:
            assert isinstance(module, nn.PReLU)
            rows.append(f"PReLU prelu{index} 1 1 b{index} b{index + 1} 0={module.num_parameters}")
            tensors = [module.weight]
        numbers += b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in tensors)
    text = "\n".join(["7767517", f"{len(rows)} {len(rows)}", *rows, ""])
    return put(folder, text.encode(), f"{stem}.param"), put(folder, numbers, f"{stem}.bin")


@pytest.mark.parametrize("given", [0, 1])
def test_either_half_of_an_ncnn_pair_loads_it(tmp_path: Path, given: int) -> None:
    network = srvgg()
    pair = write_ncnn(tmp_path, network)
    model = load_checkpoint(pair[given])
    assert torch.equal(output(model, picture()), network(picture()))
    assert model.sha256 == hashlib.sha256(pair[1].read_bytes()).hexdigest()
    assert model.source == "tiny.param and tiny.bin"


@pytest.mark.parametrize(("lost", "named"), [(0, r"tiny\.param"), (1, r"tiny\.bin")])
def test_the_missing_half_of_an_ncnn_pair_is_named(tmp_path: Path, lost: int, named: str) -> None:
    pair = write_ncnn(tmp_path, srvgg())
    pair[lost].unlink()
    with pytest.raises((WeightsUnavailableError, UnsupportedCheckpointError), match=f"{named}.*beside it"):
        load_checkpoint(pair[1 - lost])


def test_a_checkpoint_beside_an_ncnn_model_of_its_name_is_not_mistaken_for_it(tmp_path: Path) -> None:
    write_ncnn(tmp_path, srvgg())
    model = load_checkpoint(put(tmp_path, safetensors_bytes(rrdbnet().state_dict()), "tiny.safetensors"))
    assert model.architecture == "rrdbnet"


# -- Nothing is executed -----------------------------------------------------------------------------------------------


class Trap:
    """A pickle of this makes the folder ``path`` when somebody loads it with Python's own unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def hostile_files(target: Path) -> dict[str, bytes]:
    trap = Trap(target)
    zipped = pth_bytes({"params": rrdbnet().state_dict(), "more": trap})
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(trap))
        archive.writestr("x/code/__torch__.py", "import os")
    return {
        "zip": zipped,
        "old": pth_bytes({"params": rrdbnet().state_dict(), "more": trap}, old=True),
        "bare": pickle.dumps({"params": trap}),
        "protocol-0": pickle.dumps({"params": trap}, protocol=0),
        "protocol-5": pickle.dumps(trap, protocol=5),
        "torchscript": script.getvalue(),
    }


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "old", "bare", "protocol-0", "protocol-5", "torchscript"])
@pytest.mark.parametrize("name", ["evil.pth", "evil.safetensors", "evil.bin"])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path: Path, form: str, name: str) -> None:
    target = tmp_path / "made by the checkpoint"
    with pytest.raises((UnsupportedCheckpointError, WeightsCorruptError)) as caught:
        load_checkpoint(put(tmp_path, hostile_files(target)[form], name))
    assert not target.exists()
    if form in ("zip", "old"):
        assert "mkdir" in str(caught.value)
        assert "refused for your safety" in str(caught.value)


def test_the_trap_would_work_without_the_guard(tmp_path: Path) -> None:
    target = tmp_path / "made by the checkpoint"
    pickle.loads(hostile_files(target)["bare"])
    assert target.exists()


# -- Files that are no checkpoint --------------------------------------------------------------------------------------


def zip_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "content")
    return buffer.getvalue()


GOOD_PTH = pth_bytes(rrdbnet().state_dict())
GOOD_SAFETENSORS = safetensors_bytes(rrdbnet().state_dict())
NOT_FINITE = rrdbnet().state_dict() | {"conv_hr.bias": torch.full((8,), torch.nan)}
BOMB = rrdbnet().state_dict() | {"conv_hr.bias": torch.zeros(1).expand(2**40)}
MIXED = rrdbnet().state_dict()

CORRUPT = {
    "empty": (b"", "an empty file"),
    "web-page": (b"<!DOCTYPE html><html><title>Not found", "an HTML page: the download gave a web page"),
    "lfs-pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    "pth-truncated": (GOOD_PTH[:-200], "cut off or damaged"),
    "pth-half": (GOOD_PTH[: len(GOOD_PTH) // 2], "cut off or damaged"),
    "old-pth-truncated": (pth_bytes(rrdbnet().state_dict(), old=True)[:-50], "cut off or damaged"),
    "pickle-of-noise": (b"\x80\x02" + bytes(range(255, 150, -1)), "damaged"),
    "safetensors-truncated": (GOOD_SAFETENSORS[:-10], "cut off or damaged"),
    "safetensors-header-cut": (GOOD_SAFETENSORS[:100], "cut off or damaged"),
    "safetensors-absurd-header": (
        struct.pack("<Q", 2**63) + b"{" + b"\xff" * 50,
        "header of 9,223,372,036,854,775,808",
    ),
    "safetensors-senseless-header": (struct.pack("<Q", 40) + b"{" + b" " * 60, "cut off or damaged"),
    "not-finite": (pth_bytes(NOT_FINITE), "not finite numbers, in conv_hr.bias"),
}
UNSUPPORTED = {
    "text": (b"These are the weights.\n" * 5, "a text file"),
    "json": (b'{"weights": {"a": {"b": [1, 2, 3]}}}', "a text file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a PNG picture"),
    "noise": (bytes(range(200, 150, -1)) * 3, "of no kind that is known here"),
    "zip": (zip_of("word/document.xml"), "a ZIP archive of other things (word/document.xml)"),
    "training-state": (pth_bytes({"epoch": 5, "iter": 100, "optimizers": []}), "epoch, iter, optimizers"),
    "empty-dict": (pth_bytes({}), "nothing"),
    "a-tensor": (pth_bytes(torch.zeros(4)), "a Tensor"),
    "a-list": (pth_bytes([1, 2]), "a list"),
    "no-tensors": (safetensors_bytes({}), "no weights"),
    "int8": (pth_bytes({k: v.to(torch.int8) for k, v in MIXED.items()}), "may be quantised"),
    "meta": (pth_bytes({k: v.to("meta") for k, v in MIXED.items()}), "plain floating-point"),
    "sparse": (pth_bytes(MIXED | {"conv_hr.bias": torch.ones(8).to_sparse()}), "conv_hr.bias"),
    "incomplete": (pth_bytes({k: v for k, v in MIXED.items() if "conv_first" not in k}), "lacks conv_first.weight"),
}


@pytest.mark.parametrize("kind", CORRUPT)
def test_a_damaged_file_is_corrupt_and_described(tmp_path: Path, kind: str) -> None:
    data, words = CORRUPT[kind]
    with pytest.raises(WeightsCorruptError) as caught:
        load_checkpoint(put(tmp_path, data, "given.xyz"))
    assert words in str(caught.value)
    assert "given.xyz" in str(caught.value)


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_another_kind_of_file_is_unsupported_and_described(tmp_path: Path, kind: str) -> None:
    data, words = UNSUPPORTED[kind]
    with pytest.raises(UnsupportedCheckpointError) as caught:
        load_checkpoint(put(tmp_path, data, "given.xyz"))
    assert words in str(caught.value)
    assert "given.xyz" in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pth", tmp_path):
        with pytest.raises(WeightsUnavailableError, match=path.name):
            load_checkpoint(path)


FOREIGN = {
    "SwinIR": ["layers.0.residual_group.blocks.0.attn.relative_position_index", "conv_first.weight"],
    "HAT": ["layers.0.residual_group.overlap_attn.qkv.weight", "layers.0.residual_group.blocks.0.norm1.weight"],
    "a Stable Diffusion checkpoint": ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.x"],
    "a LoRA": ["lora_unet_down_blocks_0.lora_up.weight"],
    "a language model": ["model.layers.0.self_attn.q_proj.weight"],
    "GFPGAN": ["stylegan_decoder.style_conv1.weight"],
    "SRVGGNetCompact with an activation": ["body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"],
    "a discriminator of ESRGAN": ["conv0.weight", "conv9.weight"],
    "EDSR or RCAN": ["head.0.weight", "body.0.body.0.weight", "tail.0.0.weight"],
}


@pytest.mark.parametrize("title", FOREIGN)
@pytest.mark.parametrize("encode", [pth_bytes, safetensors_bytes])
def test_another_network_is_called_by_its_name(tmp_path: Path, title: str, encode: Callable[[Weights], bytes]) -> None:
    weights = {key: torch.zeros(4, 3, 3, 3, dtype=torch.int64) for key in FOREIGN[title]}
    with pytest.raises(UnsupportedCheckpointError) as caught:
        load_checkpoint(put(tmp_path, encode(weights)))
    assert f"It looks like {title}" in str(caught.value)
    assert "Supported are RRDBNet" in str(caught.value)


def test_a_network_nobody_knows_is_described_by_its_first_weights(tmp_path: Path) -> None:
    weights = {f"strange.{n}.weight": torch.zeros(1) for n in range(9)}
    with pytest.raises(UnsupportedCheckpointError, match=r"strange\.0\.weight.*and 5 more.*Supported are RRDBNet"):
        load_checkpoint(put(tmp_path, pth_bytes(weights)))


def test_a_tecogan_checkpoint_that_does_not_fit_names_its_keys(tmp_path: Path) -> None:
    weights = frnet().state_dict()
    del weights["fnet.flow.2.bias"]
    with pytest.raises(UnsupportedCheckpointError, match=r"FRNet.*missing: fnet\.flow\.2\.bias"):
        load_checkpoint(put(tmp_path, pth_bytes(weights)))
    with pytest.raises(UnsupportedCheckpointError, match="FRNet"):
        load_checkpoint(put(tmp_path, pth_bytes({"srnet.a": torch.zeros(1), "fnet.b": torch.zeros(1)})))


# -- Claims that would fill the memory ---------------------------------------------------------------------------------


def test_a_file_over_the_limit_is_refused_unread_and_described(tmp_path: Path) -> None:
    header = b'{"model.diffusion_model.input_blocks.0.0.weight":{"dtype":"F16"}}'
    path = put(tmp_path, struct.pack("<Q", len(header)) + header, "large.safetensors")
    os.truncate(path, MAX_CHECKPOINT_BYTES + 1)  # a hole: takes no room on the disk
    with pytest.raises(LimitExceededError) as caught:
        load_checkpoint(path)
    for part in (f"{MAX_CHECKPOINT_BYTES + 1:,}", f"{MAX_CHECKPOINT_BYTES:,}", "a Stable Diffusion checkpoint"):
        assert part in str(caught.value)


def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitExceededError, match="claim"):
        load_checkpoint(put(tmp_path, pth_bytes(BOMB)))


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"")
    # The table of contents is what is believed before anything is unpacked: claim there what unpacking would give.
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    with pytest.raises(LimitExceededError, match="unpacks to 2,147,483,648"):
        load_checkpoint(put(tmp_path, bytes(data), "bomb.pth"))


def test_blocks_that_are_only_named_are_not_built(tmp_path: Path) -> None:
    # 20,000 blocks of 295 kB each would be 6 GB, named by a file of less than 4 MB.
    weights = {"fnet.a": torch.zeros(1), "srnet.conv_in.0.weight": torch.zeros(64, 51, 3, 3)}
    weights |= {f"srnet.resblocks.{n}.conv.0.bias": torch.zeros(1) for n in range(500)}
    with pytest.raises(UnsupportedCheckpointError, match="missing"):
        load_checkpoint(put(tmp_path, safetensors_bytes(weights)))


@pytest.mark.filterwarnings("ignore")  # torch wonders aloud about damaged pickles
@pytest.mark.parametrize("form", ["pth", "old-pth", "safetensors"])
def test_random_damage_gives_domain_errors_only(tmp_path: Path, form: str) -> None:
    weights = rrdbnet().state_dict()
    data = safetensors_bytes(weights) if form == "safetensors" else pth_bytes(weights, old=form == "old-pth")
    numbers = random.Random(form)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(numbers.choice((1, 2, 8))):
            damaged[numbers.randrange(6000)] = numbers.randrange(256)
        cut = numbers.choice((None, None, numbers.randrange(len(data))))
        try:
            load_checkpoint(put(tmp_path, bytes(damaged[:cut])))
        except IrssError:
            refused += 1
    assert refused > 30


# -- Models of the catalog ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3", "tecogan-x4"])
def test_published_weights_make_a_larger_picture_of_the_same_scene(name: str, weights_cache: Path) -> None:
    model = load_model(name, cache_dir=weights_cache, offline=True)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 20), indexing="ij")
    scene = torch.stack((rows, columns, (rows - 0.5).abs() + 0.2)).unsqueeze(0)
    large = output(model, scene)
    assert large.shape == (1, 3, 96, 80)
    # A wrong order of layers, channels or pixels gives another picture. How near it comes is no matter here: the
    # networks take a smooth ramp for noise to be flattened, and were seen to miss it by 0.02 to 0.06 on average.
    small = F.avg_pool2d(large, 4)
    error = (small - scene)[..., 3:-3, 3:-3].abs()
    assert error.mean() < 0.08, error.quantile(torch.tensor([0.5, 0.9, 1.0]))
    for colour in range(3):
        both = torch.stack((small[0, colour], scene[0, colour])).flatten(1)
        assert torch.corrcoef(both)[0, 1] > 0.95


@pytest.mark.parametrize("name", [name for name in MODELS if "general" not in name and "x2plus" not in name])
def test_every_model_that_is_here_loads_as_the_catalog_says(name: str, weights_cache: Path) -> None:
    spec = find_model(name)
    model = load_model(name, cache_dir=weights_cache, offline=True)
    assert (model.name, model.title, model.spec) == (name, spec.title, spec)
    assert (model.architecture, model.kind, model.grid) == (spec.architecture, spec.kind, spec.grid)
    assert (model.parameters, model.default_outscale, model.scale) == (spec.parameters, spec.scale, 4)
    assert (model.network is None) == (spec.architecture == "resample")


def test_the_name_of_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="nosuch"):
        load_model("nosuch", cache_dir=tmp_path)


def test_a_path_of_the_users_own_stands_in_for_the_published_weights(tmp_path: Path) -> None:
    spec = find_model("realesrgan-x4plus")
    path = put(tmp_path, pth_bytes(rrdbnet().state_dict()))
    model = load_model(spec, cache_dir=tmp_path, weights_path=path)
    assert torch.equal(output(model, picture()), rrdbnet()(picture()))
    assert (model.name, model.source) == (spec.name, str(path))


def test_weights_of_another_network_do_not_stand_in(tmp_path: Path) -> None:
    path = put(tmp_path, pth_bytes(srvgg().state_dict()))
    with pytest.raises(UnsupportedCheckpointError, match=r"given\.pth holds weights of SRVGGNetCompact"):
        load_model("realesrgan-x4plus", cache_dir=tmp_path, weights_path=path)


def test_cancel_is_heard_before_the_network_is_built(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        load_model("realesr-animevideov3", cache_dir=tmp_path, cancel=cancel)


# -- Denoise strength --------------------------------------------------------------------------------------------------


@pytest.fixture
def blended(tmp_path: Path) -> ModelSpec:
    """A two-file model whose files lie in the cache, where somebody put them by hand."""
    files = []
    for seed, name in ((1, "first.pth"), (2, "second.pth")):
        path = put(tmp_path, pth_bytes({"params": srvgg(seed).state_dict()}), name)
        files.append(WeightFile(filename=name, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    return dataclasses.replace(find_model("realesr-general-x4v3"), files=tuple(files))


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.5, 1.0])
def test_denoise_blends_the_two_files_parameter_by_parameter(
    tmp_path: Path, blended: ModelSpec, strength: float
) -> None:
    model = load_model(blended, cache_dir=tmp_path, denoise=strength, offline=True)
    assert model.network is not None
    first, second = srvgg(1).state_dict(), srvgg(2).state_dict()
    for key, tensor in model.network.state_dict().items():
        torch.testing.assert_close(tensor, strength * first[key] + (1 - strength) * second[key], atol=1e-7, rtol=0)


def test_without_denoise_the_first_file_is_enough(tmp_path: Path, blended: ModelSpec) -> None:
    (tmp_path / "second.pth").unlink()
    plain = load_model(blended, cache_dir=tmp_path, offline=True)
    full = load_model(blended, cache_dir=tmp_path, denoise=1.0, offline=True)
    assert torch.equal(output(plain, picture()), srvgg(1)(picture()))
    assert torch.equal(output(full, picture()), srvgg(1)(picture()))
    assert plain.sha256 == full.sha256 == blended.files[0].sha256
    with pytest.raises(WeightsUnavailableError, match=r"second\.pth"):
        load_model(blended, cache_dir=tmp_path, denoise=0.5, offline=True)


def test_a_blend_says_so_and_names_both_files(tmp_path: Path, blended: ModelSpec) -> None:
    model = load_model(blended, cache_dir=tmp_path, denoise=0.5, offline=True)
    assert model.title.endswith("denoise 0.5")
    assert model.sha256 == "+".join(file.sha256 for file in blended.files)
    assert "first.pth" in model.source
    assert "second.pth" in model.source


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_denoise_strength_out_of_range_is_refused_with_its_limits(
    tmp_path: Path, blended: ModelSpec, strength: float
) -> None:
    with pytest.raises(InvalidOptionError, match=f"{strength:g}.*from 0.*to 1"):
        load_model(blended, cache_dir=tmp_path, denoise=strength)


@pytest.mark.parametrize("name", ["realesrgan-x4plus", "bicubic", "tecogan-x4"])
def test_denoise_for_a_model_without_it_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"{name}.*has no denoise strength"):
        load_model(name, cache_dir=tmp_path, denoise=0.5)


def test_denoise_and_weights_of_ones_own_exclude_each_other(tmp_path: Path, blended: ModelSpec) -> None:
    with pytest.raises(InvalidOptionError, match="Leave out one of the two"):
        load_model(blended, cache_dir=tmp_path, weights_path=tmp_path / "first.pth", denoise=0.5)


def test_files_of_different_networks_are_not_blended(tmp_path: Path, blended: ModelSpec) -> None:
    path = put(tmp_path, pth_bytes(rrdbnet().state_dict()), "second.pth")
    other = dataclasses.replace(blended.files[1], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    spec = dataclasses.replace(blended, files=(blended.files[0], other))
    with pytest.raises(UnsupportedCheckpointError, match="cannot be blended"):
        load_model(spec, cache_dir=tmp_path, denoise=0.5)
