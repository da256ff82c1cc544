"""What the commands of ``irss cloud`` share: options, findings, and waiting for a stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from irss_core.errors import CancelledError

if TYPE_CHECKING:
    from aws.ops.quotas import Check
    from irss_core.cli.console import Console
    from irss_core.progress import CancelToken

StackName = Annotated[str, typer.Option("--stack", metavar="NAME", help="Which stack, if there are several.")]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="NAME", envvar="AWS_REGION", help="Such as us-east-1; default: what AWS's tools are set to."
    ),
]


def tell_checks(checks: Iterable[Check], console: Console) -> None:
    """Print findings, each with what to do about it."""
    for check in checks:
        console.result(f"{check.status:<4}  {check.name}: {check.found}")
        if check.remedy:
            console.result(f"      -> {check.remedy}")


def watching(cancel: CancelToken) -> Callable[[float], None]:
    """Return how to wait between two looks at a stack, so that Ctrl-C ends it at once."""

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if cancel.cancelled:
                raise CancelledError(
                    "Stopped watching. CloudFormation goes on; `irss cloud status` says how far it is."
                )
            time.sleep(0.1)

    return wait
