"""The report in a real Chromium: alone with its file; on a desktop, a phone, paper; in the dark; without script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from irss_core.bench.report.page import write_report
from tests.e2e.chromium import BROWSER_MARKS, CHROMIUM, FLAGS, SCREENSHOTS
from tests.made_results import MAKERS, made_results

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS

DESKTOP, PHONE = (1280, 900), (390, 844)

# Pairs of labels of one drawing that lie on each other, and labels that stick out of their drawing.
CLASHES = """() => {
  const found = [];
  for (const drawing of document.querySelectorAll("svg[role=img]")) {
    const frame = drawing.getBoundingClientRect();
    const texts = [...drawing.querySelectorAll("text")];
    const places = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
    places.forEach(([text, a], index) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
        found.push(`${text} sticks out`);
      for (const [other, b] of places.slice(0, index))
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
          found.push(`${text} on ${other}`);
    });
  }
  return found;
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(made_results(folder), folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def crowded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten entries with long and foreign names, close to each other, one of which failed."""
    folder = tmp_path_factory.mktemp("crowded")
    names = (
        "<script>alert(1)</script>",
        "a$b$ 超解像モデル",
        "a-checkpoint-with-a-long-name_" * 4,
        "naïve & <b>",
        "x" * 90,
    )
    makers = [
        replace(
            maker,
            info=replace(maker.info, name=f"{maker.info.name}-{twin}", title=f"{title} {'again' * twin}"),
            seconds=(maker.seconds or 0.0032) * (1 + 0.01 * twin),
            psnr=maker.psnr + 0.02 * twin,
        )
        for twin in (0, 1)
        for maker, title in zip(MAKERS, names, strict=True)
    ]
    made = made_results(folder, makers=makers, stills=["a" * 120, "b"], clips=["c"])
    broken = replace(made.scores[0], frames=(), problem="The result is 10x10, the truth 384x288. " * 3, glimpses=())
    write_report(replace(made, scores=(broken, *made.scores[1:])), folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Reader:
    """Somebody with the report open; what they ask for beside the file, and what goes wrong, is written down."""

    def __init__(self, browser: Any, file: Path, size: tuple[int, int], **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._asked)
        self._address = file.as_uri()
        self.page.goto(self._address)

    def _asked(self, request: Any) -> None:
        if request.url != self._address and not request.url.startswith("data:"):
            self.troubles.append(f"asked for {request.url}")

    def column(self, index: int, *, average: str = "frames") -> list[str]:
        cells = self.page.locator(f".average[data-average={average}] tbody tr > :nth-child({index + 1})")
        return [text.strip() for text in cells.all_inner_texts()]

    def open_everything(self) -> None:
        self.page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")


@pytest.fixture
def read(browser: Any) -> Iterator[Any]:
    readers: list[Reader] = []

    def start(file: Path, size: tuple[int, int] = DESKTOP, **options: Any) -> Reader:
        readers.append(Reader(browser, file, size, **options))
        return readers[-1]

    yield start
    for reader in readers:
        reader.context.close()
        assert reader.troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_fits_its_width_and_asks_for_nothing(read: Any, file: Path, size: tuple[int, int], scheme: str) -> None:
    reader = read(file, size, color_scheme=scheme)
    assert reader.page.evaluate(OVERFLOW) == 0
    broken = "() => [...document.images].filter((i) => i.closest('main') && !i.naturalWidth).length"
    assert reader.page.evaluate(broken) == 0
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    reader.page.screenshot(path=SCREENSHOTS / f"report-{size[0]}-{scheme}.png", full_page=True)
    reader.open_everything()
    assert reader.page.evaluate(OVERFLOW) == 0
    assert reader.page.evaluate(CLASHES) == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_ten_entries_with_impossible_names_still_fit(read: Any, crowded_file: Path, size: tuple[int, int]) -> None:
    reader = read(crowded_file, size)
    reader.open_everything()
    assert reader.page.evaluate(OVERFLOW) == 0
    assert reader.page.evaluate(CLASHES) == []
    reader.page.screenshot(path=SCREENSHOTS / f"report-crowded-{size[0]}.png", full_page=True)


def test_averages_are_switched(read: Any, file: Path) -> None:
    page = read(file).page
    frames, clips = (page.locator(f".average[data-average={name}]") for name in ("frames", "clips"))
    assert (frames.is_visible(), clips.is_visible()) == (True, False)
    page.get_by_label("clips", exact=True).check()
    assert (frames.is_visible(), clips.is_visible()) == (False, True)
    page.keyboard.press("ArrowLeft")
    assert (frames.is_visible(), clips.is_visible()) == (True, False)


def test_columns_are_sorted_best_first_then_worst_first_then_as_run(read: Any, file: Path) -> None:
    reader = read(file)
    page, names = reader.page, reader.column(0)
    psnr = page.locator(".average[data-average=frames] thead th").nth(1)
    for order, reverse in (("descending", True), ("ascending", False)):
        psnr.get_by_role("button").click()
        assert psnr.get_attribute("aria-sort") == order
        values = [float(text) for text in reader.column(1)]
        assert values == sorted(values, reverse=reverse)
    psnr.get_by_role("button").click()
    assert psnr.get_attribute("aria-sort") is None
    assert reader.column(0) == names


def test_entries_without_a_value_stay_last(read: Any, file: Path) -> None:
    reader = read(file)
    seconds = reader.page.locator(".average[data-average=frames] thead th", has_text="Seconds").get_by_role("button")
    for fastest_first in (True, False):
        seconds.focus()
        reader.page.keyboard.press("Enter")
        *known, last = reader.column(7)
        assert last == "–"
        assert [float(text) for text in known] == sorted(map(float, known), reverse=not fastest_first)


def test_names_are_sorted_as_words(read: Any, file: Path) -> None:
    reader = read(file)
    reader.page.locator(".average[data-average=frames] thead th").first.get_by_role("button").click()
    assert reader.column(0) == sorted(reader.column(0), key=str.lower)


def test_pictures_are_enlarged_and_flipped_in_place(read: Any, file: Path) -> None:
    page = read(file).page
    row = page.locator("#crops .pictures").first
    row.get_by_role("button").nth(1).click()
    dialog, large = page.locator("#zoom"), page.locator("#zoom img")
    assert "Bicubic on baby, frame 0 (2 of 7)" in dialog.inner_text()
    place = large.bounding_box()
    page.keyboard.press("ArrowRight")
    assert "Lanczos on baby" in dialog.inner_text()
    page.get_by_role("button", name="Previous").click()
    page.get_by_role("button", name="Previous").click()
    assert "Input of baby" in dialog.inner_text()
    assert large.bounding_box() == pytest.approx(place, abs=1)
    assert large.evaluate("(image) => image.width % image.naturalWidth") == 0
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_drawings_follow_light_and_dark(read: Any, file: Path) -> None:
    color = "() => getComputedStyle(document.querySelector('#samples svg text')).fill"
    light, dark = (read(file, color_scheme=scheme).page.evaluate(color) for scheme in ("light", "dark"))
    assert (light, dark) == ("rgb(29, 33, 38)", "rgb(232, 234, 237)")


def test_everything_is_there_without_script(read: Any, file: Path) -> None:
    page = read(file, java_script_enabled=False).page
    assert page.locator(".average[data-average=frames]").is_visible()
    assert page.locator(".average[data-average=clips]").is_visible()
    assert not page.locator("#averages").is_visible()
    assert not page.locator("#zoom").is_visible()


def test_paper_has_both_averages_in_light_colours(read: Any, file: Path) -> None:
    page = read(file, (690, 1000), color_scheme="dark").page  # A4 between its margins
    page.emulate_media(media="print")
    assert page.evaluate(OVERFLOW) == 0
    wide = (
        "() => [...document.querySelectorAll('main .scroll')].filter((box) => box.scrollWidth > box.clientWidth).length"
    )
    assert page.evaluate(wide) == 0
    assert page.locator(".average[data-average=clips]").is_visible()
    assert not page.locator("nav").is_visible()
    assert page.evaluate("() => getComputedStyle(document.querySelector('h1')).color") == "rgb(29, 33, 38)"
