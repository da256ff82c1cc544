"""SignInPanel: whose jobs they are. An e-mail address, the code that was mailed to it, and a browser that remembers.

The session's token is kept in the browser alone and comes along with every event; nothing on the server remembers who
is signed in. The form's own fields come along, too, so that it may stand there for as long as it likes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Literal

import gradio as gr

from irss_core.errors import NotSignedInError
from irss_core.jobs.identity import Owner
from irss_core.ui import rendering, wording
from irss_core.ui.events import Page, Updates, explain, html_part

_STORAGE_KEY = "irss-session"
# gradio encrypts what the browser keeps with this and tells every browser what it is: it protects nothing, and has to
# stay the same for the browser to read tomorrow what it wrote today. The token in it is signed with a real secret.
_STORAGE_CIPHER = "irss"

# A submitted form and a pressed button go to the server with everything that stands in the form. Until the answer is
# here the button cannot be pressed again; then the focus goes to what came in its place.
_FORM_JS = """
let asked = false;
const ask = (action, form) => {
  asked = true;
  for (const button of form?.querySelectorAll("button[data-busy]") ?? []) {
    button.disabled = true;
    button.textContent = button.dataset.busy;
  }
  trigger("pick", { action, address: form?.dataset.address ?? "", text: form?.elements.text?.value ?? "" });
};
element.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(event.target.dataset.action, event.target);
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) ask(button.dataset.action, button.form);
});
watch("value", () => {
  if (asked && !element.contains(document.activeElement)) element.querySelector("[data-focus]")?.focus();
  asked = false;
});
"""


@dataclass(frozen=True)
class SignIn:
    """How far somebody is: ``address`` is what was typed or verified, ``error`` why the last step did not succeed."""

    step: Literal["address", "code", "done"] = "address"
    address: str = ""
    minutes: int = 30  # for which the code is good
    error: str = ""
    outbox_shown: bool = False  # the mail is to be read on this very page


class SignInPanel:
    """The step of the form, and the token that it ends in."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.token = gr.BrowserState({"token": ""}, storage_key=_STORAGE_KEY, secret=_STORAGE_CIPHER)
        self.part = html_part(sign_in_html(SignIn()), elem_id="irss-queue-address", js_on_load=_FORM_JS)

    def owner(self, token: object) -> Owner:
        """Return whom the browser's token names.

        Raises:
            NotSignedInError: nobody, or the session is over.
        """
        return self._page.services.jobs.sessions.owner(_text(token))

    def greet(self, token: object) -> Updates:
        """Return the updates for a page that has just come up: who is known is named, and a session may be over."""
        if not _text(token):
            return {}  # the form stands there as it was left
        try:
            return {self.part: sign_in_html(SignIn("done", self.owner(token).address))}
        except NotSignedInError as error:
            return {self.part: sign_in_html(SignIn(error=str(error))), self.token: {"token": ""}}

    def press(self, action: str, typed: str, address: str, *, ip: str | None, outbox_shown: bool) -> Updates:
        """Return the updates of the next step, or of why it cannot be taken; what was typed stays.

        Args:
            action: what was pressed: "send", "again", "confirm", or "other" for another address.
            address: which the form has had a code sent to.
        """
        at = SignIn("code", address) if action in ("confirm", "again") else SignIn(address=typed.strip())
        at = replace(at, outbox_shown=outbox_shown)
        try:
            service = self._page.services.jobs
            if action in ("send", "again"):
                minutes = round(service.request_code(at.address, ip=ip) / 60)
                return {self.part: sign_in_html(replace(at, step="code", minutes=minutes))}
            if action == "confirm":
                token = service.confirm_code(address, typed)
                signed_in = SignIn("done", service.sessions.owner(token).address)
                return {self.part: sign_in_html(signed_in), self.token: {"token": token}}
        except Exception as error:  # noqa: BLE001  as in RunControls.run
            return {self.part: sign_in_html(replace(at, error=explain(error)))}
        return {self.part: sign_in_html(SignIn()), self.token: {"token": ""}}


def _text(token: object) -> str:
    """Return the token in what a browser says that it kept, which may be anything."""
    text = token.get("token") if isinstance(token, dict) else None
    return text if isinstance(text, str) else ""


# --- what it says ----------------------------------------------------------------------------------------------------


def sign_in_html(state: SignIn) -> str:
    """Return the form for where somebody is. Each step is an element of its own kind, so that none inherits a field.

    No two are the same: the page redraws, and lets its buttons be pressed again, only if something has changed.
    """
    form = {"address": _address, "code": _code, "done": _done}[state.step](state)
    return f"{form}<!-- {secrets.token_hex(4)} -->"


def _address(state: SignIn) -> str:
    field = _field(
        "irss-address-field",
        "E-mail address",
        f'type="email" autocomplete="email" value="{rendering.readable(state.address)}" data-focus',
        error=state.error,
    )
    return (
        f'<div class="irss-sign-in"><form novalidate data-action="send">{field}'
        '<button type="submit" class="irss-press" data-busy="Sending the code …">Send me a code</button></form>'
        f"{_error(state)}{rendering.hint(wording.ADDRESS_HINT)}</div>"
    )


def _code(state: SignIn) -> str:
    field = _field(
        "irss-code-field",
        "The 6 digits from the mail",
        'type="text" inputmode="numeric" autocomplete="one-time-code" maxlength="12" value="" data-focus',
        error=state.error,
    )
    where = wording.CODE_IN_OUTBOX if state.outbox_shown else wording.CODE_HINT
    address = rendering.readable(state.address)
    return (
        f'<section class="irss-sign-in"><form novalidate data-action="confirm" data-address="{address}">'
        f'<p class="irss-sent">A code was mailed to <strong>{address}</strong>. It is good for {state.minutes} minutes.'
        f'</p>{field}<button type="submit" class="irss-press" data-busy="Confirm">Confirm</button>'
        f'<p class="irss-links">{_link("again", "Send another code")} {_link("other", "Use another address")}</p>'
        f'</form>{_error(state)}<p class="irss-hint">{where}</p></section>'
    )


def _done(state: SignIn) -> str:
    return (
        '<p class="irss-sign-in" role="status" tabindex="-1" data-focus>'
        f"Mails go to <strong>{rendering.readable(state.address)}</strong>. "
        f"{_link('other', 'Not you? Use another address')}</p>"
    )


def _link(action: str, words: str) -> str:
    return f'<button type="button" class="irss-link" data-action="{action}" data-busy="{words}">{words}</button>'


def _field(name: str, label: str, attributes: str, *, error: str) -> str:
    invalid = ' aria-invalid="true" aria-describedby="irss-sign-in-error"' if error else ""
    return f'<label for="{name}">{label}</label><input id="{name}" name="text" {attributes}{invalid}>'


def _error(state: SignIn) -> str:
    if not state.error:
        return ""
    return f'<div id="irss-sign-in-error">{rendering.notice(state.error, kind="error")}</div>'
