"""The queue tab below its components: wishes, files on their way in, one's own jobs, letters, signing in."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from irss_core.adapters.local.outbox_folder import OutboxFolder
from irss_core.config import Settings
from irss_core.errors import InputError, InvalidOptionError, LimitExceededError, NotFoundError, RateLimitedError
from irss_core.jobs.forecast import SubmissionForecast
from irss_core.jobs.job import at_stage, attempt_failed, cancel_asked, new_id
from irss_core.jobs.letters import compose_code
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions, Stage
from irss_core.media.images import ImageLimits
from irss_core.media.video import ClipLimits, ClipPart, ClipWriter
from irss_core.ui.handoff import HandedIn, HandingIn, TakenIn, Wishes, hand_in, handover_of, options_of
from irss_core.ui.job_list import act, list_jobs
from irss_core.ui.job_rows import jobs_html, options_words, state_words
from irss_core.ui.outbox import may_see_letters, outbox_html
from irss_core.ui.queue_forecast import Seen, forecast_html, problems_html, see
from irss_core.ui.requests import ClipRequest, LargeClip, LargeStill, StillRequest
from irss_core.ui.sign_in_panel import SignIn, SignInPanel, sign_in_html
from tests.made_counter import BICUBIC, Counter
from tests.unit.test_ui_rendering import HOSTILE, Tags


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


# ------------------------------------------------------------------------------------------------------------- wishes


def test_each_model_makes_a_submission_with_the_options_it_takes() -> None:
    made = options_of(Wishes(models=("realesr-general-x4v3", "bicubic"), scale="x3,5", model_denoise=0.2, format="png"))
    assert made == (
        JobOptions(model="realesr-general-x4v3", outscale=3.5, model_denoise=0.2, format="png"),
        JobOptions(model="bicubic", outscale=3.5, format="png"),
    )
    assert len(options_of(Wishes(models=("bicubic", "bicubic")))) == 1, "the same twice is one"


def test_what_a_task_leaves_out_is_not_looked_at() -> None:
    steps: dict[str, Any] = {"scale": "nonsense", "sharpen": 1.5, "denoise": True, "width": 320.0, "max_kilobytes": 50}
    filters = options_of(Wishes(preset="filters", **steps))
    assert filters == (JobOptions(preset="filters", sharpen=1.5, denoise=True, width=320, max_bytes=50_000),)
    (resized,) = options_of(Wishes(preset="resize+thumbnail", **steps))
    assert (resized.width, resized.denoise) == (320, False)
    assert options_of(Wishes(preset="thumbnail-100", **steps)) == (JobOptions(preset="thumbnail-100"),)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes(preset="resize+thumbnail"), "needs a width"),
        (Wishes(models=("own:1234",)), "no model named 'own:1234'"),
        (Wishes(scale="0.5"), "outscale is 0.5"),
        (Wishes(scale="seventeen"), "not a number"),
        (Wishes(preset="anything"), "preset is 'anything'"),
        (Wishes(format="exe"), "format is 'exe'"),
        (Wishes(format="png", max_kilobytes=20), "cannot be compressed"),
    ],
)
def test_an_impossible_wish_is_refused_with_the_remedy(wishes: Wishes, words: str) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        options_of(wishes)


# --------------------------------------------------------------------------------------------- from the other tabs


def test_a_large_picture_is_handed_over_with_both_models() -> None:
    asked = StillRequest(Path("cat.png"), ("realesrgan-x4plus", "tecogan-x4"), ("A", "B"), outscale=2.0, denoise=0.3)
    made = handover_of(LargeStill(asked, 900.0, 10))
    assert (made.source, made.models, made.outscale) == (Path("cat.png"), asked.models, 2.0)
    assert (made.model_denoise, made.note) == (0.3, "")


def test_what_is_not_the_same_in_the_queue_is_said() -> None:
    asked = ClipRequest(Path("a.mp4"), ("own:12", "tecogan-x4"), ("mine", "B"), part=ClipPart(0.0, 2.0))
    made = handover_of(LargeClip(asked, 900.0))
    assert made.models == ("tecogan-x4",)
    assert "own checkpoint is left out" in made.note
    assert "the whole clip" in made.note


def test_own_checkpoints_alone_cannot_be_handed_over() -> None:
    asked = StillRequest(Path("cat.png"), ("own:1", "own:2"), ("a", "b"))
    with pytest.raises(InputError, match="own checkpoints"):
        handover_of(LargeStill(asked, 900.0, 10))


# --------------------------------------------------------------------------------------------------------- handing in


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"pixels")
    return [folder / name for name in names]


def handed_in(
    counter: Counter,
    paths: Sequence[Path],
    *options: JobOptions,
    taken: TakenIn | None = None,
) -> tuple[list[HandingIn], HandedIn]:
    kept = TakenIn() if taken is None else taken
    *steps, end = hand_in(counter.service, counter.ana, paths, options or (BICUBIC,), ip=None, taken=kept)
    assert isinstance(end, HandedIn)
    return [step for step in steps if isinstance(step, HandingIn)], end


def test_every_file_becomes_a_job_and_the_progress_ends_at_all(counter: Counter, tmp_path: Path) -> None:
    paths = files(tmp_path, "a.png", "b.jpg", "c.mp4")
    steps, made = handed_in(counter, paths)
    assert made == HandedIn(jobs=3, submissions=1)
    assert [step.done for step in steps] == [0, 1, 2, 3]
    assert {step.total for step in steps} == {3}
    names = [job.name for job in counter.service.jobs_of(counter.ana).jobs]
    assert names == ["a.png", "b.jpg", "c.mp4"]
    assert all(path.exists() for path in paths), "what the visitor gave is copied, not taken away"


def test_two_models_make_two_submissions(counter: Counter, tmp_path: Path) -> None:
    steps, made = handed_in(counter, files(tmp_path, "a.png", "b.png"), BICUBIC, JobOptions(model="lanczos"))
    assert made == HandedIn(jobs=4, submissions=2)
    assert (steps[-1].done, steps[-1].total) == (4, 4)


def test_what_is_no_picture_is_left_out_and_named(counter: Counter, tmp_path: Path) -> None:
    good, bad = files(tmp_path, "a.png", "notes.txt")
    _, made = handed_in(counter, [good, bad])
    assert made.jobs == 1
    ((path, why),) = made.refused
    assert path == bad
    assert "notes.txt" in why


def test_nothing_usable_is_an_error_that_says_why(counter: Counter, tmp_path: Path) -> None:
    for paths, words in ((files(tmp_path, "notes.txt"), "notes.txt"), ([], "at least one file")):
        with pytest.raises(InputError, match=words):
            handed_in(counter, paths)
    assert counter.service.jobs_of(counter.ana).jobs == ()


def test_too_many_files_are_refused_before_any_is_taken_in(tmp_path: Path) -> None:
    counter = Counter(tmp_path, JobLimits(max_files=2))
    with pytest.raises(LimitExceededError, match="3 files; at most 2"):
        handed_in(counter, files(tmp_path, "a.png", "b.png", "c.png"))
    assert list(counter.objects.keys("")) == []


def test_a_submission_turned_down_is_tried_again_without_a_second_copy(tmp_path: Path) -> None:
    counter = Counter(tmp_path, JobLimits(submissions_in_flight=1))
    earlier = counter.submitted()
    taken, paths = TakenIn(), files(tmp_path, "a.png", "b.png")
    for _ in range(2):
        with pytest.raises(RateLimitedError):
            handed_in(counter, paths, taken=taken)
    assert len(list(counter.objects.keys("uploads/"))) == 1 + 2

    counter.done(earlier.jobs[0])
    _, made = handed_in(counter, paths, taken=taken)
    assert made.jobs == 2
    assert taken == {}
    assert len(list(counter.objects.keys("uploads/"))) == 1 + 2


def test_uploads_that_are_over_are_taken_in_anew(counter: Counter, tmp_path: Path) -> None:
    (path,) = files(tmp_path, "a.png")
    taken = TakenIn({(counter.ana.key, path): new_id()})
    with pytest.raises(NotFoundError):
        handed_in(counter, [path], taken=taken)
    assert handed_in(counter, [path], taken=taken)[1].jobs == 1


def test_the_second_submission_may_be_turned_down_alone(tmp_path: Path) -> None:
    counter = Counter(tmp_path, JobLimits(submissions_in_flight=1))
    second = JobOptions(model="lanczos")
    _, made = handed_in(counter, files(tmp_path, "a.png"), BICUBIC, second)
    assert (made.jobs, made.submissions, made.left) == (1, 1, (second,))
    assert "still in work" in made.error


# ------------------------------------------------------------------------------------------------------- one's own jobs


def test_nobody_sees_the_jobs_of_others(counter: Counter) -> None:
    made = counter.submitted(2)
    assert [group.batch.id for group in list_jobs(counter.service, counter.ana, count=10).groups] == [made.batch.id]
    assert list_jobs(counter.service, counter.eve, count=10).groups == ()


@pytest.mark.parametrize("action", ["cancel", "delete", "cancel-batch", "delete-batch"])
def test_nobody_touches_the_jobs_of_others(counter: Counter, action: str) -> None:
    made = counter.submitted(2)
    target = made.batch.id if action.endswith("batch") else made.jobs[0].id
    before = counter.service.batch(made.batch.id)
    for foreign in (target, new_id(), "nonsense", ""):
        with pytest.raises(NotFoundError, match="no longer in your list"):
            act(counter.service, counter.eve, action, foreign)
    assert counter.service.batch(made.batch.id) == before


def test_jobs_stand_by_submission_the_newest_first(counter: Counter) -> None:
    first = counter.submitted(3)
    counter.clock.advance(60)
    second = counter.submitted()
    counter.done(first.jobs[0])
    counter.failed(first.jobs[1])
    newer, older = list_jobs(counter.service, counter.ana, count=10).groups
    assert newer.batch.id == second.batch.id
    assert [job.number for job in older.jobs] == [1, 2, 3]
    assert (older.total, older.finished, older.failed, older.waiting, older.results) == (3, 1, 1, 1, 1)


def test_more_is_shown_when_asked_for(counter: Counter) -> None:
    for _ in range(2):
        counter.submitted(20)
        counter.clock.advance(1)
    listing = list_jobs(counter.service, counter.ana, count=24)
    assert [len(group.jobs) for group in listing.groups] == [20, 4]
    assert listing.groups[1].total == 20
    assert listing.has_more
    assert 'data-action="more"' in jobs_html(listing)
    everything = list_jobs(counter.service, counter.ana, count=72)
    assert [len(group.jobs) for group in everything.groups] == [20, 20]
    assert not everything.has_more


def test_the_list_moves_until_all_is_settled_and_mailed(counter: Counter) -> None:
    made = counter.submitted(2)

    def moves() -> bool:
        return list_jobs(counter.service, counter.ana, count=10).moving

    assert moves()
    counter.failed(made.jobs[0])
    assert moves()
    counter.done(made.jobs[1])
    assert moves(), "its mail is about to go out"
    counter.clock.advance(600)
    assert not moves(), "a mail server may be down for hours"


def test_cancel_and_delete_do_what_they_say(counter: Counter) -> None:
    one, two, three = counter.submitted(3).jobs
    act(counter.service, counter.ana, "cancel", one.id)
    assert counter.now(one).error_code == "cancelled"
    counter.done(two)
    act(counter.service, counter.ana, "cancel", two.id)  # too late, and no error: the list shows that it is done
    act(counter.service, counter.ana, "delete", two.id)
    with pytest.raises(NotFoundError):
        counter.now(two)
    act(counter.service, counter.ana, "cancel-batch", three.batch_id)
    assert counter.now(three).settled
    act(counter.service, counter.ana, "delete-batch", three.batch_id)
    assert list_jobs(counter.service, counter.ana, count=10).groups == ()
    with pytest.raises(InvalidOptionError, match="no action 'redrive'"):
        act(counter.service, counter.ana, "redrive", three.id)


def shown(counter: Counter, **how: str) -> str:
    return jobs_html(list_jobs(counter.service, counter.ana, count=50), **how)


def test_a_row_says_the_status_with_its_number_and_what_is_being_done(counter: Counter) -> None:
    (job,) = counter.submitted().jobs
    assert "1 · not processed" in shown(counter)
    assert "Waiting for its turn." in shown(counter)

    begun = counter.begun(job)
    assert "Starting." in shown(counter)
    at_work = at_stage(begun, Stage.UPSCALE, now=0.0, progress=0.25, remaining_s=90.0)
    counter.store.save(begun, at_work)
    assert "Enlarging (step 3 of 6): 25%, about 1 min 30 s left." in shown(counter)
    bars = [tag for _, tag in Tags(shown(counter)).found if tag.get("role") == "progressbar"]
    assert [bar["aria-valuenow"] for bar in bars] == ["25.0"]

    stumbled = attempt_failed(at_work, code="store-unavailable", error="The disk is full.", now=0.0)
    counter.store.save(at_work, stumbled)
    assert "repeated by itself: The disk is full." in shown(counter)
    counter.store.save(stumbled, cancel_asked(stumbled, now=0.0))
    assert "Being cancelled." in shown(counter)
    assert 'data-action="cancel"' not in shown(counter)


def test_a_finished_row_offers_its_result_and_a_failed_one_its_reason(counter: Counter) -> None:
    done, failed = counter.submitted(2).jobs
    counter.done(done, result_width=64, result_height=48, result_format="png", result_bytes=1200)
    assert f'href="image/{done.id}"' in shown(counter)
    assert f'src="image/{done.id}?role=thumbnail"' in shown(counter)
    assert "Result: 64 x 48 · PNG · 1.2 kB · took 2.5 s" in shown(counter)
    assert "results.zip" not in shown(counter), "not while there is work to do"
    counter.failed(failed, error="It ends after 300 bytes.")
    assert "4 · not delivered" in shown(counter)
    assert "It ends after 300 bytes." in shown(counter)
    assert f'href="image/{failed.id}"' not in shown(counter)
    assert "1 of 2 done, 1 not delivered" in shown(counter)


def test_a_batch_of_several_results_goes_home_as_one_zip(counter: Counter) -> None:
    made = counter.submitted(2)
    for job in made.jobs:
        counter.done(job)
    assert f'href="batches/{made.batch.id}/results.zip"' in shown(counter)
    assert "2 of 2 done" in shown(counter)


def test_what_was_done_may_still_not_have_been_mailed(counter: Counter) -> None:
    (job,) = counter.submitted().jobs
    done = counter.done(job)
    (group,) = list_jobs(counter.service, counter.ana, count=10).groups
    assert state_words(done, group) == "Done, to be mailed."
    assert state_words(done, replace(group, total=3)) == "Done. The mail goes out when the other files are done."
    lost = replace(done, status=type(done.status)(4), error_code="mail-failed", error="No such mailbox.")
    assert state_words(lost, group) == "Done, but it could not be mailed: No such mailbox."


def test_deleting_is_asked_about_first(counter: Counter) -> None:
    one, two = counter.submitted(2).jobs
    page = shown(counter, asking=two.id)
    assert page.count('data-action="delete"') == 1
    assert f'data-action="delete" data-of="{two.id}"' in page
    assert f'data-action="ask" data-of="{one.id}"' in page
    assert f'data-action="delete-batch" data-of="{one.batch_id}"' in shown(counter, asking=one.batch_id)


def test_names_and_reasons_never_become_markup(counter: Counter) -> None:
    hostile = HOSTILE.replace("/", "_").replace("\n", "")
    submission = counter.submit(counter.upload(hostile), counter.upload(hostile))
    counter.failed(submission.jobs[0], error=HOSTILE)
    page = shown(counter, asking=submission.jobs[1].id, problem=HOSTILE)
    tags = Tags(page)
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert all(attributes.get("src") != "x" for _, attributes in tags.found)
    assert "&lt;img" in page


def test_options_are_told_in_a_few_words() -> None:
    assert options_words(JobOptions(model="bicubic", outscale=2.0, format="webp")) == "Bicubic, x2, WebP"
    assert options_words(JobOptions(preset="resize+thumbnail", width=320)) == "resized, 320 wide"
    assert options_words(JobOptions(model="gone since")) == "gone since"


# ----------------------------------------------------------------------------------------------------------- forecast


def seen(path: Path) -> Seen:
    return see(path, images=ImageLimits(), clips=ClipLimits())


def picture(path: Path, width: int = 30, height: int = 20) -> Path:
    Image.new("RGB", (width, height), (90, 120, 30)).save(path)
    return path


def test_files_are_known_by_their_headers(tmp_path: Path) -> None:
    (still,) = seen(picture(tmp_path / "a.png")).facts
    assert (still.kind, still.width, still.height, still.frames) == ("still", 30, 20, 1)
    with ClipWriter(tmp_path / "a.mp4", width=32, height=16, fps=Fraction(5)) as writer:
        for index in range(4):
            writer.write(np.full((16, 32, 3), 50 * index, np.uint8), Fraction(index, 5))
    (clip,) = seen(tmp_path / "a.mp4").facts
    assert (clip.kind, clip.width, clip.height, clip.frames) == ("clip", 32, 16, 4)


def test_a_zip_counts_as_what_is_in_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(picture(tmp_path / "a.png"), "in/a.png")
        archive.write(picture(tmp_path / "b.png", 40, 40), "in/b.png")
        archive.writestr("in/broken.png", b"no picture")
        archive.writestr("in/readme.txt", b"hello")
    before = set(tmp_path.rglob("*"))
    assert sorted(each.width for each in seen(tmp_path / "set.zip").facts) == [30, 40]
    assert set(tmp_path.rglob("*")) == before
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as archive:
        archive.writestr("../../x.png", b"x")
    assert "outside" in seen(tmp_path / "hostile.zip").problem


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "<b>.png").write_text("hello")
    problems = [seen(tmp_path / "notes.txt"), seen(tmp_path / "<b>.png"), *[Seen(problem="no")] * 3]
    words = problems_html(problems)
    assert "notes.txt is neither a picture" in words
    assert "&lt;b&gt;.png" in words
    assert "And 2 more" in words
    assert problems_html([Seen()]) == ""


def test_the_forecast_adds_up_submissions_and_counts_the_waiting_once() -> None:
    one = SubmissionForecast(
        seconds=90.0, waiting_s=30.0, files=2, megapixels=3.0, result_bytes=2_000_000, basis="what was <measured>"
    )
    words = forecast_html([one, one])
    assert "2 files, 3.0 megapixels: about 2 min 30 s" in words
    assert "(30 s of it for work that is ahead of yours)" in words
    assert "results of about 4.0 MB" in words
    assert words.count("what was &lt;measured&gt;") == 1
    assert forecast_html([]) == ""


# ------------------------------------------------------------------------------------------------------------- letters


LOCAL = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    ("settings", "peer", "headers", "allowed"),
    [
        ({}, "127.0.0.1", LOCAL, True),
        ({}, "::1", {"host": "localhost:7860"}, True),
        ({"host": "::1"}, "::1", {"host": "[::1]:7860"}, True),
        ({"smtp_host": "mail.example.org"}, "127.0.0.1", LOCAL, False),
        ({"host": "0.0.0.0"}, "127.0.0.1", LOCAL, False),
        ({"host": "192.0.2.7"}, "127.0.0.1", LOCAL, False),
        ({"space_id": "me/irss"}, "127.0.0.1", LOCAL, False),
        ({"trusted_proxies": 1}, "127.0.0.1", LOCAL, False),
        ({"public_url": "https://irss.example"}, "127.0.0.1", LOCAL, False),
        ({}, "192.0.2.9", LOCAL, False),
        ({}, None, LOCAL, False),
        ({}, "127.0.0.1", {"host": "evil.example:7860"}, False),
        ({}, "127.0.0.1", {}, False),
        ({}, "127.0.0.1", {"host": "[localhost"}, False),
        ({"public_url": "http://localhost:7860"}, "127.0.0.1", LOCAL, True),
        ({}, "127.0.0.1", {**LOCAL, "x-forwarded-for": "203.0.113.7"}, False),
        ({}, "127.0.0.1", {**LOCAL, "forwarded": "for=203.0.113.7"}, False),
    ],
)
def test_letters_are_for_who_sits_at_a_machine_that_nobody_else_reaches(
    settings: dict[str, Any], peer: str | None, headers: dict[str, str], allowed: bool
) -> None:
    said = Settings(**{"host": None, "space_id": None, "smtp_host": None, "public_url": None, **settings})
    assert may_see_letters(said, peer=peer, headers=headers) is allowed


def test_a_letter_is_shown_boxed_off_with_its_code_to_read(tmp_path: Path) -> None:
    outbox = OutboxFolder(tmp_path)
    outbox.send(compose_code("ana@example.org", "123456", sender="IRSS <irss@localhost>", minutes=30, now=1e9))
    outbox.send(compose_code("ana@example.org", "654321", sender="IRSS <irss@localhost>", minutes=30, now=2e9))
    tags = Tags(outbox_html(outbox.mails(), lambda path: f"results/{path.name}"))
    first, second = [attributes for tag, attributes in tags.found if tag == "iframe"]
    assert "654321" in (first["srcdoc"] or "")
    assert "123456" in (second["srcdoc"] or "")
    assert "allow-scripts" not in (first["sandbox"] or "")
    assert "allow-same-origin" not in (first["sandbox"] or "")
    assert [attributes for tag, attributes in tags.found if tag == "details"] == [{"open": None}, {}]
    links = [attributes["href"] for tag, attributes in tags.found if tag == "a"]
    assert links == [f"results/{mail.path.name}" for mail in outbox.mails()]


def test_a_letters_pictures_stand_in_it_and_its_subject_is_no_markup(tmp_path: Path) -> None:
    letter = compose_code("ana@example.org", "123456", sender="IRSS <irss@localhost>", minutes=30, now=1e9)
    del letter["Subject"]
    letter["Subject"] = HOSTILE.replace("\n", "").replace("\u202e", "")
    page = letter.get_body(("html",))
    assert page is not None
    page.set_content('<img src="cid:one@irss"><img src="cid:gone@irss">', subtype="html")
    page.add_related(b"\x89PNG", "image", "png", cid="<one@irss>")
    outbox = OutboxFolder(tmp_path)
    outbox.send(letter)
    tags = Tags(outbox_html(outbox.mails(), lambda path: path.name))
    assert "data:image/png;base64,iVBORw==" in (tags.one("iframe")["srcdoc"] or "")
    assert "cid:" not in (tags.one("iframe")["srcdoc"] or "")
    assert not any(tag == "img" for tag, _ in tags.found), "the subject's"


def test_an_empty_outbox_says_so() -> None:
    assert "No letters yet." in outbox_html([], str)


# ---------------------------------------------------------------------------------------------------------- signing in


def test_the_form_asks_for_what_the_step_needs_and_keeps_what_was_typed() -> None:
    address = Tags(sign_in_html(SignIn(address="ana@exa", error="Not an address.")))
    field = address.one("input")
    assert (field["type"], field["autocomplete"], field["value"]) == ("email", "email", "ana@exa")
    assert field["aria-describedby"] == "irss-sign-in-error"
    code = Tags(sign_in_html(SignIn("code", "ana@example.org"))).one("input")
    assert (code["inputmode"], code["autocomplete"]) == ("numeric", "one-time-code")
    assert sign_in_html(SignIn()) != sign_in_html(SignIn()), "or the page would not free its button again"
    for step in ("address", "code", "done"):
        tags = Tags(sign_in_html(SignIn(step, HOSTILE, error=HOSTILE)))  # type: ignore[arg-type]
        assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
        assert not any(tag == "img" for tag, _ in tags.found)


@pytest.fixture
def panel(counter: Counter) -> SignInPanel:
    with gr.Blocks():
        return SignInPanel(SimpleNamespace(services=SimpleNamespace(jobs=counter.service)))  # type: ignore[arg-type]


def pressed(panel: SignInPanel, action: str, typed: str = "", address: str = "") -> tuple[str, str | None]:
    """What the last update shows, and the token that it leaves in the browser, if it leaves one."""
    updates = panel.press(action, typed, address, ip=None, outbox_shown=False)
    return updates[panel.part], updates[panel.token]["token"] if panel.token in updates else None


def mailed_code(counter: Counter) -> str:
    return str(counter.mailer.arrived[-1]["Subject"])[-6:]


def test_the_mailed_code_signs_in_on_this_browser_and_another_address_signs_out(
    panel: SignInPanel, counter: Counter
) -> None:
    asked, token = pressed(panel, "send", " Ana@Example.org ")
    assert 'data-address="Ana@Example.org"' in asked
    assert token is None
    done, token = pressed(panel, "confirm", mailed_code(counter), "Ana@Example.org")
    assert "Mails go to" in done
    assert token
    assert panel.owner({"token": token}).key == panel.owner({"token": counter.service.sessions.token(
        counter.service.sessions.owner_of_address("Ana@example.org"))}).key  # fmt: skip
    assert "Mails go to" in panel.greet({"token": token})[panel.part]
    assert pressed(panel, "other")[1] == "", "what is falsy the browser would not store"


def test_a_wrong_code_says_how_many_tries_are_left_and_the_step_stays(panel: SignInPanel, counter: Counter) -> None:
    pressed(panel, "send", "ana@example.org")
    wrong = f"{(int(mailed_code(counter)) + 1) % 10**6:06d}"
    page, token = pressed(panel, "confirm", wrong, "ana@example.org")
    assert "4 tries are left" in page
    assert 'data-address="ana@example.org"' in page
    assert token is None


def test_a_bad_address_stays_in_the_field(panel: SignInPanel, counter: Counter) -> None:
    page, _ = pressed(panel, "send", "ana at example")
    assert 'value="ana at example"' in page
    assert "cannot be used" in page
    assert counter.mailer.arrived == []


def test_a_browser_without_a_session_or_with_a_stale_one_is_nobody(panel: SignInPanel, counter: Counter) -> None:
    for nothing in (None, "", {}, {"token": None}, {"token": ""}, [1]):
        assert panel.greet(nothing) == {}
    token = counter.service.sessions.token(counter.ana)
    counter.clock.advance(31 * 86_400)
    updates = panel.greet({"token": token})
    assert "more than 30 days ago" in updates[panel.part]
    assert updates[panel.token] == {"token": ""}
