"""Small data sets in folders: stills and clips with something to see in them, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def scene(height: int, width: int, *, shift: int = 0, seed: int = 0) -> np.ndarray:
    """HxWx3 uint8 of soft blobs and fine stripes, moved left by ``shift`` pixels."""
    generator = np.random.default_rng(seed)
    x = np.arange(width + 128)[None, :]
    y = np.arange(height)[:, None]
    picture = np.zeros((height, width + 128, 3))
    for _ in range(6):
        cx, cy, size = generator.uniform(0, width + 128), generator.uniform(0, height), generator.uniform(6, 30)
        blob = np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / size**2))
        picture += blob[..., None] * generator.uniform(60, 220, 3)
    stripes = 20 * np.sin(x / 3.0) * (y > height / 2)
    picture = picture[:, shift : shift + width] + (stripes + 20)[:, shift : shift + width, None]
    return np.rint(picture.clip(0, 255)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    """Write a picture as PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def stills(folder: Path, *names: str, height: int = 64, width: int = 80) -> Path:
    """Write one still a name."""
    for seed, name in enumerate(names):
        write(folder / f"{name}.png", scene(height, width, seed=seed))
    return folder


def clip(folder: Path, frames: int, *, height: int = 64, width: int = 80, seed: int = 0) -> Path:
    """Write the frames of one clip that moves by two pixels a frame, without leading zeros in their names."""
    for index in range(frames):
        write(folder / f"frame_{index + 1}.png", scene(height, width, shift=2 * index, seed=seed))
    return folder
