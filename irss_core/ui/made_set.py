"""The built-in set of the benchmark tab: four photographs and a clip, drawn once from what scikit-image carries."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from irss_core.ui.examples import EXAMPLE_PICTURES, Shot, clip_frames, packaged

NAME = "built-in set"
CLIP = "pinboard"
STILL_SIDE = 256
# Sharper than the example clip: these frames are the truth that is to be won back.
CLIP_SHOT = Shot((256, 192), frames=12, round_frames=24, camera_scale=2.6, lens_sigma=1.0)


def made_set(folder: Path) -> Path:
    """Return the set's own folder below ``folder``, drawing it if it is not there: pictures, and a folder of frames.

    It is there whole or not at all, whoever else draws it at the same time.

    Raises:
        OSError: ``folder`` cannot be made or written in.
    """
    target = folder / NAME
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    drawn = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        _draw(drawn)
        drawn.chmod(0o755)  # mkdtemp makes it for this user alone
        os.rename(drawn, target)  # noqa: PTH104  fails where another one came first, which Path.replace need not
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
    return target


def _draw(folder: Path) -> None:
    for picture in EXAMPLE_PICTURES:
        _square(packaged(picture.source)).save(folder / f"{picture.name}.png", optimize=True)
    (folder / CLIP).mkdir()
    for index, frame in enumerate(clip_frames(CLIP_SHOT)):
        _save_frame(frame, folder / CLIP / f"{index:02d}.png")


def _square(image: Image.Image) -> Image.Image:
    """Return the picture's middle as a square of ``STILL_SIDE``, antialiased: as sharp as its pixels allow."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((STILL_SIDE, STILL_SIDE), Image.Resampling.LANCZOS, box=box)


def _save_frame(frame: np.ndarray, path: Path) -> None:
    Image.fromarray(frame).save(path, optimize=True)
