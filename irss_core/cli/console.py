"""What the commands say and where: results on stdout, everything else on stderr, progress fit for its reader."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from irss_core.cli.wording import printable, progress_text
from irss_core.progress import ProgressCallback, ProgressUpdate

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

_LINE_EVERY_S = 2.0
_LINE_EVERY_SHARE = 0.1
_LINE_AT_LEAST_EVERY_S = 30.0


class Console:
    """The two output streams of a command, with one-line messages and progress displays.

    On a terminal, progress is a bar with rate and time left, gone when the work is done. Anywhere else (a log file,
    a pipe, a dumb terminal) it is plain lines without control characters, a few a minute.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self._clock = clock

    def result(self, text: str) -> None:
        """Print a line of the command's result to stdout, made printable."""
        self.block(printable(text))

    def block(self, text: str) -> None:
        """Print text that is known to be printable (a table, JSON) to stdout as it is."""
        self._out.write(text + "\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """Print a one-line remark to stderr."""
        self._err.write(f"irss: {printable(text)}\n")
        self._err.flush()

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table to stdout: ruled on a terminal, aligned plain columns elsewhere, never cut off there."""
        cells = [[printable(cell) for cell in row] for row in rows]
        if self._out.isatty():
            self._ruled_table(headings, cells)
            return
        widths = [max(len(row[index]) for row in [headings, *cells]) for index in range(len(headings))]
        for row in [headings, *cells]:
            self.block("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    @contextmanager
    def progress(self, label: str) -> Iterator[ProgressCallback]:
        """Give a callback that shows how far the call is until the context ends."""
        if not self._err.isatty():
            yield PlainProgress(printable(label), self._write_progress, clock=self._clock)
            return
        console = _rich_console(self._err)
        if console.is_dumb_terminal:
            yield PlainProgress(printable(label), self._write_progress, clock=self._clock)
            return
        with _live_bar(console, printable(label)) as callback:
            yield callback

    def _write_progress(self, line: str) -> None:
        self._err.write(line + "\n")
        self._err.flush()

    def _ruled_table(self, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        _rich_console(self._out).print(table)


class PlainProgress:
    """Writes a line now and then: not before 2 s have passed, then at every tenth or, where that is far, every 30 s."""

    def __init__(self, label: str, write: Callable[[str], None], *, clock: Callable[[], float]) -> None:
        self._label, self._write, self._clock = label, write, clock
        self._last_time = clock()
        self._last_share = 0.0

    def __call__(self, update: ProgressUpdate) -> None:
        """Write the update if it is time for a line."""
        now = self._clock()
        waited, share = now - self._last_time, update.fraction or 0.0
        if waited < _LINE_EVERY_S or update.fraction == 1.0:
            return
        if share - self._last_share >= _LINE_EVERY_SHARE or waited >= _LINE_AT_LEAST_EVERY_S:
            self._last_time, self._last_share = now, share
            self._write(f"{self._label}: {progress_text(update)}")


def _rich_console(stream: TextIO) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(file=stream, markup=False, highlight=False, emoji=False)


@contextmanager
def _live_bar(console: RichConsole, label: str) -> Iterator[ProgressCallback]:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True)),
    )
    # The bar leaves stdout alone, which may be a file; stderr it must share, or warnings would tear it.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, expand=True) as bars:
        task = bars.add_task(label, total=None, text="starting")

        def show(update: ProgressUpdate) -> None:
            bars.update(task, completed=update.done, total=update.total, text=progress_text(update))

        yield show
