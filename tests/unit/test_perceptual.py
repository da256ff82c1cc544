"""LPIPS and ST-LPIPS against other computations of them: a plain formulation in float64, and the ONNX network."""

from __future__ import annotations

import functools
import importlib.util
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from irss_core.errors import InputError, InvalidOptionError, UnsupportedCheckpointError
from irss_core.metrics import perceptual
from irss_core.metrics.lpips_networks import TRUNKS, FeatureNetwork, PerceptualNet
from irss_core.metrics.perceptual import Lpips, StLpips
from irss_core.metrics.perceptual_files import read_parts
from irss_core.metrics.perceptual_weights import LpipsWeights

ROOT = Path(__file__).parents[2]
ONNX = ROOT.parent / "shared" / "weights" / "lpips_sq.onnx"
NETS: tuple[PerceptualNet, ...] = ("alex", "squeeze", "vgg", "stlpips")
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's
Weights = dict[str, torch.Tensor]


@functools.cache
def random_weights(net: PerceptualNet) -> LpipsWeights:
    """Weights that keep the size of what passes through, so that every layer counts; biases of both signs."""
    torch.manual_seed(NETS.index(net))
    backbone = FeatureNetwork(TRUNKS[net]).state_dict()
    for key, tensor in backbone.items():
        fan_in = math.prod(tensor.shape[1:]) if tensor.ndim == 4 else 100
        tensor.normal_(0, (2 / fan_in) ** 0.5)
        assert tensor.std() > 0, key
    return LpipsWeights(backbone, tuple(torch.rand(count) for count in TRUNKS[net].channels), "made", ())


def metric_of(net: PerceptualNet, weights: LpipsWeights | None = None) -> Lpips | StLpips:
    weights = weights or random_weights(net)
    return StLpips(weights, device="cpu") if net == "stlpips" else Lpips(net, weights, device="cpu")


def pictures(height: int, width: int, *, seed: int = 0, noise: float = 30) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    second = np.clip(first + generator.normal(0, noise, first.shape), 0, 255).round().astype(np.uint8)
    return first, second


# -- The same by other means: float64, torch.nn.functional alone, each layer written out -------------------------------


def conv(x: torch.Tensor, weights: Weights, name: str, *, stride: int = 1, padding: int = 0) -> torch.Tensor:
    weight, bias = weights[f"{name}.weight"].double(), weights[f"{name}.bias"].double()
    return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def plain_alex(x: torch.Tensor, w: Weights) -> list[torch.Tensor]:
    one = F.relu(conv(x, w, "features.0", stride=4, padding=2))
    two = F.relu(conv(F.max_pool2d(one, 3, 2), w, "features.3", padding=2))
    three = F.relu(conv(F.max_pool2d(two, 3, 2), w, "features.6", padding=1))
    four = F.relu(conv(three, w, "features.8", padding=1))
    return [one, two, three, four, F.relu(conv(four, w, "features.10", padding=1))]


def plain_vgg(x: torch.Tensor, w: Weights) -> list[torch.Tensor]:
    stages = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
    found: list[torch.Tensor] = []
    for stage in stages:
        x = F.max_pool2d(x, 2) if found else x
        for index in stage:
            x = F.relu(conv(x, w, f"features.{index}", padding=1))
        found.append(x)
    return found


def plain_squeeze(x: torch.Tensor, w: Weights) -> list[torch.Tensor]:
    def fire(x: torch.Tensor, index: int) -> torch.Tensor:
        squeezed = F.relu(conv(x, w, f"features.{index}.squeeze"))
        one = F.relu(conv(squeezed, w, f"features.{index}.expand1x1"))
        return torch.cat([one, F.relu(conv(squeezed, w, f"features.{index}.expand3x3", padding=1))], 1)

    def pool(x: torch.Tensor) -> torch.Tensor:
        """The window may hang over the right and lower edge, where there is nothing."""
        odd = [(side - 3) % 2 for side in x.shape[2:]]
        return F.max_pool2d(F.pad(x, (0, odd[1], 0, odd[0]), value=-math.inf), 3, 2)

    found = [F.relu(conv(x, w, "features.0", stride=2))]
    found.append(fire(fire(pool(found[-1]), 3), 4))
    found.append(fire(fire(pool(found[-1]), 6), 7))
    found.append(fire(pool(found[-1]), 9))
    for index in (10, 11, 12):
        found.append(fire(found[-1], index))
    return found


def plain_stlpips(x: torch.Tensor, w: Weights) -> list[torch.Tensor]:
    def blurred(x: torch.Tensor) -> torch.Tensor:
        """Binomial [1 2 1]/4 both ways, at every second place of the picture with two mirrored pixels around it."""
        array = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
        array = (array[:, :, :-2] + 2 * array[:, :, 1:-1] + array[:, :, 2:]) / 4
        array = (array[..., :-2] + 2 * array[..., 1:-1] + array[..., 2:]) / 4
        return torch.from_numpy(array[:, :, ::2, ::2].copy())

    one = F.relu(blurred(conv(x, w, "features.0", padding=2)))
    two = F.relu(conv(blurred(F.max_pool2d(one, 3, 1)), w, "features.5", padding=2))
    three = F.relu(conv(blurred(F.max_pool2d(two, 3, 1)), w, "features.9", padding=1))
    four = F.relu(conv(three, w, "features.11", padding=1))
    return [one, two, three, four, F.relu(conv(four, w, "features.13", padding=1))]


