"""The viewer elements in a real Chromium: what a visitor does with them, on a static page and nothing else."""

from __future__ import annotations

import html
import io
import json
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.e2e.chromium import BROWSER_MARKS, CHROMIUM, FLAGS, ROOT, SCREENSHOTS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

STATIC = ROOT / "irss_core" / "ui" / "static"

pytestmark = BROWSER_MARKS

WIDTH, HEIGHT = 512, 384
RED, BLUE, GREEN = (200, 30, 40), (30, 60, 200), (20, 160, 70)
FPS, FRAMES, BITS = 12, 36, 6
PANEL_W, PANEL_H = 192, 64
PANELS = [
    {"id": "bicubic", "label": "Bicubic"},
    {"id": "a", "label": "Real-ESRGAN x4plus"},
    {"id": "b", "label": "TecoGAN x4"},
]
PANEL_COLORS = [GREEN, RED, BLUE]
VARIABLE_TIMES = [0.0, 0.05, 0.3, 0.34, 0.7, 0.72, 0.9, 1.3, 1.31, 1.8]


# -------------------------------------------------------------------------------------------------- pictures and clips


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def flat(color: tuple[int, ...], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, len(color)), color, np.uint8)


def with_grid(color: tuple[int, int, int]) -> bytes:
    """A flat picture with the same white marks whatever its colour, to see whether two sides line up."""
    pixels = flat(color)
    pixels[40::96, :] = 255
    pixels[:, 56::112] = 255
    pixels[190:200, 300:330] = 255
    return png(pixels)


