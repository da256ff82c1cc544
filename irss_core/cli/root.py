"""``main``: the commands put together, and every outcome turned into one line on stderr and an exit status."""

from __future__ import annotations

import io
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

import irss_core
from irss_core.cli import bench, cloud, compare, dlq, doctor, jobs, models, serve, submit, train, upscale, worker
from irss_core.cli.console import Console
from irss_core.cli.invocation import USAGE, Invocation, help_instead
from irss_core.errors import CancelledError, InvalidOptionError, IrssError, UnknownModelError

if TYPE_CHECKING:
    from irss_core.config import Settings
    from irss_core.services import Services

DONE, FAILED = 0, 1

app = typer.Typer(
    name="irss",
    rich_markup_mode=None,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"irss {irss_core.__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from, as a traceback.")] = False,
) -> None:
    """Make pictures and clips larger with ESRGAN and TecoGAN, and compare them.

    Settings come from the environment (IRSS_DEVICE, IRSS_CACHE_DIR and so on); options go before them.

    Exit status: 0 all done, 1 something failed, 2 wrong usage, 130 stopped with Ctrl-C.
    """
    help_instead(context)  # --version has acted already and main took --debug out: they are parameters for --help


app.command("upscale", epilog=upscale.EXAMPLES)(upscale.upscale)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.add_typer(models.app, name="models")
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(train.app, name="train")
app.command("serve")(serve.serve)
app.command("submit", epilog=submit.EXAMPLES)(submit.submit)
app.command("worker", epilog=worker.EXAMPLES)(worker.worker)
app.add_typer(jobs.app, name="jobs")
app.add_typer(dlq.app, name="dlq")
app.add_typer(cloud.app, name="cloud")


def main(
    argv: Sequence[str] | None = None,
    *,
    console: Console | None = None,
    load_services: Callable[[Settings], Services] | None = None,
) -> int:
    """Return the exit status of ``irss`` with these arguments (the process's own by default).

    Expected errors become one line on stderr; with --debug, anywhere before "--", their traceback stands above it.
    """
    _never_fail_to_print()
    arguments, debug = _take_debug(list(sys.argv[1:] if argv is None else argv))
    invocation = Invocation(console or Console(), load_services or _build_services, arguments)
    try:
        status = app(args=arguments, prog_name="irss", standalone_mode=False, obj=invocation)
    except (IrssError, OSError, typer.TyperException) as error:
        if debug:
            traceback.print_exc()
        return _report(invocation, error)
    except (KeyboardInterrupt, typer.Abort):
        return 128 + invocation.stopped_by
    return 128 + invocation.stopped_by if status == 128 + signal.SIGINT else int(status or DONE)


def _report(invocation: Invocation, error: Exception) -> int:
    if isinstance(error, typer.TyperException):
        invocation.console.note(f"{error.format_message()} ({_where_help_is(error)})")
        return USAGE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        invocation.console.note(f"{where}{error.strerror or error}")
        return FAILED
    invocation.console.note(str(error))
    if isinstance(error, CancelledError):
        return 128 + invocation.stopped_by
    return USAGE if isinstance(error, InvalidOptionError | UnknownModelError) else FAILED


def _where_help_is(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"try: {context.command_path if context else 'irss'} --help"


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Return the arguments without --debug, and whether it was there: it is understood after the command, too."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return options + arguments[end:], len(options) < end


def _never_fail_to_print() -> None:
    """Have the standard streams escape what their encoding lacks: a name in another alphabet must stop no batch."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _build_services(settings: Settings) -> Services:
    from irss_core.services import build_services

    return build_services(settings)
