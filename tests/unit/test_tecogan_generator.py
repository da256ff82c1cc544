"""FRNet against its facts: keys, shapes, orders, grids, and the whole step against a plain second writing of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import vendor.tecogan
from vendor.tecogan import (
    Degradation,
    FRNet,
    SequenceState,
    hyperparameters_from_state_dict,
    space_to_depth,
    strip_prefix,
)
from vendor.tecogan.generator import ColourConv, CubicUpsampler

WEIGHTS = Path(vendor.tecogan.__file__).parent / "weights" / "tecogan-x4-v2.safetensors"
CARD = WEIGHTS.with_suffix(".md")
VARIANTS: list[tuple[int, int, Degradation]] = [
    (4, 10, "BD"),
    (4, 16, "BD"),
    (4, 10, "BI"),
    (2, 10, "BD"),
    (2, 16, "BI"),
]


@pytest.fixture(scope="module")
def shipped() -> FRNet:
    return FRNet.from_state_dict(load_file(WEIGHTS)).eval().requires_grad_(False)


def random_network(scale: int = 4, blocks: int = 2, degradation: Degradation = "BD", *, seed: int = 0) -> FRNet:
    torch.manual_seed(seed)
    return FRNet(scale, blocks, degradation).eval().requires_grad_(False)


def random_frames(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def assert_close(actual: Tensor, expected: Tensor, *, atol: float) -> None:
    assert actual.shape == expected.shape
    error = (actual.double() - expected.double()).abs()
    largest, beyond = float(error.max()), int((error > atol).sum())
    assert largest <= atol, f"max {largest:.3g}, mean {error.mean():.3g}, beyond {atol}: {beyond} of {error.numel()}"


# -- checkpoints -------------------------------------------------------------------------------------------------


def layout_of_the_paper(scale: int, blocks: int, degradation: Degradation) -> dict[str, tuple[int, ...]]:
    """Every key and shape, written out from the published layout and not from the module."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{name}.bias"] = (outputs,)

    for name, inputs, outputs in (
        ("fnet.encoder1", 6, 32),
        ("fnet.encoder2", 32, 64),
        ("fnet.encoder3", 64, 128),
        ("fnet.decoder1", 128, 256),
        ("fnet.decoder2", 256, 128),
        ("fnet.decoder3", 128, 64),
    ):
        conv(f"{name}.0", inputs, outputs)
        conv(f"{name}.2", outputs, outputs)
    conv("fnet.flow.0", 64, 32)
    conv("fnet.flow.2", 32, 2)
    conv("srnet.conv_in.0", {4: 51, 2: 15}[scale], 64)
    for block in range(blocks):
        conv(f"srnet.resblocks.{block}.conv.0", 64, 64)
        conv(f"srnet.resblocks.{block}.conv.2", 64, 64)
    conv("srnet.conv_up.0", 64, 64)
    if scale == 4:
        conv("srnet.conv_up.2", 64, 64)
    conv("srnet.conv_out", 64, 3)
    if degradation == "BD":
        shapes["upsample_func.kernels"] = (scale, 4)
        shapes["srnet.upsample_func.kernels"] = (scale, 4)
    return shapes


@pytest.mark.parametrize(("scale", "blocks", "degradation"), VARIANTS)
def test_state_dict_has_the_published_keys_and_shapes(scale: int, blocks: int, degradation: Degradation) -> None:
    state_dict = FRNet(scale, blocks, degradation).state_dict()

    assert {key: tuple(t.shape) for key, t in state_dict.items()} == layout_of_the_paper(scale, blocks, degradation)


@pytest.mark.parametrize(("scale", "blocks", "degradation"), VARIANTS)
def test_network_is_read_off_its_tensors(scale: int, blocks: int, degradation: Degradation) -> None:
    state_dict = FRNet(scale, blocks, degradation).state_dict()

    network = FRNet.from_state_dict(state_dict)

    assert hyperparameters_from_state_dict(state_dict) == {"scale": scale, "blocks": blocks, "degradation": degradation}
    assert (network.scale, network.blocks, network.degradation) == (scale, blocks, degradation)
    assert all(torch.equal(t, state_dict[key]) for key, t in network.state_dict().items())


