"""JobsPanel: the list of a visitor's own jobs as it moves, and where there is no mail server the letters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from irss_core.adapters.local.outbox_folder import OutboxFolder
from irss_core.errors import IrssError, NotSignedInError
from irss_core.ui import wording
from irss_core.ui.events import QUICK, Page, Updates, html_part, telling
from irss_core.ui.job_list import PAGE_JOBS, act, list_jobs
from irss_core.ui.job_rows import PRESSED_JS, jobs_html
from irss_core.ui.outbox import SHOWN, may_see_letters, outbox_html
from irss_core.ui.sessions import Session, link_or_copy
from irss_core.ui.sign_in_panel import SignInPanel

_REFRESH_S = 2.0


@dataclass(frozen=True)
class JobsView:
    """How a visitor looks at the list: how many jobs of it, and which deletion is being asked about."""

    count: int = PAGE_JOBS
    asking: str = ""


class ShownLetters(tuple[Path, ...]):
    """The letters that the page shows."""

    __slots__ = ()


class JobsPanel:
    """The part of the tab. It asks for news every two seconds as long as a job moves, and then no more."""

    def __init__(self, page: Page, sign_in: SignInPanel) -> None:
        self._page, self._sign_in = page, sign_in
        kept = page.services.settings
        self.intro = html_part(
            wording.queue_intro(keep_inputs_days=kept.keep_inputs_days, keep_results_days=kept.keep_results_days)
        )
        self.part = html_part(elem_id="irss-queue-jobs", js_on_load=PRESSED_JS)
        self.letters = html_part(elem_id="irss-queue-letters")
        self.timer = gr.Timer(_REFRESH_S, active=False)

    def connect(self) -> None:
        """Act on the buttons of the list, and on the timer."""
        # "multiple": the default would silently drop what is pressed before the answer to the last press is here.
        self.part.pick(self.press, self._sign_in.token, self.moving, trigger_mode="multiple", **QUICK)
        self.timer.tick(self.refresh, self._sign_in.token, self.moving, trigger_mode="once", **QUICK)

    @property
    def moving(self) -> list[Any]:
        """What changes by itself."""
        return [self.intro, self.part, self.letters, self.timer]

    @telling(lambda panel: panel.part)
    def refresh(self, token: object, request: gr.Request) -> Updates:
        """Show the list as it is now."""
        return self.now(token, request)

    @telling(lambda panel: panel.part)
    def press(self, token: object, request: gr.Request, event: gr.EventData) -> Updates:
        """Do what a button of the list says, then show the list."""
        session = self._page.session(request)
        view = session.kept(JobsView) or JobsView()
        action, target, problem = str(event.action), str(event.of), ""
        view = replace(view, asking=target if action == "ask" else "")
        if action == "more":
            view = replace(view, count=view.count + 2 * PAGE_JOBS)
        session.keep(view)
        if action not in ("ask", "keep", "more"):
            try:
                act(self._page.services.jobs, self._sign_in.owner(token), action, target)
            except IrssError as error:
                problem = str(error)
        return self.now(token, request, problem=problem)

    def now(self, token: object, request: gr.Request, *, problem: str = "") -> Updates:
        """Return the updates that show everything as it is now.

        Args:
            problem: why something that was asked for was not done.
        """
        return {**self._list(token, request, problem), **self._letters(request)}

    def shows_letters(self, request: gr.Request) -> bool:
        """Whether this visitor sees the letters of this machine."""
        return self._outbox(request) is not None

    def _list(self, token: object, request: gr.Request, problem: str) -> Updates:
        try:
            owner = self._sign_in.owner(token)
        except NotSignedInError:
            return {self.intro: gr.update(visible=True), self.part: "", self.timer: gr.Timer(active=False)}
        view = self._page.session(request).kept(JobsView) or JobsView()
        listing = list_jobs(self._page.services.jobs, owner, count=view.count)
        return {
            self.intro: gr.update(visible=not listing.groups),
            self.part: jobs_html(listing, asking=view.asking, problem=problem),
            self.timer: gr.Timer(active=listing.moving),
        }

    def _letters(self, request: gr.Request) -> Updates:
        outbox = self._outbox(request)
        if outbox is None:
            return {}
        session = self._page.session(request)
        mails = outbox.mails()[:SHOWN]
        shown = ShownLetters(mail.path for mail in mails)
        if session.kept(ShownLetters) == shown:
            return {}
        session.keep(shown)
        return {self.letters: outbox_html(mails, lambda path: self._page.address(_copied(session, path)))}

    def _outbox(self, request: gr.Request) -> OutboxFolder | None:
        """Return the letters of this machine, if there is no mail server and the visitor sits at it."""
        services = self._page.services
        peer = request.client.host if request.client else None
        if not may_see_letters(services.settings, peer=peer, headers=request.headers):
            return None
        mailer = services.jobs.mailer
        return mailer if isinstance(mailer, OutboxFolder) else None


def _copied(session: Session, letter: Path) -> Path:
    """Return the visitor's own copy of a letter, which has an address."""
    folder = next(session.folder.glob("letters-*"), None) or session.new_folder("letters")
    target = folder / letter.name
    if not target.exists():
        link_or_copy(letter, target)
    return target
