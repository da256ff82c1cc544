"""The sweeper: what nobody holds goes on, what is dead is ended, what is over is deleted; twice does no harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from irss_core.errors import CorruptMediaError
from irss_core.jobs.job import (
    Job,
    JobStatus,
    MailState,
    attempt_failed,
    begin_attempt,
    given_up,
    mail_answered,
    mail_sending,
    processed,
)
from irss_core.jobs.keys import archive_key, output_key, results_zip_key, upload_key, work_key
from irss_core.jobs.ports import Queue
from irss_core.jobs.retention import Retention
from irss_core.jobs.sweeper import Sweeper, SweepReport
from tests.made_jobs import Backstage

DAY_S = 86_400.0
NOTHING = SweepReport()


class Household:
    """A service with a sweeper."""

    def __init__(self, folder: Path) -> None:
        self.backstage = Backstage(folder)
        self.scratch = folder / "scratch" / "mine"
        self.notes = folder / "notes"
        self.parts_deleted: list[float] = []
        self.sweeper = self.another()

    def another(self) -> Sweeper:
        retention = Retention(
            self.backstage.service,
            scratch=self.scratch,
            delete_parts=lambda older_than_s: bool(self.parts_deleted.append(older_than_s)),
            notes=[self.notes],
        )
        return Sweeper(self.backstage.service, retention=retention)

    def lose_messages(self, queue: Queue) -> None:
        while message := queue.receive(wait_s=0, visibility_timeout_s=60):
            queue.delete(message)

    def kill_with(self, queue: Queue, deliveries: int = 6) -> None:
        """Workers receive the oldest message and are killed, one after the other."""
        for _ in range(deliveries):
            queue.receive(wait_s=0, visibility_timeout_s=120)
            self.backstage.clock.advance(121)

    def finish(self, job: Job) -> Job:
        """As a worker does, with all objects that a job may have."""
        for key in (output_key(job.id, "result"), archive_key(job.id)):
            self.backstage.put(key)
        begun = begin_attempt(job, now=self.backstage.clock.now())
        self.backstage.store.save(job, begun)
        self.backstage.service.settle(begun, processed(begun, now=self.backstage.clock.now()))
        return self.backstage.job(job)

    def deliver(self, job: Job) -> None:
        """As a courier does."""
        mail, now = self.backstage.mail(job.batch_id), self.backstage.clock.now()
        sending = mail_sending(mail, now=now)
        self.backstage.store.save_mail(mail, sending)
        self.backstage.store.save_mail(sending, mail_answered(sending, MailState.SENT, answer="250", now=now))
        self.lose_messages(self.backstage.mails)

    def ready(self, queue: Queue) -> list[str]:
        """The bodies of the messages that can be had now, which are then gone."""
        bodies = []
        while message := queue.receive(wait_s=0, visibility_timeout_s=60):
            queue.delete(message)
            bodies.append(message.body)
        return bodies


@pytest.fixture
def house(tmp_path: Path) -> Household:
    return Household(tmp_path)


def test_where_all_is_well_nothing_is_done(house):
    house.backstage.batch(3)
    house.finish(house.backstage.batch()[0])
    house.backstage.clock.advance(4 * 3600)  # a long queue
    assert house.sweeper.sweep() == NOTHING


# What lost its message.


def test_a_job_without_a_message_gets_one_after_a_while(house):
    (job,) = house.backstage.batch()
    house.lose_messages(house.backstage.work)
    assert house.sweeper.sweep() == NOTHING, "it may be on its way"
    house.backstage.clock.advance(301)
    assert house.sweeper.sweep().jobs_sent_again == 1
    assert house.ready(house.backstage.work) == [job.id]


def test_several_sweeps_at_once_send_one_message(house):
    house.backstage.batch()
    house.lose_messages(house.backstage.work)
    house.backstage.clock.advance(301)
    real_counts = house.backstage.store.counts
    others: list[SweepReport] = []

    def counts() -> dict[str, int]:
        if not others:  # between the look at the queue and the sending
            others.append(NOTHING)
            others.append(house.another().sweep())
        return dict(real_counts())

    house.backstage.store.counts = counts  # type: ignore[method-assign]
    reports = [house.sweeper.sweep(), *others]
    assert sum(report.jobs_sent_again for report in reports) == 1
    assert house.backstage.work.depth().ready == 1


def test_a_message_that_is_lost_again_and_again_is_sent_once_in_five_minutes(house):
    house.backstage.batch()
    sent = 0
    for _ in range(60):
        house.lose_messages(house.backstage.work)
        house.backstage.clock.advance(60)
        sent += house.sweeper.sweep().jobs_sent_again
    assert 10 <= sent <= 12


def test_a_mail_without_a_message_gets_one(house):
    job = house.finish(house.backstage.batch()[0])
    house.lose_messages(house.backstage.mails)
    house.backstage.clock.advance(301)
    assert house.sweeper.sweep().mails_sent_again == 1
    assert house.ready(house.backstage.mails) == [house.backstage.mail(job.batch_id).id]


def test_a_mail_that_was_under_way_without_a_message_gets_one_and_stays_under_way(house):
    job = house.finish(house.backstage.batch()[0])
    mail = house.backstage.mail(job.batch_id)
    house.backstage.store.save_mail(mail, mail_sending(mail, now=house.backstage.clock.now()))
    house.lose_messages(house.backstage.mails)
    house.backstage.clock.advance(301)
    assert house.sweeper.sweep().mails_sent_again == 1
    assert house.backstage.mail(job.batch_id).state is MailState.SENDING


# What is dead.


def test_a_job_that_killed_five_workers_is_given_up_and_its_user_told(house):
    (job,) = house.backstage.batch()
    house.kill_with(house.backstage.work)
    assert house.backstage.work.depth().dead == 1
    assert house.sweeper.sweep().jobs_given_up == 1
    done = house.backstage.job(job)
    assert (done.status, done.error_code) == (JobStatus.NOT_DELIVERED, "attempts-exhausted")
    assert str(done.error).startswith("Given up: 5 attempts were begun and none came to its end.")
    assert house.backstage.mails.depth().ready == 1
    assert house.backstage.work.depth().dead == 1, "it stays for the operator"
    assert house.sweeper.sweep() == NOTHING


def test_what_is_given_up_says_what_was_said_last(house):
    (job,) = house.backstage.batch()
    begun = begin_attempt(job, now=house.backstage.clock.now())
    house.backstage.store.save(job, begun)
    failed = attempt_failed(begun, code="out-of-resources", error="Not enough memory.", now=house.backstage.clock.now())
    house.backstage.store.save(begun, failed)
    house.kill_with(house.backstage.work)
    house.sweeper.sweep()
    assert str(house.backstage.job(job).error).endswith("What was said last: Not enough memory.")


def test_a_job_that_was_redriven_is_not_given_up_again(house):
    (job,) = house.backstage.batch()
    house.kill_with(house.backstage.work)
    house.sweeper.sweep()
    house.backstage.service.redrive(job.id, JobStatus.NOT_PROCESSED, by="operator")
    assert house.sweeper.sweep() == NOTHING
    assert house.backstage.job(job).status is JobStatus.NOT_PROCESSED


def test_a_dead_message_of_a_deleted_job_goes(house):
    (job,) = house.backstage.batch()
    house.kill_with(house.backstage.work)
    house.backstage.service.delete(job.id)
    house.sweeper.sweep()
    assert house.backstage.work.depth().dead == 0


def test_a_mail_that_killed_five_workers_before_it_was_handed_over_has_failed(house):
    job = house.finish(house.backstage.batch()[0])
    house.kill_with(house.backstage.mails)
    assert house.sweeper.sweep().mails_given_up == 1
    assert house.backstage.mail(job.batch_id).state is MailState.FAILED
    assert house.backstage.job(job).status is JobStatus.NOT_DELIVERED
    assert house.sweeper.sweep() == NOTHING


# What is over.


def keys(house: Household) -> set[str]:
    return {key.split("/")[0] for key in house.backstage.objects.keys("")}


def hour_passes(house: Household) -> SweepReport:
    """A sweep as it comes once an hour."""
    return house.another().sweep()


def test_inputs_go_after_a_week_and_the_rest_after_a_month(house):
    job = house.finish(house.backstage.batch()[0])
    house.backstage.put(results_zip_key(job.batch_id))
    house.deliver(job)
    house.backstage.clock.advance(6.9 * DAY_S)
    assert hour_passes(house) == NOTHING
    house.backstage.clock.advance(0.2 * DAY_S)
    assert hour_passes(house).objects_deleted == 2
    assert keys(house) == {"processed", "batches"}
    house.backstage.clock.advance(22.8 * DAY_S)
    assert hour_passes(house) == NOTHING
    house.backstage.clock.advance(0.2 * DAY_S)
    assert hour_passes(house).jobs_forgotten == 1
    assert keys(house) == set()
    assert house.backstage.store.job(job.id) is None
    assert house.backstage.store.batch(job.batch_id) is None


def test_the_input_of_a_file_that_failed_goes_after_a_week_too(house):
    (job,) = house.backstage.batch()
    error = CorruptMediaError("It is damaged.")
    house.backstage.service.settle(
        job, given_up(job, code=error.code, error=str(error), now=house.backstage.clock.now())
    )
    house.lose_messages(house.backstage.mails)
    house.backstage.clock.advance(7.1 * DAY_S)
    assert hour_passes(house).objects_deleted == 1


def test_an_input_is_kept_for_as_long_as_its_job_waits(house):
    (job,) = house.backstage.batch()
    house.backstage.clock.advance(60 * DAY_S)
    hour_passes(house)
    assert keys(house) == {"uploads"}
    assert house.backstage.job(job).status is JobStatus.NOT_PROCESSED


def test_an_upload_that_nobody_submits_goes_after_a_day(house):
    house.backstage.put(upload_key("a" * 64))
    house.backstage.clock.advance(0.9 * DAY_S)
    assert hour_passes(house) == NOTHING
    house.backstage.clock.advance(0.2 * DAY_S)
    assert hour_passes(house).objects_deleted == 1


def test_what_a_worker_wrote_for_a_job_that_was_deleted_meanwhile_goes(house):
    (job,) = house.backstage.batch()
    house.backstage.service.delete(job.id)
    for key in (output_key(job.id, "result"), work_key(job.id, "checkpoint-000001"), results_zip_key(job.batch_id)):
        house.backstage.put(key)
    assert hour_passes(house).objects_deleted == 3


def test_checkpoints_of_a_job_in_work_stay_and_of_a_settled_one_go(house):
    waiting, done = house.backstage.batch(2)
    house.finish(done)
    for job in (waiting, done):
        house.backstage.put(work_key(job.id, "checkpoint-000001"))
    assert hour_passes(house).objects_deleted == 1
    assert house.backstage.objects.keys("work/") == [work_key(waiting.id, "checkpoint-000001")]


def test_records_that_are_over_go(house):
    house.backstage.records.put("code", "123456", expires_at=house.backstage.clock.now() + 10)
    house.backstage.clock.advance(11)
    assert house.sweeper.sweep().records_expired == 1


def test_temporary_files_of_killed_processes_go_and_those_of_the_living_stay(house):
    now = house.backstage.clock.now()
    killed, alive, old_note, new_note = (
        house.scratch.parent / "killed",
        house.scratch.parent / "alive",
        house.notes / "old",
        house.notes / "new",
    )
    for folder in (killed, alive, house.scratch, house.notes):
        folder.mkdir(parents=True)
    (killed / "frame.png").write_bytes(b"x")
    for note in (old_note, new_note):
        note.write_text("250 taken")
    for path, age_s in ((killed, 3700), (alive, 3000), (old_note, 31 * DAY_S), (new_note, 29 * DAY_S)):
        os.utime(path, (now - age_s, now - age_s))
    assert hour_passes(house).files_deleted == 2
    assert not killed.exists()
    assert alive.exists()
    assert house.scratch.exists()
    assert [path.name for path in house.notes.iterdir()] == ["new"]
    assert house.parts_deleted == [3600.0]


def test_a_sweep_shows_that_its_process_lives(house):
    house.scratch.mkdir(parents=True)
    os.utime(house.scratch, (1, 1))
    house.sweeper.sweep()
    assert house.scratch.stat().st_mtime > 1_000_000_000


def test_objects_and_files_are_looked_through_once_an_hour(house):
    house.sweeper.sweep()
    house.sweeper.sweep()
    assert len(house.parts_deleted) == 1
