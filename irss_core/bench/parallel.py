"""Measures several samples at a time in processes of their own: metrics use one core, and a machine has more."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

from irss_core.bench.measuring import PerceptualLoader, prepare_networks
from irss_core.bench.quality import ModelLoader, QualityBench, QualityRequest, Task
from irss_core.bench.results import Score
from irss_core.errors import CancelledError, ResourceError

_POLL_S = 0.2
_Loaders = tuple[ModelLoader, PerceptualLoader | None]
_bench: QualityBench | None = None
_advance: Callable[[float], None] = lambda amount: None  # noqa: E731  replaced when a worker starts


def measure_in_processes(
    tasks: Sequence[Task],
    request: QualityRequest,
    *,
    workers: int,
    load: ModelLoader,
    load_network: PerceptualLoader | None,
    advance: Callable[[float], None],
) -> Iterator[Score]:
    """Yield the scores of the tasks as they are done, in any order; each process loads the models for itself.

    Args:
        load, load_network: must be picklable: functions of a module, or ``functools.partial`` of such.
        advance: is told of work done, and may raise to stop.

    Raises:
        ResourceError: a process died. CancelledError: ``advance`` was told to stop.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    progress: Any = context.Queue()
    stop = context.Event()
    threads = max((os.cpu_count() or 1) // workers, 1)
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=_start_worker,
        initargs=(request, (load, load_network), threads, progress, stop),
    )
    try:
        futures = [pool.submit(_measure, task) for task in tasks]
        for future in _completed(futures, lambda: _drain(progress, advance)):
            error = future.exception()
            if isinstance(error, CancelledError):
                raise error
            if error is not None:
                raise ResourceError(
                    f"A measuring process ended early ({error}). Use fewer workers if memory is short; "
                    "the same command goes on from here."
                ) from error
            yield future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _completed(futures: list[Future[Score]], poll: Callable[[], None]) -> Iterator[Future[Score]]:
    pending = set(futures)
    while pending:
        try:
            for future in as_completed(pending, timeout=_POLL_S):
                pending.discard(future)
                poll()
                yield future
        except TimeoutError:
            poll()


def _drain(progress: Any, advance: Callable[[float], None]) -> None:
    while True:
        try:
            advance(progress.get_nowait())
        except queue.Empty:
            return


# -- in the worker -----------------------------------------------------------------------------------------------------


def _start_worker(
    request: QualityRequest,
    loaders: tuple[ModelLoader, PerceptualLoader | None],
    threads: int,
    progress: Any,
    stop: Any,
) -> None:
    global _bench, _advance  # noqa: PLW0603  a worker process has one bench for its whole life
    import signal

    import torch

    load, load_network = loaders
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    torch.set_num_threads(threads)
    _bench = QualityBench(request, load=load, networks=prepare_networks(load_network, request.metric_keys))

    def advance(amount: float) -> None:
        progress.put(amount)
        if stop.is_set():
            raise CancelledError("The work was cancelled; what was measured is kept.")

    _advance = advance


def _measure(task: Task) -> Score:
    assert _bench is not None  # noqa: S101  the initializer made it
    return _bench.measure(task, advance=_advance)
