"""bradley_terry: how strong each model is, judged by votes between pairs, and how sure one can be of it.

The model (Bradley and Terry 1952): A is found better than B with probability 1 / (1 + exp(b - a)), where a and b are
the models' log strengths. A tie counts as half a win for each side. The strengths are the most likely ones, with a
small prior: every model is given one tie against the same made-up opponent of log strength 0, so that a model which
always won has a finite score. Intervals come from the inverse of the observed information, with the sum of the
strengths fixed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from irss_core.votes import Vote

ELO = 400 / math.log(10)  # points a unit of log strength: 400 points more are odds of ten to one
CENTRE = 1500.0
CONVENTION = "Elo scale: 1500 is the average of the models compared, 400 points more are odds of ten to one."
_NORMAL_95 = 1.959964  # standard deviations on either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Tally:
    """What one model reached against another, or against all."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def votes(self) -> int:
        """Votes in all."""
        return self.wins + self.losses + self.ties


@dataclass(frozen=True)
class Rating:
    """A model's score on the Elo scale with its 95 % interval ``low`` to ``high``, and the votes behind it.

    Scores compare within one ``group`` only: models that votes connect, directly or through others. Each group is
    centred on 1500; the one with the most votes has number 1.
    """

    model: str
    score: float
    low: float
    high: float
    tally: Tally
    group: int


def pairwise(votes: Iterable[Vote]) -> dict[tuple[str, str], Tally]:
    """Return what each model (first) reached against each other (second) that it met."""
    wins: Counter[tuple[str, str]] = Counter()
    ties: Counter[tuple[str, str]] = Counter()
    for vote in votes:
        left, right = vote.model_left, vote.model_right
        if vote.outcome == "tie":
            ties.update([(left, right), (right, left)])
        else:
            wins[(left, right) if vote.outcome == "left" else (right, left)] += 1
    met = {pair for one, other in (*wins, *ties) for pair in ((one, other), (other, one))}
    return {(one, other): Tally(wins[one, other], wins[other, one], ties[one, other]) for one, other in sorted(met)}


def bradley_terry(votes: Iterable[Vote]) -> list[Rating]:
    """Return a rating for every model that was voted on: group by group, the best first."""
    table = pairwise(votes)
    groups = sorted(_connected(table), key=lambda models: (-_votes_among(models, table), models))
    return [rating for number, models in enumerate(groups, 1) for rating in _rate(models, table, number)]


def _rate(models: Sequence[str], table: dict[tuple[str, str], Tally], group: int) -> list[Rating]:
    tallies = [[table.get((one, other), Tally()) for other in models] for one in models]
    points = np.array([[tally.wins + tally.ties / 2 for tally in row] for row in tallies])
    strengths, covariance = _most_likely(points)
    errors = _NORMAL_95 * np.sqrt(np.diag(covariance))
    ratings = [
        Rating(
            model=model,
            score=CENTRE + ELO * float(strength),
            low=CENTRE + ELO * float(strength - error),
            high=CENTRE + ELO * float(strength + error),
            tally=Tally(
                sum(tally.wins for tally in row), sum(tally.losses for tally in row), sum(tally.ties for tally in row)
            ),
            group=group,
        )
        for model, strength, error, row in zip(models, strengths, errors, tallies, strict=True)
    ]
    return sorted(ratings, key=lambda rating: (-rating.score, rating.model))


def _most_likely(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log strengths, summing to 0, and their covariance, from NxN points of the row's model.

    What is minimised is convex and, with the prior, has exactly one minimum.
    """
    games = points + points.T

    def gaps(strengths: np.ndarray) -> np.ndarray:
        return np.asarray(strengths[:, None] - strengths[None, :])

    def loss(strengths: np.ndarray) -> float:
        prior = log_expit(strengths) + log_expit(-strengths)
        return -float((points * log_expit(gaps(strengths))).sum() + prior.sum() / 2)

    def gradient(strengths: np.ndarray) -> np.ndarray:
        return np.asarray((games * expit(gaps(strengths)) - points).sum(axis=1) + expit(strengths) - 0.5)

    def information(strengths: np.ndarray) -> np.ndarray:
        weights = games * expit(gaps(strengths)) * expit(-gaps(strengths))
        return np.asarray(np.diag(weights.sum(axis=1) + expit(strengths) * expit(-strengths)) - weights)

    start = np.zeros(len(points))
    found = minimize(loss, start, jac=gradient, hess=information, method="trust-exact", options={"gtol": 1e-9})
    # Only differences are measured: what all strengths share is taken out of them and of their uncertainty.
    centring = np.eye(len(points)) - 1 / len(points)
    return centring @ found.x, centring @ np.linalg.inv(information(found.x)) @ centring


def _connected(table: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the models in groups that the pairs connect, each in order of name."""
    group_of: dict[str, set[str]] = {}
    for one, other in table:
        merged = group_of.get(one, {one}) | group_of.get(other, {other})
        group_of.update(dict.fromkeys(merged, merged))
    return [sorted(models) for models in {id(models): models for models in group_of.values()}.values()]


def _votes_among(models: Sequence[str], table: dict[tuple[str, str], Tally]) -> int:
    return sum(tally.votes for (one, _), tally in table.items() if one in models) // 2
