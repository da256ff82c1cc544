"""The report of a quality run: what the page says, what it never does, and the same results as Markdown and CSV."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import os
import re
import statistics
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irss_core.bench.report.charts import log_ticks
from irss_core.bench.report.labels import place_labels
from irss_core.bench.report.page import write_report
from irss_core.bench.report.pictures import PictureStore
from irss_core.bench.report.plots import uncounted_runs
from irss_core.bench.report.summary import summary
from irss_core.bench.report.text import to_csv, to_markdown
from irss_core.bench.report.words import counted_in, cut, facts, significant
from irss_core.bench.results import FrameScore, QualityResults, Score
from tests.made_results import FETCH_LPIPS, MAKERS, Maker, made_results, metric

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "img", "input", "br"}
HOSTILE = '<script>alert("1")</script>'


class Element:
    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element] = []
        self.texts: list[str] = []

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Every element of that tag below this one whose attributes are these (class_: one of its classes)."""
        found = [inner for child in self.children for inner in (child, *child.all("*"))]
        return [
            each
            for each in found
            if tag in ("*", each.tag) and all(each._has(key, value) for key, value in attributes.items())
        ]

    def _has(self, key: str, value: str) -> bool:
        if key == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(key) == value

    def one(self, tag: str, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        return " ".join("".join(self._pieces()).split())

    def _pieces(self) -> list[str]:
        return self.texts + [piece for child in self.children for piece in child._pieces()]


class Reader(HTMLParser):
    """Builds the tree; an element's own text comes before its children's, which is enough to look for words."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert [element.tag for element in self.open] == [""], "every element that is opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].texts.append(data)


def report(results: QualityResults, folder: Path) -> Element:
    write_report(results, folder, folder / "report.html")
    return Reader((folder / "report.html").read_text(encoding="utf-8")).root


def table(page: Element, average: str = "frames") -> dict[str, list[Element]]:
    """The cells of a table by the entry's name."""
    body = page.one("div", class_="average", **{"data-average": average}).one("tbody")
    return {row.one("th").text: row.all("td") for row in body.all("tr")}


def section(page: Element, name: str) -> Element | None:
    return next(iter(page.all("section", id=name)), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def results(folder: Path) -> QualityResults:
    return made_results(folder)


@pytest.fixture(scope="module")
def page(results: QualityResults, folder: Path) -> Element:
    return report(results, folder)


# -- one file ----------------------------------------------------------------------------------------------------------


def test_page_refers_to_nothing_but_itself(page: Element, folder: Path) -> None:
    ids = {element.attributes["id"] for element in page.all("*") if "id" in element.attributes}
    for element in page.all("*"):
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            value = element.attributes.get(key, "")
            assert not value or value.startswith("data:") or value.removeprefix("#") in ids, (element.tag, value[:80])
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text
    assert not (folder / "report.html.part").exists()


def test_every_id_is_there_once(page: Element) -> None:
    ids = [element.attributes["id"] for element in page.all("*") if "id" in element.attributes]
    assert len(ids) == len(set(ids))


def test_browser_is_told_to_run_our_script_only(page: Element) -> None:
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    (script,) = page.all("script")
    digest = base64.b64encode(hashlib.sha256("".join(script.texts).encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_same_results_give_the_same_bytes_in_another_process_with_other_settings(tmp_path: Path) -> None:
    results = made_results(tmp_path, makers=MAKERS[:3], clips=["v"], stills=["s"], frames=8)
    write_report(results, tmp_path, tmp_path / "here.html")
    (tmp_path / "results.json").write_text(results.to_json(), encoding="utf-8")
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\nsvg.fonttype: path\n")
    program = (
        "from pathlib import Path; from irss_core.bench.report.page import write_report\n"
        "from irss_core.bench.results import QualityResults\n"
        "results = QualityResults.from_json(Path('results.json').read_text(encoding='utf-8'))\n"
        "write_report(results, Path('.'), Path('there.html'))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "here.html").read_bytes() == (tmp_path / "there.html").read_bytes()


def test_drawings_take_every_colour_from_the_page(page: Element) -> None:
    drawings = [svg for svg in page.all("svg") if "role" in svg.attributes]
    assert len(drawings) > 20
    styles = " ".join(part.attributes.get("style", "") for svg in drawings for part in svg.all("*"))
    assert "var(--series-0)" in styles
    assert "var(--fg)" in styles
    assert not re.search(r"#[0-9a-f]{3}", styles)
    assert "DejaVu" not in styles
    assert all(svg.attributes["aria-label"] for svg in drawings)


# -- what others may have written --------------------------------------------------------------------------------------


def hostile_results(folder: Path) -> QualityResults:
    first, second, third = (
        replace(maker, info=replace(maker.info, name=f"n{index}", title=title))
        for index, (maker, title) in enumerate(
            zip(MAKERS, (HOSTILE, r"$\frac{a}{b}$ & 'c'", "\x08bell\ud800\ufffe"), strict=False)
        )
    )
    made = made_results(
        folder, makers=[first, second, third], clips=["<img src=x onerror=alert(1)>"], stills=["a|b"], frames=6
    )
    changed = [replace(made.scores[0], problem=HOSTILE, fallbacks=(HOSTILE,)), *made.scores[1:]]
    return replace(
        made, scores=tuple(changed), data="<script>alert(2)", problems=(HOSTILE,), run={**made.run, HOSTILE: HOSTILE},
        protocol={**made.protocol, HOSTILE: [HOSTILE], "description": [f"{HOSTILE}: {HOSTILE}"]},
        metrics=(replace(made.metrics[0], label="<b>PSNR</b>", unit="<u>"), *made.metrics[1:]),
    )  # fmt: skip


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    page = report(hostile_results(tmp_path), tmp_path)
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert not page.all("u")
    assert not [element for element in page.all("*") if any(key.startswith("on") for key in element.attributes)]
    assert "<script>alert(2)" in page.one("h1").text
    labels = {text.text for svg in page.all("svg") for text in svg.all("text")}
    assert HOSTILE in labels
    assert r"$\frac{a}{b}$ & 'c'" in labels, "a dollar sign is a dollar sign, not a formula"
    assert "\ufffdbell\ufffd\ufffd" in labels


# -- the table ---------------------------------------------------------------------------------------------------------


def all_values(results: QualityResults, entry: str, key: str) -> list[list[float]]:
    """The counted frames' values, sample by sample."""
    return [
        values
        for score in results.scores
        if score.entry == entry
        and (values := [frame.values[key] for frame in score.frames if frame.counted and key in frame.values])
    ]


@pytest.mark.parametrize("average", ["frames", "clips"])
def test_table_has_both_averages_and_bold_is_best(results: QualityResults, page: Element, average: str) -> None:
    rows = table(page, average)
    for column, each in enumerate(results.metrics):
        expected = {}
        for entry in results.entries:
            by_sample = all_values(results, entry.name, each.key)
            values = (
                [statistics.fmean(v) for v in by_sample] if average == "clips" else [x for v in by_sample for x in v]
            )
            if values:
                expected[entry.title] = statistics.fmean(values)
        shown = {title: cells[column].text for title, cells in rows.items()}
        assert shown == {
            title: f"{expected[title]:.{each.digits}f}" if title in expected else "–" for title in rows
        }  # fmt: skip
        bold = {title for title, cells in rows.items() if cells[column].all("strong")}
        if expected:
            best = (max if each.better == "higher" else min)(expected.values())
            assert bold == {title for title, value in expected.items() if value == best}
        else:
            assert not bold
    assert table(page, "frames")["Bicubic"][0].text != table(page, "clips")["Bicubic"][0].text


def test_columns_say_which_way_is_better_and_what_to_fetch(page: Element) -> None:
    head = page.one("div", class_="average", **{"data-average": "frames"}).one("thead")
    columns = {re.sub(r"[ ↑↓].*", "", cell.one("bdi").text): cell.text for cell in head.all("th", class_="number")}
    assert "↑" in columns["PSNR-Y"]
    assert "higher is better" in columns["PSNR-Y"]
    assert "dB" in columns["PSNR-Y"]
    assert "↓" in columns["tOF"]
    notes = " ".join(note.text for note in page.one("section", id="table").all("p"))
    assert f"LPIPS: {FETCH_LPIPS}" in notes


def test_costs_stand_beside_the_metrics(results: QualityResults, page: Element) -> None:
    rows = table(page)
    scores = results.scores_of("realesrgan-x4plus")
    seconds = sum(score.seconds for score in scores) / sum(len(score.frames) for score in scores)
    costs = [cell.text for cell in rows["Real-ESRGAN x4plus"][len(results.metrics) :]]
    assert costs == [f"{seconds:.2f}", f"{(4.1e8 + 40 * 16_697_987) / 1e6:.0f}", "16.7 M", "17.9 M"]
    assert [cell.text for cell in rows["ours-made-elsewhere"][len(results.metrics) :]] == ["–"] * 4


def without(results: QualityResults, entry: str, sample: str) -> QualityResults:
    """The results with a problem in place of one entry's frames of one sample."""
    scores = tuple(
        Score(entry, sample, problem="Too small.") if (score.entry, score.sample) == (entry, sample) else score
        for score in results.scores
    )
    return replace(results, scores=scores)


def test_entry_that_failed_on_the_hardest_sample_is_not_best(tmp_path: Path) -> None:
    """Its mean over the easy samples may be the highest, and means nothing."""
    lanczos = "lanczos"
    made = made_results(makers=[*MAKERS[:2], MAKERS[4]], metrics=[metric("psnr_y")])
    partial = without(without(made, lanczos, "baby"), lanczos, "bird")
    page = report(partial, tmp_path)
    assert max(partial.entries, key=lambda e: partial.average(e.name, "psnr_y", "clips") or 0).name == lanczos
    cells = {title: cells[0] for title, cells in table(page, "clips").items()}
    assert "†" in cells["Lanczos"].text
    assert [title for title, cell in cells.items() if cell.all("strong")] == ["ours-made-elsewhere"]
    assert "Lanczos over 48 of 50 frames" in page.one("section", id="table").text
    assert "Lanczos is best" not in summary(partial)
    assert "Lanczos: Too small. (baby and bird)" in page.one("section", id="problems").text


def test_equal_pictures_have_infinite_psnr_in_the_table_and_no_place_in_charts(tmp_path: Path) -> None:
    made = made_results(makers=MAKERS[:3], clips=[], stills=["a", "b"], metrics=[metric("psnr_y")])
    perfect = tuple(
        replace(score, frames=(FrameScore(0, True, {"psnr_y": math.inf}),)) if score.entry == "bicubic" else score
        for score in made.scores
    )
    page = report(QualityResults.from_json(replace(made, scores=perfect).to_json()), tmp_path)
    assert table(page)["Bicubic"][0].one("strong").text == "∞"
    bars = page.one("section", id="samples").all("svg", role="img")
    assert [text.text for text in bars[0].all("text")].count("∞") == 1
    assert "Bicubic (value ∞)" in page.one("section", id="speed").text
    assert "Bicubic is best in PSNR-Y (∞ dB)" in page.one("p", class_="lead").text


def test_values_that_print_the_same_are_both_best() -> None:
    made = made_results(makers=MAKERS[:3], clips=[], stills=["a"], metrics=[metric("psnr_y")])
    values = {"bicubic": 30.001, "lanczos": 30.004, "realesrgan-x4plus": 29.9}
    scores = tuple(replace(s, frames=(FrameScore(0, True, {"psnr_y": values[s.entry]}),)) for s in made.scores)
    text = to_markdown(replace(made, scores=scores))
    assert text.count("**30.00**") == 2
    assert "Bicubic and Lanczos are best in PSNR-Y (30.00 dB)" in summary(replace(made, scores=scores))


# -- words -------------------------------------------------------------------------------------------------------------


def test_summary_counts_and_names_the_best(results: QualityResults) -> None:
    text = summary(results)
    assert "5 entries were measured on 3 stills and 2 clips, 58 frames in all, 50 of them counted." in text
    assert "The protocol is tecogan-official" in text
    assert "degradation BD" in text
    assert re.search(r"Real-ESRGAN x4plus is best in LPIPS-squeeze \([\d.]+\) and tOF", text)


def test_summary_tells_where_the_other_average_has_another_winner() -> None:
    """A is ahead on the long clip, B by more on the short one: frames count for A, clips for B."""
    made = made_results(makers=MAKERS[:2], clips=["long", "short"], stills=[], metrics=[metric("psnr_y")])
    values = {("bicubic", "long"): 31.0, ("lanczos", "long"): 30.0, ("bicubic", "short"): 20.0}
    scores = tuple(
        replace(
            score,
            frames=tuple(
                FrameScore(index, True, {"psnr_y": values.get((score.entry, score.sample), 25.0)})
                for index in range(40 if score.sample == "long" else 5)
            ),
        )
        for score in made.scores
    )
    text = summary(replace(made, scores=scores))
    assert "Averaged over frames, Bicubic is best in PSNR-Y (29.78 dB)." in text
    assert "Averaged over clips, Lanczos is best in PSNR-Y (27.50 dB)." in text


def test_run_that_was_interrupted_says_what_is_not_measured(tmp_path: Path) -> None:
    made = made_results(metrics=[metric("psnr_y")])
    page = report(replace(made, scores=made.scores[:-2], problems=("head.png: cut short",)), tmp_path)
    problems = [item.text for item in page.one("section", id="problems").all("li")]
    assert problems == [
        "head.png: cut short",
        "Real-ESRGAN anime video v3: not measured; the run was interrupted. (walk)",
        "ours-made-elsewhere: not measured; the run was interrupted. (walk)",
    ]
    assert "3 problems" in page.one("p", class_="lead").text


def test_page_says_how_to_repeat_the_run(results: QualityResults, page: Element) -> None:
    text = page.one("section", id="repeat").text
    for words in (
        "irss bench quality --data",
        "9047d43c1a",
        "torch 2.13.0",
        "Intel Xeon",
        "25.2 GB",
        "2026-11-21T09:48",
    ):
        assert words in text
    for entry in results.entries:
        assert all(digest in text for digest in entry.weights_sha256)
    protocol = page.one("section", id="protocol").text
    for words in ("a centred crop to multiples of 32", "Skipped ends", "least left out", "metrics.py of github.com"):
        assert words.lower() in protocol.lower()
    definitions = page.one("section", id="metrics").text
    assert all(each.definition in definitions for each in results.metrics)


def test_facts_are_in_words() -> None:
    made = {
        fact.label: fact for fact in facts({"border_px": 4, "peak_bytes": 2.5e9, "half": False, "x": None, "f": 1.5})
    }
    assert {label: fact.text for label, fact in made.items()} == {
        "Border": "4 px", "Peak": "2.50 GB", "Half": "no", "X": "none", "F": "1.5",
    }  # fmt: skip
    (nested,) = facts({"crop": {"border": 0, "multiple": 32}})
    assert [(part.label, part.text) for part in nested.parts] == [("Border", "0"), ("Multiple", "32")]
    assert facts({"command": ["irss", "bench", "a b"]})[0].text == "irss bench 'a b'"


def test_unit_of_a_thousandth_is_written_as_a_power() -> None:
    made = made_results(makers=MAKERS[:1], clips=["v"], stills=[], metrics=[metric("warp_error")])
    assert "| Warping error (× 10⁻³) ↓ |" in to_markdown(made)


def test_numbers_have_three_digits_and_no_powers_of_ten() -> None:
    assert [significant(value) for value in (0.000123456, 0.0123, 1.5, 123.4, 98765.4)] == [
        "0.000123", "0.0123", "1.50", "123", "98765",
    ]  # fmt: skip
    assert [counted_in(value) for value in (0, 999, 12_345, 16_697_987, 4.2e9)] == [
        "0",
        "999",
        "12.3 k",
        "16.7 M",
        "4.20 G",
    ]
    assert cut("net_g_latest_400000", 12) == "net_g_la…0000"


# -- edge cases --------------------------------------------------------------------------------------------------------


def test_stills_have_no_frames_to_draw_and_one_average(tmp_path: Path) -> None:
    page = report(made_results(tmp_path, clips=[], makers=MAKERS[:2]), tmp_path)
    assert section(page, "frames") is None
    assert section(page, "profiles") is None
    assert section(page, "crops") is not None
    assert not page.all("fieldset")
    assert len(page.all("table", class_="scores")) == 1
    assert "averages over frames and over clips are the same" in page.one("table", class_="scores").one("caption").text


def test_one_clip_has_one_average_too(tmp_path: Path) -> None:
    page = report(made_results(makers=MAKERS[:2], clips=["v"], stills=[], metrics=[metric("psnr_y")]), tmp_path)
    assert "There is one sample" in page.one("table", class_="scores").one("caption").text


def test_one_entry_is_compared_with_nobody(tmp_path: Path) -> None:
    made = made_results(tmp_path, makers=MAKERS[:1], clips=[], stills=["only"])
    page = report(made, tmp_path)
    assert not page.one("table", class_="scores").all("strong")
    assert "best" not in page.one("p", class_="lead").text
    assert "**" not in to_markdown(made)


def test_data_without_truth_have_what_needs_none(tmp_path: Path) -> None:
    page = report(made_results(tmp_path, has_truth=False, makers=MAKERS[:3], clips=["v"], stills=["s"]), tmp_path)
    rows = table(page)
    assert all(cells[0].text == "–" and cells[5].text != "–" for cells in rows.values())
    assert "there is no truth to compare with" in page.one("p", class_="lead").text
    assert "No sample has what PSNR-Y, SSIM-Y, LPIPS-squeeze and tOF needs" in page.one("section", id="table").text
    assert [d.one("summary").text for d in page.one("section", id="samples").all("details")] == ["Consistency (dB) ↑"]
    assert not [image for image in page.all("img") if image.attributes.get("alt", "").startswith("Truth")]


def test_run_without_any_score_is_still_a_page(tmp_path: Path) -> None:
    page = report(replace(made_results(makers=MAKERS[:2]), scores=()), tmp_path)
    assert "Nothing has been measured" in page.one("table", class_="scores").one("caption").text
    assert "problems" in page.one("p", class_="lead").text
    empty = replace(made_results(makers=[]), samples=(), metrics=(), protocol={}, run={}, data="")
    assert "Quality on a data set" in report(empty, tmp_path).one("h1").text


def test_hundred_samples_are_dots_in_one_drawing(tmp_path: Path) -> None:
    made = made_results(clips=[], stills=[f"s{i:03}" for i in range(100)], metrics=[metric("psnr_y")])
    (drawing,) = report(made, tmp_path).one("section", id="samples").all("svg", role="img")
    labels = [text.text for text in drawing.all("text")]
    assert {"s000", "s050", "s099"} <= set(labels)
    dots = [use for use in drawing.all("use") if "--series-" in use.attributes.get("style", "")]
    assert len(dots) == 100 * len(MAKERS)


# -- charts ------------------------------------------------------------------------------------------------------------


def test_bars_are_as_long_as_their_values(tmp_path: Path) -> None:
    made = made_results(makers=MAKERS[:2], clips=[], stills=["a"], metrics=[metric("lpips_squeeze")])
    values = {"bicubic": 0.4, "lanczos": 0.1}
    scores = tuple(replace(s, frames=(FrameScore(0, True, {"lpips_squeeze": values[s.entry]}),)) for s in made.scores)
    (drawing,) = report(replace(made, scores=scores), tmp_path).one("section", id="samples").all("svg", role="img")
    lengths = []
    for number in (0, 1):
        (bar,) = (p for p in drawing.all("path") if f"fill: var(--series-{number})" in p.attributes.get("style", ""))
        xs = [float(x) for x in re.findall(r"[ML] (-?[\d.]+)", bar.attributes["d"])]
        lengths.append(max(xs) - min(xs))
    assert lengths[0] == pytest.approx(4 * lengths[1], rel=0.01)


def test_entry_without_a_time_is_named_below_the_drawing(page: Element) -> None:
    details = page.one("section", id="speed").all("details")[0]
    assert "Not drawn: ours-made-elsewhere (not timed)." in details.text
    labels = {text.text for text in details.all("text")}
    assert {"Bicubic", "Lanczos", "Real-ESRGAN x4plus"} <= labels
    assert "ours-made-elsewhere" not in labels


def test_lines_are_drawn_for_clips_only_one_an_entry(page: Element) -> None:
    details = page.one("section", id="frames").all("details")[0]
    assert [figure.one("figcaption").text for figure in details.all("figure")] == ["calendar", "walk"]
    for drawing in details.all("svg", role="img"):
        strokes = [p for p in drawing.all("path") if "stroke: var(--series-" in p.attributes.get("style", "")]
        lines = [p for p in strokes if p.attributes["d"].count("L") > 10]
        assert len(lines) == len(MAKERS)
        shaded = [p for p in drawing.all("path") if "fill: var(--shade)" in p.attributes.get("style", "")]
        assert len(shaded) == 2


def test_metric_of_some_frames_only_leaves_gaps(tmp_path: Path) -> None:
    made = made_results(makers=MAKERS[:1], clips=["v"], stills=[], frames=30, metrics=[metric("psnr_y")])
    frames = tuple(
        FrameScore(frame.index, True, {} if 10 <= frame.index < 14 else {"psnr_y": 30.0 + frame.index})
        for frame in made.scores[0].frames
    )
    page = report(replace(made, scores=(replace(made.scores[0], frames=frames),)), tmp_path)
    drawing = page.one("section", id="frames").one("svg", role="img")
    (line,) = (
        p for p in drawing.all("path")
        if "stroke: var(--series-0)" in p.attributes.get("style", "") and p.attributes["d"].count("L") > 10
    )  # fmt: skip
    assert line.attributes["d"].count("M") == 2


def test_runs_of_frames_that_count_for_nobody() -> None:
    frames = [FrameScore(index, 2 <= index < 8, {}) for index in range(10)]
    assert uncounted_runs(frames) == [(0, 1), (8, 9)]
    assert uncounted_runs([*frames, FrameScore(0, True, {})]) == [(1, 1), (8, 9)]


def test_labels_of_crowded_points_do_not_overlap() -> None:
    points = [(200 + 3.0 * (index % 3), 150 + 4.0 * index) for index in range(10)]
    places = place_labels(points, [(150.0, 15.0)] * 10, bounds=(50, 20, 518, 300))
    for index, (left, top, right, bottom) in enumerate(places):
        assert left >= 50
        assert right <= 518
        assert top >= 20
        assert bottom <= 300
        for other in places[:index]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
        for x, y in points:
            assert not (left < x < right and top < y < bottom)


@pytest.mark.parametrize(("low", "high"), [(0.002, 5.0), (0.9, 1.3), (0.0001, 3000.0), (0.004, 0.006)])
def test_ticks_are_round_and_have_room(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)
    assert all(float(f"{tick:.0e}") == tick for tick in ticks)


# -- pictures ----------------------------------------------------------------------------------------------------------


def decoded(uri: str) -> tuple[str, np.ndarray]:
    kind, _, data = uri.removeprefix("data:").partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return kind, np.asarray(picture)


def test_pictures_lose_nothing_and_get_smaller(results: QualityResults, folder: Path) -> None:
    glimpse = results.scores[0].glimpses[0]
    picture = PictureStore(folder).embed(glimpse.result)
    assert picture is not None
    kind, pixels = decoded(picture.uri)
    with Image.open(folder / glimpse.result) as original:
        assert np.array_equal(pixels, np.asarray(original))
        assert (picture.width, picture.height) == (2 * original.width, 2 * original.height)
    assert kind == "image/webp"
    assert len(picture.uri) < (folder / glimpse.result).stat().st_size * 4 / 3


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_other_kinds_of_pixels_lose_nothing_either(mode: str, tmp_path: Path) -> None:
    gradient = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    grey = Image.fromarray((gradient >> 8).astype(np.uint8))
    picture = Image.fromarray(gradient) if mode == "I;16" else grey.convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(255 - (gradient >> 8).astype(np.uint8)))
    picture.save(tmp_path / "p.png")
    embedded = PictureStore(tmp_path).embed("p.png")
    assert embedded is not None
    kind, pixels = decoded(embedded.uri)
    if mode == "I;16":
        assert kind == "image/png"
        assert np.array_equal(pixels, gradient)
    else:
        expected = np.asarray(picture.convert("RGBA" if mode == "RGBA" else "RGB"))
        assert np.array_equal(pixels if pixels.ndim == 3 else np.asarray(picture.convert("RGB")), expected)


def test_pictures_that_cannot_be_shown_are_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (tmp_path / "run/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("L", (4000, 4000)).save(tmp_path / "run/huge.png")
    Image.effect_noise((64, 64), 90).save(tmp_path / "run/noise.png")
    store = PictureStore(tmp_path / "run", limit_bytes=30_000)
    names = ["../secret.png", "broken.png", "huge.png", "gone.png"]
    reasons = ["outside of the folder", "cannot identify", "more than 8 megapixels", "no such file", "would exceed"]
    assert [store.embed(name) for name in names] == [None] * 4
    while store.embed("noise.png") is not None:
        pass
    names.append("noise.png")
    for problem, name, reason in zip(store.problems, names, reasons, strict=True):
        assert problem.startswith(f"{name} is not shown")
        assert reason in problem


def test_missing_picture_leaves_a_place_and_a_line(tmp_path: Path) -> None:
    made = made_results(tmp_path, makers=MAKERS[:2], clips=[], stills=["a"])
    gone = made.scores[0].glimpses[0].result
    (tmp_path / gone).unlink()
    page = report(made, tmp_path)
    assert page.one("section", id="crops").one("div", class_="no-picture").text == "no picture"
    assert f"{gone} is not shown: there is no such file." in page.one("section", id="unreadable").text


def test_crops_stand_between_input_and_truth(results: QualityResults, page: Element) -> None:
    crops = page.one("section", id="crops")
    first = crops.all("div", class_="pictures")[0]
    captions = [figure.one("figcaption").one("bdi").text for figure in first.all("figure")]
    assert captions == ["Input", *(entry.title for entry in results.entries), "Truth"]
    score = results.scores[0]
    caption = first.all("figure")[1].one("small").text
    assert caption == f"PSNR-Y {score.frames[0].values['psnr_y']:.2f} dB LPIPS-squeeze " + (
        f"{score.frames[0].values['lpips_squeeze']:.4f}"
    )
    assert all(image.attributes["alt"] for image in page.all("img")[:-1]), "the last one is the viewer's, still empty"


def test_number_of_pictures_is_bounded_and_the_rest_is_named(tmp_path: Path) -> None:
    stills = [f"s{i:02}" for i in range(30)]
    made = made_results(tmp_path, makers=MAKERS[:3], clips=[], stills=stills, metrics=[metric("psnr_y")])
    page = report(made, tmp_path)
    crops, worst = page.one("section", id="crops"), page.one("section", id="worst")
    results_shown = [i for i in crops.all("img") if not i.attributes["alt"].startswith(("Input", "Truth"))]
    assert len(results_shown) == 39
    heads = [head.text for head in crops.all("h3")]
    assert (heads[0], heads[-1], len(heads)) == ("s00", "s29", 13)
    assert "Shown are 13 of 30 samples. Left out: s01" in crops.text
    assert len(worst.all("div", class_="pair")) == 24
    assert "Shown are 24 of 90 frames" in worst.text


def test_worst_frames_come_worst_first_beside_their_truth(results: QualityResults, page: Element) -> None:
    pairs = page.one("section", id="worst").all("div", class_="pair")
    first = pairs[0]
    assert first.one("p").text == "baby, frame 0: PSNR-Y 19.40 dB"
    assert [figure.one("figcaption").text for figure in first.all("figure")] == ["Truth", "Result"]
    values = [float(re.findall(r"([\d.]+) dB", pair.one("p").text)[0]) for pair in pairs[:4]]
    assert values == sorted(values)
    share = 24 // len(results.entries)
    assert len(pairs) == share * len(results.entries)


# -- Markdown and CSV --------------------------------------------------------------------------------------------------


def test_markdown_is_a_table_with_arrows_bold_and_footnotes(results: QualityResults) -> None:
    lines = to_markdown(results, "clips").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[: 2 + len(MAKERS)]]
    assert len({len(row) for row in cells}) == 1
    assert cells[0][1:5] == ["PSNR-Y (dB) ↑", "SSIM-Y ↑", "LPIPS-squeeze ↓", "LPIPS ↓ [1]"]
    ours = cells[-1]
    expected = statistics.fmean(statistics.fmean(v) for v in all_values(results, "ours-made-elsewhere", "psnr_y"))
    assert ours[:2] == ["ours-made-elsewhere", f"**{expected:.2f}**"]
    assert ours[4] == "–"
    assert f"[1] LPIPS: {FETCH_LPIPS}".replace("~", r"\~") in lines[-1]


def test_markdown_escapes_what_would_break_the_table() -> None:
    maker = Maker(replace(MAKERS[0].info, title="a|b *c* <i>"), 0.0, 0.0, 0.1)
    made = made_results(makers=[maker], clips=[], stills=["x"], metrics=[metric("psnr_y")])
    assert to_markdown(made).splitlines()[2].startswith(r"| a\|b \*c\* \<i\> | ")


def test_csv_has_every_value_and_the_means(results: QualityResults) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(results))))
    by_place = {(r["entry"], r["sample"], r["frame"], r["metric"]): r for r in rows}
    assert len(by_place) == len(rows)
    for score in results.scores:
        for frame in score.frames:
            for key, value in frame.values.items():
                row = by_place[score.entry, score.sample, str(frame.index), key]
                assert float(row["value"]) == value
                assert row["counted"] == ("yes" if frame.counted else "no")
    by_sample = all_values(results, "lanczos", "tof")
    over_frames = float(by_place["lanczos", "", "mean over frames", "tof"]["value"])
    over_clips = float(by_place["lanczos", "", "mean over clips", "tof"]["value"])
    assert over_frames == pytest.approx(statistics.fmean(x for v in by_sample for x in v))
    assert over_clips == pytest.approx(statistics.fmean(statistics.fmean(v) for v in by_sample))
    walk = statistics.fmean(by_sample[1])
    assert float(by_place["lanczos", "walk", "mean", "tof"]["value"]) == pytest.approx(walk)
    assert not [row for row in rows if row["metric"] == "lpips_alex"]


def test_csv_keeps_names_with_commas_quotes_and_line_breaks() -> None:
    names = ['a,"b"', "c\nd"]
    made = made_results(makers=MAKERS[:1], clips=[], stills=names, metrics=[metric("psnr_y")])
    assert {row["sample"] for row in csv.DictReader(io.StringIO(to_csv(made)))} == {*names, ""}
