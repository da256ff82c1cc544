"""Degradations against their formulas written out in float64, and the published figures of bicubic on Set5."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.signal import convolve2d

from irss_core.errors import InputError, InvalidOptionError
from irss_core.metrics.color import luma_limited
from irss_core.metrics.degradation import (
    DEGRADATIONS,
    consistency,
    consistency_residual,
    degrade,
    degrade_bd,
    degrade_bi,
    find_degradation,
)
from irss_core.metrics.image import psnr, ssim
from irss_core.sr.resample import resize
from tests.tiny_models import noise_picture

SET5 = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval" / "set5"


def ramp(height: int, width: int) -> np.ndarray:
    values = np.add.outer(np.arange(height) * 5, np.arange(width) * 3)
    return np.repeat(values[..., None], 3, axis=-1).clip(0, 255).astype(np.uint8)


def edge(height: int, width: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 - 1 :] = 255
    return picture


PICTURES = {
    "noise 8x8": noise_picture(8, 8),
    "noise 12x8": noise_picture(12, 8),
    "noise 4x4": noise_picture(4, 4),
    "noise 48x36": noise_picture(48, 36),
    "ramp 24x16": ramp(24, 16),
    "edge 24x24": edge(24, 24),
    "white 8x8": np.full((8, 8, 3), 255, np.uint8),
}


def cubic(x: float) -> float:
    """Keys 1981, a = -0.5, written out as MATLAB's documentation has it."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def mirrored(index: int, length: int) -> int:
    """The pixel that stands at an index when the picture is mirrored with its outermost pixel repeated."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


def imresize_line(line: list[float], scale: int) -> list[float]:
    made = []
    for out in range(len(line) // scale):
        center = (out + 0.5) * scale - 0.5
        near = range(math.floor(center) - 2 * scale - 1, math.ceil(center) + 2 * scale + 2)
        weights = [cubic((index - center) / scale) for index in near]
        values = [line[mirrored(index, len(line))] for index in near]
        made.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return made


def imresize(rgb: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's imresize by 1/scale: one output pixel after the other, in float64, not rounded."""
    rows = np.array([[imresize_line(list(rgb[:, x, c]), scale) for x in range(rgb.shape[1])] for c in range(3)])
    both = [[imresize_line(list(rows[c, :, y]), scale) for y in range(rows.shape[2])] for c in range(3)]
    return np.moveaxis(np.array(both), 0, -1)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", PICTURES)
def test_bi_is_the_formula_of_imresize(name: str, scale: int) -> None:
    """Exactly: the weights of powers of two are dyadic, so that double precision makes no error to round."""
    picture = PICTURES[name]
    expected = np.floor(imresize(picture.astype(float), scale) + 0.5).clip(0, 255)
    made = degrade_bi(picture, scale)
    assert made.shape == (picture.shape[0] // scale, picture.shape[1] // scale, 3)
    assert made.dtype == np.uint8
    assert np.array_equal(made, expected), f"differs by up to {np.abs(made - expected).max()} levels"


def test_bi_of_scale_3_is_the_formula_within_half_a_level() -> None:
    picture = noise_picture(15, 12)
    assert np.abs(degrade_bi(picture, 3) - imresize(picture.astype(float), 3).clip(0, 255)).max() <= 0.5 + 1e-9


def test_bi_by_a_table_worked_out_by_hand() -> None:
    """A white line between the second block of four and the third: the kernel's first and second moments around it."""
    picture = np.zeros((4, 16, 3), np.uint8)
    picture[:, 8] = 255
    # Distances (8 - center) / 4 of the four outputs are 1.625, .625, -.375, -1.375; a quarter of the cubic of each.
    weights = [-0.0439453125, 0.3896484375, 0.7275390625, -0.0732421875]
    assert [cubic(x) for x in (1.625, 0.625, -0.375, -1.375)] == pytest.approx(weights)
    assert degrade_bi(picture, 4)[0, :, 0].tolist() == [0, 25, 46, 0]


def test_bi_of_scale_1_is_the_picture() -> None:
    assert np.array_equal(degrade_bi(PICTURES["noise 12x8"], 1), PICTURES["noise 12x8"])


@pytest.mark.parametrize("name", PICTURES)
def test_bd_is_a_convolution_and_every_fourth_pixel(name: str) -> None:
    picture = PICTURES[name]
    steps = np.arange(-4, 5)
    kernel = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    # numpy's "reflect" mirrors without repeating the edge, also where the picture is smaller than the margin.
    framed = np.pad(picture.astype(float), ((4, 4), (4, 4), (0, 0)), mode="reflect")
    blurred = np.stack([convolve2d(framed[..., c], kernel, mode="valid") for c in range(3)], axis=-1)
    made = degrade_bd(picture)
    assert made.dtype == np.uint8
    assert made.shape[:2] == (picture.shape[0] // 4, picture.shape[1] // 4)
    assert np.abs(made - blurred[::4, ::4]).max() <= 0.5 + 1e-3  # the rounding, and float32


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 255))
def test_a_flat_picture_stays_flat(rows: int, columns: int, scale: int, level: int) -> None:
    flat = np.full((rows * scale, columns * scale, 3), level, np.uint8)
    assert (degrade_bi(flat, scale) == level).all()


