"""The mails as their readers' programs see them: what they say, what goes with them, nothing that a name could do."""

from __future__ import annotations

import csv
import io
import re
import string
import subprocess
import sys
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irss_core.errors import MailRefusedError, ResourceError, StoreUnavailableError
from irss_core.jobs.job import Batch, Job, JobStatus, Mail
from irss_core.jobs.keys import output_key
from irss_core.jobs.letter_words import short_name
from irss_core.jobs.letters import MAX_ATTACHED_BYTES, MAX_LINES, MAX_THUMBNAILS, compose_code, compose_result
from irss_core.jobs.options import JobOptions
from irss_core.jobs.ports import ObjectInfo
from tests.fakes.clock import FakeClock
from tests.fakes.objects import MemoryObjects

NOW = 1_800_000_000.0
BATCH = "b" * 64
ADDRESS = "https://irss.example.org"
TO = "visitor@example.org"
MAIL = Mail("ab" * 32, BATCH, created_at=NOW, updated_at=NOW + 60)
FACTS = {"kind": "still", "width": 128, "height": 96, "result_width": 512, "result_height": 384, "seconds": 3.21}
SERVER_LIMIT = 10_000_000


class Desk:
    """Where letters are written: a store of objects, and jobs with results in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = MemoryObjects(FakeClock())

    def put(self, key: str, data: bytes, content_type: str) -> str:
        source = self.folder / "source"
        source.write_bytes(data)
        self.objects.put(key, source, content_type=content_type)
        source.unlink()
        return key

    def ready(self, number: int = 1, *, result: bytes = b"result", thumbnail: bytes = b"small", **changes: Any) -> Job:
        job_id = f"{number:064x}"
        outputs = {
            "result": self.put(output_key(job_id, "result"), result, "image/png"),
            "thumbnail": self.put(output_key(job_id, "thumbnail"), thumbnail + b" after", "image/webp"),
            "preview": self.put(output_key(job_id, "preview"), thumbnail + b" before", "image/webp"),
        }
        facts = {**FACTS, "result_bytes": len(result)}
        return replace(job_of(number), status=JobStatus.PROCESSED, outputs=outputs, facts=facts, **changes)

    def letter(self, *jobs: Job, mail: Mail = MAIL, to: str = TO) -> EmailMessage:
        """The letter as it was composed, written out and read again."""
        return read(self.composed(*jobs, mail=mail, to=to))

    def composed(self, *jobs: Job, mail: Mail = MAIL, to: str = TO) -> EmailMessage:
        batch = Batch(BATCH, "o" * 64, to, NOW - 60, jobs=len(jobs), open_jobs=0, mails=1)
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        letter = compose_result(
            batch, jobs, mail, objects=self.objects, sender="IRSS <irss@mail.test>", address=ADDRESS, scratch=scratch
        )
        assert list(scratch.iterdir()) == []
        return letter


def job_of(number: int = 1, name: str | None = None, **changes: Any) -> Job:
    return Job(
        id=f"{number:064x}",
        batch_id=BATCH,
        owner="o" * 64,
        number=number,
        name=f"cat {number}.jpg" if name is None else name,
        input_key=f"uploads/{number}",
        input_bytes=1000,
        options=changes.pop("options", JobOptions()),
        created_at=NOW - 60,
        updated_at=NOW,
        **changes,
    )


def failed(number: int = 1, code: str = "corrupt-media", error: str = "It is damaged.", **changes: Any) -> Job:
    return job_of(number, status=JobStatus.NOT_DELIVERED, error_code=code, error=error, **changes)


def read(message: EmailMessage) -> EmailMessage:
    again = BytesParser(EmailMessage, policy=policy.default).parsebytes(message.as_bytes(policy=policy.SMTP))
    assert isinstance(again, EmailMessage)
    assert [part.defects for part in again.walk() if part.defects] == []
    return again


def plain(letter: EmailMessage) -> str:
    body = letter.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def html(letter: EmailMessage) -> str:
    body = letter.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def attached(letter: EmailMessage) -> dict[str, bytes]:
    found = {part.get_filename() or "": part.get_payload(decode=True) for part in letter.iter_attachments()}
    return {name: data for name, data in found.items() if isinstance(data, bytes)}


def inline(letter: EmailMessage) -> dict[str, bytes]:
    """The pictures in the HTML by what it calls them."""
    parts = {str(part["Content-ID"]).strip("<>"): part for part in letter.walk() if part["Content-ID"]}
    assert set(re.findall(r'src="cid:([^"]+)"', html(letter))) == set(parts), "each one is shown, and none is missing"
    assert all(part.get_content_disposition() == "inline" for part in parts.values())
    return {cid: bytes(part.get_payload(decode=True)) for cid, part in parts.items()}  # type: ignore[arg-type]


def manifest(letter: EmailMessage) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(attached(letter)["manifest.csv"].decode("utf-8-sig"))))


class Text(HTMLParser):
    """What a page shows and where it points."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown, self.tags, self.links = "", list[str](), list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.shown += data


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- one file ---


