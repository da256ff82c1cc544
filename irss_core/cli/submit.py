"""``irss submit``: files handed off to the queue, and mailed when they are done."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irss_core.cli.inputs import find_sources
from irss_core.cli.invocation import Invocation, invocation_of, load_settings
from irss_core.cli.jobs import facts_of
from irss_core.cli.options import AsJson, ModelName
from irss_core.cli.wording import counted
from irss_core.errors import CancelledError, InputError, IrssError
from irss_core.jobs.options import JobOptions, Preset, ResultFormat
from irss_core.jobs.words import STATUS_WORDS
from irss_core.progress import ProgressUpdate
from irss_core.words import size_words, time_words

if TYPE_CHECKING:
    from irss_core.jobs.forecast import FileFacts, SubmissionForecast
    from irss_core.jobs.job import Job
    from irss_core.jobs.service import JobService
    from irss_core.jobs.submission import Submission
    from irss_core.progress import CancelToken
    from irss_core.services import Services

EXAMPLES = """\b
Examples:
  irss submit photo.jpg --email name@example.org
  irss submit photos holiday.zip clip.mp4 --email name@example.org --model realesr-animevideov3 --wait
  irss submit scans --email name@example.org --preset filters --greyscale --width 1200 --format jpeg
"""

_LOOK_EVERY_S = 0.5
_NOBODY_AFTER_S = 10.0
_DEFAULTS = JobOptions()


def submit(
    context: typer.Context,
    *,
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN", help="Pictures, clips, zips of them, folders, patterns.")
    ],
    email: Annotated[str, typer.Option("--email", metavar="ADDRESS", help="Where the one mail goes.")],
    preset: Annotated[Preset, typer.Option("--preset", help="What is done with each file.")] = "upscale",
    model: ModelName = None,
    outscale: Annotated[
        float | None,
        typer.Option("--outscale", "-s", metavar="FACTOR", help="How many times as large; default: the model's own."),
    ] = None,
    model_denoise: Annotated[
        float | None, typer.Option("--model-denoise", metavar="0..1", help="Strength, of a model that takes it.")
    ] = None,
    denoise: Annotated[bool, typer.Option("--denoise", help="Before: take noise out with a median.")] = False,
    autocontrast: Annotated[bool, typer.Option("--autocontrast", help="Before: use the full range.")] = False,
    sharpen: Annotated[float, typer.Option("--sharpen", metavar="0..3", help="After: amount.")] = _DEFAULTS.sharpen,
    contrast: Annotated[float, typer.Option("--contrast", metavar="0..3", help="After: factor.")] = _DEFAULTS.contrast,
    greyscale: Annotated[bool, typer.Option("--greyscale", help="After: without colour.")] = False,
    width: Annotated[int | None, typer.Option("--width", metavar="PIXELS", help="After: so wide.")] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", metavar="BYTES", help="Compressed until it fits; JPEG and WebP.")
    ] = None,
    result_format: Annotated[
        ResultFormat | None, typer.Option("--format", help="Of the results; default: as handed in.")
    ] = None,
    quality: Annotated[int, typer.Option("--quality", metavar="1..100", help="Of JPEG and WebP.")] = _DEFAULTS.quality,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into subfolders, too.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until all is done, and show how far it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hand files off, and get one mail when all are done.

    The app works on them, or `irss worker`. With --wait, Ctrl-C only stops the waiting, and the exit status is 1 if a
    file failed.
    """
    invocation = invocation_of(context)
    files = _files(inputs, recursive=recursive)
    services = invocation.load_services(load_settings())
    facts = list(_facts(files, services))
    options = JobOptions(
        preset=preset,
        model=model or _usual_model(facts),
        outscale=outscale,
        model_denoise=model_denoise,
        denoise=denoise,
        autocontrast=autocontrast,
        sharpen=sharpen,
        contrast=contrast,
        greyscale=greyscale,
        width=width,
        max_bytes=max_bytes,
        format=result_format,
        quality=quality,
    )
    forecast = services.jobs.forecast(facts, options)
    submission = _hand_off(files, email, options, service=services.jobs, invocation=invocation)
    jobs: Sequence[Job] = submission.jobs
    if not as_json:
        _say_handed_off(submission, forecast, services.jobs, invocation)
    if wait:
        with invocation.cancellable() as cancel:
            jobs = _wait(submission, services.jobs, invocation, cancel)
    if as_json:
        told = {"batch": submission.batch.id, "forecast_s": forecast.seconds, "jobs": [facts_of(job) for job in jobs]}
        invocation.console.block(json.dumps(told, indent=2))
    elif wait:
        _say_results(jobs, invocation)
    raise typer.Exit(1 if wait and any(job.status not in (2, 3) for job in jobs) else 0)