def test_module_prefix_of_parallel_training_is_ignored() -> None:
    network = random_network(blocks=1)
    prefixed = {f"module.{key}": tensor for key, tensor in network.state_dict().items()}

    loaded = FRNet.from_state_dict(prefixed)

    assert strip_prefix(prefixed).keys() == network.state_dict().keys()
    assert hyperparameters_from_state_dict(prefixed)["blocks"] == 1
    assert torch.equal(loaded.srnet.conv_out.weight, network.srnet.conv_out.weight)


def test_a_key_that_merely_lacks_the_prefix_keeps_all_the_others() -> None:
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}

    assert strip_prefix(mixed).keys() == mixed.keys()


def without(key: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {k: t for k, t in tensors.items() if k != key}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda tensors: {}, "Not an FRNet"),
        (lambda tensors: {"conv_first.weight": torch.zeros(64, 3, 3, 3)}, "Not an FRNet"),
        (without("srnet.conv_in.0.weight"), "Not an FRNet"),
        (lambda tensors: tensors | {"srnet.conv_in.0.weight": torch.zeros(64, 30, 3, 3)}, r"51 \(x4\).*30"),
        (lambda tensors: tensors | {"srnet.conv_in.0.weight": torch.zeros(0)}, r"\(0,\)"),
        (without("fnet.flow.2.bias"), "fnet.flow.2.bias"),
        (without("srnet.upsample_func.kernels"), "srnet.upsample_func.kernels"),
        (without("srnet.resblocks.0.conv.0.weight"), "resblocks.0"),
        (lambda tensors: tensors | {"surplus": torch.zeros(1)}, "surplus"),
        (lambda tensors: tensors | {"srnet.conv_out.weight": torch.zeros(3, 32, 3, 3)}, "srnet.conv_out.weight"),
    ],
)
def test_unfit_checkpoint_is_refused_by_name(
    spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]], says: str
) -> None:
    tensors = dict(FRNet(4, 1, "BD").state_dict())

    with pytest.raises(ValueError, match=says):
        FRNet.from_state_dict(spoil(tensors))


def test_unknown_hyperparameters_are_refused() -> None:
    with pytest.raises(ValueError, match="not 3"):
        FRNet(scale=3)
    with pytest.raises(ValueError, match="not 0"):
        FRNet(blocks=0)
    with pytest.raises(ValueError, match="'XY'"):
        FRNet(degradation="XY")  # type: ignore[arg-type]


def test_state_dict_goes_through_safetensors(tmp_path: Path) -> None:
    """Shared storage would be refused there, so the two upsamplers must not be one."""
    network = random_network(blocks=1)

    save_file(network.state_dict(), tmp_path / "net.safetensors")
    loaded = FRNet.from_state_dict(load_file(tmp_path / "net.safetensors"))

    assert all(torch.equal(t, loaded.state_dict()[key]) for key, t in network.state_dict().items())


def test_shipped_weights_fit_strictly_and_their_card_names_them() -> None:
    state_dict = load_file(WEIGHTS)

    network = FRNet.from_state_dict(state_dict)

    assert {key: tuple(t.shape) for key, t in state_dict.items()} == layout_of_the_paper(4, 10, "BD")
    for key in ("upsample_func.kernels", "srnet.upsample_func.kernels"):
        assert_close(CubicUpsampler(4).kernels, state_dict[key], atol=5e-7)  # theirs carry some float32 rounding
    assert sum(p.numel() for p in network.parameters()) == 2_589_093
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in CARD.read_text(encoding="utf-8")


# -- the parts ---------------------------------------------------------------------------------------------------


def test_space_to_depth_orders_channels_by_row_column_colour() -> None:
    image = torch.tensor([[[[1, 2], [3, 4]], [[10, 20], [30, 40]], [[100, 200], [300, 400]]]]).float()

    channels = space_to_depth(image, 2).flatten().tolist()

    assert channels == [1, 10, 100, 2, 20, 200, 3, 30, 300, 4, 40, 400]
    assert channels != F.pixel_unshuffle(image, 2).flatten().tolist()


