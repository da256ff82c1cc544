"""The app as its visitors use it: a real server process, real models, a real Chromium. Also over its API."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from irss_core.media.video import ClipWriter, probe_clip
from tests.e2e.chromium import BROWSER_MARKS, ROOT
from tests.e2e.visitors import PATIENCE_MS, SMALL_MODEL, Server, Visitor, environment, picture

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = BROWSER_MARKS


def start_long_work(visitor: Visitor, folder: Path) -> None:
    """Start a run of minutes, past the question whether it may, and wait until it says how long it still takes."""
    page = visitor.page
    visitor.upload("irss-image-file", picture(folder / "large.png", 640, 512))
    page.get_by_text("640 x 512").first.wait_for()
    page.locator("#irss-image-whole").click()
    page.get_by_text("This will take about").wait_for(timeout=PATIENCE_MS)
    page.locator("#irss-image-anyway").click()
    page.get_by_text(re.compile(r"\d+%.* left")).wait_for(timeout=PATIENCE_MS)


def fetched(url: str) -> Image.Image:
    import io

    answer = httpx.get(url)
    answer.raise_for_status()
    return Image.open(io.BytesIO(answer.content))


# ---------------------------------------------------------------------------------------------------------- the page


def test_a_region_of_the_example_from_arrival_to_download(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    assert "IRSS" in page.title()
    visitor.shot("image-1280-light-before", full_page=False)

    page.get_by_role("radio", name="128 px").check()
    page.locator("#irss-image-try").click()
    page.locator("#irss-image-cancel").wait_for()
    page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)

    assert page.locator("#irss-image-try").is_visible()
    assert "whole picture (192 x 192 → 768 x 768) would take about" in visitor.text("#irss-image-forecast")
    facts = visitor.text("#irss-image-facts")
    assert all(words in facts for words in ("Time", "megapixels a second", "Peak memory", "128 x 128 → 512 x 512"))
    shown = {name: fetched(url) for name, url in visitor.sources().items()}
    assert {name: image.size for name, image in shown.items()} == {
        "input": (128, 128), "bicubic": (512, 512), "a": (512, 512), "b": (512, 512),
    }  # fmt: skip
    pixels = [np.asarray(shown[name], np.int16) for name in ("bicubic", "a", "b")]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 1 < np.abs(pixels[one] - pixels[other]).mean() < 40, "three results of one picture, and none alike"

    wipe = page.locator("irss-compare").get_by_role("slider", name="Dividing line")
    box = page.locator("irss-compare .stage").bounding_box()
    wipe.hover()
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    # Less exact than the mouse, because it may be gripped beside its middle.
    assert int(wipe.get_attribute("aria-valuenow")) == pytest.approx(25, abs=6)

    with page.expect_download() as caught:
        page.locator("#irss-image-downloads").get_by_role("link", name="PNG").first.click()
    home = tmp_path / caught.value.suggested_filename
    caught.value.save_as(home)
    assert home.name == "astronaut_realesrgan-x4plus_x4.png"

    page.get_by_role("button", name="Where the two differ").click()
    page.locator("#irss-image-difference img").first.wait_for()
    assert page.locator("#irss-image-difference .irss-invented img").count() == 2
    visitor.shot("image-1280-light-invented")
    page.get_by_role("button", name="I have the original").click()
    visitor.upload("irss-truth-file", home)
    page.get_by_role("cell", name="identical").wait_for()
    assert "SSIM" in visitor.text("#irss-image-scores")
    visitor.shot("image-1280-light-after")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.body.classList.contains('dark')")
    visitor.shot("image-1280-dark-after")


def test_a_clip_is_compared_played_and_stepped(visit: Any) -> None:
    visitor = visit()
    page = visitor.page
    visitor.tab("Clip")
    page.get_by_role("button", name="Take the example clip pinboard").click()
    page.locator("#irss-clip-poster img").wait_for()
    assert "24 frames" in visitor.text("#irss-clip-opened")
    visitor.choose("A, on the left", SMALL_MODEL)
    page.get_by_label("number input for Length (s)").locator("visible=true").fill("0.25")
    page.keyboard.press("Tab")
    visitor.shot("clip-1280-light-before", full_page=False)

    page.locator("#irss-clip-try").click()
    player = page.locator("irss-player[data-state=ready]")
    player.wait_for(timeout=PATIENCE_MS)

    assert "whole clip would take about" in visitor.text("#irss-clip-forecast")
    assert "frames a second" in visitor.text("#irss-clip-facts")
    counter = player.locator("output.count")
    assert counter.inner_text() == "1 / 4"
    player.get_by_role("button", name=re.compile("next frame|forward", re.I)).click()
    sync_api.expect(counter).to_have_text("2 / 4")
    player.get_by_role("button", name="Play").click()
    player.get_by_role("button", name="Pause").wait_for()
    page.wait_for_timeout(400)
    player.get_by_role("button", name="Pause").click()

    profiles = page.locator("#irss-clip-profiles img")
    assert profiles.count() == 3
    row = player.get_by_role("slider", name="Row of the temporal profile")
    row.focus()
    page.keyboard.press("PageDown")
    page.get_by_text("Row 250 of every frame").wait_for()
    visitor.shot("clip-1280-light-after")

    links = page.locator("#irss-clip-downloads a")
    assert [link.get_attribute("download") for link in links.all()] == [
        "pinboard_realesr-animevideov3_x4.mp4",
        "pinboard_tecogan-x4_x4.mp4",
    ]


def test_long_work_is_asked_about_then_cancelled_and_the_page_goes_on(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    start_long_work(visitor, tmp_path)

    started = time.monotonic()
    page.locator("#irss-image-cancel").click()
    page.get_by_text("Cancelled.").wait_for(timeout=PATIENCE_MS)
    assert time.monotonic() - started < 60, "far below what the run would have taken"

    visitor.choose("A, on the left", "Bicubic")
    visitor.choose("B, on the right", "Lanczos")
    page.locator("#irss-image-try").click()
    page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)


def test_who_leaves_makes_room_for_who_waits(visit: Any, tmp_path: Path) -> None:
    anna, bert = visit(), visit()
    start_long_work(anna, tmp_path)
    for label in ("A, on the left", "B, on the right"):
        bert.choose(label, "Lanczos")
    bert.page.locator("#irss-image-try").click()
    bert.page.get_by_text("You are second in line").wait_for()

    anna.page.close()

    bert.page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)


def test_what_cannot_be_read_gets_a_message_and_harms_nothing(visit: Any, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    text = tmp_path / "<img src=x onerror=document.title='owned'>{{1}}${2}.png"
    text.write_text("this is no picture")
    cut = picture(tmp_path / "cut.png", 64, 64)
    cut.write_bytes(cut.read_bytes()[:60])
    clip = tmp_path / "moving.mp4"
    with ClipWriter(clip, width=16, height=16, fps=Fraction(5)) as writer:
        for index in range(3):
            writer.write(np.full((16, 16, 3), 60 * index, np.uint8), Fraction(index, 5))

    for path, words in ((text, "text"), (cut, "cut"), (clip, "Open it in the Clip tab")):
        visitor.upload("irss-image-file", path)
        page.locator("#irss-image-opened [role=alert]", has_text=words).wait_for()
        page.locator("#irss-image-file").get_by_role("button", name="Clear").click()
        page.locator("#irss-image-file input[type=file]").wait_for(state="attached")
        page.locator("#irss-image-opened [role=alert]").wait_for(state="detached")  # the answer to Clear is here
    assert "owned" not in page.title()
    page.locator("#irss-image-try").click()
    page.get_by_text("Choose a picture first").wait_for()

    visitor.upload("irss-image-file", picture(tmp_path / "good.png", 40, 30))
    page.get_by_text("40 x 30").first.wait_for()


def test_a_pasted_picture_is_opened(visit: Any) -> None:
    visitor = visit()
    visitor.page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(31, 17);
          canvas.getContext("2d").fillRect(0, 0, 9, 9);
          const data = new DataTransfer();
          data.items.add(new File([await canvas.convertToBlob()], "pasted.png", { type: "image/png" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }"""
    )
    visitor.page.get_by_text("31 x 17").first.wait_for()
    assert "pasted.png" in visitor.text("#irss-image-opened")


