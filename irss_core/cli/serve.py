"""``irss serve``: the web app, as ``python app.py`` starts it."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from irss_core.cli.invocation import load_settings


def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets others in. [env: IRSS_HOST]"),
    ] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Default 7860. [env: IRSS_PORT]")] = None,
) -> None:
    """Start the web app.

    It compares the models in a browser, on your own pictures and clips.
    """
    settings = load_settings(host=host, port=port)
    # By name, because the app stands above the command line: it may use all of irss_core, and nothing imports it.
    raise typer.Exit(int(importlib.import_module("app").serve(settings)))