def test_space_to_depth_keeps_cells_in_place_in_any_memory_format() -> None:
    image = random_frames(2, 3, 12, 20)
    for layout in (image, image.to(memory_format=torch.channels_last)):
        cells = space_to_depth(layout, 4)
        assert cells.shape == (2, 48, 3, 5)
        for dy, dx, colour in ((0, 0, 0), (1, 2, 1), (3, 1, 2)):
            assert torch.equal(cells[:, (dy * 4 + dx) * 3 + colour], image[:, colour, dy::4, dx::4])


def keys_cubic(distance: float) -> float:
    """The cubic convolution kernel of Keys (1981) with a = -0.75."""
    a, x = -0.75, abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def corner_cubic_matrix(size: int, scale: int) -> Tensor:
    """Float64 (scale*size) x size: output scale*i + d samples at i + d/scale, edges replicated."""
    matrix = torch.zeros(scale * size, size, dtype=torch.float64)
    for out in range(scale * size):
        i, d = divmod(out, scale)
        for tap in (i - 1, i, i + 1, i + 2):
            matrix[out, min(max(tap, 0), size - 1)] += keys_cubic(i + d / scale - tap)
    return matrix


def half_pixel_linear_matrix(size: int, scale: int) -> Tensor:
    """Float64 (scale*size) x size: output o samples at (o + 0.5)/scale - 0.5, edges replicated."""
    matrix = torch.zeros(scale * size, size, dtype=torch.float64)
    for out in range(scale * size):
        position = min(max((out + 0.5) / scale - 0.5, 0.0), size - 1.0)
        i = math.floor(position)
        matrix[out, i] += 1 - (position - i)
        matrix[out, min(i + 1, size - 1)] += position - i
    return matrix


def plainly_upsampled(x: Tensor, scale: int, degradation: Degradation) -> Tensor:
    matrix = corner_cubic_matrix if degradation == "BD" else half_pixel_linear_matrix
    return matrix(x.shape[-2], scale) @ x.double() @ matrix(x.shape[-1], scale).T


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("degradation", ["BD", "BI"])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (2, 3), (7, 9)])
def test_upsamplers_follow_their_formulas(scale: int, degradation: Degradation, size: tuple[int, int]) -> None:
    x = random_frames(2, 3, *size)
    upsampled = FRNet(scale, 1, degradation).upsample_func(x)

    assert_close(upsampled, plainly_upsampled(x, scale, degradation), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4])
def test_cubic_upsampling_keeps_constants_and_passes_through_the_corner_grid(scale: int) -> None:
    upsampler = CubicUpsampler(scale)
    x = random_frames(1, 3, 6, 5)

    assert_close(upsampler(torch.full((1, 3, 5, 4), 0.3)), torch.full((1, 3, 5 * scale, 4 * scale), 0.3), atol=1e-7)
    assert torch.equal(upsampler(x)[..., ::scale, ::scale], x)


@pytest.mark.parametrize("scale", [2, 4])
def test_cubic_kernels_survive_half_precision(scale: int) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        halved = CubicUpsampler(scale).to(dtype)
        assert torch.equal(halved.kernels.float(), CubicUpsampler(scale).kernels)
        assert halved(random_frames(1, 3, 4, 4).to(dtype)).dtype == torch.float32


