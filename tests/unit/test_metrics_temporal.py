"""Temporal metrics on pictures whose motion is known, and against the formulas written out."""

from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from irss_core.errors import ResourceError
from irss_core.metrics.temporal import flow, grey, tof, warping_error

BOX = (slice(24, -24), slice(24, -24))


def moving(dx: int, dy: int = 0, *, frames: int = 2, seed: int = 5) -> list[np.ndarray]:
    """A textured picture that moves right and down by whole pixels, HxWx3 uint8."""
    side = 160
    room = 1 + (frames - 1) * max(abs(dx), abs(dy))
    noise = np.random.default_rng(seed).normal(size=(side + 2 * room, side + 2 * room, 3))
    smooth = gaussian_filter(noise, (1.5, 1.5, 0))
    texture = (128 + 45 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    return [texture[room - t * dy :, room - t * dx :][:side, :side] for t in range(frames)]


def flow_of(frames: list[np.ndarray]) -> np.ndarray:
    return flow(grey(frames[0]), grey(frames[1]))


def test_grey_is_bt601() -> None:
    picture = moving(1)[0]
    assert np.abs(grey(picture) - picture.astype(float) @ (0.299, 0.587, 0.114)).max() <= 0.51


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, 2), (-2, 1)])
def test_flow_points_where_the_picture_moves(dx: int, dy: int) -> None:
    found = flow_of(moving(dx, dy))
    assert found.dtype == np.float32
    assert found[BOX].mean(axis=(0, 1)) == pytest.approx((dx, dy), abs=0.05)


def test_tof_is_the_mean_length_of_the_difference() -> None:
    generator = np.random.default_rng(1)
    a, b = (generator.normal(0, 3, (17, 31, 2)).astype(np.float32) for _ in range(2))
    expected = np.mean([np.linalg.norm(p - q) for p, q in zip(a.reshape(-1, 2), b.reshape(-1, 2), strict=True)])
    assert tof(a, b) == pytest.approx(expected, rel=1e-5)


def test_tof_tells_a_moving_clip_from_a_still_one() -> None:
    moves = moving(3)
    stands = [moves[0], moves[0]]
    truth = flow_of(moves)[BOX]
    assert tof(truth, truth) == 0
    assert tof(flow_of(stands)[BOX], truth) == pytest.approx(3, abs=0.05)


def whole_pixel_flow(dx: float, dy: float = 0) -> np.ndarray:
    return np.broadcast_to(np.float32((dx, dy)), (160, 160, 2)).copy()


def error_along(frames: list[np.ndarray], truth: list[np.ndarray], moved: np.ndarray, **box: object) -> float | None:
    return warping_error(frames[0], frames[1], truth_previous=truth[0], truth_current=truth[1], truth_flow=moved, **box)  # type: ignore[arg-type]


def test_a_perfectly_moved_clip_has_no_warping_error() -> None:
    truth = moving(3, 1)
    assert error_along(truth, truth, whole_pixel_flow(3, 1)) == 0
    assert error_along(truth, truth, whole_pixel_flow(-3, -1)) > 1  # the flow points forward in time


def test_flicker_is_a_warping_error_of_known_size() -> None:
    truth = moving(3)
    dim = [frame // 2 for frame in truth]
    flickering = [dim[0], dim[1] + 51]  # a fifth of the range
    assert error_along(flickering, truth, whole_pixel_flow(3)) == pytest.approx(1000 * 0.2**2, rel=1e-4)


def test_warping_error_is_the_formula() -> None:
    """Against scipy's bilinear interpolation, with a flow that is no whole number and leaves the picture."""
    generator = np.random.default_rng(2)
    truth, frames = moving(2, seed=3), moving(1, seed=4)
    moved = (whole_pixel_flow(2) + generator.normal(0, 1.5, (160, 160, 2))).astype(np.float32)
    box = (slice(0, 100), slice(30, 160))
    y, x = np.mgrid[:160, :160].astype(float)
    x, y = (x + moved[..., 0])[box], (y + moved[..., 1])[box]

    def change(pair: list[np.ndarray]) -> np.ndarray:
        now = [map_coordinates(pair[1][..., c] / 255, [y, x], order=1, mode="nearest") for c in range(3)]
        return ((np.stack(now, axis=-1) - pair[0][box] / 255) ** 2).sum(axis=-1)

    follows = (x >= 0) & (x <= 159) & (y >= 0) & (y <= 159)
    assert 0.9 < follows.mean() < 1
    weight = np.exp(-50 * change(truth)) * follows
    expected = 1000 * (weight * change(frames) / 3).sum() / weight.sum()
    assert error_along(frames, truth, moved, box=box) == pytest.approx(expected, rel=1e-3)


def test_what_the_truth_uncovers_hardly_counts() -> None:
    truth, frames = moving(3), moving(3)
    truth[1] = truth[1].copy()
    truth[1][40:80, 40:80] = 255 - truth[1][40:80, 40:80]  # something else stands there all of a sudden
    frames[1] = truth[1]
    known = error_along(frames, truth, whole_pixel_flow(3))
    unweighted = 1000 * np.mean((frames[1][:, 3:] / 255 - frames[0][:, :-3] / 255) ** 2)
    assert known < unweighted / 10


def test_a_flow_that_leaves_the_picture_everywhere_has_no_warping_error() -> None:
    truth = moving(3)
    assert error_along(truth, truth, whole_pixel_flow(500)) is None


def test_box_counts_only_what_is_in_it() -> None:
    truth, frames = moving(3), moving(3)
    frames[1] = frames[1].copy()
    frames[1][100:, :] = 0
    assert error_along(frames, truth, whole_pixel_flow(3), box=(slice(8, 90), slice(8, -8))) == 0
    assert error_along(frames, truth, whole_pixel_flow(3), box=(slice(8, -8), slice(8, -8))) > 1


def test_missing_system_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_gl(name: str, *args: object, **kwargs: object) -> object:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_gl)
    with pytest.raises(ResourceError, match=r"libGL\.so\.1.*apt-get install libgl1"):
        grey(np.zeros((8, 8, 3), np.uint8))