@pytest.mark.parametrize("name", ["bd", "bi"])
def test_sides_that_are_no_multiples_are_refused_with_the_crop_to_make(name: str) -> None:
    with pytest.raises(InputError, match=r"23x18.*scale 4.*20x16"):
        degrade(noise_picture(18, 23), name, 4)
    with pytest.raises(InputError, match="3x8 is too small to be made 4 times smaller"):
        degrade(noise_picture(8, 3), name, 4)


def test_impossible_degradations_are_refused() -> None:
    picture = noise_picture(12, 12)
    with pytest.raises(InputError, match="scale 4, not 3"):
        degrade(picture, "bd", 3)
    with pytest.raises(InputError, match="not 0"):
        degrade(picture, "bi", 0)
    with pytest.raises(InvalidOptionError, match="data must bring it"):
        degrade(picture, "none", 4)
    with pytest.raises(InvalidOptionError, match=r"'jpeg'.*bd, bi, none"):
        find_degradation("jpeg")


def test_the_table_names_what_makes_each_input() -> None:
    picture = noise_picture(16, 16)
    assert np.array_equal(degrade(picture, "bd", 4), degrade_bd(picture))
    assert np.array_equal(degrade(picture, "bi", 2), degrade_bi(picture, 2))
    assert {name: each.grid for name, each in DEGRADATIONS.items()} == {
        "bd": "corner",
        "bi": "half-pixel",
        "none": "half-pixel",
    }


def test_consistency_of_the_truth_is_perfect_and_falls_with_the_error() -> None:
    truth = noise_picture(64, 48)
    for name in ("bd", "bi"):
        assert consistency(truth, degrade(truth, name, 4), name, 4) == math.inf
    lr = degrade_bi(truth, 4)
    brighter = np.minimum(truth, 200) + np.uint8(4)
    expected = psnr(degrade_bi(brighter, 4), lr)
    assert consistency(brighter, lr, "none", 4) == expected < 60
    with pytest.raises(InputError, match="one size"):
        consistency(truth, lr[:-1], "bi", 4)


def test_residual_is_bright_only_where_detail_was_invented() -> None:
    truth = noise_picture(64, 48)
    lr = degrade_bi(truth, 4)
    invented = truth.copy()
    invented[16:32, 16:32] //= 4
    heat = consistency_residual(invented, lr, 4)
    assert heat.shape == truth.shape
    assert heat[24, 24].sum() > 300
    assert (heat[48:, :] == (0, 0, 4)).all()
    assert (heat[16:20, 16:20] == heat[16, 16]).all(), "one colour for each pixel of the input"


@pytest.mark.parametrize("size", [(50, 75), (51, 74), (20, 30), (33, 49)])
def test_residual_at_any_factor_has_the_results_size(size: tuple[int, int]) -> None:
    lr = np.asarray(Image.fromarray(noise_picture(10, 15)).resize((30, 20), Image.Resampling.BICUBIC))
    result = resize(lr, height=size[0], width=size[1], method="bicubic")
    heat = consistency_residual(result, lr, size[0] / 20)
    assert heat.shape == (*size, 3)
    calm = consistency_residual(np.full_like(result, 90), np.full_like(lr, 90), size[0] / 20)
    assert (calm == (0, 0, 4)).all()


@pytest.mark.skipif(not SET5.is_dir(), reason="shared/data/eval/set5 is not beside the repository")
def test_bicubic_on_set5_has_the_published_figures() -> None:
    """28.42 dB and 0.8104 stand in every x4 table since 2016: Y, BI input, border 4."""
    db, similarity = [], []
    for path in sorted(SET5.glob("*.png")):
        whole = np.asarray(Image.open(path).convert("RGB"))
        height, width = (side // 4 * 4 for side in whole.shape[:2])
        truth = whole[:height, :width]
        result = resize(degrade_bi(truth, 4), height=height, width=width, method="bicubic")
        inner = np.s_[4:-4, 4:-4]
        planes = luma_limited(result)[inner], luma_limited(truth)[inner]
        db.append(psnr(*planes))
        similarity.append(ssim(*planes))
    assert len(db) == 5
    assert np.mean(db) == pytest.approx(28.42, abs=0.03), db
    assert np.mean(similarity) == pytest.approx(0.8104, abs=0.002), similarity
