"""A quality run: what is measured, what is kept, how it goes on, and what it says of what is wrong."""

from __future__ import annotations

import functools
import json
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from irss_core.bench import dataset
from irss_core.bench.quality import Contestant, QualityRequest, load_contestant, run_quality
from irss_core.bench.results import QualityResults, Score
from irss_core.errors import CancelledError, InvalidOptionError, OutputExistsError
from irss_core.metrics.degradation import degrade_bd, degrade_bi
from irss_core.metrics.protocols import find_protocol
from irss_core.progress import CancelToken
from tests.made_sets import clip, scene, stills, write
from tests.tiny_models import tiny_frnet

load = functools.partial(load_contestant, cache_dir=Path("no-such-folder"), offline=True)


def model(name: str) -> Contestant:
    return Contestant(name, "model", name)


def made(name: str, folder: Path) -> Contestant:
    return Contestant(name, "results", str(folder))


def request(
    data: Path, *contestants: Contestant, protocol: str = "y-crop4", degradation: str | None = None, **more: object
) -> QualityRequest:
    chosen = find_protocol(protocol)
    return QualityRequest(
        data=data,
        protocol=chosen,
        contestants=contestants or (model("bicubic"),),
        out=data.parent / "out",
        degradation=degradation or chosen.degradation,
        dtype="fp32",
        **more,  # type: ignore[arg-type]
    )


def run(wanted: QualityRequest, **options: object) -> QualityResults:
    return run_quality(wanted, load=load, **options)  # type: ignore[arg-type]


def luma(pixels: np.ndarray) -> np.ndarray:
    r, g, b = np.moveaxis(pixels.astype(float), 2, 0)
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def test_a_still_is_measured_as_the_protocol_says(tmp_path: Path) -> None:
    data = stills(tmp_path / "set", "a")
    results = run(request(data))
    truth = scene(64, 80)
    lr = Image.fromarray(degrade_bi(truth, 4))
    result = np.asarray(lr.resize((80, 64), Image.Resampling.BICUBIC))
    error = ((luma(result) - luma(truth)) ** 2)[4:-4, 4:-4].mean()
    (score,) = results.scores
    assert score.mean("psnr_y") == pytest.approx(10 * math.log10(255**2 / error), abs=1e-4)
    assert {metric.key for metric in results.metrics} >= {"psnr_y", "ssim_y", "consistency"}
    assert not {metric.key for metric in results.metrics} & {"tof", "warp_error"}, "stills have no columns over time"
    assert results.complete


def test_a_clip_counts_its_middle_and_measures_pairs_within_it(tmp_path: Path) -> None:
    data = clip(tmp_path / "walk", 8, height=96, width=112)
    results = run(request(data, protocol="tecogan-official"))
    (score,) = results.scores
    assert [frame.counted for frame in score.frames] == [False] * 2 + [True] * 4 + [False] * 2
    assert "tof" not in score.frames[2].values, "its pair reaches out of what counts"
    assert all("tof" in frame.values for frame in score.frames[3:])
    counted = [frame.values["tof"] for frame in score.frames[3:6]]
    assert score.mean("tof") == pytest.approx(np.mean(counted))


def test_every_file_named_in_the_results_is_there_and_fits(tmp_path: Path) -> None:
    data = clip(tmp_path / "walk", 6, height=96, width=112)
    wanted = request(data, model("bicubic"), model("lanczos"), protocol="tecogan-official")
    for score in run(wanted).scores:
        profile = np.asarray(Image.open(wanted.out / score.profile))
        assert profile.shape == (12, 112, 3), "six rows of the truth above six of the result"
        kinds = {glimpse.kind: glimpse for glimpse in score.glimpses}
        assert set(kinds) == {"middle", "worst"}
        for glimpse in kinds.values():
            x, y, width, height = glimpse.box
            truth = np.asarray(Image.open(wanted.out / glimpse.truth))
            expected = scene(96, 112, shift=2 * glimpse.index)[y : y + height, x : x + width]
            assert np.array_equal(truth, expected)
        worst = kinds["worst"]
        values = {frame.index: frame.values["psnr_y"] for frame in score.frames if frame.counted}
        assert worst.index == min(values, key=values.__getitem__)
        assert worst.value == pytest.approx(values[worst.index])


def test_bd_data_is_compared_on_its_own_grid(tmp_path: Path) -> None:
    data = clip(tmp_path / "walk", 5, height=96, width=112)
    for index in range(5):  # bicubic as it is shown to visitors: 1.5 pixels off where BD data has its truth
        lr = Image.fromarray(degrade_bd(scene(96, 112, shift=2 * index)))
        write(tmp_path / "off" / f"{index}.png", np.asarray(lr.resize((112, 96), Image.Resampling.BICUBIC)))
    results = run(request(data, model("bicubic"), made("off", tmp_path / "off"), protocol="tecogan-official"))
    on_grid, off_grid = (results.average(name, "psnr_y", "frames") or 0 for name in ("bicubic", "off"))
    assert on_grid > off_grid + 2


