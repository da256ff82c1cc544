"""Which of a run's pictures the report shows, in which order, and what it says about those it leaves out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from irss_core.bench.report.pictures import Picture, PictureStore
from irss_core.bench.report.words import entry_labels, listed, many, plain, with_unit
from irss_core.bench.results import Glimpse, MetricInfo, QualityResults, Score

WORST_LIMIT = 24
MIDDLE_LIMIT = 40
PROFILE_LIMIT = 40

_ROOM = 1220  # px of a page 1280 wide
_PICTURE_GAP = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """A picture with its caption; None if it cannot be read. ``number`` is the entry's, None for input and truth."""

    picture: Picture | None
    label: str
    alt: str
    number: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Group:
    """Pictures to be compared with one another, under a heading."""

    label: str
    text: str
    shown: tuple[Shown, ...]
    number: int | None = None

    @property
    def width(self) -> int:
        """How many px wide the pictures' block is, so that its rows are about equally long."""
        widest = max((shown.picture.width for shown in self.shown if shown.picture), default=0) + _PICTURE_GAP
        rows = math.ceil(len(self.shown) * widest / _ROOM) or 1
        return math.ceil(len(self.shown) / rows) * widest


@dataclass(frozen=True)
class Gallery:
    """Groups of pictures, and a sentence about what was left out ("" if nothing)."""

    groups: tuple[Group, ...]
    left_out: str


