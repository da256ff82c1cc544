"""VotePanel: the blind vote below the viewer of the image and clip tabs, from the offer to the answer.

A tab hands in a finished comparison and two ways of showing it: with the names, and without. Which result then stands
left is drawn by lot at every showing. One comparison counts once, however often its buttons are pressed.
"""

from __future__ import annotations

import filecmp
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from irss_core import __version__
from irss_core.errors import ResourceError, UnknownModelError
from irss_core.ui import rendering, wording
from irss_core.ui.events import QUICK, Page, Updates, html_part, telling
from irss_core.ui.sessions import Session
from irss_core.votes import Extent, Outcome, Vote, VoteKind

logger = logging.getLogger(__name__)

_Kept = TypeVar("_Kept")

# The button that was pressed goes away with the text around it: the focus moves on to what came in its place, and the
# answers come into sight, once the parts above that hide or show have taken their new heights.
_PRESSED_JS = """
let pressed = false;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-choice]");
  if (!button) return;
  pressed = true;
  trigger("pick", { choice: button.dataset.choice });
});
watch("value", () => {
  if (!pressed) return;
  pressed = false;
  const next = element.querySelector("[data-focus]");
  next?.focus({ preventScroll: true });
  const inSight = element.querySelector(".irss-answers") ?? next;
  requestAnimationFrame(() => requestAnimationFrame(() => inSight?.scrollIntoView({ block: "nearest" })));
});
"""
_GONE = "These results are no longer here. Run the comparison again, then vote."
_SAME_MODEL = "Both sides come from the same model, so there is nothing to vote on."
_SAME_BYTES = "Both results are equal in every pixel, so there is nothing to vote on."
_NOT_STORED = "Votes cannot be stored on this server at the moment, so yours was not counted."
_COUNTED_ALREADY = "This comparison is counted already. Run another one to vote again."
_OUTCOMES: dict[str, Outcome] = {"left": "left", "right": "right", "tie": "tie"}
_FOUND = {"left": "You found the left one better.", "right": "You found the right one better.",
          "tie": "You found no difference."}  # fmt: skip


@dataclass(frozen=True)
class Contest:
    """What a vote is about: model A's and B's name, title and result, and what they were given.

    ``source`` is the fingerprint of the whole input, ``extent`` how much of it was run.
    """

    kind: VoteKind
    models: tuple[str, str]
    titles: tuple[str, str]
    results: tuple[Path, Path]
    source: str
    outscale: float
    extent: Extent


@dataclass(frozen=True)
class Views:
    """The two ways to show a comparison: ``blind`` is told whether B stands on the left."""

    blind: Callable[[bool], Updates]
    named: Callable[[], Updates]


@dataclass(frozen=True)
class Ballot:
    """One comparison's vote: not shown (``swapped`` is None), shown, or cast."""

    contest: Contest
    views: Views
    token: str
    swapped: bool | None = None
    outcome: Outcome | None = None

    def left_right(self, pair: tuple[str, str]) -> tuple[str, str]:
        """Return A's and B's in the order in which they were shown."""
        return (pair[1], pair[0]) if self.swapped else pair


class Ballots(dict[str, Ballot]):
    """A visitor's current ballot in each tab."""


class NamesHidden(set[str]):
    """The tabs in which a visitor wants to see results without names first."""