def test_two_visitors_at_once_each_get_their_own(visit: Any) -> None:
    anna, bert = visit(), visit()
    bert.page.get_by_role("button", name="Take the example picture cat").click()
    bert.page.get_by_text("cat.png").wait_for()
    for visitor in (anna, bert):
        visitor.page.get_by_role("radio", name="128 px").check()
        visitor.choose("A, on the left", SMALL_MODEL)
        visitor.page.locator("#irss-image-try").click()
    for visitor in (anna, bert):
        visitor.page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)

    hers, his = anna.sources()["a"], bert.sources()["a"]
    assert "astronaut" in hers
    assert "cat" in his
    assert hers.split("/")[4] != his.split("/")[4], "each has a folder of their own"
    assert httpx.get(hers.replace(hers.split("/")[4], "0" * 32)).status_code == 404


def test_a_visitors_own_checkpoint_is_offered_to_them_alone(visit: Any, tmp_path: Path) -> None:
    anna, bert = visit(), visit()
    mine = tmp_path / "my-tecogan.safetensors"
    shutil.copyfile(ROOT / "vendor/tecogan/weights/tecogan-x4-v2.safetensors", mine)
    anna.tab("Models")
    anna.page.get_by_role("row", name="TecoGAN x4").get_by_text("here", exact=True).wait_for()
    anna.page.locator("#irss-machine dl").wait_for(timeout=PATIENCE_MS)
    anna.shot("models-1280-light")
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"nothing of the kind")
    anna.upload("irss-checkpoint-file", bad)
    anna.page.locator("#irss-checkpoint-loaded [role=alert]").wait_for()
    anna.page.locator("#irss-checkpoint-file").get_by_role("button", name="Clear").click()
    anna.upload("irss-checkpoint-file", mine)
    anna.page.get_by_text("Loaded: FRNet (recurrent) with 10 blocks").wait_for(timeout=PATIENCE_MS)

    anna.tab("Image")
    anna.choose("A, on the left", "my-tecogan (yours)")
    anna.choose("B, on the right", "Bicubic")
    anna.page.get_by_role("radio", name="128 px").check()
    anna.page.locator("#irss-image-try").click()
    anna.page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)
    assert "my-tecogan" in anna.text("#irss-image-facts")
    bert.page.get_by_role("combobox", name="A, on the left").locator("visible=true").click()
    assert bert.page.get_by_role("option", name="yours").count() == 0


