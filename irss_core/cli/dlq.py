"""``irss dlq``: messages that were delivered too often, which ended the program that worked on them every time.

On AWS there is a third queue, by which the state machine asks for work: its dead tasks are seen to in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irss_core.cli.invocation import help_instead, invocation_of, load_settings
from irss_core.cli.jobs import facts_of, operator
from irss_core.cli.options import AsJson
from irss_core.cli.wording import counted
from irss_core.errors import IrssError, NotFoundError
from irss_core.jobs.words import STATUS_WORDS

if TYPE_CHECKING:
    from irss_core.jobs.job import Job
    from irss_core.jobs.ports import Message, Queue
    from irss_core.jobs.service import JobService

_ALL = 100_000
_ARRIVAL = "not looked at yet"

app = typer.Typer(invoke_without_command=True)

Names = Annotated[list[str], typer.Argument(metavar="MESSAGE", help="As `irss dlq list` shows it: work-12, mails-3.")]
SomeNames = Annotated[list[str] | None, typer.Argument(metavar="[MESSAGE]", help="Which ones; by default all.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.callback()
def dlq(context: typer.Context) -> None:
    """See to dead letters: messages that were delivered too often."""
    help_instead(context)


@dataclass(frozen=True)
class _Desk:
    """Where dead letters are seen to: the jobs, and on AWS the queue of the state machine's tasks."""

    service: JobService
    tasks: Queue | None


@dataclass(frozen=True)
class _Letter:
    """A dead message, and the job or mail that it is about."""

    queue_name: str
    queue: Queue
    message: Message
    about: str
    jobs: list[Job]
    state: str

    @property
    def name(self) -> str:
        return f"{self.queue_name}-{self.message.id}"


@app.command("list")
def list_letters(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the dead messages, oldest first."""
    letters, console = list(_letters(_desk_of(context))), invocation_of(context).console
    if as_json:
        console.block(json.dumps([_facts(letter) for letter in letters], indent=2))
    elif letters:
        console.table(
            ["message", "deliveries", "about", "state", "error"],
            [[each.name, str(each.message.deliveries), _about(each), each.state, _error(each)] for each in letters],
        )
    else:
        console.result("No dead messages.")


@app.command("show")
def show(context: typer.Context, *, names: Names) -> None:
    """Show all that is known of dead messages, as JSON."""
    shown = [_facts(each) | {"jobs": [facts_of(job) for job in each.jobs]} for each in _named(_desk_of(context), names)]
    invocation_of(context).console.block(json.dumps(shown, indent=2))


@app.command("redrive")
def redrive(
    context: typer.Context,
    *,
    names: SomeNames = None,
    dry_run: DryRun = False,
) -> None:
    """Send what dead messages are about through again, with no attempts counted.

    The exit status is 1 if one of them could not be.
    """
    desk, console = _desk_of(context), invocation_of(context).console
    letters = _named(desk, names) if names else list(_letters(desk))
    failed = 0
    for letter in letters:
        words, act = _remedy(letter, desk.service)
        try:
            if not dry_run:
                act()
            console.result(f"{letter.name} ({_about(letter)}): {words}")
        except IrssError as error:
            failed += 1
            console.note(f"{letter.name} ({_about(letter)}): {error}")
    console.note(f"{counted(len(letters) - failed, 'message')} {'would be ' if dry_run else ''}seen to")
    raise typer.Exit(1 if failed else 0)


@app.command("discard")
def discard(context: typer.Context, *, names: Names) -> None:
    """Delete dead messages. Their jobs stay as they are."""
    console = invocation_of(context).console
    for letter in _named(_desk_of(context), names):
        letter.queue.discard(letter.message.id)
        console.result(f"{letter.name} ({_about(letter)}): discarded")


def _desk_of(context: typer.Context) -> _Desk:
    settings = load_settings()
    service = invocation_of(context).load_services(settings).jobs
    if settings.backend != "aws":
        return _Desk(service, None)
    from irss_core.aws_jobs import task_queue

    return _Desk(service, task_queue(settings))


def _letters(desk: _Desk) -> Iterator[_Letter]:
    from irss_core.jobs.uploads import is_id

    service = desk.service
    for message in service.work.dead_letters(limit=_ALL):
        if is_id(message.body):
            yield _of_job("work", service.work, message, message.body, service)
        else:  # what a cloud's storage tells of a file that came
            yield _Letter("work", service.work, message, "a file that came", [], _ARRIVAL)
    if desk.tasks is not None:
        for message in desk.tasks.dead_letters(limit=_ALL):
            yield _of_job("tasks", desk.tasks, message, message.body.partition(" ")[0], service)
    for message in service.mails.dead_letters(limit=_ALL):
        mail = service.store.mail(message.body)
        jobs = service.store.jobs_of_batch(mail.batch_id) if mail else []
        state = f"mail {mail.state}" if mail else "batch deleted"
        yield _Letter("mails", service.mails, message, message.body, jobs, state)


def _of_job(name: str, queue: Queue, message: Message, job_id: str, service: JobService) -> _Letter:
    job = service.store.job(job_id)
    state = "job deleted" if job is None else f"{job.status.value} {STATUS_WORDS[job.status]}"
    return _Letter(name, queue, message, job_id, [job] if job else [], state)


def _named(desk: _Desk, names: list[str]) -> list[_Letter]:
    letters = {letter.name: letter for letter in _letters(desk)}
    for name in names:
        if name not in letters:
            raise NotFoundError(f"There is no dead message {name!r}. `irss dlq list` shows those that are here.")
    return [letters[name] for name in dict.fromkeys(names)]


def _remedy(letter: _Letter, service: JobService) -> tuple[str, Callable[[], object]]:
    """Return what is to be done, in words and as a call."""
    from irss_core.jobs.job import JobStatus

    def drop() -> object:
        return letter.queue.discard(letter.message.id)

    def again(status: JobStatus) -> None:
        for job in letter.jobs:
            if job.status is JobStatus.NOT_DELIVERED and (status is JobStatus.NOT_PROCESSED or "result" in job.outputs):
                service.redrive(job.id, status, by=operator())
        drop()

    if letter.state in ("mail pending", "mail sending", _ARRIVAL) or any(not job.settled for job in letter.jobs[:1]):
        return "put back", lambda: letter.queue.redrive(letter.message.id)
    if letter.state == "mail failed":
        return "mailed again", lambda: again(JobStatus.PROCESSED)
    if letter.queue_name in ("work", "tasks") and any(job.status is JobStatus.NOT_DELIVERED for job in letter.jobs):
        return "computed anew", lambda: again(JobStatus.NOT_PROCESSED)
    return "nothing is to be done any more, discarded", drop


def _facts(letter: _Letter) -> dict[str, Any]:
    return {
        "message": letter.name,
        "deliveries": letter.message.deliveries,
        "about": letter.about,
        "state": letter.state,
        "error": _error(letter) or None,
    }


def _about(letter: _Letter) -> str:
    if not letter.jobs:
        return letter.about if letter.state == _ARRIVAL else letter.about[:12]
    first = letter.jobs[0]
    return f"{first.short_id} {first.name}" if len(letter.jobs) == 1 else counted(len(letter.jobs), "file")


def _error(letter: _Letter) -> str:
    return next((job.error for job in letter.jobs if job.error), "")
