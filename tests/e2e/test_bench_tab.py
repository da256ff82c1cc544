"""The benchmark tab as its visitors use it: a set, a table that fills, a report to take home."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chromium import BROWSER_MARKS, ROOT
from tests.e2e.visitors import PATIENCE_MS, SMALL_MODEL, Visitor, picture

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS


def open_tab(visitor: Visitor, *models: str) -> Any:
    """Open the tab and choose exactly these models."""
    page = visitor.page
    visitor.tab("Benchmark")
    page.locator("#irss-bench-run").wait_for()
    for box in page.locator("#irss-bench-models input[type=checkbox]").all():
        box.set_checked(False)
    for model in models:
        page.locator("#irss-bench-models").get_by_label(model, exact=True).check()
    return page


def measure(page: Any) -> None:
    page.locator("#irss-bench-run").click()
    page.locator("#irss-bench-cancel").wait_for()
    page.get_by_role("link", name="Open the report").wait_for(timeout=PATIENCE_MS)
    page.locator("#irss-bench-run").wait_for()


def downloaded(page: Any, name: str, folder: Path) -> str:
    with page.expect_download() as caught:
        page.locator("#irss-bench-downloads").get_by_role("link", name=name).click()
    assert caught.value.suggested_filename == name
    caught.value.save_as(folder / name)
    return (folder / name).read_text(encoding="utf-8")


def test_the_built_in_set_is_measured_and_the_report_goes_home(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = open_tab(visitor, "Bicubic", "Lanczos")
    assert "Four photographs" in visitor.text("#irss-bench-opened")
    visitor.shot("bench-1280-light-before", full_page=False)

    measure(page)

    board = visitor.text("#irss-bench-board")
    assert all(words in board for words in ("built-in set", "PSNR-RGB", "tOF", "Consistency", "Seconds a frame"))
    rows = page.locator("table.irss-scores tbody tr")
    assert [row.locator("th").inner_text() for row in rows.all()] == ["Bicubic", "Lanczos"]
    psnr = [float(row.locator("td").first.inner_text()) for row in rows.all()]
    assert 20 < psnr[0] < psnr[1] < 40, "Lanczos is nearer than bicubic, both are about right"
    assert rows.nth(1).locator("td").first.locator("strong").count() == 1
    page.get_by_text("What to fetch, and where to put it").click()
    assert "squeezenet1_1" in visitor.text("#irss-bench-board")
    visitor.shot("bench-1280-light-after")

    report = downloaded(page, "report.html", tmp_path)
    assert "built-in set" in report
    results = json.loads(downloaded(page, "results.json", tmp_path))
    assert f"{results['averages']['lanczos']['over_clips']['psnr_rgb']:.2f}" == f"{psnr[1]:.2f}"
    assert downloaded(page, "results.csv", tmp_path).startswith("entry,sample,frame")
    assert "visitors" not in report + json.dumps(results), "a visitor's folder is a secret of theirs"

    with page.context.expect_page() as caught:
        page.get_by_role("link", name="Open the report").click()
    opened = Visitor(caught.value, visitor.url)
    opened.page.wait_for_load_state()
    opened.page.locator("table.scores:visible thead button").first.click()  # there only if its script runs
    assert opened.page.evaluate("window.origin") == "null", "it has nothing to do with the page it comes from"
    assert opened.faults == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.body.classList.contains('dark')")
    visitor.shot("bench-1280-dark-after")


def test_a_model_that_is_added_is_measured_beside_the_others(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = open_tab(visitor, "Bicubic")
    files = [picture(tmp_path / f"{name}.png", 64, 48, seed=seed) for seed, name in enumerate(("één", "b"))]
    page.locator("#irss-bench-files input[type=file]").set_input_files(files)
    page.get_by_text("2 stills, 64 x 48").wait_for()
    measure(page)
    page.locator("#irss-bench-models").get_by_label("Lanczos", exact=True).check()
    page.locator("#irss-bench-run").click()
    page.get_by_role("rowheader", name="Lanczos").wait_for(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Open the report").wait_for(timeout=PATIENCE_MS)
    assert "één" in downloaded(page, "results.csv", tmp_path)
    assert "2 uploaded files" in visitor.text("#irss-bench-board")

    visitor.choose("How it is measured (protocol)", "TecoGAN's metrics for clips")
    page.get_by_text("1 clip of 2 frames").wait_for()
    page.locator("#irss-bench-run").click()
    page.get_by_text("a clip needs at least 5").first.wait_for(timeout=PATIENCE_MS)


def test_long_work_is_asked_about_then_cancelled_and_what_was_measured_stays(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = open_tab(visitor, "Bicubic", "Real-ESRGAN x4plus")
    files = [picture(tmp_path / f"{index}.png", 384, 384, seed=index) for index in range(36)]
    page.locator("#irss-bench-files input[type=file]").set_input_files(files)
    page.get_by_text("36 stills").wait_for()
    page.locator("#irss-bench-run").click()
    page.get_by_text("This will take about").wait_for(timeout=PATIENCE_MS)
    page.locator("#irss-bench-anyway").click()
    page.get_by_text(re.compile(r"\d+%.* left")).wait_for(timeout=PATIENCE_MS)
    page.get_by_text(re.compile("So far, [1-9]")).wait_for(timeout=PATIENCE_MS)
    visitor.shot("bench-1280-light-running", full_page=False)

    page.locator("#irss-bench-cancel").click()
    page.get_by_text("Cancelled.").wait_for(timeout=PATIENCE_MS)

    assert re.search(r"So far, \d+ of 72 measured", visitor.text("#irss-bench-board"))
    assert page.locator("#irss-bench-run").is_visible()
    assert page.locator("#irss-bench-downloads a").count() == 0


def test_what_cannot_be_measured_gets_a_message_and_harms_nothing(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = open_tab(visitor)
    page.locator("#irss-bench-run").click()
    page.get_by_text("Choose at least one model").wait_for()
    page.locator("#irss-bench-models").get_by_label("Bicubic", exact=True).check()

    text = tmp_path / "<img src=x onerror=document.title='owned'>.txt"
    text.write_text("no picture")
    false = tmp_path / "false.png"
    false.write_text("no picture either")
    hostile = tmp_path / "hostile.zip"
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.write(picture(tmp_path / "x.png", 16, 16), "../../x.png")
    for path, words in ((text, "neither a picture nor a clip"), (false, "nothing to measure"), (hostile, "outside")):
        visitor.upload("irss-bench-files", path)
        page.locator("#irss-bench-opened [role=alert]", has_text=words).wait_for()
        page.locator("#irss-bench-run").click()
        page.locator("#irss-bench-status [role=alert]", has_text=words).wait_for(timeout=PATIENCE_MS)
        page.locator("#irss-bench-files").get_by_role("button", name="Clear").click()
        page.get_by_text("Four photographs").wait_for()
    assert "owned" not in page.title()


def test_a_visitors_own_checkpoint_stands_in_the_table(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    mine = tmp_path / "my-tecogan.safetensors"
    shutil.copyfile(ROOT / "vendor/tecogan/weights/tecogan-x4-v2.safetensors", mine)
    visitor.tab("Models")
    visitor.upload("irss-checkpoint-file", mine)
    visitor.page.get_by_text("Loaded: FRNet").wait_for(timeout=PATIENCE_MS)
    page = open_tab(visitor, SMALL_MODEL)
    page.get_by_label("my-tecogan (yours)").check()
    visitor.upload("irss-bench-files", picture(tmp_path / "small.png", 32, 32))
    page.get_by_text("1 still, 32 x 32").wait_for()
    measure(page)
    page.get_by_role("rowheader", name="my-tecogan").wait_for()
    page.get_by_role("button", name="What people preferred").click()
    page.locator("#irss-bench-votes").get_by_text("No votes yet").wait_for()


def test_the_tab_fits_a_phone_before_and_after(visit: Any) -> None:
    visitor = visit(width=390, height=844, theme="dark")
    page = open_tab(visitor, "Bicubic", "Lanczos")
    visitor.shot("bench-390-dark-before")
    widths = {"before": visitor.overflow()}
    page.get_by_text("What exactly this measures").click()
    widths["protocol"] = visitor.overflow()
    page.get_by_text("What exactly this measures").click()
    measure(page)
    page.wait_for_function(
        "() => { const y = document.querySelector('.irss-scores').getBoundingClientRect().y; return y > -2 && y < 422 }"
    )
    widths["after"] = visitor.overflow()
    visitor.shot("bench-390-dark-after")
    page.emulate_media(color_scheme="light")
    page.wait_for_function("!document.body.classList.contains('dark')")
    visitor.shot("bench-390-light-after")
    assert widths == dict.fromkeys(widths, 0)
