"""The queue tab: files, what to do with them and an address; beside them one's own jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from gradio.blocks import Block

from irss_core.errors import InputError, IrssError, NotSignedInError
from irss_core.jobs.client_ip import client_ip
from irss_core.jobs.identity import Owner
from irss_core.ui import rendering, wording
from irss_core.ui.events import QUICK, Fields, Page, Updates, explain, html_part, telling
from irss_core.ui.handoff import HandedIn, HandingIn, Handover, TakenIn, hand_in, handover_of, options_of
from irss_core.ui.jobs_panel import JobsPanel
from irss_core.ui.queue_forecast import Seen, SeenFiles, forecast_html, problems_html, see
from irss_core.ui.queue_options import QueueOptions
from irss_core.ui.requests import LargeClip, LargeStill
from irss_core.ui.sessions import Session
from irss_core.ui.sign_in_panel import SignInPanel

PLACE = "queue"
_SIGN_IN_FIRST = "Give an e-mail address first and confirm it with the code, below the options. Your files stay here."
_GONE = "There is nothing to hand over any more. Run it here once more first."


class HandsOver(Protocol):
    """A tab that may have work too large for a visitor to wait for."""

    to_queue: gr.Button
    status: gr.HTML

    def large_work(self, session: Session) -> LargeStill | LargeClip | None:
        """Return the work that the visitor was asked about last."""
        ...


class QueueTab:
    """The components of the tab and what they do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with gr.Row(elem_classes="irss-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="irss-side"):
                self._build_files()
                self.options = QueueOptions()
                html_part(rendering.step_heading(3, "Where the mail goes"))
                self.sign_in = SignInPanel(page)
                self._build_buttons()
            with gr.Column(scale=8, min_width=300, elem_classes="irss-main"):
                self.jobs = JobsPanel(page, self.sign_in)
        self._connect()

    # -- what is on the page

    def _build_files(self) -> None:
        html_part(rendering.step_heading(1, "Your files"))
        self.files = gr.File(
            label="Drop pictures, clips or a zip, or choose files",
            elem_id="irss-queue-files",
            elem_classes="irss-upload",
            file_count="multiple",
            height=96,
            show_label=False,
        )
        self.handed_over = html_part(elem_id="irss-queue-handed-over")
        self.problems = html_part(elem_id="irss-queue-problems")

    def _build_buttons(self) -> None:
        with gr.Column(elem_classes="irss-group irss-hand-in"):
            self.forecast = html_part(elem_id="irss-queue-forecast")
            self.status = html_part(elem_id="irss-queue-status")
            with gr.Row(elem_classes="irss-buttons"):
                self.submit = gr.Button("Hand in", variant="primary", elem_id="irss-queue-submit")

    # -- what it does

    def _connect(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.options.connect()
        forecast: set[Block] = {self.files, *self.options.fields}
        latest: dict[str, Any] = {**private, "trigger_mode": "always_last"}
        self.files.change(self.look_at_files, forecast, [self.forecast, self.problems, self.handed_over], **latest)
        self.files.upload(lambda: "", None, self.status, **QUICK)
        for field in self.options.fields:
            field.change(self.look_again, forecast, self.forecast, queue=False, **latest)  # type: ignore[attr-defined]
        everything: set[Block] = {*forecast, self.sign_in.token}
        shown = [self.status, self.submit, self.files, self.handed_over, *self.options.filled, *self.jobs.moving]
        self.submit.click(self.hand_in, everything, shown, trigger_mode="once", **private)
        # "multiple": the default would silently drop what is pressed before the answer to the last press is here.
        signed = [self.sign_in.part, self.sign_in.token, self.status, *self.jobs.moving]
        self.sign_in.part.pick(self.press_sign_in, self.sign_in.token, signed, trigger_mode="multiple", **QUICK)
        self.jobs.connect()

    def connect(self, tab: gr.Tab) -> None:
        """Show who is known on this browser, and their jobs, whenever the tab is opened."""
        outputs = [self.sign_in.part, self.sign_in.token, *self.jobs.moving]
        tab.select(self.show, self.sign_in.token, outputs, **QUICK)

    def take_from(self, tab: HandsOver, tabs: gr.Tabs, *, place: str) -> None:
        """Have another tab's button carry its file and its models over to this one, and open it."""
        handler = self._taker(tab, tabs, place)
        outputs = [tabs, tab.status, self.files, self.handed_over, *self.options.filled]
        tab.to_queue.click(handler, None, outputs, **QUICK)

    @telling(lambda tab: tab.jobs.part)
    def show(self, token: object, request: gr.Request) -> Updates:
        """Show who is known on this browser, and their jobs."""
        return {**self.sign_in.greet(token), **self.jobs.now(token, request)}

    def press_sign_in(self, token: object, request: gr.Request, event: gr.EventData) -> Updates:
        """Take a step on the way to a verified address, and show what is to be seen then."""
        updates = self.sign_in.press(
            str(event.action),
            str(event.text),
            str(event.address),
            ip=self._ip(request),
            outbox_shown=self.jobs.shows_letters(request),
        )
        if self.sign_in.token in updates:  # then nobody is to be told any more that he is to sign in first
            updates[self.status] = ""
        return {**self.jobs.refresh(updates.get(self.sign_in.token, token), request), **updates}

    def look_at_files(self, fields: Fields, request: gr.Request) -> Iterator[Updates]:
        """Say what the files are and what they will take."""
        paths, seen = self._paths(fields, request), self._seen(request)
        updates: Updates = {} if paths else {self.handed_over: ""}
        unseen = [path for path in paths if path not in seen]
        if unseen:
            yield {**updates, self.forecast: rendering.hint(f"Looking at {len(unseen)} file(s) …")}
        services = self._page.services
        for path in unseen:
            seen[path] = see(path, images=services.image_limits, clips=services.clip_limits)
        known = [seen[path] for path in paths]
        yield {**updates, self.problems: problems_html(known), self.forecast: self._forecast(fields, paths, seen)}

    def look_again(self, fields: Fields, request: gr.Request) -> Updates:
        """Say what the files will take with other options."""
        return {self.forecast: self._forecast(fields, self._paths(fields, request), self._seen(request))}

    def hand_in(self, fields: Fields, request: gr.Request) -> Iterator[Updates]:
        """Hand the files in, saying how far that is; what cannot be handed in stays in the form, with the reason."""
        yield {self.submit: gr.update(interactive=False), self.status: rendering.hint("Handing in …")}
        try:
            yield from self._hand_in(fields, request)
        except NotSignedInError:
            yield {self.status: rendering.notice(_SIGN_IN_FIRST, kind="warn")}
        except Exception as error:  # noqa: BLE001  as in RunControls.run
            kind = "warn" if isinstance(error, InputError) else "error"
            yield {self.status: rendering.notice(explain(error), kind=kind)}
        yield {self.submit: gr.update(interactive=True), **self.jobs.refresh(fields[self.sign_in.token], request)}

    # -- steps of these

    def _hand_in(self, fields: Fields, request: gr.Request) -> Iterator[Updates]:
        session = self._page.session(request)
        paths = self._paths(fields, request, strict=True)
        options = options_of(self.options.wishes(fields))
        owner = self.sign_in.owner(fields[self.sign_in.token])
        taken = session.kept(TakenIn) or TakenIn()
        session.keep(taken)
        service = self._page.services.jobs
        percent = -1
        for state in hand_in(service, owner, paths, options, ip=self._ip(request), taken=taken):
            if isinstance(state, HandedIn):
                self._seen(request).update({path: Seen(problem=why) for path, why in state.refused})
                yield self._handed_in(state, owner)
            elif (now := 100 * state.done // state.total) > percent:
                percent = now
                yield {self.status: _handing_in(state)}

    def _handed_in(self, made: HandedIn, owner: Owner) -> Updates:
        """Return the updates for what was handed in; what was not stays in the form."""
        files = "1 file is" if made.jobs == 1 else f"{made.jobs} files are"
        mails = "one mail goes" if made.submissions == 1 else f"{made.submissions} mails go"
        words = f"Handed in: {files} on the way, and {mails} to {owner.address}. You can close this page."
        told = rendering.notice(words, kind="good")
        if made.refused:
            left_out = "1 file was" if len(made.refused) == 1 else f"{len(made.refused)} files were"
            told += rendering.notice(f"{left_out} not handed in. What is left above says why.", kind="warn")
        updates: Updates = {self.files: [str(path) for path, _ in made.refused] or None, self.handed_over: ""}
        if made.left:
            told += rendering.notice(f"The second submission was not taken: {made.error}", kind="error")
            updates = self.options.keep_models(tuple(each.model for each in made.left))
        return {**updates, self.status: told}

    def _taker(self, tab: HandsOver, tabs: gr.Tabs, place: str) -> Callable[[gr.Request], Updates]:
        def take(request: gr.Request) -> Updates:
            session = self._page.session(request)
            try:
                large = tab.large_work(session)
                if large is None:
                    raise InputError(_GONE)
                handover = handover_of(large)
                # Among the uploads, because gradio would copy and hash any other file, with everybody waiting.
                file = session.as_upload(handover.source)
                return {tabs: gr.update(selected=PLACE), self.files: [str(file)], **self._filled(handover, place)}
            except IrssError as error:
                return {tab.status: rendering.notice(str(error), kind="warn")}

        return take

    def _filled(self, handover: Handover, place: str) -> Updates:
        words = wording.HANDED_OVER.format(place=place, name=handover.source.name)
        two = wording.TWO_MODELS if len(handover.models) > 1 else ""
        told = " ".join(part for part in (words, two, handover.note) if part)
        return {self.handed_over: rendering.notice(told), **self.options.fill(handover)}

    def _ip(self, request: gr.Request) -> str | None:
        return client_ip(
            request.client.host if request.client else None,
            request.headers.getlist("x-forwarded-for"),
            trusted_proxies=self._page.services.settings.proxies_in_front(request.headers),
        )

    def _paths(self, fields: Fields, request: gr.Request, *, strict: bool = False) -> list[Path]:
        session, paths = self._page.session(request), []
        for upload in fields[self.files] or ():
            try:
                paths.append(session.received(upload))
            except InputError:
                if strict:
                    raise
        return paths

    def _seen(self, request: gr.Request) -> SeenFiles:
        session = self._page.session(request)
        seen = session.kept(SeenFiles) or SeenFiles()
        session.keep(seen)
        return seen

    def _forecast(self, fields: Fields, paths: Sequence[Path], seen: SeenFiles) -> str:
        facts = [each for path in paths if path in seen for each in seen[path].facts]
        try:
            wanted = options_of(self.options.wishes(fields))
            forecasts = [self._page.services.jobs.forecast(facts, options) for options in wanted] if facts else []
        except Exception as error:  # noqa: BLE001  as in RunControls.run
            return rendering.hint(explain(error)) if paths else ""
        return forecast_html(forecasts)


def _handing_in(state: HandingIn) -> str:
    words = f"Handing in: {state.done} of {state.total} files"
    share = state.done / state.total
    return (
        f'<div class="irss-progress" role="status"><p class="irss-progress-head">{words}</p>'
        f"{rendering.bar(share)}</div>"
    )
