"""The examples: drawn offline from an installed package, always the same, small, with motion that loops."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import numpy as np
import pytest

from irss_core.media.images import read_image
from irss_core.media.video import probe_clip, read_frames
from irss_core.ui import examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def images(folder: Path) -> list[Path]:
    return examples.example_images(folder)


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    return examples.example_clip(folder)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack(list(examples.clip_frames()))


def test_every_picture_is_drawn_small_enough_for_a_quick_try(images: list[Path]) -> None:
    assert [path.stem for path in images] == ["astronaut", "cat", "coffee", "rocket"]
    for path in images:
        picture = read_image(path)
        assert picture.color.dtype == np.uint8
        assert picture.color.shape[2] == 3
        assert 160 <= max(picture.color.shape) <= 256
        assert picture.color.std() > 20, "a picture, not a flat area"


def test_every_source_is_inside_the_installed_package() -> None:
    carried = {path.name for path in importlib.metadata.files("scikit-image") or () if path.parent.name == "data"}
    assert {picture.source for picture in examples.EXAMPLE_PICTURES} | {"brick.png"} <= carried


def test_every_picture_is_free_to_use_and_says_so() -> None:
    assert all("CC0" in picture.credit or "public domain" in picture.credit for picture in examples.EXAMPLE_PICTURES)


def test_pictures_are_the_same_every_time(images: list[Path], tmp_path: Path) -> None:
    again = examples.example_images(tmp_path / "made" / "on demand")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in images]


def test_what_is_there_is_kept(images: list[Path], clip: Path, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (*images, clip)}
    assert (*examples.example_images(folder), examples.example_clip(folder)) == (*images, clip)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_only_the_examples_lie_in_the_folder(images: list[Path], clip: Path, folder: Path) -> None:
    assert sorted(folder.iterdir()) == sorted([*images, clip]), "no temporary file stays behind"


def test_other_users_may_read_them(images: list[Path], clip: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in (*images, clip)} == {0o666 & ~umask}


def test_clip_is_what_its_constants_say(clip: Path) -> None:
    info = probe_clip(clip)
    assert (info.width, info.height) == examples.CLIP_SIZE
    assert info.fps == examples.CLIP_FPS
    assert info.codec == "h264"
    assert clip.stat().st_size < 500_000
    assert sum(1 for _ in read_frames(clip)) == examples.CLIP_FRAMES


def test_clip_survives_its_coding(clip: Path, frames: np.ndarray) -> None:
    decoded = np.stack([frame.pixels for frame in read_frames(clip)])
    error = decoded.astype(float) - frames
    assert np.sqrt(np.mean(error**2)) < 6, f"per frame: {np.sqrt(np.mean(error**2, axis=(1, 2, 3))).round(2)}"


def test_clip_is_the_same_every_time(frames: np.ndarray) -> None:
    assert all(np.array_equal(frame, again) for frame, again in zip(frames[:3], examples.clip_frames(), strict=False))


def test_clip_moves_smoothly_and_loops_without_a_jump(frames: np.ndarray) -> None:
    steps = np.abs(np.diff(frames.astype(float), axis=0, append=frames[:1])).mean(axis=(1, 2, 3))
    assert steps.min() > 1, f"a frame stands still: {steps.round(2)}"
    assert steps.max() < 3 * np.median(steps), f"a frame jumps: {steps.round(2)}"


def test_camera_never_sees_past_the_wall(frames: np.ndarray) -> None:
    border = np.concatenate([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], axis=1)
    assert (border.max(axis=-1) > 0).all()


def test_motion_is_finer_than_a_pixel(frames: np.ndarray) -> None:
    # Whole-pixel motion would give a recurrent model nothing to gather: some later frame would repeat the first one
    # exactly, shifted. None does, over every shift the camera could have made.
    middle = frames[0, 40:80, 60:100].astype(float)
    for other in (1, 2, 3):
        best = min(
            np.abs(frames[other, 40 + dy : 80 + dy, 60 + dx : 100 + dx] - middle).mean()
            for dy in range(-12, 13)
            for dx in range(-12, 13)
        )
        assert best > 0.5, f"frame {other} is frame 0 shifted by whole pixels"