def _files(inputs: list[str], *, recursive: bool) -> list[Path]:
    from irss_core.media.zips import ACCEPTED, ZIP_SUFFIX

    found = find_sources(inputs, output=os.devnull, recursive=recursive, suffixes=ACCEPTED | {ZIP_SUFFIX})
    for failure in found.failures:
        raise InputError(f"{failure.path}: {failure.error} Nothing was handed off.")
    return [source.path for source in found.sources]


def _usual_model(facts: Sequence[FileFacts]) -> str:
    """Return the model to take where none was named: the one for clips if there is nothing else."""
    return "tecogan-x4" if facts and all(each.kind == "clip" for each in facts) else _DEFAULTS.model


def _hand_off(
    files: list[Path], email: str, options: JobOptions, *, service: JobService, invocation: Invocation
) -> Submission:
    owner = service.sessions.owner_of_address(email)
    started, uploads = time.monotonic(), []
    with invocation.console.progress("Handing over") as progress:
        for number, path in enumerate(files):
            progress(ProgressUpdate(number, len(files), "files", time.monotonic() - started, None))
            uploads.append(service.add_upload(owner, path, name=path.name))
    return service.submit(owner, uploads, options, ip=None)


def _facts(files: list[Path], services: Services) -> Iterator[FileFacts]:
    """Return what a forecast needs of the files; what cannot be read the job will say, and a zip is not looked into."""
    from irss_core.jobs.forecast import FileFacts
    from irss_core.media.images import read_header
    from irss_core.media.video import is_clip, probe_clip

    for path in files:
        try:
            if is_clip(path, services.clip_limits):
                clip = probe_clip(path, services.clip_limits)
                yield FileFacts("clip", clip.width, clip.height, clip.frame_count or 1, clip.size_bytes)
            else:
                still = read_header(path, services.image_limits)
                yield FileFacts("still", still.width, still.height, 1, still.size_bytes)
        except (IrssError, OSError):
            continue


def _say_handed_off(
    submission: Submission, forecast: SubmissionForecast, service: JobService, invocation: Invocation
) -> None:
    console, batch = invocation.console, submission.batch
    console.result(f"Handed off {counted(batch.jobs, 'file')}; one mail comes when all is done.")
    if forecast.files:
        about = f"About {time_words(forecast.seconds)}, {size_words(forecast.result_bytes)} of results"
        console.result(f"{about} (by {forecast.basis}).")
    page = f"jobs/{submission.jobs[0].id}" if batch.jobs == 1 else f"batches/{batch.id}"
    console.result(f"{service.address}/{page}")


def _wait(submission: Submission, service: JobService, invocation: Invocation, cancel: CancelToken) -> list[Job]:
    """Return the jobs as soon as all are settled.

    Raises:
        CancelledError: asked to stop waiting; the jobs go on.
    """
    started, warned = time.monotonic(), False
    with invocation.console.progress("In work") as progress:
        while True:
            _, jobs = service.batch(submission.batch.id)
            elapsed, open_jobs = time.monotonic() - started, [job for job in jobs if not job.settled]
            if not open_jobs:
                return jobs
            progress(ProgressUpdate(_done(jobs), len(jobs), "files", elapsed, _remaining_s(jobs, elapsed)))
            if cancel.cancelled:
                ids = " ".join(job.short_id for job in open_jobs[:3])
                raise CancelledError(
                    f"Stopped waiting; {counted(len(open_jobs), 'file')} stay in the queue. Look at them with "
                    f"irss jobs show {ids}, stop them with irss jobs cancel."
                )
            if not warned and elapsed > _NOBODY_AFTER_S and not any(job.attempt or job.settled for job in jobs):
                warned = True
                invocation.console.note("nobody has begun with it yet; if the app does not run here: irss worker")
            time.sleep(_LOOK_EVERY_S)


def _done(jobs: Sequence[Job]) -> float:
    """Return how many files are done, a file in work as the share of its steps that are."""
    return sum(1.0 if job.settled else _share(job) for job in jobs)


def _share(job: Job) -> float:
    stages = job.options.stages
    return (stages.index(job.stage) + job.progress) / len(stages) if job.stage in stages else 0.0


def _remaining_s(jobs: Sequence[Job], elapsed: float) -> float | None:
    """Return the time left: what the file in work says if it is the last one, else by what is done so far."""
    left = [job for job in jobs if not job.settled]
    if len(left) == 1 and left[0].remaining_s is not None:
        return left[0].remaining_s
    done = len(jobs) - len(left)
    return elapsed / done * len(left) if done else None


def _say_results(jobs: Sequence[Job], invocation: Invocation) -> None:
    rows: list[list[str]] = [[job.name, f"{job.status.value} {STATUS_WORDS[job.status]}", _told(job)] for job in jobs]
    invocation.console.table(["file", "status", "result"], rows)


def _told(job: Job) -> str:
    facts: dict[str, Any] = dict(job.facts)
    if job.error is not None:
        return job.error
    return f"{facts.get('result_width')}x{facts.get('result_height')}, {size_words(facts.get('result_bytes') or 0)}"
