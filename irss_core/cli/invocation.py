"""What every command is handed: where to speak, how to get services, and how it is told to stop."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import typer

from irss_core.cli.console import Console
from irss_core.errors import InvalidOptionError
from irss_core.progress import CancelToken

if TYPE_CHECKING:
    from irss_core.config import Settings
    from irss_core.services import Services

USAGE = 2
_STOPPING = b"irss: stopping after the step in work; once more stops at once\n"


class Invocation:
    """One run of ``irss``: its console, its way to services (replaced in tests), what was typed, what stopped it."""

    def __init__(
        self, console: Console, load_services: Callable[[Settings], Services], arguments: Sequence[str] = ()
    ) -> None:
        self.console = console
        self.load_services = load_services
        self.command = shlex.join(["irss", *arguments])
        self.stopped_by = signal.SIGINT

    @contextmanager
    def cancellable(self) -> Iterator[CancelToken]:
        """Give a token that Ctrl-C (or SIGTERM) throws; a second one interrupts at once.

        Only Python's main thread receives signals; elsewhere the token is simply never thrown.
        """
        token = CancelToken()

        def stop(number: int, _frame: FrameType | None) -> None:
            self.stopped_by = signal.Signals(number)
            if token.cancelled:
                raise KeyboardInterrupt
            token.cancel()
            os.write(2, _STOPPING)  # not through the stream, which may be in the middle of a write

        if threading.current_thread() is not threading.main_thread():
            yield token
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield token
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def invocation_of(context: typer.Context) -> Invocation:
    """Return what ``main`` handed to the command."""
    return cast(Invocation, context.obj)


def help_instead(context: typer.Context) -> None:
    """Show the help of a command that does nothing without a subcommand, and stop, if there is none."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


def load_settings(**options: Any) -> Settings:
    """Return the settings of the environment, with the options that were given (not None) in their place.

    Raises:
        InvalidOptionError: an option or an environment variable has an impossible value.
    """
    from pydantic import ValidationError

    from irss_core.config import Settings

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(_problem(list(detail["loc"]), detail["msg"], detail["input"]) for detail in error.errors())
        raise InvalidOptionError(problems) from None


def _problem(place: list[int | str], message: str, value: object) -> str:
    name = str(place[0]) if place else "settings"
    variable = name if name.isupper() else f"IRSS_{name.upper()}"
    return f"{name.lower().removeprefix('irss_')} cannot be {value!r} (option or variable {variable}): {message}"