def test_result_of_one_file_comes_with_its_figures_and_pictures(desk: Desk) -> None:
    letter = desk.letter(desk.ready(result=b"r" * 1500))
    assert letter["Subject"] == "Your picture is ready: cat 1.jpg"
    assert (letter["To"], letter["From"]) == (TO, "IRSS <irss@mail.test>")
    assert letter["Message-ID"] == MAIL.message_id
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"].datetime.timestamp() == NOW
    assert inline(letter) == {"preview-1@irss": b"small before", "thumbnail-1@irss": b"small after"}
    assert attached(letter) == {"cat 1_x4.png": b"r" * 1500}
    for text in (plain(letter), Text(html(letter)).shown):
        for words in ("128 x 96", "512 x 384 pixels", "1.5 kB", "Real-ESRGAN x4plus", "3.2 s", "It is attached."):
            assert words in text
    assert f"{ADDRESS}/jobs/{1:064x}" in plain(letter)
    assert f"{ADDRESS}/jobs/{1:064x}" in Text(html(letter)).links


def test_clip_is_called_one(desk: Desk) -> None:
    job = desk.ready()
    assert desk.letter(replace(job, facts={**job.facts, "kind": "clip"}))["Subject"] == "Your clip is ready: cat 1.jpg"


def test_step_without_a_model_names_none(desk: Desk) -> None:
    text = plain(desk.letter(desk.ready(options=JobOptions(preset="thumbnail-100"))))
    assert "Model" not in text


@pytest.mark.parametrize(("size_bytes", "fits"), [(MAX_ATTACHED_BYTES, True), (MAX_ATTACHED_BYTES + 1, False)])
def test_result_is_attached_up_to_7_mb(desk: Desk, size_bytes: int, fits: bool) -> None:
    job = desk.ready(result=bytes(size_bytes), thumbnail=bytes(60_000))
    message = desk.composed(job)
    raw = message.as_bytes(policy=policy.SMTP)
    assert len(raw) < SERVER_LIMIT
    letter = read(message)
    assert len(inline(letter)) == 2
    assert [len(data) for data in attached(letter).values()] == ([size_bytes] if fits else [])
    for text in (plain(letter), Text(html(letter)).shown):
        assert ("It is not attached, as only up to 7.0 MB is." in text) is not fits
        assert ("It is attached." in text) is fits
    assert f"{ADDRESS}/jobs/{1:064x}" in plain(letter)


def test_what_is_gone_from_the_store_is_left_out(desk: Desk) -> None:
    job = desk.ready()
    for key in job.outputs.values():
        desk.objects.delete(key)
    letter = desk.letter(job)
    assert letter["Subject"] == "Your picture is ready: cat 1.jpg"
    assert (inline(letter), attached(letter)) == ({}, {})


def test_damaged_objects_do_not_hold_up_the_letter(desk: Desk) -> None:
    class Damaged(MemoryObjects):
        def get(self, key: str, target: Path) -> ObjectInfo:
            raise ResourceError("It is damaged.")

    job = desk.ready()
    desk.objects = Damaged(FakeClock(), desk.objects.stored)
    letter = desk.letter(job)
    assert (inline(letter), attached(letter)) == ({}, {})
    assert "It could not be attached." in plain(letter)


