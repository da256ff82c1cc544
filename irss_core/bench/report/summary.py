"""A run in words: what was measured, who is best at what, and what went wrong; all derived from the results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from irss_core.bench.report.tables import best_entries
from irss_core.bench.report.words import cut, entry_labels, joined, listed, many, plain, with_unit
from irss_core.bench.results import Average, QualityResults, SampleInfo

_NAME_LENGTH = 40
_DEGRADATION_KEYS = ("degradation", "degrade")


def summary(results: QualityResults) -> str:
    """Return a paragraph: the data, the protocol, the best entry of every metric, the number of problems."""
    sentences = [_what_was_measured(results), _under_which_protocol(results), *_who_is_best(results)]
    problems = len(problem_lines(results))
    if problems:
        sentences.append(f"The run is not complete: {many(problems, 'problem')} below.")
    return " ".join(sentence for sentence in sentences if sentence)


def problem_lines(results: QualityResults) -> list[str]:
    """Return a line for everything that could not be measured, alike ones of several samples together."""
    labels = entry_labels(results)
    lines = [plain(problem) for problem in results.problems]
    lines += _together(
        (f"{labels.get(score.entry, plain(score.entry))}: {plain(score.problem)}", score.sample)
        for score in results.scores
        if score.problem
    )
    scored = {(score.entry, score.sample) for score in results.scores}
    lines += _together(
        (f"{label}: not measured; the run was interrupted.", sample.name)
        for name, label in labels.items()
        for sample in results.samples
        if (name, sample.name) not in scored
    )
    return lines


def fallback_lines(results: QualityResults) -> list[str]:
    """Return a line for everything that was done otherwise than asked, alike ones of several samples together."""
    labels = entry_labels(results)
    return _together(
        (f"{labels.get(score.entry, plain(score.entry))}: {plain(note)}", score.sample)
        for score in results.scores
        for note in dict.fromkeys(score.fallbacks)
    )


def frames_of(results: QualityResults, sample: SampleInfo) -> tuple[int, int]:
    """Return how many frames a sample has, and how many of them count for some entry."""
    scores = [score for score in results.scores if score.sample == sample.name]
    counted = {frame.index for score in scores for frame in score.frames if frame.counted}
    return max([sample.frames, *(len(score.frames) for score in scores)]), len(counted)


def _together(pairs: Iterable[tuple[str, str]]) -> list[str]:
    samples: dict[str, list[str]] = defaultdict(list)
    for line, sample in pairs:
        samples[line].append(plain(sample))
    return [f"{line} ({listed(names)})" for line, names in samples.items()]


def _what_was_measured(results: QualityResults) -> str:
    kinds = [
        many(count, kind)
        for kind in ("still", "clip")
        if (count := sum(sample.kind == kind for sample in results.samples))
    ]
    frames = [frames_of(results, sample) for sample in results.samples]
    total, counted = sum(each[0] for each in frames), sum(each[1] for each in frames)
    entries = many(len(results.entries), "entry was", "entries were")
    untrue = sum(not sample.has_truth for sample in results.samples)
    sentence = f"{entries} measured on {joined(kinds) or 'nothing'}"
    if any(sample.kind == "clip" for sample in results.samples):
        sentence += f", {many(total, 'frame')} in all"
    if counted < total:
        sentence += f", {counted} of them counted" if "in all" in sentence else f", {counted} of {total} counted"
    if untrue:
        whole = untrue == len(results.samples)
        sentence += "; there is no truth to compare with" if whole else f"; {untrue} of the samples have no truth"
    return sentence + "."


def _under_which_protocol(results: QualityResults) -> str:
    name = plain(results.protocol.get("name", ""))
    sources = (*(results.protocol.get(key) for key in _DEGRADATION_KEYS), *map(results.run.get, _DEGRADATION_KEYS))
    degradation = plain(next((value for value in sources if value), ""))
    sentence = f"The protocol is {name}" if name else ""
    if degradation == "none":
        inputs = "the inputs are those of the data set"
    else:
        inputs = f"the inputs were made from the truths by degradation {degradation.upper()}" if degradation else ""
    return f"{'; '.join(filter(None, (sentence, inputs)))}." if sentence or inputs else ""


def _who_is_best(results: QualityResults) -> list[str]:
    over_frames, over_clips = best_entries(results, "frames"), best_entries(results, "clips")
    sentences = []
    if over_frames:
        differ = over_frames != over_clips
        start = "Averaged over frames, " if differ else ""
        sentences.append(_best_in_words(results, over_frames, "frames", start))
        changed = {key: names for key, names in over_clips.items() if names != over_frames.get(key)}
        if changed:
            sentences.append(_best_in_words(results, changed, "clips", "Averaged over clips, "))
    unnamed = [
        plain(metric.label)
        for metric in results.metrics
        if metric.key not in over_frames
        and sum(results.average(entry.name, metric.key, "frames") is not None for entry in results.entries) > 1
    ]
    if unnamed:
        sentences.append(f"No best entry is named in {joined(unnamed)}: none was measured on every frame.")
    return sentences


def _best_in_words(results: QualityResults, best: dict[str, list[str]], average: Average, start: str) -> str:
    labels = entry_labels(results)
    metrics = {metric.key: metric for metric in results.metrics}
    by_winner: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key, names in best.items():
        value = with_unit(results.average(names[0], key, average), metrics[key])
        by_winner[tuple(names)].append(f"{plain(metrics[key].label)} ({value})")
    parts = []
    for winners, won in by_winner.items():
        verb = "is" if len(winners) == 1 else "are"
        parts.append(f"{joined([cut(labels[name], _NAME_LENGTH) for name in winners])} {verb} best in {joined(won)}")
    return f"{start}{'; '.join(parts)}."