def test_colour_convolution_is_a_plain_convolution() -> None:
    x = random_frames(2, 64, 6, 10)
    for bias in (True, False):
        conv = ColourConv(64, 3, 3, padding=1, bias=bias).requires_grad_(False)
        plain = F.conv2d(x, conv.weight, conv.bias, padding=1)
        assert_close(conv(x), plain, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("degradation", ["BD", "BI"])
def test_flow_is_scaled_with_the_picture(scale: int, degradation: Degradation) -> None:
    flow = torch.tensor([1.5, -3.25]).view(1, 2, 1, 1).expand(1, 2, 4, 5)

    fine = FRNet(scale, 1, degradation).upsample_flow(flow)

    assert_close(fine, (flow[..., :1, :1] * scale).expand(1, 2, 4 * scale, 5 * scale), atol=1e-6)


def test_flow_stays_within_24_pixels() -> None:
    network = random_network()
    network.load_state_dict(network.state_dict() | {"fnet.flow.2.bias": torch.tensor([1e4, -1e4])})

    flow = network.flow(random_frames(1, 3, 9, 11), random_frames(1, 3, 9, 11, seed=2))

    assert flow.shape == (1, 2, 9, 11)
    assert torch.equal(flow[:, 0], torch.full((1, 9, 11), 24.0))
    assert torch.equal(flow[:, 1], torch.full((1, 9, 11), -24.0))


@pytest.mark.parametrize("move", [(0, 0), (3, 0), (-2, 1), (0, -4), (40, 40)])
def test_warp_by_whole_pixels_moves_pixels(move: tuple[int, int]) -> None:
    image = random_frames(2, 3, 11, 17)
    flow = torch.tensor(move).float().view(1, 2, 1, 1).expand(2, 2, 11, 17)
    columns = (torch.arange(17) + move[0]).clamp(0, 16)
    rows = (torch.arange(11) + move[1]).clamp(0, 10)

    warped = random_network().warp(image, flow)

    assert_close(warped, image[:, :, rows][..., columns], atol=2e-6)  # coordinates are rounded to 1e-6 of a pixel


def test_warp_between_pixels_is_bilinear() -> None:
    image = random_frames(1, 3, 8, 8)
    flow = torch.tensor([0.25, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)

    warped = random_network().warp(image, flow)

    assert_close(warped[..., :-1], 0.75 * image[..., :-1] + 0.25 * image[..., 1:], atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_warp_of_a_wide_half_precision_image_is_exact_to_the_pixel(dtype: torch.dtype) -> None:
    """In bfloat16, coordinates at the far side of 4096 columns could only be named in steps of 8 pixels."""
    image = random_frames(1, 3, 2, 4096).to(dtype)
    flow = torch.tensor([7.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 4096)

    warped = random_network().warp(image, flow)

    assert warped.dtype == dtype
    assert_close(warped[..., :-7], image[..., 7:], atol=2**-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1)])
def test_warp_of_a_line_or_a_point_stays_on_it(size: tuple[int, int]) -> None:
    image = torch.full((1, 3, *size), 0.7)

    warped = random_network().warp(image, torch.full((1, 2, *size), 2.5))

    assert_close(warped, image, atol=1e-6)


def test_warp_refuses_a_flow_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"8x6 image.*4x3 flow"):
        random_network().warp(torch.zeros(1, 3, 6, 8), torch.zeros(1, 2, 3, 4))


# -- the whole step ----------------------------------------------------------------------------------------------


def plain_flow(sd: dict[str, Tensor], previous: Tensor, current: Tensor) -> Tensor:
    def convs(name: str, x: Tensor, slope: float = 0.2) -> Tensor:
        for index in (0, 2):
            x = F.leaky_relu(F.conv2d(x, sd[f"{name}.{index}.weight"], sd[f"{name}.{index}.bias"], padding=1), slope)
        return x

    h, w = current.shape[-2:]
    mirror_rows = [min(i, 2 * (h - 1) - i) for i in range(math.ceil(h / 8) * 8)]
    mirror_columns = [min(i, 2 * (w - 1) - i) for i in range(math.ceil(w / 8) * 8)]
    x = torch.cat([current, previous], 1)[:, :, mirror_rows][..., mirror_columns]
    for name in ("encoder1", "encoder2", "encoder3"):
        x = F.max_pool2d(convs(f"fnet.{name}", x), 2)
    for name in ("decoder1", "decoder2", "decoder3"):
        x = plainly_upsampled(convs(f"fnet.{name}", x), 2, "BI")
    x = F.leaky_relu(F.conv2d(x, sd["fnet.flow.0.weight"], sd["fnet.flow.0.bias"], padding=1), 0.2)
    x = F.conv2d(x, sd["fnet.flow.2.weight"], sd["fnet.flow.2.bias"], padding=1)
    return 24 * torch.tanh(x)[..., :h, :w]


def plain_warp(image: Tensor, flow: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    x = (torch.arange(width) + flow[0, 0]).clamp(0, width - 1)
    y = (torch.arange(height)[:, None] + flow[0, 1]).clamp(0, height - 1)
    x0, y0 = x.floor().long(), y.floor().long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    fx, fy = x - x0, y - y0
    upper = image[..., y0, x0] * (1 - fx) + image[..., y0, x1] * fx
    lower = image[..., y1, x0] * (1 - fx) + image[..., y1, x1] * fx
    return upper * (1 - fy) + lower * fy


def plain_step(network: FRNet, lr: Tensor, previous_lr: Tensor, previous_hr: Tensor) -> Tensor:
    """One step in float64, written a second time from the published description, with none of the module's parts."""
    s, degradation = network.scale, network.degradation
    sd = {key: tensor.double() for key, tensor in network.state_dict().items()}
    lr, previous_lr, previous_hr = lr.double(), previous_lr.double(), previous_hr.double()

    flow = s * plainly_upsampled(plain_flow(sd, previous_lr, lr), s, degradation)
    warped = plain_warp(previous_hr, flow)
    cells = [warped[:, :, dy::s, dx::s] for dy in range(s) for dx in range(s)]
    x = torch.cat([lr, *cells], 1)
    x = F.relu(F.conv2d(x, sd["srnet.conv_in.0.weight"], sd["srnet.conv_in.0.bias"], padding=1))
    for block in range(network.blocks):
        first, second = (f"srnet.resblocks.{block}.conv.{index}" for index in (0, 2))
        y = F.relu(F.conv2d(x, sd[f"{first}.weight"], sd[f"{first}.bias"], padding=1))
        x = x + F.conv2d(y, sd[f"{second}.weight"], sd[f"{second}.bias"], padding=1)
    for index in range(0, s // 2 * 2, 2):
        weight, bias = sd[f"srnet.conv_up.{index}.weight"], sd[f"srnet.conv_up.{index}.bias"]
        x = F.relu(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1))
    x = F.conv2d(x, sd["srnet.conv_out.weight"], sd["srnet.conv_out.bias"], padding=1)
    return x + plainly_upsampled(lr, s, degradation)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("degradation", ["BD", "BI"])
def test_step_follows_the_published_description(scale: int, degradation: Degradation) -> None:
    network = random_network(scale, 2, degradation).double()
    for layer in network.fnet.modules():  # the default initialisation dampens so much that no frame moves anything
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    height, width = 13, 18  # neither side a multiple of 8
    lr, previous_lr = random_frames(1, 3, height, width).double(), random_frames(1, 3, height, width, seed=2).double()
    previous_hr = random_frames(1, 3, scale * height, scale * width, seed=3).double()

    hr, state = network(lr, SequenceState(previous_lr, previous_hr))

    assert network.flow(previous_lr, lr).std() > 1
    assert_close(hr, plain_step(network, lr, previous_lr, previous_hr), atol=1e-9)
    assert state.lr is lr
    assert state.hr is hr


def test_first_frame_sees_black_before_it(shipped: FRNet) -> None:
    lr = random_frames(2, 3, 12, 9)

    first, _ = shipped.step(lr, None)
    after_black, _ = shipped.step(lr, SequenceState.zeros(lr, 4))

    assert torch.equal(first, after_black)


def test_later_frames_depend_on_the_state(shipped: FRNet) -> None:
    lr = random_frames(1, 3, 12, 12)
    first, state = shipped.step(lr)

    second, _ = shipped.step(lr, state)

    assert (first - second).abs().max() > 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (4, 4), (8, 8), (3, 17)])
