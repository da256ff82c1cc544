"""Memory of a stretch of work: how much it took at its peak, how much it may take, and how it is reused."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import psutil
import torch

from irss_core.sr.device import free_memory_bytes

_SAMPLE_EVERY_S = 0.02


class PeakMemory:
    """Context that leaves ``peak_bytes``: the peak allocation on CUDA, else the process's peak resident size.

    The resident size is sampled every 20 ms by a thread, since the kernel's own high-water mark covers the process's
    whole life. It contains everything the process holds (the interpreter, the libraries, other threads' work).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.peak_bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._sample()
            self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            self.peak_bytes = torch.cuda.max_memory_allocated(self._device)
        elif self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._sample()

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(_SAMPLE_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception out of torch means that memory ran out (its CPU allocator has no type of its own)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


# A run takes at most this much by default, however much is free: other programs and the page cache need some.
_DEFAULT_WORKING_BYTES = 4 * 1024**3
_SHARE_OF_FREE = 0.6


def working_budget_bytes(device: torch.device, limit_bytes: int | None) -> int:
    """Return the working memory a run may plan with: the limit set, else 4 GiB or 60 % of what is free."""
    return limit_bytes or min(_DEFAULT_WORKING_BYTES, int(free_memory_bytes(device) * _SHARE_OF_FREE))


# Parameters of glibc's mallopt(3), and what its own adjustment has arrived at once a program freed large blocks.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_WHILE_RUNNING = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
_OTHERWISE = {_TRIM_THRESHOLD: 64 * 1024**2, _MMAP_THRESHOLD: 32 * 1024**2, _MMAP_MAX: 65536}
_reusing_lock = threading.Lock()
_reusing_runs = 0


@contextmanager
def reusing_memory() -> Iterator[None]:
    """While open, memory that a layer frees stays with the process for the next layer to use.

    By default glibc hands each large block back to the kernel, which clears it again a page at a time for the next
    layer: a quarter of the time of a 512x512 picture through RRDBNet. Other C libraries are left as they are.
    """
    global _reusing_runs  # noqa: PLW0603  the allocator is the process's, and so is the count of who needs it so
    with _reusing_lock:
        _reusing_runs += 1
        if _reusing_runs == 1:
            _set_allocator(_WHILE_RUNNING)
    try:
        yield
    finally:
        with _reusing_lock:
            _reusing_runs -= 1
            if not _reusing_runs:
                _set_allocator(_OTHERWISE)


def return_freed_memory() -> None:
    """Hand back to the system what runs have freed and the process still holds."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _set_allocator(values: dict[int, int]) -> None:
    libc = _glibc()
    if libc is not None:
        for parameter, value in values.items():
            libc.mallopt(parameter, value)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, with one heap for all threads: only that one grows past 64 MiB."""
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  only glibc has it
    except (AttributeError, OSError, TypeError):
        return None
    libc.mallopt(_ARENA_MAX, 1)
    return libc
