"""Options that the commands of ``irss cloud`` share."""

from __future__ import annotations

from typing import Annotated

import typer

StackName = Annotated[str, typer.Option("--stack", metavar="NAME", help="Which stack, if there are several.")]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="NAME", envvar="AWS_REGION", help="Such as us-east-1; default: what AWS's tools are set to."
    ),
]