def test_store_that_cannot_be_read_now_holds_up_the_letter(desk: Desk) -> None:
    class Away(MemoryObjects):
        def info(self, key: str) -> ObjectInfo | None:
            raise StoreUnavailableError("Later.")

    job = desk.ready()
    desk.objects = Away(FakeClock(), desk.objects.stored)
    with pytest.raises(StoreUnavailableError):
        desk.composed(job)
    assert list((desk.folder / "scratch").iterdir()) == []


def test_oversized_thumbnail_is_left_out(desk: Desk) -> None:
    assert inline(desk.letter(desk.ready(thumbnail=bytes(64_000)))) == {}


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("cancelled", "the file is well"),
        ("unsupported-format", "PNG, JPEG, WebP or TIFF"),
        ("corrupt-media", "save it as a new file"),
        ("limit-exceeded", "Make it smaller"),
        ("invalid-option", "Change that option"),
        ("weights-unavailable", "Choose another model"),
        ("out-of-resources", "later, or make it smaller"),
        ("attempts-exhausted", "tell whoever runs this service"),
        ("something-new", "tell whoever runs this service"),
        (None, "tell whoever runs this service"),
    ],
)
def test_failed_file_says_why_and_what_to_do(desk: Desk, code: str | None, advice: str) -> None:
    job = replace(failed(error="It has 41 megapixels; at most 40 are taken."), error_code=code)
    letter = desk.letter(job)
    assert letter["Subject"] == (
        "cat 1.jpg was cancelled" if code == "cancelled" else "cat 1.jpg could not be enlarged"
    )
    for text in (plain(letter), " ".join(Text(html(letter)).shown.split())):
        assert "Why: It has 41 megapixels; at most 40 are taken." in text
        assert advice in text
    assert (inline(letter), attached(letter)) == ({}, {})


def test_failed_file_that_was_not_to_be_enlarged_is_not_said_to(desk: Desk) -> None:
    letter = desk.letter(failed(options=JobOptions(preset="filters", greyscale=True)))
    assert letter["Subject"] == "cat 1.jpg could not be processed"


def test_job_in_work_again_is_neither_ready_nor_failed(desk: Desk) -> None:
    letter = desk.letter(job_of())
    assert letter["Subject"] == "cat 1.jpg is in work again"
    assert "Another mail follows" in plain(letter)


def test_result_whose_first_mail_failed_is_ready(desk: Desk) -> None:
    lost = replace(desk.ready(), status=JobStatus.NOT_DELIVERED, error_code="mail-failed", error="550")
    assert desk.letter(lost)["Subject"] == "Your picture is ready: cat 1.jpg"


def test_mail_that_may_have_come_before_says_so(desk: Desk) -> None:
    job = desk.ready()
    once, again = desk.letter(job), desk.letter(job, mail=replace(MAIL, resent=True))
    for text in (plain, html):
        assert "may have reached you before" not in text(once)
        assert "may have reached you before" in text(again)
    assert once["Message-ID"] == again["Message-ID"]


def test_same_input_gives_the_same_bytes(desk: Desk) -> None:
    jobs = [desk.ready(1), failed(2), desk.ready(3)]
    for some in (jobs, jobs[:1], jobs[1:2]):
        assert desk.composed(*some).as_bytes() == desk.composed(*some).as_bytes()
    other = replace(MAIL, id="cd" * 32)
    assert desk.composed(*jobs).get_boundary() != desk.composed(*jobs, mail=other).get_boundary()


# --- many files ---


def test_batch_accounts_for_every_file(desk: Desk) -> None:
    jobs = [*(desk.ready(number) for number in range(1, 19)), failed(19), failed(20, "cancelled", "You asked.")]
    letter = desk.letter(*jobs)
    assert letter["Subject"] == "18 of 20 files are ready"
    assert [row["number"] for row in manifest(letter)] == [str(number) for number in range(1, 21)]
    assert [row["status"] for row in manifest(letter)] == ["ready"] * 18 + ["failed", "cancelled"]
    first, last = manifest(letter)[0], manifest(letter)[18]
    assert (first["file"], first["seconds"], first["width"], first["bytes"]) == ("cat 1.jpg", "3.21", "512", "6")
    assert (first["link"], first["why"]) == (f"{ADDRESS}/jobs/{1:064x}", "")
    assert (last["why"], last["what to do"]) == ("It is damaged.", failed_advice(desk))
    page = Text(html(letter))
    for job in jobs:
        for text in (plain(letter), page.shown):
            assert job.name in text
        assert f"{ADDRESS}/jobs/{job.id}" in page.links
        assert f"{ADDRESS}/jobs/{job.id}" in plain(letter)
    assert f"{ADDRESS}/batches/{BATCH}" in page.links
    assert f"{ADDRESS}/batches/{BATCH}" in plain(letter)
    assert "2 of 20 did not come through" in page.shown
    assert list(attached(letter)) == ["manifest.csv"], "results are fetched by the link"


