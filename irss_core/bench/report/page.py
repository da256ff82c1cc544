"""The report of a quality run: one HTML page that needs nothing but itself; a Markdown table; a CSV of all values."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from irss_core.bench.report.gallery import middle_crops, profiles, worst_frames
from irss_core.bench.report.pictures import PictureStore
from irss_core.bench.report.plots import CHART_METRICS, frame_charts, sample_charts, speed_charts
from irss_core.bench.report.summary import fallback_lines, frames_of, problem_lines, summary
from irss_core.bench.report.svg import series_shape, series_variable
from irss_core.bench.report.tables import ARROWS, has_one_average, score_table
from irss_core.bench.report.words import Fact, entry_labels, facts, many, plain
from irss_core.bench.results import QualityResults
from irss_core.media.atomic import atomic_file

_HERE = Path(__file__).parent
_LABEL_LENGTH = 28
_KINDS = {"model": "model", "checkpoint": "checkpoint", "results": "made elsewhere"}


@dataclass(frozen=True)
class _Key:
    """How an entry is marked everywhere on the page."""

    label: str
    variable: str
    shape: str


def write_report(results: QualityResults, folder: Path, target: Path) -> None:
    """Write the report as one HTML file that fetches nothing, whole or not at all.

    The same results and pictures give the same bytes. A picture that cannot be shown is named in the page.

    Args:
        folder: what the paths in the results are relative to.
    """
    page = _page(results, PictureStore(folder))
    with atomic_file(target, overwrite=True) as stream:
        stream.write(page.encode("utf-8", "replace"))  # a file name may hold what UTF-8 cannot


def _page(results: QualityResults, store: PictureStore) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = plain
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    one_average = has_one_average(results)
    pictures = {
        "middle": middle_crops(results, store),
        "worst": worst_frames(results, store),
        "profiles": profiles(results, store),  # the largest come last: should there be no room, the others are there
    }
    return environment.get_template("report.html.j2").render(
        results=results,
        title=PurePath(results.data).name or results.data or "a data set",
        style=(_HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=digest,
        summary=summary(results),
        problems=problem_lines(results),
        fallbacks=fallback_lines(results),
        description=_description(results),
        protocol=_protocol_facts(results),
        many=many,
        samples=[(sample, *frames_of(results, sample)) for sample in results.samples],
        tables=[score_table(results, "frames"), *([] if one_average else [score_table(results, "clips")])],
        one_average=one_average,
        by_sample=sample_charts(results),
        by_speed=speed_charts(results),
        by_frame=frame_charts(results),
        chart_limit=CHART_METRICS,
        unreadable=store.problems,
        run=_run_facts(results.run),
        sources=_parts(results.run, "sources"),
        command=_command(results.run),
        keys=_keys(results),
        arrows=ARROWS,
        kinds=_KINDS,
        **pictures,
    )


def _keys(results: QualityResults) -> list[_Key]:
    return [
        _Key(label, series_variable(index), series_shape(index))
        for index, label in enumerate(entry_labels(results).values())
    ]


def _description(results: QualityResults) -> tuple[Fact, ...]:
    """Return the protocol's own words line by line; what stands before a colon is the label, if it is short."""
    words = results.protocol.get("description", "")
    lines = words.splitlines() if isinstance(words, str) else [plain(line) for line in words]
    parts = [plain(line).partition(": ") for line in lines if line.strip()]
    known = [Fact(a, b) if colon and len(a) <= _LABEL_LENGTH else Fact("", a + colon + b) for a, colon, b in parts]
    return (Fact("Data", plain(results.data) or "not named"), *known)


def _protocol_facts(results: QualityResults) -> tuple[Fact, ...]:
    rest = {key: value for key, value in results.protocol.items() if key != "description"}
    return facts(rest, names={metric.key: plain(metric.label) for metric in results.metrics})


def _run_facts(run: Mapping[str, Any]) -> tuple[Fact, ...]:
    return facts({key: value for key, value in run.items() if key not in {"command", "sources"}})


def _parts(run: Mapping[str, Any], key: str) -> tuple[Fact, ...]:
    """Return the entries of a mapping within the run, with their keys as they are."""
    values = run.get(key)
    return (
        tuple(Fact(plain(name), plain(value)) for name, value in values.items()) if isinstance(values, Mapping) else ()
    )


def _command(run: Mapping[str, Any]) -> str:
    return next((fact.text for fact in facts({"command": run.get("command")}) if run.get("command")), "")