@pytest.mark.parametrize("degradation", ["BD", "BI"])
def test_any_size_from_one_pixel_on(size: tuple[int, int], degradation: Degradation) -> None:
    network = random_network(degradation=degradation)
    state = None
    for seed in range(2):
        hr, state = network.step(random_frames(2, 3, *size, seed=seed), state)

    assert hr.shape == (2, 3, 4 * size[0], 4 * size[1])
    assert torch.isfinite(hr).all()


@pytest.mark.parametrize(("shape", "scale"), [((1, 3, 8, 9), 4), ((2, 3, 8, 8), 4), ((1, 3, 8, 8), 2)])
def test_state_of_other_frames_is_refused(shape: tuple[int, ...], scale: int) -> None:
    stale = SequenceState.zeros(torch.zeros(shape), scale)

    with pytest.raises(ValueError, match="pass no state"):
        random_network().step(torch.zeros(1, 3, 8, 8), stale)


def test_batch_is_the_frames_one_by_one(shipped: FRNet) -> None:
    lr, previous = random_frames(2, 3, 9, 10), random_frames(2, 3, 9, 10, seed=2)
    hr = random_frames(2, 3, 36, 40, seed=3)

    together, _ = shipped.step(lr, SequenceState(previous, hr))

    for i in (slice(0, 1), slice(1, 2)):
        alone, _ = shipped.step(lr[i], SequenceState(previous[i], hr[i]))
        assert_close(together[i], alone, atol=1e-4)  # a rounding of the motion, on noise


