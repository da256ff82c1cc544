"""The page's HTML: right numbers, nothing of a visitor's taken for markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from irss_core.progress import ProgressUpdate
from irss_core.ui import rendering
from irss_core.ui.rendering import Download, Source
from irss_core.ui.running import Running, Waiting

HOSTILE = "\"'><img src=x onerror=alert(1)>${7*7}{{7*7}}\u202e\n.png"


class Tags(HTMLParser):
    """Every tag and attribute of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def one(self, name: str) -> dict[str, str | None]:
        (attributes,) = [attributes for tag, attributes in self.found if tag == name]
        return attributes


@pytest.mark.parametrize(
    ("update", "words"),
    [
        (None, "starting"),
        (ProgressUpdate(0, 4, "work", 0.0, None), "0%"),
        (ProgressUpdate(1, 4, "work", 2.0, 6.0), "25%, 6.0 s left"),
        (ProgressUpdate(4, 4, "work", 8.0, 0.0), "100%"),
        (ProgressUpdate(5, 20, "frames", 2.0, 6.0), "25%, frame 5 of 20, 2.5 frames a second, 6.0 s left"),
        (ProgressUpdate(5, None, "frames", 2.0, None), "frame 5, 2.5 frames a second"),
        (ProgressUpdate(5e6, 1e7, "bytes", 1.0, 1.0), "50%, 5.0 MB, 1.0 s left"),
    ],
)
def test_progress_says_what_is_known(update: ProgressUpdate | None, words: str) -> None:
    assert rendering.progress_words(update) == words


def test_progress_marks_the_step_that_runs() -> None:
    state = Running(("read", "run", "save"), 1, ProgressUpdate(1, 4, "work", 1.0, 3.0), 2.0)
    tags = Tags(rendering.progress(state))
    (bar,) = [attributes for _, attributes in tags.found if attributes.get("role") == "progressbar"]
    assert bar["aria-valuenow"] == "25.0"
    steps = [attributes["class"] for tag, attributes in tags.found if tag == "li"]
    assert steps == ["irss-step irss-step-done", "irss-step irss-step-now", "irss-step irss-step-later"]


@pytest.mark.parametrize(("ahead", "words"), [(0, "yours is next"), (1, "second in line"), (4, "number 5 in line")])
def test_the_place_in_line_is_said_in_words(ahead: int, words: str) -> None:
    assert words in rendering.waiting(Waiting(ahead))


@pytest.mark.parametrize(
    "text",
    [
        rendering.notice(HOSTILE, kind="error"),
        rendering.hint(HOSTILE),
        rendering.facts_table([HOSTILE], {HOSTILE: [HOSTILE]}, caption=HOSTILE),
        rendering.definition_list({HOSTILE: HOSTILE}),
        rendering.figure(HOSTILE, alt=HOSTILE, caption=HOSTILE),
        rendering.downloads({HOSTILE: [Download(HOSTILE, HOSTILE, HOSTILE, 3)]}),
        rendering.example_buttons([(HOSTILE, HOSTILE)], noun="picture"),
        rendering.compare_viewer([Source("a", HOSTILE, HOSTILE)], left="a", right="a", width=1, height=1),
        rendering.region_picker(HOSTILE, width=1, height=1, size=1, corner=(0, 0), target="#x"),
        rendering.player(
            HOSTILE, [Source("a", HOSTILE)], left="a", right="a", width=2, height=2, fps=1.0, times_s=[0.0], row=0,
            row_target="#x",
        ),
    ],
)  # fmt: skip
def test_names_and_titles_never_become_markup(text: str) -> None:
    tags = Tags(text)
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert all(attributes.get("src") != "x" for _, attributes in tags.found)
    assert "\n.png" not in text, "control characters are shown, not obeyed"


def test_addresses_escape_what_a_file_name_may_hold() -> None:
    assert rendering.address("results/a/b/c d#1?é&.png") == "results/a/b/c%20d%231%3F%C3%A9%26.png"


def test_the_viewer_gets_its_sources_and_the_results_size() -> None:
    sources = [Source("input", "Input", "results/a b.png"), Source("a", "A: Größe", "results/a.png")]
    viewer = Tags(rendering.compare_viewer(sources, left="input", right="a", width=800, height=600)).one("irss-compare")
    assert json.loads(viewer["data-sources"] or "") == [
        {"id": "input", "label": "Input", "src": "results/a%20b.png"},
        {"id": "a", "label": "A: Größe", "src": "results/a.png"},
    ]
    assert (viewer["data-left"], viewer["data-right"], viewer["data-width"], viewer["data-height"]) == (
        "input", "a", "800", "600",
    )  # fmt: skip


def test_the_player_gets_the_times_of_its_frames() -> None:
    html = rendering.player(
        "results/p.mp4",
        [Source("bicubic", "Bicubic"), Source("a", "A"), Source("b", "B")],
        left="a",
        right="b",
        width=640,
        height=480,
        fps=30000 / 1001,
        times_s=[0.0, 1001 / 30000, 1001 / 15000],
        row=240,
        row_target="#row",
    )
    player = Tags(html).one("irss-player")
    assert json.loads(player["data-times"] or "") == [0.0, 0.033367, 0.066733]
    assert (player["data-frames"], player["data-fps"], player["data-row"]) == ("3", "29.97", "240")


def test_the_region_stands_where_it_was_put() -> None:
    html = rendering.region_picker("p.png", width=90, height=60, size=30, corner=(4, 5), target="#t")
    region = Tags(html).one("irss-region")
    assert (region["data-x"], region["data-y"], region["data-size"]) == ("4", "5", "30")
