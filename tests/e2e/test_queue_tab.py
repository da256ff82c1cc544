"""The queue tab as its visitors use it: an address, a code from the outbox, files in, a real worker, results out."""

from __future__ import annotations

import re
import zipfile
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from irss_core.sr.catalog import MODELS
from tests.e2e.chromium import BROWSER_MARKS
from tests.e2e.visitors import PATIENCE_MS, Visitor, picture

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS


def open_tab(visitor: Visitor) -> Any:
    visitor.tab("Queue")
    visitor.page.locator("#irss-queue-submit").wait_for()
    return visitor.page


def code_in_outbox(page: Any, address: str) -> str:
    """The code in the newest letter to that address, which the page shows."""
    letter = page.locator(".irss-outbox details", has_text=f"to {address}").first
    letter.wait_for()
    return re.search(r"\d{6}", letter.locator("summary").inner_text())[0]  # type: ignore[index]


def ask_for_code(page: Any, address: str) -> str:
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_label("The 6 digits from the mail").wait_for()
    return code_in_outbox(page, address)


def confirm(page: Any, code: str) -> None:
    page.get_by_label("The 6 digits from the mail").fill(code)
    page.keyboard.press("Enter")
    page.get_by_text("Mails go to").wait_for()


def sign_in(page: Any, address: str) -> None:
    confirm(page, ask_for_code(page, address))


def come_back(visitor: Visitor) -> Visitor:
    """The same browser in a new window, with what it remembers."""
    again = Visitor(visitor.page.context.new_page(), visitor.url, visitor.faults)
    again.arrive()
    return again


def give_files(page: Any, *paths: Path) -> None:
    page.locator("#irss-queue-files input[type=file]").set_input_files(list(paths))
    page.locator(".irss-forecast").wait_for()


def rows(page: Any) -> list[str]:
    return [row.inner_text() for row in page.locator(".irss-job").all()]


def downloaded(page: Any, link: str, folder: Path) -> Path:
    with page.expect_download() as caught:
        page.locator("#irss-queue-jobs").get_by_role("link", name=link).click()
    path = folder / str(caught.value.suggested_filename)
    caught.value.save_as(path)
    return path