# -- tiling ------------------------------------------------------------------------------------------------------


def test_crop_with_the_reach_as_margin_gives_the_same_centre(shipped: FRNet) -> None:
    reach = shipped.reach
    lr, warped = random_frames(1, 3, 2 * reach + 9, 2 * reach + 16), random_frames(1, 3, 8 * reach + 36, 8 * reach + 64)
    whole = shipped.reconstruct(lr, warped)
    top, left, height, width = reach + 1, reach + 3, 5, 7  # the tile; around it, the margin and still a little more
    rows, columns = slice(1, top + height + reach), slice(3, left + width + reach)
    fine_rows, fine_columns = slice(4, 4 * rows.stop), slice(12, 4 * columns.stop)

    crop = shipped.reconstruct(lr[..., rows, columns], warped[..., fine_rows, fine_columns])

    centre = crop[..., 4 * reach : 4 * (reach + height), 4 * reach : 4 * (reach + width)]
    assert_close(centre, whole[..., 4 * top : 4 * (top + height), 4 * left : 4 * (left + width)], atol=1e-5)


def test_crop_at_the_frame_edge_needs_no_margin_there(shipped: FRNet) -> None:
    reach = shipped.reach
    lr, warped = random_frames(1, 3, reach + 8, 12), random_frames(1, 3, 4 * reach + 32, 48)
    whole = shipped.reconstruct(lr, warped)

    crop = shipped.reconstruct(lr[..., : reach + 3, :], warped[..., : 4 * (reach + 3), :])

    assert_close(crop[..., :12, :], whole[..., :12, :], atol=1e-5)


@pytest.mark.parametrize(("scale", "blocks", "degradation"), [(4, 1, "BD"), (4, 2, "BI"), (2, 1, "BI"), (2, 2, "BD")])
def test_reach_is_exactly_as_far_as_one_pixel_is_felt(scale: int, blocks: int, degradation: Degradation) -> None:
    network = random_network(scale, blocks, degradation).double()
    for parameter in network.parameters():
        parameter.abs_()  # no rectifier closes, so that every path carries
    reach = network.reach
    side = 2 * reach + 5
    lr = torch.ones(1, 3, side, side, dtype=torch.float64)
    warped = torch.ones(1, 3, scale * side, scale * side, dtype=torch.float64)
    calm = network.reconstruct(lr, warped)
    centre = reach + 2
    lr[..., centre, centre] += 1
    warped[..., scale * centre : scale * (centre + 1), scale * centre : scale * (centre + 1)] += 1

    felt = (network.reconstruct(lr, warped) != calm).any(1).nonzero()[:, 1:] // scale - centre

    assert felt.amin(0).tolist() == [-reach, -reach]
    assert felt.amax(0).tolist() == [reach, reach]


def test_shipped_network_reaches_22_pixels(shipped: FRNet) -> None:
    assert shipped.reach == 22


# -- precision, layout, training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_network_keeps_the_frames_dtype(dtype: torch.dtype) -> None:
    halved = FRNet.from_state_dict(load_file(WEIGHTS)).eval().requires_grad_(False).to(dtype)
    full = FRNet.from_state_dict(load_file(WEIGHTS)).eval().requires_grad_(False)
    smooth = F.interpolate(random_frames(1, 3, 4, 4), size=(16, 16), mode="bilinear")
    expected, state = full.step(smooth)
    expected, _ = full.step(smooth, state)

    for frames in (smooth, smooth.to(dtype)):
        actual, state = halved.step(frames)
        actual, state = halved.step(frames, state)
        assert actual.dtype == state.hr.dtype == frames.dtype
        assert_close(actual, expected, atol=0.03)  # bfloat16 has 8 bits of mantissa through 25 layers