def test_a_checkpoint_stands_in_the_table_with_its_digest(tmp_path: Path) -> None:
    data = clip(tmp_path / "walk", 5, height=96, width=112)
    network = tiny_frnet().network
    assert network is not None
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, tmp_path / "own.safetensors")
    own = Contestant("own", "checkpoint", str(tmp_path / "own.safetensors"))
    results = run(request(data, own, protocol="tecogan-official"))
    (entry,) = results.entries
    assert len(entry.weights_sha256[0]) == 64
    assert entry.multiply_adds > 0
    assert entry.parameters > 0
    assert results.scores[0].seconds > 0
    assert len(results.scores[0].frames) == 5


def test_results_equal_to_the_truth_are_infinitely_near_and_survive_json(tmp_path: Path) -> None:
    data = stills(tmp_path / "set", "a", "b")
    results = run(request(data, made("copy", data)))
    assert results.average("copy", "psnr_y", "frames") == math.inf
    assert results.average("copy", "ssim_y", "clips") == pytest.approx(1)
    text = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert QualityResults.from_json(text) == results
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_averages_over_frames_and_over_clips_differ_as_the_lengths_do(tmp_path: Path) -> None:
    clip(tmp_path / "set" / "long", 9)
    clip(tmp_path / "set" / "short", 3, seed=5)
    results = run(request(tmp_path / "set", protocol="plain"))
    means = {score.sample: score.mean("psnr_rgb") for score in results.scores}
    assert results.average("bicubic", "psnr_rgb", "clips") == pytest.approx((means["long"] + means["short"]) / 2)
    over_frames = (9 * means["long"] + 3 * means["short"]) / 12
    assert results.average("bicubic", "psnr_rgb", "frames") == pytest.approx(over_frames)


class TestGoingOn:
    def count(self, wanted: QualityRequest, **options: object) -> list[tuple[str, str]]:
        done: list[tuple[str, str]] = []
        run(wanted, on_score=lambda score, _: done.append((score.sample, score.entry)), **options)
        return done

    def test_nothing_is_measured_twice(self, tmp_path: Path) -> None:
        wanted = request(stills(tmp_path / "set", "a", "b"))
        assert self.count(wanted) == [("a", "bicubic"), ("b", "bicubic")]
        assert self.count(wanted) == []

    def test_a_new_model_is_measured_beside_the_old_one(self, tmp_path: Path) -> None:
        data = stills(tmp_path / "set", "a")
        self.count(request(data))
        assert self.count(request(data, model("bicubic"), model("lanczos"))) == [("a", "lanczos")]

    def test_a_changed_file_is_measured_again(self, tmp_path: Path) -> None:
        data = stills(tmp_path / "set", "a", "b")
        self.count(request(data))
        write(data / "b.png", scene(64, 80, seed=9))
        assert self.count(request(data)) == [("b", "bicubic")]

    def test_what_failed_is_tried_again(self, tmp_path: Path) -> None:
        data = stills(tmp_path / "set", "a", "b")
        stills(tmp_path / "mine", "a")
        wanted = request(data, made("mine", tmp_path / "mine"))
        assert not run(wanted).complete
        stills(tmp_path / "mine", "a", "b")
        assert run(wanted).complete

    def test_an_interrupted_run_keeps_what_it_measured(self, tmp_path: Path) -> None:
        wanted, token = request(stills(tmp_path / "set", "a", "b", "c")), CancelToken()
        with pytest.raises(CancelledError, match=r"Stopped with 1 of 3 measured"):
            run(wanted, cancel=token, on_score=lambda *_: token.cancel())
        assert self.count(wanted) == [("b", "bicubic"), ("c", "bicubic")]

    def test_another_protocol_does_not_mix_with_it(self, tmp_path: Path) -> None:
        data = stills(tmp_path / "set", "a")
        self.count(request(data))
        with pytest.raises(OutputExistsError, match=r"protocol 'y-crop4' there and 'plain' now"):
            run(request(data, protocol="plain"))

    def test_a_foreign_file_is_not_overwritten(self, tmp_path: Path) -> None:
        wanted = request(stills(tmp_path / "set", "a"))
        wanted.out.mkdir()
        (wanted.out / "results.json").write_text("{}", encoding="utf-8")
        with pytest.raises(OutputExistsError, match=r"results\.json cannot be continued"):
            run(wanted)
        assert (wanted.out / "results.json").read_text(encoding="utf-8") == "{}"


