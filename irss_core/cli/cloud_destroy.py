"""``irss cloud destroy``: a stack taken down, once its name was typed."""

from __future__ import annotations

from typing import Annotated

import typer

from irss_core.cli.cloud_options import Region, StackName, watching
from irss_core.cli.invocation import invocation_of
from irss_core.cli.wording import counted
from irss_core.errors import InvalidOptionError
from irss_core.progress import ProgressMeter

DESTROY_EXAMPLES = """\b
Examples:
  irss cloud destroy
  irss cloud destroy --stack irss-staging --confirm irss-staging
"""


def destroy(
    context: typer.Context,
    *,
    stack: StackName = "irss",
    region: Region = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="NAME", help="The stack's name, instead of being asked for it.")
    ] = None,
) -> None:
    """Delete a stack with all pictures, results and jobs in it. What is gone cannot be had back."""
    from aws.ops.account import sign_in
    from aws.ops.removal import destroy as take_down
    from aws.ops.removal import holdings
    from aws.ops.stack import find_stack, require_stack

    invocation = invocation_of(context)
    console, account = invocation.console, sign_in(region)
    found = find_stack(account, stack)
    held = holdings(account, stack, found)
    if found is None and held.deploy_bucket is None:
        require_stack(account, stack)  # which says that there is none
    console.result(f"{stack} in {account.region} of account {account.id}: {counted(held.parts, 'part')}, and all in")
    for bucket in held.all_buckets:
        console.result(f"  {bucket}")
    typed = confirm if confirm is not None else typer.prompt("Type the stack's name to delete it all", err=True)
    if typed != stack:
        raise InvalidOptionError(f"{typed!r} is not {stack!r}. Nothing was deleted.")
    with invocation.cancellable() as cancel, console.progress(f"Deleting {stack}") as progress:
        meter = ProgressMeter(held.parts, "parts", callback=progress)
        take_down(
            account,
            found,
            held,
            meter=meter,
            tell=lambda event: console.note(f"{event.logical_id}: {event.reason or event.status}"),
            sleep=watching(cancel),
        )
    console.result(f"{stack} is gone")
