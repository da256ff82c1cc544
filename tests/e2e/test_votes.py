"""The blind vote as a visitor casts it: two results without names, one answer, and what is stored of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from irss_core.votes import FILENAME, Vote, VoteStore, fingerprint
from tests.e2e.chromium import BROWSER_MARKS
from tests.e2e.visitors import PATIENCE_MS, SMALL_MODEL, Server, Visitor

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS

NAMES = {"realesr-animevideov3": SMALL_MODEL, "lanczos": "Lanczos"}  # A and B of every comparison here

# Everything that can be seen, heard or hovered over, through shadow roots: texts, choices, fields, addresses.
PERCEIVABLE = """() => {
  const found = [];
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) found.push(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE && node.nodeType !== Node.DOCUMENT_FRAGMENT_NODE) return;
    if (node.matches?.("script, style")) return;
    if (node.nodeType === Node.ELEMENT_NODE && !node.checkVisibility()) return;
    for (const attribute of node.attributes ?? []) found.push(attribute.value);
    if (node.value) found.push(String(node.value));
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const child of node.childNodes) walk(child);
  };
  walk(document.body);
  return found.join("\\n");
}"""


def cast(server: Server) -> list[Vote]:
    return VoteStore(server.data_dir / FILENAME).votes()


def choose_models(visitor: Visitor) -> None:
    for label, title in zip(("A, on the left", "B, on the right"), NAMES.values(), strict=True):
        visitor.choose(label, title)


def compare_pictures(visitor: Visitor) -> None:
    choose_models(visitor)
    visitor.page.get_by_role("radio", name="128 px").check()
    visitor.page.locator("#irss-image-try").click()
    visitor.page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)


def contents(visitor: Visitor) -> dict[str, bytes]:
    """The pictures in the viewer, by their ids."""
    return {name: httpx.get(url).raise_for_status().content for name, url in visitor.sources().items()}


def assert_no_name_shows(visitor: Visitor) -> None:
    seen = visitor.page.evaluate(PERCEIVABLE)
    assert "Which result is better?" in seen, "the page was read"
    assert not [name for pair in NAMES.items() for name in pair if name.lower() in seen.lower()]
    assert not re.search(r"\b[AB]: |A, on the left", seen)


def wait_until_in_sight(visitor: Visitor, selector: str) -> None:
    visitor.page.wait_for_function(
        """selector => {
          const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
          return top >= 0 && bottom <= window.innerHeight + 1;
        }""",
        arg=selector,
    )


def test_who_wants_to_sees_no_name_before_the_vote(visit: Any, server: Server) -> None:
    visitor, before = visit(), len(cast(server))
    page = visitor.page
    choose_models(visitor)
    page.get_by_role("radio", name="128 px").check()
    page.get_by_label("Hide the names until I have voted").check()
    page.locator("#irss-image-try").click()
    page.locator("irss-compare[data-left=left][data-state=ready]").wait_for(timeout=PATIENCE_MS)
    assert_no_name_shows(visitor)
    visitor.shot("vote-image-1280-light-first")
    page.get_by_role("button", name="Left is better").click()
    page.get_by_text("Thank you, your vote is counted. You found the left one better.").wait_for()
    page.locator("irss-compare[data-left=a][data-state=ready]").wait_for()
    assert "Lanczos" in visitor.text("#irss-image-facts"), "the names are back"
    assert len(cast(server)) == before + 1


def test_a_vote_on_a_picture_hides_the_names_and_stores_who_stood_where(visit: Any, server: Server) -> None:
    visitor, before = visit(), len(cast(server))
    page = visitor.page
    compare_pictures(visitor)
    named = contents(visitor)
    page.get_by_role("button", name="Vote blind").click()
    page.locator("irss-compare[data-left=left][data-state=ready]").wait_for()

    assert_no_name_shows(visitor)
    wait_until_in_sight(visitor, ".irss-answers")
    visitor.shot("vote-image-1280-light-window", full_page=False)
    blind = contents(visitor)
    assert set(blind) == {"left", "right", "input"}
    assert {blind["left"], blind["right"]} == {named["a"], named["b"]}
    assert sorted(page.locator("irss-compare select").first.locator("option").all_inner_texts()) == ["Input", "Left"]
    visitor.shot("vote-image-1280-light-blind")
    page.get_by_role("button", name="Right is better").click()

    page.get_by_text("Thank you, your vote is counted. You found the right one better.").wait_for()
    page.locator("irss-compare[data-left=a][data-state=ready]").wait_for()
    assert "Lanczos" in visitor.text("#irss-image-facts"), "the names are back"
    left, right = ("A", "B") if blind["left"] == named["a"] else ("B", "A")
    titles = dict(zip("AB", NAMES.values(), strict=True))
    assert f"Left was {left}, {titles[left]}; right was {right}, {titles[right]}." in visitor.text("#irss-image-vote")
    (vote,) = cast(server)[before:]
    models = dict(zip("AB", NAMES, strict=True))
    assert (vote.model_left, vote.model_right, vote.outcome) == (models[left], models[right], "right")
    assert (vote.kind, vote.outscale, vote.extent) == ("still", 4.0, "part")
    astronaut = httpx.get(f"{server.url}/irss/examples/astronaut.png").content
    path = server.data_dir / "astronaut.png"
    path.write_bytes(astronaut)
    assert vote.source == fingerprint(path)
    assert vote.time[:11] == datetime.now(UTC).strftime("%Y-%m-%dT")
    visitor.shot("vote-image-1280-light-counted")

    page.get_by_role("button", name="Vote blind").click()
    page.get_by_text("This comparison is counted already").wait_for()
    assert len(cast(server)) == before + 1
    assert page.locator("#irss-image-try").is_visible()


def test_stopping_brings_the_names_back_and_a_key_answers(visit: Any, server: Server) -> None:
    visitor, before = visit(width=390, height=844, theme="dark"), len(cast(server))
    page = visitor.page
    compare_pictures(visitor)
    page.get_by_role("button", name="Vote blind").click()
    page.get_by_role("heading", name="Which result is better?").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Which result is better?"
    page.locator("irss-compare[data-left=left][data-state=ready]").wait_for()
    assert visitor.overflow() == 0
    wait_until_in_sight(visitor, ".irss-answers")
    visitor.shot("vote-image-390-dark-window", full_page=False)
    visitor.shot("vote-image-390-dark-blind")
    page.get_by_role("button", name="Stop without voting").click()
    page.locator("irss-compare[data-left=a][data-state=ready]").wait_for()
    sync_api.expect(page.get_by_role("combobox", name="A, on the left").locator("visible=true")).to_have_value(
        SMALL_MODEL
    )
    assert len(cast(server)) == before

    page.get_by_role("button", name="Vote blind").press("Enter")
    page.locator("irss-compare[data-left=left][data-state=ready]").wait_for()
    page.locator("irss-compare").get_by_role("slider", name="Dividing line").press("3")
    page.get_by_text("You found no difference.").wait_for()
    assert [vote.outcome for vote in cast(server)[before:]] == ["tie"]
    visitor.shot("vote-image-390-dark-counted")


def test_what_cannot_differ_is_not_voted_on(visit: Any) -> None:
    visitor = visit()
    for label in ("A, on the left", "B, on the right"):
        visitor.choose(label, "Lanczos")
    visitor.page.locator("#irss-image-try").click()
    visitor.page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)
    assert "the same model" in visitor.text("#irss-image-vote")
    assert visitor.page.get_by_role("button", name="Vote blind").count() == 0


def test_a_vote_on_a_clip(visit: Any, server: Server) -> None:
    visitor, before = visit(theme="dark"), len(cast(server))
    page = visitor.page
    visitor.tab("Clip")
    page.get_by_role("button", name="Take the example clip pinboard").click()
    page.locator("#irss-clip-poster img").wait_for()
    choose_models(visitor)
    page.get_by_label("number input for Length (s)").locator("visible=true").fill("0.25")
    page.keyboard.press("Tab")
    page.locator("#irss-clip-try").click()
    page.locator("irss-player[data-state=ready]").wait_for(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Vote blind").click()
    player = page.locator("irss-player[data-left=left][data-state=ready]")
    player.wait_for()

    assert_no_name_shows(visitor)
    panels = {panel["id"]: panel["panel"] for panel in player.evaluate("viewer => JSON.parse(viewer.dataset.panels)")}
    assert panels in ({"left": 1, "right": 2, "input": 0}, {"left": 2, "right": 1, "input": 0})
    visitor.shot("vote-clip-1280-dark-blind")
    page.get_by_role("button", name="Left is better").click()

    page.get_by_text("You found the left one better.").wait_for()
    page.locator("irss-player[data-left=a][data-state=ready]").wait_for()
    page.locator("#irss-clip-profiles img").first.wait_for()
    (vote,) = cast(server)[before:]
    models = tuple(NAMES) if panels["left"] == 1 else tuple(reversed(NAMES))
    assert (vote.kind, vote.model_left, vote.model_right, vote.outcome) == ("clip", *models, "left")
    assert (vote.outscale, vote.extent) == (4.0, "part")
    visitor.shot("vote-clip-1280-dark-counted")
