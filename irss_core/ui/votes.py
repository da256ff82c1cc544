"""ratings_html: what all blind votes together say about the models, for the page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from irss_core.errors import ResourceError
from irss_core.sr.catalog import MODELS
from irss_core.ui import rendering, wording

if TYPE_CHECKING:
    from irss_core.ratings import Rating, Tally
    from irss_core.votes import Vote, VoteKind, VoteStore

logger = logging.getLogger(__name__)

_HEADINGS: dict[VoteKind, tuple[str, str]] = {"still": ("On pictures", "picture"), "clip": ("On clips", "clip")}
_COLUMNS = ("Model", "Score", "95 % interval", "Votes", "Won", "Lost", "No difference")


def ratings_html(store: VoteStore) -> str:
    """Return the scores of every model voted on, pictures and clips apart, or how to cast the first vote."""
    try:
        votes = store.votes()
    except ResourceError as error:
        logger.error("the votes cannot be read: %s", error)
        return rendering.notice("The votes cannot be read on this server at the moment.", kind="error")
    if not votes:
        return rendering.notice(wording.NO_VOTES)
    parts = [_section(kind, [vote for vote in votes if vote.kind == kind]) for kind in _HEADINGS]
    return f'<p class="irss-quiet">{wording.RATINGS_INTRO}</p>{"".join(parts)}'


def _section(kind: VoteKind, votes: Sequence[Vote]) -> str:
    """Return the tables of one kind's votes; nothing without any."""
    from irss_core.ratings import bradley_terry, pairwise  # here, because it loads scipy

    if not votes:
        return ""
    heading, noun = _HEADINGS[kind]
    sources = len({vote.source for vote in votes})
    counts = f"{_counted(len(votes), 'vote')} on {_counted(sources, noun)}"
    ratings = bradley_terry(votes)
    groups = [[rating for rating in ratings if rating.group == number] for number in sorted({r.group for r in ratings})]
    notes = [counts, *[wording.OTHER_GROUP] * (len(groups) - 1)]
    tables = [f'<p class="irss-quiet">{note}</p>{_scores(group)}' for note, group in zip(notes, groups, strict=True)]
    return (
        f'<section class="irss-ratings"><h3>{heading}</h3>{"".join(tables)}'
        f"<details><summary>Model against model</summary>{_matrix(ratings, pairwise(votes))}</details></section>"
    )


def _scores(ratings: Sequence[Rating]) -> str:
    lowest, highest = min(rating.low for rating in ratings), max(rating.high for rating in ratings)
    head = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
    rows = "".join(_row(rating, lowest, highest) for rating in ratings)
    return (
        '<div class="irss-table-box"><table class="irss-table irss-models-table" aria-label="Scores">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(rating: Rating, lowest: float, highest: float) -> str:
    def share(score: float) -> str:
        return f"{100 * (score - lowest) / (highest - lowest):.1f}%"

    tally = rating.tally
    bar = (
        f'<span class="irss-interval" aria-hidden="true" style="--low:{share(rating.low)};--at:{share(rating.score)};'
        f'--high:{share(rating.high)}"></span>'
    )
    cells = (
        f"<strong>{rating.score:.0f}</strong>",
        f"{rating.low:.0f} to {rating.high:.0f}{bar}",
        str(tally.votes),
        str(tally.wins),
        str(tally.losses),
        str(tally.ties),
    )
    return f'<tr><th scope="row">{rendering.readable(_title(rating.model))}</th>' + "".join(
        f'<td data-column="{column}">{cell}</td>' for column, cell in zip(_COLUMNS[1:], cells, strict=True)
    ) + "</tr>"  # fmt: skip


def _matrix(ratings: Sequence[Rating], table: dict[tuple[str, str], Tally]) -> str:
    """Return the table of who won how often against whom, the strongest first."""
    models = [rating.model for rating in ratings]

    def cell(one: str, other: str) -> str:
        tally = table.get((one, other))
        return "" if tally is None else f"{tally.wins} : {tally.losses}" + (f" ({tally.ties})" if tally.ties else "")

    rows = {_title(one): [cell(one, other) for other in models] for one in models}
    return rendering.facts_table([_title(model) for model in models], rows, caption=wording.MATRIX_CAPTION)


def _title(model: str) -> str:
    return MODELS[model].title if model in MODELS else model


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