def coded_panel(number: int, color: tuple[int, int, int]) -> np.ndarray:
    """HxWx3 uint8: above, `number` in binary as white and black blocks, highest bit first; below, the flat colour."""
    panel = flat(color, PANEL_W, PANEL_H)
    block = PANEL_W // BITS
    for bit in range(BITS):
        panel[: PANEL_H // 2, bit * block : (bit + 1) * block] = 255 * (number >> (BITS - 1 - bit) & 1)
    return panel


def coded_frame(number: int) -> np.ndarray:
    return np.concatenate([coded_panel(number, color) for color in PANEL_COLORS])


def photo_frame(number: int) -> np.ndarray:
    """Three renderings of a photo, stacked, with the camera moving to the right: 3*180x320x3 uint8."""
    import skimage.data

    data: Any = skimage.data

    photo = Image.fromarray(data.coffee()).crop((60 + 4 * number, 90, 380 + 4 * number, 270))
    coarse = [photo.resize(size).resize(photo.size, Image.Resampling.BICUBIC) for size in ((80, 45), (160, 90))]
    return np.concatenate([np.asarray(panel) for panel in (*coarse, photo)])


def clip(path: Path, times: list[float], draw: Callable[[int], np.ndarray]) -> None:
    """A clip whose frame n is `draw(n)`, shown from times[n] on: H.264 with B-frames and few key frames."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "g": "12", "bf": "2"})
        stream.height, stream.width = draw(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def real_pictures() -> dict[str, bytes]:
    """A photo and three renderings of a smaller one, for the screenshots that people look at."""
    import skimage.data

    data: Any = skimage.data

    photo = Image.fromarray(data.astronaut()).crop((60, 0, 444, 288))
    small = photo.resize((192, 144), Image.Resampling.BICUBIC)
    size = (768, 576)
    half = photo.resize((288, 216), Image.Resampling.BICUBIC).resize(size, Image.Resampling.LANCZOS)
    pictures = {
        "photo-input": small,
        "photo-bicubic": small.resize(size, Image.Resampling.BICUBIC),
        "photo-a": photo.resize(size, Image.Resampling.LANCZOS),
        "photo-b": half,
    }
    return {f"{name}.png": png(np.asarray(picture)) for name, picture in pictures.items()}


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>viewer</title>
<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/viewer.css"><style>body { margin: 0 auto; max-width: 1100px; padding: 16px;
font-family: system-ui, sans-serif; background: #fff; color: #1d2126 } body.dark { background: #101214; color: #e8eaed }
</style></head><body><main id="root"></main><script>SCRIPT</script></body></html>"""


class Site:
    """A local server for the page and its files; paths under /whole/ are sent without byte ranges."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.missing_once: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.split("?")[0].removeprefix("/whole").lstrip("/")
                body = site.files.get(name)
                if body is None or name in site.missing_once:
                    site.missing_once.discard(name)
                    self.send_error(404)
                    return
                asked = self.headers.get("Range", "")
                first, last, status = 0, len(body) - 1, 200
                if asked.startswith("bytes=") and not self.path.startswith("/whole"):
                    begin, _, end = asked.removeprefix("bytes=").partition("-")
                    first, last, status = int(begin or 0), min(int(end or last), last), 206
                self.send_response(status)
                kinds = {"html": "text/html", "css": "text/css", "png": "image/png", "mp4": "video/mp4"}
                self.send_header("Content-Type", kinds[name.rpartition(".")[2]])
                self.send_header("Content-Length", str(last - first + 1))
                if status == 206:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
                    self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                try:
                    self.wfile.write(body[first : last + 1])
                except (BrokenPipeError, ConnectionResetError):
                    return  # the browser had enough

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    clips = tmp_path_factory.mktemp("clips")
    clip(clips / "even.mp4", [n / FPS for n in range(FRAMES)], coded_frame)
    clip(clips / "uneven.mp4", VARIABLE_TIMES, coded_frame)
    clip(clips / "photo.mp4", [n / FPS for n in range(8)], photo_frame)
    alpha = flat((*RED, 255))
    alpha[100:200] = 0
    script = (STATIC / "viewer.js").read_text("utf-8")
    assert "</script" not in script, "the script must be safe to inline"
    site = Site(
        {
            "page.html": PAGE.replace("SCRIPT", script).encode(),
            "viewer.css": (STATIC / "viewer.css").read_bytes(),
            "a.png": with_grid(RED),
            "b.png": with_grid(BLUE),
            "bicubic.png": png(flat(GREEN)),
            "input.png": png(np.indices((24, 32)).sum(0).astype(np.uint8) % 2 * 255),
            "alpha.png": png(alpha),
            "late.png": with_grid(RED),
            **{path.name: path.read_bytes() for path in clips.iterdir()},
            "broken.mp4": b"not a clip",
            **real_pictures(),
        }
    )
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Desk:
    """A page that holds viewer elements, and the questions the tests ask it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", self.failed)
        page.on("console", self.logged)

    def failed(self, error: Any) -> None:
        self.errors.append(f"page error: {error}")

    def logged(self, line: Any) -> None:
        if line.type in ("error", "warning"):
            self.errors.append(line.text)

    def put(self, tag: str, attributes: dict[str, object], *, ready: bool = True, before: str = "") -> Any:
        """The element's locator, after inserting it through innerHTML as Gradio does."""
        text = " ".join(
            f'data-{name}="{html.escape(value if isinstance(value, str) else json.dumps(value))}"'
            for name, value in attributes.items()
        )
        self.page.evaluate(
            "text => { document.querySelector('#root').innerHTML = text }", f"{before}<{tag} {text}></{tag}>"
        )
        found = self.page.locator(tag)
        if ready:
            self.until_ready(tag)
        return found

    def until_ready(self, tag: str, state: str = "ready") -> None:
        self.page.locator(f"{tag}[data-state={state}]").wait_for(timeout=10_000)

    def compare(self, **changes: object) -> Any:
        named = {"input": "Input", "bicubic": "Bicubic", "a": "Real-ESRGAN x4plus", "b": "TecoGAN x4"}
        sources = [{"id": key, "label": label, "src": f"/{key}.png"} for key, label in named.items()]
        ready = bool(changes.pop("ready", True))
        attributes = {"sources": sources, "left": "a", "right": "b", "width": WIDTH, "height": HEIGHT, **changes}
        return self.put("irss-compare", attributes, ready=ready)

    def player(self, **changes: object) -> Any:
        ready = bool(changes.pop("ready", True))
        attributes = {
            "src": "/even.mp4", "panels": PANELS, "left": "a", "right": "b", "width": PANEL_W, "height": PANEL_H,
            "fps": FPS, "frames": FRAMES, **changes,
        }  # fmt: skip
        return self.put("irss-player", attributes, ready=ready)

    def region(self, *, before: str = '<textarea id="field"></textarea>', **changes: object) -> Any:
        attributes = {"src": "/a.png", "width": 1000, "height": 600, "size": 192, "target": "#field", **changes}
        return self.put("irss-region", attributes, ready=False, before=before)

    def hear(self, name: str) -> None:
        self.page.evaluate(
            "name => { window.heard = []; document.addEventListener(name, e => heard.push(e.detail)) }", name
        )

    def heard(self) -> Any:
        return self.page.evaluate("window.heard")

    def pixel(self, x: float, y: float) -> tuple[int, ...]:
        """The colour on screen at a place of the stage, given in shares of its size."""
        box = self.page.locator(".stage").bounding_box()
        shot = self.page.screenshot(
            clip={"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "width": 1, "height": 1}
        )
        return tuple(int(value) for value in np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[0, 0])

    def stage(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.page.locator(".stage").screenshot())).convert("RGB")).astype(int)

    def places(self) -> Any:
        """Where both shown pictures lie, left first."""
        return self.page.evaluate(
            """() => ['left', 'right'].map(side => {
              const box = document.querySelector('irss-compare').shadowRoot.querySelector(`.pane.${side} img.shown`)
                .getBoundingClientRect();
              return { x: box.x, y: box.y, width: box.width, height: box.height };
            })"""
        )

    def split(self) -> int:
        return int(self.page.locator(".wipe").get_attribute("aria-valuenow"))

    def shown_codes(self) -> Any:
        """The frame numbers whose codes stand in the left and in the right part of the player's canvas.

        The wipe stands in the middle: the left half of the canvas holds bits 5..3, the right half bits 2..0.
        """
        return self.page.evaluate(
            """async () => {
              await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
              const player = document.querySelector('irss-player');
              const read = () => {
                const copy = document.createElement('canvas');
                copy.width = player.canvas.width; copy.height = player.canvas.height;
                const context = copy.getContext('2d', { willReadFrequently: true });
                context.drawImage(player.canvas, 0, 0);
                const { x, y, scale } = player.view, density = devicePixelRatio;
                let number = 0;
                for (let bit = 0; bit < 6; bit += 1) {
                  const at = context.getImageData((x + (bit + .5) * 32 * scale) * density,
                    (y + 10 * scale) * density, 1, 1).data;
                  number = number * 2 + (at[0] > 128 ? 1 : 0);
                }
                return number;
              };
              const before = player.split, codes = [];
              for (const split of [1, 0]) { player.split = split; player.paint(); codes.push(read()); }
              player.split = before; player.paint();
              return codes;
            }"""
        )

    def counter(self) -> Any:
        return self.page.locator("output.count").inner_text()

    def settle(self) -> None:
        """Waits until the player has shown the frame it was asked for."""
        self.page.wait_for_function("() => document.querySelector('irss-player').target === null")


def at_work(page: Any, site: Site) -> Iterator[Desk]:
    """A freshly loaded page; a new tab for every test would cost more than the test."""
    desk = Desk(page)
    page.mouse.move(0, 0)
    page.goto(f"{site.url}/page.html")
    yield desk
    page.remove_listener("pageerror", desk.failed)
    page.remove_listener("console", desk.logged)
    assert desk.errors == []


@pytest.fixture(scope="module")
def wide_page(browser: Any) -> Any:
    return browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")


@pytest.fixture(scope="module")
def phone_page(browser: Any) -> Any:
    return browser.new_page(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True,
        reduced_motion="reduce",
    )  # fmt: skip


@pytest.fixture
def desk(wide_page: Any, site: Site) -> Iterator[Desk]:
    yield from at_work(wide_page, site)


@pytest.fixture
def phone(phone_page: Any, site: Site) -> Iterator[Desk]:
    yield from at_work(phone_page, site)


def near(seen: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(seen, wanted, strict=True))


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    page.mouse.move(*end)
    page.mouse.up()


