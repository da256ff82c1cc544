"""web/ in a real Chromium before a stand-in for the API: every branch, and everything that can go wrong."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from irss_core.jobs.job import JobStatus
from irss_core.jobs.options import Stage
from irss_core.media.video import ClipWriter
from tests.e2e.chromium import BROWSER_MARKS
from tests.e2e.stand_in_api import CODE, OWNER, TOKEN, StandIn, made, serving
from tests.e2e.visitors import PATIENCE_MS, Server, picture
from tests.e2e.web_guest import Guest, newest_code

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS

DESKTOP, PHONE = (1280, 900), (360, 740)
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture and what is made of it, by role."""
    folder = tmp_path_factory.mktemp("pictures")
    small = picture(folder / "cat.png", 120, 80)
    made_of_it = Image.open(small).resize((480, 320), Image.Resampling.BICUBIC)
    made_of_it.save(folder / "cat_x4.png")
    for role in ("thumbnail", "preview"):
        made_of_it.resize((100, 100)).save(folder / f"{role}.png")
    return {
        "original": small,
        "result": folder / "cat_x4.png",
        "thumbnail": folder / "thumbnail.png",
        "preview": folder / "preview.png",
    }


@pytest.fixture
def api(tmp_path: Path, pictures: dict[str, Path]) -> Iterator[StandIn]:
    with serving(StandIn(tmp_path, files=dict(pictures))) as stand_in:
        yield stand_in


@pytest.fixture
def guest(browser: Any, api: StandIn) -> Iterator[Callable[..., Guest]]:
    """A function that lets one more guest come; at the end none of them may have seen a fault of the page."""
    guests: list[Guest] = []

    def come(size: tuple[int, int] = DESKTOP, **options: Any) -> Guest:
        guests.append(Guest(browser, api.address, size, **options))
        return guests[-1]

    yield come
    for each in guests:
        each.context.close()
    assert [fault for each in guests for fault in each.faults] == []


# --- signing in ---


def test_first_visitor_signs_in_with_the_code_from_the_mail(guest: Any, api: StandIn) -> None:
    one = guest().arrive()
    one.page.get_by_label("E-mail address").fill(OWNER.address)
    one.press("Send me a code")
    one.sees(f"A code is on its way to {OWNER.address}")
    one.expect(one.page.get_by_label("The 6 digits")).to_be_focused()
    one.page.get_by_label("The 6 digits").fill("000000")
    one.press("Confirm")
    one.sees("4 tries are left")
    one.page.get_by_label("The 6 digits").fill(f" {CODE[:3]} {CODE[3:]}".replace(" ", ""))
    one.press("Confirm")
    one.sees(f"The mail goes to {OWNER.address}")
    one.sees_not("4 tries are left")
    one.page.reload()
    one.sees(f"The mail goes to {OWNER.address}")
    assert one.page.evaluate("localStorage.getItem('irss.token')") is None, "the cookie is enough"


def test_code_can_be_given_after_a_reload(guest: Any) -> None:
    one = guest().arrive()
    one.page.get_by_label("E-mail address").fill(OWNER.address)
    one.press("Send me a code")
    one.page.get_by_label("The 6 digits").wait_for()
    one.page.reload()
    one.page.get_by_label("The 6 digits").fill(CODE)
    one.press("Confirm")
    one.sees(f"The mail goes to {OWNER.address}")


def test_too_many_codes_are_told_with_a_countdown(guest: Any, api: StandIn) -> None:
    api.fail("POST", "/verify", 429, title="Rate limited", detail="3 codes were mailed.", retry_after=3700)
    one = guest().arrive()
    one.page.get_by_label("E-mail address").fill(OWNER.address)
    one.press("Send me a code")
    one.sees("3 codes were mailed.")
    one.sees(re.compile(r"You can try again in 1:01:[34]\d"))
    one.page.clock.fast_forward(60_000)
    one.sees(re.compile(r"You can try again in 1:00:[34]\d"))


