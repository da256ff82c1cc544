"""The page: its theme, its head, and its tabs, assembled into gradio Blocks and mounted on the ASGI app."""

from __future__ import annotations

import functools
import hashlib
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import gradio.routes
from gradio.routes import App
from gradio.themes.utils.colors import Color
from jinja2 import ChoiceLoader, DictLoader
from starlette.routing import Mount

from irss_core.ui import queue_tab, wording
from irss_core.ui.bench_tab import BenchTab
from irss_core.ui.clip_tab import ClipTab
from irss_core.ui.endpoints import add_endpoints
from irss_core.ui.events import Page, html_part
from irss_core.ui.image_tab import ImageTab
from irss_core.ui.models_tab import ModelsTab

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC = Path(__file__).parent / "static"
STATIC_ADDRESS = "irss/static"
_TEMPLATE = "frontend/index.html"
_SOCIAL_TAGS = re.compile(r"<meta\s+(?:property|name)=\"(?:og|twitter):[^>]*>")
_STYLES, _SCRIPTS = ("viewer.css", "page.css"), ("viewer.js", "page.js")

# System fonts only: the page loads nothing from anywhere but its own server.
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

# Neutral greys, so that nothing tints the judgement of a picture's colours, and one blue for what can be pressed.
_GREY = Color(
    name="irss-grey",
    c50="#f8f9fa",
    c100="#f0f2f5",
    c200="#e3e6ea",
    c300="#d5d9df",
    c400="#a3abb5",
    c500="#77808b",
    c600="#5a636e",
    c700="#3a4048",
    c800="#252930",
    c900="#17191d",
    c950="#0f1113",
)
_BLUE = Color(
    name="irss-blue",
    c50="#eef4fd",
    c100="#dbe7fa",
    c200="#bcd3f5",
    c300="#82aef8",
    c400="#5b91ea",
    c500="#3574d6",
    c600="#1f5fc4",
    c700="#1a4fa3",
    c800="#173f80",
    c900="#142f5e",
    c950="#0e2042",
)


def mount_page(app: FastAPI, page: Page, *, max_upload_bytes: int) -> FastAPI:
    """Return ``app`` with the page at "/": call it after every other route, for it takes all that is left.

    ``app.state.wind_down()`` then stops all work and lets go of the open pages, for which a server that is to stop
    would wait.
    """
    blocks = build_blocks(page)
    _introduce_ourselves()
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=make_theme(),
        head=make_head(),
        favicon_path=str(STATIC / "favicon.svg"),
        footer_links=["api"],
        run_history=False,
        show_error=False,
        max_file_size=max_upload_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=True,
    )
    # What gradio does for an app that it launches itself and leaves out for one that is mounted. Without the first it
    # does not check that the path of an "uploaded" file is one, and a client could hand in any path on the server.
    # Without the second it sends no heartbeats down its event streams, and proxies cut what is silent.
    blocks.has_launched = True
    blocks.is_running = True
    inner = next(route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, App))

    def wind_down() -> None:
        page.sessions.cancel_all()
        inner.stop_event.set()

    app.state.wind_down = wind_down
    return mounted


def build_blocks(page: Page) -> gr.Blocks:
    """Return the page with its tabs and its API endpoints."""
    blocks: gr.Blocks
    with gr.Blocks(title=wording.TITLE, analytics_enabled=False, fill_width=True) as blocks:
        html_part(wording.HEADER, elem_id="irss-header")
        with gr.Tabs(elem_id="irss-tabs") as tabs:
            with gr.Tab("Image", id="image"):
                image_tab = ImageTab(page)
            with gr.Tab("Clip", id="clip"):
                clip_tab = ClipTab(page)
            with gr.Tab("Queue", id=queue_tab.PLACE) as queue:
                hand_off = queue_tab.QueueTab(page)
                hand_off.connect(queue)
            with gr.Tab("Benchmark", id="bench") as bench:
                BenchTab(page).connect(bench)
            with gr.Tab("Models", id="models") as models:
                choosers = [*image_tab.pair.choosers, *clip_tab.pair.choosers]
                ModelsTab(page, choosers).connect(models)
        image_tab.connect(blocks)
        hand_off.take_from(image_tab, tabs, place="Image")
        hand_off.take_from(clip_tab, tabs, place="Clip")
        add_endpoints(page)
        blocks.unload(_leave(page))
    # The line of work has its own order and its own limit (``running``); this queue only carries the events.
    blocks.queue(default_concurrency_limit=16, max_size=256)
    return blocks


def make_theme() -> gr.themes.Base:
    """Return the quiet theme, light and dark, in the colours of viewer.css."""
    return gr.themes.Base(
        primary_hue=_BLUE,
        secondary_hue=_BLUE,
        neutral_hue=_GREY,
        font=_SANS,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#1d2126",
        body_text_color_dark="#e8eaed",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="#ffffff",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_300",
        block_border_color_dark="*neutral_700",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_weight="500",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_300",
        button_primary_background_fill_hover_dark="*primary_200",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0f1113",
        button_primary_border_color="transparent",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_900",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_transition="background-color 0.12s ease",
        slider_color="*primary_600",
        slider_color_dark="*primary_300",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_700",
        link_text_color_hover_dark="*primary_200",
    )


def make_head() -> str:
    """Return the tags for the page's head; a file's hash in its address makes browsers take a changed one anew."""
    parts = [f'<link rel="stylesheet" href="{_static(name)}">' for name in _STYLES]
    parts += [f'<script defer src="{_static(name)}"></script>' for name in _SCRIPTS]
    return "\n".join(parts)


@functools.cache
def _introduce_ourselves() -> None:
    """Put our name where gradio's template has its own, and its picture from a foreign host, for link previews."""
    environment = gradio.routes.templates.env
    loader = environment.loader
    assert loader is not None  # noqa: S101  gradio's templates come from a folder
    source, *_ = loader.get_source(environment, _TEMPLATE)
    title, tagline = html.escape(wording.TITLE), html.escape(wording.TAGLINE)
    ours = (
        f'<meta property="og:title" content="{title}"><meta property="og:description" content="{tagline}">'
        f'<meta name="description" content="{tagline}">'
    )
    source = _SOCIAL_TAGS.sub("", source).replace("</head>", f"{ours}</head>")
    environment.loader = ChoiceLoader([DictLoader({_TEMPLATE: source}), loader])


def _static(name: str) -> str:
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"{STATIC_ADDRESS}/{name}?v={digest}"


def _leave(page: Page) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        if request.session_hash:
            page.sessions.leave(request.session_hash)

    return leave