def middle(box: dict[str, float]) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def touch(page: Any, session: Any, kind: str, *points: tuple[float, float]) -> None:
    touches = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


# -------------------------------------------------------------------------------------------------- <irss-compare>


def test_dragging_the_line_uncovers_the_other_picture(desk: Desk) -> None:
    desk.compare()
    assert near(desk.pixel(0.3, 0.3), RED)
    assert near(desk.pixel(0.7, 0.3), BLUE)
    grip = middle(desk.page.locator(".wipe .grip").bounding_box())
    stage = desk.page.locator(".stage").bounding_box()
    drag(desk.page, grip, (stage["x"] + stage["width"] * 0.2, grip[1]))
    assert near(desk.pixel(0.3, 0.3), BLUE)
    drag(
        desk.page, (stage["x"] + stage["width"] * 0.6, stage["y"] + 99), (stage["x"] + stage["width"] * 0.8, stage["y"])
    )
    assert near(desk.pixel(0.7, 0.3), RED), "on a picture that fits, a drag anywhere moves the line"


def test_keyboard_moves_the_line_and_says_where_it_is(desk: Desk) -> None:
    desk.compare()
    wipe = desk.page.locator(".wipe")
    wipe.focus()
    assert desk.split() == 50
    desk.page.keyboard.press("ArrowLeft")
    assert desk.split() == 49
    desk.page.keyboard.press("Shift+ArrowRight")
    assert desk.split() == 59
    desk.page.keyboard.press("Home")
    assert desk.split() == 0
    assert near(desk.pixel(0.3, 0.3), BLUE)
    desk.page.keyboard.press("End")
    assert near(desk.pixel(0.7, 0.3), RED)
    assert wipe.get_attribute("role") == "slider"
    assert "Real-ESRGAN x4plus on the left" in wipe.get_attribute("aria-valuetext")


def test_every_control_is_reached_by_tab_with_a_visible_focus_and_a_name(desk: Desk) -> None:
    desk.compare()
    seen = []
    for _ in range(12):
        desk.page.keyboard.press("Tab")
        name, outlined = desk.page.evaluate(
            """() => {
              const node = document.activeElement.shadowRoot?.activeElement;
              if (!node) return ['', true];
              const ring = n => n && getComputedStyle(n).outlineStyle !== 'none';
              return [node.getAttribute('aria-label'), ring(node) || ring(node.querySelector('.grip'))];
            }"""
        )
        assert outlined, f"no focus ring on {name}"
        seen.append(name)
    for name in ("Dividing line", "Shown on the left", "Shown on the right", "Swap", "Zoom in", "Fit", "Full screen"):
        assert any(name in (text or "") for text in seen), f"{name} not reached: {seen}"


