"""``irss jobs``: what an operator sees of the jobs on this machine, and does with them."""

from __future__ import annotations

import getpass
import json
import math
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irss_core.cli.invocation import help_instead, invocation_of, load_settings
from irss_core.cli.options import AsJson
from irss_core.cli.wording import counted
from irss_core.errors import InvalidOptionError, NotFoundError
from irss_core.jobs.words import STATUS_WORDS
from irss_core.words import size_words, time_words

if TYPE_CHECKING:
    from irss_core.jobs.job import Job
    from irss_core.jobs.service import JobService

_ALL = 1_000_000
_FULL_LENGTH, _LEAST_LENGTH = 64, 6

app = typer.Typer(invoke_without_command=True)

JobIds = Annotated[
    list[str], typer.Argument(metavar="JOB", help="An id, or its first characters as `irss jobs list` shows them.")
]


@app.callback()
def jobs(context: typer.Context) -> None:
    """See to the jobs that were handed off on this machine."""
    help_instead(context)


@app.command("list")
def list_jobs(
    context: typer.Context,
    *,
    status: Annotated[
        int | None, typer.Option("--status", min=1, max=4, help="Only those: 1 not processed … 4 not delivered.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="The newest N.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the jobs on this machine, newest first, whoever handed them in."""
    service = service_of(context)
    found = [job for job in _all_jobs(service) if status is None or job.status == status]
    newest = sorted(found, key=lambda job: (-job.created_at, job.batch_id, job.number))[:limit]
    console = invocation_of(context).console
    if as_json:
        console.block(json.dumps([facts_of(job) for job in newest], indent=2))
    elif newest:
        console.table(
            ["job", "file", "status", "stage", "age", "attempts", "error"], [_row(job, service) for job in newest]
        )
        if len(found) > limit:
            console.note(f"{counted(len(found) - limit, 'older job')} not shown; --limit shows more")
    else:
        console.result("No such jobs." if status else "No jobs. Hand something in with `irss submit`, or in the app.")


@app.command("show")
def show(context: typer.Context, *, job_ids: JobIds, as_json: AsJson = False) -> None:
    """Show all that is known of jobs."""
    service, console = service_of(context), invocation_of(context).console
    shown = [_with_history(find_job(service, job_id), service) for job_id in job_ids]
    if as_json:
        console.block(json.dumps(shown, indent=2))
        return
    for number, facts in enumerate(shown):
        if number:
            console.block("")
        for name, value in facts.items():
            if value not in (None, {}, [], ()):
                text = value if isinstance(value, str | int | float) else json.dumps(value)
                console.result(f"{name.replace('_', ' ')}: {text}")


@app.command("retry")
def retry(
    context: typer.Context,
    *,
    job_ids: JobIds,
    mail_only: Annotated[
        bool, typer.Option("--mail-only", help="The result is good: only send the mail again.")
    ] = False,
) -> None:
    """Send jobs that were not delivered through again. Who did so is noted with the job."""
    from irss_core.jobs.job import JobStatus

    service, console = service_of(context), invocation_of(context).console
    status = JobStatus.PROCESSED if mail_only else JobStatus.NOT_PROCESSED
    for job_id in job_ids:
        job = service.redrive(find_job(service, job_id).id, status, by=operator())
        console.result(f"{job.short_id} {job.name}: {'its mail is sent again' if mail_only else 'computed anew'}")


@app.command("cancel")
def cancel(context: typer.Context, *, job_ids: JobIds) -> None:
    """Stop jobs that are not finished."""
    service, console = service_of(context), invocation_of(context).console
    for job_id in job_ids:
        job = service.cancel(find_job(service, job_id).id)
        console.result(
            f"{job.short_id} {job.name}: {'cancelled' if job.settled else 'its worker stops at the next step'}"
        )


@app.command("delete")
def delete(
    context: typer.Context,
    *,
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete them.")] = False,
) -> None:
    """Delete jobs with their inputs and results, for good. Those in work are cancelled."""
    service, console = service_of(context), invocation_of(context).console
    found = [find_job(service, job_id) for job_id in job_ids]
    if not yes:
        raise InvalidOptionError(
            f"This deletes {counted(len(found), 'job')} with input and results for good: add --yes."
        )
    for job in found:
        service.delete(job.id)
        console.result(f"{job.short_id} {job.name}: deleted")


def service_of(context: typer.Context) -> JobService:
    """Return the jobs of the settings in the environment."""
    return invocation_of(context).load_services(load_settings()).jobs


def find_job(service: JobService, text: str) -> Job:
    """Return the job whose id is, or begins with, the text.

    Raises:
        NotFoundError: none is. InvalidOptionError: several are, or it is too short to tell.
    """
    text = text.lower()
    if len(text) >= _FULL_LENGTH:
        return service.job(text)
    if len(text) < _LEAST_LENGTH:
        raise InvalidOptionError(f"{text!r} is too short. Give at least {_LEAST_LENGTH} characters of the job's id.")
    found = [job for job in _all_jobs(service) if job.id.startswith(text)]
    if not found:
        raise NotFoundError(f"No job's id begins with {text!r}. `irss jobs list` shows those that are here.")
    if len(found) > 1:
        raise InvalidOptionError(f"{len(found)} jobs' ids begin with {text!r}. Give more characters.")
    return found[0]


def facts_of(job: Job) -> dict[str, Any]:
    """Return what is known of a job, as JSON has it; who handed it in is nobody else's business."""
    facts = {each.name: getattr(job, each.name) for each in fields(job)} | {
        "options": job.options.to_dict(),
        "outputs": dict(job.outputs),
        "facts": dict(job.facts),
        "status": job.status.value,
    }
    del facts["owner"]
    return facts


def operator() -> str:
    """Return who sits here, for the audit."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "operator"


def _all_jobs(service: JobService) -> Iterable[Job]:
    yield from service.store.unsettled_jobs(not_updated_since=math.inf, limit=_ALL)
    yield from service.store.finished_jobs(before=math.inf, limit=_ALL)


def _with_history(job: Job, service: JobService) -> dict[str, Any]:
    mails = service.store.mails_of_batch(job.batch_id)
    return facts_of(job) | {
        "status_text": STATUS_WORDS[job.status],
        "mails": [{name: getattr(mail, name) for name in ("state", "attempt", "resent", "answer")} for mail in mails],
        "audit": service.store.audit(job.id),
    }


def _row(job: Job, service: JobService) -> list[str]:
    stage = str(job.stage or "-")
    if not job.settled and job.stage is not None:
        stage += f" {job.progress:.0%}"
    age = time_words(max(service.clock.now() - job.created_at, 0.0))
    name = f"{job.name} ({size_words(job.input_bytes)})"
    return [
        job.short_id,
        name,
        f"{job.status.value} {STATUS_WORDS[job.status]}",
        stage,
        age,
        str(job.attempt),
        job.error or "",
    ]
