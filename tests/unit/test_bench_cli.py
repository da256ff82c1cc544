"""``irss bench quality``, ``reproduce`` and ``protocols``, as they are typed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from irss_core.bench.published import PUBLISHED, Compared, check_data, compare, find_row
from irss_core.bench.results import EntryInfo, FrameScore, MetricInfo, QualityResults, SampleInfo, Score
from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.errors import InvalidOptionError
from irss_core.metrics.catalog import METRICS
from irss_core.metrics.protocols import PROTOCOLS
from irss_core.sr.catalog import MODELS
from tests.made_sets import stills

SET5 = Path(__file__).parents[2].parent / "shared" / "data" / "eval" / "set5"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRSS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("IRSS_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def irss(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(["bench", *arguments], console=Console(out, err))
    return status, out.getvalue(), err.getvalue()


def test_a_run_prints_the_table_and_leaves_three_files(here: Path) -> None:
    stills(here / "set", "a", "b")
    status, out, err = irss("quality", "--data", "set", "-p", "y-crop4", "-m", "bicubic", "-m", "lanczos")
    assert status == 0, err
    lines = out.splitlines()
    assert sum(line.startswith(("a  ", "b  ")) for line in lines) == 4, "a line a picture and model, as they are done"
    assert any("PSNR-Y" in line and line.startswith("|") for line in lines)
    assert "alexnet" in out, "what the empty column would need"
    folder = here / "irss-bench" / "set-y-crop4-bi"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["run"]["command"] == "irss bench quality --data set -p y-crop4 -m bicubic -m lanczos"
    assert [entry["name"] for entry in results["entries"]] == ["bicubic", "lanczos"]
    rows = list(csv.DictReader((folder / "results.csv").open(encoding="utf-8")))
    assert {row["entry"] for row in rows} >= {"bicubic", "lanczos"}
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_bad_file_is_named_and_the_exit_status_tells(here: Path) -> None:
    stills(here / "set", "a")
    (here / "set" / "broken.png").write_bytes(b"no picture")
    status, out, err = irss("quality", "--data", "set", "-p", "plain", "-m", "bicubic")
    assert status == 1
    assert "broken" in err
    assert "a  bicubic" in out


def test_pairs_are_measured_on_the_inputs_they_bring(here: Path) -> None:
    stills(here / "set" / "HR", "a")
    stills(here / "set" / "LR", "a", height=16, width=20)
    status, _, err = irss("quality", "--data", "set", "-p", "plain", "-m", "bicubic")
    assert status == 0, err
    assert (here / "irss-bench" / "set-plain-none" / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-p", "nonsense", "-m", "bicubic"), "There is no protocol named 'nonsense'"),
        (("-p", "plain"), "There is nobody to measure"),
        (("-p", "plain", "-m", "nothing"), "nothing"),
        (("-p", "plain", "-m", "own.pth"), "There is no checkpoint own.pth"),
        (("-p", "plain", "-m", "bicubic", "--metric", "vmaf"), "There is no metric named 'vmaf'"),
        (("-p", "plain", "--results", "mine"), "is not NAME=DIR"),
        (("-p", "plain", "--results", "mine=nowhere"), "There is no folder nowhere"),
        (("-p", "tecogan-official", "-m", "bicubic"), "must have one size"),
    ],
)
def test_what_cannot_be_is_said_before_or_in_the_table(here: Path, arguments: tuple[str, ...], words: str) -> None:
    stills(here / "set", "a")
    stills(here / "set", "b", height=32)
    status, out, err = irss("quality", "--data", "set", *arguments)
    assert status in (1, 2)
    assert words in err + out


def test_protocols_say_everything(here: Path) -> None:
    status, out, _ = irss("protocols")
    assert status == 0
    for name in (*PROTOCOLS, *METRICS):
        assert name in out


class TestReproduce:
    def test_rows_are_listed(self, here: Path) -> None:
        status, out, _ = irss("reproduce")
        assert status == 0
        assert all(name in out for name in PUBLISHED)

    def test_what_is_missing_is_said_precisely(self, here: Path) -> None:
        status, _, err = irss("reproduce", "vid4-bd-tecogan")
        assert status == 2
        assert "--data DIR: Vid4: four folders" in err
        assert "--weights FILE: TecoGAN_BD_iter500000.pth" in err

    def test_an_unknown_row_names_those_there_are(self) -> None:
        with pytest.raises(InvalidOptionError, match="set5-bi-bicubic"):
            find_row("vid5")

    @pytest.mark.skipif(not SET5.is_dir(), reason="the ground truth of Set5 is not here")
    def test_bicubic_on_set5_is_the_literatures(self, here: Path) -> None:
        status, out, err = irss("reproduce", "set5-bi-bicubic", "--data", str(SET5))
        assert status == 0, err
        assert out.count("pass") == 2

    def test_other_data_does_not_pass(self, here: Path) -> None:
        stills(here / "set", "a", "b")
        status, out, err = irss("reproduce", "set5-bi-bicubic", "--data", "set")
        assert status == 1
        assert "fail" in out
        assert "The row needs 5 samples, the folder has 2" in err


def results_of(*, frames: list[float], samples: int = 5, missing: str = "") -> QualityResults:
    metric = METRICS["psnr_y"]
    column = MetricInfo("psnr_y", metric.label, metric.unit, metric.better, metric.digits, metric.definition, missing)
    return QualityResults(
        protocol={},
        run={},
        data="",
        metrics=(column,),
        entries=(EntryInfo("bicubic", "Bicubic", "model"),),
        samples=tuple(SampleInfo(str(n), "still", 1, 8, 8, True) for n in range(samples)),
        scores=(Score("bicubic", "0", tuple(FrameScore(i, True, {"psnr_y": v}) for i, v in enumerate(frames))),),
    )


@pytest.mark.parametrize(("ours", "passed"), [(28.42, True), (28.449, True), (28.46, False), (28.38, False)])
def test_a_value_passes_within_its_tolerance(ours: float, passed: bool) -> None:
    compared = compare(find_row("set5-bi-bicubic"), results_of(frames=[ours]))
    assert compared[0].passed is passed


def test_a_value_that_was_not_measured_never_passes() -> None:
    compared = compare(find_row("set5-bi-bicubic"), results_of(frames=[], missing="fetch it"))
    assert compared[0] == Compared("psnr_y", None, 28.42, 0.03, why="fetch it")
    assert not compared[0].passed


def test_the_wrong_number_of_samples_is_remarked() -> None:
    assert check_data(find_row("set5-bi-bicubic"), results_of(frames=[], samples=5)) == []
    assert check_data(find_row("set5-bi-bicubic"), results_of(frames=[], samples=4))


def test_every_row_can_be_run_and_has_its_source() -> None:
    for row in PUBLISHED.values():
        protocol = PROTOCOLS[row.protocol]
        assert row.source
        assert row.model in ("", *MODELS)
        assert bool(row.model) != bool(row.weights)
        assert all(each.metric in METRICS and each.tolerance > 0 for each in row.expected)
        assert {each.metric for each in row.expected} <= {*protocol.metrics}
