"""The benchmark tab's parts without a browser: sets taken in, measuring, forecasts, the table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irss_core.bench.dataset import Limits, find_samples
from irss_core.bench.results import EntryInfo, FrameScore, MetricInfo, QualityResults, SampleInfo, Score
from irss_core.config import Settings
from irss_core.errors import CancelledError, InputError, InvalidOptionError
from irss_core.progress import CancelToken
from irss_core.services import Services, build_services
from irss_core.ui import bench_forecast, bench_tables, made_set
from irss_core.ui.bench_sets import UploadedSet, describe, samples_of, take_uploads
from irss_core.ui.bench_tab import _different, bench_choices
from irss_core.ui.benches import BenchRun, run_bench
from irss_core.ui.requests import BenchRequest, LargeBench
from irss_core.ui.running import Board
from tests import made_sets, tiny_models

MEGABYTE = 1_000_000
STILL = made_sets.scene(16, 16)


def png(folder: Path, name: str = "x.png") -> bytes:
    return made_sets.write(folder / name, STILL).read_bytes()


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def taken(files: list[Path], folder: Path, *, max_bytes: int = MEGABYTE) -> UploadedSet:
    folder.mkdir(exist_ok=True)
    return take_uploads(files, folder, limits=Limits(), max_bytes=max_bytes)


def found_in(uploaded: UploadedSet) -> dict[str, tuple[str, int | None]]:
    dataset = samples_of(uploaded, kinds=("still", "clip"), limits=Limits())
    return {sample.name: (sample.kind, sample.footage.frame_count) for sample in dataset.samples}


# ------------------------------------------------------------------------------------------------------- sets taken in


def test_pictures_and_clips_are_taken_as_they_are(tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "a.png", tmp_path / "2" / "a.png"
    made_sets.write(first, STILL)
    made_sets.write(second, made_sets.scene(8, 24))
    uploaded = taken([first, second], tmp_path / "set")
    assert found_in(uploaded) == {"a": ("still", 1), "a (2)": ("still", 1)}
    dataset = samples_of(uploaded, kinds=("still", "clip"), limits=Limits())
    assert describe(dataset) == "2 stills, up to 16 x 16"
    assert uploaded.name == "2 uploaded files"


def test_a_zip_of_high_and_low_resolution_brings_its_own_inputs(tmp_path: Path) -> None:
    content, small = png(tmp_path / "m"), made_sets.write(tmp_path / "m" / "s.png", STILL[::4, ::4]).read_bytes()
    path = zipped(tmp_path / "Mine.zip", {"Mine/HR/a.png": content, "Mine/LR/a.png": small, "Mine/about.md": b"x"})
    uploaded = taken([path], tmp_path / "set")
    assert uploaded.has_inputs
    assert uploaded.left_out == ("about.md",)
    (sample,) = samples_of(uploaded, kinds=("still",), limits=Limits()).samples
    assert sample.truth is not None
    assert sample.input is not None
    assert (sample.truth.width, sample.input.width) == (16, 4)


def test_a_zipped_folder_of_frames_is_a_clip_and_one_of_pictures_is_stills(tmp_path: Path) -> None:
    frames = made_sets.clip(tmp_path / "frames", 3, height=16, width=16)
    clip = zipped(tmp_path / "walk.zip", {f"walk/{path.name}": path.read_bytes() for path in frames.iterdir()})
    assert found_in(taken([clip], tmp_path / "one")) == {"walk": ("clip", 3)}
    content = png(tmp_path / "m")
    stills = zipped(tmp_path / "Set5.zip", {"Set5/baby.png": content, "Set5/bird.png": content})
    assert found_in(taken([stills], tmp_path / "two")) == {"baby": ("still", 1), "bird": ("still", 1)}
    other = made_sets.write(tmp_path / "m" / "o.png", made_sets.scene(8, 24)).read_bytes()
    numbered = zipped(tmp_path / "div.zip", {"div/01.png": content, "div/02.png": other})
    assert found_in(taken([numbered], tmp_path / "three")) == {"01": ("still", 1), "02": ("still", 1)}
    both = zipped(tmp_path / "both.zip", {"set/a/1.png": content, "set/a/2.png": content, "set/x.png": content})
    assert found_in(taken([both], tmp_path / "four")) == {"a": ("clip", 2), "x": ("still", 1)}


def test_what_cannot_be_measured_is_named(tmp_path: Path) -> None:
    good, text = made_sets.write(tmp_path / "a.png", STILL), tmp_path / "notes.txt"
    text.write_text("hello")
    archive = zipped(tmp_path / "set.zip", {"notes.txt": b"hello"})
    for files, words in (
        ([good, text], "notes.txt is neither a picture nor a clip"),
        ([archive, good], "set.zip is a whole data set"),
        ([archive], "holds no picture and no clip"),
        ([good] * 501, "501 files; at most 500"),
    ):
        with pytest.raises(InputError, match=words):
            taken(files, tmp_path / "set")
    with pytest.raises(InputError, match="bytes; at most 100 are taken"):
        taken([good], tmp_path / "set", max_bytes=100)
    false = tmp_path / "false.png"
    false.write_text("no picture")
    uploaded = taken([false], tmp_path / "set")
    with pytest.raises(InputError, match="nothing to measure in false") as caught:
        samples_of(uploaded, kinds=("still",), limits=Limits())
    assert str(tmp_path) not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- the built-in set


@pytest.fixture(scope="module")
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_set.made_set(tmp_path_factory.mktemp("built-in"))


def test_the_built_in_set_is_what_the_page_says(built_in: Path) -> None:
    dataset = find_samples(built_in)
    assert describe(dataset) == "4 stills and 1 clip of 12 frames, up to 256 x 256"
    assert dataset.problems == ()
    clip = next(sample for sample in dataset.samples if sample.kind == "clip")
    assert (clip.footage.width, clip.footage.height) == made_set.CLIP_SHOT.size
    frames = np.stack([frame.astype(float) for frame in clip.footage.frames(Limits())])
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 1, f"a frame stands still: {steps.round(2)}"
    assert steps.max() < 2 * np.median(steps), f"a frame jumps: {steps.round(2)}"


def test_the_built_in_set_is_the_same_every_time_and_is_kept(built_in: Path, tmp_path: Path) -> None:
    again = made_set.made_set(tmp_path)
    contents = {name: (built_in / name).read_bytes() for name in files_below(built_in)}
    assert {name: (again / name).read_bytes() for name in files_below(again)} == contents
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    assert made_set.made_set(tmp_path) == again
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == [made_set.NAME], "nothing half drawn stays behind"


def test_who_draws_the_set_second_takes_the_first_ones(
    built_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_while_another_does(folder: Path) -> None:
        shutil.copytree(built_in, folder, dirs_exist_ok=True)
        shutil.copytree(built_in, tmp_path / made_set.NAME)

    monkeypatch.setattr(made_set, "_draw", draw_while_another_does)
    assert made_set.made_set(tmp_path) == tmp_path / made_set.NAME
    assert [path.name for path in tmp_path.iterdir()] == [made_set.NAME]


# ----------------------------------------------------------------------------------------------------------- measuring


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return build_services(Settings(cache_dir=tmp_path / "cache", offline=True, device="cpu"))


def request_for(root: Path | None, **changes: object) -> BenchRequest:
    asked = BenchRequest(root, "my set", "plain", "bi", ("bicubic", "lanczos"), ("Bicubic", "Lanczos"))
    return replace(asked, **changes)  # type: ignore[arg-type]


def measured(asked: BenchRequest, services: Services, folder: Path, *, board: Board | None = None) -> BenchRun:
    folder.mkdir(exist_ok=True)
    made = run_bench(asked, services, folder, board=board or Board(asked.steps), cancel=CancelToken())
    assert isinstance(made, BenchRun)
    return made


def test_a_run_gives_a_table_a_report_and_both_files(services: Services, tmp_path: Path) -> None:
    root = made_sets.stills(tmp_path / "stills", "a", "b")
    made_sets.clip(root / "moving", 3)
    asked, shown = request_for(root), []

    class Watched(Board):
        def show(self, partial: object) -> None:
            shown.append(partial)

    made = measured(asked, services, tmp_path / "out", board=Watched(asked.steps))
    assert {(score.entry, score.sample) for score in made.results.scores} == {
        (entry, sample) for entry in ("bicubic", "lanczos") for sample in ("a", "b", "moving")
    }
    assert made.results.complete
    assert [len(each.scores) for each in shown] == [1, 2, 3, 4, 5, 6]
    read = QualityResults.from_json((tmp_path / "out" / "results.json").read_text())
    assert read.average("lanczos", "psnr_rgb", "clips") == made.results.average("lanczos", "psnr_rgb", "clips")
    for path in (made.report, *made.data_files):
        text = path.read_text()
        assert str(tmp_path) not in text.replace(str(services.settings.cache_dir), ""), path.name
    assert "my set" in made.report.read_text()
    assert "entry,sample,frame" in made.data_files[1].read_text()


def test_missing_networks_say_what_to_fetch_without_words_for_a_shell(services: Services, tmp_path: Path) -> None:
    made = measured(request_for(made_sets.stills(tmp_path / "s", "a")), services, tmp_path / "out")
    (words,) = {metric.missing for metric in made.results.metrics if metric.missing}
    assert "squeezenet1_1-b8a52dc0.pth" in words
    assert "--lpips-weights" not in words
    page = bench_tables.score_board(made.results)
    assert "squeezenet1_1-b8a52dc0.pth" in page


def test_a_second_run_measures_only_what_is_new(services: Services, tmp_path: Path) -> None:
    root = made_sets.stills(tmp_path / "s", "a", "b")
    one = request_for(root, models=("bicubic",), titles=("Bicubic",))
    first = measured(one, services, tmp_path / "out")
    asked, shown = request_for(root), []

    class Watched(Board):
        def show(self, partial: object) -> None:
            shown.append(partial)

    second = measured(asked, services, tmp_path / "out", board=Watched(asked.steps))
    assert len(shown) == 2
    assert second.results.scores_of("bicubic") == first.results.scores_of("bicubic")


def test_the_built_in_set_serves_protocols_for_clips_only(services: Services, tmp_path: Path, built_in: Path) -> None:
    shutil.copytree(built_in, services.settings.cache_dir / "bench" / made_set.NAME)
    asked = request_for(None, protocol="tecogan-official", degradation="bd", name="built-in set")
    made = measured(asked, services, tmp_path / "out")
    assert [(sample.name, sample.frames) for sample in made.results.samples] == [("pinboard", 12)]
    assert made.results.data == "built-in set"


def test_a_checkpoint_of_ones_own_is_measured_and_of_another_scale_refused(services: Services, tmp_path: Path) -> None:
    root = made_sets.stills(tmp_path / "s", "a")
    for scale in (4, 2):
        torch.save(tiny_models.tiny_rrdbnet(scale).network.state_dict(), tmp_path / f"mine{scale}.pth")
    own, half = (services.add_checkpoint(tmp_path / f"mine{scale}.pth").name for scale in (4, 2))
    made = measured(request_for(root, models=("bicubic", own), titles=("Bicubic", "mine")), services, tmp_path / "out")
    assert [entry.kind for entry in made.results.entries] == ["model", "checkpoint"]
    assert own not in made.report.read_text() + made.data_files[0].read_text(), "its name is a key"
    with pytest.raises(InvalidOptionError, match="mine makes pictures 2 times larger"):
        measured(request_for(root, models=(half,), titles=("mine",)), services, tmp_path / "other")


def test_long_work_is_asked_about_and_its_forecast_is_near(services: Services, tmp_path: Path) -> None:
    root = made_sets.stills(tmp_path / "s", *"abc", height=192, width=192)
    services.settings.large_work_seconds = 0.01
    asked = request_for(root)
    (tmp_path / "out").mkdir()
    answer = run_bench(asked, services, tmp_path / "out", board=Board(asked.steps), cancel=CancelToken())
    assert isinstance(answer, LargeBench)
    assert 0.01 < answer.seconds < 60
    assert list((tmp_path / "out").iterdir()) == [], "nothing of the trial stays"
    made = measured(replace(answer.request, confirmed=True), services, tmp_path / "out")
    assert len(made.results.scores) == 6


def test_a_forecast_grows_with_the_frames_and_counts_what_comes_once_a_sample_once(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"bicubic": bench_forecast._Pace(2, 0, 1), "tecogan-x4": bench_forecast._Pace(3, 7, 0.5)}
    monkeypatch.setattr(bench_forecast, "_measure", lambda *_, **__: paces)
    root = made_sets.clip(tmp_path / "s" / "walk", 40).parent
    made_sets.stills(root, "a")
    services.settings.large_work_seconds = 0.01
    asked = request_for(root, models=("bicubic", "tecogan-x4"), titles=("a", "b"))
    (tmp_path / "out").mkdir()
    answer = run_bench(asked, services, tmp_path / "out", board=Board(asked.steps), cancel=CancelToken())
    assert isinstance(answer, LargeBench)
    assert answer.seconds == pytest.approx(41 * (2 + 3) + 2 * (7 + 1 + 0.5)), "the pieces tried are of full size here"


def test_a_pace_tells_frames_from_warming_up_and_from_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_forecast.time, "perf_counter", lambda: 30.0)
    clip = Score("a", "2", tuple(FrameScore(index, True, {}) for index in range(4)), seconds=18.0)
    pace = bench_forecast._pace([0, 15, 17, 19, 21, 29], clip, is_sequence=True)
    assert pace == bench_forecast._Pace(frame_s=2, warm_up_s=10, sample_s=9)
    still = replace(clip, frames=clip.frames[:1], seconds=12.0)
    assert bench_forecast._pace([0, 15, 29], still, is_sequence=True) == bench_forecast._Pace(5, 10, 15)
    assert bench_forecast._pace([0, 15, 29], still, is_sequence=False) == bench_forecast._Pace(15, 0, 15)


def test_a_cancelled_run_stops_and_keeps_what_was_measured(services: Services, tmp_path: Path) -> None:
    root = made_sets.stills(tmp_path / "s", "a", "b", "c")
    asked, cancel = request_for(root), CancelToken()

    class Stopping(Board):
        def show(self, partial: object) -> None:
            cancel.cancel()

    (tmp_path / "out").mkdir()
    with pytest.raises(CancelledError):
        run_bench(asked, services, tmp_path / "out", board=Stopping(asked.steps), cancel=cancel)
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(kept["scores"]) == 1
    assert len(measured(asked, services, tmp_path / "out").results.scores) == 6


# ------------------------------------------------------------------------------------------------------------ the page


def results_of(
    values: Mapping[str, list[float | None]], *, better: str = "higher", missing: str = ""
) -> QualityResults:
    """One metric; a list a model with its value on each still, None where nothing was measured yet."""
    metric = MetricInfo("psnr_rgb", "PSNR<b>", "dB", better, 2, "", missing)  # type: ignore[arg-type]
    samples = [f"s{index}" for index in range(max(map(len, values.values())))]
    return QualityResults(
        protocol={"name": "plain", "title": "Title", "published_average": "clips", "degradation": "bi"},
        run={},
        data="<i>set</i>",
        metrics=(metric,),
        entries=tuple(EntryInfo(name, f"{name}<script>", "model") for name in values),
        samples=tuple(SampleInfo(name, "still", 1, 8, 8, has_truth=True) for name in samples),
        scores=tuple(
            Score(name, sample, (FrameScore(0, True, {"psnr_rgb": value}),), seconds=0.5)
            for name, each in values.items()
            for sample, value in zip(samples, each, strict=True)
            if value is not None
        ),
    )


def test_the_table_marks_the_best_and_escapes_every_name() -> None:
    page = bench_tables.score_board(results_of({"a": [20, 30], "b": [21, 31]}))
    assert "<strong>26.00</strong>" in page
    assert "<td>25.00</td>" in page
    assert "↑" in page
    assert "more is better" in page
    assert "data-arrives" in page
    assert not any(tag in page for tag in ("<script>", "<b>", "<i>"))
    lower = bench_tables.score_board(results_of({"a": [20, 30], "b": [21, 31]}, better="lower"))
    assert "<strong>25.00</strong>" in lower
    assert "↓" in lower


def test_a_table_that_fills_says_how_far_it_is_and_compares_only_what_is_whole() -> None:
    page = bench_tables.score_board(results_of({"a": [20, 30], "b": [40, None]}))
    assert "So far, 3 of 4 measured." in page
    assert "<strong>40.00" not in page, "40 is over one of two stills only"
    assert "40.00 †" in page
    assert "data-arrives" not in page


def test_an_empty_column_says_what_it_lacks() -> None:
    page = bench_tables.score_board(results_of({"a": [None]}, missing="fetch <this>"))
    assert "<sup>1</sup>" in page
    assert "fetch &lt;this&gt;" in page
    assert "–" in page


def test_problems_are_listed_alike_ones_together() -> None:
    results = results_of({"a": [20, 30]})
    broken = tuple(replace(score, frames=(), problem="cannot <do> it") for score in results.scores)
    page = bench_tables.problems(replace(results, scores=broken, problems=("one left out",)))
    assert page.count("<li>") == 2
    assert "cannot &lt;do&gt; it" in page
    assert bench_tables.problems(results) == ""


def test_only_models_of_the_scale_are_offered_and_baselines_come_first() -> None:
    names = [name for _, name in bench_choices()]
    assert names[:2] == ["bicubic", "lanczos"]
    assert "tecogan-x4" in names
    assert not {"realesr-animevideov3-x2", "realesrgan-x2plus"} & set(names)
    assert _different(["a", "b", "a"]) == ("a", "b", "a 2")


def test_the_links_carry_addresses_that_are_quoted(tmp_path: Path) -> None:
    report = made_sets.write(tmp_path / "report.png", STILL)
    page = bench_tables.files((report, 'results/a"b/x.html'), [])
    assert "a%22b" in page
    assert 'target="_blank" rel="noopener"' in page


def test_nothing_heavy_is_imported_with_the_tab() -> None:
    code = "import sys, irss_core.ui.bench_tab; print({'torch', 'cv2', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