PLAIN = {"alex": plain_alex, "vgg": plain_vgg, "squeeze": plain_squeeze, "stlpips": plain_stlpips}


def plain_distance(net: PerceptualNet, weights: LpipsWeights, first: np.ndarray, second: np.ndarray) -> float:
    """The formula of the paper: sum over layers of the mean over pixels of w . (y - y0)^2, y of unit length."""
    both = []
    for picture in (first, second):
        x = (picture / 255 - MEAN) / DEVIATION
        layers = PLAIN[net](torch.from_numpy(x.transpose(2, 0, 1)[None].copy()), dict(weights.backbone))
        both.append([y / ((y**2).sum(1, keepdim=True).sqrt() + 1e-10) for y in layers])
    total = 0.0
    for y, y0, head in zip(*both, weights.heads, strict=True):
        total += float(((y - y0) ** 2 * head.double()[None, :, None, None]).sum(1).mean())
    return total


@pytest.mark.parametrize("size", [(64, 64), (47, 66)], ids=str)
@pytest.mark.parametrize("net", NETS)
def test_the_distance_is_that_of_the_formula_written_out(net: PerceptualNet, size: tuple[int, int]) -> None:
    weights = random_weights(net)
    first, second = pictures(*size)
    expected = plain_distance(net, weights, first, second)
    assert expected > 0.01
    # Single precision through up to 13 convolutions, differences of unit vectors squared.
    assert metric_of(net, weights)(first, second) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("net", NETS)
def test_every_layer_counts_with_its_own_head(net: PerceptualNet) -> None:
    weights = random_weights(net)
    first, second = pictures(48, 48)
    for layer in range(len(weights.heads)):
        heads = tuple(head if index == layer else 0 * head for index, head in enumerate(weights.heads))
        alone = LpipsWeights(weights.backbone, heads, "", ())
        expected = plain_distance(net, alone, first, second)
        assert expected > 1e-4
        assert metric_of(net, alone)(first, second) == pytest.approx(expected, rel=5e-5)


@pytest.mark.parametrize(
    ("net", "parameters", "sides"),
    [
        ("alex", 2_469_696, [55, 27, 13, 13, 13]),
        ("vgg", 14_714_688, [224, 112, 56, 28, 14]),
        ("squeeze", 722_496, [111, 55, 27, 13, 13, 13, 13]),  # 1,235,496 less the classifier's 513,000
        ("stlpips", 2_469_696, [110, 55, 28, 28, 28]),
    ],
)
def test_the_networks_have_the_published_size_and_maps(net: PerceptualNet, parameters: int, sides: list[int]) -> None:
    with torch.device("meta"), torch.inference_mode():
        network = FeatureNetwork(TRUNKS[net])
        maps = network(torch.empty(1, 3, 224, 224))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert [found.shape[2] for found in maps] == sides
    assert tuple(found.shape[1] for found in maps) == TRUNKS[net].channels


# -- What a metric must hold -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_equal_pictures_have_distance_zero_and_it_is_the_same_both_ways(net: PerceptualNet) -> None:
    metric = metric_of(net)
    first, second = pictures(40, 52)
    assert metric(first, first) == 0
    assert metric(first, second) == metric(second, first) > 0


def test_features_serve_several_distances_unchanged() -> None:
    metric = metric_of("alex")
    frames = [pictures(40, 52, seed=seed)[0] for seed in range(3)]
    features = [metric.features(frame) for frame in frames]
    for _ in range(2):
        for left, right in ((0, 1), (1, 2), (0, 2)):
            assert metric.distance(features[left], features[right]) == metric(frames[left], frames[right])


def test_the_bands_of_a_comparison_cover_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = metric_of("squeeze")
    first, second = (metric.features(picture) for picture in pictures(61, 47))
    whole = metric.distance(first, second)
    monkeypatch.setattr(perceptual, "_BAND_ELEMENTS", 64 * 23 * 7)  # seven rows of the first layer
    assert metric.distance(first, second) == pytest.approx(whole, rel=1e-5)
    monkeypatch.setattr(perceptual, "_BAND_ELEMENTS", 1)
    assert metric.distance(first, second) == pytest.approx(whole, rel=1e-5)


def test_maps_that_are_zero_everywhere_count_as_equal() -> None:
    made = random_weights("alex")
    nothing = LpipsWeights({key: 0 * tensor for key, tensor in made.backbone.items()}, made.heads, "", ())
    assert metric_of("alex", nothing)(*pictures(40, 40)) == 0


