"""The app as a server process, and a person before it: what the browser tests of the whole page work with."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.e2e.chromium import SCREENSHOTS

PATIENCE_MS = 120_000  # for anything that computes: a busy machine may be many times slower than an idle one
SMALL_MODEL = "Real-ESRGAN anime video v3 x4"
# Forecasts above this are asked about; low, so that the cancelled run of a test is long but its picture small.
LARGE_WORK_S = 12


@dataclass(frozen=True)
class Server:
    """A running app."""

    url: str
    log: Path
    data_dir: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(port: int, cache_dir: Path, temporary: Path) -> dict[str, str]:
    ours = {
        "PORT": str(port),
        "IRSS_CACHE_DIR": str(cache_dir),
        "IRSS_DATA_DIR": str(temporary / "data"),
        "IRSS_OFFLINE": "1",
        "IRSS_DEVICE": "cpu",  # what is slow here must be slow everywhere
        "IRSS_LARGE_WORK_SECONDS": str(LARGE_WORK_S),
        "TMPDIR": str(temporary),
    }
    foreign = ("IRSS_", "SPACE_", "GRADIO_")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(foreign)}, **ours}


@dataclass
class Visitor:
    """One person's browser window on the app, and everything in it that should not have happened."""

    page: Any
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        self.page.on("console", self._logged)
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _logged(self, line: Any) -> None:
        # gradio's own event source warns of this at every upload; it is about closing a stream that is closed already.
        if line.type in ("error", "warning") and line.text != "Method not implemented.":
            self.faults.append(f"console: {line.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"request to another host: {request.url}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} from {response.url}")

    def arrive(self) -> None:
        self.page.goto(self.url)
        self.page.locator("irss-region").wait_for()

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def upload(self, box: str, path: Path) -> None:
        self.page.locator(f"#{box} input[type=file]").set_input_files(path)

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_role("combobox", name=label).locator("visible=true").click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.page.get_by_role("option").first.wait_for(state="detached")

    def shot(self, name: str, *, full_page: bool = True) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def sources(self) -> dict[str, str]:
        """The addresses of the pictures in the viewer, by their ids."""
        listed = self.page.locator("irss-compare").evaluate("viewer => JSON.parse(viewer.dataset.sources)")
        return {source["id"]: f"{self.url}/{source['src']}" for source in listed}


def picture(path: Path, width: int, height: int, *, seed: int = 0) -> Path:
    """A picture with soft shapes and some grain."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(height // 8, 1), max(width // 8, 1), 3), dtype=np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path
