"""How the engine asks the allocator to behave while it runs."""

from __future__ import annotations

import resource
import sys
import threading

import pytest
import torch

from irss_core.sr import memory
from irss_core.sr.memory import return_freed_memory, reusing_memory

pytestmark = pytest.mark.skipif(memory._glibc() is None, reason="only glibc's allocator is asked")

BLOCK = 48 * 1024**2  # above the largest threshold that glibc chooses by itself: mapped and given back each time


def page_faults_of_ten_blocks() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(BLOCK, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_used_again_while_open_and_only_then() -> None:
    outside = page_faults_of_ten_blocks()
    with reusing_memory():
        page_faults_of_ten_blocks()  # the heap grows to what the work needs
        inside = page_faults_of_ten_blocks()
    return_freed_memory()
    assert inside < outside / 4, (inside, outside)
    assert page_faults_of_ten_blocks() > outside / 2


def test_the_last_of_several_runs_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(memory, "_set_allocator", lambda values: asked.append(values is memory._WHILE_RUNNING))
    first_is_in, first_may_end = threading.Event(), threading.Event()

    def first() -> None:
        with reusing_memory():
            first_is_in.set()
            first_may_end.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(10)
    with reusing_memory():
        pass
    assert asked == [True]
    first_may_end.set()
    thread.join()
    assert asked == [True, False]
