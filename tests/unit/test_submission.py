"""Files on their way in: uploads, submissions, zips, and requests that are made twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from irss_core.errors import (
    ConflictError,
    CorruptMediaError,
    InputError,
    InvalidOptionError,
    LimitExceededError,
    NotFoundError,
    RateLimitedError,
    ResourceError,
    StoreUnavailableError,
    UnknownModelError,
    UnsupportedFormatError,
)
from irss_core.jobs.job import (
    JobStatus,
)
from irss_core.jobs.keys import upload_key
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions
from irss_core.jobs.submission import Submission
from tests.made_counter import MANY, Counter, at_once, packed

DAY_S = 24 * 3600.0


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


# -------------------------------------------------------------------------------------------------------------- uploads


def test_a_form_takes_one_file_of_the_size_that_was_said(counter: Counter) -> None:
    upload = counter.service.begin_upload(
        counter.ana, name="cat.png", size_bytes=6, content_type="Image/PNG; charset=binary"
    )
    assert upload.form.max_bytes == 6
    assert upload.form.fields["key"] == upload_key(upload.id)
    assert upload.form.fields["content-type"] == "image/png"
    with pytest.raises(NotFoundError, match=r"cat\.png has not arrived"):
        counter.submit(upload.id)
    counter.objects.upload(upload.form.fields, b"pixels")
    (job,) = counter.submit(upload.id).jobs
    assert (job.name, job.input_bytes, job.input_key) == ("cat.png", 6, upload_key(upload.id))


@pytest.mark.parametrize(
    ("name", "size_bytes", "content_type", "error", "words"),
    [
        ("cat.png", 0, "image/png", CorruptMediaError, "is empty"),
        ("cat.png", -5, "image/png", CorruptMediaError, "is empty"),
        ("cat.png", 257 * 2**20, "image/png", LimitExceededError, "IRSS_MAX_IMAGE_BYTES"),
        ("cat.mp4", 2049 * 2**20, "video/mp4", LimitExceededError, "IRSS_MAX_CLIP_BYTES"),
        ("cats.zip", 2049 * 2**20, "application/zip", LimitExceededError, "IRSS_MAX_CLIP_BYTES"),
        ("cat.svg", 10, "image/svg+xml", UnsupportedFormatError, r"cat\.svg is neither a picture"),
        ("cat.html", 10, "text/html", UnsupportedFormatError, "neither"),
        ("cat", 10, "text/html", UnsupportedFormatError, "neither"),
        ("cat.png.exe", 10, "image/png", UnsupportedFormatError, "neither"),
        ("cat.png", 10, "image/png\r\nX-Evil: 1", InvalidOptionError, "content type"),
        ("cat.png", 10, "<script>", InvalidOptionError, "content type"),
    ],
)
def test_what_cannot_be_taken_is_refused_before_it_is_sent(
    name: str, size_bytes: int, content_type: str, error: type[Exception], words: str, counter: Counter
) -> None:
    with pytest.raises(error, match=words):
        counter.service.begin_upload(counter.ana, name=name, size_bytes=size_bytes, content_type=content_type)


def test_a_picture_without_an_ending_is_known_by_what_the_browser_says(counter: Counter) -> None:
    for content_type in ("image/png", "video/mp4"):
        counter.service.begin_upload(counter.ana, name="blob", size_bytes=10, content_type=content_type)


def test_a_file_of_this_machine_is_checked_like_any_other(counter: Counter, tmp_path: Path) -> None:
    with pytest.raises(CorruptMediaError):
        counter.upload("cat.png", b"")
    with pytest.raises(UnsupportedFormatError):
        counter.upload("cat.txt")
    with pytest.raises(InputError, match=r"cat\.png cannot be read"):
        counter.service.add_upload(counter.ana, tmp_path / "none", name="cat.png")
    small = Counter(tmp_path, replace(MANY, max_image_bytes=5))
    with pytest.raises(LimitExceededError, match="6 bytes long; at most 5"):
        small.upload("cat.png")
    small.upload("cat.mp4")
    assert small.objects.keys("uploads/") != []


def test_a_file_that_came_larger_than_allowed_is_not_submitted(tmp_path: Path) -> None:
    counter = Counter(tmp_path, replace(MANY, max_image_bytes=6))
    upload = counter.upload("cat.png")
    counter.objects.put(upload_key(upload), counter.file(b"pixels!"), content_type="image/png")
    with pytest.raises(LimitExceededError, match="7 bytes long; at most 6"):
        counter.submit(upload)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\fakepath\\cat.png", "cat.png"),
        ("/etc/cat.png", "cat.png"),
        ("cat\r\nBcc: eve@example.org.png", "cat\ufffd\ufffdBcc: eve@example.org.png"),
        ("ca\u202egnp.t.png", "ca\ufffdgnp.t.png"),
        ("e\u0301te\u0301.png", "été.png"),
        ("می\u200cخواهم.png", "می\u200cخواهم.png"),
        ("\ud800.png", "\ufffd.png"),
        (f"{'x' * 300}.png", f"{'x' * 251}.png"),
        ("..png", "..png"),
    ],
)
def test_a_name_is_to_be_shown_and_no_path(name: str, shown: str, counter: Counter) -> None:
    (job,) = counter.submit(counter.upload(name)).jobs
    assert job.name == shown
    assert len(job.name) <= 255
    assert job.input_key == f"uploads/{job.id}"


# ----------------------------------------------------------------------------------------------------------- submitting


def test_a_file_that_something_was_ordered_with_becomes_a_job_when_it_comes(counter: Counter) -> None:
    order = JobOptions(preset="thumbnail-100")
    upload = counter.service.begin_upload(
        counter.ana, name="cat.png", size_bytes=6, content_type="image/png", order=order
    )
    with pytest.raises(NotFoundError, match="has not arrived"):
        counter.service.arrived(upload.id)
    counter.objects.upload(upload.form.fields, b"pixels")
    made = counter.service.arrived(upload.id)
    assert made is not None
    assert [(job.id, job.name, job.options) for job in made.jobs] == [(upload.id, "cat.png", order)]
    assert made.batch.address == counter.ana.address
    assert counter.service.arrived(upload.id) is None, "told twice, it is made once"
    assert counter.service.work.depth().ready == 1


def test_nothing_becomes_of_a_file_that_nothing_was_ordered_with(counter: Counter) -> None:
    upload = counter.service.begin_upload(counter.ana, name="cat.png", size_bytes=6, content_type="image/png")
    counter.objects.upload(upload.form.fields, b"pixels")
    assert counter.service.arrived(upload.id) is None
    assert counter.service.arrived("../secret") is None
    assert counter.submit(upload.id).created


def test_orders_are_checked_and_counted_when_they_are_given(tmp_path: Path) -> None:
    counter = Counter(tmp_path, JobLimits(submissions_per_day=1))

    def order(options: JobOptions) -> None:
        counter.service.begin_upload(counter.ana, name="cat.png", size_bytes=6, content_type="image/png", order=options)

    with pytest.raises(UnknownModelError):
        order(JobOptions(model="none"))
    order(JobOptions())
    with pytest.raises(RateLimitedError):
        order(JobOptions())


def test_each_file_is_a_job_and_gets_a_message(counter: Counter) -> None:
    uploads = [counter.upload(name) for name in ("cat.png", "dog.mp4", "cat.png")]
    made = counter.submit(*uploads)
    assert made.created
    assert [(job.number, job.name) for job in made.jobs] == [(1, "cat.png"), (2, "dog.mp4"), (3, "cat.png")]
    assert {job.status for job in made.jobs} == {JobStatus.NOT_PROCESSED}
    assert made.batch.address == "ana@example.org"
    assert (made.batch.jobs, made.batch.open_jobs) == (3, 3)
    assert counter.work.bodies() == [job.id for job in made.jobs]
    assert counter.service.batch(made.batch.id) == (made.batch, list(made.jobs))
    assert [counter.service.job(job.id) for job in made.jobs] == list(made.jobs)


def test_another_visitor_s_upload_is_as_unknown_as_none(counter: Counter) -> None:
    foreign = counter.upload(owner=counter.eve)
    words = set()
    for upload in (foreign, "f" * 64, "", "../secret.key", "A" * 64, foreign.upper(), f"{foreign}\n"):
        with pytest.raises(NotFoundError) as caught:
            counter.submit(upload)
        words.add(str(caught.value))
    assert len(words) == 1
    counter.submit(foreign, owner=counter.eve)
    with pytest.raises(NotFoundError) as caught:
        counter.submit(foreign)
    assert {str(caught.value)} == words, "and so it is when it has become a job"
    assert counter.service.jobs_of(counter.ana).jobs == ()


def test_an_upload_is_submitted_once(counter: Counter) -> None:
    upload, other = counter.upload(), counter.upload()
    first = counter.submit(upload)
    with pytest.raises(ConflictError, match="submitted before"):
        counter.submit(other, upload)
    with pytest.raises(InvalidOptionError, match="named twice"):
        counter.submit(other, other)
    assert counter.service.jobs_of(counter.ana).jobs == first.jobs
    counter.submit(other)


def test_of_two_submissions_of_an_upload_at_once_one_wins(counter: Counter) -> None:
    for _ in range(5):
        upload = counter.upload()
        answers = at_once([lambda upload=upload: counter.submit(upload)] * 3)
        assert sum(isinstance(answer, Submission) for answer in answers) == 1
        assert sum(isinstance(answer, ConflictError) for answer in answers) == 2
    assert len(counter.service.jobs_of(counter.ana).jobs) == 5


def test_an_upload_is_kept_for_a_day(counter: Counter) -> None:
    upload = counter.upload()
    counter.clock.advance(DAY_S)
    with pytest.raises(NotFoundError, match="kept for 24 hours"):
        counter.submit(upload)


def test_nothing_and_too_much_are_refused(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    with pytest.raises(InvalidOptionError, match="Nothing was handed in"):
        counter.submit()
    with pytest.raises(LimitExceededError, match=r"501 files.*at most 500.*IRSS_MAX_BATCH_FILES"):
        counter.submit(*(f"{number:064x}" for number in range(501)))
    assert len(counter.submitted(500).jobs) == 500


def test_options_must_fit_the_model(counter: Counter) -> None:
    upload = counter.upload()
    with pytest.raises(UnknownModelError, match="no model named 'none'"):
        counter.submit(upload, options=JobOptions(model="none"))
    with pytest.raises(InvalidOptionError, match="takes no denoise strength"):
        counter.submit(upload, options=JobOptions(model="bicubic", model_denoise=0.5))
    made = counter.submit(upload, options=JobOptions(model="realesr-general-x4v3", model_denoise=0.5))
    assert made.jobs[0].options.model_denoise == 0.5
    counter.submitted(options=JobOptions(preset="filters", model="none", greyscale=True))


def test_who_submits_too_often_is_turned_away_before_anything_is_stored(tmp_path: Path) -> None:
    counter = Counter(tmp_path, JobLimits(submissions_per_hour=2, submissions_per_day=3))
    archive = counter.upload("cats.zip", packed({"a.png": b"a"}))
    for number in range(2):
        counter.submitted(ip=f"2001:db8::{number}")
    before = set(counter.objects.keys(""))
    with pytest.raises(RateLimitedError, match="one network address") as caught:
        counter.submit(archive, ip="2001:db8::7")
    assert caught.value.retry_after_s > 0
    assert set(counter.objects.keys("")) == before
    counter.submit(archive, ip="2001:db8:1::7")
    with pytest.raises(RateLimitedError, match="one person"):
        counter.submitted()
    kept = repr(counter.records._entries)
    assert "2001" not in kept


def test_what_was_taken_is_told_even_if_no_message_can_be_sent(counter: Counter) -> None:
    counter.work.down = True
    made = counter.submitted()
    assert made.created
    assert counter.store.unsettled_jobs(not_updated_since=counter.clock.now() + 1, limit=10) == list(made.jobs)


def test_a_submission_that_was_broken_off_can_be_made_again(counter: Counter) -> None:
    def break_off() -> None:
        raise StoreUnavailableError("The disk is full.")

    uploads = [counter.upload(), counter.upload("cats.zip", packed({"a.png": b"a", "b.png": b"b"}))]
    counter.store.before_create.append(break_off)
    with pytest.raises(StoreUnavailableError):
        counter.submit(*uploads, idempotency_key="one")
    assert counter.work.bodies() == []
    again = counter.submit(*uploads, idempotency_key="one")
    assert again.created
    assert [job.name for job in again.jobs] == ["cat.png", "a.png", "b.png"]
    assert len(counter.objects.keys("uploads/")) == 3, "the first attempt left nothing else behind"


# ----------------------------------------------------------------------------------------------------------------- zips


def test_a_zip_becomes_a_job_for_each_picture_and_clip_in_it(counter: Counter) -> None:
    content = {"in/a.png": b"a", "in/about.txt": b"x", "in/deeper/a.PNG": b"aa", "b.mp4": b"bbb", "été.jpg": b"e"}
    archive = counter.upload("Holiday.zip", packed(content))
    made = counter.submit(counter.upload("first.png"), archive, counter.upload("last.png"))
    assert [job.name for job in made.jobs] == ["first.png", "a.png", "a.PNG", "b.mp4", "été.jpg", "last.png"]
    assert [job.number for job in made.jobs] == [1, 2, 3, 4, 5, 6]
    assert [job.input_bytes for job in made.jobs][1:5] == [1, 2, 3, 1]
    assert counter.objects.stored[made.jobs[2].input_key][1] == b"aa"
    assert len({job.id for job in made.jobs}) == 6
    assert all(len(job.id) == 64 for job in made.jobs)
    assert counter.objects.info(upload_key(archive)) is None
    assert list(counter.scratch.iterdir()) == []


def test_of_two_submissions_of_a_zip_at_once_one_wins(counter: Counter) -> None:
    for _ in range(5):
        archive = counter.upload("cats.zip", packed({"a.png": b"a", "b.png": b"b"}))
        answers = at_once([lambda archive=archive: counter.submit(archive)] * 3)
        (made,) = (answer for answer in answers if isinstance(answer, Submission))
        assert sum(isinstance(answer, ConflictError | NotFoundError) for answer in answers) == 2
        assert all(counter.objects.info(job.input_key) for job in made.jobs)
    assert len(counter.service.jobs_of(counter.ana).jobs) == 10


def test_the_files_of_zips_count_with_the_others(tmp_path: Path) -> None:
    counter = Counter(tmp_path, replace(MANY, max_files=4))
    pair, trio = packed({"a.png": b"a", "b.png": b"b"}), packed({f"{number}.png": b"a" for number in range(3)})
    assert len(counter.submit(counter.upload(), counter.upload("a.zip", pair), counter.upload()).jobs) == 4
    with pytest.raises(InputError, match=r"b\.zip holds 3 files; at most 2 are taken"):
        counter.submit(counter.upload("a.zip", pair), counter.upload("b.zip", trio))
    for others in (
        [counter.upload() for _ in range(4)],
        [counter.upload("a.zip", pair), counter.upload("b.zip", pair)],
    ):
        with pytest.raises(LimitExceededError, match="at most 4 are taken at once"):
            counter.submit(*others, counter.upload("c.zip", pair))
    assert len(counter.service.jobs_of(counter.ana).jobs) == 4


def test_a_hostile_zip_is_refused_whole(counter: Counter) -> None:
    bomb = packed({"a.bmp": bytes(70 * 2**20)})
    for content, words in (
        (packed({"good.png": b"a", "../evil.png": b"b"}), "outside"),
        (packed({"good.png": b"a", "inner.zip": packed({"a.png": b"a"})}), "another zip"),
        (packed({"good.png": b"a", **{f"{number}.txt": b"" for number in range(500)}}), "501 files; at most 499"),
        (bomb, "more than 200 times as much"),
        (b"no zip at all", "damaged"),
        (packed({"readme.txt": b"a"}), "no picture and no clip"),
    ):
        good, archive = counter.upload(), counter.upload("cats.zip", content)
        with pytest.raises(InputError, match=rf"^cats\.zip .*{words}"):
            counter.submit(good, archive)
        counter.submit(good)
    assert len(counter.service.jobs_of(counter.ana).jobs) == 6
    assert list(counter.scratch.iterdir()) == []


def test_a_disk_that_is_full_while_unpacking_is_told(counter: Counter) -> None:
    archive = counter.upload("cats.zip", packed({"a.png": b"a"}))
    counter.scratch.write_text("a file where the folder should be")
    with pytest.raises(ResourceError, match=r"no room to unpack cats\.zip"):
        counter.submit(archive)
    counter.scratch.unlink()
    counter.submit(archive)


# ----------------------------------------------------------------------------------------------------- idempotency keys


def test_the_same_request_under_its_key_is_done_once(counter: Counter) -> None:
    uploads = [counter.upload(), counter.upload("cats.zip", packed({"a.png": b"a"}))]
    first = counter.submit(*uploads, idempotency_key="k", ip="192.0.2.1")
    assert first.created
    again = counter.submit(*uploads, idempotency_key="k", ip="192.0.2.1")
    assert again == Submission(first.batch, first.jobs, created=False)
    assert counter.work.bodies() == [job.id for job in first.jobs]


def test_repeated_requests_are_not_counted_against_the_limits(tmp_path: Path) -> None:
    counter = Counter(tmp_path, JobLimits(submissions_per_hour=1, submissions_in_flight=1))
    upload = counter.upload()
    for number in range(5):
        assert counter.submit(upload, idempotency_key="k", ip="192.0.2.1").created is (number == 0)


def test_a_key_is_for_one_request_and_one_owner(counter: Counter) -> None:
    upload = counter.upload()
    first = counter.submit(upload, idempotency_key="k")
    for other in ({"options": JobOptions(model="lanczos")}, {}):
        with pytest.raises(ConflictError, match="another submission"):
            counter.submit(upload if other else counter.upload(), idempotency_key="k", **other)
    foreign = counter.submit(counter.upload(owner=counter.eve), idempotency_key="k", owner=counter.eve)
    assert foreign.created
    assert foreign.batch.id != first.batch.id
    counter.clock.advance(DAY_S)
    assert counter.submitted(idempotency_key="k").created


def test_the_same_request_twice_at_once_is_one_submission(counter: Counter) -> None:
    for number in range(5):
        uploads = [counter.upload(), counter.upload()]
        answers = at_once([lambda uploads=uploads, key=str(number): counter.submit(*uploads, idempotency_key=key)] * 4)
        assert all(isinstance(answer, Submission) for answer in answers), answers
        assert len({answer.batch.id for answer in answers}) == 1
        assert sum(answer.created for answer in answers) == 1
    assert len(counter.service.jobs_of(counter.ana).jobs) == 10


@pytest.mark.parametrize("step", ["count", "create"])
@pytest.mark.parametrize("name", ["cat.png", "cats.zip"])
def test_the_same_request_that_comes_while_the_first_is_written_is_one_submission(
    name: str, step: str, tmp_path: Path
) -> None:
    counter = Counter(tmp_path, replace(MANY, submissions_in_flight=1))
    upload, answers = counter.upload(name, packed({"a.png": b"a"})), []
    hooks = counter.store.before_count if step == "count" else counter.store.before_create
    hooks.append(lambda: answers.append(counter.submit(upload, idempotency_key="k")))
    answers.append(counter.submit(upload, idempotency_key="k"))
    assert [answer.created for answer in answers] == [True, False]
    assert answers[0].batch == answers[1].batch
    assert counter.objects.info(answers[0].jobs[0].input_key)


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "\ud800"])
def test_what_is_no_key_is_refused(key: str, counter: Counter) -> None:
    with pytest.raises(InvalidOptionError, match="Idempotency-Key has 1 to 255"):
        counter.submitted(idempotency_key=key)