def test_browser_itself_refuses_what_is_no_address(guest: Any, api: StandIn) -> None:
    one = guest().arrive()
    one.page.get_by_label("E-mail address").fill("ada")
    one.press("Send me a code")
    assert one.page.locator("#address").evaluate("field => field.matches(':invalid:focus')")
    assert api.count("POST", "/verify") == 0


def test_signing_out_leaves_nothing_behind(guest: Any, api: StandIn) -> None:
    api.submit(["cat.png"])
    one = guest().arrive()
    one.sign_in()
    one.sees("cat.png")
    one.press("Sign out")
    one.page.get_by_label("E-mail address").wait_for()
    one.sees_not("cat.png")
    assert one.page.evaluate("Object.values(localStorage).join()").strip("nul,[]") == ""


def test_session_that_ends_in_between_is_asked_for_and_the_work_goes_on(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    one = guest().arrive()
    one.choose(pictures["original"])
    one.press("Start")
    one.sees("Please confirm your address.")
    one.expect(one.page.get_by_label("E-mail address")).to_be_focused()
    one.sign_in()
    one.sees("Waiting for its turn.")


# --- uploads ---


def test_files_are_sent_whole_with_options_and_names(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    one = guest().known().arrive()
    one.page.get_by_role("combobox", name="Model").select_option("bicubic")
    one.page.get_by_label("Times larger").select_option("2")
    one.page.get_by_label("File format").select_option("webp")
    one.page.get_by_text("More options").click()
    one.page.get_by_label("At most, in kB").fill("300")
    one.page.get_by_label("Greyscale").check()
    one.submit(pictures["original"], pictures["result"])
    (submission,) = (each for each in api.asked if each.path == "/process-file")
    assert submission.body["options"] == {
        "preset": "upscale",
        "model": "bicubic",
        "outscale": 2,
        "format": "webp",
        "max_bytes": 300_000,
        "greyscale": True,
    }
    stored = [api.uploads[each] for each in submission.body["uploads"]]
    assert [each["name"] for each in stored] == ["cat.png", "cat_x4.png"]
    assert [each["stored"] for each in stored] == [pictures[role].read_bytes() for role in ("original", "result")]
    assert stored[0]["content_type"] == "image/png"
    one.expect(one.page.locator("#files li")).to_have_count(0)
    one.hears("2 files handed in")


def test_task_decides_which_options_there_are(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    one = guest().known().arrive()
    task, width = one.page.get_by_label("Task"), one.page.get_by_label("Width, in pixels")
    one.expect(width).to_be_hidden()
    task.select_option("resize+thumbnail")
    one.expect(width).to_be_visible()
    one.expect(one.page.get_by_role("combobox", name="Model")).to_be_hidden()
    width.fill("20000")
    one.choose(pictures["original"])
    one.press("Start")
    assert width.evaluate("field => field.matches(':invalid:focus')")
    assert api.count("POST", "/uploads") == 0
    width.fill("64")
    one.press("Start")
    one.page.locator(".card").wait_for()
    assert api.of("cat.png").options.to_dict()["width"] == 64
    task.select_option("filters")
    one.expect(one.page.get_by_label("Sharpen, 0 to 3")).to_be_visible()


def test_slow_upload_shows_how_far_it_is_and_can_be_cancelled_and_retried(
    guest: Any, api: StandIn, tmp_path: Path
) -> None:
    for name in ("large.png", "larger.png"):
        (tmp_path / name).write_bytes(b"x" * 12_000_000)
    api.gate.clear()
    one = guest().known().arrive()
    one.choose(tmp_path / "large.png", tmp_path / "larger.png")
    one.press("Start")
    one.page.wait_for_function("() => document.querySelector('#whole-bar').value > 0")
    bar = one.page.get_by_label("large.png, sent", exact=True)
    assert 0 < bar.evaluate("bar => bar.value / bar.max") < 1
    one.sees("0 of 2 files sent")
    leaving = "() => window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert one.page.evaluate(leaving) is False, "who leaves now is asked first"
    one.shot("sending")
    one.press("Cancel large.png")
    one.expect(one.page.get_by_role("button", name="Retry large.png")).to_be_focused()
    one.sees("0 of 1 file sent")
    one.press("Retry large.png")
    one.sees("0 of 2 files sent")
    api.gate.set()
    one.page.locator(".card").wait_for()
    assert len(api.of("large.png").id) == 64
    assert [len(each["stored"]) for each in api.uploads.values() if "stored" in each] == [12_000_000] * 2


def test_cancel_all_stops_everything_and_start_begins_anew(guest: Any, api: StandIn, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        path.write_bytes(b"x" * 6_000_000)
    api.gate.clear()
    one = guest().known().arrive()
    one.choose(*paths)
    one.press("Start")
    one.page.wait_for_function("() => document.querySelector('#whole-bar').value > 0")
    one.press("Cancel all")
    one.expect(one.page.locator("#files li")).to_have_text([re.compile("cancelled")] * 4)
    api.gate.set()
    one.press("Start")
    one.page.locator(".card").wait_for()
    assert api.count("POST", "/process-file") == 1
    assert len(api.jobs) == 4


def test_file_that_is_refused_says_why_and_the_others_go_on_without_it(
    guest: Any, api: StandIn, pictures: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty.png").write_text("")
    api.fail("POST", "/uploads", 415, title="Unsupported format", detail="notes.txt is neither a picture, nor a clip.")
    one = guest().known().arrive()
    one.choose(tmp_path / "notes.txt", tmp_path / "empty.png", pictures["original"])
    one.press("Start")
    one.sees("Unsupported format. notes.txt is neither a picture, nor a clip.")
    one.sees("The file is empty.")
    one.sees("2 files could not be sent. Nothing is started yet.")
    one.shot("refused")
    assert api.count("POST", "/process-file") == 0
    one.press("Remove empty.png")
    one.sees("1 file could not be sent.")
    one.press("Go on without")
    one.page.locator(".card").wait_for()
    assert [job.name for job in api.jobs.values()] == ["cat.png"]


def test_upload_goes_on_after_a_pause_that_the_server_asks_for(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    api.fail("POST", "/uploads", 429, title="Rate limited", detail="Too many.", retry_after=600)
    one = guest().known().arrive()
    one.choose(pictures["original"])
    one.press("Start")
    one.sees(re.compile(r"It goes on by itself in (9:5\d|10:00)"))
    one.page.clock.fast_forward(600_000)
    one.page.locator(".card").wait_for()


def test_store_that_breaks_is_tried_again_with_a_new_form(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    api.fail("POST", "/objects", 503, title="Store unavailable", times=2)
    one = guest().known().arrive()
    one.submit(pictures["original"])
    assert api.count("POST", "/uploads") == 3


def test_upload_that_never_gets_through_gives_up_and_can_be_retried(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    one = guest().known().arrive()
    one.page.route("**/objects", lambda route: route.abort())
    one.choose(pictures["original"])
    one.press("Start")
    for _ in range(4):
        one.page.wait_for_timeout(50)
        one.page.clock.run_for(16_000)
    one.sees("The file did not get through.")
    one.page.unroute("**/objects")
    one.press("Retry cat.png")
    one.page.locator(".card").wait_for()


def test_files_are_dropped_and_removed(guest: Any) -> None:
    one = guest().known().arrive()
    drop = """() => {
      const data = new DataTransfer();
      for (const name of ["<img src=x onerror=alert(1)>.png", "b.png"]) data.items.add(new File(["x"], name));
      for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    one.page.evaluate(drop)
    one.sees("<img src=x onerror=alert(1)>.png")
    assert one.page.locator("#files img").count() == 0
    one.press("Remove b.png")
    one.expect(one.page.locator("#files li")).to_have_count(1)
    one.expect(one.page.get_by_role("button", name="Remove <img")).to_be_focused()


def test_start_without_files_asks_for_some(guest: Any) -> None:
    one = guest().known().arrive()
    one.press("Start")
    one.sees("There are no files yet.")
    one.expect(one.page.locator("#choose")).to_be_focused()


# --- handing over ---


def test_submission_waits_as_asked_and_is_one_however_often_it_is_sent(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    api.fail("POST", "/process-file", 429, title="Rate limited", detail="10 submissions an hour.", retry_after=2400)
    one = guest().known().arrive()
    one.choose(pictures["original"])
    one.press("Start")
    one.sees("10 submissions an hour.")
    one.sees(re.compile(r"It goes on by itself in (39:5\d|40:00)"))
    one.page.reload()
    one.sees("Waiting for its turn.")
    keys = {each.headers["idempotency-key"] for each in api.asked if each.path == "/process-file"}
    assert (len(keys), api.count("POST", "/process-file"), len(api.jobs)) == (1, 2, 1)


def test_waiting_for_the_server_can_be_cancelled_and_nothing_is_sent_twice(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    api.fail("POST", "/process-file", 429, title="Rate limited", detail="10 submissions an hour.", retry_after=2400)
    one = guest().known().arrive()
    one.choose(pictures["original"])
    one.press("Start")
    one.sees("10 submissions an hour.")
    one.press("Cancel all")
    one.sees_not("10 submissions an hour.")
    one.expect(one.page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    assert one.page.evaluate("localStorage.getItem('irss.pending')") == "null"
    one.press("Start")
    one.page.locator(".card").wait_for()
    assert api.count("POST", "/uploads") == 1


def test_lost_answer_makes_no_second_submission(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    one = guest().known().arrive()
    lose: list[Any] = []

    def lost(route: Any) -> None:
        if lose:
            route.fallback()
        else:
            lose.append(route.fetch())  # it arrives, its answer does not
            route.abort()

    one.page.route("**/process-file", lost)
    one.choose(pictures["original"])
    one.press("Start")
    one.sees("The server does not answer.")
    one.press("Try now")
    one.page.locator(".card").wait_for()
    assert (api.count("POST", "/process-file"), len(api.jobs)) == (2, 1)
    one.expect(one.page.locator("#net")).to_be_hidden()


def test_refused_submission_says_why_and_can_be_changed(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    api.fail("POST", "/process-file", 422, title="Invalid option", detail="max_bytes is 2000, but png cannot.")
    one = guest().known().arrive()
    one.choose(pictures["original"])
    one.press("Start")
    one.sees("max_bytes is 2000, but png cannot.")
    one.page.get_by_label("File format").select_option("jpeg")
    one.press("Start")
    one.page.locator(".card").wait_for()
    assert api.count("POST", "/uploads") == 1, "the file is there already"
    keys = {each.headers["idempotency-key"] for each in api.asked if each.path == "/process-file"}
    assert len(keys) == 2, "it is another submission now"


def test_files_that_the_server_lost_are_sent_anew(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    api.fail("POST", "/process-file", 404, title="Not found", detail="There is no upload of that id for you.")
    one = guest().known().arrive()
    one.choose(pictures["original"])
    one.press("Start")
    one.sees("There is no upload of that id for you.")
    one.press("Start")
    one.page.locator(".card").wait_for()
    assert api.count("POST", "/uploads") == 2


# --- following ---


def test_job_is_followed_by_events_and_its_result_compared_and_fetched(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    one = guest().known().arrive()
    one.submit(pictures["original"])
    one.expect(one.page.locator(".card")).to_be_focused()
    job = api.of("cat.png")
    api.change(job, stage=Stage.UPSCALE, progress=0.42, remaining_s=180.0)
    one.sees("Enlarging: 42%, about 3 min left.")
    assert 0.2 < one.page.get_by_label("cat.png, done").evaluate("bar => bar.value") < 0.9
    made(api, job, size=(480, 320))
    one.hears("cat.png: Finished")
    one.sees("480 × 320, 12 kB")
    slider = one.page.get_by_role("slider", name="Share of the original")
    one.expect(slider).to_have_value("50")
    slider.focus()
    for key, value in (
        ("ArrowRight", 51),
        ("ArrowUp", 52),
        ("PageUp", 62),
        ("ArrowLeft", 61),
        ("Home", 0),
        ("End", 100),
    ):
        slider.press(key)
        one.expect(slider).to_have_value(str(value))
    one.expect(slider).to_have_attribute("aria-valuetext", "100 % before, 0 % after")
    assert one.fetch("Download cat.png") == ("cat_x4.png", pictures["result"].read_bytes())


def shown(one: Guest) -> np.ndarray[Any, Any]:
    """What is on the stage, RGB."""
    return np.asarray(Image.open(io.BytesIO(one.page.locator(".stage").screenshot())).convert("RGB"))


def test_line_parts_before_from_after_wherever_it_is_dragged(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    for role, colour in (("original", (255, 0, 0)), ("result", (0, 0, 255))):
        api.files[role] = api.folder / f"{role}.png"
        Image.new("RGB", (1600, 900), colour).save(api.files[role])
    job = api.submit(["plain.png"])
    made(api, api.of("plain.png"), size=(1600, 900))
    one = guest().known().arrive()
    one.press("Compare plain.png")
    stage = one.page.locator(".stage")
    one.page.wait_for_function("() => [...document.querySelectorAll('.sheet img')].every((img) => img.naturalWidth)")
    box = stage.bounding_box()
    line = one.page.get_by_role("slider")

    def edge() -> float:
        """Where red ends, as a share of the width."""
        row = shown(one)[box_height // 3]
        red = (row[:, 0] > 128) & (row[:, 2] < 128)  # the line itself is white
        return float(np.flatnonzero(red)[-1] / len(row)) if red.any() else 0.0

    box_height = int(box["height"])
    assert edge() == pytest.approx(0.5, abs=0.02)
    one.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 80)
    one.page.mouse.up()
    assert abs(int(line.input_value()) - 20) <= 1
    assert edge() == pytest.approx(0.2, abs=0.02)
    one.press("Every pixel")
    one.expect(one.page.get_by_role("button", name="Every pixel")).to_have_attribute("aria-pressed", "true")
    assert one.page.locator(".sheet").evaluate("sheet => sheet.clientWidth") == 1600
    assert stage.bounding_box()["width"] == box["width"]
    assert one.page.evaluate(OVERFLOW) == 0
    one.page.locator(".scroller").evaluate("each => each.scrollTo(each.scrollWidth, 0)")
    assert edge() == pytest.approx(0.2, abs=0.02), "it stays where it is while the picture scrolls"
    assert job.jobs == 1


def test_batch_is_followed_as_one_and_fetched_as_one(guest: Any, api: StandIn, tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{number}.png", 24, 16, seed=number) for number in range(3)]
    api.submit(["earlier.png"])
    one = guest().known().arrive()
    one.sees("earlier.png")
    one.choose(*paths)
    one.press("Start")
    one.expect(one.page.locator(".card .name")).to_have_text(["0.png", "1.png", "2.png", "earlier.png"])
    one.sees("0 of 3 files finished, 3 to go.")
    api.change(api.of("1.png"), stage=Stage.UPSCALE, progress=0.5)
    one.page.clock.fast_forward(21_000)  # other files than the one that is listened to are asked for
    one.sees("Enlarging: 50%")
    made(api, api.of("0.png"), size=(96, 64))
    made(api, api.of("1.png"), size=(96, 64))
    api.change(api.of("2.png"), status=JobStatus.NOT_DELIVERED, error_code="corrupt-media", error="2.png is truncated.")
    one.page.clock.fast_forward(21_000)
    one.sees("Failed: 2.png is truncated.")
    one.sees("2 of 3 files finished, 1 not delivered.")
    one.expect(one.page.get_by_role("link", name="Download all")).to_have_attribute(
        "href", re.compile(r"/batches/[0-9a-f]{64}/results\.zip$")
    )
    assert one.page.locator(".stage").count() == 0, "of several none is opened unasked"


def test_dropped_events_are_followed_by_asking(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    api.broken_events = True
    one = guest().known().arrive()
    streams = r"/jobs/[^/]+/events"
    ended: list[Any] = []
    one.page.on("requestfinished", lambda request: ended.append(request) if re.search(streams, request.url) else None)
    one.submit(pictures["original"])
    job = api.of("cat.png")
    for step in range(1, 8):
        api.change(job, stage=Stage.UPSCALE, progress=step / 10)
        for _ in range(4):
            one.page.clock.run_for(8_000)
            # A stream must break by itself before the clock moves on, or the page takes it for one that held.
            one.until(lambda: len(ended) == api.count("GET", streams))
        one.sees(f"Enlarging: {step}0%.")
    assert api.count("GET", streams) == 3, "then it only asks"
    made(api, job, size=(480, 320))
    one.page.clock.run_for(31_000)
    one.sees("480 × 320")


def test_hidden_page_does_not_ask_and_goes_on_when_it_is_seen(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    one = guest().known().arrive()
    one.submit(pictures["original"])
    one.page.evaluate(HIDE, True)
    one.page.clock.run_for(25_000)  # until the stream is closed
    one.page.wait_for_timeout(200)
    asked = len(api.asked)
    made(api, api.of("cat.png"), size=(480, 320))
    one.page.clock.run_for(300_000)
    one.page.wait_for_timeout(200)
    assert len(api.asked) == asked
    one.page.evaluate(HIDE, False)
    one.sees("480 × 320")


def test_reload_finds_the_submission_again_without_a_session(
    guest: Any, api: StandIn, pictures: dict[str, Path]
) -> None:
    one = guest().known().arrive()
    one.submit(pictures["original"])
    one.context.clear_cookies()
    one.page.reload()
    one.sees("Waiting for its turn.")
    one.page.get_by_label("E-mail address").wait_for()
    made(api, api.of("cat.png"), size=(480, 320))
    one.sees("480 × 320")


def test_submission_that_is_gone_is_forgotten(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    one = guest().known().arrive()
    one.submit(pictures["original"])
    api.jobs.clear()
    one.page.clock.fast_forward(21_000)
    one.expect(one.page.locator(".card")).to_have_count(0)
    assert one.page.evaluate("localStorage.getItem('irss.batches')") == "[]"


def test_offline_is_told_and_goes_on_by_itself(guest: Any, api: StandIn, pictures: dict[str, Path]) -> None:
    one = guest().known().arrive()
    one.choose(pictures["original"])
    one.context.set_offline(True)
    one.press("Start")
    one.sees("You are offline.")
    one.sees(re.compile(r"Next try in 0:\d\d\."))
    one.shot("offline")
    one.page.clock.run_for(200_000)  # the tries become rare
    one.sees(re.compile(r"Next try in 0:[12]\d\."))
    one.context.set_offline(False)
    one.page.locator(".card").wait_for(timeout=8_000)  # sooner than that
    one.expect(one.page.locator("#net")).to_be_hidden()
    one.hears("handed in|there again")


def test_server_that_is_down_at_arrival_is_waited_for(guest: Any, api: StandIn) -> None:
    api.submit(["cat.png"])
    one = guest().known()
    one.page.route(re.compile("/(images|health)"), lambda route: route.abort())
    one.page.goto(f"{api.address}/web/")
    one.sees("The server does not answer.")
    one.page.unroute_all()
    one.press("Try now")
    one.sees("cat.png")
    one.expect(one.page.locator("#net")).to_be_hidden()


def test_answer_of_another_program_is_told(guest: Any, api: StandIn) -> None:
    one = guest()
    one.page.route(re.compile("/images"), lambda route: route.fulfill(body="<!doctype html>"))
    one.arrive()
    one.sees("This is not the server's API.")


# --- what was handed in before ---


def test_earlier_jobs_come_by_pages_with_thumbnails(guest: Any, api: StandIn) -> None:
    for number in range(25):
        api.submit([f"{number}.png"])
        made(api, api.of(f"{number}.png"), size=(48, 32))
    one = guest().known().arrive()
    one.expect(one.page.locator(".card")).to_have_count(20)
    assert one.page.locator(".card .name").first.inner_text() == "24.png"
    one.page.wait_for_function("() => document.querySelector('.thumb').naturalWidth === 100")
    one.press("Show older ones")
    one.expect(one.page.locator(".card")).to_have_count(25)
    assert one.page.locator(".card .name").last.inner_text() == "0.png"
    one.expect(one.page.get_by_role("button", name="Show older ones")).to_be_hidden()


def test_job_is_cancelled_and_deleted(guest: Any, api: StandIn) -> None:
    api.submit(["cat.png", "dog.png"])
    made(api, api.of("dog.png"), size=(48, 32))
    one = guest().known().arrive()
    one.press("Cancel cat.png")
    one.sees("Being cancelled.")
    one.expect(one.page.get_by_role("button", name="Cancel cat.png")).to_be_disabled()
    one.page.once("dialog", lambda dialog: dialog.dismiss())
    one.press("Delete dog.png")
    assert len(api.jobs) == 2
    api.fail("DELETE", "/jobs/.*", 409, title="Conflict", detail="Somebody else changed it first.")
    one.page.on("dialog", lambda dialog: dialog.accept())
    one.press("Delete dog.png")
    one.sees("Somebody else changed it first.")
    one.press("Delete dog.png")
    one.sees_not("dog.png")
    assert [job.name for job in api.jobs.values()] == ["cat.png"]


def test_result_that_the_browser_cannot_show_can_still_be_fetched(guest: Any, api: StandIn) -> None:
    api.files["result"] = api.folder / "result.tiff"
    Image.new("RGB", (48, 32)).save(api.files["result"])
    api.submit(["scan.tiff"])
    made(api, api.of("scan.tiff"), size=(48, 32), fmt="tiff")
    one = guest().known().arrive()
    one.press("Compare scan.tiff")
    one.sees("This browser cannot show the result (tiff). Download it instead.")
    one.expect(one.page.locator(".stage")).to_be_hidden()
    one.press("Compare scan.tiff")
    one.sees_not("This browser cannot show")


def test_result_is_shown_alone_where_the_original_is_gone(guest: Any, api: StandIn) -> None:
    del api.files["original"]
    api.submit(["cat.png"])
    made(api, api.of("cat.png"), size=(480, 320))
    one = guest().known().arrive()
    one.press("Compare cat.png")
    one.sees("The original is not kept any more")
    one.expect(one.page.get_by_role("slider")).to_have_count(0)
    assert one.page.locator(".sheet img.after").is_visible()


def test_two_clips_play_as_one(guest: Any, api: StandIn) -> None:
    for role, size in (("original", (64, 48)), ("result", (256, 192))):
        api.files[role] = api.folder / f"{role}.mp4"
        with ClipWriter(api.files[role], width=size[0], height=size[1], fps=Fraction(10)) as writer:
            for index in range(40):
                writer.write(np.full((size[1], size[0], 3), index * 6, np.uint8), Fraction(index, 10))
    api.submit(["walk.mp4"])
    made(api, api.of("walk.mp4"), size=(256, 192), fmt="mp4", kind="clip")
    one = guest().known().arrive()
    one.press("Compare walk.mp4")
    one.page.wait_for_function("() => [...document.querySelectorAll('video')].every((clip) => clip.readyState > 1)")
    one.page.evaluate("() => document.querySelector('video.after').play()")
    one.page.wait_for_function("() => document.querySelector('video.before').currentTime > 0.3")
    apart = one.page.evaluate(
        "() => [...document.querySelectorAll('video')].reduce((time, clip) => Math.abs(time - clip.currentTime), 0)"
    )
    assert apart < 0.5, "a busy machine drops frames"
    one.page.evaluate("() => document.querySelector('video.after').pause()")
    one.page.wait_for_function("() => document.querySelector('video.before').paused")


# --- another origin, other widths ---


def test_page_works_with_an_api_elsewhere(guest: Any, api: StandIn, pictures: dict[str, Path], tmp_path: Path) -> None:
    with serving(StandIn(tmp_path, config=f'export const API = "{api.address}/";')) as host:
        one = guest().arrive(host.address)
        one.sign_in()
        one.sees(f"The mail goes to {OWNER.address}")
        one.page.reload()
        one.submit(pictures["original"])
        made(api, api.of("cat.png"), size=(480, 320))
        one.page.wait_for_function(
            "() => [...document.querySelectorAll('.sheet img')].every((img) => img.naturalWidth)"
        )
    sent = [each.headers for each in api.asked if each.path in ("/uploads", "/process-file")]
    assert {each.get("authorization") for each in sent} == {f"Bearer {TOKEN}"}
    assert not any("cookie" in each for each in sent)
    assert [each.path for each in host.asked if not each.path.startswith("/web/")] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_fits_its_width(guest: Any, api: StandIn, size: tuple[int, int], theme: str) -> None:
    api.submit([f"{'alongnamewithoutaspace' * 4}.png", "b.png", "c.png"])
    made(api, api.of("b.png"), size=(480, 320))
    api.submit(["cat.png"])
    made(api, api.of("cat.png"), size=(480, 320))
    one = guest(size, color_scheme=theme).arrive()
    one.shot(f"{size[0]}-{theme}-new")
    assert one.page.evaluate(OVERFLOW) == 0
    one.known().page.reload()
    one.page.locator(".card").nth(1).wait_for()
    one.press("Compare cat.png")
    one.page.get_by_text("More options").click()
    one.page.wait_for_function("() => [...document.querySelectorAll('.sheet img')].every((img) => img.naturalWidth)")
    assert one.page.evaluate(OVERFLOW) == 0
    one.shot(f"{size[0]}-{theme}")


def test_everything_that_can_be_pressed_has_a_name(guest: Any, api: StandIn) -> None:
    api.submit(["cat.png"])
    made(api, api.of("cat.png"), size=(480, 320))
    one = guest().known().arrive()
    one.press("Compare cat.png")
    nameless = one.page.evaluate("""() =>
      [...document.querySelectorAll("button, a, input, select, progress, [role=slider]")]
        .filter((each) => !(each.ariaLabel || each.textContent || each.labels?.length || each.ariaLabelledByElements))
        .map((each) => each.outerHTML)""")
    assert nameless == []


# --- the real thing ---


def test_whole_way_through_the_real_app_and_a_real_worker(server: Server, browser: Any, tmp_path: Path) -> None:
    small = picture(tmp_path / "süß <b>.png", 48, 32)
    one = Guest(browser, server.url, DESKTOP, real_time=True).arrive()
    one.page.get_by_label("E-mail address").fill(OWNER.address)
    one.press("Send me a code")
    one.sees("A code is on its way")
    one.page.get_by_label("The 6 digits").fill(newest_code(server.data_dir / "outbox"))
    one.press("Confirm")
    one.sees(f"The mail goes to {OWNER.address}")
    one.page.get_by_role("combobox", name="Model").select_option("bicubic")
    one.page.get_by_label("Times larger").select_option("3")
    one.submit(small)
    one.page.get_by_role("slider").wait_for(timeout=PATIENCE_MS)
    one.page.wait_for_function("() => [...document.querySelectorAll('.sheet img')].every((img) => img.naturalWidth)")
    sizes = one.page.locator(".sheet img").evaluate_all(
        "all => all.map((img) => [img.naturalWidth, img.naturalHeight])"
    )
    assert sorted(sizes) == [[48, 32], [144, 96]]
    one.shot("real")
    _, content = one.fetch("Download süß <b>.png")
    with Image.open(io.BytesIO(content)) as result:
        assert (result.format, result.size) == ("PNG", (144, 96))
    one.page.reload()
    one.sees("144 × 96")
    one.page.wait_for_function("() => document.querySelector('.thumb').naturalWidth === 100")
    one.page.on("dialog", lambda dialog: dialog.accept())
    one.press("Delete süß <b>.png")
    one.sees_not("süß <b>.png")
    one.context.close()
    assert one.faults == []
