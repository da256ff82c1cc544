"""How the engine asks the allocator to behave while it runs."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from irss_core.sr import memory
from irss_core.sr.memory import reusing_memory

pytestmark = pytest.mark.skipif(memory._glibc() is None, reason="only glibc's allocator is asked")

# In a process of its own: the heap of one that has run other tests has room for the blocks anyway. 48 MiB is above the
# largest threshold that glibc chooses by itself: such blocks are mapped and given back each time.
SCRIPT = """
import psutil, resource, torch
from irss_core.sr.memory import reusing_memory, return_freed_memory

def page_faults_of_ten_blocks():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(48 * 1024**2, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults_of_ten_blocks())
with reusing_memory():
    page_faults_of_ten_blocks()  # the heap grows to what the work needs
    print(page_faults_of_ten_blocks())
held = psutil.Process().memory_info().rss
return_freed_memory()
print(held - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_used_again_while_open_and_can_be_handed_back() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    outside, inside, handed_back_bytes = map(int, answer.stdout.split())
    assert inside < outside / 4, (outside, inside)
    assert handed_back_bytes > 40 * 1024**2, handed_back_bytes


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
