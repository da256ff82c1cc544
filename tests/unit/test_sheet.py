"""The comparison sheet: every pixel of the panels unchanged, room for every label, sizes an encoder takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from irss_core.sheet import (
    FrameSheet,
    Panel,
    compose_sheet,
    enlarge_pixels,
    grid_columns,
    wrap_text,
)


def noise(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def find(picture: np.ndarray, sheet: np.ndarray) -> tuple[int, int] | None:
    """Where the picture stands in the sheet, exactly."""
    height, width = picture.shape[:2]
    rows, columns = np.nonzero((sheet == picture[0, 0]).all(axis=2))
    for top, left in zip(rows, columns, strict=True):
        if np.array_equal(sheet[top : top + height, left : left + width], picture):
            return int(top), int(left)
    return None


class TestSheet:
    def test_panels_stand_side_by_side_with_every_pixel_unchanged(self):
        pictures = [noise(60, 320, seed=seed) for seed in range(3)]
        sheet = compose_sheet([Panel(f"model {i}", picture, ("1 s",)) for i, picture in enumerate(pictures)])
        places = [find(picture, sheet) for picture in pictures]
        assert None not in places
        tops, lefts = zip(*places, strict=True)
        assert len(set(tops)) == 1
        assert all(right - left >= 320 for left, right in itertools.pairwise(lefts))
        assert sheet.dtype == np.uint8

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (37, 53)])
    def test_odd_sizes_fit(self, size):
        picture = noise(*size)
        assert find(picture, compose_sheet([Panel("a", picture), Panel("b", noise(*size, seed=1))])) is not None

    def test_panels_of_different_sizes_fit(self):
        small, large = noise(20, 30), noise(80, 400, seed=1)
        sheet = compose_sheet([Panel("small", small), Panel("large", large)])
        assert find(small, sheet) is not None
        assert find(large, sheet) is not None

    def test_more_than_four_panels_take_several_rows(self):
        pictures = [noise(24, 24, seed=seed) for seed in range(5)]
        sheet = compose_sheet([Panel(str(i), picture) for i, picture in enumerate(pictures)])
        tops = {find(picture, sheet)[0] for picture in pictures}
        assert len(tops) == 2

    def test_captions_leave_ink_and_longer_ones_take_more_room(self):
        picture = np.full((40, 300, 3), 200, np.uint8)
        short = compose_sheet([Panel("A", picture)])
        long = compose_sheet([Panel("A", picture, ("a fact of many words " * 12, "another"))], heading="photo.jpg")
        assert (short < 100).any(), "no title was drawn"
        assert long.shape[0] > short.shape[0] + 50
        assert long.shape[1] == short.shape[1]

    @pytest.mark.parametrize("name", ["Grüße.png", "写真.png", "a\nb\x1b[31m.png", "\udcff\udcfe.png", "x" * 900, ""])
    def test_any_file_name_can_stand_in_the_heading(self, name):
        picture = noise(24, 24)
        assert find(picture, compose_sheet([Panel(name, picture)], heading=name)) is not None

    def test_wider_pictures_get_larger_type(self):
        def first_ink_height(width: int) -> int:
            rows = (compose_sheet([Panel("H", np.full((8, width, 3), 250, np.uint8))]) < 100).any(axis=(1, 2))
            return int(rows.sum())

        assert first_ink_height(2000) > first_ink_height(300)

    def test_no_panel_is_refused(self):
        with pytest.raises(ValueError, match="panel"):
            compose_sheet([])


class TestFrameSheet:
    @pytest.mark.parametrize(("width", "height", "count"), [(32, 24, 2), (33, 25, 2), (33, 25, 3), (1, 1, 4)])
    def test_frames_stand_unchanged_in_frames_with_even_sides(self, width, height, count):
        sheet = FrameSheet([f"model {i}" for i in range(count)], width, height)
        frames = [noise(height, width, seed=seed) for seed in range(count)]
        composed = sheet.compose(frames)
        assert composed.shape == (sheet.height, sheet.width, 3)
        assert sheet.width % 2 == 0
        assert sheet.height % 2 == 0
        assert all(find(frame, composed) is not None for frame in frames)

    def test_titles_stay_and_frames_change(self):
        sheet = FrameSheet(["left", "right"], 200, 40)
        first, second = (sheet.compose([noise(40, 200, seed=s), noise(40, 200, seed=s + 9)]) for s in (0, 1))
        top = sheet.height - 42
        assert np.array_equal(first[:top], second[:top])
        assert (first[:top] > 200).any(), "no title was drawn"
        assert not np.array_equal(first, second)

    def test_wrong_frames_are_refused(self):
        sheet = FrameSheet(["left", "right"], 8, 8)
        with pytest.raises(ValueError, match="1 frames for 2"):
            sheet.compose([noise(8, 8)])
        with pytest.raises(ValueError, match="announced"):
            sheet.compose([noise(8, 8), noise(9, 8)])


class TestPixels:
    def test_enlarged_pixels_are_squares_of_the_input(self):
        picture = noise(3, 4)
        assert np.array_equal(enlarge_pixels(picture, 16, 12), picture.repeat(4, axis=0).repeat(4, axis=1))
        assert enlarge_pixels(picture, 7, 5).shape == (5, 7, 3)
        assert set(map(tuple, enlarge_pixels(picture, 7, 5).reshape(-1, 3))) <= set(map(tuple, picture.reshape(-1, 3)))

    def test_columns(self):
        assert [grid_columns(count) for count in range(1, 10)] == [1, 2, 3, 4, 3, 3, 4, 4, 3]


class TestWrapping:
    def font(self):
        from PIL import ImageFont

        return ImageFont.load_default(14)

    def test_lines_fit_and_nothing_is_lost(self):
        text = "one two three " * 9 + "x" * 300
        lines = wrap_text(text, self.font(), 90)
        assert max(self.font().getlength(line) for line in lines) <= 90
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")

    def test_a_width_of_one_pixel_still_ends(self):
        assert wrap_text("abc", self.font(), 1) == ["a", "b", "c"]
