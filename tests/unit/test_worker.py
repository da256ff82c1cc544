"""The worker: what becomes of a job and of its message, however the work on it ends."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irss_core.errors import (
    CorruptMediaError,
    ResourceError,
    StoreUnavailableError,
    WeightsCorruptError,
    WeightsUnavailableError,
)
from irss_core.jobs.delivery import Courier
from irss_core.jobs.job import Job, JobStatus, MailState
from irss_core.jobs.lease import LeaseTimes
from irss_core.jobs.log import JsonLines
from irss_core.jobs.options import Stage
from irss_core.jobs.ports import Message
from irss_core.jobs.sweeper import SweepReport
from irss_core.jobs.worker import MailRoom, Pace, Worker, assign_jobs
from irss_core.progress import ProgressUpdate
from tests.made_jobs import Backstage, Stages, letter

QUICK = LeaseTimes(visibility_timeout_s=120, extend_every_s=0.03, look_every_s=0.01)


class NoSweeper:
    def sweep(self) -> SweepReport:
        return SweepReport()


class Workplace:
    """A worker, its stages, and all that it works with."""

    def __init__(self, folder: Path) -> None:
        self.backstage = Backstage(folder)
        self.stages = Stages(self.backstage)
        self.worker = self.another()

    def another(self, **pace: Any) -> Worker:
        backstage = self.backstage
        courier = Courier(
            store=backstage.store, mails=backstage.mails, mailer=backstage.mailer, clock=backstage.clock, compose=letter
        )
        return Worker(
            backstage.work,
            backstage.workshop,
            assign=assign_jobs(backstage.service, self.stages),
            mail_room=MailRoom(backstage.mails, courier, NoSweeper()),  # type: ignore[arg-type]
            pace=Pace(**{"lease": QUICK, "wait_s": 0.01, "grace_s": 5.0, "pause_s": 0.01, "write_every_s": 0.0} | pace),
            jitter=lambda: 0.5,
        )

    def receive(self) -> Message:
        message = self.backstage.work.receive(wait_s=0, visibility_timeout_s=120)
        assert message is not None
        return message

    def work(self) -> None:
        """One message of the work queue, by one worker."""
        self.worker.work_on(self.receive())

    def redeliver(self, times: int) -> None:
        """One message again and again, as soon as it can be had."""
        for _ in range(times):
            self.backstage.clock.advance(1000)
            self.work()

    @property
    def waiting(self) -> tuple[int, int, int]:
        """How many messages are ready, delayed and leased."""
        depth = self.backstage.work.depth()
        return depth.ready, depth.delayed, depth.leased


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def stages_of(place: Workplace, job: Job) -> list[Stage]:
    return [stage for name, stage in place.stages.called if name == job.name]


def test_a_job_is_done_stage_by_stage_and_its_mail_is_on_its_way(place):
    (job,) = place.backstage.batch()
    place.work()
    done = place.backstage.job(job)
    assert done.status is JobStatus.PROCESSED
    assert (done.attempt, done.error, done.progress) == (1, None, 1.0)
    assert stages_of(place, job) == [stage for stage in job.options.stages if stage is not Stage.DELIVER]
    assert done.facts["validate"] is True
    assert place.backstage.objects.info(done.outputs["result"])
    assert place.backstage.mail(job.batch_id).state is MailState.PENDING
    assert place.backstage.mails.depth().ready == 1
    assert place.waiting == (0, 0, 0)


def test_the_attempt_is_written_before_the_work_and_the_message_deleted_after_it(place):
    (job,) = place.backstage.batch()
    seen = []
    place.stages.at(Stage.VALIDATE, lambda *_: seen.append((place.backstage.job(job).attempt, place.waiting)))
    place.work()
    assert seen == [(1, (0, 0, 1))]


def test_each_stage_sees_what_those_before_it_found(place):
    place.backstage.batch()
    seen: list[Job] = []
    place.stages.at(Stage.UPSCALE, lambda now, *_: seen.append(now))
    place.work()
    assert (seen[0].stage, seen[0].facts) == (Stage.UPSCALE, {"validate": True, "metadata": True})


def test_a_message_of_a_job_that_is_settled_or_gone_is_only_deleted(place):
    (job,) = place.backstage.batch()
    place.work()
    place.stages.called.clear()
    place.backstage.work.send(job.id)
    place.backstage.work.send("f" * 64)
    place.work()
    place.work()
    assert place.stages.called == []
    assert place.waiting == (0, 0, 0)
    assert len(place.backstage.store.mails_of_batch(job.batch_id)) == 1


@pytest.mark.parametrize(
    "error", [CorruptMediaError("It is damaged at byte 7."), WeightsCorruptError("Those are not the weights.")]
)
def test_a_file_or_model_that_is_at_fault_settles_the_job_at_once(place, error):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.VALIDATE, failing(error))
    place.work()
    done = place.backstage.job(job)
    assert (done.status, done.error_code, done.error) == (JobStatus.NOT_DELIVERED, error.code, str(error))
    assert place.waiting == (0, 0, 0)
    assert place.backstage.mails.depth().ready == 1, "the user is told"


def test_one_bad_file_of_a_batch_fails_alone_and_there_is_one_mail(place):
    jobs = place.backstage.batch(10)

    def bad(job: Job, *_: object) -> None:
        if job.number == 4:
            raise CorruptMediaError("It is damaged.")

    place.stages.at(Stage.VALIDATE, bad)
    for _ in jobs:
        place.work()
    statuses = [place.backstage.job(job).status for job in jobs]
    assert statuses.count(JobStatus.PROCESSED) == 9
    assert statuses[3] is JobStatus.NOT_DELIVERED
    assert len(place.backstage.store.mails_of_batch(jobs[0].batch_id)) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ResourceError("Not enough memory."), "out-of-resources"),
        (WeightsUnavailableError("The weights cannot be had."), "weights-unavailable"),
        (MemoryError(), "out-of-resources"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), "system-error"),
        (ZeroDivisionError("at /home/somebody/secret.png"), "unexpected"),
    ],
)
def test_what_may_succeed_later_is_tried_later_and_the_user_sees_why_it_waits(place, error, code):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, failing(error))
    place.work()
    waiting = place.backstage.job(job)
    assert (waiting.status, waiting.error_code) == (JobStatus.NOT_PROCESSED, code)
    assert str(waiting.error).endswith("It is tried again.")
    assert "secret" not in str(waiting.error)
    assert place.waiting == (0, 1, 0)

    place.stages.at(Stage.UPSCALE, lambda *_: None)
    place.redeliver(1)
    done = place.backstage.job(job)
    assert (done.status, done.attempt, done.error) == (JobStatus.PROCESSED, 2, None)


def test_retries_come_later_and_later_and_the_fifth_failure_is_the_last(place):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, failing(ResourceError("Not enough memory.")))
    waits = []
    for _ in range(4):
        place.work()
        begun = place.backstage.clock.now()
        while not place.backstage.work.depth().ready:
            place.backstage.clock.advance(1)
        waits.append(round(place.backstage.clock.now() - begun))
    assert waits == [5, 30, 120, 600]
    place.work()
    done = place.backstage.job(job)
    assert (done.status, done.error_code) == (JobStatus.NOT_DELIVERED, "attempts-exhausted")
    assert done.error == "Given up after 5 attempts. The last one failed: Not enough memory."
    assert place.waiting == (0, 0, 0)
    assert place.backstage.work.depth().dead == 0
    assert place.backstage.mails.depth().ready == 1


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("The database is locked."), OSError(errno.ENOSPC, "No space left on device")]
)
def test_a_full_disk_exhausts_no_attempts(place, error):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, failing(error))
    place.redeliver(12)
    waiting = place.backstage.job(job)
    assert waiting.status is JobStatus.NOT_PROCESSED
    assert waiting.error is not None
    assert place.waiting == (0, 1, 0)
    assert place.backstage.work.depth().dead == 0
    place.stages.at(Stage.UPSCALE, lambda *_: None)
    place.redeliver(1)
    assert place.backstage.job(job).status is JobStatus.PROCESSED


def test_a_store_that_cannot_be_written_loses_nothing(place, monkeypatch):
    (job,) = place.backstage.batch()
    full = failing(StoreUnavailableError("The disk is full."))
    for method in ("save", "settle"):
        with monkeypatch.context() as patch:
            patch.setattr(place.backstage.store, method, full)
            place.redeliver(6)
    assert place.backstage.job(job).status is JobStatus.NOT_PROCESSED
    assert place.waiting == (0, 1, 0)
    place.redeliver(1)
    assert place.backstage.job(job).status is JobStatus.PROCESSED


def test_progress_that_cannot_be_written_stops_no_work(place, monkeypatch):
    (job,) = place.backstage.batch()

    def report(_job: Job, progress: Callable[[ProgressUpdate], None], _cancel: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(place.backstage.store, "save", failing(StoreUnavailableError("locked")))
            progress(ProgressUpdate(1, 4, "tiles", 1.0, 3.0))

    place.stages.at(Stage.UPSCALE, report)
    place.work()
    assert place.backstage.job(job).status is JobStatus.PROCESSED


def test_progress_is_written_with_the_time_left_but_not_too_often(place):
    (job,) = place.backstage.batch()
    place.worker = place.another(write_every_s=3600.0)
    seen = []

    def report(_job: Job, progress: Callable[[ProgressUpdate], None], _cancel: object) -> None:
        progress(ProgressUpdate(1, 4, "tiles", 1.0, 3.0))
        seen.append(place.backstage.job(job))

    place.stages.at(Stage.UPSCALE, report)
    place.work()
    assert (seen[0].stage, seen[0].progress) == (Stage.UPSCALE, 0.0)
    (job,) = place.backstage.batch()
    place.worker = place.another(write_every_s=0.0)
    place.work()
    assert (seen[1].progress, seen[1].remaining_s) == (0.25, 3.0)


def until_cancelled(_job: Job, _progress: object, cancel: Any) -> None:
    """A stage that does not end by itself."""
    for _ in range(1000):
        cancel.raise_if_cancelled()
        threading.Event().wait(0.005)
    raise AssertionError("nobody stopped the stage")


def test_a_cancelled_job_that_was_begun_is_settled_when_its_message_comes(place):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, failing(ResourceError("Not enough memory.")))
    place.work()
    place.backstage.service.cancel(job.id)
    place.stages.called.clear()
    place.work()
    done = place.backstage.job(job)
    assert (done.status, done.error_code) == (JobStatus.NOT_DELIVERED, "cancelled")
    assert place.stages.called == []


def test_cancelling_stops_the_stage_in_work(place):
    (job,) = place.backstage.batch()

    def cancelled(now: Job, progress: object, cancel: Any) -> None:
        place.backstage.service.cancel(job.id)
        until_cancelled(now, progress, cancel)

    place.stages.at(Stage.UPSCALE, cancelled)
    place.work()
    done = place.backstage.job(job)
    assert (done.status, done.error_code) == (JobStatus.NOT_DELIVERED, "cancelled")
    assert place.waiting == (0, 0, 0)
    assert place.backstage.mails.depth().ready == 1


def test_deleting_a_job_stops_the_stage_in_work_and_nothing_comes_back(place):
    (job,) = place.backstage.batch()

    def deleted(now: Job, progress: object, cancel: Any) -> None:
        place.backstage.service.delete(job.id)
        until_cancelled(now, progress, cancel)

    place.stages.at(Stage.UPSCALE, deleted)
    place.work()
    assert place.backstage.store.job(job.id) is None
    assert place.waiting == (0, 0, 0)


def test_a_message_is_held_for_as_long_as_the_work_takes(place):
    (job,) = place.backstage.batch()

    def long(*_: object) -> None:
        for _ in range(8):
            place.backstage.clock.advance(100)  # together far longer than a lease
            threading.Event().wait(0.08)

    place.stages.at(Stage.UPSCALE, long)
    place.work()
    assert place.backstage.job(job).status is JobStatus.PROCESSED
    assert place.waiting == (0, 0, 0)


def test_who_loses_the_lease_stops_and_writes_nothing_more(place):
    (job,) = place.backstage.batch()
    taken: list[Message] = []

    def lost(now: Job, progress: object, cancel: Any) -> None:
        place.backstage.clock.advance(20 * 60)  # somebody set the clock
        taken.append(place.receive())
        until_cancelled(now, progress, cancel)

    place.stages.at(Stage.UPSCALE, lost)
    place.work()
    left = place.backstage.job(job)
    assert (left.status, left.error, left.stage) == (JobStatus.NOT_PROCESSED, None, Stage.UPSCALE)
    place.stages.at(Stage.UPSCALE, lambda *_: None)
    place.another().work_on(taken[0])
    assert place.backstage.job(job).status is JobStatus.PROCESSED
    assert place.waiting == (0, 0, 0)


def test_who_loses_the_lease_in_a_step_that_nothing_interrupts_writes_nothing_after_it(place):
    (job,) = place.backstage.batch()
    taken: list[Message] = []

    def lost(_job: Job, _progress: object, cancel: Any) -> None:
        place.backstage.clock.advance(20 * 60)
        taken.append(place.receive())
        wait_for(lambda: cancel.cancelled)

    place.stages.at(Stage.UPSCALE, lost)
    place.work()
    left = place.backstage.job(job)
    assert (left.status, left.stage, left.facts) == (JobStatus.NOT_PROCESSED, Stage.UPSCALE, before_upscaling(job))


def before_upscaling(job: Job) -> dict[str, bool]:
    stages = job.options.stages
    return {str(stage): True for stage in stages[: stages.index(Stage.UPSCALE)]}


def test_who_was_overtaken_is_refused_every_write_even_without_noticing(place):
    """The second worker takes over and finishes while the first one is deep in a stage; there is one result."""
    (job,) = place.backstage.batch()
    place.backstage.work.send(job.id)

    def overtaken(*_: object) -> None:
        place.stages.at(Stage.UPSCALE, lambda *_: None)
        place.another().work_on(place.receive())

    place.stages.at(Stage.UPSCALE, overtaken)
    place.worker = place.another(lease=LeaseTimes())  # which looks only every 2 seconds
    place.work()
    done = place.backstage.job(job)
    assert (done.status, done.attempt) == (JobStatus.PROCESSED, 2)
    assert stages_of(place, job).count(Stage.ARCHIVE) == 1
    assert len(place.backstage.store.mails_of_batch(job.batch_id)) == 1
    assert place.waiting == (0, 0, 0)


def test_the_same_message_twice_at_once_is_one_result(place):
    (job,) = place.backstage.batch()
    place.backstage.work.send(job.id)
    messages = [place.receive(), place.receive()]
    threads = [threading.Thread(target=place.another().work_on, args=(message,)) for message in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert place.backstage.job(job).status is JobStatus.PROCESSED
    assert len(place.backstage.store.mails_of_batch(job.batch_id)) == 1
    assert place.waiting == (0, 0, 0)


# The loop.


def running(place: Workplace, stop: threading.Event, worker: Worker) -> tuple[threading.Thread, list[bool]]:
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(worker.run(stop)))
    thread.start()
    return thread, ended


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(2000):
        if what():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not happen in 10 s")


def test_a_worker_works_on_what_comes_and_sends_the_mails(place):
    stop = threading.Event()
    thread, ended = running(place, stop, place.worker)
    jobs = [job for _ in range(3) for job in place.backstage.batch(2)]
    wait_for(lambda: all(place.backstage.job(job).status is JobStatus.DELIVERED for job in jobs))
    stop.set()
    thread.join(10)
    assert ended == [True]
    assert len(place.backstage.mailer.arrived) == 3


def test_until_idle_does_everything_there_is_and_ends(place):
    jobs = place.backstage.batch(3)
    assert place.worker.run_until_idle(threading.Event())
    assert {place.backstage.job(job).status for job in jobs} == {JobStatus.DELIVERED}


def test_once_does_one_job(place):
    first, second = place.backstage.batch()[0], place.backstage.batch()[0]
    assert place.worker.run_once(threading.Event())
    assert place.backstage.job(first).status is JobStatus.DELIVERED
    assert place.backstage.job(second).status is JobStatus.NOT_PROCESSED


def test_told_to_stop_a_worker_gives_back_what_it_has(place):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, until_cancelled)
    stop = threading.Event()
    thread, ended = running(place, stop, place.worker)
    wait_for(lambda: place.backstage.job(job).stage is Stage.UPSCALE)
    stop.set()
    thread.join(10)
    assert ended == [True]
    assert place.waiting == (1, 0, 0)
    left = place.backstage.job(job)
    assert (left.status, left.error) == (JobStatus.NOT_PROCESSED, None)


def test_told_to_stop_in_a_step_that_nothing_interrupts_a_worker_gives_back_all_the_same(place):
    (job,) = place.backstage.batch()
    over = threading.Event()
    place.stages.at(Stage.UPSCALE, lambda *_: over.wait(10))
    stop = threading.Event()
    thread, ended = running(place, stop, place.another(grace_s=0.05))
    wait_for(lambda: place.backstage.job(job).stage is Stage.UPSCALE)
    stop.set()
    thread.join(5)
    assert ended == [False], "its process is to be ended hard"
    assert place.waiting == (1, 0, 0)
    over.set()


def test_stopping_again_and_again_kills_no_job(place):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, until_cancelled)
    for attempt in range(1, 8):
        stop = threading.Event()
        thread, _ = running(place, stop, place.another())
        wait_for(lambda: place.backstage.job(job).attempt == attempt)  # noqa: B023
        stop.set()
        thread.join(10)
    place.stages.at(Stage.UPSCALE, lambda *_: None)
    place.work()
    assert place.backstage.job(job).status is JobStatus.PROCESSED


def test_a_worker_outlives_its_queue(place, monkeypatch):
    real = place.backstage.work.receive
    errors = [StoreUnavailableError("locked"), ZeroDivisionError("a bug")]

    def unusable(**arguments: Any) -> Message | None:
        if errors:
            raise errors.pop()
        return real(**arguments)

    monkeypatch.setattr(place.backstage.work, "receive", unusable)
    (job,) = place.backstage.batch()
    stop = threading.Event()
    thread, _ = running(place, stop, place.worker)
    wait_for(lambda: place.backstage.job(job).settled)
    stop.set()
    thread.join(10)


def test_a_courier_that_fails_keeps_the_message(place, monkeypatch):
    place.backstage.batch()
    place.work()
    with monkeypatch.context() as patch:
        patch.setattr(place.backstage.store, "mail", failing(StoreUnavailableError("locked")))
        for _ in range(8):
            message = place.backstage.mails.receive(wait_s=0, visibility_timeout_s=120)
            place.worker.deliver(message)
            place.backstage.clock.advance(1000)
    assert place.backstage.mails.depth().dead == 0
    assert place.worker.run_until_idle(threading.Event())
    assert len(place.backstage.mailer.arrived) == 1


# The log.


def test_the_log_is_json_without_whole_ids_addresses_or_names(place, caplog):
    (job,) = place.backstage.batch()
    place.stages.at(Stage.UPSCALE, failing(ZeroDivisionError(f"{job.id} of somebody@irss.test")))
    with caplog.at_level(logging.DEBUG):
        place.work()
        place.stages.at(Stage.UPSCALE, lambda *_: None)
        place.redeliver(1)
        place.worker.run_until_idle(threading.Event())
    lines = [JsonLines().format(record) for record in caplog.records]
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events].count("attempt begun") == 2
    assert any("ZeroDivisionError" in event.get("traceback", "") for event in events)
    assert all(event["job"] == job.id[:12] for event in events if "job" in event)
    text = "".join(lines)
    for secret in (job.id, job.batch_id, "somebody@irss.test", job.name):
        assert secret not in text
