"""RRDBNet and SRVGGNetCompact: what they compute, how far they see, and the checkpoints they are read from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irss_core.errors import UnsupportedCheckpointError
from irss_core.sr.catalog import MODELS
from irss_core.sr.networks import StillNetwork
from irss_core.sr.networks.rrdbnet import RRDBNet
from irss_core.sr.networks.srvgg import SRVGGNetCompact
from vendor.tecogan.generator import FRNet

Weights = dict[str, Tensor]


def small_rrdbnet(scale: int = 4, *, blocks: int = 2, features: int = 8, growth: int = 4) -> RRDBNet:
    torch.manual_seed(7)
    return RRDBNet(scale, blocks=blocks, features=features, growth=growth).eval().requires_grad_(False)


def small_srvgg(scale: int = 4, *, blocks: int = 2, features: int = 8) -> SRVGGNetCompact:
    torch.manual_seed(7)
    return SRVGGNetCompact(scale, blocks=blocks, features=features).eval().requires_grad_(False)


def picture(height: int, width: int, *, seed: int = 1) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


SMALL_NETWORKS = [
    pytest.param(lambda: small_rrdbnet(4), id="rrdbnet-x4"),
    pytest.param(lambda: small_rrdbnet(2), id="rrdbnet-x2"),
    pytest.param(lambda: small_rrdbnet(1), id="rrdbnet-x1"),
    pytest.param(lambda: small_srvgg(4), id="srvgg-x4"),
    pytest.param(lambda: small_srvgg(2), id="srvgg-x2"),
]


# -- What they compute -------------------------------------------------------------------------------------------------


def rrdbnet_by_the_paper(weights: Weights, x: Tensor, *, unshuffle: int, blocks: int) -> Tensor:
    """ESRGAN's generator written out from its description, on plain tensors."""

    def conv(name: str, inputs: Tensor) -> Tensor:
        return F.conv2d(inputs, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def lrelu(inputs: Tensor) -> Tensor:
        return torch.where(inputs > 0, inputs, 0.2 * inputs)

    def dense(name: str, inputs: Tensor) -> Tensor:
        seen = [inputs]
        for number in (1, 2, 3, 4):
            seen.append(lrelu(conv(f"{name}.conv{number}", torch.cat(seen, 1))))
        return conv(f"{name}.conv5", torch.cat(seen, 1)) * 0.2 + inputs

    def twice(inputs: Tensor) -> Tensor:
        return inputs.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    n, _, height, width = x.shape
    u = unshuffle
    x = x.reshape(n, 3, height // u, u, width // u, u).permute(0, 1, 3, 5, 2, 4)  # colour, dy, dx
    first = conv("conv_first", x.reshape(n, 3 * u * u, height // u, width // u))
    body = first
    for block in range(blocks):
        inner = body
        for number in (1, 2, 3):
            inner = dense(f"body.{block}.rdb{number}", inner)
        body = inner * 0.2 + body
    x = first + conv("conv_body", body)
    x = lrelu(conv("conv_up1", twice(x)))
    x = lrelu(conv("conv_up2", twice(x)))
    return conv("conv_last", lrelu(conv("conv_hr", x)))


@pytest.mark.parametrize(("scale", "unshuffle"), [(4, 1), (2, 2), (1, 4)])
def test_rrdbnet_computes_what_the_paper_says(scale: int, unshuffle: int) -> None:
    network, x = small_rrdbnet(scale), picture(12, 8)
    expected = rrdbnet_by_the_paper(network.state_dict(), x, unshuffle=unshuffle, blocks=2)
    torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=0)  # sums in another order


def test_srvgg_computes_what_the_paper_says() -> None:
    network, x = small_srvgg(3), picture(5, 7)
    weights = network.state_dict()
    y = x
    for layer in range(7):
        kernel, bias = weights[f"body.{layer}.weight"], weights.get(f"body.{layer}.bias")
        slopes = kernel.reshape(1, -1, 1, 1)
        y = F.conv2d(y, kernel, bias, padding=1) if kernel.ndim == 4 else torch.where(y > 0, y, slopes * y)
    y = y.reshape(1, 3, 3, 3, 5, 7).permute(0, 1, 4, 2, 5, 3).reshape(1, 3, 15, 21)
    expected = y + x.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", SMALL_NETWORKS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2)])
def test_output_is_scale_times_the_input(make: Callable[[], StillNetwork], rows: int, columns: int) -> None:
    network = make()
    height, width = rows * network.stride, columns * network.stride
    assert network(picture(height, width)).shape == (1, 3, height * network.scale, width * network.scale)


@pytest.mark.parametrize("make", SMALL_NETWORKS)
def test_forward_is_render_of_features_and_changes_neither(make: Callable[[], StillNetwork]) -> None:
    network, x = make(), picture(8, 12)
    before = x.clone()
    features = network.features(x)
    kept = features.clone()
    rendered = network.render(features)
    assert torch.equal(network(x), rendered)
    assert torch.equal(x, before)
    assert torch.equal(features, kept)
    assert features.shape[-2:] == (8 // network.stride, 12 // network.stride)
    assert rendered.shape[-1] == features.shape[-1] * network.render_scale


@pytest.mark.parametrize("make", SMALL_NETWORKS)
def test_networks_are_still_networks(make: Callable[[], StillNetwork]) -> None:
    assert isinstance(make(), StillNetwork)


@pytest.mark.parametrize("make", SMALL_NETWORKS)
def test_channels_last_stays_channels_last_and_gives_the_same_picture(make: Callable[[], nn.Module]) -> None:
    network, x = make(), picture(8, 12)
    expected = network(x)
    last = torch.channels_last
    given = network.to(memory_format=last)(x.to(memory_format=last))
    assert network.features(x.to(memory_format=last)).is_contiguous(memory_format=last)
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=0)  # other kernels sum in another order


def test_rrdbnet_can_be_trained_despite_activating_in_place() -> None:
    network = small_rrdbnet(blocks=1).train().requires_grad_(True)
    network(picture(4, 4)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


# -- How far they see --------------------------------------------------------------------------------------------------


def seen_distance(function: Callable[[Tensor], Tensor], channels: int, *, size: int, centre: slice, grain: int) -> int:
    """Return how many input pixels beyond those changed in ``centre`` the output changes; exact in float64."""
    x = torch.rand(1, channels, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    changed = x.clone()
    changed[..., centre, centre] += 1
    rows = (function(changed) - function(x)).abs().amax(dim=(0, 1, 3)).nonzero().flatten()
    nearest, farthest = int(rows.min()) // grain, int(rows.max()) // grain
    return max(centre.start - nearest, farthest - (centre.stop - 1))


@pytest.mark.parametrize("make", SMALL_NETWORKS)
def test_render_sees_exactly_its_reach(make: Callable[[], nn.Module]) -> None:
    network = make().double()
    channels = 8 if isinstance(network, RRDBNet) else 3
    distance = seen_distance(network.render, channels, size=17, centre=slice(8, 9), grain=network.render_scale)
    assert distance == network.render_reach


@pytest.mark.parametrize("scale", [4, 2])
def test_rrdbnet_features_see_exactly_their_reach(scale: int) -> None:
    network = small_rrdbnet(scale, blocks=1).double()
    stride = network.stride
    centre = slice(20 * stride, 21 * stride)
    distance = seen_distance(
        lambda x: network.features(x).repeat_interleave(stride, 2), 3, size=41 * stride, centre=centre, grain=1
    )
    assert distance == network.features_reach == 17 * stride


def test_reach_of_the_published_sizes() -> None:
    with torch.device("meta"):
        assert RRDBNet().features_reach == 347
        assert SRVGGNetCompact(blocks=32).render_reach == 34


# -- The catalog -------------------------------------------------------------------------------------------------------

PUBLISHED: dict[str, Callable[[], nn.Module]] = {
    "realesrgan-x4plus": lambda: RRDBNet(4, blocks=23),
    "realesrgan-x4plus-anime": lambda: RRDBNet(4, blocks=6),
    "realesrgan-x2plus": lambda: RRDBNet(2, blocks=23),
    "realesr-animevideov3": lambda: SRVGGNetCompact(4, blocks=16),
    "realesr-animevideov3-x3": lambda: SRVGGNetCompact(4, blocks=16),
    "realesr-animevideov3-x2": lambda: SRVGGNetCompact(4, blocks=16),
    "realesr-general-x4v3": lambda: SRVGGNetCompact(4, blocks=32),
    "tecogan-x4": lambda: FRNet(4, blocks=10, degradation="BD"),
    "frvsr-x4": lambda: FRNet(4, blocks=10, degradation="BD"),
}


def test_every_model_with_a_network_has_its_parameters_counted() -> None:
    assert set(PUBLISHED) == {spec.name for spec in MODELS.values() if spec.architecture != "resample"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_catalog_counts_the_parameters_of_the_network(name: str) -> None:
    with torch.device("meta"):
        network = PUBLISHED[name]()
    assert MODELS[name].parameters == sum(parameter.numel() for parameter in network.parameters())


# -- Checkpoint keys ---------------------------------------------------------------------------------------------------


def to_first_generation(weights: Weights, blocks: int) -> Weights:
    """RRDB_ESRGAN_x4.pth's keys: an nn.Sequential whose numbers also count upsampling and activation."""
    layers = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}", "conv_up1": "model.3"}
    layers |= {"conv_up2": "model.6", "conv_hr": "model.8", "conv_last": "model.10"}
    for block in range(blocks):
        for dense in range(1, 4):
            for conv in range(1, 6):
                layers[f"body.{block}.rdb{dense}.conv{conv}"] = f"model.1.sub.{block}.RDB{dense}.conv{conv}.0"
    return {f"{layers[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": weights[key] for key in weights}


def to_second_generation(weights: Weights, blocks: int) -> Weights:
    """The keys of ESRGAN's own, later code."""
    renamed = {}
    for key, tensor in weights.items():
        name = key.replace("body.", "RRDB_trunk.", 1) if key.startswith("body.") else key
        name = name.replace("conv_body", "trunk_conv").replace("conv_up", "upconv").replace("conv_hr", "HRconv")
        renamed[name.replace(".rdb", ".RDB")] = tensor
    assert len(renamed) == len(weights) == 2 * (15 * blocks + 6)
    return renamed


GENERATIONS = [
    pytest.param(lambda weights, blocks: dict(weights), id="real-esrgan"),
    pytest.param(to_second_generation, id="second-generation"),
    pytest.param(to_first_generation, id="first-generation"),
]


@pytest.mark.parametrize("rename", GENERATIONS)
@pytest.mark.parametrize(("scale", "blocks", "features", "growth"), [(4, 1, 8, 4), (2, 2, 6, 3), (1, 1, 4, 4)])
def test_every_key_generation_gives_the_same_network(
    rename: Callable[[Weights, int], Weights], scale: int, blocks: int, features: int, growth: int
) -> None:
    network = small_rrdbnet(scale, blocks=blocks, features=features, growth=growth)
    loaded = RRDBNet.from_state_dict(rename(network.state_dict(), blocks))
    assert (loaded.scale, loaded.blocks, loaded.stride) == (scale, blocks, network.stride)
    assert torch.equal(loaded(picture(8, 12)), network(picture(8, 12)))


def test_first_generation_body_of_more_than_ten_blocks_keeps_its_order() -> None:
    network = small_rrdbnet(blocks=12, features=4, growth=2)
    loaded = RRDBNet.from_state_dict(to_first_generation(network.state_dict(), 12))
    assert torch.equal(loaded(picture(4, 4)), network(picture(4, 4)))


@pytest.mark.parametrize(("scale", "blocks", "features"), [(4, 2, 8), (2, 0, 4), (1, 3, 5)])
def test_srvgg_is_read_off_its_tensors(scale: int, blocks: int, features: int) -> None:
    network = small_srvgg(scale, blocks=blocks, features=features)
    loaded = SRVGGNetCompact.from_state_dict(network.state_dict())
    assert (loaded.scale, loaded.blocks) == (scale, blocks)
    assert torch.equal(loaded(picture(5, 6)), network(picture(5, 6)))


def test_half_precision_weights_are_loaded_as_fp32() -> None:
    loaded = RRDBNet.from_state_dict({key: tensor.half() for key, tensor in small_rrdbnet().state_dict().items()})
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}


# -- Checkpoints that do not fit ---------------------------------------------------------------------------------------


def refusal(load: Callable[[Weights], object], weights: Weights) -> str:
    with pytest.raises(UnsupportedCheckpointError) as caught:
        load(weights)
    return str(caught.value)


def test_missing_keys_are_named() -> None:
    weights = small_rrdbnet().state_dict()
    del weights["conv_hr.bias"], weights["body.1.rdb2.conv3.weight"]
    message = refusal(RRDBNet.from_state_dict, weights)
    assert "missing: body.1.rdb2.conv3.weight, conv_hr.bias" in message


def test_only_the_first_of_many_extra_keys_are_named() -> None:
    weights = small_rrdbnet().state_dict() | {f"conv1x1.{n}.weight": torch.zeros(1) for n in range(9)}
    message = refusal(RRDBNet.from_state_dict, weights)
    assert "conv1x1.0.weight" in message
    assert "and 5 more" in message
    assert "conv1x1.8.weight" not in message


def test_wrong_shapes_are_named_with_both_shapes() -> None:
    weights = small_rrdbnet().state_dict() | {"conv_up1.weight": torch.zeros(8, 8, 1, 1)}
    assert "conv_up1.weight (8, 8, 1, 1) instead of (8, 8, 3, 3)" in refusal(RRDBNet.from_state_dict, weights)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (4, 4), (27, 3), (3, 1)])
def test_networks_that_are_not_rgb_are_refused_with_their_channels(inputs: int, outputs: int) -> None:
    weights = small_rrdbnet().state_dict()
    weights |= {"conv_first.weight": torch.zeros(8, inputs, 3, 3), "conv_last.weight": torch.zeros(outputs, 8, 3, 3)}
    message = refusal(RRDBNet.from_state_dict, weights)
    assert f"{inputs} input and {outputs} output channels" in message


def test_a_gap_in_the_numbering_of_blocks_is_refused() -> None:
    weights = {key.replace("body.1.", "body.7."): tensor for key, tensor in small_rrdbnet().state_dict().items()}
    assert "body.1.rdb1.conv1.weight" in refusal(RRDBNet.from_state_dict, weights)


@pytest.mark.parametrize(("last", "times"), [(4, 1), (7, 2), (13, 8)])
def test_first_generation_of_another_scale_is_refused_with_its_scale(last: int, times: int) -> None:
    weights = to_first_generation(small_rrdbnet().state_dict(), 2)
    weights = {key: tensor for key, tensor in weights.items() if not key.startswith(("model.8.", "model.10."))}
    weights |= {f"model.{last}.weight": torch.zeros(3, 8, 3, 3)}
    if last == 4:
        weights = {key: tensor for key, tensor in weights.items() if not key.startswith("model.6.")}
    assert f"enlarges {times} times" in refusal(RRDBNet.from_state_dict, weights)


@pytest.mark.parametrize("shape", [(), (8,), (0, 3, 3, 3), (8, 3, 3)])
def test_an_rrdbnet_with_a_senseless_first_layer_is_refused(shape: tuple[int, ...]) -> None:
    weights = small_rrdbnet().state_dict() | {"conv_first.weight": torch.zeros(shape)}
    assert "conv_first.weight" in refusal(RRDBNet.from_state_dict, weights)


@pytest.mark.parametrize(
    "change",
    [
        {"body.0.weight": torch.zeros(8, 1, 3, 3)},
        {"body.6.weight": torch.zeros(7, 8, 3, 3)},
        {"body.6.weight": torch.zeros(0, 8, 3, 3)},
        {"body.6.weight": torch.tensor(1.0)},
        {"body.3.weight": torch.zeros(9)},
        {"body.9.weight": torch.zeros(8)},
    ],
)
def test_srvgg_variants_are_refused(change: Weights) -> None:
    assert "SRVGGNetCompact" in refusal(SRVGGNetCompact.from_state_dict, small_srvgg().state_dict() | change)


def test_the_claimed_size_of_a_network_is_not_allocated() -> None:
    # A stride of 0 lets one number claim to be a layer of 2**40: nothing may unfold it before the shapes are compared.
    weights = small_rrdbnet().state_dict() | {"conv_first.weight": torch.zeros(1).expand(2**20, 3, 3, 3)}
    assert "of another shape" in refusal(RRDBNet.from_state_dict, weights)