def failed_advice(desk: Desk) -> str:
    return plain(desk.letter(failed())).split("What to do: ")[1].split("\n")[0]


def test_first_pictures_are_shown(desk: Desk) -> None:
    jobs = [failed(1), *(desk.ready(number) for number in range(2, 20))]
    shown = inline(desk.letter(*jobs))
    assert list(shown) == [f"thumbnail-{number}@irss" for number in range(2, 2 + MAX_THUMBNAILS)]


def test_batch_of_which_nothing_came_through_offers_no_zip(desk: Desk) -> None:
    letter = desk.letter(failed(1), failed(2))
    assert letter["Subject"] == "None of 2 files could be enlarged"
    assert "/batches/" not in plain(letter) + html(letter)


def test_batch_in_work_again_did_not_fail(desk: Desk) -> None:
    assert desk.letter(job_of(1), failed(2))["Subject"] == "0 of 2 files are ready"


def test_long_batch_shows_what_failed_and_leaves_the_rest_to_the_manifest(desk: Desk) -> None:
    shown = [desk.ready(number, thumbnail=bytes(60_000)) for number in range(1, MAX_THUMBNAILS + 1)]
    ready = [*shown, *(replace(shown[0], id=f"{n:064x}", number=n, name=f"cat {n}.jpg") for n in range(13, 499))]
    message = desk.composed(*ready, failed(499), failed(500))
    raw = message.as_bytes(policy=policy.SMTP)
    assert len(raw) < SERVER_LIMIT
    letter = read(message)
    page = Text(html(letter))
    assert page.tags.count("bdi") == MAX_LINES
    for name in ("cat 1.jpg", "cat 98.jpg", "cat 499.jpg", "cat 500.jpg"):
        assert name in page.shown
    assert "cat 99.jpg" not in page.shown
    assert "400 more" in page.shown
    assert len(manifest(letter)) == 500
    assert all(f"{job.name}\n" in plain(letter) for job in ready)
    assert len(html(letter).encode()) < 102_400, "some programs cut longer ones"


# --- hostile names ---

HOSTILE = [
    "a\r\nBcc: victim@example.org\r\n\r\nforged.png",
    "a\nSubject: forged",
    "a\x00\x1b[31m\u2028\u2029\u202egnp.exe",
    "<script>alert(1)</script><img src=x onerror=alert(1)>.png",
    '"><a href="https://evil.example">x</a>',
    "{{ 7 * 7 }}{% raw %}.png",
    "../../etc/passwd",
    "..",
    "",
    " ",
    "=?utf-8?q?forged?=",
    "ä" * 300 + ".png",
    "\ud800.png",
    "日本語🐈.png",
    "--=_0_",
    ".",
    "\r\n.\r\n",
]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[EmailMessage]:
    """The letters of files with usual names."""
    return letters_named(Desk(tmp_path_factory.mktemp("desk")), "cat.jpg")


def letters_named(desk: Desk, name: str) -> list[EmailMessage]:
    jobs = [replace(desk.ready(), name=name), replace(failed(2), name=name)]
    return [desk.letter(*some) for some in (jobs, jobs[:1], jobs[1:])]


