"""The mails: one for each batch that says what became of its files, and the one with a code to sign in.

A mail is made of the batch, its jobs and the stored objects alone, so that the same ones give the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from irss_core.errors import MailRefusedError, NotFoundError, ResourceError, StoreUnavailableError
from irss_core.jobs.job import Batch, Job, Mail
from irss_core.jobs.letter_words import Line, Outcome, line, verb
from irss_core.jobs.names import result_name
from irss_core.jobs.ports import ObjectStore
from irss_core.words import size_words

# Servers take mails of 10 MB at least. Base64 makes 7 MB to 9.6, which leaves room for the thumbnails and the text.
MAX_ATTACHED_BYTES = 7_000_000
MAX_THUMBNAILS = 12
MAX_LINES = 100  # of a batch's table in HTML: longer mails are cut by their readers' programs
_MAX_THUMBNAIL_BYTES = 64_000
_FORMULA = tuple("=+-@＝＋－＠")  # with these a cell begins that a spreadsheet would compute

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(("html.j2",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class _Part:
    """A file that goes with a mail."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class _Thumbnail:
    """A picture of 100 x 100 pixels in the text, which names it by ``cid``."""

    cid: str
    label: str
    link: str
    part: _Part


def compose_result(
    batch: Batch,
    jobs: Sequence[Job],
    mail: Mail,
    *,
    objects: ObjectStore,
    sender: str,
    address: str,
    scratch: Path,
) -> EmailMessage:
    """Return the mail that says what became of a batch's files.

    Args:
        address: how others reach the server, for the links.
        scratch: a folder for files that are gone when this returns.

    Raises:
        MailRefusedError: the batch's address cannot stand in a mail.
        StoreUnavailableError: the results cannot be read right now.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        store = _Reader(objects, Path(folder))
        if len(jobs) == 1:
            subject, values, thumbnails, attached = _one(jobs[0], store, address)
        else:
            subject, values, thumbnails, attached = _many(batch, jobs, store, address)
    message = _headed(batch.address, subject, sender=sender, message_id=mail.message_id, now=mail.created_at)
    _fill(message, {**values, "resent": mail.resent, "thumbnails": thumbnails}, thumbnails, attached)
    return message


def compose_code(address_to: str, code: str, *, sender: str, minutes: int, now: float | None = None) -> EmailMessage:
    """Return the mail with a code to sign in; ``now`` is seconds since 1970, if not the present.

    Raises:
        MailRefusedError: the address cannot stand in a mail.
    """
    message = _headed(
        address_to,
        f"Your IRSS code: {code}",
        sender=sender,
        message_id=f"<{secrets.token_hex(20)}@irss>",
        now=datetime.now(UTC).timestamp() if now is None else now,
    )
    title = "Your code"
    _fill(message, {"layout": "code", "title": title, "code": code, "minutes": minutes, "resent": False}, [], [])
    return message


class _Reader:
    """Reads objects that may be gone by now, or damaged: the mail goes without them."""

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        self._objects, self._folder = objects, folder

    def part(self, job: Job, role: str, *, max_bytes: int) -> _Part | None:
        """Return an output of a job, or None if it is not to be had, or larger than that."""
        key = job.outputs.get(role)
        if key is None:
            return None
        target = self._folder / f"{job.number}-{role}"
        try:
            info = self._objects.info(key)
            if info is None or info.size_bytes > max_bytes:
                return None
            self._objects.get(key, target)
        except StoreUnavailableError:
            raise
        except (NotFoundError, ResourceError):
            return None
        return _Part(result_name(job, role, info.content_type), info.content_type, target.read_bytes())

    def thumbnail(self, job: Job, role: str, *, label: str, link: str) -> list[_Thumbnail]:
        """Return a thumbnail of a job, or none."""
        part = self.part(job, role, max_bytes=_MAX_THUMBNAIL_BYTES)
        return [_Thumbnail(f"{role}-{job.number}@irss", label, link, part)] if part else []


_Letter = tuple[str, dict[str, Any], list[_Thumbnail], list[_Part]]  # subject, values, thumbnails, attached


def _one(job: Job, store: _Reader, address: str) -> _Letter:
    row = line(job, address=address)
    if row.outcome is not Outcome.READY:
        title = {
            Outcome.FAILED: f"{row.name} could not be {verb(job)}",
            Outcome.CANCELLED: f"{row.name} was cancelled",
            Outcome.AT_WORK: f"{row.name} is in work again",
        }[row.outcome]
        return title, {"layout": "one", "title": title, "row": row}, [], []
    thumbnails = [
        *store.thumbnail(job, "preview", label="Before", link=row.link),
        *store.thumbnail(job, "thumbnail", label="After", link=row.link),
    ]
    result = store.part(job, "result", max_bytes=MAX_ATTACHED_BYTES)
    where = "It could not be attached."
    if result:
        where = "It is attached."
    elif job.facts.get("result_bytes", 0) > MAX_ATTACHED_BYTES:
        where = f"It is not attached, as only up to {size_words(MAX_ATTACHED_BYTES)} is."
    title = f"Your {row.kind} is ready"
    values = {"layout": "one", "title": title, "row": row, "where": where}
    return f"{title}: {row.name}", values, thumbnails, [result] if result else []


def _many(batch: Batch, jobs: Sequence[Job], store: _Reader, address: str) -> _Letter:
    rows = [line(job, address=address) for job in jobs]
    ready = [(job, row) for job, row in zip(jobs, rows, strict=True) if row.outcome is Outcome.READY]
    failed = sum(row.outcome in (Outcome.FAILED, Outcome.CANCELLED) for row in rows)
    title = f"{len(ready)} of {len(jobs)} files are ready"
    if failed == len(jobs):
        title = f"None of {len(jobs)} files could be {verb(jobs[0])}"
    thumbnails: list[_Thumbnail] = []
    for job, row in ready[:MAX_THUMBNAILS]:
        thumbnails += store.thumbnail(job, "thumbnail", label=row.name, link=row.link)
    # What failed is shown in any case; a file that is well can be left to the manifest.
    shown = sorted(rows, key=lambda row: row.outcome is Outcome.READY)[:MAX_LINES]
    values = {
        "layout": "many",
        "title": title,
        "rows": rows,
        "shown": sorted(shown, key=lambda row: row.number),
        "failed": failed,
        "zip_link": f"{address}/batches/{batch.id}" if ready else "",
    }
    return title, values, thumbnails, [_manifest(jobs, rows)]


def _manifest(jobs: Sequence[Job], rows: Sequence[Line]) -> _Part:
    """The batch as a table that spreadsheets open, and in which nothing is computed."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["number", "file", "status", "seconds", "width", "height", "bytes", "link", "why", "what to do"])
    for job, row in zip(jobs, rows, strict=True):
        facts = [job.facts.get(name, "") for name in ("seconds", "result_width", "result_height", "result_bytes")]
        cells = [row.number, row.name, row.outcome, *facts, row.link, row.why, row.advice]
        table.writerow([_harmless(str(cell)) for cell in cells])
    # With the mark at its beginning Excel, too, knows that it is UTF-8.
    return _Part("manifest.csv", "text/csv", text.getvalue().encode("utf-8-sig"))


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


