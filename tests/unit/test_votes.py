"""Blind votes: what is stored and how safely, the scores they give, and the command that shows them."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.config import Settings
from irss_core.errors import InvalidOptionError, ResourceError
from irss_core.ratings import Rating, Tally, bradley_terry, pairwise
from irss_core.services import build_services
from irss_core.votes import FILENAME, Vote, VoteKind, VoteStore, fingerprint, this_hour
from tests.tiny_models import tiny_rrdbnet

ELO = 400 / math.log(10)


def vote(left: str = "a", right: str = "b", outcome: str = "left", kind: VoteKind = "still", **more: object) -> Vote:
    facts = {"source": "0123456789abcdef", "outscale": 4.0, "extent": "part", "version": "0.1.0"} | more
    return Vote(kind=kind, model_left=left, model_right=right, outcome=outcome, **facts)  # type: ignore[arg-type]


def results(left: str, right: str, *, wins: int = 0, losses: int = 0, ties: int = 0) -> list[Vote]:
    """Votes between two models, counted for the left one."""
    outcomes = ["left"] * wins + ["right"] * losses + ["tie"] * ties
    return [vote(left, right, outcome) for outcome in outcomes]


@pytest.fixture
def store(tmp_path: Path) -> VoteStore:
    return VoteStore(tmp_path / "data" / FILENAME)


class TestStore:
    def test_votes_come_back_as_they_were_oldest_first(self, store):
        cast = [vote(), vote("b", "c", "tie", "clip", outscale=2.5, extent="whole")]
        assert [store.add(each) for each in cast] == [True, True]
        assert store.votes() == cast
        assert store.votes("clip") == cast[1:]

    def test_nothing_is_made_before_the_first_vote(self, store):
        assert store.votes() == []
        assert store.clear() == 0
        assert not store.path.parent.exists()

    def test_a_ballot_counts_once(self, store):
        first = vote(ballot="one")
        assert store.add(first)
        assert not store.add(vote("b", "a", ballot="one"))
        assert store.votes() == [first]

    def test_clearing_says_how_many_there_were(self, store):
        for _ in range(3):
            store.add(vote())
        assert store.clear() == 3
        assert store.votes() == []
        assert store.add(vote()), "and the file goes on working"

    def test_the_file_names_its_schema_and_keeps_a_journal_that_readers_do_not_wait_for(self, store):
        store.add(vote())
        connection = sqlite3.connect(store.path)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()

    @pytest.mark.parametrize(("column", "value"), [("outcome", "none"), ("kind", "sound"), ("extent", "half")])
    def test_the_file_refuses_what_is_no_vote(self, store, column, value):
        with pytest.raises(ResourceError, match="CHECK"):
            store.add(vote(**{column: value}))
        assert store.votes() == []

    def test_a_vote_needs_two_models(self):
        with pytest.raises(InvalidOptionError, match="different models"):
            vote("a", "a")

    def test_threads_that_all_cast_the_first_vote_lose_none(self, tmp_path):
        for attempt in range(10):
            store, start, lost = VoteStore(tmp_path / str(attempt) / FILENAME), threading.Barrier(6), []

            def cast(store=store, start=start, lost=lost):
                start.wait()
                try:
                    store.add(vote())
                    store.votes()
                except ResourceError as error:
                    lost.append(error)

            threads = [threading.Thread(target=cast) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert lost == []
            assert len(store.votes()) == 6

    def test_processes_share_the_file(self, store):
        code = (
            "import sys; from pathlib import Path; from irss_core.votes import Vote, VoteStore\n"
            "for _ in range(20): VoteStore(Path(sys.argv[1])).add("
            "Vote('still', 'a', 'b', 'tie', '0', 4.0, 'part', '0'))"
        )
        processes = [subprocess.Popen([sys.executable, "-c", code, store.path]) for _ in range(3)]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
        assert len(store.votes()) == 60

    def test_votes_of_a_later_version_are_left_alone(self, store):
        store.add(vote())
        connection = sqlite3.connect(store.path)
        connection.execute("PRAGMA user_version = 2")
        connection.close()
        for act in (store.votes, store.clear, lambda: store.add(vote())):
            with pytest.raises(ResourceError, match="later version"):
                act()

    def test_what_cannot_be_written_names_place_and_remedy(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        store = VoteStore(tmp_path / "file" / "data" / FILENAME)
        with pytest.raises(ResourceError, match=rf"cannot be stored in {re.escape(str(store.path))}.*IRSS_DATA_DIR"):
            store.add(vote())
        assert store.votes() == []

    def test_a_file_of_another_kind_is_named_and_kept(self, store):
        store.path.parent.mkdir()
        store.path.write_text("no votes at all, but somebody's notes" * 10)
        for act in (store.votes, lambda: store.add(vote())):
            with pytest.raises(ResourceError, match="not a database"):
                act()
        assert "notes" in store.path.read_text()

    def test_votes_can_be_read_where_nothing_can_be_written(self, store, monkeypatch):
        store.add(vote())
        address = []
        connect = sqlite3.connect
        monkeypatch.setattr(os, "access", lambda *_: False)  # chmod does not bind root, who runs the tests in CI
        monkeypatch.setattr(sqlite3, "connect", lambda name, **more: address.append(name) or connect(name, **more))
        assert len(store.votes()) == 1
        assert address[0].endswith("?immutable=1"), "SQLite must not try to make its journal there"

    def test_the_time_is_cut_to_the_hour_in_utc(self):
        east = datetime(2026, 3, 1, 1, 59, 59, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        assert this_hour(east) == "2026-02-28T20:00Z"
        assert vote().time[:13] == datetime.now(UTC).strftime("%Y-%m-%dT%H")

    def test_the_fingerprint_is_the_beginning_of_the_sha256(self, tmp_path):
        (tmp_path / "abc").write_bytes(b"abc")
        assert fingerprint(tmp_path / "abc") == "ba7816bf8f01cfea"

    def test_own_checkpoints_are_named_by_their_bytes_alone(self, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "my secret project.safetensors"
        save_file(tiny_rrdbnet().network.state_dict(), path)
        services = build_services(Settings(cache_dir=tmp_path, data_dir=tmp_path / "data", offline=True))
        names = {services.name_in_votes(services.add_checkpoint(path).name) for _ in range(2)}
        assert names == {f"own checkpoint {fingerprint(path)[:8]}"}
        assert services.name_in_votes("tecogan-x4") == "tecogan-x4"
        assert services.votes.path == tmp_path / "data" / FILENAME


def gap(ratings: list[Rating], one: str, other: str) -> float:
    """How much stronger one model is, in natural log odds."""
    scores = {rating.model: rating.score for rating in ratings}
    return (scores[one] - scores[other]) / ELO


class TestScores:
    @pytest.mark.parametrize(("wins", "losses", "ties"), [(7, 3, 0), (7, 3, 4), (12, 0, 0), (0, 1, 0), (300, 100, 0)])
    def test_two_models_have_the_closed_form(self, wins, losses, ties):
        # With strengths d/2 and -d/2 and x = exp(d/2), the slope of the likelihood with one tie each against a fixed
        # opponent is w - n x^2/(1+x^2) + 1/2 - x/(1+x) = 0: a cubic with one positive root.
        points, games = wins + ties / 2, wins + losses + ties
        slope = np.poly1d([1, 0, 1]) * np.poly1d([1, 1]) * (points + 0.5)
        slope -= games * np.poly1d([1, 0, 0]) * np.poly1d([1, 1]) + np.poly1d([1, 0]) * np.poly1d([1, 0, 1])
        (root,) = [root.real for root in slope.roots if abs(root.imag) < 1e-9 and root.real > 0]

        ratings = bradley_terry(results("a", "b", wins=wins, losses=losses, ties=ties))

        difference = 2 * math.log(root)
        assert gap(ratings, "a", "b") == pytest.approx(difference, abs=1e-6)
        chance = 1 / (1 + math.exp(-difference))
        fixed = 1 / (1 + math.exp(-difference / 2))
        error = 1 / math.sqrt(4 * games * chance * (1 - chance) + 2 * fixed * (1 - fixed))
        for rating in ratings:
            assert (rating.high - rating.low) / 2 / ELO == pytest.approx(norm.ppf(0.975) * error, rel=1e-5)

    def test_with_many_votes_the_gap_is_the_log_odds(self):
        ratings = bradley_terry(results("a", "b", wins=7500, losses=2500))
        assert gap(ratings, "a", "b") == pytest.approx(math.log(3), abs=1e-3)

    def test_ten_to_one_are_400_points_around_1500(self):
        first, second = bradley_terry(results("a", "b", wins=10_000, losses=1_000))
        assert (first.model, second.model) == ("a", "b")
        assert first.score - second.score == pytest.approx(400, abs=1)
        assert (first.score + second.score) / 2 == pytest.approx(1500)

    def test_a_tie_is_half_a_win_for_each_side(self):
        tied = bradley_terry(results("a", "b", wins=3, losses=1, ties=2))
        split = bradley_terry(results("a", "b", wins=4, losses=2))
        assert gap(tied, "a", "b") == pytest.approx(gap(split, "a", "b"))
        assert tied[0].tally == Tally(wins=3, losses=1, ties=2)

    def test_the_side_does_not_matter(self):
        one = bradley_terry([vote("a", "b", "left"), vote("a", "b", "tie")])
        assert bradley_terry([vote("b", "a", "right"), vote("b", "a", "tie")]) == one

    def test_simulated_votes_give_back_the_strengths(self):
        rng = np.random.default_rng(5)
        strengths = dict(zip("abcde", (1.0, 0.4, 0.0, -0.3, -1.1), strict=True))  # they sum to 0
        held = []
        for _ in range(40):
            cast = []
            for one, other in itertools.combinations(strengths, 2):
                chance = 1 / (1 + math.exp(strengths[other] - strengths[one]))
                wins = rng.binomial(60, chance)
                cast += results(one, other, wins=wins, losses=60 - wins)
            ratings = bradley_terry(cast)
            held += [rating.low <= 1500 + ELO * strengths[rating.model] <= rating.high for rating in ratings]
        assert 0.90 <= np.mean(held) <= 0.99, "95 % of the intervals hold the truth"

    def test_the_fit_is_where_no_step_raises_the_likelihood(self):
        rng = np.random.default_rng(2)
        pairs = list(itertools.permutations("abcd", 2))
        cast = [vote(*pairs[rng.integers(len(pairs))], "left") for _ in range(30)]
        ratings = bradley_terry(cast)

        def likelihood(strengths: dict[str, float]) -> float:
            def wins(one: float, other: float) -> float:
                return -math.log1p(math.exp(other - one))

            votes = sum(wins(strengths[each.model_left], strengths[each.model_right]) for each in cast)
            return votes + sum((wins(value, 0) + wins(0, value)) / 2 for value in strengths.values())

        # Scores are centred; the prior's opponent is where the likelihood, moved along together, is highest.
        centred = {rating.model: (rating.score - 1500) / ELO for rating in ratings}
        shift = max(np.linspace(-1, 1, 20_001), key=lambda by: likelihood({m: v + by for m, v in centred.items()}))
        fitted = {model: value + shift for model, value in centred.items()}
        for model, step in itertools.product(fitted, (-0.01, 0.01)):
            assert likelihood({**fitted, model: fitted[model] + step}) < likelihood(fitted)

    def test_a_model_that_always_wins_has_a_finite_score_and_a_wide_interval(self):
        few, many = (bradley_terry(results("a", "b", wins=count)) for count in (2, 50))
        assert 1500 < few[0].score < many[0].score < 2500
        assert few[0].low < 1500 < few[0].high, "two votes decide nothing"
        assert many[0].low > many[1].high

    def test_models_that_no_vote_connects_stand_apart(self):
        ratings = bradley_terry([*results("a", "b", wins=1), *results("c", "d", wins=4), *results("d", "e", ties=1)])
        assert [(rating.model, rating.group) for rating in ratings] == [
            ("c", 1), ("e", 1), ("d", 1), ("a", 2), ("b", 2),
        ]  # fmt: skip
        for group in (1, 2):
            assert np.mean([rating.score for rating in ratings if rating.group == group]) == pytest.approx(1500)
        assert [each for each in ratings if each.group == 2] == [
            Rating(each.model, each.score, each.low, each.high, each.tally, 2)
            for each in bradley_terry(results("a", "b", wins=1))
        ], "as if there were no other votes"

    def test_the_pairs_are_seen_from_both_sides(self):
        table = pairwise(
            [vote("a", "b", "left"), vote("b", "a", "left"), vote("b", "a", "tie"), vote("b", "a", "left")]
        )
        assert table == {("a", "b"): Tally(1, 2, 1), ("b", "a"): Tally(2, 1, 1)}

    def test_without_votes_there_is_nothing(self):
        assert bradley_terry([]) == []
        assert pairwise([]) == {}


@pytest.fixture
def irss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `irss bench votes` on a data folder of its own: status, output, remarks."""
    monkeypatch.setenv("IRSS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        status = main(["bench", "votes", *arguments], console=Console(out, err))
        return status, out.getvalue(), err.getvalue()

    return run


class TestCommand:
    def test_without_votes_it_says_how_to_cast_one(self, irss):
        status, out, _ = irss()
        assert status == 0
        assert "No votes yet" in out
        assert "Vote blind" in out
        assert json.loads(irss("--json")[1])["votes"] == 0

    def test_scores_and_pairs_are_shown_by_kind(self, irss, store):
        for each in [*results("tecogan-x4", "bicubic", wins=3, ties=1), vote("lanczos", "bicubic", kind="clip")]:
            store.add(each)
        _, out, _ = irss()
        assert "4 votes on 1 picture\n" in out
        assert "1 vote on 1 clip\n" in out
        best = bradley_terry(store.votes("still"))[0]
        row = rf"tecogan-x4 +{best.score:.0f} +{best.low:.0f} to {best.high:.0f} +4 +3 +0 +1\n"
        assert re.search(row, out)
        assert re.search(r"\nbicubic +0:3:1 +-\n", out)
        facts = json.loads(irss("--json")[1])
        assert facts["still"]["ratings"][0] == {
            "model": "tecogan-x4", "score": best.score, "low": best.low, "high": best.high, "group": 1,
            "wins": 3, "losses": 0, "ties": 1,
        }  # fmt: skip
        assert {"model": "bicubic", "against": "lanczos", "wins": 0, "losses": 1, "ties": 0} in facts["clip"]["pairs"]

    def test_groups_that_no_vote_connects_are_named(self, irss, store):
        for each in [vote("a", "b"), vote("c", "d")]:
            store.add(each)
        _, out, _ = irss()
        assert "No vote connects the groups" in out

    def test_every_vote_is_exported_but_never_over_another_file(self, irss, store, tmp_path):
        store.add(vote(time="2026-03-01T14:00Z"))
        assert irss("--export", "votes.csv")[0] == 0
        rows = list(csv.DictReader((tmp_path / "votes.csv").open()))
        assert rows == [{
            "time": "2026-03-01T14:00Z", "kind": "still", "model_left": "a", "model_right": "b", "outcome": "left",
            "source": "0123456789abcdef", "outscale": "4.0", "extent": "part", "version": "0.1.0",
        }]  # fmt: skip
        status, _, err = irss("--export", "votes.csv")
        assert (status, len(err.splitlines())) == (1, 1)
        assert irss("--export", "votes.csv", "--overwrite")[0] == 0

    def test_clearing_needs_a_yes(self, irss, store):
        store.add(vote())
        status, _, err = irss("--clear")
        assert status == 2
        assert "1 vote for good" in err
        assert len(store.votes()) == 1
        assert irss("--clear", "--yes", "--export", "kept.csv")[0] == 0
        assert store.votes() == []
        assert Path("kept.csv").read_text().count("\n") == 2

    def test_votes_that_cannot_be_read_are_one_line(self, irss, store):
        store.path.parent.mkdir()
        store.path.write_bytes(b"no database" * 100)
        status, out, err = irss()
        assert (status, out, len(err.splitlines())) == (1, "", 1)
        assert str(store.path) in err
