"""The clip tab: a clip, two models, a part first, then the whole; one player in lock-step, profiles over time."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from irss_core.errors import InputError, IrssError
from irss_core.media.video import ClipInfo, is_clip, probe_clip
from irss_core.progress import CancelToken
from irss_core.ui import rendering, results, wording
from irss_core.ui.events import (
    Fields,
    Page,
    RunControls,
    Updates,
    html_part,
    required,
    telling,
)
from irss_core.ui.model_pair import ModelPair
from irss_core.ui.previews import write_poster
from irss_core.ui.rendering import Source
from irss_core.ui.requests import ClipRequest, LargeClip, parse_part
from irss_core.ui.running import Board
from irss_core.ui.sessions import Session
from irss_core.ui.vote_panel import Contest, Views, VotePanel
from irss_core.words import time_words

if TYPE_CHECKING:
    from irss_core.ui.clips import ClipComparison

PLACE = "clip"
ROW_FIELD = "irss-row-field"
_PART_S = 1.0
_LONGEST_PART_S = 10.0


@dataclass(frozen=True)
class OpenClip:
    """The clip a visitor has opened."""

    path: Path
    info: ClipInfo


class ClipTab:
    """The components of the tab and what they do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with gr.Row(elem_classes="irss-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="irss-side"):
                self._build_clip()
                self.pair = ModelPair(with_denoise=False)
                self._build_buttons()
            with gr.Column(scale=8, min_width=300, elem_classes="irss-main"):
                self._build_results()
        self.controls = RunControls(PLACE, self.status, self.cancel, (self.try_part, self.run_whole))
        self._connect()

    # -- what is on the page

    def _build_clip(self) -> None:
        html_part(rendering.step_heading(1, "Your clip"))
        self.file = gr.File(
            label="Drop a video or GIF, or choose a file",
            elem_id="irss-clip-file",
            elem_classes="irss-upload",
            height=96,
            show_label=False,
        )
        self.examples = html_part(
            rendering.example_buttons([(example.name, example.thumbnail) for example in self._page.clips], noun="clip"),
            js_on_load=rendering.PICK_EXAMPLE_JS,
        )
        self.opened = html_part(elem_id="irss-clip-opened")
        self.poster = html_part(elem_id="irss-clip-poster")
        with gr.Row(visible=False, elem_id="irss-clip-part") as self.part:
            self.start = gr.Slider(0, 1, value=0, step=0.05, label="Start (s)", min_width=130)
            self.length = gr.Slider(0.1, 1, value=_PART_S, step=0.05, label="Length (s)", min_width=130)

    def _build_buttons(self) -> None:
        with gr.Column(elem_classes="irss-actions") as self.actions:
            self.status = html_part(elem_id="irss-clip-status")
            with gr.Row(elem_classes="irss-buttons"):
                self.try_part = gr.Button("Try a part first", variant="primary", elem_id="irss-clip-try")
                self.run_whole = gr.Button("Run the whole clip", elem_id="irss-clip-whole")
                self.cancel = gr.Button("Cancel", visible=False, elem_id="irss-clip-cancel")
            with gr.Row(elem_classes="irss-buttons", visible=False) as self.question:
                self.to_queue = gr.Button("Hand this to the queue", elem_id="irss-clip-queue")
                self.run_anyway = gr.Button("Run it anyway", elem_id="irss-clip-anyway")

    def _build_results(self) -> None:
        self.intro = html_part(wording.CLIP_INTRO)
        with gr.Column(visible=False, elem_id="irss-clip-results") as self.results:
            self.player = html_part(elem_id="irss-clip-player")
            self.row = gr.Textbox(visible="hidden", elem_id=ROW_FIELD, label="Row", container=False)
            self.vote = VotePanel(self._page, PLACE, noun="clip")
            with gr.Column() as self.details:
                self.forecast = html_part(elem_id="irss-clip-forecast")
                self.profiles = html_part(elem_id="irss-clip-profiles")
                self.facts = html_part(elem_id="irss-clip-facts")
                self.downloads = html_part(elem_id="irss-clip-downloads")

    # -- what it does

    def _connect(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown = [self.opened, self.poster, self.part, self.start, self.length, self.status, self.question]
        self.file.upload(self.open_upload, self.file, shown, **private)
        self.file.clear(self.close_clip, None, shown, **private)
        self.examples.pick(self.open_example, None, [*shown, self.file], **private)
        choices: set[Block] = {*self.pair.fields, self.start, self.length}
        run: dict[str, Any] = {**private, "concurrency_id": "inference", "concurrency_limit": None}
        outputs = [*self.controls.components, *self._outputs]
        self.try_part.click(self.run_part, choices, outputs, **run)
        self.run_whole.click(self.run_clip, choices, outputs, **run)
        self.run_anyway.click(self.run_large, None, outputs, **run)
        self.controls.connect_cancel(self._page)
        self.row.change(self.show_row, self.row, self.profiles, trigger_mode="always_last", **private)
        self.vote.connect([self.player, *self._naming], self.pair.names_hidden)

    @property
    def _outputs(self) -> list[Any]:
        return [
            self.question,
            self.intro,
            self.results,
            self.player,
            self.vote.part,
            *self._naming,
            self.forecast,
            self.profiles,
            self.facts,
            self.downloads,
        ]

    @property
    def _naming(self) -> list[Any]:
        """What tells the models' names: out of sight while a visitor votes."""
        return [self.pair.group, self.actions, self.details]

    @telling(lambda tab: tab.opened)
    def open_upload(self, upload: str, request: gr.Request) -> Updates:
        """Show the first frame of an uploaded clip, and what it is."""
        session = self._page.session(request)
        session.forget(OpenClip)
        try:
            return {**self._closed(), **self._open(session, session.adopt(upload, "source"))}
        except InputError as error:
            return {**self._closed(), self.opened: rendering.notice(str(error), kind="error")}

    @telling(lambda tab: tab.opened)
    def open_example(self, request: gr.Request, event: gr.EventData) -> Updates:
        """Show one of the examples."""
        session = self._page.session(request)
        example = session.copy(self._page.clips[int(event.index)].path, "source")
        return {**self._closed(), **self._open(session, example), self.file: None}

    def close_clip(self, request: gr.Request) -> Updates:
        """Forget the clip."""
        self._page.session(request).forget(OpenClip)
        return self._closed()

    async def run_part(self, fields: Fields, request: gr.Request) -> AsyncIterator[Updates]:
        """Run both models on the part, and say what the whole clip would take."""
        async for updates in self._run(self._page.session(request), fields, whole=False):
            yield updates

    async def run_clip(self, fields: Fields, request: gr.Request) -> AsyncIterator[Updates]:
        """Run both models on the whole clip; ask first if it will take long."""
        async for updates in self._run(self._page.session(request), fields, whole=True):
            yield updates

    async def run_large(self, request: gr.Request) -> AsyncIterator[Updates]:
        """Run what the visitor was asked about."""
        session = self._page.session(request)
        large = session.kept(LargeClip)
        if large is None:
            yield {self.question: gr.update(visible=False)}
            return
        async for updates in self._follow(session, replace(large.request, confirmed=True)):
            yield updates

    @telling(lambda tab: tab.profiles)
    def show_row(self, row: str, request: gr.Request) -> Updates:
        """Show another row over time."""
        from irss_core.ui.clips import ClipComparison

        made = self._page.session(request).kept(ClipComparison)
        if made is None or not row.isdecimal():
            return {self.profiles: gr.skip()}
        return {self.profiles: self._profiles(made, int(row))}

    def large_work(self, session: Session) -> LargeClip | None:
        """Return the work that the visitor was asked about last."""
        return session.kept(LargeClip)

    # -- steps of these

    def _closed(self) -> Updates:
        return {
            self.opened: "",
            self.poster: "",
            self.part: gr.update(visible=False),
            self.status: "",
            self.question: gr.update(visible=False),
        }

    def _open(self, session: Session, path: Path) -> Updates:
        limits = self._page.services.clip_limits
        if not is_clip(path, limits):
            raise InputError(f"{path.name} is a still picture. Open it in the Image tab.")
        info = probe_clip(path, limits)
        poster = write_poster(path, path.parent / "poster.png", limits)
        session.keep(OpenClip(path, info))
        session.keep_only(path.parent)
        seconds = info.duration_s or _LONGEST_PART_S
        longest = min(seconds, _LONGEST_PART_S)
        return {
            self.opened: results.clip_facts(path.name, info),
            self.poster: rendering.figure(
                self._page.address(poster), alt="The first frame", caption="", css_class="irss-poster"
            ),
            self.part: gr.update(visible=True),
            self.start: gr.update(maximum=round(max(seconds - 0.1, 0.1), 2), value=0),
            self.length: gr.update(maximum=round(max(longest, 0.2), 2), value=round(min(_PART_S, longest), 2)),
        }

    async def _run(self, session: Session, fields: Fields, *, whole: bool) -> AsyncIterator[Updates]:
        try:
            asked = self._request(session, fields, whole=whole)
        except IrssError as error:
            yield {self.status: rendering.notice(str(error), kind="warn")}
            return
        async for updates in self._follow(session, asked):
            yield updates

    def _request(self, session: Session, fields: Fields, *, whole: bool) -> ClipRequest:
        clip = required(session.kept(OpenClip), "Choose a clip first: drop one above, or take the example.")
        part = None
        if not whole:
            part = parse_part(fields[self.start], fields[self.length], duration_s=clip.info.duration_s)
        return ClipRequest(
            source=clip.path,
            **self.pair.chosen(fields, session),
            part=part,
        )

    async def _follow(self, session: Session, asked: ClipRequest) -> AsyncIterator[Updates]:
        folder = session.new_folder("clip")

        def work(board: Board, cancel: CancelToken) -> tuple[ClipComparison, str] | LargeClip:
            from irss_core.ui.clips import ClipComparison, compare_clip  # here, because it loads torch

            services, measured = self._page.services, session.kept(ClipComparison)
            with services.inference_slot():
                made = compare_clip(asked, services, folder, board=board, cancel=cancel, measured=measured)
            return made if isinstance(made, LargeClip) else (made, self._profiles(made, made.middle_row))

        def present(done: tuple[ClipComparison, str] | LargeClip) -> Updates:
            if isinstance(done, LargeClip):
                session.keep(done)
                return self._question(done)
            made, profiles = done
            session.keep(made)
            session.keep_only(folder)
            views = Views(functools.partial(self._blind_view, made), functools.partial(self._named_view, made))
            vote = self.vote.offer(session, _contest(made), views)
            return {**self._results_of(made), self.profiles: profiles, **vote}

        async for updates in self.controls.run(self._page, session, work, steps=asked.steps, present=present):
            yield {self.question: gr.update(visible=False), **updates}

    def _question(self, large: LargeClip) -> Updates:
        words = f"This will take about {time_words(large.seconds)} on this machine. {wording.RUN_OR_QUEUE}"
        return {self.status: rendering.notice(words, kind="warn"), self.question: gr.update(visible=True)}

    def _profiles(self, made: ClipComparison, row: int) -> str:
        from irss_core.ui.clips import temporal_profiles

        pictures = temporal_profiles(made, row)
        titled = [(label, self._page.address(pictures[panel])) for panel, label in _panel_labels(made).items()]
        return results.profiles(titled, row=row)

    def _named_view(self, made: ClipComparison) -> Updates:
        player = rendering.player(
            self._page.address(made.preview),
            [Source(panel, label) for panel, label in _panel_labels(made).items()],
            left="a",
            right="b",
            width=made.panel_width,
            height=made.panel_height,
            fps=made.fps,
            times_s=made.times_s,
            row=made.middle_row,
            row_target=f"#{ROW_FIELD}",
        )
        return {self.player: player, **dict.fromkeys(self._naming, gr.update(visible=True))}

    def _blind_view(self, made: ClipComparison, swapped: bool) -> Updates:
        player = rendering.player(
            self._page.address(made.preview),
            _blind_panels(made, swapped=swapped),
            left="left",
            right="right",
            width=made.panel_width,
            height=made.panel_height,
            fps=made.fps,
            times_s=made.times_s,
            stacked=len(_panel_labels(made)),
        )
        return {self.player: player, **dict.fromkeys(self._naming, gr.update(visible=False))}

    def _results_of(self, made: ClipComparison) -> Updates:
        address = self._page.address
        return {
            **self._named_view(made),
            self.intro: gr.update(visible=False),
            self.results: gr.update(visible=True),
            self.forecast: results.clip_remarks(made),
            self.facts: results.clip_run_facts(made),
            self.downloads: results.downloads_of(
                [result.title for result in made.results],
                [[(file, address(file)) for file in result.files] for result in made.results],
            ),
        }


def _panel_labels(made: ClipComparison) -> dict[str, str]:
    first, second = made.results
    return {"bicubic": "Bicubic", "a": f"A: {first.title}", "b": f"B: {second.title}"}


def _blind_panels(made: ClipComparison, *, swapped: bool) -> list[Source]:
    """Return the panels without names; the plainly enlarged input among them, unless that is one of the models."""
    places = list(_panel_labels(made))
    left, right = ("b", "a") if swapped else ("a", "b")
    panels = [
        Source("left", "Left", side="left", panel=places.index(left)),
        Source("right", "Right", side="right", panel=places.index(right)),
    ]
    if "bicubic" not in made.request.models:
        panels.append(Source("input", "Input, plainly enlarged", panel=places.index("bicubic")))
    return panels


def _contest(made: ClipComparison) -> Contest:
    first, second = made.results
    return Contest(
        kind="clip",
        models=(first.name, second.name),
        titles=(first.title, second.title),
        results=(first.files[0], second.files[0]),
        source=made.source_digest,
        outscale=made.outscale,
        extent="part" if made.request.part else "whole",
    )
