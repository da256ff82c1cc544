"""The report's charts out of a run's results: one group a metric, nothing drawn that was not measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from irss_core.bench.report.charts import Bar, Line, Point, bars, lines, scatter, strips
from irss_core.bench.report.tables import ARROWS, seconds_per_frame
from irss_core.bench.report.words import entry_labels, joined, listed, number, plain, unit_of, with_unit
from irss_core.bench.results import FrameScore, MetricInfo, QualityResults, Score

CHART_METRICS = 8
LINE_CLIPS = 12
_BARS = 48  # in all; beyond, dots take a fraction of the room
_BAR_CHARTS = 8
_STRIPS = 200


@dataclass(frozen=True)
class Chart:
    """A drawing with its heading ("" for none)."""

    svg: str
    label: str = ""


@dataclass(frozen=True)
class MetricCharts:
    """All charts of one kind for one metric; ``note`` says what they leave out. ``keyed`` if colours need a legend."""

    label: str
    charts: tuple[Chart, ...]
    note: str = ""
    keyed: bool = True
    scrolls: bool = False


def charted_metrics(results: QualityResults) -> list[MetricInfo]:
    """Return the metrics that have a finite value to draw, at most CHART_METRICS."""
    drawn = [metric for metric in results.metrics if any(map(math.isfinite, _all_values(results, metric.key)))]
    return drawn[:CHART_METRICS]


def sample_charts(results: QualityResults) -> tuple[MetricCharts, ...]:
    """Return the mean of every entry on every sample: bars, or dots where there would be too many bars."""
    return tuple(_sample_charts(results, metric, f"s{index}") for index, metric in enumerate(charted_metrics(results)))


def speed_charts(results: QualityResults) -> tuple[MetricCharts, ...]:
    """Return every metric over the seconds a frame, for the entries that were timed."""
    made = []
    for index, metric in enumerate(charted_metrics(results)):
        chart = _speed_chart(results, metric, f"t{index}")
        if chart is not None:
            made.append(chart)
    return tuple(made)


def frame_charts(results: QualityResults) -> tuple[MetricCharts, ...]:
    """Return every metric over the frames of the clips."""
    clips = [sample.name for sample in results.samples if sample.kind == "clip" and sample.frames != 1]
    note = f"Drawn are the first {LINE_CLIPS} of {len(clips)} clips." if len(clips) > LINE_CLIPS else ""
    made = []
    for index, metric in enumerate(charted_metrics(results)):
        charts = [
            chart
            for place, clip in enumerate(clips[:LINE_CLIPS])
            if (chart := _frame_chart(results, metric, clip, f"f{index}x{place}")) is not None
        ]
        if charts:
            made.append(MetricCharts(metric_title(metric), tuple(charts), note))
    return tuple(made)


def metric_title(metric: MetricInfo) -> str:
    """Return a metric's label with its unit and which way is better."""
    unit = f" ({unit_of(metric)})" if metric.unit else ""
    return f"{plain(metric.label)}{unit} {ARROWS[metric.better]}"


# -- by sample ---------------------------------------------------------------------------------------------------------


def _sample_charts(results: QualityResults, metric: MetricInfo, name: str) -> MetricCharts:
    means = {(score.entry, score.sample): score.mean(metric.key) for score in results.scores}
    entries, samples = [entry.name for entry in results.entries], [sample.name for sample in results.samples]
    if len(entries) == 1 and len(samples) <= _BARS // 2:
        rows = [_bar(plain(s), means.get((entries[0], s)), metric, 0, best=False) for s in samples]
        words = _in_words(f"{plain(metric.label)} by sample", rows)
        chart = Chart(bars(rows, span=_span(means.values()), name=name, words=words))
        return MetricCharts(metric_title(metric), (chart,), keyed=False)
    if len(samples) <= _BAR_CHARTS and len(samples) * len(entries) <= _BARS:
        charts = tuple(
            Chart(_bars_of(results, metric, sample, means, name=f"{name}x{index}"), plain(sample))
            for index, sample in enumerate(samples)
        )
        return MetricCharts(metric_title(metric), charts, keyed=False)
    note = f"Drawn are the first {_STRIPS} of {len(samples)} samples." if len(samples) > _STRIPS else ""
    svg = strips(
        [(plain(sample), [means.get((entry, sample)) for entry in entries]) for sample in samples[:_STRIPS]],
        numbers=range(len(entries)),
        axis=metric_title(metric),
        name=name,
        words=f"{plain(metric.label)} of {joined(list(entry_labels(results).values()))}: a line for each of "
        f"{len(samples)} samples, a dot for each entry. All values are in results.csv.",
    )
    return MetricCharts(metric_title(metric), (Chart(svg),), note, scrolls=True)