class TestBadInput:
    def scores(self, wanted: QualityRequest) -> dict[str, Score]:
        results = run(wanted)
        assert not results.complete
        return {score.sample: score for score in results.scores}

    def test_a_frame_that_cannot_be_read_costs_its_clip_only(self, tmp_path: Path) -> None:
        clip(tmp_path / "set" / "good", 3)
        clip(tmp_path / "set" / "bad", 3)
        (tmp_path / "set" / "bad" / "frame_2.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
        scores = self.scores(request(tmp_path / "set", protocol="plain"))
        assert "frame_2.png" in scores["bad"].problem
        assert scores["bad"].frames == ()
        assert len(scores["good"].frames) == 3

    def test_results_of_another_size_are_named(self, tmp_path: Path) -> None:
        data = stills(tmp_path / "set", "a", "b")
        stills(tmp_path / "mine", "a")
        stills(tmp_path / "mine", "b", width=84)
        scores = self.scores(request(data, made("mine", tmp_path / "mine")))
        assert "mine gives 84x64, but 80x64 is measured" in scores["b"].problem
        assert scores["a"].mean("psnr_y") == math.inf

    def test_results_with_a_frame_missing_are_named(self, tmp_path: Path) -> None:
        clip(tmp_path / "set" / "walk", 4)
        clip(tmp_path / "mine" / "walk", 3)
        scores = self.scores(request(tmp_path / "set", made("mine", tmp_path / "mine"), protocol="plain"))
        assert "mine has 3 frames of walk, the data set has 4" in scores["walk"].problem

    def test_inputs_of_another_scale_are_named(self, tmp_path: Path) -> None:
        stills(tmp_path / "set" / "HR", "a")
        stills(tmp_path / "set" / "LR", "a", height=32, width=40)
        scores = self.scores(request(tmp_path / "set", degradation="none"))
        assert "The truth is 80x64, but 4 times the input (40x32) is 160x128" in scores["a"].problem

    def test_a_clip_too_short_for_the_protocol_is_named(self, tmp_path: Path) -> None:
        scores = self.scores(request(clip(tmp_path / "walk", 4, height=96, width=96), protocol="tecogan-official"))
        assert "at least 5; this one has 4" in scores["walk"].problem

    def test_a_truth_that_is_no_multiple_is_cropped_and_said(self, tmp_path: Path) -> None:
        data = stills(tmp_path / "set", "a", height=67, width=82)
        results = run(request(data))
        (sample,) = results.samples
        assert (sample.width, sample.height) == (80, 64)
        assert sample.notes == ("truth cropped from 82x67 to a multiple of 4",)
        by_hand = write(tmp_path / "by hand" / "set" / "a.png", scene(67, 82)[:64, :80])
        assert run(request(by_hand.parent)).scores[0].frames == results.scores[0].frames

    def test_a_single_frame_has_nothing_over_time(self, tmp_path: Path) -> None:
        clip(tmp_path / "set" / "one", 1)
        results = run(request(tmp_path / "set", protocol="plain"))
        assert "tof" not in results.scores[0].frames[0].values
        assert results.samples[0].notes == ("a single frame: nothing is measured over time",)
        assert results.complete

    def test_a_picture_too_small_for_one_metric_has_the_others(self, tmp_path: Path) -> None:
        results = run(request(stills(tmp_path / "set", "a")))
        (score,) = results.scores
        assert score.mean("ms_ssim_y") is None
        assert any("MS-SSIM" in note and "176" in note for note in score.fallbacks)

    def test_without_truth_only_the_consistency_is_measured(self, tmp_path: Path) -> None:
        results = run(request(stills(tmp_path / "set", "a", height=20, width=24), degradation="none"))
        (score,) = results.scores
        assert set(score.frames[0].values) == {"consistency"}
        assert score.mean("consistency") > 25
        assert results.samples[0].width == 96

    def test_one_name_for_two_entries_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidOptionError, match="'bicubic' is named twice"):
            run(request(stills(tmp_path / "set", "a"), model("bicubic"), model("bicubic")))

    def test_a_missing_network_is_said_in_its_column(self, tmp_path: Path) -> None:
        results = run(request(stills(tmp_path / "set", "a"), metrics=("lpips_vgg",)))
        missing = {metric.key: metric.missing for metric in results.metrics}
        assert missing["lpips_vgg"]
        assert results.average("bicubic", "lpips_vgg", "frames") is None


def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    data = stills(tmp_path / "set", "a", "b", "c")
    one = run(request(data, model("bicubic"), model("lanczos")))
    two = run(replace(request(data, model("bicubic"), model("lanczos")), out=tmp_path / "two"), workers=2)
    values = [[(s.entry, s.sample, [f.values for f in s.frames]) for s in each.scores] for each in (one, two)]
    assert values[0] == values[1]


def test_memory_does_not_grow_with_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path / "set" / "walk", 40, height=32, width=32)
    alive, most = 0, 0
    read = dataset.Footage.frames

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def watched(self: dataset.Footage, limits: dataset.Limits) -> Iterator[np.ndarray]:
        nonlocal alive, most
        for frame in read(self, limits):
            own = frame.copy()
            weakref.finalize(own, gone)
            alive += 1
            most = max(most, alive)
            yield own

    monkeypatch.setattr(dataset.Footage, "frames", watched)
    assert len(run(request(tmp_path / "set", protocol="plain")).scores[0].frames) == 40
    assert most < 20, most  # what a sequence model looks ahead, and some in work; not all 40
