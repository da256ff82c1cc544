"""Protocols: the crops and counts that published rows were made with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irss_core.errors import InputError, InvalidOptionError
from irss_core.metrics.catalog import METRICS
from irss_core.metrics.degradation import DEGRADATIONS
from irss_core.metrics.protocols import PROTOCOLS, Crop, counted_pairs, find_protocol

TECOGAN = PROTOCOLS["tecogan-official"]


def size_of(box: tuple[slice, slice]) -> tuple[int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start


@pytest.mark.parametrize(
    ("frame", "kept"),
    [((576, 720), (544, 704)), ((480, 704), (448, 672)), ((48, 48), (32, 32)), ((79, 80), (32, 64))],
)
def test_tecogans_crop_is_centred_and_leaves_out_16_pixels(frame: tuple[int, int], kept: tuple[int, int]) -> None:
    box = TECOGAN.crop.box(*frame)
    assert size_of(box) == kept
    for part, side in zip(box, frame, strict=True):
        assert part.start == (side - (part.stop - part.start)) // 2


@given(st.integers(48, 5000), st.integers(48, 5000))
def test_tecogans_crop_is_the_largest_that_fits(height: int, width: int) -> None:
    for part, side in zip(TECOGAN.crop.box(height, width), (height, width), strict=True):
        kept = part.stop - part.start
        assert kept % 32 == 0
        assert 16 <= side - kept < 16 + 32
        assert abs(part.start - (side - part.stop)) <= 1


def test_a_border_is_left_out_on_every_side() -> None:
    assert PROTOCOLS["y-crop4"].crop.box(20, 31) == (slice(4, 16), slice(4, 27))
    assert PROTOCOLS["basicsr-rgb"].crop.box(9, 9) == (slice(4, 5), slice(4, 5))
    assert PROTOCOLS["plain"].crop.box(20, 1) == (slice(0, 20), slice(0, 1))


@pytest.mark.parametrize(
    ("name", "frame", "least"),
    [("tecogan-official", (47, 100), "48x48"), ("y-crop4", (8, 9), "9x9"), ("basicsr-rgb", (9, 8), "9x9")],
)
def test_a_frame_too_small_for_the_crop_is_refused(name: str, frame: tuple[int, int], least: str) -> None:
    with pytest.raises(InputError, match=f"{frame[1]}x{frame[0]} is too small.*at least {least}"):
        PROTOCOLS[name].crop.box(*frame)


@pytest.mark.parametrize(
    ("clips", "frames", "pairs"),
    [((41, 34, 49, 47), 155, 151), ((150, 166, 233), 537, 534)],
    ids=["Vid4", "as many as ToS3"],
)
def test_counted_frames_and_pairs_are_those_of_the_published_rows(
    clips: tuple[int, ...], frames: int, pairs: int
) -> None:
    counted = [TECOGAN.counted_frames(each) for each in clips]
    assert sum(map(len, counted)) == frames
    assert sum(len(counted_pairs(each)) for each in counted) == pairs


def test_two_frames_at_each_end_are_left_out() -> None:
    counted = TECOGAN.counted_frames(7)
    assert list(counted) == [2, 3, 4]
    assert list(counted_pairs(counted)) == [3, 4]
    assert list(TECOGAN.counted_frames(5)) == [2]
    assert list(counted_pairs(TECOGAN.counted_frames(5))) == []


@pytest.mark.parametrize("frames", [0, 1, 4])
def test_a_clip_of_which_nothing_would_count_is_refused(frames: int) -> None:
    with pytest.raises(InputError, match=f"at least 5; this one has {frames}"):
        TECOGAN.counted_frames(frames)


def test_a_still_counts_as_a_whole() -> None:
    counted = PROTOCOLS["y-crop4"].counted_frames(1)
    assert list(counted) == [0]
    assert list(counted_pairs(counted)) == []


def test_the_table_names_only_what_there_is() -> None:
    assert list(PROTOCOLS) == ["tecogan-official", "y-crop4", "basicsr-rgb", "plain"]
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert set(protocol.metrics) <= set(METRICS)
        assert len(set(protocol.metrics)) == len(protocol.metrics)
        assert protocol.degradation in DEGRADATIONS
        assert find_protocol(name) is protocol
    assert TECOGAN.metrics[:4] == ("psnr_y", "lpips_alex", "tof", "tlp100_alex")
    assert TECOGAN.published_average == "frames"


def test_unknown_protocol_is_refused_with_the_list() -> None:
    with pytest.raises(InvalidOptionError, match=r"'vid4'.*tecogan-official, y-crop4, basicsr-rgb, plain"):
        find_protocol("vid4")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "tecogan-official",
            ["16..235", "multiples of 32", "9x9", "first and last 2 frames", "over all counted frames", "5 frames",
             "thunil/TecoGAN", "7x7"],
        ),
        ("y-crop4", ["16..235", "0..255", "border of 4", "11x11", "sigma 1.5", "valid area", "imresize", "1.32"]),
        ("basicsr-rgb", ["all three channels", "border of 4", "11x11", "BasicSR"]),
        ("plain", ["all three channels", "no crop", "imresize"]),
    ],
)  # fmt: skip
def test_a_protocol_says_what_it_is(name: str, words: list[str]) -> None:
    text = "\n".join(PROTOCOLS[name].describe())
    assert [word for word in words if word not in text] == []


def test_crops_compare_by_value() -> None:
    assert Crop(border=4) == PROTOCOLS["y-crop4"].crop