def test_the_page_fits_a_phone_before_and_after(visit: Any) -> None:
    visitor = visit(width=390, height=844, theme="dark")
    page = visitor.page
    visitor.shot("image-390-dark-before", full_page=False)
    widths = {"Image": visitor.overflow()}
    visitor.choose("A, on the left", "Lanczos")
    page.locator("#irss-image-try").click()
    page.locator("irss-compare[data-state=ready]").wait_for(timeout=PATIENCE_MS)
    page.wait_for_function(
        "() => { const y = document.querySelector('irss-compare').getBoundingClientRect().y; return y > -2 && y < 422 }"
    )
    widths["Image with results"] = visitor.overflow()
    visitor.shot("image-390-dark-after")
    visitor.tab("Clip")
    page.get_by_role("button", name="Take the example clip").click()
    page.locator("#irss-clip-poster img").wait_for()
    visitor.shot("clip-390-dark-before")
    widths["Clip"] = visitor.overflow()
    visitor.choose("A, on the left", "Lanczos")
    visitor.choose("B, on the right", "Bicubic")
    page.locator("#irss-clip-try").click()
    page.locator("irss-player[data-state=ready]").wait_for(timeout=PATIENCE_MS)
    widths["Clip with results"] = visitor.overflow()
    page.emulate_media(color_scheme="light")
    page.wait_for_function("!document.body.classList.contains('dark')")
    visitor.shot("clip-390-light-after")
    visitor.tab("Models")
    page.get_by_text("Your own checkpoint").wait_for()
    page.get_by_role("row", name="Lanczos").wait_for()
    widths["Models"] = visitor.overflow()
    visitor.shot("models-390-light")
    assert widths == dict.fromkeys(widths, 0)