def test_three_pictures_from_an_address_to_their_results_at_home(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = open_tab(visitor)
    visitor.shot("queue-1280-light-before")
    sizes = {"een.png": (40, 30), "twee.png": (50, 20), "drie.png": (24, 36)}
    give_files(page, *[picture(tmp_path / name, *size) for name, size in sizes.items()])
    assert "3 files" in visitor.text("#irss-queue-forecast")
    visitor.choose("Model", "Bicubic")

    page.locator("#irss-queue-submit").click()
    page.locator("#irss-queue-status [role=alert]", has_text="Give an e-mail address first").wait_for()
    assert page.locator("#irss-queue-files").get_by_text("twee").count(), "the files are still there"
    code = ask_for_code(page, "ana@example.org")
    visitor.shot("queue-1280-light-code")
    confirm(page, code)
    page.locator("#irss-queue-submit").click()
    page.get_by_text("Handed in: 3 files are on the way, and one mail goes to ana@example.org").wait_for()
    page.get_by_text("3 files").first.wait_for()
    assert page.locator("#irss-queue-files input[type=file]").count() == 1, "the box is free for the next files"

    page.locator("#irss-queue-jobs").get_by_text("3 of 3 done").wait_for(timeout=PATIENCE_MS)
    sync_api.expect(page.get_by_text("3 · delivered")).to_have_count(3, timeout=PATIENCE_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(5_000)
    assert [url for url in asked if "/gradio_api/" in url] == [], "nothing moves any more, so nothing is asked for"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.irss-thumbnail')].filter(each => each.naturalWidth === 100).length === 3"
    )
    for name, (width, height) in sizes.items():
        with Image.open(downloaded(page, f"Download: {name}", tmp_path)) as result:
            assert result.size == (4 * width, 4 * height)
    with zipfile.ZipFile(downloaded(page, "Download all as zip", tmp_path)) as archive:
        assert {name for name in archive.namelist() if name.endswith(".png")} == {
            name.replace(".png", "_x4.png") for name in sizes
        }
    letter = page.locator(".irss-outbox details", has_text="3 of 3 files").first
    letter.wait_for(timeout=PATIENCE_MS)
    page.frame_locator(".irss-outbox iframe >> nth=0").get_by_text("twee.png").wait_for()
    link = letter.get_by_role("link", name="as a file")
    file = httpx.get(f"{visitor.url}/{link.get_attribute('href')}").raise_for_status().content
    parsed = BytesParser(policy=policy.default).parsebytes(file)
    assert parsed["To"] == "ana@example.org"
    visitor.shot("queue-1280-light-done")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.body.classList.contains('dark')")
    visitor.shot("queue-1280-dark-done")

    page = open_tab(come_back(visitor))
    page.get_by_text("Mails go to ana@example.org").wait_for()
    sync_api.expect(page.locator(".irss-job")).to_have_count(3)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open page: een.png").click()
    job_page = Visitor(opened.value, visitor.url)
    job_page.page.get_by_text("een.png").first.wait_for()
    assert job_page.faults == []

    stranger = visit()
    open_tab(stranger)
    stranger.page.get_by_text("Hand it in, close the page, get a mail").wait_for()
    assert rows(stranger.page) == []
    sign_in(stranger.page, "eve@example.org")
    stranger.page.get_by_text("Nothing handed in yet").wait_for()
    assert rows(stranger.page) == []


def test_a_wrong_address_and_a_wrong_code_are_told_where_they_stand(visit: Any) -> None:
    visitor = visit()
    page = open_tab(visitor)
    page.get_by_label("E-mail address").fill("nobody")
    page.get_by_role("button", name="Send me a code").click()
    page.locator("#irss-queue-address [role=alert]", has_text="cannot be used").wait_for()
    assert page.get_by_label("E-mail address").input_value() == "nobody"
    code = ask_for_code(page, "bert@example.org")
    field = page.get_by_label("The 6 digits from the mail")
    sync_api.expect(field).to_be_focused()
    assert (field.get_attribute("inputmode"), field.get_attribute("autocomplete")) == ("numeric", "one-time-code")
    field.fill(f"{(int(code) + 1) % 10**6:06d}")
    page.get_by_role("button", name="Confirm").click()
    page.locator("#irss-queue-address [role=alert]", has_text="4 tries are left").wait_for()
    field.fill(code)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("Mails go to bert@example.org").wait_for()

    page.get_by_role("button", name="Not you?").click()
    page.get_by_label("E-mail address").wait_for()
    page = open_tab(come_back(visitor))
    page.get_by_label("E-mail address").wait_for()
    assert page.get_by_text("Mails go to").count() == 0, "the browser has forgotten"


def test_long_work_is_cancelled_and_deleted_after_a_question(visit: Any, tmp_path: Path) -> None:
    visitor = visit(theme="dark")
    page = open_tab(visitor)
    sign_in(page, "carla@example.org")
    give_files(page, picture(tmp_path / "large.png", 640, 512))
    page.locator("#irss-queue-submit").click()
    page.get_by_text(re.compile(r"Enlarging \(step 3 of 6\)")).wait_for(timeout=PATIENCE_MS)
    visitor.shot("queue-1280-dark-running")
    page.get_by_role("button", name="Cancel: large.png").click()
    page.get_by_text("4 · not delivered").wait_for(timeout=PATIENCE_MS)
    assert "Cancelled." in rows(page)[0]

    page.get_by_role("button", name="Delete: large.png").press("Enter")
    sync_api.expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.get_by_role("button", name="Keep it").press("Enter")
    sync_api.expect(page.get_by_role("button", name="Delete: large.png")).to_be_focused()
    page.get_by_role("button", name="Delete: large.png").click()
    page.get_by_role("button", name="Delete now").click()
    page.get_by_text("Nothing handed in yet").wait_for()


def test_large_work_of_the_image_tab_goes_to_the_queue_with_one_click(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.upload("irss-image-file", picture(tmp_path / "groot.png", 640, 512))
    page.get_by_text("640 x 512").first.wait_for()
    page.locator("#irss-image-whole").click()
    page.get_by_text("This will take about").wait_for(timeout=PATIENCE_MS)
    visitor.shot("queue-image-1280-light-question", full_page=False)
    page.locator("#irss-image-queue").click()

    page.get_by_text("From the Image tab: groot.png").wait_for()
    assert page.get_by_role("tab", name="Queue", exact=True).get_attribute("aria-selected") == "true"
    page.locator(".irss-forecast", has_text="1 file").wait_for()
    for label, title in (("Model", "Real-ESRGAN x4plus"), ("Also with", MODELS["tecogan-x4"].title)):
        chosen = page.get_by_role("combobox", name=label, exact=True).locator("visible=true")
        sync_api.expect(chosen).to_have_value(title)
    visitor.shot("queue-1280-light-handed-over")


def test_what_is_no_picture_stays_behind_with_the_reason(visit: Any, tmp_path: Path) -> None:
    visitor = visit(width=390, height=844, theme="dark")
    page = open_tab(visitor)
    widths = {"before": visitor.overflow()}
    visitor.shot("queue-390-dark-before")
    sign_in(page, "dirk@example.org")
    visitor.choose("Model", "Bicubic")
    text = tmp_path / "<img src=x onerror=document.title='owned'>.txt"
    text.write_text("no picture")
    cut = picture(tmp_path / "cut.png", 64, 64)
    cut.write_bytes(cut.read_bytes()[:200])
    give_files(page, picture(tmp_path / "goed.png", 30, 30), cut, text)
    page.locator("#irss-queue-problems [role=alert]", has_text="neither a picture").wait_for()
    widths["files"] = visitor.overflow()
    page.locator("#irss-queue-submit").click()
    page.get_by_text("1 file was not handed in").wait_for()
    page.get_by_text("1 of 2 done, 1 not delivered").wait_for(timeout=PATIENCE_MS)
    assert "it ends after 200 bytes" in visitor.text("#irss-queue-jobs")
    assert "img src" in visitor.text("#irss-queue-files"), "what was left out is still there"
    page.get_by_role("button", name="Optional steps").click()
    page.get_by_label("Greyscale").wait_for()
    widths["after"] = visitor.overflow()
    visitor.shot("queue-390-dark-after")
    page.emulate_media(color_scheme="light")
    page.wait_for_function("!document.body.classList.contains('dark')")
    visitor.shot("queue-390-light-after")
    assert widths == dict.fromkeys(widths, 0)
    assert "owned" not in page.title()
