"""What each packaged model makes of one small picture, so that a refactor cannot change pixels unnoticed.

The stored pictures were made by ``python -m tests.unit.test_golden``; run it again only when a change of pixels is
meant, and say why in the commit. Two levels of tolerance: CPUs sum in different orders.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from irss_core.sr.image import ImageUpscaler
from irss_core.sr.loader import load_model
from irss_core.sr.video import VideoUpscaler

GOLDEN = Path(__file__).parent.parent / "golden"
STILLS = (
    "realesrgan-x4plus",
    "realesrgan-x4plus-anime",
    "realesr-animevideov3",
    "tecogan-x4",
    "frvsr-x4",
    "bicubic",
    "lanczos",
)
TOLERANCE = 2


def picture(shift: float = 0.0) -> np.ndarray:
    """Return 20x24 of lines, a disc, a ramp and a texture, moved by ``shift`` pixels to the right."""
    grow = 8
    canvas = Image.new("RGB", (24 * grow, 20 * grow), (40, 70, 110))
    draw = ImageDraw.Draw(canvas)
    for column in range(24 * grow):
        level = 60 + column * 150 // (24 * grow)
        draw.line([(column, 12 * grow), (column, 20 * grow)], fill=(level, 255 - level, 120))
    offset = shift * grow
    draw.ellipse([2 * grow + offset, 2 * grow, 10 * grow + offset, 10 * grow], fill=(220, 190, 60))
    for index in range(6):
        x = 12 * grow + index * 14 + offset
        draw.line([(x, grow), (x + 20, 18 * grow)], fill=(240, 240, 240), width=5)
    return np.asarray(canvas.resize((24, 20), Image.Resampling.BOX))


def made(name: str, cache: Path) -> np.ndarray:
    upscaler = ImageUpscaler(load_model(name, cache_dir=cache, offline=True), device="cpu", dtype="fp32")
    return upscaler(picture()).image


def made_clip(cache: Path) -> np.ndarray:
    """Return the fourth frame of a clip of five through TecoGAN."""
    upscaler = VideoUpscaler(load_model("tecogan-x4", cache_dir=cache, offline=True), device="cpu", dtype="fp32")
    return list(upscaler.start().frames([picture(shift=index * 0.4) for index in range(5)]))[3]


def stored(name: str) -> np.ndarray:
    return np.asarray(Image.open(GOLDEN / f"{name}.png"))


def difference(a: np.ndarray, b: np.ndarray) -> str:
    apart = np.abs(a.astype(int) - b.astype(int))
    return f"max {apart.max()}, mean {apart.mean():.3f}, over tolerance: {(apart > TOLERANCE).mean():.2%}"


@pytest.mark.parametrize("name", STILLS)
def test_picture_is_the_stored_one(name: str, weights_cache: Path) -> None:
    output, expected = made(name, weights_cache), stored(name)
    assert output.shape == expected.shape == (80, 96, 3)
    assert np.abs(output.astype(int) - expected).max() <= TOLERANCE, difference(output, expected)


def test_clip_is_the_stored_one(weights_cache: Path) -> None:
    output, expected = made_clip(weights_cache), stored("tecogan-x4-clip")
    assert np.abs(output.astype(int) - expected).max() <= TOLERANCE, difference(output, expected)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for model in STILLS:
            Image.fromarray(made(model, Path(folder))).save(GOLDEN / f"{model}.png")
        Image.fromarray(made_clip(Path(folder))).save(GOLDEN / "tecogan-x4-clip.png")
