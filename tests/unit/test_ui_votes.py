"""The blind vote without a browser: who stands where, what counts and what does not, and the page's table of scores."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from irss_core.config import Settings
from irss_core.services import Services, build_services
from irss_core.ui.events import Page
from irss_core.ui.running import InferenceLine
from irss_core.ui.sessions import SessionStore
from irss_core.ui.vote_panel import Contest, Views, VotePanel, under_neutral_name
from irss_core.ui.votes import ratings_html
from irss_core.votes import Vote, VoteKind, VoteStore
from tests.unit.test_ui_rendering import Tags

REQUEST = SimpleNamespace(session_hash="anna")
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return build_services(Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", offline=True))


@pytest.fixture
def page(services: Services, tmp_path: Path) -> Iterator[Page]:
    sessions, line = SessionStore(max_age_s=100, parent=tmp_path), InferenceLine()
    yield Page(services=services, sessions=sessions, line=line)
    line.close()
    sessions.close()


class Desk:
    """A vote panel with a comparison of two models, and what it shows."""

    def __init__(self, page: Page, folder: Path) -> None:
        with gr.Blocks():
            self.panel = VotePanel(page, "image", noun="picture")
        self.page, self.shown = page, ""
        results = folder / "a.png", folder / "b.png"
        for path in results:
            path.write_bytes(path.name.encode())
        self.contest = Contest(
            kind="still",
            models=("realesrgan-x4plus", "tecogan-x4"),
            titles=("Real-ESRGAN x4plus", "TecoGAN x4"),
            results=results,
            source="0123456789abcdef",
            outscale=4.0,
            extent="part",
        )

    def offer(self, **changes: Any) -> str:
        views = Views(lambda swapped: self.show("b a" if swapped else "a b"), lambda: self.show("named"))
        session = self.page.session(REQUEST)
        return str(self.panel.offer(session, replace(self.contest, **changes), views)[self.panel.part])

    def show(self, what: str) -> dict[Any, Any]:
        self.shown = what
        return {}

    def press(self, choice: str) -> str:
        return str(self.panel.press(REQUEST, SimpleNamespace(choice=choice))[self.panel.part])

    @property
    def votes(self) -> list[Vote]:
        return self.page.services.votes.votes()


@pytest.fixture
def desk(page: Page, tmp_path: Path) -> Desk:
    return Desk(page, tmp_path)


def lot(monkeypatch: pytest.MonkeyPatch, *, swapped: bool) -> None:
    monkeypatch.setattr(secrets, "choice", lambda options: swapped if set(options) == {False, True} else None)


@pytest.mark.parametrize("outcome", ["left", "right", "tie"])
@pytest.mark.parametrize(
    ("swapped", "order", "words"),
    [
        (False, ("realesrgan-x4plus", "tecogan-x4"), "Left was A, Real-ESRGAN x4plus; right was B, TecoGAN x4."),
        (True, ("tecogan-x4", "realesrgan-x4plus"), "Left was B, TecoGAN x4; right was A, Real-ESRGAN x4plus."),
    ],
)
def test_a_vote_stores_who_stood_where_and_tells_it_afterwards(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, swapped: bool, order: tuple[str, str], words: str, outcome: str
) -> None:
    lot(monkeypatch, swapped=swapped)
    desk.offer()
    question = desk.press("blind")
    assert desk.shown == ("b a" if swapped else "a b")
    assert "ESRGAN" not in question
    assert "TecoGAN" not in question

    assert words in desk.press(outcome)
    assert desk.shown == "named"
    (vote,) = desk.votes
    assert (vote.model_left, vote.model_right, vote.outcome) == (*order, outcome)
    assert (vote.kind, vote.source, vote.outscale, vote.extent) == ("still", "0123456789abcdef", 4.0, "part")


def test_both_orders_come_up(desk: Desk) -> None:
    desk.offer()
    seen = set()
    for _ in range(64):  # all alike once in 2^63
        desk.press("blind")
        seen.add(desk.shown)
        desk.press("stop")
    assert seen == {"a b", "b a"}


def test_one_comparison_counts_once(desk: Desk) -> None:
    desk.offer()
    desk.press("blind")
    desk.press("left")
    for choice in ("blind", "right", "left", "stop"):
        assert "counted already. Run another one" in desk.press(choice)
        assert desk.shown == "named"
    assert [vote.outcome for vote in desk.votes] == ["left"]
    desk.offer()
    desk.press("blind")
    assert "Thank you" in desk.press("tie"), "the next comparison is another vote"
    assert len(desk.votes) == 2


def test_stopping_shows_the_names_and_leaves_the_vote_open(desk: Desk) -> None:
    desk.offer()
    desk.press("blind")
    assert "Vote blind" in desk.press("stop")
    assert desk.shown == "named"
    assert "Thank" not in desk.press("left"), "nothing was shown blind"
    assert desk.votes == []


def test_a_new_comparison_takes_the_place_of_the_one_on_show(desk: Desk) -> None:
    desk.offer()
    desk.press("blind")
    desk.offer()
    desk.press("left")
    assert desk.votes == []


def test_what_cannot_differ_is_refused_with_the_reason(desk: Desk) -> None:
    assert "same model" in desk.offer(models=("tecogan-x4", "tecogan-x4"))
    first = desk.contest.results[0]
    assert "equal in every pixel" in desk.offer(results=(first, first))
    assert "no longer kept" in desk.offer(models=("own:gone", "tecogan-x4"))
    assert "no longer here" in desk.press("blind"), "there is nothing to vote on"


def test_a_vote_that_cannot_be_stored_is_told_without_the_servers_paths(desk: Desk, services: Services) -> None:
    services.votes = VoteStore(desk.contest.results[0] / "no folder" / "votes.sqlite3")
    desk.offer()
    desk.press("blind")
    told = desk.press("left")
    assert "was not counted" in told
    assert str(desk.contest.results[0]) not in told
    assert desk.shown == "named"


def test_a_neutral_name_has_nothing_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "cat_tecogan-x4_x4.png"
    path.write_bytes(b"pixels")
    first, second = under_neutral_name(path), under_neutral_name(path)
    assert first != second
    assert first.read_bytes() == b"pixels"
    assert first.suffix == ".png"
    assert not set(first.stem) - set("0123456789abcdef")


# The scores


def vote(left: str, right: str, *, kind: VoteKind = "still", source: str = "0") -> Vote:
    return Vote(kind, left, right, "left", source, 4.0, "part", "0.1.0")


@pytest.fixture
def store(tmp_path: Path) -> VoteStore:
    return VoteStore(tmp_path / "votes.sqlite3")


def test_without_votes_the_page_says_how_to_cast_one(store: VoteStore) -> None:
    assert "press Vote blind" in ratings_html(store)
    store.add(vote("bicubic", "lanczos"))
    store.clear()
    assert "press Vote blind" in ratings_html(store)


def test_pictures_and_clips_have_their_own_scores(store: VoteStore) -> None:
    store.add(vote("tecogan-x4", "bicubic", source="1"))
    store.add(vote("tecogan-x4", "bicubic", source="2"))
    assert "On clips" not in ratings_html(store)
    store.add(vote("lanczos", "bicubic", kind="clip"))
    html = ratings_html(store)
    assert html.index("On pictures") < html.index("2 votes on 2 pictures") < html.index("On clips")
    assert "1 vote on 1 clip<" in html
    tables = html.split("<table")
    assert tables[1].index("TecoGAN x4") < tables[1].index("Bicubic"), "the best first, by title"
    assert ">2 : 0<" in tables[2]
    assert "No vote connects" not in html


def test_models_no_vote_connects_are_set_apart(store: VoteStore) -> None:
    for each in (vote("bicubic", "lanczos"), vote("bicubic", "lanczos"), vote("tecogan-x4", HOSTILE)):
        store.add(each)
    html = ratings_html(store)
    assert html.index("Lanczos") < html.index("No vote connects the following models") < html.index("TecoGAN x4")
    assert not [tag for tag, _ in Tags(html).found if tag == "img"]


def test_votes_that_cannot_be_read_are_a_message(store: VoteStore) -> None:
    store.path.write_bytes(b"no database" * 100)
    assert "cannot be read" in ratings_html(store)
    assert str(store.path) not in ratings_html(store)