def test_wheel_zooms_at_the_pointer_and_both_pictures_stay_together(desk: Desk) -> None:
    desk.compare(height=WIDTH // 2)  # as wide as the stage: no margin whose vanishing would move the picture
    stage = desk.page.locator(".stage").bounding_box()
    at = (stage["x"] + stage["width"] * 0.3, stage["y"] + stage["height"] * 0.4)
    left, right = desk.places()
    assert left == right
    share = ((at[0] - left["x"]) / left["width"], (at[1] - left["y"]) / left["height"])
    desk.page.mouse.move(*at)
    for _ in range(4):
        desk.page.mouse.wheel(0, -120)
    desk.page.wait_for_function(
        "before => document.querySelector('irss-compare').view.scale > before * 2", arg=left["width"] / WIDTH
    )
    left, right = desk.places()
    assert left == right
    assert (at[0] - left["x"]) / left["width"] == pytest.approx(share[0], abs=0.002)
    assert (at[1] - left["y"]) / left["height"] == pytest.approx(share[1], abs=0.002)
    # The white marks, on screen: with the line at either end, the two sides have them in the same places.
    masks = []
    for key in ("Home", "End"):
        desk.page.locator(".wipe").focus()
        desk.page.keyboard.press(key)
        masks.append(desk.stage()[60:-60, 60:-60].min(axis=2) > 200)
    assert masks[0].any()
    assert (masks[0] == masks[1]).mean() > 0.999


def test_drag_and_arrow_keys_pan_a_zoomed_picture_within_its_edges(desk: Desk) -> None:
    desk.compare()
    desk.page.get_by_role("button", name="Zoom in (+)").click(click_count=1)
    for _ in range(3):
        desk.page.keyboard.press("+")
    before = desk.places()[0]
    stage = desk.page.locator(".stage").bounding_box()
    drag(desk.page, (stage["x"] + 300, stage["y"] + 300), (stage["x"] + 340, stage["y"] + 280))
    after = desk.places()
    assert after[0] == after[1]
    assert (after[0]["x"] - before["x"], after[0]["y"] - before["y"]) == pytest.approx((40, -20), abs=1)
    assert desk.split() == 50, "panning leaves the line alone"
    desk.page.locator(".stage").focus()
    desk.page.keyboard.press("ArrowRight")
    assert desk.places()[0]["x"] == pytest.approx(after[0]["x"] - 50, abs=1)
    for _ in range(60):
        desk.page.keyboard.press("Shift+ArrowLeft")
    assert desk.places()[0]["x"] == pytest.approx(stage["x"], abs=1), "the picture's edge stops at the stage's edge"


def test_one_to_one_fit_and_double_click(desk: Desk) -> None:
    desk.compare()
    percent = desk.page.locator("output[aria-label=Zoom]")
    fitted = desk.places()[0]
    desk.page.get_by_role("button", name="One picture pixel").click()
    assert desk.places()[0]["width"] == WIDTH
    assert percent.inner_text() == "100 %"
    desk.page.get_by_role("button", name="Fit the whole picture").click()
    assert desk.places()[0] == fitted
    stage = desk.page.locator(".stage").bounding_box()
    desk.page.mouse.dblclick(stage["x"] + 200, stage["y"] + 200)
    assert desk.places()[0]["width"] > fitted["width"] * 1.5
    desk.page.mouse.dblclick(stage["x"] + 200, stage["y"] + 200)
    assert desk.places()[0] == fitted


def test_pixels_become_squares_when_zoomed_in_and_the_input_always_is(desk: Desk) -> None:
    desk.compare(left="input")
    rendering = """side => getComputedStyle(document.querySelector('irss-compare').shadowRoot
        .querySelector(`.pane.${side} img.shown`)).imageRendering"""
    desk.page.get_by_role("button", name="One picture pixel").click()
    left, right = desk.places()
    assert left == right, "the small input is stretched over the same place"
    assert desk.page.evaluate(rendering, "left") == "pixelated"
    assert desk.page.evaluate(rendering, "right") == "auto"
    stage = desk.stage()
    row = stage[stage.shape[0] // 2, stage.shape[1] // 2 - 200 : stage.shape[1] // 2 - 60].min(axis=1)
    assert set(np.unique(row)) <= {0, 255}, "an enlarged input pixel has hard edges"
    for _ in range(4):
        desk.page.keyboard.press("+")
    assert desk.page.evaluate(rendering, "right") == "pixelated"


def test_scrolling_the_page_over_a_fitting_picture_goes_on(desk: Desk) -> None:
    desk.compare()
    desk.page.evaluate("document.body.style.minHeight = '3000px'")
    desk.page.mouse.move(*middle(desk.page.locator(".stage").bounding_box()))
    desk.page.mouse.wheel(0, 300)
    desk.page.wait_for_function("window.scrollY > 0")
    assert desk.page.evaluate("document.querySelector('irss-compare').view.fitted")


def test_selects_swap_and_number_keys_choose_the_pair(desk: Desk) -> None:
    desk.hear("irss-pair")
    desk.compare()
    left, right = desk.page.get_by_label("Shown on the left"), desk.page.get_by_label("Shown on the right")
    left.select_option("bicubic")
    desk.page.locator(".pane.left img.shown[alt=Bicubic]").wait_for()
    assert near(desk.pixel(0.3, 0.3), GREEN)
    desk.page.get_by_role("button", name="Swap left and right").click()
    desk.until_ready("irss-compare")
    assert near(desk.pixel(0.3, 0.3), BLUE)
    assert near(desk.pixel(0.7, 0.3), GREEN)
    desk.page.locator(".stage").focus()
    desk.page.keyboard.press("3")
    assert left.input_value() == "a"
    desk.page.keyboard.press("Shift+Digit4")
    assert right.input_value() == "b"
    desk.page.keyboard.press("4")
    assert (left.input_value(), right.input_value()) == ("b", "a"), "never the same picture on both sides"
    assert desk.heard()[-1] == {"left": "b", "right": "a"}
    desk.until_ready("irss-compare")
    assert desk.page.locator(".tag").all_inner_texts() == ["Real-ESRGAN x4plus", "TecoGAN x4"], "right, left"


def test_pictures_with_a_side_of_their_own_never_change_over(desk: Desk) -> None:
    sources = [
        {"id": "one", "label": "Left", "src": "/a.png", "side": "left"},
        {"id": "two", "label": "Right", "src": "/b.png", "side": "right"},
        {"id": "input", "label": "Input", "src": "/input.png"},
    ]
    desk.compare(sources=sources, left="one", right="two")
    left, right = desk.page.get_by_label("Shown on the left"), desk.page.get_by_label("Shown on the right")
    assert left.locator("option").all_inner_texts() == ["Left", "Input"]
    assert right.locator("option").all_inner_texts() == ["Right", "Input"]
    assert desk.page.get_by_role("button", name="Swap left and right").count() == 0
    desk.page.locator(".stage").focus()
    for key in ("s", "2", "Shift+Digit1"):
        desk.page.keyboard.press(key)
        assert (left.input_value(), right.input_value()) == ("one", "two")
    left.select_option("input")
    right.select_option("input")
    assert (left.input_value(), right.input_value()) == ("one", "input"), "the left one's only other choice"
    desk.until_ready("irss-compare")
    assert near(desk.pixel(0.3, 0.3), RED)


def test_b_held_shows_bicubic_and_b_tapped_keeps_it(desk: Desk) -> None:
    desk.compare()
    toggle = desk.page.get_by_role("button", name="Plain bicubic")
    desk.page.locator(".stage").focus()
    desk.page.keyboard.down("b")
    desk.page.wait_for_timeout(320)
    assert near(desk.pixel(0.3, 0.3), GREEN)
    assert near(desk.pixel(0.7, 0.3), BLUE)
    desk.page.keyboard.up("b")
    assert near(desk.pixel(0.3, 0.3), RED)
    desk.page.keyboard.press("b")
    assert near(desk.pixel(0.3, 0.3), GREEN)
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    assert near(desk.pixel(0.3, 0.3), RED)
    # With nothing focused, the viewer under the pointer still hears the key.
    desk.page.evaluate("document.activeElement.blur()")
    desk.page.mouse.move(*middle(desk.page.locator(".stage").bounding_box()))
    desk.page.keyboard.press("b")
    assert toggle.get_attribute("aria-pressed") == "true"


def test_a_key_typed_into_a_text_field_is_left_alone(desk: Desk) -> None:
    desk.compare()
    desk.page.evaluate("document.querySelector('#root').insertAdjacentHTML('beforeend', '<input id=word>')")
    desk.page.locator("#word").click()
    desk.page.mouse.move(*middle(desk.page.locator(".stage").bounding_box()))
    desk.page.keyboard.type("b1+")
    assert desk.page.locator("#word").input_value() == "b1+"
    assert desk.page.get_by_role("button", name="Plain bicubic").get_attribute("aria-pressed") == "false"


def test_a_picture_that_fails_says_so_and_can_be_tried_again(desk: Desk, site: Site) -> None:
    site.missing_once = {"late.png"}
    sources = [{"id": "a", "label": "Late one", "src": "/late.png"}, {"id": "b", "label": "TecoGAN", "src": "/b.png"}]
    viewer = desk.compare(sources=sources, ready=False)
    desk.until_ready("irss-compare", "error")
    assert viewer.get_by_role("alert").inner_text().startswith("“Late one” could not be loaded.")
    assert near(desk.pixel(0.7, 0.3), BLUE), "the other side is unharmed"
    viewer.get_by_role("button", name="Try again").click()
    desk.until_ready("irss-compare")
    assert near(desk.pixel(0.3, 0.3), RED)
    assert viewer.get_by_role("alert").count() == 0
    assert len(desk.errors) == 1, "the browser's own line about the 404 and nothing else"
    assert "404" in desk.errors.pop()


@pytest.mark.parametrize(
    "address", ["javascript:window.hacked=1", "data:text/html,<script>window.hacked=1</script>", "file:///etc/passwd"]
)
def test_an_address_that_is_no_picture_is_refused(desk: Desk, address: str) -> None:
    sources = [{"id": "a", "label": "Odd", "src": address}, {"id": "b", "label": "TecoGAN", "src": "/b.png"}]
    viewer = desk.compare(sources=sources, ready=False)
    desk.until_ready("irss-compare", "error")
    assert "cannot be shown here" in viewer.get_by_role("alert").inner_text()
    assert desk.page.evaluate("window.hacked") is None


def test_a_label_with_markup_stays_text(desk: Desk) -> None:
    label = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    sources = [{"id": "a'\"><b>", "label": label, "src": "/a.png"}, {"id": "b", "label": label, "src": "/b.png"}]
    desk.compare(sources=sources, left="a'\"><b>", right="b")
    assert desk.page.locator(".tag").first.inner_text() == label
    assert desk.page.locator("option").first.inner_text() == label
    assert desk.page.locator("irss-compare script").count() == 0
    assert desk.page.evaluate("window.hacked") is None
    panels = [{"id": "a", "label": label}, {"id": "b", "label": label}, {"id": "c", "label": label}]
    desk.player(panels=panels)
    assert desk.page.locator(".tag").first.inner_text() == label
    assert desk.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("sources", ["{not json", '{"id": "a"}'])
def test_an_unreadable_list_is_said_not_thrown(desk: Desk, sources: str) -> None:
    viewer = desk.compare(sources=sources, ready=False)
    assert viewer.get_by_role("alert").inner_text() == "The list of pictures cannot be read."


def test_nothing_shines_through_a_transparent_picture(desk: Desk) -> None:
    sources = [{"id": "a", "label": "A", "src": "/alpha.png"}, {"id": "b", "label": "B", "src": "/b.png"}]
    desk.compare(sources=sources)
    assert not near(desk.pixel(0.3, 0.4), BLUE)
    assert near(desk.pixel(0.3, 0.8), RED)


def test_new_sources_of_the_same_size_keep_the_place_and_the_choice(desk: Desk) -> None:
    viewer = desk.compare()
    desk.page.get_by_label("Shown on the left").select_option("bicubic")
    for _ in range(3):
        desk.page.get_by_role("button", name="Zoom in (+)").click()
    before = desk.places()[0]
    change = """(node, sources) => { node.dataset.sources = sources }"""
    sources = [{"id": key, "label": key, "src": f"/{key}.png?again"} for key in ("bicubic", "a", "b")]
    viewer.evaluate(change, json.dumps(sources))
    desk.page.wait_for_function("document.querySelector('irss-compare').panes.left.shown?.source.src.endsWith('again')")
    assert desk.page.get_by_label("Shown on the left").input_value() == "bicubic"
    assert desk.places()[0] == before
    viewer.evaluate("node => { node.dataset.left = 'b'; node.dataset.right = 'a'; node.dataset.width = '1024' }")
    desk.page.wait_for_function("document.querySelector('irss-compare').view.width === 1024")
    assert desk.page.get_by_label("Shown on the left").input_value() == "b"
    assert desk.page.evaluate("document.querySelector('irss-compare').view.fitted"), "another size begins at fit"


def test_one_picture_alone_is_shown_without_a_line(desk: Desk) -> None:
    desk.compare(sources=[{"id": "a", "label": "Only", "src": "/a.png"}])
    assert desk.page.locator(".wipe").is_hidden()
    assert near(desk.pixel(0.8, 0.3), RED)


def test_full_screen_and_help_open_and_close(desk: Desk) -> None:
    desk.compare()
    desk.page.get_by_role("button", name="Keys and gestures").click()
    assert desk.page.get_by_role("dialog").is_visible()
    assert "swap left and right" in desk.page.get_by_role("dialog").inner_text()
    desk.page.keyboard.press("Escape")
    assert desk.page.get_by_role("dialog").is_hidden()
    desk.page.get_by_role("button", name="Full screen (F)").click()
    desk.page.wait_for_function("document.fullscreenElement?.localName === 'irss-compare'")
    left, right = desk.places()
    assert left == right
    desk.page.get_by_role("button", name="Leave full screen").click()
    desk.page.wait_for_function("!document.fullscreenElement")


def test_without_the_full_screen_interface_the_viewer_fills_the_window(desk: Desk) -> None:
    viewer = desk.compare()
    viewer.evaluate("node => { node.requestFullscreen = undefined }")
    desk.page.get_by_role("button", name="Full screen (F)").click()
    assert viewer.bounding_box() == {"x": 0, "y": 0, "width": 1280, "height": 900}
    desk.page.keyboard.press("Escape")
    assert viewer.bounding_box()["width"] < 1280


def test_touch_moves_the_line_and_two_fingers_zoom(phone: Desk) -> None:
    phone.compare()
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out at phone width"
    session = phone.page.context.new_cdp_session(phone.page)
    stage = phone.page.locator(".stage").bounding_box()
    y = stage["y"] + stage["height"] * 0.5

    def at(share: float) -> float:
        return float(stage["x"] + stage["width"] * share)

    touch(phone.page, session, "touchStart", (at(0.5), y))
    for share in (0.45, 0.35, 0.25, 0.2):
        touch(phone.page, session, "touchMove", (at(share), y))
    touch(phone.page, session, "touchEnd")
    assert phone.split() == pytest.approx(20, abs=2)
    before = phone.places()[0]["width"]
    touch(phone.page, session, "touchStart", (at(0.4), y), (at(0.6), y))
    for step in range(1, 6):
        touch(phone.page, session, "touchMove", (at(0.4 - 0.06 * step), y), (at(0.6 + 0.06 * step), y))
    touch(phone.page, session, "touchEnd")
    left, right = phone.places()
    assert left == right
    assert left["width"] == pytest.approx(before * 4, rel=0.1)
    assert phone.split() == pytest.approx(20, abs=2)


def test_buttons_are_big_enough_for_a_finger(phone: Desk) -> None:
    phone.compare()
    for control in phone.page.locator("irss-compare button:visible, irss-compare select:visible").all():
        box = control.bounding_box()
        assert min(box["width"], box["height"]) >= 36, control.get_attribute("aria-label")


# -------------------------------------------------------------------------------------------------- <irss-player>


def test_stepping_lands_on_the_exact_frame(desk: Desk) -> None:
    desk.player()
    assert (desk.counter(), desk.shown_codes()) == (f"1 / {FRAMES}", [0, 0])
    desk.page.locator(".stage").focus()
    for number in range(1, 15):
        desk.page.keyboard.press("." if number % 2 else "ArrowRight")
        desk.settle()
        assert desk.shown_codes() == [number, number]
        assert desk.counter() == f"{number + 1} / {FRAMES}"
    for number in range(13, 9, -1):
        desk.page.keyboard.press("," if number % 2 else "ArrowLeft")
        desk.settle()
        assert desk.shown_codes() == [number, number]
    for key, number in (("End", FRAMES - 1), (".", FRAMES - 1), ("Home", 0), (",", 0)):
        desk.page.keyboard.press(key)
        desk.settle()
        assert desk.shown_codes() == [number, number], key


def test_presses_faster_than_seeks_add_up(desk: Desk) -> None:
    desk.player()
    desk.page.locator(".stage").focus()
    for _ in range(9):
        desk.page.keyboard.press(".")
    desk.settle()
    assert desk.shown_codes() == [9, 9]


def test_scrubbing_shows_the_frame_under_the_thumb(desk: Desk) -> None:
    desk.player()
    for number in (30, 7, 23):
        desk.page.locator("input[type=range]").fill(str(number))
        desk.settle()
        assert desk.shown_codes() == [number, number]
    assert desk.page.locator("input[type=range]").get_attribute("aria-valuetext") == f"Frame 24 of {FRAMES}"


@pytest.mark.parametrize("folder", ["", "/whole"], ids=["ranges", "no ranges"])
def test_variable_frame_times_are_stepped_exactly(desk: Desk, folder: str) -> None:
    desk.player(src=f"{folder}/uneven.mp4", times=VARIABLE_TIMES, frames=len(VARIABLE_TIMES))
    for number in (1, 2, 3, 8, 7, 9, 4):
        desk.page.evaluate("n => document.querySelector('irss-player').showFrame(n)", number)
        assert desk.shown_codes() == [number, number]


def test_playing_moves_on_in_lock_step_and_pausing_agrees_with_the_counter(desk: Desk) -> None:
    desk.hear("irss-frame")
    desk.player()
    desk.page.locator(".stage").focus()
    desk.page.keyboard.press("Space")
    desk.page.wait_for_function("document.querySelector('irss-player').frame >= 5")
    for _ in range(4):
        left, right = desk.shown_codes()
        assert left == right
    desk.page.keyboard.press("Space")
    desk.settle()
    assert desk.page.evaluate("document.querySelector('irss-player').film.paused")
    codes = desk.shown_codes()
    assert codes[0] == codes[1] >= 5
    assert desk.counter() == f"{codes[0] + 1} / {FRAMES}"
    assert desk.heard()[-1] == {"frame": codes[0]}
    desk.page.keyboard.press(",")
    desk.settle()
    assert desk.shown_codes() == [codes[0] - 1] * 2, "a step counts from the frame that is seen"
    assert desk.page.get_by_role("button", name="Play (space)").is_visible()


def test_loop_goes_round_and_without_it_the_clip_ends_on_its_last_frame(desk: Desk) -> None:
    desk.player()
    player = "document.querySelector('irss-player')"
    desk.page.evaluate(f"{player}.showFrame({FRAMES - 4})")
    desk.page.evaluate(f"{player}.play()")
    desk.page.wait_for_function(f"{player}.frame < 10 && !{player}.film.paused")
    for _ in range(2):
        desk.page.evaluate(f"{player}.showFrame({FRAMES - 1})")
        assert desk.shown_codes() == [FRAMES - 1, FRAMES - 1], "asked for twice, the last frame stays"
    desk.page.get_by_role("button", name="Loop (L)").click()
    desk.page.evaluate(f"{player}.showFrame({FRAMES - 4})")
    desk.page.evaluate(f"{player}.play()")
    desk.page.wait_for_function(f"{player}.film.paused")
    desk.settle()
    assert desk.shown_codes() == [FRAMES - 1, FRAMES - 1]
    assert desk.counter() == f"{FRAMES} / {FRAMES}"
    desk.page.get_by_role("button", name="Play (space)").click()
    desk.page.wait_for_function(f"{player}.frame < 10 && !{player}.film.paused")


def test_speed_and_loop_survive_a_new_clip(desk: Desk) -> None:
    viewer = desk.player()
    desk.page.get_by_label("Speed").select_option("0.25")
    desk.page.get_by_role("button", name="Loop (L)").click()
    viewer.evaluate(
        """(node, times) => Object.assign(node.dataset, { src: '/uneven.mp4', times, frames: 10 })""",
        json.dumps(VARIABLE_TIMES),
    )
    sync_api.expect(desk.page.locator("output.count")).to_have_text("1 / 10")
    desk.until_ready("irss-player")
    assert desk.page.evaluate("document.querySelector('irss-player').film.playbackRate") == 0.25
    assert desk.page.get_by_role("button", name="Loop (L)").get_attribute("aria-pressed") == "false"


def test_the_line_the_pair_and_b_choose_what_the_clip_shows(desk: Desk) -> None:
    desk.player()
    assert near(desk.pixel(0.3, 0.75), RED, 20)
    assert near(desk.pixel(0.7, 0.75), BLUE, 20)
    desk.page.locator(".wipe").focus()
    desk.page.keyboard.press("Home")
    assert near(desk.pixel(0.3, 0.75), BLUE, 20)
    desk.page.keyboard.press("End")
    desk.page.keyboard.press("b")
    assert near(desk.pixel(0.3, 0.75), GREEN, 20)
    desk.page.keyboard.press("b")
    desk.page.get_by_role("button", name="Swap left and right").click()
    assert near(desk.pixel(0.3, 0.75), BLUE, 20)


def test_panels_may_be_named_in_any_order_and_left_out(desk: Desk) -> None:
    panels = [{"id": "one", "label": "Left", "panel": 2}, {"id": "two", "label": "Right", "panel": 0}]
    desk.player(panels=panels, left="one", right="two", stack=3)
    assert near(desk.pixel(0.3, 0.75), BLUE, 20)
    assert near(desk.pixel(0.7, 0.75), GREEN, 20)


def test_a_player_written_anew_with_the_same_clip_is_still_ready(desk: Desk) -> None:
    player = desk.player()
    player.evaluate("player => { player.removeAttribute('data-state'); player.dataset.left = 'bicubic'; }")
    desk.until_ready("irss-player")
    assert near(desk.pixel(0.3, 0.75), GREEN, 20)


def test_zoomed_panels_do_not_bleed_into_each_other(desk: Desk) -> None:
    desk.player()
    desk.page.locator(".stage").focus()
    for _ in range(4):
        desk.page.keyboard.press("+")
    for _ in range(40):
        desk.page.keyboard.press("Shift+ArrowDown")
    stage = desk.stage()
    assert near(tuple(stage[-6, 300]), RED, 24), "the last row of panel A, not the first of the next"
    assert near(tuple(stage[-6, -200]), BLUE, 24)


def test_the_row_line_reports_rows_of_the_panel(desk: Desk) -> None:
    desk.hear("irss-row")
    desk.player(row="", **{"row-target": "#field"})
    desk.page.evaluate("document.querySelector('#root').insertAdjacentHTML('beforeend', '<input id=field>')")
    line = desk.page.get_by_label("Row of the temporal profile")
    assert line.get_attribute("aria-valuenow") == str(PANEL_H // 2)
    line.focus()
    desk.page.keyboard.press("ArrowUp")
    assert desk.heard() == [{"row": PANEL_H // 2 - 1}]
    desk.page.wait_for_function(f"document.querySelector('#field').value === '{PANEL_H // 2 - 1}'")
    desk.page.keyboard.press("End")
    assert desk.heard()[-1] == {"row": PANEL_H - 1}
    stage = desk.page.locator(".stage").bounding_box()
    grip = middle(desk.page.locator(".row .grip").bounding_box())
    drag(desk.page, grip, (grip[0], stage["y"] + stage["height"] * 0.25))
    assert desk.heard()[-1]["row"] == pytest.approx(PANEL_H / 4, abs=2)
    drag(desk.page, (grip[0], stage["y"] + stage["height"] * 0.25), (grip[0], stage["y"] - 500))
    assert desk.heard()[-1] == {"row": 0}, "held inside the picture"


@pytest.mark.parametrize(
    ("address", "text"), [("/broken.mp4", "could not be loaded"), ("javascript:alert(1)", "cannot be played here")]
)
def test_a_clip_that_cannot_be_played_says_so(desk: Desk, address: str, text: str) -> None:
    viewer = desk.player(src=address, ready=False)
    desk.until_ready("irss-player", "error")
    assert text in viewer.get_by_role("alert").inner_text()


# -------------------------------------------------------------------------------------------------- <irss-region>


def written(desk: Desk) -> Any:
    return json.loads(desk.page.locator("#field").input_value())


def test_the_region_starts_in_the_middle_and_is_written_to_the_field(desk: Desk) -> None:
    desk.hear("irss-region")
    desk.page.evaluate("window.typed = 0; document.addEventListener('input', () => { typed += 1 })")
    desk.region()
    wanted = {"x": 404, "y": 204, "width": 192, "height": 192}
    assert written(desk) == wanted
    assert desk.heard() == [wanted]
    assert desk.page.evaluate("typed") == 1
    assert desk.page.locator(".numbers").inner_text() == "192 × 192 pixels at 404, 204"


def test_drag_click_and_keys_move_the_region_and_never_out_of_the_picture(desk: Desk) -> None:
    desk.region()
    frame = desk.page.locator(".frame").bounding_box()
    scale = 1000 / frame["width"]
    mark = middle(desk.page.locator(".mark").bounding_box())
    drag(desk.page, mark, (mark[0] + 50, mark[1] - 30))
    assert written(desk)["x"] == pytest.approx(404 + 50 * scale, abs=2)
    assert written(desk)["y"] == pytest.approx(204 - 30 * scale, abs=2)
    desk.page.mouse.click(frame["x"] + frame["width"] * 0.3, frame["y"] + frame["height"] * 0.6)
    assert written(desk)["x"] == pytest.approx(300 - 96, abs=2)
    assert written(desk)["y"] == pytest.approx(360 - 96, abs=2)
    before = written(desk)
    desk.page.locator(".mark").focus()
    desk.page.keyboard.press("ArrowRight")
    desk.page.keyboard.press("ArrowUp")
    assert written(desk)["x"] > before["x"]
    assert written(desk)["y"] < before["y"]
    drag(desk.page, middle(desk.page.locator(".mark").bounding_box()), (frame["x"] + frame["width"] + 60, 880))
    assert written(desk) == {"x": 808, "y": 408, "width": 192, "height": 192}
    desk.page.mouse.click(frame["x"] + 12, frame["y"] + 12)
    assert written(desk) == {"x": 0, "y": 0, "width": 192, "height": 192}
    desk.page.get_by_role("button", name="Move the region to the middle").click()
    assert written(desk)["x"] == 404


def test_a_picture_smaller_than_the_region_gives_the_whole_picture(desk: Desk) -> None:
    desk.region(width=100, height=50)
    assert written(desk) == {"x": 0, "y": 0, "width": 100, "height": 50}
    desk.page.locator("irss-region").evaluate("node => { node.dataset.width = '300' }")
    desk.page.wait_for_function("document.querySelector('#field').value.includes('192')")
    assert written(desk) == {"x": 54, "y": 0, "width": 192, "height": 50}


def test_the_field_may_come_later_and_inside_a_wrapper(desk: Desk) -> None:
    desk.region(before="", target="#wrapped")
    late = "<div id=wrapped><label>x<textarea id=field></textarea></label></div>"
    desk.page.evaluate("text => document.querySelector('#root').insertAdjacentHTML('beforeend', text)", late)
    desk.page.wait_for_function("document.querySelector('#field').value !== ''")
    assert written(desk)["x"] == 404


def test_a_tap_moves_the_region_on_a_phone(phone: Desk) -> None:
    phone.region()
    frame = phone.page.locator(".frame").bounding_box()
    phone.page.touchscreen.tap(frame["x"] + frame["width"] * 0.75, frame["y"] + frame["height"] * 0.5)
    assert written(phone)["x"] == pytest.approx(750 - 96, abs=4)


# -------------------------------------------------------------------------------------------------- all of them


def test_a_removed_element_lets_go_of_everything(desk: Desk) -> None:
    desk.compare()
    desk.page.evaluate("window.kept = document.querySelector('irss-compare')")
    desk.player(before="")
    desk.page.evaluate(
        "() => { const player = document.querySelector('irss-player'); window.film = player.film; player.play() }"
    )
    desk.page.wait_for_function("film.currentTime > 0")
    left_over = desk.page.evaluate(
        """() => {
          document.querySelector('#root').replaceChildren();
          document.dispatchEvent(new KeyboardEvent('keydown', { key: 'b', bubbles: true }));
          return [kept.shadowRoot.querySelectorAll('img').length, kept.peeking, film.paused, film.hasAttribute('src')];
        }"""
    )
    assert left_over == [0, False, True, False]
    desk.page.evaluate("document.querySelector('#root').append(kept)")
    desk.until_ready("irss-compare")
    assert near(desk.pixel(0.3, 0.3), RED), "put back, it works again"


def test_removed_elements_can_be_collected(desk: Desk) -> None:
    """Listeners on the document or the window that outlive an element would hold it, and its pictures, for ever."""
    desk.region()
    desk.page.evaluate("() => { window.refs = [new WeakRef(document.querySelector('irss-region'))] }")
    desk.compare()
    desk.page.evaluate("refs.push(new WeakRef(document.querySelector('irss-compare')))")
    desk.player()
    desk.page.evaluate("refs.push(new WeakRef(document.querySelector('irss-player')))")
    desk.page.evaluate("document.querySelector('#root').innerHTML = ''")
    session = desk.page.context.new_cdp_session(desk.page)
    alive: list[str] = []
    for _ in range(10):
        desk.page.wait_for_timeout(100)
        session.send("HeapProfiler.collectGarbage")
        alive = desk.page.evaluate("refs.map(ref => ref.deref()?.localName).filter(Boolean)")
        if not alive:
            break
    assert alive == []


def test_colours_follow_the_dark_class(desk: Desk) -> None:
    desk.compare()
    ink = "getComputedStyle(document.querySelector('irss-compare').shadowRoot.querySelector('select'))"
    light = desk.page.evaluate(f"[{ink}.color, {ink}.backgroundColor]")
    desk.page.evaluate("document.body.classList.add('dark')")
    dark = desk.page.evaluate(f"[{ink}.color, {ink}.backgroundColor]")
    assert light == ["rgb(29, 33, 38)", "rgb(255, 255, 255)"]
    assert dark == ["rgb(232, 234, 237)", "rgb(23, 25, 29)"]
    desk.page.evaluate("document.body.classList.remove('dark'); document.documentElement.classList.add('dark')")
    assert desk.page.evaluate(f"[{ink}.color, {ink}.backgroundColor]") == dark


def photo_page(desk: Desk) -> None:
    """All three elements with real pictures, as a visitor would see them."""
    names = {"input": "Input", "bicubic": "Bicubic", "a": "Real-ESRGAN x4plus", "b": "TecoGAN x4"}
    sources = [{"id": key, "label": label, "src": f"/photo-{key}.png"} for key, label in names.items()]
    compare = f"data-sources='{json.dumps(sources)}' data-left=bicubic data-right=a data-width=768 data-height=576"
    player = (
        f"data-src=/photo.mp4 data-panels='{json.dumps(PANELS)}' data-left=bicubic data-right=b data-width=320 "
        f"data-height=180 data-fps={FPS} data-frames=8 data-row"
    )
    region = "data-src=/photo-a.png data-width=768 data-height=576 data-size=192"
    desk.page.evaluate(
        "text => { document.querySelector('#root').innerHTML = text }",
        f"<irss-compare {compare}></irss-compare><br><irss-player {player}></irss-player><br>"
        f"<irss-region {region}></irss-region>",
    )
    desk.until_ready("irss-compare")
    desk.until_ready("irss-player")
    desk.page.evaluate("document.querySelector('irss-region').image.decode()")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_screenshots_for_people(request: pytest.FixtureRequest, width: int, theme: str) -> None:
    desk: Desk = request.getfixturevalue("desk" if width == 1280 else "phone")
    desk.page.evaluate("name => document.body.classList.add(name)", theme)
    photo_page(desk)
    assert desk.page.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out sideways"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    desk.page.screenshot(path=SCREENSHOTS / f"viewer-{theme}-{width}.png", full_page=True)
    desk.page.locator("irss-compare").get_by_role("button", name="Keys and gestures").click()
    desk.page.locator("irss-compare").screenshot(path=SCREENSHOTS / f"viewer-help-{theme}-{width}.png")
    desk.page.keyboard.press("Escape")
    desk.page.keyboard.press("b")
    desk.page.evaluate("document.querySelector('irss-compare').zoomTo(6)")
    desk.page.locator("irss-compare").screenshot(path=SCREENSHOTS / f"viewer-zoomed-{theme}-{width}.png")
