"""Peak memory of a stretch of work, measured."""

from __future__ import annotations

import threading
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