def test_memory_order_and_write_protection_do_not_matter() -> None:
    metric = metric_of("alex")
    first, second = pictures(40, 52)
    expected = metric(first, second)
    second.flags.writeable = False
    assert metric(np.asfortranarray(first), second) == expected
    assert metric(first[:, ::-1].copy()[:, ::-1], second) == expected


# -- What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_picture_is_measured_and_one_pixel_less_is_refused_with_sizes(net: PerceptualNet) -> None:
    metric, least = metric_of(net), TRUNKS[net].minimum_side
    assert metric(*pictures(least, least)) > 0
    for height, width in ((least, least - 1), (least - 1, least)):
        with pytest.raises(InputError, match=f"at least {least}x{least} pixels; the picture is {width}x{height}"):
            metric.features(np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((64, 64), np.uint8), "64x64 of uint8"),
        (np.zeros((64, 64, 4), np.uint8), "64x64x4 of uint8"),
        (np.zeros((64, 64, 3), np.float32), "64x64x3 of float32"),
    ],
)
def test_other_than_8_bit_rgb_is_refused(picture: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        metric_of("alex").features(picture)


def test_pictures_of_two_sizes_are_refused_with_both() -> None:
    metric = metric_of("alex")
    with pytest.raises(InputError, match="these are 52x40 and 40x52"):
        metric(np.zeros((40, 52, 3), np.uint8), np.zeros((52, 40, 3), np.uint8))


def test_features_of_another_network_are_refused() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(InputError, match=r"SqueezeNet 1\.1"):
        metric_of("alex").distance(metric_of("alex").features(picture), metric_of("squeeze").features(picture))


def test_weights_of_another_network_and_unknown_devices_are_refused() -> None:
    alex, squeeze = random_weights("alex"), random_weights("squeeze")
    with pytest.raises(UnsupportedCheckpointError, match="heads"):
        Lpips("alex", LpipsWeights(alex.backbone, squeeze.heads, "", ()), device="cpu")
    with pytest.raises(UnsupportedCheckpointError, match="AlexNet"):
        Lpips("alex", LpipsWeights(squeeze.backbone, alex.heads, "", ()), device="cpu")
    with pytest.raises(InvalidOptionError):
        Lpips("alex", alex, device="abacus")


# -- The ONNX network --------------------------------------------------------------------------------------------------

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None or not ONNX.is_file(),
    reason="needs the package onnx and shared/weights/lpips_sq.onnx beside the project",
)


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "lpips_from_onnx.py"))


@pytest.fixture(scope="module")
def from_onnx(script: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "lpips-squeeze.safetensors"
    script["convert"](ONNX, path)
    return path


@needs_onnx
def test_lpips_squeeze_agrees_with_the_onnx_network(from_onnx: Path) -> None:
    """The ONNX network leaves out the 1e-10, so pictures are noise, where no pixel's features are all zero."""
    from onnx.reference import ReferenceEvaluator

    parts = read_parts(from_onnx)
    assert parts.net == "squeeze"
    assert parts.backbone is not None
    assert parts.heads is not None
    metric = Lpips("squeeze", LpipsWeights(parts.backbone, parts.heads, "", ()), device="cpu")
    reference = ReferenceEvaluator(str(ONNX))

    def normalised(picture: np.ndarray) -> np.ndarray:
        return np.float32((picture / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None]

    for noise, size in ((4, (64, 64)), (40, (64, 64)), (200, (49, 58))):
        first, second = pictures(*size, noise=noise)
        (expected,) = reference.run(None, {"ref": normalised(first), "dist": normalised(second)})
        assert metric(first, second) == pytest.approx(float(expected[0]), rel=2e-5, abs=1e-8)


@needs_onnx
def test_the_conversion_wants_each_weight_once_and_nothing_else(script: dict[str, Any]) -> None:
    import onnx
    from onnx import numpy_helper

    every = [(tensor.name, numpy_helper.to_array(tensor)) for tensor in onnx.load(str(ONNX)).graph.initializer]
    converted = script["converted"]
    assert len(converted(every)) == 57
    other_mean = [(name, array + 0.1 if name == "in_mean" else array) for name, array in every]
    for spoilt, words in (
        (every[1:], "features.0.bias"),
        ([*every, every[0]], "there twice"),
        ([*every, ("core.extra.weight", np.zeros((3, 3)))], "core.extra.weight"),
        (
            [(name, array[:, :-1] if ".net." in name and array.ndim == 4 else array) for name, array in every],
            "another shape",
        ),
        (other_mean, "in_mean"),
    ):
        with pytest.raises(ValueError, match=words):
            converted(spoilt)


@needs_onnx
def test_the_conversion_overwrites_nothing_and_leaves_nothing_of_a_failure(
    script: dict[str, Any], from_onnx: Path, tmp_path: Path
) -> None:
    before = from_onnx.read_bytes()
    with pytest.raises(ValueError, match="is there already"):
        script["convert"](ONNX, from_onnx)
    assert from_onnx.read_bytes() == before
    with pytest.raises(script["DecodeError"]):
        script["convert"](ROOT / "README.md", tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists()