def middle_crops(results: QualityResults, store: PictureStore) -> Gallery:
    """Return the same place of every entry side by side, between input and truth; as many whole samples as fit."""
    places: dict[tuple[str, int, tuple[int, ...]], list[tuple[Score, Glimpse]]] = {}
    for score, glimpse in _glimpses(results, "middle"):
        places.setdefault((score.sample, glimpse.index, glimpse.box), []).append((score, glimpse))
    keys = _in_order_of_samples(results, list(places), lambda key: key[0])
    chosen = spread(keys, max(MIDDLE_LIMIT // max(len(results.entries), 1), 1))
    groups = [_middle_group(results, store, places[key][:MIDDLE_LIMIT]) for key in chosen]
    return Gallery(tuple(groups), _left_out("samples", chosen, keys, [plain(key[0]) for key in keys]))


def profiles(results: QualityResults, store: PictureStore) -> Gallery:
    """Return the temporal profiles of every entry side by side; as many whole clips as fit."""
    labels, numbers = entry_labels(results), _numbers(results)
    clips: dict[str, list[Score]] = {}
    for score in results.scores:
        if score.profile and score.entry in numbers:
            clips.setdefault(score.sample, []).append(score)
    keys = _in_order_of_samples(results, list(clips), lambda key: key)
    chosen = spread(keys, max(PROFILE_LIMIT // max(len(results.entries), 1), 1))
    truths = {sample.name for sample in results.samples if sample.has_truth}
    groups = [
        Group(
            label=plain(clip),
            text="Upper half: the truth. Lower half: the result." if clip in truths else "",
            shown=tuple(
                Shown(
                    store.embed(score.profile),
                    labels[score.entry],
                    f"Temporal profile of {labels[score.entry]} on {plain(clip)}",
                    numbers[score.entry],
                )
                for score in clips[clip][:PROFILE_LIMIT]
            ),
        )
        for clip in chosen
    ]
    return Gallery(tuple(groups), _left_out("clips", chosen, keys, [plain(key) for key in keys]))


def worst_frames(results: QualityResults, store: PictureStore) -> Gallery:
    """Return every entry's worst frames beside their truths, the worst first."""
    found: dict[str, list[tuple[Score, Glimpse]]] = {entry.name: [] for entry in results.entries}
    for score, glimpse in _glimpses(results, "worst"):
        found[score.entry].append((score, glimpse))
    found = {name: pairs for name, pairs in found.items() if pairs}
    share = max(WORST_LIMIT // max(len(found), 1), 1)
    total = sum(map(len, found.values()))
    ranked = {name: _worst_first(results, pairs)[:share] for name, pairs in list(found.items())[:WORST_LIMIT]}
    groups = [_worst_pair(results, store, *pair) for pairs in ranked.values() for pair in pairs]
    kept = sum(map(len, ranked.values()))
    left_out = f"Shown are {kept} of {total} frames: the worst {many(share, 'sample')} of each entry."
    return Gallery(tuple(groups), left_out if kept < total else "")


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return that many of the items, evenly from first to last; all if there are no more."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[0]]
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def _middle_group(results: QualityResults, store: PictureStore, pairs: Sequence[tuple[Score, Glimpse]]) -> Group:
    labels, numbers = entry_labels(results), _numbers(results)
    first_score, first = pairs[0]
    sample = plain(first_score.sample)
    where = f"{sample}, frame {first.index}"
    shown = [Shown(store.embed(first.input), "Input", f"Input of {where}")] if first.input else []
    for score, glimpse in pairs:
        label = labels[score.entry]
        text = _values(results, score, glimpse.index)
        shown.append(Shown(store.embed(glimpse.result), label, f"{label} on {where}", numbers[score.entry], text))
    if first.truth:
        shown.append(Shown(store.embed(first.truth), "Truth", f"Truth of {where}"))
    return Group(sample, _place_in_words(first), tuple(shown))


def _worst_pair(results: QualityResults, store: PictureStore, score: Score, glimpse: Glimpse) -> Group:
    """Return a frame beside its truth, or its input where there is none."""
    label, number = entry_labels(results)[score.entry], _numbers(results)[score.entry]
    where = f"{plain(score.sample)}, frame {glimpse.index}"
    metric = _metrics(results).get(glimpse.metric)
    value = f"{plain(metric.label)} {with_unit(glimpse.value, metric)}" if metric and glimpse.value is not None else ""
    file, word = (glimpse.truth, "Truth") if glimpse.truth else (glimpse.input, "Input")
    other = [Shown(store.embed(file), word, f"{word} of {where}")] if file else []
    result = Shown(store.embed(glimpse.result), "Result", f"{label} on {where}", number)
    return Group(label, f"{where}: {value}" if value else where, (*other, result), number)


def _worst_first(results: QualityResults, pairs: list[tuple[Score, Glimpse]]) -> list[tuple[Score, Glimpse]]:
    """Return one entry's glimpses, the worst of each metric in turn."""
    metrics = _metrics(results)
    by_metric: dict[str, list[tuple[Score, Glimpse]]] = {}
    for pair in pairs:
        by_metric.setdefault(pair[1].metric, []).append(pair)
    for key, own in by_metric.items():
        sign = 1 if key in metrics and metrics[key].better == "higher" else -1
        own.sort(key=lambda pair: (pair[1].value is None, sign * (pair[1].value or 0.0)))
    turns = itertools.zip_longest(*by_metric.values())
    return [pair for turn in turns for pair in turn if pair is not None]


def _values(results: QualityResults, score: Score, index: int) -> str:
    """Return the frame's values by the first metric and by the first one that goes the other way."""
    values = next((frame.values for frame in score.frames if frame.index == index), {})
    known = [metric for metric in results.metrics if metric.key in values]
    other = [metric for metric in known if metric.better != known[0].better]
    return "\n".join(f"{plain(m.label)} {with_unit(values[m.key], m)}" for m in (*known[:1], *other[:1]))


def _place_in_words(glimpse: Glimpse) -> str:
    x, y, width, height = glimpse.box
    return f"Frame {glimpse.index}, {width} x {height} pixels at {x}, {y}"


def _glimpses(results: QualityResults, kind: str) -> list[tuple[Score, Glimpse]]:
    known = _numbers(results)
    return [
        (score, glimpse)
        for score in results.scores
        for glimpse in score.glimpses
        if glimpse.kind == kind and score.entry in known
    ]


def _in_order_of_samples(results: QualityResults, keys: list[T], sample_of: Callable[[T], str]) -> list[T]:
    order = {sample.name: index for index, sample in enumerate(results.samples)}
    return sorted(keys, key=lambda key: order.get(sample_of(key), len(order)))


def _left_out(what: str, chosen: Sequence[object], keys: Sequence[object], names: Sequence[str]) -> str:
    if len(chosen) == len(keys):
        return ""
    left = [name for key, name in zip(keys, names, strict=True) if key not in chosen]
    return f"Shown are {len(chosen)} of {len(keys)} {what}. Left out: {listed(left)}."


def _numbers(results: QualityResults) -> dict[str, int]:
    return {entry.name: number for number, entry in enumerate(results.entries)}


def _metrics(results: QualityResults) -> dict[str, MetricInfo]:
    return {metric.key: metric for metric in results.metrics}
