"""The loop over many files: each on its own, what went wrong told and counted, a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from irss_core.cli.console import Console
from irss_core.cli.inputs import Failure, Item, Plan
from irss_core.errors import CancelledError, IrssError, OutputExistsError
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.words import time_words

_LISTED_AT_MOST = 20


@dataclass
class Tally:
    """How a batch went."""

    done: int = 0
    skipped: list[Path] = field(default_factory=list)
    failed: list[Path] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every file is done."""
        return not self.skipped and not self.failed


def run_batch(
    plan: Plan,
    work: Callable[[Item, ProgressCallback], str],
    *,
    console: Console,
    cancel: CancelToken,
    overwrite: bool,
) -> Tally:
    """Return the tally of doing every item with ``work``, which returns what to say about it.

    A file that fails is reported and the next one is begun; a result that is there already is left alone unless
    ``overwrite``.

    Raises:
        CancelledError: asked to stop; what was finished before is kept, and the message says how much that is.
    """
    started, total, tally = time.monotonic(), len(plan.items) + len(plan.failures), Tally()
    for failure in plan.failures:
        _fail(failure, tally, console)
    for number, item in enumerate(plan.items, start=1):
        label = item.source.name if len(plan.items) == 1 else f"[{number}/{len(plan.items)}] {item.source.name}"
        try:
            cancel.raise_if_cancelled()
            _do(item, work, label, console=console, overwrite=overwrite)
            tally.done += 1
        except CancelledError:
            raise CancelledError(
                f"Stopped; {tally.done} of {total} done. The file in work left nothing behind."
            ) from None
        except OutputExistsError as error:
            tally.skipped.append(item.source)
            console.note(_about(item.source, f"skipped: {error}"))
        except (IrssError, OSError) as error:
            _fail(Failure(item.source, error), tally, console)
    if total > 1:
        _summarize(tally, total, time.monotonic() - started, console)
    return tally


def _do(
    item: Item,
    work: Callable[[Item, ProgressCallback], str],
    label: str,
    *,
    console: Console,
    overwrite: bool,
) -> None:
    if item.target.exists() and not overwrite:
        raise OutputExistsError(f"{item.target} is already there. Use --overwrite to replace it.")
    item.target.parent.mkdir(parents=True, exist_ok=True)
    with console.progress(label) as progress:
        told = work(item, progress)
    console.result(f"{item.source} -> {item.target}: {told}")


def _fail(failure: Failure, tally: Tally, console: Console) -> None:
    tally.failed.append(failure.path)
    error = failure.error
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    console.note(_about(failure.path, reason))


def _about(path: Path, text: str) -> str:
    """Return the text with the path before it, unless it names the file already."""
    return text if str(path) in text else f"{path}: {text}"


def _summarize(tally: Tally, total: int, seconds: float, console: Console) -> None:
    parts = [f"{tally.done} of {total} done in {time_words(seconds)}"]
    if tally.skipped:
        parts.append(f"{len(tally.skipped)} skipped (already there)")
    if tally.failed:
        parts.append(f"{len(tally.failed)} failed")
    console.result("; ".join(parts))
    for path in tally.failed[:_LISTED_AT_MOST]:
        console.result(f"  failed: {path}")
    if len(tally.failed) > _LISTED_AT_MOST:
        console.result(f"  and {len(tally.failed) - _LISTED_AT_MOST} more")
