"""What visitors type and drag becomes plain data, whatever it is."""

from __future__ import annotations

import json

import pytest

from irss_core.errors import InvalidOptionError
from irss_core.media.video import ClipPart
from irss_core.ui.requests import Region, parse_outscale, parse_part, parse_region


def region(x: float, y: float, width: float, height: float) -> str:
    return json.dumps({"x": x, "y": y, "width": width, "height": height})


def test_a_region_is_taken_where_it_was_marked() -> None:
    assert parse_region(region(10, 20, 192, 192), width=640, height=480, size=192) == Region(10, 20, 192, 192)


def test_a_region_of_another_size_keeps_its_middle() -> None:
    assert parse_region(region(200, 100, 192, 192), width=640, height=480, size=128) == Region(232, 132, 128, 128)
    assert parse_region(region(0, 0, 128, 128), width=640, height=480, size=256) == Region(0, 0, 256, 256)


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", "7", "null", "nonsense", '{"x": 1}', '{"x":"a","y":1,"width":1,"height":1}']
)
def test_without_a_usable_region_the_middle_is_taken(text: str | None) -> None:
    assert parse_region(text, width=640, height=480, size=192) == Region(224, 144, 192, 192)


@pytest.mark.parametrize(
    "text",
    [
        region(-50, -50, 100, 100),
        region(630, 470, 100, 100),
        region(0, 0, 9999, 9999),
        region(5, 5, 0, -3),
        region(1e300, 1e300, 1e300, 1e300),
        '{"x": NaN, "y": 0, "width": 10, "height": 10}',
        '{"x": Infinity, "y": 0, "width": 10, "height": 10}',
    ],
)
def test_a_region_never_leaves_the_picture(text: str) -> None:
    found = parse_region(text, width=640, height=480, size=192)
    assert 0 <= found.x < found.x + found.width <= 640
    assert 0 <= found.y < found.y + found.height <= 480


def test_a_picture_smaller_than_the_region_is_taken_whole() -> None:
    assert parse_region("", width=20, height=1, size=192) == Region(0, 0, 20, 1)


@pytest.mark.parametrize(
    ("text", "factor"),
    [("2", 2.0), ("3.5", 3.5), ("3,5", 3.5), ("x4", 4.0), ("4x", 4.0), (" 8 ", 8.0), (2.5, 2.5), ("0.5", 0.5)],
)
def test_scales_are_read_as_people_write_them(text: str | float, factor: float) -> None:
    assert parse_outscale(text) == factor


@pytest.mark.parametrize("text", [None, "", "auto", "The models' own"])
def test_no_scale_is_the_models_own(text: str | None) -> None:
    assert parse_outscale(text) is None


@pytest.mark.parametrize("text", ["zero", "-1", "17", "nan", "inf", "0", "1e99", "<b>"])
def test_impossible_scales_are_refused_with_the_limit(text: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"Use (for example|a number above 0 and up to 16)"):
        parse_outscale(text)


def test_a_part_is_moved_inside_the_clip() -> None:
    assert parse_part(1.0, 2.0, duration_s=10.0) == ClipPart(1.0, 2.0)
    assert parse_part(9.5, 2.0, duration_s=10.0) == ClipPart(8.0, 2.0)
    assert parse_part(0.0, 99.0, duration_s=10.0) == ClipPart(0.0, 10.0)
    assert parse_part(-3.0, 1.0, duration_s=None) == ClipPart(0.0, 1.0)


@pytest.mark.parametrize("length", [0.0, -1.0, None, float("nan")])
def test_a_part_without_length_is_refused(length: float | None) -> None:
    with pytest.raises(InvalidOptionError, match="no frames"):
        parse_part(0.0, length, duration_s=10.0)
