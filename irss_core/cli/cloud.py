"""``irss cloud``: the same jobs on AWS, for who runs them: deployed, watched, priced, taken down."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from irss_core.cli import dlq
from irss_core.cli.cloud_cost import COST_EXAMPLES, cost
from irss_core.cli.cloud_deploy import DEPLOY_EXAMPLES, deploy
from irss_core.cli.cloud_destroy import DESTROY_EXAMPLES, destroy
from irss_core.cli.cloud_options import Region, StackName, tell_checks
from irss_core.cli.invocation import help_instead, invocation_of
from irss_core.cli.options import AsJson
from irss_core.errors import ResourceError

if TYPE_CHECKING:
    from aws.ops.overview import Overview
    from irss_core.cli.console import Console

_LOGS_EXAMPLES = """\b
Examples:
  irss cloud logs 3fa85f6457c0
  irss cloud logs 3fa85f6457c0 --stack irss-eu --region eu-central-1 --json
"""

_STATUS_EXAMPLES = """\b
Examples:
  irss cloud status
  eval "$(irss cloud status --env)" && irss serve
"""

app = typer.Typer(invoke_without_command=True)
letters = typer.Typer(invoke_without_command=True)
app.command("deploy", epilog=DEPLOY_EXAMPLES)(deploy)


@app.callback()
def cloud(context: typer.Context) -> None:
    """Run the jobs on AWS.

    Credentials and region are those of AWS's own tools (aws sso login, aws configure, AWS_PROFILE and so on).
    """
    help_instead(context)
    if importlib.util.find_spec("aws") is None:
        raise ResourceError("What speaks to AWS is not installed here. Use a clone of the repository: make install.")


@app.command("status", epilog=_STATUS_EXAMPLES)
def status(
    context: typer.Context,
    *,
    stack: StackName = "irss",
    region: Region = None,
    env: Annotated[
        bool, typer.Option("--env", help="Only what makes this machine work on the same jobs, for a shell.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show addresses, queues, workers and alarms, and the settings for `irss serve` on this machine."""
    from aws.ops.account import sign_in
    from aws.ops.overview import look, settings_of
    from aws.ops.stack import require_stack

    account, console = sign_in(region), invocation_of(context).console
    deployed = require_stack(account, stack)
    if env:
        console.block(_exports(settings_of(account, deployed)))
        return
    overview = look(account, deployed)
    if as_json:
        console.block(json.dumps(overview.to_dict(), indent=2, default=str))
    else:
        _tell(overview, console)


@app.command("logs", epilog=_LOGS_EXAMPLES)
def logs(
    context: typer.Context,
    *,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or its first characters.")],
    stack: StackName = "irss",
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a job: its steps, and all log lines that name it, in the order of time."""
    from aws.ops.account import sign_in
    from aws.ops.history import executions_of, history
    from aws.ops.stack import require_stack, resources

    account = sign_in(region)
    deployed, console = require_stack(account, stack), invocation_of(context).console
    executions = executions_of(account, deployed, job)
    entries = history(account, executions, resources(account, deployed))
    if as_json:
        console.block(json.dumps([asdict(entry) for entry in entries], indent=2, default=str))
        return
    for entry in entries:
        console.result(f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}  {entry.where}  {entry.text}")
    console.note(f"the execution is {executions[-1].status.lower()}; times are of the zone of this machine")


@app.command("doctor")
def doctor(
    context: typer.Context,
    *,
    stack: StackName = "irss",
    region: Region = None,
    send_test: Annotated[
        bool, typer.Option("--send-test", help="Send a mail and an alarm to the operator's address.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether mails and alarms reach somebody.

    Everything that does not work comes with what to do about it. Exit status 1 if something essential is broken.
    """
    from aws.ops.account import sign_in
    from aws.ops.health import check_stack, send_tests
    from aws.ops.stack import require_stack

    account = sign_in(region)
    deployed = require_stack(account, stack)
    checks = list(check_stack(account, deployed))
    if send_test:
        checks += send_tests(account, deployed)
    console = invocation_of(context).console
    if as_json:
        console.block(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        tell_checks(checks, console)
    raise typer.Exit(1 if any(check.status == "fail" for check in checks) else 0)


app.command("cost", epilog=COST_EXAMPLES)(cost)
app.command("destroy", epilog=DESTROY_EXAMPLES)(destroy)
app.add_typer(letters, name="dlq")


@letters.callback()
def dead_letters(context: typer.Context) -> None:
    """See to dead letters of a stack: `irss dlq`, without setting its variables first."""
    help_instead(context)


@letters.command("list")
def list_letters(
    context: typer.Context, *, stack: StackName = "irss", region: Region = None, as_json: AsJson = False
) -> None:
    """List the dead messages of the three queues, oldest first."""
    _work_on(stack, region)
    dlq.list_letters(context, as_json=as_json)


@letters.command("show")
def show(context: typer.Context, *, names: dlq.Names, stack: StackName = "irss", region: Region = None) -> None:
    """Show all that is known of dead messages, as JSON."""
    _work_on(stack, region)
    dlq.show(context, names=names)


@letters.command("redrive")
def redrive(
    context: typer.Context,
    *,
    names: dlq.SomeNames = None,
    dry_run: dlq.DryRun = False,
    stack: StackName = "irss",
    region: Region = None,
) -> None:
    """Send what dead messages are about through again, with no attempts counted.

    The exit status is 1 if one of them could not be.
    """
    _work_on(stack, region)
    dlq.redrive(context, names=names, dry_run=dry_run)


def _work_on(stack: str, region: str | None) -> None:
    """Have this process work on a stack's jobs, as if what `status --env` prints had been pasted before."""
    from aws.ops.account import sign_in
    from aws.ops.overview import settings_of
    from aws.ops.stack import require_stack

    account = sign_in(region)
    os.environ.update(settings_of(account, require_stack(account, stack)))


def _exports(environment: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def _tell(overview: Overview, console: Console) -> None:
    told = overview.stack
    console.result(f"stack: {told.name}, {told.status}, {overview.region}")
    for name, address in overview.addresses.items():
        console.result(f"{name}: {address}")
    worker = overview.worker
    console.result(
        "workers: none; what is to be upscaled waits (irss cloud deploy --image)"
        if worker is None
        else f"workers: {worker.running} running, {worker.starting} starting, {worker.wanted} wanted"
    )
    console.block("")
    rows = [[each.name, *map(str, (each.waiting, each.delayed, each.in_work, each.dead))] for each in overview.queues]
    console.table(["queue", "waiting", "delayed", "in work", "dead"], rows)
    if overview.alarms:
        console.block("")
        console.table(
            ["alarm", "state", "since", "about"],
            [[each.name, each.state, f"{each.since:%Y-%m-%d %H:%M}", each.about] for each in overview.alarms],
        )
    if overview.environment:
        console.block("\n# The same jobs on this machine (irss serve, irss jobs, irss dlq):")
        console.block(_exports(overview.environment))
