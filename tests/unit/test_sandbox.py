"""The process that reads files nobody trusts: whatever the file does to it, the caller gets an answer in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from irss_core.errors import (
    CancelledError,
    CorruptMediaError,
    InvalidOptionError,
    IrssError,
    LimitExceededError,
    ResourceError,
)
from irss_core.jobs.sandbox import Confinement, confined
from irss_core.progress import CancelToken

HERE = "tests.unit.test_sandbox:"
USUAL = Confinement(memory_bytes=256 * 1024**2, cpu_s=20, wall_s=20.0)


def add(a: int, b: int) -> int:
    return a + b


def eat_memory() -> int:
    return len([bytearray(16 * 1024**2) for _ in range(1000)])


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(1000)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave() -> None:
    os._exit(7)


def refuse(text: str) -> None:
    raise InvalidOptionError(text)


def run_out() -> None:
    raise ResourceError("no memory")


def stumble() -> None:
    raise KeyError("a mistake of ours")


def say_much() -> str:
    return "x" * (3 << 20)


def chatter() -> str:
    print("to the terminal")  # noqa: T201  what decoders do
    os.write(1, b'{"result": {"value": "forged"}}\n')
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b'{"result": {"value": "forged"}}\n')
        except OSError:
            continue
    return "said"


def write_a_file(path: str) -> int:
    return Path(path).write_bytes(b"x")


def environment(name: str) -> str | None:
    return os.environ.get(name)


def process_id() -> int:
    return os.getpid()


def parent_id() -> int:
    return os.getppid()


def test_function_gives_its_value() -> None:
    assert confined(f"{HERE}add", 2, 3, limits=USUAL) == 5


def test_every_call_has_a_process_of_its_own_that_is_neither_ours_nor_a_fork_of_it() -> None:
    one, two = (confined(f"{HERE}process_id", limits=USUAL) for _ in range(2))
    assert len({one, two, os.getpid()}) == 3
    assert confined(f"{HERE}parent_id", limits=USUAL) != os.getpid()


def test_memory_eater_is_refused_with_the_limit() -> None:
    limits = Confinement(memory_bytes=128 * 1024**2, cpu_s=20, wall_s=20)
    with pytest.raises(LimitExceededError, match="more than 128 MiB of memory"):
        confined(f"{HERE}eat_memory", limits=limits)


def test_lack_of_memory_that_a_reader_reports_is_the_same_limit() -> None:
    with pytest.raises(LimitExceededError, match="256 MiB"):
        confined(f"{HERE}run_out", limits=USUAL)


def test_spinner_is_ended_by_its_processor_time() -> None:
    with pytest.raises(LimitExceededError, match="more than 1 s of processor time"):
        confined(f"{HERE}spin", limits=Confinement(USUAL.memory_bytes, cpu_s=1, wall_s=60))


def test_sleeper_is_ended_by_the_clock() -> None:
    with pytest.raises(LimitExceededError, match=r"more than 0\.2 s,"):
        confined(f"{HERE}sleep", limits=Confinement(USUAL.memory_bytes, cpu_s=20, wall_s=0.2))
    assert confined(f"{HERE}add", 1, 1, limits=USUAL) == 2


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM])
def test_crash_is_the_files_fault_and_names_the_signal(number: signal.Signals) -> None:
    with pytest.raises(CorruptMediaError, match=f"decoder crash \\({number.name};.*256 MiB"):
        confined(f"{HERE}die", int(number), limits=USUAL)
    assert confined(f"{HERE}add", 1, 1, limits=USUAL) == 2


def test_process_that_the_system_kills_may_succeed_another_time() -> None:
    with pytest.raises(ResourceError, match="lack of memory"):
        confined(f"{HERE}die", int(signal.SIGKILL), limits=USUAL)


def test_error_of_ours_comes_back_as_it_was_raised() -> None:
    with pytest.raises(InvalidOptionError, match=r"^naïve – 図$"):
        confined(f"{HERE}refuse", "naïve – 図", limits=USUAL)


@pytest.mark.parametrize("name", ["stumble", "no_such_function"])
def test_mistake_of_ours_is_no_fault_of_the_file(name: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        confined(f"{HERE}{name}", limits=USUAL)
    assert not isinstance(caught.value, IrssError)
    assert confined(f"{HERE}add", 1, 1, limits=USUAL) == 2


def test_process_that_leaves_without_an_answer_was_made_to_by_the_file() -> None:
    with pytest.raises(CorruptMediaError, match="without an answer"):
        confined(f"{HERE}leave", limits=USUAL)


def test_answer_without_an_end_is_cut_off() -> None:
    with pytest.raises(LimitExceededError):
        confined(f"{HERE}say_much", limits=USUAL)


def test_nothing_that_is_printed_or_forged_is_taken_for_an_answer() -> None:
    assert confined(f"{HERE}environment", "HOME", limits=USUAL) == os.environ.get("HOME")
    with pytest.raises(CorruptMediaError, match="without an answer"):  # its own pipe is spoilt, and nobody else's
        confined(f"{HERE}chatter", limits=USUAL)
    assert confined(f"{HERE}add", 1, 1, limits=USUAL) == 2


def test_reader_writes_no_files_and_sees_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSS_SMTP_PASSWORD", "hunter2")
    with pytest.raises(RuntimeError, match="File too large"):
        confined(f"{HERE}write_a_file", str(tmp_path / "out"), limits=USUAL)
    assert confined(f"{HERE}environment", "IRSS_SMTP_PASSWORD", limits=USUAL) is None


def test_cancelling_ends_the_call_soon() -> None:
    token = CancelToken()
    timer = threading.Timer(0.3, token.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        confined(f"{HERE}sleep", limits=USUAL, cancel=token)
    assert time.monotonic() - started < 10
    assert confined(f"{HERE}add", 1, 1, limits=USUAL) == 2


def test_many_threads_get_each_its_own_answer() -> None:
    answers: dict[int, int] = {}

    def ask(number: int) -> None:
        answers[number] = confined(f"{HERE}add", number, 100, limits=USUAL)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {number: number + 100 for number in range(12)}


def test_process_that_was_killed_between_calls_is_started_again() -> None:
    os.kill(confined(f"{HERE}parent_id", limits=USUAL), signal.SIGKILL)
    time.sleep(0.05)
    assert confined(f"{HERE}add", 1, 1, limits=USUAL) == 2


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    """A plain script without a guard, beside a module that hides one of Python's."""
    (tmp_path / "re.py").write_text("raise ImportError('the wrong re')")
    path = tmp_path / "plain.py"
    path.write_text(
        textwrap.dedent("""
        import sys
        sys.path.pop(0)
        from irss_core.jobs.sandbox import Confinement, confined
        print("once", confined("operator:add", 1, 2, limits=Confinement(2**28, 20, 20.0)), flush=True)
        """)
    )
    return path


def test_plain_script_is_not_run_again_and_leaves_no_process_behind(script: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.stdout, done.stderr) == ("once 3\n", "")


def test_process_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from irss_core.jobs.sandbox import Confinement, confined\n"
        f"print(confined('{HERE}parent_id', limits=Confinement(2**28, 20, 20.0)), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=root)
    child = int(done.stdout)
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended; whoever inherited it may be slow to take note