class VotePanel:
    """The part of a tab that asks for a vote; ``place`` is the tab's name, ``noun`` what it compares."""

    def __init__(self, page: Page, place: str, *, noun: str) -> None:
        self._page, self._place, self._noun = page, place, noun
        self.part = html_part(elem_id=f"irss-{place}-vote", js_on_load=_PRESSED_JS)

    def connect(self, shown: Sequence[Any], names_hidden: gr.Checkbox) -> None:
        """Act on the buttons; ``shown`` is everything that the views update.

        ``names_hidden`` says whether results are shown without names at first.
        """
        self.part.pick(self.press, None, [self.part, *shown], trigger_mode="once", **QUICK)
        names_hidden.change(self.remember, names_hidden, None, **QUICK)

    def remember(self, hidden: bool, request: gr.Request) -> None:
        """Note whether the next results are to be shown without names at first."""
        wishes = _kept(self._page.session(request), NamesHidden)
        (wishes.add if hidden else wishes.discard)(self._place)

    def offer(self, session: Session, contest: Contest, views: Views) -> Updates:
        """Return the updates that offer a vote on a new comparison, or say why there is none.

        Where the visitor wants to vote before he sees names, they show the results blind at once.
        """
        ballots = _kept(session, Ballots)
        ballots.pop(self._place, None)
        try:
            models = [self._page.services.name_in_votes(name) for name in contest.models]
        except UnknownModelError as error:
            return {self.part: rendering.hint(str(error))}
        contest = replace(contest, models=(models[0], models[1]))
        refusal = _refusal(contest)
        if refusal:
            return {self.part: rendering.hint(refusal)}
        ballot = ballots[self._place] = Ballot(contest, views, secrets.token_hex(16))
        if self._place in _kept(session, NamesHidden):
            return self._show(session, ballot)
        return {self.part: _offer()}

    @telling(lambda panel: panel.part)
    def press(self, request: gr.Request, event: gr.EventData) -> Updates:
        """Act on one of the buttons: show the results blind, take the vote, or go back."""
        session, choice = self._page.session(request), str(event.choice)
        ballot = _kept(session, Ballots).get(self._place)
        if ballot is None:
            return {self.part: rendering.notice(_GONE, kind="warn")}
        if ballot.outcome is not None:
            return {self.part: _thanks(ballot, _COUNTED_ALREADY), **ballot.views.named()}
        if choice == "blind":
            return self._show(session, ballot)
        if choice in _OUTCOMES and ballot.swapped is not None:
            return self._cast(session, replace(ballot, outcome=_OUTCOMES[choice]))
        return self._stop(session, ballot)

    def _show(self, session: Session, ballot: Ballot) -> Updates:
        swapped = secrets.choice((False, True))
        _kept(session, Ballots)[self._place] = replace(ballot, swapped=swapped)
        return {self.part: _question(self._noun), **ballot.views.blind(swapped)}

    def _stop(self, session: Session, ballot: Ballot) -> Updates:
        _kept(session, Ballots)[self._place] = replace(ballot, swapped=None)
        return {self.part: _offer(focused=True), **ballot.views.named()}

    def _cast(self, session: Session, ballot: Ballot) -> Updates:
        contest = ballot.contest
        left, right = ballot.left_right(contest.models)
        vote = Vote(
            kind=contest.kind,
            model_left=left,
            model_right=right,
            outcome=ballot.outcome or "tie",
            source=contest.source,
            outscale=contest.outscale,
            extent=contest.extent,
            version=__version__,
            ballot=ballot.token,
        )
        named = ballot.views.named()
        try:
            counted = self._page.services.votes.add(vote)
        except ResourceError as error:
            logger.error("a vote was lost: %s", error)
            return {self.part: rendering.notice(f"{_NOT_STORED} {_who(ballot)}", kind="error") + _offer(), **named}
        if not counted:  # a second press that came before the first was answered
            return {self.part: _thanks(ballot, _COUNTED_ALREADY), **named}
        _kept(session, Ballots)[self._place] = ballot
        return {self.part: _thanks(ballot, "Thank you, your vote is counted."), **named}


def under_neutral_name(path: Path) -> Path:
    """Return the same file beside itself, under a name that tells nothing of the model."""
    neutral = path.with_name(f"{secrets.token_hex(8)}{path.suffix}")
    try:
        os.link(path, neutral)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, neutral)
    return neutral


def _kept(session: Session, kind: type[_Kept]) -> _Kept:
    """Return what the session keeps of that kind; an empty one is made at first."""
    kept = session.kept(kind)
    if kept is None:
        kept = kind()
        session.keep(kept)
    return kept


def _refusal(contest: Contest) -> str:
    """Return why nobody can vote on this, or nothing."""
    if contest.models[0] == contest.models[1]:
        return _SAME_MODEL
    return _SAME_BYTES if filecmp.cmp(*contest.results, shallow=False) else ""


# --- what it says ----------------------------------------------------------------------------------------------------


def _offer(*, focused: bool = False) -> str:
    focus = " data-focus" if focused else ""
    return (
        f'<div class="irss-vote"><button type="button" data-choice="blind"{focus}>Vote blind</button>'
        f'<p class="irss-quiet">{wording.VOTE_OFFER}</p></div>'
    )


def _question(noun: str) -> str:
    answers = (("left", "Left is better"), ("right", "Right is better"), ("tie", "No difference"))
    buttons = "".join(
        f'<button type="button" data-choice="{choice}" data-key="{key}">{words} <kbd aria-hidden="true">{key}</kbd>'
        "</button>"
        for key, (choice, words) in enumerate(answers, 1)
    )
    return (
        '<section class="irss-vote irss-vote-blind" aria-label="Blind vote">'
        '<h3 tabindex="-1" data-focus>Which result is better?</h3>'
        f'<div class="irss-answers">{buttons}</div><p class="irss-quiet">{wording.VOTE_HOW}</p>'
        '<button type="button" class="irss-link" data-choice="stop">Stop without voting</button>'
        f'<p class="irss-quiet">{wording.vote_stores(noun)}</p></section>'
    )


def _thanks(ballot: Ballot, words: str) -> str:
    found = _FOUND[ballot.outcome or "tie"]
    message = rendering.notice(f"{words} {found} {_who(ballot)}", kind="good")
    return f'<div tabindex="-1" data-focus>{message}</div>{_offer()}'


def _who(ballot: Ballot) -> str:
    """Return which model stood where."""
    first, second = ballot.contest.titles
    left, right = ballot.left_right((f"A, {first}", f"B, {second}"))
    return f"Left was {left}; right was {right}."
