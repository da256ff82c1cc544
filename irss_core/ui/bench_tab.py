"""The benchmark tab: a set, some models, a protocol; a table that fills, a report, and what people preferred."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from irss_core.bench.dataset import Limits
from irss_core.errors import InputError, IrssError
from irss_core.metrics.protocols import PROTOCOLS, Protocol, find_protocol
from irss_core.progress import CancelToken
from irss_core.sr.catalog import MODELS
from irss_core.ui import bench_tables, made_set, rendering, wording
from irss_core.ui.bench_sets import UploadedSet, describe, samples_of, take_uploads
from irss_core.ui.events import Fields, Page, RunControls, Updates, html_part, model_title, telling
from irss_core.ui.requests import BenchRequest, LargeBench
from irss_core.ui.running import Board
from irss_core.ui.sessions import Session
from irss_core.ui.votes import ratings_html
from irss_core.words import time_words

if TYPE_CHECKING:
    from irss_core.bench.results import QualityResults
    from irss_core.ui.benches import BenchRun

PLACE = "bench"
FIRST = ("bicubic", "realesr-animevideov3", "tecogan-x4")
FIRST_PROTOCOL = "plain"
_SCALE = 4


@dataclass(frozen=True)
class RefusedSet:
    """The visitor gave files that cannot be measured, for this reason."""

    reason: str


@dataclass(frozen=True)
class BenchPlace:
    """Where results lie that a request of the same kind goes on from."""

    measures_like: tuple[object, ...]
    folder: Path


class BenchTab:
    """The components of the tab and what they do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with gr.Row(elem_classes="irss-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="irss-side"):
                self._build_set()
                self._build_models()
                self._build_buttons()
            with gr.Column(scale=8, min_width=300, elem_classes="irss-main"):
                self._build_results()
        self.controls = RunControls(PLACE, self.status, self.cancel, (self.run,))
        self._connect()

    # -- what is on the page

    def _build_set(self) -> None:
        html_part(rendering.step_heading(1, "Your set"))
        self.files = gr.File(
            label="Drop pictures, clips or one zip, or choose files",
            elem_id="irss-bench-files",
            elem_classes="irss-upload",
            file_count="multiple",
            height=96,
            show_label=False,
        )
        self.opened = html_part(_opened_built_in(find_protocol(FIRST_PROTOCOL)), elem_id="irss-bench-opened")
        html_part(rendering.hint(wording.BENCH_SET_HINT))

    def _build_models(self) -> None:
        html_part(rendering.step_heading(2, "Models and protocol"))
        self.models = gr.CheckboxGroup(bench_choices(), value=list(FIRST), label="Models", elem_id="irss-bench-models")
        protocol = find_protocol(FIRST_PROTOCOL)
        self.protocol = gr.Dropdown(
            [(each.title, name) for name, each in PROTOCOLS.items()],
            value=FIRST_PROTOCOL,
            label="How it is measured (protocol)",
            filterable=False,
        )
        self.protocol_hint = html_part(_about(protocol), elem_id="irss-bench-protocol")

    def _build_buttons(self) -> None:
        with gr.Column(elem_classes="irss-actions"):
            self.status = html_part(elem_id="irss-bench-status")
            with gr.Row(elem_classes="irss-buttons"):
                self.run = gr.Button("Measure", variant="primary", elem_id="irss-bench-run")
                self.run_anyway = gr.Button("Run it anyway", visible=False, elem_id="irss-bench-anyway")
                self.cancel = gr.Button("Cancel", visible=False, elem_id="irss-bench-cancel")

    def _build_results(self) -> None:
        self.intro = html_part(wording.BENCH_INTRO)
        self.board = html_part(elem_id="irss-bench-board")
        self.problems = html_part(elem_id="irss-bench-problems")
        self.downloads = html_part(elem_id="irss-bench-downloads")
        with gr.Accordion("What people preferred (blind votes)", open=False, elem_id="irss-bench-votes-box"):
            self.ratings = html_part(elem_id="irss-bench-votes")

    # -- what it does

    def _connect(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.files.change(
            self.open_files, [self.files, self.protocol], [self.opened, self.status, self.run_anyway], **private
        )
        self.protocol.change(
            self.describe_protocol, self.protocol, [self.protocol_hint, self.opened, self.run_anyway], **private
        )
        run: dict[str, Any] = {**private, "concurrency_id": "inference", "concurrency_limit": None}
        outputs = [
            *self.controls.components, self.run_anyway, self.intro, self.board, self.downloads, self.problems,
        ]  # fmt: skip
        self.run.click(self.run_chosen, {self.models, self.protocol}, outputs, **run)
        self.run_anyway.click(self.run_large, None, outputs, **run)
        self.controls.connect_cancel(self._page)

    def connect(self, tab: gr.Tab) -> None:
        """Bring the models and the votes up to date whenever the tab is opened."""
        tab.select(self.show, None, [self.models, self.ratings], api_visibility="private", show_progress="hidden")

    def show(self, request: gr.Request) -> Updates:
        """Show the models there are for this visitor, and what all votes say."""
        return {
            self.models: gr.update(choices=bench_choices(self._page.session(request))),
            self.ratings: ratings_html(self._page.services.votes),
        }

    @telling(lambda tab: tab.opened)
    def open_files(self, uploads: Sequence[str] | None, protocol: str, request: gr.Request) -> Updates:
        """Take the files in as the set to measure on, and say what they are; without any, the built-in set is."""
        session = self._page.session(request)
        session.forget(UploadedSet)
        session.forget(RefusedSet)
        closed = {self.status: "", self.run_anyway: gr.update(visible=False)}
        if not uploads:
            return {**closed, self.opened: _opened_built_in(find_protocol(protocol))}
        folder = session.new_folder("set")
        session.keep(RefusedSet("The files could not be taken in. Give them again."))  # until they are
        try:
            uploaded = take_uploads(
                [session.received(upload) for upload in uploads],
                folder,
                limits=self._limits,
                max_bytes=self._page.services.settings.max_clip_bytes,
            )
        except InputError as error:
            shutil.rmtree(folder, ignore_errors=True)
            session.keep(RefusedSet(str(error)))
            return {**closed, self.opened: rendering.notice(str(error), kind="error")}
        session.forget(RefusedSet)
        session.keep(uploaded)
        if not session.busy:  # the earlier set may be what is being measured
            session.keep_only(folder)
        return {**closed, self.opened: self._opened(uploaded, find_protocol(protocol))}

    @telling(lambda tab: tab.protocol_hint)
    def describe_protocol(self, name: str, request: gr.Request) -> Updates:
        """Say what the protocol measures, and what of the set."""
        session, protocol = self._page.session(request), find_protocol(name)
        shown: Updates = {self.protocol_hint: _about(protocol), self.run_anyway: gr.update(visible=False)}
        if session.kept(RefusedSet) is not None:
            return shown
        uploaded = session.kept(UploadedSet)
        opened = _opened_built_in(protocol) if uploaded is None else self._opened(uploaded, protocol)
        return {**shown, self.opened: opened}

    async def run_chosen(self, fields: Fields, request: gr.Request) -> AsyncIterator[Updates]:
        """Measure the chosen models; ask first if it will take long."""
        session = self._page.session(request)
        try:
            asked = self._request(session, fields[self.models], find_protocol(fields[self.protocol]))
        except IrssError as error:
            yield {self.status: rendering.notice(str(error), kind="warn")}
            return
        async for updates in self._follow(session, asked):
            yield updates

    async def run_large(self, request: gr.Request) -> AsyncIterator[Updates]:
        """Measure what the visitor was asked about."""
        session = self._page.session(request)
        large = session.kept(LargeBench)
        if large is None:
            yield {self.run_anyway: gr.update(visible=False)}
            return
        async for updates in self._follow(session, replace(large.request, confirmed=True)):
            yield updates

    # -- steps of these

    @property
    def _limits(self) -> Limits:
        services = self._page.services
        return Limits(still=services.image_limits, clip=services.clip_limits)

    def _opened(self, uploaded: UploadedSet, protocol: Protocol) -> str:
        """Return what an uploaded set is under a protocol."""
        try:
            dataset = samples_of(uploaded, kinds=protocol.kinds, limits=self._limits)
        except InputError as error:
            return rendering.notice(str(error), kind="error")
        own = ", with small pictures of its own" if uploaded.has_inputs else ""
        notes = list(dataset.problems)
        if uploaded.left_out:
            several = f" and {len(uploaded.left_out) - 1} more" if len(uploaded.left_out) > 1 else ""
            notes.append(f"Left out, neither pictures nor clips: {uploaded.left_out[0]}{several}.")
        facts = _opened_line(uploaded.name, f"{describe(dataset)}{own}")
        return facts + "".join(rendering.notice(note, kind="warn") for note in notes)

    def _request(self, session: Session, models: Sequence[str], protocol: Protocol) -> BenchRequest:
        refused, uploaded = session.kept(RefusedSet), session.kept(UploadedSet)
        if refused is not None:
            raise InputError(f"{refused.reason} Or take the files out: then the built-in set is measured.")
        if not models:
            raise InputError("Choose at least one model.")
        return BenchRequest(
            root=uploaded.root if uploaded else None,
            name=uploaded.name if uploaded else made_set.NAME,
            protocol=protocol.name,
            degradation="none" if uploaded and uploaded.has_inputs else protocol.degradation,
            models=tuple(models),
            titles=_different([model_title(name, session) for name in models]),
        )

    async def _follow(self, session: Session, asked: BenchRequest) -> AsyncIterator[Updates]:
        before = session.kept(BenchPlace)
        goes_on = before is not None and before.measures_like == asked.measures_like and before.folder.is_dir()
        folder = before.folder if before is not None and goes_on else session.new_folder(PLACE)
        session.keep(BenchPlace(asked.measures_like, folder))

        def work(board: Board, cancel: CancelToken) -> BenchRun | LargeBench:
            from irss_core.ui.benches import run_bench  # here, because it loads torch

            services = self._page.services
            with services.inference_slot():
                return run_bench(asked, services, folder, board=board, cancel=cancel)

        def present(made: BenchRun | LargeBench) -> Updates:
            session.keep_only(folder)
            if isinstance(made, LargeBench):
                session.keep(made)
                return self._question(made)
            return {**self._table(made.results), **self._files(made)}

        async for updates in self.controls.run(
            self._page, session, work, steps=asked.steps, present=present, present_partial=self._table
        ):
            yield {self.run_anyway: gr.update(visible=False), **updates}

    def _question(self, large: LargeBench) -> Updates:
        words = f"This will take about {time_words(large.seconds)} on this machine. {wording.RUN_NOW}"
        return {self.status: rendering.notice(words, kind="warn"), self.run_anyway: gr.update(visible=True)}

    def _table(self, results: QualityResults) -> Updates:
        return {
            self.intro: gr.update(visible=False),
            self.board: bench_tables.score_board(results),
            self.downloads: "",
            self.problems: "",
        }

    def _files(self, made: BenchRun) -> Updates:
        address = self._page.address
        return {
            self.downloads: bench_tables.files(
                (made.report, address(made.report)), [(path, address(path)) for path in made.data_files]
            ),
            self.problems: bench_tables.problems(made.results),
        }


def bench_choices(session: Session | None = None) -> list[tuple[str, str]]:
    """Return (label, name) of every model that can be measured: the baselines first, own checkpoints last."""
    known = [(spec.title, name) for name, spec in MODELS.items() if spec.scale == _SCALE]
    known.sort(key=lambda choice: bool(MODELS[choice[1]].files))
    own = session.own_models if session is not None else {}
    return known + [(title, name) for name, title in own.items()]


def _different(titles: Sequence[str]) -> tuple[str, ...]:
    """Return the titles, numbered where two are the same: two checkpoints may come from files of one name."""
    counts: dict[str, int] = {}
    different = []
    for title in titles:
        counts[title] = counts.get(title, 0) + 1
        different.append(title if counts[title] == 1 else f"{title} {counts[title]}")
    return tuple(different)


def _about(protocol: Protocol) -> str:
    return rendering.hint(protocol.summary) + bench_tables.protocol_lines(protocol.describe())


def _opened_built_in(protocol: Protocol) -> str:
    words = wording.BENCH_BUILT_IN if "still" in protocol.kinds else wording.BENCH_BUILT_IN_CLIP
    return _opened_line("The built-in set", words)


def _opened_line(name: str, facts: str) -> str:
    readable = rendering.readable
    return f'<p class="irss-opened"><strong>{readable(name)}</strong><span>{readable(facts)}</span></p>'
