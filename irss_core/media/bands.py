"""Rows of a picture compressed in parallel, in order, with bounded memory."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from irss_core.media.picture import Pixels

T = TypeVar("T")

BAND_BYTES = 1 << 20
"""Bands of this size lose nothing measurable in compression and keep every core busy on pictures of some megapixels."""

_MAX_WORKERS = 8


def row_bands(samples: Pixels) -> Iterator[slice]:
    """Slices of rows that together cover ``samples``, each of about ``BAND_BYTES``."""
    rows = max(1, BAND_BYTES // samples[0].nbytes)
    return (slice(top, min(top + rows, len(samples))) for top in range(0, len(samples), rows))


def in_order(function: Callable[[slice], T], bands: Iterable[slice]) -> Iterator[T]:
    """``function`` of every band, computed on several threads (zlib lets others run), yielded in order."""
    workers = min(_MAX_WORKERS, os.cpu_count() or 1)
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="irss-encode") as pool:
        for band in bands:
            pending.append(pool.submit(function, band))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def deflate_strategy(samples: Pixels) -> int:
    """zlib's strategy at level 1: runs only for 16 bits, whose low bytes never repeat (twice as fast, same size)."""
    return zlib.Z_RLE if samples.dtype.itemsize == 2 else zlib.Z_DEFAULT_STRATEGY
