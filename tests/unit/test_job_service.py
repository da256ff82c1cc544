"""JobService over the ports in memory: signing in, jobs and results out, stopping, deleting, and who may not."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.records import SqliteRecords
from irss_core.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidOptionError,
    NotFoundError,
    NotSignedInError,
)
from irss_core.jobs.job import (
    JobStatus,
    MailState,
    attempt_failed,
    mail_answered,
    mail_sending,
    processed,
    with_results,
)
from irss_core.jobs.keys import archive_key, output_key, results_zip_key, work_key
from irss_core.jobs.options import JobOptions
from tests.fakes.clock import FakeClock
from tests.made_counter import BICUBIC, Counter, at_once


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


# -------------------------------------------------------------------------------------------------------------- signing


def test_who_types_the_code_gets_a_session_of_that_address(counter: Counter) -> None:
    assert counter.service.request_code("Ana@EXAMPLE.org", ip="192.0.2.1") == 1800
    (mail,) = counter.mailer.arrived
    subject = str(mail["Subject"])
    code = "".join(sign for sign in subject if sign.isdigit())
    token = counter.service.confirm_code("Ana@example.ORG", code)
    assert counter.service.sessions.owner(token) == counter.service.sessions.owner_of_address("Ana@example.org")
    with pytest.raises(NotSignedInError):
        counter.service.confirm_code("Ana@example.org", code)


# -------------------------------------------------------------------------------------------------------------- reading


def test_unknown_ids_are_not_found(counter: Counter) -> None:
    made = counter.submitted()
    for some_id in ("f" * 64, "", "../../etc/passwd", made.jobs[0].id[:-1], made.jobs[0].id.upper(), "é" * 64):
        with pytest.raises(NotFoundError, match="no job of that id"):
            counter.service.job(some_id)
        with pytest.raises(NotFoundError, match="no submission of that id"):
            counter.service.batch(some_id)
        for ask in (counter.service.cancel, counter.service.delete, counter.service.cancel_batch):
            with pytest.raises(NotFoundError):
                ask(some_id)
        with pytest.raises(NotFoundError):
            counter.service.results_zip_url(some_id)


def test_what_no_database_could_look_up_is_not_found(tmp_path: Path) -> None:
    database = Database(tmp_path / "jobs.sqlite3")
    counter = Counter(tmp_path, store=SqliteJobStore(database), records=SqliteRecords(database, FakeClock()))
    for some_id in ("\ud800", "\0", "a" * 10**6):
        for ask in (counter.service.job, counter.service.batch, counter.service.delete, counter.submit):
            with pytest.raises(NotFoundError):
                ask(some_id)


def test_a_gallery_shows_its_owner_s_jobs_in_pages(counter: Counter) -> None:
    counter.submit(counter.upload(owner=counter.eve), owner=counter.eve)
    made = []
    for _ in range(3):
        counter.clock.advance(1)
        made.append(counter.submitted().jobs[0])
    page = counter.service.jobs_of(counter.ana, limit=2)
    assert page.jobs == (made[2], made[1])
    assert page.cursor is not None
    rest = counter.service.jobs_of(counter.ana, limit=2, cursor=page.cursor)
    assert rest.jobs == (made[0],)
    assert rest.cursor is None
    with pytest.raises(InvalidOptionError):
        counter.service.jobs_of(counter.eve, limit=2, cursor=page.cursor)
    assert len(counter.service.jobs_of(counter.ana, limit=-1).jobs) == 1


def test_a_download_has_a_good_name_and_ends(counter: Counter) -> None:
    names = []
    for name, options, content_type, role in (
        ("cat.jpg", BICUBIC, "image/png", "result"),
        ("cat.jpg", JobOptions(model="realesrgan-x2plus"), "image/jpeg", "result"),
        ("cat.jpg", JobOptions(model="bicubic", outscale=2.5), "image/tiff", "result"),
        ("été au lac.mov", BICUBIC, "video/mp4", "result"),
        ("cat.jpg", JobOptions(preset="filters", greyscale=True), "image/webp", "result"),
        ("cat.jpg", BICUBIC, "image/png", "thumbnail"),
        (f"{'x' * 200}.jpg", BICUBIC, "image/png", "result"),
        ('a"b;c=d/..\\evil<>.png', BICUBIC, "application/x-unknown", "result"),
    ):
        job = counter.done(counter.submit(counter.upload(name), options=options).jobs[0], content_type=content_type)
        url = counter.service.download_url(job, role)
        names.append(counter.objects.download(url)[1])
    assert names == [
        "cat_x4.png",
        "cat_x2.jpg",
        "cat_x2.5.tif",
        "été au lac_x4.mp4",
        "cat.webp",
        "cat_thumbnail.png",
        f"{'x' * 80}_x4.png",
        "evil___x4",
    ]
    counter.clock.advance(5 * 60)
    with pytest.raises(NotFoundError):
        counter.objects.download(url)


def test_there_is_nothing_to_download_before_and_after(counter: Counter) -> None:
    (job,) = counter.submitted().jobs
    for role in ("result", "thumbnail", "none", ""):
        with pytest.raises(NotFoundError, match="not there yet"):
            counter.service.download_url(job, role)
    begun = counter.begun(job)
    counter.objects.put(output_key(job.id, "result"), counter.file(), content_type="image/png")
    early = with_results(begun, outputs={"result": output_key(job.id, "result")}, facts={}, now=0)
    with pytest.raises(NotFoundError):
        counter.service.download_url(early, "result")
    done = processed(early, now=0)
    counter.service.download_url(done, "result")
    counter.objects.delete(output_key(job.id, "result"))
    with pytest.raises(NotFoundError):
        counter.service.download_url(done, "result")


def test_what_was_handed_in_can_be_had_back_as_long_as_it_is_kept(counter: Counter) -> None:
    (job,) = counter.submit(counter.upload("cat.png", b"pixels")).jobs
    assert counter.objects.download(counter.service.download_url(job, "original"))[:2] == (b"pixels", "cat.png")
    counter.objects.delete(job.input_key)
    with pytest.raises(NotFoundError):
        counter.service.download_url(job, "original")
    counter.objects.put(archive_key(job.id), counter.file(b"pixels"), content_type="image/png")
    assert counter.objects.download(counter.service.download_url(job, "original"))[0] == b"pixels"


# ---------------------------------------------------------------------------------------------------------- results zip


def test_a_batch_s_results_come_as_one_zip_with_a_manifest(counter: Counter) -> None:
    made = counter.submit(*(counter.upload(name) for name in ("cat.png", "CAT.jpg", "=dog.png", "manifest.csv.gif")))
    first, second, third, fourth = made.jobs
    counter.done(first, b"one", result_width=64, result_height=48)
    counter.done(second, b"two")
    counter.failed(third, "@SUM(A1) is damaged.")
    counter.done(fourth, b"four")
    files = counter.unzipped(made.batch)
    table = list(csv.reader(io.StringIO(files.pop("manifest.csv").decode("utf-8-sig"))))
    assert files == {"cat_x4.png": b"one", "CAT_x4 (2).png": b"two", "manifest.csv_x4.png": b"four"}
    assert table == [
        ["number", "file", "status", "result", "width", "height", "seconds", "error"],
        ["1", "cat.png", "processed", "cat_x4.png", "64", "48", "2.5", ""],
        ["2", "CAT.jpg", "processed", "CAT_x4 (2).png", "", "", "2.5", ""],
        ["3", "'=dog.png", "not delivered", "", "", "", "", "'@SUM(A1) is damaged."],
        ["4", "manifest.csv.gif", "processed", "manifest.csv_x4.png", "", "", "2.5", ""],
    ]


def test_what_is_not_finished_is_not_in_the_zip(counter: Counter) -> None:
    made = counter.submitted(2)
    counter.done(made.jobs[0], b"one")
    begun, key = counter.begun(made.jobs[1]), output_key(made.jobs[1].id, "result")
    counter.objects.put(key, counter.file(b"not checked yet"), content_type="image/png")
    counter.store.save(begun, with_results(begun, outputs={"result": key}, facts={}, now=0))
    assert set(counter.unzipped(made.batch)) == {"manifest.csv", "cat 1_x4.png"}


def test_the_zip_is_made_once_and_again_when_something_changed(counter: Counter) -> None:
    made = counter.submitted(2)
    key = results_zip_key(made.batch.id)
    with pytest.raises(NotFoundError, match="no result in this submission"):
        counter.service.results_zip_url(made.batch.id)
    counter.done(made.jobs[0], b"one")
    assert set(counter.unzipped(made.batch)) == {"manifest.csv", "cat 1_x4.png"}
    before = counter.objects.stored[key]
    counter.clock.advance(60)
    counter.unzipped(made.batch)
    assert counter.objects.stored[key] == before, "not made anew"
    counter.done(made.jobs[1], b"two")
    assert len(counter.unzipped(made.batch)) == 3
    again = counter.objects.stored[key]
    counter.objects.delete(key)
    counter.clock.advance(60)
    counter.unzipped(made.batch)
    assert counter.objects.stored[key][1] == again[1], "the same bytes whenever it is made"
    assert list(counter.scratch.iterdir()) == []


def test_a_zip_that_somebody_else_stored_meanwhile_is_not_taken_for_the_right_one(counter: Counter) -> None:
    made = counter.submitted(2)
    counter.done(made.jobs[0], b"one")
    counter.unzipped(made.batch)
    older = counter.file(counter.objects.stored[results_zip_key(made.batch.id)][1])
    counter.done(made.jobs[1], b"two")
    assert len(counter.unzipped(made.batch)) == 3
    counter.objects.put(results_zip_key(made.batch.id), older, content_type="application/zip")
    assert len(counter.unzipped(made.batch)) == 3


# ---------------------------------------------------------------------------------------------- cancel, delete, redrive


def test_a_job_that_waits_is_cancelled_at_once_and_its_mail_sent(counter: Counter) -> None:
    made = counter.submitted(2)
    first = counter.service.cancel(made.jobs[0].id)
    assert (first.status, first.error_code) == (JobStatus.NOT_DELIVERED, "cancelled")
    assert counter.now(first) == first
    assert counter.mails.bodies() == []
    counter.service.cancel(made.jobs[1].id)
    (mail,) = counter.store.mails_of_batch(made.batch.id)
    assert counter.mails.bodies() == [mail.id]
    assert counter.service.cancel(first.id) == first, "twice is once"
    assert counter.mails.bodies() == []


def test_a_job_in_work_is_asked_to_stop(counter: Counter) -> None:
    (job,) = counter.submitted().jobs
    counter.work.bodies()
    begun = counter.begun(job)
    asked = counter.service.cancel(job.id)
    assert asked.cancel_requested
    assert (asked.status, asked.attempt) == (JobStatus.NOT_PROCESSED, begun.attempt)
    assert counter.service.cancel(job.id) == asked
    assert counter.work.bodies() == []


def test_a_job_that_waits_for_another_attempt_is_looked_after_at_once(counter: Counter) -> None:
    (job,) = counter.submitted().jobs
    counter.work.bodies()
    begun = counter.begun(job)
    counter.store.save(begun, attempt_failed(begun, code="out-of-resources", error="No memory.", now=0))
    counter.service.cancel(job.id)
    assert counter.work.bodies() == [job.id]


def test_what_is_finished_cannot_be_cancelled(counter: Counter) -> None:
    done = counter.done(counter.submitted().jobs[0])
    with pytest.raises(IllegalTransitionError, match="can no longer be cancelled"):
        counter.service.cancel(done.id)
    failed = counter.failed(counter.submitted().jobs[0])
    with pytest.raises(IllegalTransitionError):
        counter.service.cancel(failed.id)


def test_a_job_that_is_begun_while_it_is_cancelled_or_deleted_is_ended_all_the_same(counter: Counter) -> None:
    first, second = counter.submitted(2).jobs
    counter.store.before_settle.append(lambda: counter.begun(first))
    assert counter.service.cancel(first.id).cancel_requested
    assert counter.now(first).attempt == 1
    counter.store.before_settle.append(lambda: counter.begun(second))
    counter.service.delete(second.id)
    with pytest.raises(NotFoundError):
        counter.service.job(second.id)


def test_a_worker_and_a_cancel_at_once_do_not_both_have_the_job(counter: Counter) -> None:
    for _ in range(20):
        (job,) = counter.submitted().jobs
        cancelled, begun = at_once([lambda job=job: counter.service.cancel(job.id), lambda job=job: counter.begun(job)])
        now = counter.now(job)
        if isinstance(begun, ConflictError):
            assert now.status is JobStatus.NOT_DELIVERED
        else:
            assert now.cancel_requested
            assert now.status is JobStatus.NOT_PROCESSED
        assert cancelled.id == job.id


def test_cancelling_a_batch_leaves_what_is_finished(counter: Counter) -> None:
    made = counter.submitted(3)
    counter.done(made.jobs[0])
    counter.begun(made.jobs[1])
    jobs = counter.service.cancel_batch(made.batch.id)
    assert [job.status.value for job in jobs] == [2, 1, 4]
    assert [job.cancel_requested for job in jobs] == [False, True, True]


def test_deleting_takes_everything_of_a_job_and_nothing_else(counter: Counter) -> None:
    made = counter.submitted(2)
    kept, gone = (counter.done(job) for job in made.jobs)
    for key in (work_key(gone.id, "checkpoint-000004"), archive_key(gone.id), work_key(kept.id, "checkpoint-000004")):
        counter.objects.put(key, counter.file(), content_type="application/octet-stream")
    counter.unzipped(made.batch)
    counter.service.delete(gone.id)
    with pytest.raises(NotFoundError):
        counter.service.job(gone.id)
    assert not [key for key in counter.objects.keys("") if gone.id in key]
    assert len([key for key in counter.objects.keys("") if kept.id in key]) == 4
    assert set(counter.unzipped(made.batch)) == {"manifest.csv", "cat 1_x4.png"}
    counter.service.delete(kept.id)
    with pytest.raises(NotFoundError):
        counter.service.batch(made.batch.id)
    assert counter.objects.keys("") == []


def test_a_job_in_work_is_deleted_at_once_and_its_worker_locked_out(counter: Counter) -> None:
    made = counter.submitted(2)
    begun = counter.begun(made.jobs[0])
    counter.service.delete(begun.id)
    with pytest.raises(ConflictError):
        counter.service.settle(begun, processed(begun, now=counter.clock.now()))
    assert counter.service.batch(made.batch.id)[0].open_jobs == 1
    counter.done(made.jobs[1])
    assert len(counter.mails.bodies()) == 1


def test_deleting_the_last_open_job_tells_of_the_others_alone(counter: Counter) -> None:
    made = counter.submitted(2)
    counter.done(made.jobs[0])
    counter.service.delete(made.jobs[1].id)
    (mail,) = counter.store.mails_of_batch(made.batch.id)
    assert counter.mails.bodies() == [mail.id]
    alone = counter.submitted()
    counter.service.delete(alone.jobs[0].id)
    assert counter.mails.bodies() == [], "who deletes all there is needs no mail about it"


def test_an_upload_of_a_deleted_job_is_gone_too(counter: Counter) -> None:
    upload = counter.upload()
    (job,) = counter.submit(upload).jobs
    counter.service.delete(job.id)
    with pytest.raises(NotFoundError):
        counter.submit(upload)


def test_a_job_is_redriven_with_a_fresh_message_in_place_of_its_dead_ones(counter: Counter) -> None:
    made = counter.submitted(2)
    job, other = (counter.failed(job) for job in made.jobs)
    for _ in range(6):
        for _ in made.jobs:
            counter.work.receive(wait_s=0, visibility_timeout_s=1)
        counter.clock.advance(2)
    assert counter.work.depth().dead == 2
    again = counter.service.redrive(job.id, JobStatus.NOT_PROCESSED, by="operator")
    assert (again.status, again.error) == (JobStatus.NOT_PROCESSED, None)
    assert counter.work.bodies() == [job.id]
    assert [message.body for message in counter.work.dead_letters(limit=10)] == [other.id]
    assert "operator" in counter.store.audit(job.id)[0]
    with pytest.raises(IllegalTransitionError):
        counter.service.redrive(job.id, JobStatus.NOT_PROCESSED, by="operator")


def test_a_result_whose_mail_failed_is_mailed_again(counter: Counter) -> None:
    made = counter.submitted()
    job = counter.done(made.jobs[0])
    (mail,) = counter.store.mails_of_batch(made.batch.id)
    sending = mail_sending(mail, now=0)
    counter.store.save_mail(mail, sending)
    counter.store.save_mail(sending, mail_answered(sending, MailState.FAILED, answer="No such mailbox.", now=0))
    counter.mails.bodies()
    assert counter.service.redrive(job.id, JobStatus.PROCESSED, by="operator").status is JobStatus.PROCESSED
    (_, second) = counter.store.mails_of_batch(made.batch.id)
    assert counter.mails.bodies() == [second.id]


def test_nothing_is_redriven_whose_files_are_gone(counter: Counter) -> None:
    job = counter.failed(counter.submitted().jobs[0])
    counter.objects.delete(job.input_key)
    with pytest.raises(NotFoundError, match=r"input of job .* was deleted"):
        counter.service.redrive(job.id, JobStatus.NOT_PROCESSED, by="operator")
    assert counter.now(job) == job


def test_a_mail_that_cannot_be_queued_now_stays_in_the_outbox(counter: Counter) -> None:
    made = counter.submitted()
    counter.mails.down = True
    counter.done(made.jobs[0])
    (mail,) = counter.store.mails_of_batch(made.batch.id)
    assert mail.state is MailState.PENDING


# -------------------------------------------------------------------------------------------------------- light to load


def test_handing_in_and_mailing_load_no_network_and_no_web_framework() -> None:
    code = (
        "import sys, irss_core.jobs.service, irss_core.jobs.letters\n"
        "print([name for name in ('torch', 'gradio', 'fastapi', 'boto3', 'irss_core.config') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