def test_memory_format_does_not_change_the_picture(shipped: FRNet) -> None:
    network = FRNet.from_state_dict(shipped.state_dict()).eval().requires_grad_(False)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lr, hr = random_frames(1, 3, 14, 11), random_frames(1, 3, 56, 44)
    expected, _ = shipped.step(lr, SequenceState(lr.flip(-1), hr))

    for layout in (torch.contiguous_format, torch.channels_last):
        state = SequenceState(lr.flip(-1).to(memory_format=layout), hr.to(memory_format=layout))
        actual, _ = network.step(lr.to(memory_format=layout), state)
        assert_close(actual, expected, atol=1e-4)  # a rounding of the motion, on noise


def test_motion_is_upsampled_in_float32_under_autocast() -> None:
    network = random_network()
    flow = 20 * random_frames(1, 2, 5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fine = network.upsample_flow(flow)

    assert torch.equal(fine, network.upsample_flow(flow))


@pytest.mark.parametrize("degradation", ["BD", "BI"])
def test_gradients_reach_every_parameter_through_time(degradation: Degradation) -> None:
    """The in-place operations of inference must not cost the training anything."""
    torch.manual_seed(0)
    network = FRNet(4, 1, degradation)
    state = None
    for seed in range(3):
        hr, state = network(random_frames(1, 3, 8, 8, seed=seed), state)
    hr.square().mean().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


# -- the shipped weights at work ---------------------------------------------------------------------------------


def moving_pattern(frames: int) -> Tensor:
    """Nx3x176x176 in [0, 1]: rings, bars and a chequered disc that slide by one to three pixels a frame."""
    y, x = torch.meshgrid(torch.arange(176.0), torch.arange(176.0), indexing="ij")
    clip = []
    for t in range(frames):
        u, v = x + 2 * t, y - t
        rings = 0.5 + 0.3 * torch.sin(torch.hypot(u - 90, v - 80) / 3)
        bars = ((u + 0.4 * v) % 23 < 11).float()
        chequers = ((u // 7 + v // 7) % 2) * (torch.hypot(x - 60 - 3 * t, y - 110) < 40)
        clip.append(torch.stack((0.6 * rings + 0.2 * bars, 0.5 * bars + 0.3 * chequers, 0.4 * rings + 0.4 * chequers)))
    return torch.stack(clip)


def blurred_and_decimated(hr: Tensor) -> Tensor:
    """BD: Gaussian sigma 1.5, 9x9, reflected edges, every fourth pixel from 0."""
    taps = torch.exp(-(torch.arange(-4.0, 5.0) ** 2) / (2 * 1.5**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    lr = F.conv2d(F.pad(hr, (4, 4, 4, 4), "reflect"), kernel.expand(3, 1, 9, 9), stride=4, groups=3)
    return (lr * 255).round() / 255


def psnr(a: Tensor, b: Tensor, *, border: int) -> float:
    return float(-10 * torch.log10((a - b)[..., border:-border, border:-border].square().mean()))


def test_shipped_weights_see_where_a_picture_came_from(shipped: FRNet) -> None:
    previous, current = torch.split(blurred_and_decimated(moving_pattern(2)), 1)

    warped = shipped.warp(previous, shipped.flow(previous, current))

    gain = psnr(warped, current, border=8) - psnr(previous, current, border=8)
    assert gain > 2.0, f"the warped frame is only {gain:.2f} dB nearer than the unwarped one"


def test_shipped_weights_come_closer_to_a_moving_pattern_than_cubic_upsampling(shipped: FRNet) -> None:
    truth = moving_pattern(6)
    lr = blurred_and_decimated(truth)
    outputs, state = [], None
    for frame in torch.split(lr, 1):
        hr, state = shipped.step(frame, state)
        outputs.append(hr.clamp(0, 1))
    restored = torch.cat(outputs)
    cubic = CubicUpsampler(4)(lr).clamp(0, 1)

    assert torch.isfinite(restored).all()
    gain = psnr(restored[2:], truth[2:], border=16) - psnr(cubic[2:], truth[2:], border=16)
    assert gain > 0.5, f"only {gain:.2f} dB nearer than cubic"
