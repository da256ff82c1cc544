"""Tile geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irss_core.sr.tiling import Box, split_axis, split_box


@given(length=st.integers(1, 500), size=st.integers(1, 200))
def test_axis_is_covered_exactly_once_by_parts_no_longer_than_size(length: int, size: int) -> None:
    parts = split_axis(length, size=size)
    assert [index for start, stop in parts for index in range(start, stop)] == list(range(length))
    lengths = [stop - start for start, stop in parts]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40), top=st.integers(0, 9))
def test_tiles_cover_every_pixel_exactly_once(height: int, width: int, size: int, top: int) -> None:
    box = Box(top, 3, top + height, 3 + width)
    count = np.zeros((top + height, 3 + width), int)
    for tile in split_box(box, size=size):
        count[tile.slices] += 1
    assert (count[box.slices] == 1).all()
    assert count.sum() == box.area


@pytest.mark.parametrize("margin", [0, 1, 5, 100])
def test_grown_box_stays_within_the_plane(margin: int) -> None:
    plane = Box(0, 0, 20, 30)
    grown = Box(4, 6, 10, 12).grown(margin, within=plane)
    assert grown.top == max(4 - margin, 0)
    assert grown.left == max(6 - margin, 0)
    assert grown.bottom == min(10 + margin, 20)
    assert grown.right == min(12 + margin, 30)


def test_relative_and_scaled_boxes_address_the_same_pixels() -> None:
    plane = np.arange(30 * 40).reshape(30, 40)
    window, core = Box(5, 7, 25, 37), Box(8, 9, 20, 30)
    assert np.array_equal(plane[window.slices][core.relative_to(window).slices], plane[core.slices])
    fine = plane.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(fine[core.scaled(2).slices], plane[core.slices].repeat(2, 0).repeat(2, 1))
