"""What the event handlers of every tab share: work becomes progress, errors become words, one page its context."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from irss_core.errors import CancelledError, InputError, IrssError, UnknownModelError
from irss_core.sr.catalog import MODELS
from irss_core.ui import rendering
from irss_core.ui.running import Finished, InferenceLine, Waiting, Work
from irss_core.ui.sessions import Session, SessionStore

if TYPE_CHECKING:
    from irss_core.services import Services

logger = logging.getLogger(__name__)

T = TypeVar("T")
Updates = dict[Any, Any]  # component -> its new value or properties
Fields = dict[Any, Any]  # component -> what stands in it


BUG_WORDS = "Something went wrong on this server, and it was noted. Your picture is not the cause; try again."


@dataclass(frozen=True)
class Example:
    """A picture or clip to try the page with; ``thumbnail`` is an address relative to the page."""

    name: str
    path: Path
    thumbnail: str


@dataclass(frozen=True)
class Page:
    """What every tab works with."""

    services: Services
    sessions: SessionStore
    line: InferenceLine
    pictures: tuple[Example, ...] = ()
    clips: tuple[Example, ...] = ()

    def session(self, request: gr.Request) -> Session:
        """Return the session of the page that sent the request."""
        return self.sessions.visit(request.session_hash or "none")

    def address(self, path: Path) -> str:
        """Return the address of a visitor's file."""
        return self.sessions.address(path)


QUICK: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
"""How handlers that answer at once are connected: past gradio's queue, whose event stream can lose a press that is made
just as another handler ends."""


def html_part(value: str = "", *, elem_id: str | None = None, js_on_load: str | None = None) -> gr.HTML:
    """Return a component that shows HTML of ours as it is, without gradio's text styles."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=js_on_load, apply_default_css=False, elem_classes="irss-part")


@dataclass(frozen=True)
class RunControls:
    """The parts of a tab that show work and start and stop it."""

    place: str
    status: gr.HTML
    cancel: gr.Button
    starters: Sequence[gr.Button]

    @property
    def components(self) -> list[Any]:
        """Everything that ``run`` updates."""
        return [self.status, self.cancel, *self.starters]

    def connect_cancel(self, page: Page) -> None:
        """Have Cancel ask the running work to stop."""

        def stop(request: gr.Request) -> Any:
            page.session(request).cancel(self.place)
            return gr.update(interactive=False)

        self.cancel.click(stop, None, self.cancel, **QUICK)

    def idle(self) -> Updates:
        """Return the updates for when nothing runs: the starters are there, Cancel is not."""
        return {self.cancel: gr.update(visible=False), **{button: gr.update(visible=True) for button in self.starters}}

    def busy(self) -> Updates:
        """Return the updates for when work runs: Cancel stands in place of the starters."""
        return {
            self.cancel: gr.update(visible=True, interactive=True),
            **{button: gr.update(visible=False) for button in self.starters},
        }

    async def run(
        self,
        page: Page,
        session: Session,
        work: Work[T],
        *,
        steps: tuple[str, ...],
        present: Callable[[T], Updates],
        present_partial: Callable[[Any], Updates] | None = None,
    ) -> AsyncIterator[Updates]:
        """Yield updates while ``work`` waits and runs, then those of ``present``; an error becomes a message.

        ``present_partial`` is given what the work notes of its result before its end (``Board.show``).
        """
        token = session.begin(self.place)
        shown: object | None = None
        yield {**self.busy(), self.status: rendering.waiting(Waiting(0))}
        try:
            async with contextlib.aclosing(page.line.run(work, steps=steps, cancel=token)) as states:
                async for state in states:
                    if isinstance(state, Finished):
                        yield {**self.idle(), self.status: "", **present(state.value)}
                    elif isinstance(state, Waiting):
                        yield {self.status: rendering.waiting(state)}
                    else:
                        yield {self.status: rendering.progress(state)}
                        if present_partial is not None and state.partial is not shown:
                            shown = state.partial
                            yield present_partial(shown)
        except CancelledError:
            yield {**self.idle(), self.status: rendering.notice("Cancelled. Change what you like and run it again.")}
        except Exception as error:  # noqa: BLE001  whatever it was, the page must say so and go on; it is logged
            yield {**self.idle(), self.status: rendering.notice(explain(error), kind="error")}
        finally:
            session.end(self.place, token)


def explain(error: Exception) -> str:
    """Return what a visitor is told of an error; one that we did not foresee is logged with its traceback."""
    if isinstance(error, IrssError):
        return str(error)
    logger.error("unforeseen error in the app", exc_info=error)
    return BUG_WORDS


def telling(place: Callable[[Any], gr.HTML]) -> Callable[[Callable[..., Updates]], Callable[..., Updates]]:
    """Return a decorator for a tab's handlers: an error is shown in the box that ``place(tab)`` names."""

    def decorate(handler: Callable[..., Updates]) -> Callable[..., Updates]:
        @functools.wraps(handler)
        def told(self: Any, *args: Any, **kwargs: Any) -> Updates:
            try:
                return handler(self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001  as in RunControls.run
                return {place(self): rendering.notice(explain(error), kind="error")}

        return told

    return decorate


def model_choices(session: Session | None = None) -> list[tuple[str, str]]:
    """Return (label, name) of every model a visitor may choose, own checkpoints last."""
    own = session.own_models if session is not None else {}
    return [(spec.title, name) for name, spec in MODELS.items()] + [(title, name) for name, title in own.items()]


def model_title(name: str, session: Session) -> str:
    """Return the title of a model of the table, or of one of the visitor's own.

    Raises:
        UnknownModelError: there is none of that name for this visitor.
    """
    titles: Mapping[str, str] = {**{key: spec.title for key, spec in MODELS.items()}, **session.own_models}
    try:
        return titles[name]
    except KeyError:
        raise UnknownModelError(f"There is no model named {name!r} here. Choose one from the list.") from None


def model_hint(name: str) -> str:
    """Return a sentence on what a model is for."""
    spec = MODELS.get(name)
    return spec.summary if spec is not None else "Your own checkpoint, for this visit only."


def required(value: T | None, words: str) -> T:
    """Return the value, or raise InputError with the words if there is none."""
    if value is None:
        raise InputError(words)
    return value
