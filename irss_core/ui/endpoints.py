"""The programming interface: /upscale, /compare and /models, for gradio_client, plain HTTP and MCP."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from irss_core.media.video import is_clip
from irss_core.progress import CancelToken
from irss_core.sr.catalog import MODELS, find_model
from irss_core.sr.weights import weights_status
from irss_core.ui.events import Page, explain, required
from irss_core.ui.requests import ClipRequest, StillRequest, parse_outscale
from irss_core.ui.running import Board

if TYPE_CHECKING:
    from irss_core.sr.image import UpscaleResult
    from irss_core.sr.video import ClipReport

T = TypeVar("T")
Facts = dict[str, Any]

_NO_FILE = "Hand in a file: a picture, a video or an animated GIF."
_STEP = "Working"


def add_endpoints(page: Page) -> None:
    """Add the endpoints to the Blocks that is being built; their components are never drawn."""
    api = _Endpoints(page)
    with gr.Row(visible=False):
        file = gr.File(label="Picture or clip")
        model = gr.Textbox("realesrgan-x4plus", label="Model")
        model_b = gr.Textbox("tecogan-x4", label="Model B")
        outscale = gr.Number(label="Scale")
        result, result_b, difference = gr.File(label="Result"), gr.File(label="Result B"), gr.File(label="Difference")
        facts = gr.JSON(label="Measured facts")
        trigger = gr.Button()
    run: dict[str, Any] = {"concurrency_id": "inference", "concurrency_limit": None}
    trigger.click(api.upscale, [file, model, outscale], [result, facts], api_name="upscale", **run)
    trigger.click(
        api.compare,
        [file, model, model_b, outscale],
        [result, result_b, difference, facts],
        api_name="compare",
        **run,
    )
    trigger.click(api.models, None, facts, api_name="models")


class _Endpoints:
    def __init__(self, page: Page) -> None:
        self._page = page

    async def upscale(
        self,
        file: str,
        model: str = "realesrgan-x4plus",
        outscale: float | None = None,
        request: gr.Request | None = None,
    ) -> tuple[str, Facts]:
        """Enlarge a picture or a video clip with a super-resolution model and report how the run went.

        Args:
            file: The picture (PNG, JPEG, WebP, TIFF, BMP, AVIF) or clip (MP4, MOV, MKV, WebM, animated GIF).
            model: Name of the model, one of those that /models lists; for example realesrgan-x4plus or tecogan-x4.
            outscale: How many times wider and higher the result is, above 0 and up to 16; the model's own by default.

        Returns:
            The enlarged file, and the measured facts: seconds, memory, device, precision and more.
        """

        def work(source: Path, folder: Path, board: Board, cancel: CancelToken) -> tuple[str, Facts]:
            from irss_core.upscaling import ClipOptions, StillOptions, upscale_clip, upscale_still

            services, factor = self._page.services, parse_outscale(outscale)
            find_model(model)
            target = folder / f"{source.stem}_{model}{_suffix_for(source)}"
            report: UpscaleResult | ClipReport
            if is_clip(source, services.clip_limits):
                report = upscale_clip(
                    source,
                    target,
                    services.video_upscaler(model),
                    options=ClipOptions(outscale=factor),
                    limits=services.clip_limits,
                    progress=board.report,
                    cancel=cancel,
                )
            else:
                report = upscale_still(
                    source,
                    target,
                    services.image_upscaler(model),
                    options=StillOptions(outscale=factor),
                    limits=services.image_limits,
                    progress=board.report,
                    cancel=cancel,
                )
            return str(target), facts_of(report)

        return await self._answer(file, request, work)

    async def compare(
        self,
        file: str,
        model_a: str = "realesrgan-x4plus",
        model_b: str = "tecogan-x4",
        outscale: float | None = None,
        request: gr.Request | None = None,
    ) -> tuple[str, str, str | None, Facts]:
        """Enlarge a picture or a video clip with two super-resolution models, to compare them.

        Args:
            file: The picture (PNG, JPEG, WebP, TIFF, BMP, AVIF) or clip (MP4, MOV, MKV, WebM, animated GIF).
            model_a: Name of the first model, one of those that /models lists.
            model_b: Name of the second model.
            outscale: How many times wider and higher the results are, above 0 and up to 16; by default the models' own.

        Returns:
            Both enlarged files, for a picture a heat map of their difference (nothing for a clip), and the measured
            facts of each run.
        """

        def work(source: Path, folder: Path, board: Board, cancel: CancelToken) -> tuple[str, str, str | None, Facts]:
            models = (model_a, model_b)
            titles = (find_model(model_a).title, find_model(model_b).title)
            options: dict[str, Any] = {"outscale": parse_outscale(outscale), "confirmed": True}
            if is_clip(source, self._page.services.clip_limits):
                from irss_core.ui.clips import ClipComparison, compare_clip

                wanted = ClipRequest(source, models, titles, **options)
                clip = compare_clip(wanted, self._page.services, folder, board=Board(wanted.steps), cancel=cancel)
                assert isinstance(clip, ClipComparison)  # noqa: S101  nothing is asked of a confirmed request
                files, difference = [result.files[-1] for result in clip.results], None
                facts = [facts_of(result.facts) for result in clip.results]
            else:
                from irss_core.ui.stills import StillComparison, compare_still

                asked = StillRequest(source, models, titles, **options)
                still = compare_still(asked, self._page.services, folder, board=Board(asked.steps), cancel=cancel)
                assert isinstance(still, StillComparison)  # noqa: S101  as above
                files, difference = [run.files[0] for run in still.runs], str(still.difference)
                facts = [facts_of(run.facts) for run in still.runs]
            return str(files[0]), str(files[1]), difference, {"a": facts[0], "b": facts[1]}

        return await self._answer(file, request, work)

    def models(self) -> Facts:
        """List every model: what it is for, its scale, licence and paper, and whether its weights are on this server.

        Returns:
            An object with one entry for each model, keyed by the name that /upscale and /compare take.
        """
        cache_dir = self._page.services.settings.cache_dir
        return {
            name: {
                "title": spec.title,
                "summary": spec.summary,
                "scale": spec.scale,
                "kind": spec.kind,
                "licence": spec.licence,
                "paper": spec.paper_url,
                "available": weights_status(spec, cache_dir=cache_dir).available,
            }
            for name, spec in MODELS.items()
        }

    async def _answer(
        self,
        upload: str | None,
        request: gr.Request | None,
        work: Callable[[Path, Path, Board, CancelToken], T],
    ) -> T:
        """Return what ``work`` makes of the uploaded file when its turn comes; errors reach the caller in words."""
        session = self._page.sessions.visit((request and request.session_hash) or secrets.token_hex(16))
        place = f"api-{secrets.token_hex(4)}"
        token = session.begin(place)
        try:
            source = session.adopt(required(upload, _NO_FILE), "api")
            # Where gradio keeps uploads, so that it serves the result as it is; swept like them.
            folder = self._page.sessions.uploads / secrets.token_hex(16)
            folder.mkdir()

            def job(board: Board, cancel: CancelToken) -> T:
                board.begin(_STEP)
                with self._page.services.inference_slot():
                    return work(source, folder, board, cancel)

            return await self._page.line.result(job, steps=(_STEP,), cancel=token)
        except Exception as error:  # noqa: BLE001  a caller is told in words, whatever it was; it is logged
            raise gr.Error(explain(error), print_exception=False) from None
        finally:
            session.end(place, token)


def facts_of(report: UpscaleResult | ClipReport) -> Facts:
    """Return the measured facts as plain values, without the picture."""
    return {field.name: getattr(report, field.name) for field in fields(report) if field.name != "image"}


def _suffix_for(source: Path) -> str:
    """Return the ending of a result: the source's own where we write that kind."""
    suffix = source.suffix.lower()
    if suffix == ".gif" or is_clip(source):
        return ".gif" if suffix == ".gif" else ".mp4"
    return suffix if suffix in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff") else ".png"
