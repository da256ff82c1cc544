"""The image tab: a picture, two models, a region first, then the whole; a slider, a heat map, facts, downloads."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from irss_core.errors import InputError, IrssError
from irss_core.media.images import ImageHeader, read_header, read_image
from irss_core.media.video import is_clip
from irss_core.progress import CancelToken
from irss_core.ui import rendering, results, wording
from irss_core.ui.events import (
    QUICK,
    Fields,
    Page,
    RunControls,
    Updates,
    html_part,
    required,
    telling,
)
from irss_core.ui.model_pair import ModelPair
from irss_core.ui.previews import write_preview
from irss_core.ui.rendering import Source
from irss_core.ui.requests import LargeStill, StillRequest, parse_region
from irss_core.ui.running import Board
from irss_core.ui.sessions import Session
from irss_core.ui.vote_panel import Contest, Views, VotePanel, under_neutral_name
from irss_core.words import size_words, time_words

if TYPE_CHECKING:
    from irss_core.ui.stills import StillComparison

PLACE = "image"
REGION_SIZES = (128, 192, 256)
REGION_FIELD = "irss-region-field"


@dataclass(frozen=True)
class OpenPicture:
    """The picture a visitor has opened."""

    path: Path
    header: ImageHeader
    preview: Path


class ImageTab:
    """The components of the tab and what they do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with gr.Row(elem_classes="irss-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="irss-side"):
                self._build_picture()
                self.pair = ModelPair(with_denoise=True)
                self._build_buttons()
            with gr.Column(scale=8, min_width=320, elem_classes="irss-main"):
                self._build_results()
        self.controls = RunControls(PLACE, self.status, self.cancel, (self.try_region, self.run_whole))
        self._connect()

    # -- what is on the page

    def _build_picture(self) -> None:
        html_part(rendering.step_heading(1, "Your picture"))
        self.file = gr.File(
            label="Drop a picture, paste it, or choose a file",
            elem_id="irss-image-file",
            elem_classes="irss-upload",
            height=96,
            show_label=False,
        )
        self.examples = html_part(
            rendering.example_buttons(
                [(example.name, example.thumbnail) for example in self._page.pictures], noun="picture"
            ),
            js_on_load=rendering.PICK_EXAMPLE_JS,
        )
        self.opened = html_part(elem_id="irss-image-opened")
        self.region = html_part(elem_id="irss-image-region")
        self.region_field = gr.Textbox(visible="hidden", elem_id=REGION_FIELD, label="Region", container=False)
        self.region_size = gr.Radio(
            [(f"{size} px", size) for size in REGION_SIZES],
            value=192,
            label="Region size",
            visible=False,
            elem_classes="irss-compact",
        )

    def _build_buttons(self) -> None:
        with gr.Column(elem_classes="irss-actions") as self.actions:
            self.status = html_part(elem_id="irss-image-status")
            with gr.Row(elem_classes="irss-buttons"):
                self.try_region = gr.Button("Try a region first", variant="primary", elem_id="irss-image-try")
                self.run_whole = gr.Button("Run the whole picture", elem_id="irss-image-whole")
                self.cancel = gr.Button("Cancel", visible=False, elem_id="irss-image-cancel")
            with gr.Row(elem_classes="irss-buttons", visible=False) as self.question:
                self.to_queue = gr.Button("Hand this to the queue", elem_id="irss-image-queue")
                self.run_anyway = gr.Button("Run it anyway", elem_id="irss-image-anyway")

    def _build_results(self) -> None:
        self.intro = html_part(wording.IMAGE_INTRO)
        with gr.Column(visible=False, elem_id="irss-image-results") as self.results:
            self.viewer = html_part(elem_id="irss-image-viewer")
            self.vote = VotePanel(self._page, PLACE, noun="picture")
            with gr.Column() as self.details:
                self.forecast = html_part(elem_id="irss-image-forecast")
                self.facts = html_part(elem_id="irss-image-facts")
                self.downloads = html_part(elem_id="irss-image-downloads")
                with gr.Accordion(
                    "Where the two differ, and what was invented", open=False, elem_id="irss-image-difference-box"
                ):
                    self.difference = html_part(elem_id="irss-image-difference")
                with gr.Accordion("I have the original in high resolution", open=False, elem_id="irss-image-truth-box"):
                    html_part(wording.TRUTH_INTRO)
                    self.truth = gr.File(
                        label="The original",
                        elem_id="irss-truth-file",
                        elem_classes="irss-upload",
                        height=96,
                        show_label=False,
                    )
                    self.scores = html_part(elem_id="irss-image-scores")

    # -- what it does

    def _connect(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown = self._shown
        self.file.upload(self.open_upload, self.file, shown, **private)
        self.file.clear(self.close_picture, None, shown, **private)
        self.examples.pick(self.open_example, None, [*shown, self.file], **private)
        self.region_size.change(self.resize_region, [self.region_size, self.region_field], self.region, **QUICK)

        choices: set[Block] = {*self.pair.fields, self.region_size, self.region_field}
        run: dict[str, Any] = {**private, "concurrency_id": "inference", "concurrency_limit": None}
        outputs = [*self.controls.components, *self._outputs]
        self.try_region.click(self.run_region, choices, outputs, **run)
        self.run_whole.click(self.run_picture, choices, outputs, **run)
        self.run_anyway.click(self.run_large, None, outputs, **run)
        self.controls.connect_cancel(self._page)
        self.truth.upload(self.compare_with_truth, self.truth, self.scores, **private)
        self.truth.clear(lambda: "", None, self.scores, **private)
        self.vote.connect([self.viewer, *self._naming], self.pair.names_hidden)

    def connect(self, blocks: gr.Blocks) -> None:
        """Open the first example whenever the page is loaded."""
        blocks.load(self.open_first_example, None, self._shown, api_visibility="private", show_progress="hidden")

    @property
    def _shown(self) -> list[Any]:
        return [self.opened, self.region, self.region_field, self.region_size, self.status, self.question]

    @property
    def _outputs(self) -> list[Any]:
        return [
            self.question,
            self.intro,
            self.results,
            self.viewer,
            self.vote.part,
            *self._naming,
            self.forecast,
            self.facts,
            self.downloads,
            self.difference,
            self.scores,
        ]

    @property
    def _naming(self) -> list[Any]:
        """What tells the models' names: out of sight while a visitor votes."""
        return [self.pair.group, self.actions, self.details]

    @telling(lambda tab: tab.opened)
    def open_upload(self, upload: str, request: gr.Request) -> Updates:
        """Show the preview of an uploaded picture, and what it is."""
        session = self._page.session(request)
        session.forget(OpenPicture)
        cleared = self._closed()
        try:
            return {**cleared, **self._open(session, session.adopt(upload, "picture"))}
        except InputError as error:
            return {**cleared, self.opened: rendering.notice(str(error), kind="error")}

    @telling(lambda tab: tab.opened)
    def open_example(self, request: gr.Request, event: gr.EventData) -> Updates:
        """Show one of the examples."""
        return {**self._open_example(request, int(event.index)), self.file: None}

    def open_first_example(self, request: gr.Request) -> Updates:
        """Show the first example, so that a new visitor can press the button at once."""
        return self._open_example(request, 0) if self._page.pictures else self._closed()

    def close_picture(self, request: gr.Request) -> Updates:
        """Forget the picture."""
        self._page.session(request).forget(OpenPicture)
        return self._closed()

    def resize_region(self, size: int, region: str, request: gr.Request) -> Any:
        """Show the region in another size, around the same middle."""
        picture = self._page.session(request).kept(OpenPicture)
        return gr.skip() if picture is None else self._region(picture, size, region)

    async def run_region(self, fields: Fields, request: gr.Request) -> AsyncIterator[Updates]:
        """Run both models on the region, and say what the whole picture would take."""
        async for updates in self._run(self._page.session(request), fields, whole=False):
            yield updates

    async def run_picture(self, fields: Fields, request: gr.Request) -> AsyncIterator[Updates]:
        """Run both models on the whole picture; ask first if it will take long."""
        async for updates in self._run(self._page.session(request), fields, whole=True):
            yield updates

    async def run_large(self, request: gr.Request) -> AsyncIterator[Updates]:
        """Run what the visitor was asked about."""
        session = self._page.session(request)
        large = session.kept(LargeStill)
        if large is None:
            yield {self.question: gr.update(visible=False)}
            return
        async for updates in self._follow(session, replace(large.request, confirmed=True)):
            yield updates

    @telling(lambda tab: tab.scores)
    def compare_with_truth(self, upload: str, request: gr.Request) -> Updates:
        """Show PSNR and SSIM against the visitor's own original."""
        from irss_core.ui.stills import StillComparison, score

        session = self._page.session(request)
        comparison = required(session.kept(StillComparison), "Run a comparison first; then it can be measured.")
        path = session.adopt(upload, "truth")
        session.keep_only(path.parent)
        return {self.scores: results.scores(score(comparison, path, self._page.services))}

    def large_work(self, session: Session) -> LargeStill | None:
        """Return the work that the visitor was asked about last."""
        return session.kept(LargeStill)

    # -- steps of these

    def _closed(self) -> Updates:
        return {
            self.opened: "",
            self.region: "",
            self.region_field: "",
            self.region_size: gr.update(visible=False),
            self.status: "",
            self.question: gr.update(visible=False),
        }

    def _open_example(self, request: gr.Request, index: int) -> Updates:
        session = self._page.session(request)
        return {**self._closed(), **self._open(session, session.copy(self._page.pictures[index].path, "picture"))}

    def _open(self, session: Session, path: Path) -> Updates:
        limits = self._page.services.image_limits
        try:
            header = read_header(path, limits)
        except InputError:
            if _plays(path):
                raise InputError(f"{path.name} is a clip. Open it in the Clip tab.") from None
            raise
        if header.animated:
            raise InputError(f"{path.name} is an animation of {header.frames} frames. Open it in the Clip tab.")
        picture = read_image(path, limits)
        opened = OpenPicture(path, header, write_preview(picture, path.parent / "preview.png"))
        session.keep(opened)
        session.keep_only(path.parent)
        return {
            self.opened: results.picture_facts(path.name, header, picture.notes),
            self.region: self._region(opened, 192, ""),
            self.region_size: gr.update(visible=max(header.width, header.height) > REGION_SIZES[0], value=192),
        }

    def _region(self, picture: OpenPicture, size: int, place: str) -> str:
        header = picture.header
        region = parse_region(place, width=header.width, height=header.height, size=size)
        return rendering.region_picker(
            self._page.address(picture.preview),
            width=header.width,
            height=header.height,
            size=size,
            corner=(region.x, region.y),
            target=f"#{REGION_FIELD}",
        )

    async def _run(self, session: Session, fields: Fields, *, whole: bool) -> AsyncIterator[Updates]:
        try:
            asked = self._request(session, fields, whole=whole)
        except IrssError as error:
            yield {self.status: rendering.notice(str(error), kind="warn")}
            return
        async for updates in self._follow(session, asked):
            yield updates

    def _request(self, session: Session, fields: Fields, *, whole: bool) -> StillRequest:
        picture = required(session.kept(OpenPicture), "Choose a picture first: drop one above, or take an example.")
        size = {"width": picture.header.width, "height": picture.header.height, "size": fields[self.region_size]}
        return StillRequest(
            source=picture.path,
            **self.pair.chosen(fields, session),
            denoise=fields[self.pair.denoise],
            region=None if whole else parse_region(fields[self.region_field], **size),
        )

    async def _follow(self, session: Session, asked: StillRequest) -> AsyncIterator[Updates]:
        folder = session.new_folder("still")

        def work(board: Board, cancel: CancelToken) -> StillComparison | LargeStill:
            from irss_core.ui.stills import StillComparison, compare_still  # here, because it loads torch

            services, measured = self._page.services, session.kept(StillComparison)
            with services.inference_slot():
                return compare_still(asked, services, folder, board=board, cancel=cancel, measured=measured)

        def present(made: StillComparison | LargeStill) -> Updates:
            session.keep(made)
            if isinstance(made, LargeStill):
                return self._question(made)
            session.keep_only(folder)
            views = Views(functools.partial(self._blind_view, made), functools.partial(self._named_view, made))
            return {**self._results_of(made), **self.vote.offer(session, _contest(made), views)}

        async for updates in self.controls.run(self._page, session, work, steps=asked.steps, present=present):
            yield {self.question: gr.update(visible=False), **updates}

    def _question(self, large: LargeStill) -> Updates:
        words = (
            f"This will take about {time_words(large.seconds)} and "
            f"{size_words(large.memory_bytes)} of working memory on this machine. {wording.RUN_OR_QUEUE}"
        )
        return {self.status: rendering.notice(words, kind="warn"), self.question: gr.update(visible=True)}

    def _named_view(self, made: StillComparison) -> Updates:
        address = self._page.address
        first, second = made.runs
        sources = [
            Source("input", "Input", address(made.input_shown)),
            Source("bicubic", "Bicubic", address(made.bicubic_shown)),
            Source("a", f"A: {first.title}", address(first.shown)),
            Source("b", f"B: {second.title}", address(second.shown)),
        ]
        viewer = rendering.compare_viewer(sources, left="a", right="b", width=made.width, height=made.height)
        return {self.viewer: viewer, **dict.fromkeys(self._naming, gr.update(visible=True))}

    def _blind_view(self, made: StillComparison, swapped: bool) -> Updates:
        address = self._page.address
        left, right = (under_neutral_name(run.shown) for run in (reversed(made.runs) if swapped else made.runs))
        sources = [
            Source("left", "Left", address(left), side="left"),
            Source("right", "Right", address(right), side="right"),
            Source("input", "Input", address(made.input_shown)),
        ]
        viewer = rendering.compare_viewer(sources, left="left", right="right", width=made.width, height=made.height)
        return {self.viewer: viewer, **dict.fromkeys(self._naming, gr.update(visible=False))}

    def _results_of(self, made: StillComparison) -> Updates:
        address = self._page.address
        return {
            **self._named_view(made),
            self.intro: gr.update(visible=False),
            self.results: gr.update(visible=True),
            self.forecast: _forecast_words(made),
            self.facts: results.still_facts(made),
            self.downloads: results.downloads_of(
                [run.title for run in made.runs], [[(file, address(file)) for file in run.files] for run in made.runs]
            ),
            self.difference: results.difference(address(made.difference), made)
            + results.invented([address(each.shown) for each in made.invented], made),
            self.scores: "",
        }


def _contest(made: StillComparison) -> Contest:
    first, second = made.runs
    whole = (made.part.width, made.part.height) == made.whole_size
    return Contest(
        kind="still",
        models=(first.name, second.name),
        titles=(first.title, second.title),
        results=(first.files[0], second.files[0]),
        source=made.source_digest,
        outscale=made.outscale,
        extent="whole" if whole else "part",
    )


def _forecast_words(made: StillComparison) -> str:
    notes = list(made.notes)
    if made.reduced:
        notes.append("The results are larger than a browser can show, so the view is reduced; the files are not.")
    words = "".join(rendering.notice(note) for note in notes)
    if made.whole_forecast is not None:
        words = results.whole_forecast(made, made.whole_forecast) + words
    return words


def _plays(path: Path) -> bool:
    try:
        return is_clip(path)
    except InputError:
        return False
