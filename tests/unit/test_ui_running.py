"""The line of work: order, places, progress, cancelling while waiting and while running."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from irss_core.errors import CancelledError, InputError, ResourceError
from irss_core.progress import CancelToken, ProgressMeter
from irss_core.ui.running import Board, Finished, InferenceLine, Running, Waiting

STEPS = ("one", "two")
PATIENCE_S = 10


@pytest.fixture
def line() -> Iterator[InferenceLine]:
    line = InferenceLine(capacity=3, interval_s=0.01)
    yield line
    line.close()


class Blocked:
    """Work that starts, says so, and goes on when it is let go or cancelled."""

    def __init__(self) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()

    def __call__(self, board: Board, cancel: CancelToken) -> str:
        self.started.set()
        while not self.go_on.wait(0.005):
            cancel.raise_if_cancelled()
        return "done"


async def until_started(work: Blocked) -> None:
    assert await asyncio.to_thread(work.started.wait, PATIENCE_S)


def test_what_is_there_of_a_result_is_seen_before_its_end() -> None:
    board = Board(STEPS)
    board.start()
    before = board.view()
    assert before is not None
    assert before.partial is None
    for partial in ("first", "second"):
        board.show(partial)
        view = board.view()
        assert view is not None
        assert view.partial == partial
    board.begin("two")
    after = board.view()
    assert after is not None
    assert after.partial == "second", "a new step does not take it away"


def test_the_result_comes_after_its_progress(line: InferenceLine) -> None:
    seen = threading.Event()

    def work(board: Board, cancel: CancelToken) -> int:
        board.begin("two")
        meter = ProgressMeter(4, "tiles", callback=board.report, cancel=cancel)
        meter.advance(3)
        assert seen.wait(PATIENCE_S)
        return 42

    async def follow() -> list[object]:
        states: list[object] = []
        async for state in line.run(work, steps=STEPS, cancel=CancelToken()):
            states.append(state)
            if isinstance(state, Running) and state.update and state.update.fraction == 0.75:
                seen.set()
        return states

    states = asyncio.run(follow())

    running = [state for state in states if isinstance(state, Running)][-1]
    assert running.steps[running.step] == "two"
    assert running.elapsed_s >= 0
    assert states[-1] == Finished(42)


def test_everybody_sees_their_place_and_the_order_is_kept(line: InferenceLine) -> None:
    first, order = Blocked(), []

    def second(board: Board, cancel: CancelToken) -> None:
        order.append("second")

    def third(board: Board, cancel: CancelToken) -> None:
        order.append("third")

    async def scene() -> list[object]:
        running = asyncio.create_task(line.result(first, steps=STEPS, cancel=CancelToken()))
        await until_started(first)
        middle = asyncio.create_task(line.result(second, steps=STEPS, cancel=CancelToken()))
        await asyncio.sleep(0.02)
        places = []
        async for state in line.run(third, steps=STEPS, cancel=CancelToken()):
            places.append(state)
            first.go_on.set()
        await asyncio.gather(running, middle)
        return places

    places = asyncio.run(scene())
    assert places[0] == Waiting(ahead=2)
    assert order == ["second", "third"]


def test_cancelling_in_the_line_leaves_it_without_starting(line: InferenceLine) -> None:
    first, token = Blocked(), CancelToken()
    ran = []

    async def scene() -> None:
        running = asyncio.create_task(line.result(first, steps=STEPS, cancel=CancelToken()))
        await until_started(first)
        waiting = asyncio.create_task(line.result(lambda *_: ran.append(1), steps=STEPS, cancel=token))
        await asyncio.sleep(0.03)
        token.cancel()
        with pytest.raises(CancelledError):
            await waiting
        assert not first.go_on.is_set()
        first.go_on.set()
        assert await running == "done"

    asyncio.run(scene())
    assert ran == []


def test_cancelling_while_it_runs_ends_it(line: InferenceLine) -> None:
    work, token = Blocked(), CancelToken()

    async def scene() -> None:
        running = asyncio.create_task(line.result(work, steps=STEPS, cancel=token))
        await until_started(work)
        token.cancel()
        with pytest.raises(CancelledError):
            await running

    asyncio.run(scene())


def test_a_visitor_who_goes_away_stops_the_work(line: InferenceLine) -> None:
    work, token = Blocked(), CancelToken()

    async def scene() -> None:
        async with aclosing(line.run(work, steps=STEPS, cancel=token)) as states:
            async for state in states:
                if isinstance(state, Running):
                    break
        assert token.cancelled
        assert await asyncio.wait_for(line.result(lambda *_: "next", steps=STEPS, cancel=CancelToken()), PATIENCE_S)

    asyncio.run(scene())


def test_a_full_line_says_so(line: InferenceLine) -> None:
    work = Blocked()

    async def scene() -> None:
        tasks = [asyncio.create_task(line.result(work, steps=STEPS, cancel=CancelToken())) for _ in range(3)]
        await until_started(work)
        with pytest.raises(ResourceError, match="3 pieces of work"):
            await line.result(work, steps=STEPS, cancel=CancelToken())
        work.go_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(scene())


def test_an_error_reaches_who_asked_and_the_line_goes_on(line: InferenceLine) -> None:
    def broken(board: Board, cancel: CancelToken) -> None:
        raise InputError("no such picture")

    async def scene() -> str:
        with pytest.raises(InputError, match="no such picture"):
            await line.result(broken, steps=STEPS, cancel=CancelToken())
        return await line.result(lambda *_: "fine", steps=STEPS, cancel=CancelToken())

    assert asyncio.run(scene()) == "fine"


def test_all_work_runs_on_one_thread(line: InferenceLine) -> None:
    async def scene() -> set[int]:
        idents = [await line.result(lambda *_: threading.get_ident(), steps=STEPS, cancel=CancelToken()) for _ in "123"]
        return set(idents)

    assert len(asyncio.run(scene())) == 1
