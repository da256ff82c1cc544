"""The app: HTTP and the page on one port. ``python app.py`` serves it; ``build_app`` is for other ASGI servers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from irss_core import __version__
from irss_core.config import Settings
from irss_core.errors import InvalidOptionError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from irss_core.services import Services
    from irss_core.ui.events import Example
    from irss_core.ui.sessions import SessionStore

logger = logging.getLogger("irss")

_WARM_MODELS = ("realesrgan-x4plus", "tecogan-x4")


def build_app(settings: Settings) -> FastAPI:
    """Return the ASGI app: the HTTP API, the visitors' files, the page's own files, and the page at "/".

    Nothing is loaded yet but the page; torch and the first models come in the background once the app runs.
    """
    from irss_core.ui.sessions import SessionStore

    sessions = SessionStore(max_age_s=settings.temp_max_age_s)
    # Read by gradio at its import and as components are made: uploads lie in our folder, and it phones nobody.
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles

    from irss_core.api import build_api
    from irss_core.services import build_services
    from irss_core.ui import layout
    from irss_core.ui.events import Page
    from irss_core.ui.running import InferenceLine
    from irss_core.worker_processes import WorkerProcesses

    services, line = build_services(settings), InferenceLine()
    workers = WorkerProcesses(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sessions.sweep_regularly()
        threading.Thread(target=_warm_up, args=(services,), name="warm-up", daemon=True).start()
        workers.start()
        yield
        await asyncio.to_thread(workers.stop)
        line.close()
        sessions.close()

    app = FastAPI(title="IRSS", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    build_api(app, services)
    _add_results(app, sessions)
    folder = settings.cache_dir / "examples"
    pictures, clips = _examples(folder)
    app.mount(f"/{layout.STATIC_ADDRESS}", StaticFiles(directory=layout.STATIC), name="static")
    app.mount("/irss/examples", StaticFiles(directory=folder, check_dir=False), name="examples")
    app.mount("/web", StaticFiles(directory=Path(__file__).parent / "web", html=True, check_dir=False), name="web")
    page = Page(services=services, sessions=sessions, line=line, pictures=pictures, clips=clips)
    return layout.mount_page(app, page, max_upload_bytes=max(settings.max_image_bytes, settings.max_clip_bytes))


def serve(settings: Settings) -> int:
    """Serve the app until it is told to stop; return the exit status: 1 if it cannot listen where it should."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "mcp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    host, port = settings.listen_host, settings.port
    try:
        listener = _listen(host, port)
    except OSError as error:
        sys.stderr.write(f"{_why_not(error, host, port)}\n")
        return 1
    with listener, contextlib.suppress(KeyboardInterrupt):
        try:
            app = build_app(settings)
        except InvalidOptionError as error:  # settings that do not go together
            sys.stderr.write(f"{error}\n")
            return 1
        asyncio.run(_serve_on(listener, app, address=settings.local_address))
    return 0


def main() -> int:
    """Serve with the settings of the environment."""
    return serve(Settings())


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Whoever comes before the app is up waits in its backlog and is not turned away."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # on Windows this would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _why_not(error: OSError, host: str, port: int) -> str:
    """Return in one line why the app cannot listen, and what to do."""
    other = 7861 if port == 7860 else 7860
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use. Stop the other program or choose another: PORT={other} make demo"
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than you have. Choose one from 1024 on: PORT={other} make demo"
    return f"Cannot listen on {host}, port {port} ({error.strerror or error}). Check IRSS_HOST and PORT."


async def _serve_on(listener: socket.socket, app: FastAPI, *, address: str) -> None:
    """Serve until told to stop, and say where as soon as the app answers."""
    import uvicorn

    # Whom X-Forwarded-For names is the API's to decide (IRSS_TRUSTED_PROXIES); uvicorn would believe any local client.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, proxy_headers=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.02)
    if server.started:
        sys.stdout.write(f"IRSS is ready: {address}\n")
        sys.stdout.flush()
    while not (server.should_exit or serving.done()):
        await asyncio.sleep(0.1)
    app.state.wind_down()
    await serving


def _add_results(app: FastAPI, sessions: SessionStore) -> None:
    """Serve the visitors' files under their unguessable addresses, for their eyes only."""
    from fastapi.responses import FileResponse, PlainTextResponse, Response

    headers = {
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
        # Whatever a visitor's file turns out to be, as a page it has nothing to do with ours. The report's script runs.
        "Content-Security-Policy": "sandbox allow-scripts",
    }

    @app.get("/results/{visitor}/{folder}/{name}")
    async def result(visitor: str, folder: str, name: str) -> Response:
        path = sessions.find(visitor, folder, name)
        if path is None:
            return PlainTextResponse("This file is no longer here. Run the comparison again.", status_code=404)
        return FileResponse(path, headers=headers)


def _examples(folder: Path) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the example pictures and clips; none, with a line in the log, where they cannot be drawn."""
    from irss_core.media.video import ClipLimits
    from irss_core.ui.events import Example
    from irss_core.ui.examples import example_clip, example_images
    from irss_core.ui.previews import write_poster

    try:
        pictures = [Example(path.stem, path, f"irss/examples/{path.name}") for path in example_images(folder)]
        clip = example_clip(folder)
        poster = write_poster(clip, folder / f"{clip.stem}.png", ClipLimits())
    except OSError as error:
        logger.warning("no examples: %s cannot be written (%s)", folder, error)
        return (), ()
    return tuple(pictures), (Example(clip.stem, clip, f"irss/examples/{poster.name}"),)


def _warm_up(services: Services) -> None:
    """Load torch and the models that the page offers first, so that the first visitor does not wait for them."""
    import numpy as np

    from irss_core.errors import IrssError

    for name in _WARM_MODELS:
        try:
            with services.inference_slot():
                services.image_upscaler(name)(np.zeros((16, 16, 3), np.uint8))
        except IrssError as error:
            logger.warning("%s is not ready: %s", name, error)


if __name__ == "__main__":
    sys.exit(main())
