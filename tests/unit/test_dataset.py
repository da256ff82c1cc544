"""What a folder is taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irss_core.bench.dataset import Limits, brings_inputs, find_samples, match_results
from irss_core.errors import InputError
from irss_core.media.video import ClipLimits
from tests.made_clips import make_clip
from tests.made_sets import clip, scene, stills, write


def names(root: Path, **options: object) -> list[tuple[str, str, int | None]]:
    found = find_samples(root, **options)  # type: ignore[arg-type]
    return [(sample.name, sample.kind, sample.footage.frame_count) for sample in found.samples]


def test_pictures_are_stills_and_subfolders_are_clips(tmp_path: Path) -> None:
    stills(tmp_path, "b10", "b9")
    clip(tmp_path / "walk", 12)
    make_clip(tmp_path / "film.mp4")
    assert names(tmp_path) == [("b9", "still", 1), ("b10", "still", 1), ("film", "clip", 8), ("walk", "clip", 12)]


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    clip(tmp_path / "walk", 11)
    sample = find_samples(tmp_path).samples[0]
    assert [path.stem for path in sample.footage.paths][-2:] == ["frame_10", "frame_11"]
    last = list(sample.footage.frames(Limits()))[-1]
    assert np.array_equal(last, scene(64, 80, shift=20))


def test_pictures_are_one_clips_frames_where_only_clips_are_measured(tmp_path: Path) -> None:
    clip(tmp_path / "city", 3)
    assert names(tmp_path / "city", kinds=("clip",)) == [("city", "clip", 3)]


@pytest.mark.parametrize(("truth", "given"), [("HR", "LR"), ("GT", "lq"), ("truth", "input")])
def test_folders_of_truths_and_inputs_are_paired_by_name(tmp_path: Path, truth: str, given: str) -> None:
    stills(tmp_path / truth, "a", "b")
    stills(tmp_path / given, "ax4", "c", height=16, width=20)
    found = find_samples(tmp_path)
    assert [(s.name, s.truth is not None, s.input is not None) for s in found.samples] == [("a", True, True)]
    assert sorted(problem.split(":")[0] for problem in found.problems) == ["b", "c"]
    assert brings_inputs(tmp_path)


def test_names_tell_truths_and_inputs_in_one_folder(tmp_path: Path) -> None:
    stills(tmp_path, "img_001_SRF_4_HR", "img_001_SRF_4_LR")
    (sample,) = find_samples(tmp_path).samples
    assert sample.name == "img_001_SRF_4"
    assert sample.truth is not None
    assert sample.input is not None
    assert sample.truth.paths[0].stem.endswith("_HR")


def test_a_lone_truth_folder_and_named_truths_are_to_be_degraded(tmp_path: Path) -> None:
    stills(tmp_path / "one" / "HR", "a")
    stills(tmp_path / "two", "a_HR")
    for folder in ("one", "two"):
        (sample,) = find_samples(tmp_path / folder).samples
        assert (sample.name, sample.input) == ("a", None)
        assert not brings_inputs(tmp_path / folder)


def test_inputs_alone_have_no_truth(tmp_path: Path) -> None:
    stills(tmp_path / "plain", "a")
    stills(tmp_path / "named" / "LR", "a")
    assert find_samples(tmp_path / "plain", inputs_only=True).samples[0].truth is None
    assert find_samples(tmp_path / "named").samples[0].truth is None
    assert brings_inputs(tmp_path / "named")


def test_an_unreadable_file_is_named_and_the_rest_is_found(tmp_path: Path) -> None:
    stills(tmp_path, "a")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    found = find_samples(tmp_path)
    assert [sample.name for sample in found.samples] == ["a"]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("broken: ")


def test_two_files_of_one_name_are_two_samples(tmp_path: Path) -> None:
    stills(tmp_path, "a")
    write(tmp_path / "a.bmp", scene(16, 16))
    assert [name for name, _, _ in names(tmp_path)] == ["a", "a (2)"]


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: (p.mkdir(), (p / "x.txt").touch())])
def test_nothing_to_measure_is_an_error(tmp_path: Path, make: object) -> None:
    make(tmp_path / "empty")  # type: ignore[operator]
    with pytest.raises(InputError, match=r"empty"):
        find_samples(tmp_path / "empty")


def test_samples_of_another_kind_are_left_out_and_counted(tmp_path: Path) -> None:
    stills(tmp_path, "a")
    make_clip(tmp_path / "film.mp4")
    found = find_samples(tmp_path, kinds=("still",))
    assert [sample.name for sample in found.samples] == ["a"]
    assert "1 of 2" in found.problems[0]


def test_too_many_frames_are_refused_by_number(tmp_path: Path) -> None:
    clip(tmp_path / "long", 4)
    with pytest.raises(InputError, match=r"holds 4 frames; at most 3"):
        find_samples(tmp_path, limits=Limits(clip=ClipLimits(max_frames=3)))


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    clip(tmp_path / "walk", 2)
    write(tmp_path / "walk" / "frame_3.png", scene(32, 80))
    footage = find_samples(tmp_path).samples[0].footage
    with pytest.raises(InputError, match=r"frame_3\.png is 80x32, the first frame 80x64"):
        list(footage.frames(Limits()))


class TestResultsMadeElsewhere:
    def sample(self, tmp_path: Path, name: str = "a") -> object:
        stills(tmp_path / "data", name)
        return find_samples(tmp_path / "data").samples[0]

    @pytest.mark.parametrize("file", ["a", "a_x4", "a-mine", "a_HR"])
    def test_are_found_by_name(self, tmp_path: Path, file: str) -> None:
        stills(tmp_path / "out", file, "ab", "b")
        footage = match_results(tmp_path / "out", self.sample(tmp_path), only_sample=False)  # type: ignore[arg-type]
        assert footage.paths[0].stem == file

    def test_of_the_only_sample_may_have_any_name(self, tmp_path: Path) -> None:
        stills(tmp_path / "out", "whatever")
        assert match_results(tmp_path / "out", self.sample(tmp_path), only_sample=True)  # type: ignore[arg-type]

    @pytest.mark.parametrize("files", [("b",), ("a_1", "a_2")])
    def test_that_cannot_be_told_are_an_error(self, tmp_path: Path, files: tuple[str, ...]) -> None:
        stills(tmp_path / "out", *files)
        with pytest.raises(InputError, match=r"which is 'a'"):
            match_results(tmp_path / "out", self.sample(tmp_path), only_sample=False)  # type: ignore[arg-type]
