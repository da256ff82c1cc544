"""The letters of a machine that has no mail server, to be read on the page itself, so that a demo is whole.

Whoever sees them can sign in as anybody: they are shown only to who sits at the machine. No gradio here.
"""

from __future__ import annotations

import base64
import functools
import html
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import urlsplit

from irss_core.adapters.local.outbox_folder import OutboxMail
from irss_core.config import Settings
from irss_core.ui.rendering import address, heading, readable

SHOWN = 8
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_BY_PROXY = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_INTRO = (
    "No mail server is set on this machine, so the letters stand here instead of going out. Nobody sees them but who "
    "opens this page on the machine itself. Set IRSS_SMTP_HOST to have them mailed."
)
_CID = re.compile(r"cid:([A-Za-z0-9_.@-]+)")
# Its links open beside the page, and nothing in it runs.
_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"


def may_see_letters(settings: Settings, *, peer: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from the machine itself, to an app that nobody else reaches and that has no mail server.

    A proxy before the app connects from the machine, too: the headers that it adds give it away, and an operator who
    has one says so in the settings. The name that the page was asked for under must be the machine's own, or a page of
    somebody else's, whose name was made to point here, could read it in a visitor's browser.
    """
    if settings.smtp_host or settings.trusted_proxies or settings.space_id:
        return False
    if not _is_local(settings.listen_host) or (settings.public_url and not _is_local(_host(settings.public_url))):
        return False
    if any(header in headers for header in _BY_PROXY):
        return False
    return _is_local(peer or "") and _is_local(_host(f"//{headers.get('host', '')}"))


def outbox_html(mails: Sequence[OutboxMail], file_address: Callable[[Path], str]) -> str:
    """Return the newest letters, the first one open; ``file_address`` gives the address of a letter's file."""
    letters = "".join(_letter(mail, file_address(mail.path), opened=not number) for number, mail in enumerate(mails))
    none = "" if letters else '<p class="irss-quiet">No letters yet.</p>'
    return (
        f'<section class="irss-outbox" id="irss-letters" aria-label="Outbox">{heading("Outbox")}'
        f'<p class="irss-quiet">{_INTRO}</p>{letters}{none}</section>'
    )


def _letter(mail: OutboxMail, source: str, *, opened: bool) -> str:
    unfolded = " open" if opened else ""
    return (
        f"<details{unfolded}><summary><strong>{readable(mail.subject)}</strong>"
        f'<span class="irss-quiet">to {readable(mail.to)} · {mail.date:%d %b %Y, %H:%M:%S} UTC</span></summary>'
        f'<iframe sandbox="{_SANDBOX}" title="{readable(mail.subject)}" srcdoc="{html.escape(_page(mail.path))}">'
        f'</iframe><p><a class="irss-download" href="{address(source)}" download="{readable(mail.path.name)}">'
        "The letter as a file (.eml)</a></p></details>"
    )


@functools.lru_cache(maxsize=4 * SHOWN)
def _page(path: Path) -> str:
    """Return a letter as a page that fetches nothing: its HTML with the pictures in it, or its plain text."""
    try:
        with path.open("rb") as stream:
            letter = BytesParser(EmailMessage, policy=policy.default).parse(stream)
    except OSError:
        return "<p>This letter is no longer here.</p>"
    body = letter.get_body(("html", "plain"))
    if body is None:
        return "<p>This letter has no text.</p>"
    text = str(body.get_content())
    if body.get_content_subtype() == "plain":
        return f'<pre style="white-space:pre-wrap">{html.escape(text)}</pre>'
    pictures = _pictures(letter)
    return '<base target="_blank">' + _CID.sub(lambda found: pictures.get(found[1], ""), text)


def _pictures(letter: EmailMessage) -> dict[str, str]:
    """Return the pictures that go with a letter's HTML, by their Content-ID, as data addresses."""
    found = {}
    for part in letter.walk():
        if part.get_content_maintype() == "image" and part["Content-ID"]:
            data = part.get_payload(decode=True)
            encoded = base64.b64encode(data if isinstance(data, bytes) else b"").decode()
            found[str(part["Content-ID"]).strip("<> ")] = f"data:{part.get_content_type()};base64,{encoded}"
    return found


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # brackets that enclose no address
        return ""


def _is_local(host: str) -> bool:
    """Whether a name or an address is this machine's own, whatever anybody's name server says."""
    if host in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