def _headed(address_to: str, subject: str, *, sender: str, message_id: str, now: float) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    try:
        message["To"] = Address(addr_spec=address_to)
    except (ValueError, LookupError, MessageError):  # what it is about is not told: addresses are not logged
        raise MailRefusedError("The address cannot stand in a mail. Hand the files in with another one.") from None
    message["Subject"] = subject
    message["Date"] = datetime.fromtimestamp(now, UTC)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    return message


def _fill(
    message: EmailMessage, values: dict[str, Any], thumbnails: Sequence[_Thumbnail], attached: Sequence[_Part]
) -> None:
    """Put in the text, plain and as HTML, and the files."""
    text = _TEMPLATES.get_template("letter.txt.j2").render(values)
    html = _TEMPLATES.get_template("letter.html.j2").render(values)
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    page = cast(EmailMessage, message.get_body(("html",)))
    for each in thumbnails:
        main, _, sub = each.part.content_type.partition("/")
        page.add_related(each.part.data, main, sub, cid=f"<{each.cid}>", filename=each.part.name, disposition="inline")
    for part in attached:
        main, _, sub = part.content_type.partition("/")
        message.add_attachment(part.data, main, sub, filename=part.name)
    # Boundaries of our own, as the library's are random: "=_" is in nothing that is quoted-printable or base64.
    mark = hashlib.sha256(str(message["Message-ID"]).encode()).hexdigest()[:32]
    for number, each_part in enumerate(part for part in message.walk() if part.is_multipart()):
        each_part.set_boundary(f"=_{number}_{mark}")