def _bars_of(
    results: QualityResults,
    metric: MetricInfo,
    sample: str,
    means: Mapping[tuple[str, str], float | None],
    *,
    name: str,
) -> str:
    labels = entry_labels(results)
    own = {entry: means.get((entry, sample)) for entry in labels}
    whole = {score.entry for score in results.scores if score.sample == sample and not score.problem}
    known = [value for entry, value in own.items() if value is not None and entry in whole]
    best = (max(known) if metric.better == "higher" else min(known)) if len(known) > 1 else None
    rows = [
        _bar(labels[entry], value, metric, index, best=best is not None and value == best and entry in whole)
        for index, (entry, value) in enumerate(own.items())
    ]
    words = _in_words(f"{plain(metric.label)} on {plain(sample)}", rows)
    return bars(rows, span=_span(means.values()), name=name, words=words)


def _bar(label: str, value: float | None, metric: MetricInfo, index: int, *, best: bool) -> Bar:
    return Bar(label, value, number(value, metric.digits), index, best)


def _in_words(what: str, rows: Sequence[Bar]) -> str:
    return f"{what}: {', '.join(f'{row.label} {row.text}' for row in rows)}."


def _span(values: Iterable[float | None]) -> tuple[float, float]:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return min([0.0, *finite]), max([0.0, *finite])


# -- against speed -----------------------------------------------------------------------------------------------------


def _speed_chart(results: QualityResults, metric: MetricInfo, name: str) -> MetricCharts | None:
    labels = entry_labels(results)
    points, others = [], []
    for index, entry in enumerate(results.entries):
        seconds = seconds_per_frame(results.scores_of(entry.name))
        value = results.average(entry.name, metric.key, "frames")
        if seconds is not None and seconds > 0 and value is not None and math.isfinite(value):
            points.append(Point(labels[entry.name], seconds, value, index))
        else:
            others.append(f"{labels[entry.name]} ({_why_not(seconds, value)})")
    if not points:
        return None
    said = ", ".join(f"{point.label} {with_unit(point.y, metric)} at {point.x:.3g} s" for point in points)
    better = "higher is better" if metric.better == "higher" else "lower is better"
    svg = scatter(
        points,
        x_axis="seconds a frame, faster to the left",
        y_axis=f"{metric_title(metric)} {better}",
        name=name,
        words=f"{plain(metric.label)} against seconds a frame: {said}.",
    )
    note = f"Not drawn: {listed(others)}." if others else ""
    return MetricCharts(metric_title(metric), (Chart(svg),), note, keyed=False)


def _why_not(seconds: float | None, value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"value {number(value, 0)}" if seconds else "not timed"


# -- over frames -------------------------------------------------------------------------------------------------------


def _frame_chart(results: QualityResults, metric: MetricInfo, clip: str, name: str) -> Chart | None:
    scores = [score for score in results.scores if score.sample == clip and score.frames]
    numbers = {entry.name: index for index, entry in enumerate(results.entries)}
    series = [
        _line(score, metric.key, numbers[score.entry])
        for score in sorted(scores, key=lambda score: numbers.get(score.entry, 0))
        if score.entry in numbers
    ]
    series = [line for line in series if any(value is not None for value in line.values)]
    if not series:
        return None
    frames = [frame for score in scores for frame in score.frames]
    labels = entry_labels(results)
    drawn = joined([labels[results.entries[line.number].name] for line in series])
    words = f"{plain(metric.label)} over the frames of {plain(clip)}: {drawn}. All values are in results.csv."
    return Chart(lines(series, shaded=uncounted_runs(frames), x_axis="frame", name=name, words=words), plain(clip))


def uncounted_runs(frames: Sequence[FrameScore]) -> list[tuple[int, int]]:
    """Return first and last index of every run of frames that count for no entry."""
    counted = {frame.index for frame in frames if frame.counted}
    runs: list[tuple[int, int]] = []
    for index in sorted({frame.index for frame in frames} - counted):
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs


def _line(score: Score, metric: str, index: int) -> Line:
    values = [frame.values.get(metric) for frame in score.frames]
    finite = tuple(value if value is not None and math.isfinite(value) else None for value in values)
    return Line(index, tuple(frame.index for frame in score.frames), finite)


def _all_values(results: QualityResults, metric: str) -> list[float]:
    return [
        frame.values[metric]
        for score in results.scores
        for frame in score.frames
        if frame.counted and metric in frame.values
    ]