@pytest.mark.parametrize("name", HOSTILE)
def test_name_is_text_whatever_it_holds(desk: Desk, usual: list[EmailMessage], name: str) -> None:
    for letter, model in zip(letters_named(desk, name), usual, strict=True):
        assert list(letter.keys()) == list(model.keys())
        assert (letter["To"], letter["Bcc"]) == (TO, None)
        assert all(sign.isprintable() or sign in "\u200c\u200d" for sign in str(letter["Subject"]))
        assert Text(html(letter)).tags == Text(html(model)).tags
        assert Text(html(letter)).links == Text(html(model)).links
        assert len(plain(letter).splitlines()) == len(plain(model).splitlines())
        assert [part.get_content_type() for part in letter.walk()] == [part.get_content_type() for part in model.walk()]
        for part in letter.walk():
            assert re.fullmatch(r"[\w. ()+-]*", part.get_filename() or ""), "harmless as a file's name"


@settings(max_examples=25, deadline=None)
@given(name=st.text(max_size=60), error=st.text(max_size=60))
def test_any_name_and_error_make_a_letter(tmp_path_factory: pytest.TempPathFactory, name: str, error: str) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    jobs = [replace(desk.ready(), name=name), replace(failed(2, error=error), name=name)]
    for some in (jobs, jobs[:1], jobs[1:]):
        letter = desk.letter(*some)
        assert letter["To"] == TO
        assert "\n" not in str(letter["Subject"])


@pytest.mark.parametrize("name", ['=HYPERLINK("https://evil.example")', "+1", "-1", "@SUM(A1)", "＝1", " =1", "'=1"])
def test_manifest_computes_nothing(desk: Desk, name: str) -> None:
    rows = manifest(desk.letter(replace(desk.ready(), name=name), failed(2, error=name)))
    for cell in (rows[0]["file"], rows[1]["why"]):
        assert cell[0] not in "=+-@＝ "
        assert cell.removeprefix("'").strip() in (name.rpartition("/")[2].strip(), name.strip(), name.removeprefix("'"))


def test_error_is_one_line_of_bounded_length(desk: Desk) -> None:
    text = plain(desk.letter(failed(error="line one\r\nline\x00two " + "x" * 5000)))
    assert "Why: line one line\ufffdtwo xxx" in text
    assert max(len(line) for line in text.splitlines()) < 500


@pytest.mark.parametrize(
    "to",
    ["a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "", "nobody", "<a@b.example>", "a b@c.example"],
)
def test_address_that_is_not_one_address_is_refused_and_not_told(desk: Desk, to: str) -> None:
    for compose in (
        lambda: desk.composed(desk.ready(), to=to),
        lambda: compose_code(to, "123456", sender="irss@mail.test", minutes=30),
    ):
        with pytest.raises(MailRefusedError) as told:
            compose()
        assert not to or to not in str(told.value)


def test_nothing_is_fetched_and_nothing_runs(desk: Desk) -> None:
    letters = [desk.letter(desk.ready()), desk.letter(desk.ready(), failed(2)), desk.letter(failed())]
    for page in map(html, letters):
        assert all(link.startswith(("cid:", f"{ADDRESS}/")) for link in Text(page).links)
        assert not re.search(r"<script|<link|<iframe|@import|url\(|srcset| on\w+=", page)
        assert "prefers-color-scheme: dark" in page


# --- the code ---


def test_code_letter_has_the_code_and_how_long_it_is_good_for() -> None:
    letter = read(compose_code(TO, "042917", sender="IRSS <irss@mail.test>", minutes=30, now=NOW))
    assert letter["To"] == TO
    assert "042917" in letter["Subject"]
    assert letter["Date"].datetime.timestamp() == NOW
    assert letter["Auto-Submitted"] == "auto-generated"
    for text in (plain(letter), Text(html(letter)).shown):
        assert "042917" in text
        assert "good for 30 minutes" in text
        assert "did not ask for a code, ignore this mail" in text
    assert Text(html(letter)).links == []


def test_code_letters_are_different_mails() -> None:
    letters = [compose_code(TO, "042917", sender="irss@mail.test", minutes=30, now=NOW) for _ in range(2)]
    assert letters[0]["Message-ID"] != letters[1]["Message-ID"]


def test_long_name_keeps_its_beginning_and_ending() -> None:
    name = short_name(job_of(name=string.ascii_lowercase * 8 + ".tiff"))
    assert len(name) == 80
    assert name.startswith("abcdef")
    assert name.endswith("….tiff")


def test_letters_load_no_torch() -> None:
    code = "import sys, irss_core.jobs.letters, irss_core.adapters.local.smtp; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
