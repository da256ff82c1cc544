"""The pages of a job and of a batch: where the links in mails lead, for whoever holds them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from irss_core.api.answers import batch_answer, job_answer
from irss_core.api.callers import find_batch, find_job, is_owner
from irss_core.errors import IrssError, NotFoundError
from irss_core.jobs import words
from irss_core.jobs.identity import Owner
from irss_core.jobs.job import Job, JobStatus
from irss_core.jobs.letter_words import line
from irss_core.jobs.options import Stage
from irss_core.jobs.service import JobService
from irss_core.words import size_words, time_words

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
STATIC_ADDRESS = "irss/pages"
RESPONSES: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}

# Pictures and clips may lie in a cloud's store, to which our own addresses lead.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https:; media-src 'self' https:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",  # the address of this page is the key to it
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}
_SHOWN_INLINE = frozenset({"png", "jpeg", "webp", "gif"})
_PLAYED_INLINE = frozenset({"mp4", "webm"})
_MOST_PIXELS_INLINE = 40_000_000  # a browser holds four bytes of each


def wanted(request: Request) -> bool:
    """Whether a person's browser asks, which names HTML first; programs name JSON or take anything."""
    return "text/html" in request.headers.get("accept", "")


def job_page(job_id: str, visitor: Owner | None, jobs: JobService) -> HTMLResponse:
    """Return the page of a job, or one that says why there is none."""

    def page() -> HTMLResponse:
        job = find_job(job_id, jobs)
        return _page(
            "job.html.j2",
            job=job_answer(job, asked_by=visitor, jobs=jobs),
            shown=_shown(job),
            advice=line(job, address="").advice,
            facts=_facts(job, jobs.limits.keep_results_s),
            notes=_notes(job),
            steps=_steps(job),
            final=job.status in (JobStatus.DELIVERED, JobStatus.NOT_DELIVERED),
            own=is_owner(visitor, job),
        )

    return _or_notice(page, jobs.limits.keep_results_s)


def batch_page(batch_id: str, visitor: Owner | None, jobs: JobService) -> HTMLResponse:
    """Return the page of a batch, or one that says why there is none."""

    def page() -> HTMLResponse:
        batch, made = find_batch(batch_id, jobs)
        answer = batch_answer(batch, made, asked_by=visitor, jobs=jobs)
        rows = [(each, _took(job)) for each, job in zip(answer.jobs, made, strict=True)]
        kept = _moment(
            max((job.finished_at or batch.created_at for job in made), default=0) + jobs.limits.keep_results_s
        )
        return _page("batch.html.j2", batch=answer, rows=rows, kept=kept, own=is_owner(visitor, batch))

    return _or_notice(page, jobs.limits.keep_results_s)


@dataclass(frozen=True)
class _Fact:
    """A line of the page's table; ``time`` is shown in the visitor's own time zone."""

    name: str
    text: str
    time: str | None = None


def _or_notice(page: Callable[[], HTMLResponse], kept_s: float) -> HTMLResponse:
    """Return the page, or one that says in words what a program gets as a problem document."""
    try:
        return page()
    except NotFoundError:
        days = kept_s / 86_400
        text = (
            "It never was, it was deleted, or its time is over: results are kept for "
            f"{days:g} {'day' if days == 1 else 'days'}. Check that the link is whole."
        )
        return _page("notice.html.j2", status=404, title="There is nothing here", text=text)
    except IrssError as error:
        if error.http_status < 500:
            raise
        text = "The service cannot look right now. Nothing is lost. Load this page again in a moment."
        return _page("notice.html.j2", status=error.http_status, title="Please wait a moment", text=text)


def _page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(values), status, _HEADERS)


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = _static
    return environment


@functools.cache
def _static(name: str) -> str:
    """Return a file's address; its hash in it makes browsers take a changed one anew."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/{STATIC_ADDRESS}/{name}?v={digest}"


def _shown(job: Job) -> str | None:
    """Return how a browser shows the result: "picture", "clip", or None."""
    facts = job.facts
    if not job.settled or "result" not in job.outputs:
        return None
    kind = str(facts.get("result_format", "")).lower()
    if kind in _PLAYED_INLINE:
        return "clip"
    pixels = int(facts.get("result_width") or 0) * int(facts.get("result_height") or 0)
    return "picture" if kind in _SHOWN_INLINE and 0 < pixels <= _MOST_PIXELS_INLINE else None


def _steps(job: Job) -> list[tuple[str, str]]:
    """Return the job's steps in words, each "done", "now" or "next"."""
    stages: Sequence[Stage] = job.options.stages
    at = stages.index(job.stage) if job.stage in stages else -1
    if job.settled:
        at = len(stages) - (0 if job.status is JobStatus.DELIVERED else 1)
    return [
        (words.step(stage), "done" if place < at else "now" if place == at else "next")
        for place, stage in enumerate(stages)
    ]


def _facts(job: Job, kept_s: float) -> list[_Fact]:
    told, found = line(job, address=""), job.facts
    pixels = " → ".join(each for each in (told.pixels_before, told.pixels) if each)
    facts = [
        _Fact("File", f"{job.name} ({size_words(job.input_bytes)})"),
        _Fact("Model", told.model),
        _Fact("Pixels", pixels),
        _Fact("Frames", str(found.get("frames", ""))),
        _Fact("Result", f"{str(found.get('result_format', '')).upper()} {told.size}".strip()),
        _Fact("Took", _took(job)),
        _moment_fact("Handed in", job.created_at),
    ]
    if job.finished_at is not None:
        facts.append(_moment_fact("Finished", job.finished_at))
        facts.append(_moment_fact("Kept until", job.finished_at + kept_s))
    return [fact for fact in facts if fact.text]


def _notes(job: Job) -> list[str]:
    """Return what happened on the way that one should know."""
    return [str(note) for name in ("fallbacks", "notes") for note in job.facts.get(name, ())]


def _took(job: Job) -> str:
    """Return how long the last attempt took, nothing while it is not known."""
    if job.started_at is None or job.finished_at is None:
        return ""
    return time_words(max(job.finished_at - job.started_at, 0.0))


def _moment_fact(name: str, seconds: float) -> _Fact:
    text, time = _moment(seconds)
    return _Fact(name, text, time)


def _moment(seconds: float) -> tuple[str, str]:
    """Return a time in words, in UTC, and as a browser reads it."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.strftime("%-d %B %Y, %H:%M UTC"), when.isoformat(timespec="seconds")
