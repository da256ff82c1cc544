"""``irss models``: what there is, whether its weights are here, and how to get them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irss_core.cli.console import Console
from irss_core.cli.invocation import invocation_of, load_settings
from irss_core.cli.options import AsJson, complete_model
from irss_core.errors import InvalidOptionError, IrssError
from irss_core.progress import CancelToken
from irss_core.sr.catalog import MODELS, ModelSpec, find_model
from irss_core.words import size_words

if TYPE_CHECKING:
    from irss_core.config import Settings

_EXAMPLES = """\b
Examples:
  irss models
  irss models --json
  irss models fetch realesr-general-x4v3 realesrgan-x2plus
"""

app = typer.Typer(invoke_without_command=True, epilog=_EXAMPLES)


@app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models and where their weights are, or fetch them."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    console = invocation_of(context).console
    facts = [_facts(spec, settings) for spec in MODELS.values()]
    if as_json:
        console.block(json.dumps(facts, indent=2))
        return
    headings = ("name", "kind", "scale", "architecture", "licence", "size", "weights")
    console.table(headings, [_row(fact) for fact in facts])


@app.command()
def fetch(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", autocompletion=complete_model, help="Models to get.")
    ] = None,
    all_models: Annotated[bool, typer.Option("--all", help="Get every model there is.")] = False,
) -> None:
    """Get the weights of models.

    They are kept in the cache folder (IRSS_CACHE_DIR) and run later without the network.
    """
    if bool(names) == all_models:
        raise InvalidOptionError("Say which models to fetch: names (irss models lists them), or --all.")
    specs = list(MODELS.values()) if all_models else [find_model(name) for name in names or []]
    settings, invocation = load_settings(), invocation_of(context)
    failed = 0
    with invocation.cancellable() as cancel:
        for spec in specs:
            cancel.raise_if_cancelled()
            try:
                _fetch(spec, settings, invocation.console, cancel)
            except IrssError as error:
                if cancel.cancelled:
                    raise
                failed += 1
                invocation.console.note(f"{spec.name}: {error}")
    raise typer.Exit(1 if failed else 0)


def _fetch(spec: ModelSpec, settings: Settings, console: Console, cancel: CancelToken) -> None:
    from irss_core.sr.weights import resolve_weights

    if not spec.files:
        console.result(f"{spec.name}: needs no weights")
        return
    with console.progress(f"Fetching {spec.name}") as progress:
        weights = resolve_weights(
            spec, cache_dir=settings.cache_dir, offline=settings.offline, progress=progress, cancel=cancel
        )
    console.result(f"{spec.name}: {', '.join(str(path) for path in weights.paths)} ({weights.source})")


def _facts(spec: ModelSpec, settings: Settings) -> dict[str, Any]:
    """Return what is known of a model, in types that JSON has."""
    from irss_core.sr.weights import weights_status

    status = weights_status(spec, cache_dir=settings.cache_dir)
    return {
        "name": spec.name,
        "title": spec.title,
        "summary": spec.summary,
        "kind": spec.kind,
        "scale": spec.scale,
        "architecture": spec.architecture,
        "parameters": spec.parameters,
        "licence": spec.licence,
        "paper": spec.paper,
        "paper_url": spec.paper_url,
        "source_url": spec.source_url,
        "takes_denoise": spec.has_denoise,
        "weights": {"available": status.available, "where": status.where, "size_bytes": status.size_bytes},
    }


def _row(fact: dict[str, Any]) -> tuple[str, ...]:
    weights = fact["weights"]
    return (
        fact["name"],
        fact["kind"],
        f"x{fact['scale']}",
        fact["architecture"],
        fact["licence"],
        size_words(weights["size_bytes"]) if weights["size_bytes"] else "-",
        weights["where"],
    )