def test_the_whole_way_can_be_gone_with_the_keyboard(visit: Any) -> None:
    visitor = visit()
    page = visitor.page

    def tab_to(target: Any) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if target.evaluate("wanted => wanted.contains(document.activeElement)"):
                return
        raise AssertionError(f"{target} is not reached with the Tab key")

    page.locator("body").focus()
    tab_to(page.locator("#irss-image-file"))
    tab_to(page.get_by_role("button", name="Take the example picture coffee"))
    page.keyboard.press("Enter")
    page.get_by_text("coffee.png").wait_for()
    tab_to(page.locator("irss-region"))
    page.keyboard.press("ArrowLeft")
    for label in ("A, on the left", "B, on the right"):
        tab_to(page.get_by_role("combobox", name=label).locator("visible=true"))
    tab_to(page.locator("#irss-image-try"))


# -------------------------------------------------------------------------------------------------- beside the page


def test_health_is_quick(server: Server) -> None:
    answer = httpx.get(f"{server.url}/health", timeout=5)
    assert answer.json()["status"] == "ok"
    assert "realesrgan-x4plus" in answer.json()["models"]


def test_gradio_client_upscales_and_compares(server: Server, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(server.url, verbose=False, download_files=str(tmp_path / "home"))
    source = handle_file(picture(tmp_path / "small.webp", 24, 16))

    result, facts = client.predict(source, model="realesr-animevideov3", outscale=3, api_name="/upscale")
    with Image.open(result) as image:
        assert (image.size, image.format) == ((72, 48), "WEBP")
    assert facts["model"] == "realesr-animevideov3"
    assert facts["seconds"] > 0

    first, second, difference, facts = client.predict(
        source, model_a="realesr-animevideov3", model_b="tecogan-x4", api_name="/compare"
    )
    for path in (first, second, difference):
        with Image.open(path) as image:
            assert image.size == (96, 64)
    assert facts["b"]["model"] == "tecogan-x4"
    assert client.predict(api_name="/models")["tecogan-x4"]["kind"] == "sequence"

    moving = tmp_path / "moving.mp4"
    with ClipWriter(moving, width=24, height=16, fps=Fraction(5)) as writer:
        for index in range(4):
            writer.write(np.full((16, 24, 3), 60 * index, np.uint8), Fraction(index, 5))
    result, facts = client.predict(handle_file(moving), model="tecogan-x4", api_name="/upscale")
    info = probe_clip(Path(result))
    assert (info.width, info.height, info.frame_count) == (96, 64, 4) == (96, 64, facts["frames"])

    with pytest.raises(Exception, match="no model named 'esrgan'"):
        client.predict(source, model="esrgan", api_name="/upscale")
    client.close()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_a_port_in_use_is_told_before_anything_slow(weights_cache: Path, tmp_path: Path) -> None:
    with taken_port() as port:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "app.py"],
            cwd=ROOT,
            env=environment(port, weights_cache, tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 1
    assert lines == [f"Port {port} is in use. Stop the other program or choose another: PORT=7860 make demo"]
    assert "gradio" not in done.stderr.replace(lines[0], "")
    assert "torch" not in done.stderr
