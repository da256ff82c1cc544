"""Fixtures of the browser tests: one app and one browser a module, and visitors of their own for each test."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chromium import CHROMIUM, FLAGS, ROOT
from tests.e2e.visitors import Server, Visitor, environment, free_port


@pytest.fixture(scope="module")
def server(weights_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port, temporary = free_port(), tmp_path_factory.mktemp("server")
    log = temporary / "server.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment(port, weights_cache, temporary),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 90
        while "IRSS is ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"not ready in time:\n{log.read_text()}"
            time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{port}", log, temporary / "data")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()
    assert "Traceback" not in log.read_text(), log.read_text()
    assert list(temporary.glob("irss-*")) == [], "a stopped server leaves no visitor's files"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(server: Server, browser: Any) -> Iterator[Any]:
    """A function that lets one more visitor arrive; at the end none of them may have seen a fault."""
    visitors: list[Visitor] = []

    def arrive(width: int = 1280, height: int = 900, theme: str = "light") -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        visitor = Visitor(context.new_page(), server.url)
        visitors.append(visitor)
        visitor.arrive()
        return visitor

    yield arrive
    for visitor in visitors:
        visitor.page.context.close()
    assert [fault for visitor in visitors for fault in visitor.faults] == []
