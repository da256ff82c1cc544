"""``irss bench votes``: what the blind votes of the app say about the models."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irss_core.cli.invocation import invocation_of, load_settings
from irss_core.cli.options import AsJson, Overwrite
from irss_core.cli.wording import counted
from irss_core.errors import InvalidOptionError

if TYPE_CHECKING:
    from irss_core.cli.console import Console
    from irss_core.ratings import Rating
    from irss_core.votes import Vote

EXAMPLES = """\b
Examples:
  irss bench votes
  irss bench votes --export votes.csv
  irss bench votes --clear --yes
"""

_NONE = "No votes yet. Start the app (irss serve), run a comparison, and press Vote blind below the result."
_KINDS = {"still": "pictures", "clip": "clips"}


def votes(
    context: typer.Context,
    *,
    as_json: AsJson = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE.csv", help="Write every vote there, too, as CSV.")
    ] = None,
    overwrite: Overwrite = False,
    clear: Annotated[bool, typer.Option("--clear", help="Delete all votes; needs --yes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete them.")] = False,
) -> None:
    """Show the models' scores from the blind votes of the app.

    Bradley-Terry scores on the Elo scale: 1500 is the average of the models, 400 points more are odds of ten to one.
    A tie counts as half a win for each side. Votes on pictures and on clips are scored apart. The votes are kept in the
    data folder (IRSS_DATA_DIR).
    """
    from irss_core.votes import FILENAME, VoteStore

    store = VoteStore(load_settings().data_dir / FILENAME)
    console = invocation_of(context).console
    cast = store.votes()
    if clear and not yes:
        raise InvalidOptionError(
            f"This deletes {counted(len(cast), 'vote')} for good: add --yes. With --export FILE.csv you keep a copy."
        )
    if export is not None:
        _write_csv(export, cast, overwrite=overwrite)
        console.note(f"{counted(len(cast), 'vote')} written to {export}")
    if clear:
        console.note(f"{counted(store.clear(), 'vote')} deleted")
    elif as_json:
        console.block(json.dumps(_facts(cast), indent=2))
    elif cast:
        _tell(cast, console)
    else:
        console.result(_NONE)


def _tell(cast: Sequence[Vote], console: Console) -> None:
    from irss_core.ratings import CONVENTION, bradley_terry, pairwise

    for kind, noun in _KINDS.items():
        chosen = [vote for vote in cast if vote.kind == kind]
        if not chosen:
            continue
        sources = len({vote.source for vote in chosen})
        console.result(f"{counted(len(chosen), 'vote')} on {counted(sources, noun.removesuffix('s'))}")
        console.block("")
        ratings, table = bradley_terry(chosen), pairwise(chosen)
        several = len({rating.group for rating in ratings}) > 1
        headings = ("model", "score", "95 % interval", "votes", "won", "lost", "tied", *(["group"] if several else []))
        console.table(headings, [_row(rating, several=several) for rating in ratings])
        console.block("")
        models = [rating.model for rating in ratings]
        cells = [
            [one, *(f"{t.wins}:{t.losses}:{t.ties}" if (t := table.get((one, other))) else "-" for other in models)]
            for one in models
        ]
        console.table(("won:lost:tied", *models), cells)
        console.block("")
        if several:
            console.result("No vote connects the groups: scores compare within a group only.")
    console.result(CONVENTION)


def _row(rating: Rating, *, several: bool) -> list[str]:
    tally = rating.tally
    counts = [str(number) for number in (tally.votes, tally.wins, tally.losses, tally.ties)]
    interval = f"{rating.low:.0f} to {rating.high:.0f}"
    return [rating.model, f"{rating.score:.0f}", interval, *counts, *([str(rating.group)] if several else [])]


def _facts(cast: Sequence[Vote]) -> dict[str, Any]:
    """Return everything for other programs: the scores and the pairs, by kind."""
    from irss_core.ratings import CONVENTION, bradley_terry, pairwise

    kinds = {}
    for kind in _KINDS:
        chosen = [vote for vote in cast if vote.kind == kind]
        kinds[kind] = {
            "votes": len(chosen),
            "sources": len({vote.source for vote in chosen}),
            "ratings": [
                {**{name: value for name, value in asdict(rating).items() if name != "tally"}, **asdict(rating.tally)}
                for rating in bradley_terry(chosen)
            ],
            "pairs": [
                {"model": one, "against": other, **asdict(tally)} for (one, other), tally in pairwise(chosen).items()
            ],
        }
    return {"votes": len(cast), "scale": CONVENTION, **kinds}


def _write_csv(path: Path, cast: Sequence[Vote], *, overwrite: bool) -> None:
    """Write a row a vote, without the ballots' random words."""
    from irss_core.media.atomic import atomic_file
    from irss_core.votes import COLUMNS

    columns = [name for name in COLUMNS if name != "ballot"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(vote, name) for name in columns] for vote in cast)
    with atomic_file(path, overwrite=overwrite) as stream:
        stream.write(text.getvalue().encode())
