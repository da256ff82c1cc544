"""The pages of jobs and batches in a browser: they follow the work, at a desk and on a phone in the dark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from irss_core.api.streams import StreamLimit
from irss_core.jobs.identity import COOKIE
from irss_core.jobs.options import Stage
from tests.e2e.chromium import BROWSER_MARKS, SCREENSHOTS
from tests.e2e.visitors import Visitor, free_port
from tests.made_api import ADA, Site, made_site, png

pytestmark = BROWSER_MARKS
SIZES = {"desk": (1200, 900, "light"), "phone": (360, 720, "dark")}
PATIENCE_MS = 20_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The API on a real port, without a page at "/" and without workers: the tests do their work."""
    site = made_site(tmp_path, port=free_port())
    server = uvicorn.Server(uvicorn.Config(site.app, port=site.settings.port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield site
    server.should_exit = True
    thread.join()


@pytest.fixture
def visit(site: Site, browser: Any) -> Iterator[Any]:
    """A function that opens a page as somebody; at the end nobody may have seen a fault."""
    visitors: list[Visitor] = []

    def arrive(path: str, *, address: str | None = ADA, size: str = "desk") -> Any:
        width, height, theme = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        context.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # the page at "/" has one
        if address:
            context.add_cookies([{"name": COOKIE, "value": site.token(address), "url": site.settings.address}])
        visitor = Visitor(context.new_page(), site.settings.address)
        visitors.append(visitor)
        visitor.page.goto(f"{site.settings.address}{path}")
        return visitor.page

    yield arrive
    for visitor in visitors:
        visitor.page.context.close()
    assert [fault for visitor in visitors for fault in visitor.faults] == []


def test_a_page_follows_its_job_to_the_result(site: Site, visit: Any) -> None:
    job = site.submitted()[0]
    page = visit(f"/jobs/{job.id}")
    _sees(page, "Waiting for its turn.")
    site.at(job, Stage.UPSCALE, 0.42, remaining_s=180)
    _sees(page, "Enlarging: 42%, about 3 min left.")
    assert page.get_attribute("#progress", "value") == "0.42"
    assert page.inner_text("#steps .now") == "Enlarging"
    site.done(job, picture=png(64))
    _sees(page, "Finished, not yet mailed.")
    _is_shown(page, ".result img", width=64)
    with page.expect_download() as download:
        page.click("text=Download the result")
    assert download.value.suggested_filename == "picture 1_x4.png"


def test_a_page_whose_events_are_refused_asks_instead(site: Site, browser: Any) -> None:
    site.app.state.api = replace(site.app.state.api, streams=StreamLimit(of_one_client=0))
    job = site.submitted()[0]
    page = browser.new_page()  # the refusal is in its console, as it should be
    page.goto(f"{site.settings.address}/jobs/{job.id}")
    site.at(job, Stage.UPSCALE, 0.42)
    _sees(page, "Enlarging: 42%.")
    site.done(job)
    _sees(page, "Finished, not yet mailed.")
    page.close()


def test_a_batch_page_follows_its_files_and_offers_the_zip(site: Site, visit: Any) -> None:
    one, two = site.submitted(2)
    page = visit(f"/batches/{one.batch_id}")
    site.done(one)
    _sees(page, "1 of 2 files finished, 1 to go.")
    assert page.inner_text("#job-1 .summary") == "Finished, not yet mailed."
    _is_shown(page, "#job-1 img", width=100)
    assert page.locator("#job-1 a", has_text="Download").count() == 1
    site.failed(two)
    _sees(page, "1 of 2 files finished, 1 not delivered.")
    with page.expect_download() as download:
        page.click("text=Download all results (zip)")
    assert download.value.suggested_filename == "irss-results.zip"


def test_an_owner_cancels_and_deletes(site: Site, visit: Any) -> None:
    job, other = site.submitted(2)
    page = visit(f"/jobs/{job.id}")
    page.click("text=Cancel")
    _sees(page, "Cancelled.")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Delete now")
    page.wait_for_selector("text=The file and its result are gone.")
    page.click("text=The whole submission")
    assert page.inner_text("h1") == "1 file"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Cancel what is left")
    _sees(page, "0 of 1 file finished, 1 not delivered.")
    assert page.locator("tbody a").first.get_attribute("href") == f"/jobs/{other.id}"


def test_a_job_that_is_deleted_elsewhere_is_told(site: Site, browser: Any) -> None:
    job = site.submitted()[0]
    page = browser.new_page()
    page.goto(f"{site.settings.address}/jobs/{job.id}")
    site.service.cancel(job.id)
    _sees(page, "Cancelled.")
    site.service.delete(job.id)
    page.reload()
    assert page.inner_text("h1") == "There is nothing here"
    page.close()


@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_the_screen(site: Site, visit: Any, size: str) -> None:
    waiting, working, done, failed = site.submitted(4)
    site.at(working, Stage.UPSCALE, 0.42, remaining_s=180)
    site.done(done, picture=png(900))
    site.failed(failed, "x" * 300)
    paths = {
        name: f"/jobs/{job.id}"
        for name, job in zip(("working", "done", "failed"), (working, done, failed), strict=True)
    }
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name, path in {**paths, "batch": f"/batches/{waiting.batch_id}"}.items():
        page = visit(path, size=size)
        page.wait_for_load_state("networkidle") if name == "done" else page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        page.screenshot(path=SCREENSHOTS / f"job-page-{name}-{size}.png", full_page=True)


# Not wait_for_function: from its second look on it evaluates a string, which these pages' policy refuses.
def _sees(page: Any, words: str) -> None:
    from playwright.sync_api import expect  # not installed everywhere: the tests are skipped there

    expect(page.locator("#summary")).to_have_text(words, timeout=PATIENCE_MS)


def _is_shown(page: Any, picture: str, *, width: int) -> None:
    from playwright.sync_api import expect

    expect(page.locator(picture)).to_have_js_property("naturalWidth", width, timeout=PATIENCE_MS)
