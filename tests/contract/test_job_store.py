"""What every JobStore holds to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from irss_core.errors import ConflictError, IllegalTransitionError, InvalidOptionError
from irss_core.jobs.job import (
    Job,
    JobStatus,
    Mail,
    MailState,
    at_stage,
    attempt_failed,
    begin_attempt,
    cancel_asked,
    given_up,
    mail_answered,
    mail_sending,
    processed,
    redriven,
    with_results,
)
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.ports import JobStore
from tests.contract.stores import JOB_STORES
from tests.made_submissions import NOW, OWNER, done, made_batch, stored_batch, worked_on


@pytest.fixture(params=JOB_STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JobStore:
    return JOB_STORES[request.param](tmp_path)


def give_up(store: JobStore, job: Job, *, now: float = NOW) -> Job:
    after = given_up(job, code="corrupt-media", error="It is damaged.", now=now)
    store.settle(job, after)
    return after


def answer(store: JobStore, mail: Mail, state: MailState, *, text: str = "250 OK", now: float = NOW) -> Mail:
    sending = mail_sending(mail, now=now)
    store.save_mail(mail, sending)
    answered = mail_answered(sending, state, answer=text, now=now)
    store.save_mail(sending, answered)
    return answered


def sent(store: JobStore, mail: Mail) -> Mail:
    return answer(store, mail, MailState.SENT)


def statuses(store: JobStore, batch_id: str) -> list[int]:
    return [job.status.value for job in store.jobs_of_batch(batch_id)]


class TestCreate:
    def test_a_submission_is_read_as_it_was_written(self, store):
        batch, jobs = made_batch(3)
        jobs[1] = replace(
            jobs[1],
            name="Größe „1“ \U0001f600.png",
            options=JobOptions(preset="filters", greyscale=True, width=100, format="webp"),
            status=JobStatus.NOT_DELIVERED,
            stage=Stage.UPSCALE,
            attempt=3,
            progress=0.25,
            remaining_s=12.5,
            cancel_requested=True,
            error_code="cancelled",
            error="It was cancelled.",
            outputs={"result": "processed/abc/result"},
            facts={"width": 640, "seconds": 0.1, "notes": ["a", {"b": None}]},
            started_at=NOW + 0.1,
            finished_at=NOW + 0.3,
        )
        store.create(batch, jobs)
        assert store.batch(batch.id) == batch
        assert store.jobs_of_batch(batch.id) == jobs
        assert [store.job(job.id) for job in jobs] == jobs
        read = store.job(jobs[1].id)
        assert isinstance(read.status, JobStatus)
        assert isinstance(read.stage, Stage)
        assert read.cancel_requested is True

    def test_what_is_not_there_is_none(self, store):
        stored_batch(store)
        assert (store.job("0" * 64), store.batch("0" * 64), store.mail("0" * 64)) == (None, None, None)
        assert (store.jobs_of_batch("0" * 64), store.mails_of_batch("0" * 64), store.audit("0" * 64)) == ([], [], [])
        assert store.jobs_of_owner("b" * 64, limit=10).jobs == ()

    def test_an_id_is_never_used_twice(self, store):
        batch, (job,) = stored_batch(store)
        other, (first, second) = made_batch(2)
        with pytest.raises(ConflictError):
            store.create(replace(other, id=batch.id), [])
        with pytest.raises(ConflictError):
            store.create(other, [first, replace(second, id=job.id)])
        assert store.batch(other.id) is None, "nothing of a refused submission is there"
        assert store.job(first.id) is None
        assert (store.batch(batch.id), store.job(job.id)) == (batch, job)

    def test_jobs_of_a_batch_come_by_their_number(self, store):
        batch, jobs = made_batch(12)
        store.create(batch, jobs[::-1])
        assert [job.number for job in store.jobs_of_batch(batch.id)] == list(range(1, 13))


class TestListing:
    def test_pages_give_every_job_of_the_owner_once_newest_first(self, store):
        made = []
        for hour in range(3):
            made[:0] = stored_batch(store, 3, now=NOW + hour * 3600)[1]
            stored_batch(store, 2, owner="b" * 64, now=NOW + hour * 3600)
        listed, cursor = [], None
        while True:
            page = store.jobs_of_owner(OWNER, limit=4, cursor=cursor)
            assert len(page.jobs) <= 4
            listed += page.jobs
            cursor = page.cursor
            if cursor is None:
                break
        assert listed == made

    def test_a_last_page_that_is_full_has_no_cursor(self, store):
        stored_batch(store, 4)
        assert store.jobs_of_owner(OWNER, limit=4).cursor is None
        assert store.jobs_of_owner(OWNER, limit=3).cursor is not None

    def test_what_comes_and_goes_between_pages_disturbs_nothing(self, store):
        _, jobs = stored_batch(store, 4)
        settled = give_up(store, jobs[1])
        page = store.jobs_of_owner(OWNER, limit=2)
        store.forget(settled)  # the one that the cursor stands at
        stored_batch(store, 2, now=NOW + 1)
        assert list(store.jobs_of_owner(OWNER, limit=2, cursor=page.cursor).jobs) == jobs[2:]

    def test_submissions_of_the_same_moment_are_not_mixed(self, store):
        batches = [stored_batch(store, 3)[0].id for _ in range(3)]
        listed = [job.batch_id for job in store.jobs_of_owner(OWNER, limit=50).jobs]
        assert sorted(listed[::3]) == sorted(batches)
        assert listed == [batch for batch in listed[::3] for _ in range(3)]

    @pytest.mark.parametrize("cursor", ["", "x", "bm9uZQ==", "W10=", "WyJhIiwgMSwgImIiLCAxXQ==", "ä", "a b c d"])
    def test_a_made_up_cursor_is_refused(self, store, cursor):
        stored_batch(store, 2)
        with pytest.raises(InvalidOptionError):
            store.jobs_of_owner(OWNER, limit=1, cursor=cursor)

    def test_another_owners_cursor_is_refused(self, store):
        stored_batch(store, 2)
        cursor = store.jobs_of_owner(OWNER, limit=1).cursor
        with pytest.raises(InvalidOptionError):
            store.jobs_of_owner("b" * 64, limit=1, cursor=cursor)

    def test_open_batches_are_those_with_open_jobs(self, store):
        _, (first, second) = stored_batch(store, 2)
        stored_batch(store)
        stored_batch(store, owner="b" * 64)
        assert store.open_batches_of(OWNER) == 2
        give_up(store, first)
        assert store.open_batches_of(OWNER) == 2
        give_up(store, second)
        assert store.open_batches_of(OWNER) == 1


class TestSave:
    def test_what_a_worker_reports_is_read_back(self, store):
        _, (job,) = stored_batch(store)
        claimed = worked_on(store, job, now=NOW + 1)
        at = at_stage(claimed, Stage.UPSCALE, now=NOW + 2, progress=0.5, remaining_s=7.0)
        store.save(claimed, at)
        found = with_results(at, outputs={"result": "processed/x/result"}, facts={"width": 4}, now=NOW + 3)
        store.save(at, found)
        assert store.job(job.id) == found

    def test_a_wish_to_cancel_and_a_workers_progress_do_not_undo_each_other(self, store):
        _, (job,) = stored_batch(store)
        claimed = worked_on(store, job)
        store.save(claimed, cancel_asked(claimed, now=NOW + 1))
        store.save(claimed, at_stage(claimed, Stage.UPSCALE, now=NOW + 2, progress=0.5))
        read = store.job(job.id)
        assert (read.cancel_requested, read.stage, read.progress) == (True, Stage.UPSCALE, 0.5)

    def test_who_holds_an_older_attempt_writes_nothing(self, store):
        _, (job,) = stored_batch(store)
        first = worked_on(store, job)
        second = worked_on(store, first)
        for stale in (job, first):
            with pytest.raises(ConflictError):
                store.save(stale, at_stage(stale, Stage.UPSCALE, now=NOW + 9))
            with pytest.raises(ConflictError):
                store.save(stale, begin_attempt(stale, now=NOW + 9))
            with pytest.raises(ConflictError):
                store.settle(stale, done(stale))
            with pytest.raises(ConflictError):
                store.save(stale, stale)
        assert store.job(job.id) == second
        assert store.batch(job.batch_id).open_jobs == 1

    def test_a_settled_job_takes_no_more_reports(self, store):
        _, (job,) = stored_batch(store)
        claimed = worked_on(store, job)
        settled = give_up(store, claimed)
        with pytest.raises(ConflictError):
            store.save(claimed, attempt_failed(claimed, code="error", error="Late.", now=NOW + 9))
        assert store.job(job.id) == settled

    def test_save_does_not_move_a_job(self, store):
        _, (job,) = stored_batch(store)
        with pytest.raises(IllegalTransitionError):
            store.save(job, processed(job, now=NOW))
        assert store.job(job.id) == job

    def test_a_job_that_is_gone_is_a_conflict(self, store):
        _, (job,) = made_batch()
        with pytest.raises(ConflictError):
            store.save(job, begin_attempt(job, now=NOW))

    def test_one_of_two_workers_claims_a_job(self, store):
        _, (job,) = stored_batch(store)

        def claim(number: int) -> bool:
            try:
                store.save(job, begin_attempt(job, now=NOW + number))
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(claim, range(8))) == 1
        assert store.job(job.id).attempt == 1


class TestSettle:
    def test_the_last_open_job_of_a_batch_asks_for_its_mail(self, store):
        batch, jobs = stored_batch(store, 3)
        claimed = worked_on(store, jobs[0])
        assert store.settle(claimed, done(claimed)) is None
        assert store.settle(jobs[1], given_up(jobs[1], code="cancelled", error="Cancelled.", now=NOW)) is None
        assert store.mails_of_batch(batch.id) == []
        assert store.batch(batch.id) == replace(batch, open_jobs=1)
        claimed = worked_on(store, jobs[2])
        mail = store.settle(claimed, done(claimed, now=NOW + 5))
        assert (mail.batch_id, mail.state, mail.attempt, mail.resent) == (batch.id, MailState.PENDING, 0, False)
        assert mail.created_at == NOW + 5
        assert len(mail.id) == 64
        assert store.mails_of_batch(batch.id) == [mail]
        assert store.mail(mail.id) == mail
        assert store.batch(batch.id) == replace(batch, open_jobs=0, mails=1)
        assert statuses(store, batch.id) == [2, 4, 2]

    def test_a_job_is_settled_once(self, store):
        batch, jobs = stored_batch(store, 2)
        claimed = worked_on(store, jobs[0])
        store.settle(claimed, done(claimed))
        for after in (done(claimed), given_up(claimed, code="error", error="Late.", now=NOW)):
            with pytest.raises(ConflictError):
                store.settle(claimed, after)
        assert store.batch(batch.id).open_jobs == 1
        assert store.job(claimed.id).status is JobStatus.PROCESSED

    def test_settle_takes_no_other_step(self, store):
        _, (job,) = stored_batch(store)
        with pytest.raises(IllegalTransitionError):
            store.settle(job, begin_attempt(job, now=NOW))
        with pytest.raises(IllegalTransitionError):
            store.settle(job, replace(job, status=JobStatus.DELIVERED))
        failed = give_up(store, job)
        with pytest.raises(IllegalTransitionError):
            store.settle(failed, redriven(failed, JobStatus.NOT_PROCESSED, now=NOW))

    def test_many_workers_at_once_ask_for_one_mail(self, store):
        batch, jobs = stored_batch(store, 8)

        def settle(job: Job) -> tuple[int, int]:
            settled = mails = 0
            for _ in range(2):  # a message delivered twice
                try:
                    mails += store.settle(job, given_up(job, code="cancelled", error="", now=NOW)) is not None
                    settled += 1
                except ConflictError:
                    pass
            return settled, mails

        with ThreadPoolExecutor(8) as pool:
            settled, mails = zip(*pool.map(settle, jobs), strict=True)
        assert (sum(settled), sum(mails)) == (8, 1)
        assert len(store.mails_of_batch(batch.id)) == 1
        assert store.batch(batch.id).open_jobs == 0


class TestMails:
    @pytest.fixture
    def settled(self, store):
        """A batch of a result and a failure, and its mail."""
        batch, (first, second) = stored_batch(store, 2)
        give_up(store, first)
        return batch, store.settle(second, done(second))

    def test_a_mail_that_was_sent_delivers_the_results(self, store, settled):
        batch, mail = settled
        sending = mail_sending(mail, now=NOW + 1)
        store.save_mail(mail, sending)
        assert store.mail(mail.id) == sending
        assert statuses(store, batch.id) == [4, 2]
        store.save_mail(sending, mail_answered(sending, MailState.SENT, answer="250 2.0.0 queued", now=NOW + 2))
        read = store.mail(mail.id)
        assert (read.state, read.attempt, read.answer) == (MailState.SENT, 1, "250 2.0.0 queued")
        failed, delivered = store.jobs_of_batch(batch.id)
        assert (failed.status, failed.error_code) == (JobStatus.NOT_DELIVERED, "corrupt-media")
        assert (delivered.status, delivered.updated_at) == (JobStatus.DELIVERED, NOW + 2)

    def test_a_mail_that_failed_leaves_results_not_delivered_and_says_why(self, store, settled):
        batch, mail = settled
        answer(store, mail, MailState.FAILED, text="550 no such user", now=NOW + 3)
        failed, undelivered = store.jobs_of_batch(batch.id)
        assert failed.error_code == "corrupt-media"
        assert (undelivered.status, undelivered.error_code) == (JobStatus.NOT_DELIVERED, "mail-failed")
        assert (undelivered.error, undelivered.finished_at) == ("550 no such user", NOW + 3)

    def test_a_mail_that_is_tried_again_changes_no_job(self, store, settled):
        batch, mail = settled
        deferred = answer(store, mail, MailState.PENDING, text="451 later")
        assert statuses(store, batch.id) == [4, 2]
        assert sent(store, deferred).attempt == 2
        assert statuses(store, batch.id) == [4, 3]

    def test_one_of_two_couriers_sends_a_mail(self, store, settled):
        _, mail = settled
        sending = mail_sending(mail, now=NOW)
        store.save_mail(mail, sending)
        with pytest.raises(ConflictError):
            store.save_mail(mail, sending)
        again = mail_sending(sending, now=NOW + 900)
        store.save_mail(sending, again)
        with pytest.raises(ConflictError):
            store.save_mail(sending, mail_answered(sending, MailState.SENT, answer="250", now=NOW))
        assert store.mail(mail.id) == again
        assert again.resent

    def test_open_mails_are_those_nobody_wrote_for_a_while(self, store):
        mails = []
        for seconds in range(4):
            _, (job,) = stored_batch(store)
            mails.append(store.settle(job, done(job, now=NOW + seconds)))
        sent(store, mails[0])
        sending = mail_sending(mails[1], now=NOW + 1.5)
        store.save_mail(mails[1], sending)
        assert store.open_mails(not_updated_since=NOW + 3, limit=10) == [sending, mails[2]]
        assert store.open_mails(not_updated_since=NOW + 3, limit=1) == [sending]
        assert store.open_mails(not_updated_since=NOW + 1, limit=10) == []


class TestRedrive:
    def test_a_job_computed_anew_opens_its_batch_and_asks_for_another_mail(self, store):
        batch, jobs = stored_batch(store, 2)
        failed = give_up(store, worked_on(store, jobs[0]))
        sent(store, store.settle(jobs[1], done(jobs[1])))
        again = redriven(failed, JobStatus.NOT_PROCESSED, now=NOW + 60)
        assert store.redrive(failed, again, by="ann") is None
        assert store.job(failed.id) == again
        assert store.batch(batch.id) == replace(batch, open_jobs=1, mails=1)
        claimed = worked_on(store, again)
        assert claimed.attempt == 2
        mail = store.settle(claimed, done(claimed, now=NOW + 70))
        assert [each.id for each in store.mails_of_batch(batch.id)][1:] == [mail.id]
        assert store.batch(batch.id) == replace(batch, open_jobs=0, mails=2)
        assert statuses(store, batch.id) == [2, 3]

    def test_a_result_mailed_again_asks_for_a_mail_at_once(self, store):
        batch, (job,) = stored_batch(store)
        answer(store, store.settle(job, done(job)), MailState.FAILED)
        undelivered = store.job(job.id)
        again = redriven(undelivered, JobStatus.PROCESSED, now=NOW + 60)
        mail = store.redrive(undelivered, again, by="ann")
        assert (mail.state, mail.created_at) == (MailState.PENDING, NOW + 60)
        assert store.job(job.id) == again
        assert store.batch(batch.id) == replace(batch, open_jobs=0, mails=2)
        sent(store, mail)
        assert statuses(store, batch.id) == [3]

    @pytest.mark.parametrize("on_its_way", [False, True])
    def test_results_of_one_batch_mailed_again_share_the_mail_that_is_still_to_go_out(self, store, on_its_way):
        batch, jobs = stored_batch(store, 2)
        mails = [store.settle(job, done(job)) for job in jobs]
        answer(store, mails[1], MailState.FAILED)
        first, second = ((job, redriven(job, JobStatus.PROCESSED, now=NOW)) for job in store.jobs_of_batch(batch.id))
        mail = store.redrive(*first, by="ann")
        if on_its_way:
            sending = mail_sending(mail, now=NOW)
            store.save_mail(mail, sending)
            mail = sending
        assert store.redrive(*second, by="ann") is None
        sent(store, mail)
        assert statuses(store, batch.id) == [3, 3]
        assert store.batch(batch.id).mails == 2

    def test_a_result_mailed_again_waits_for_the_open_jobs_of_its_batch(self, store):
        batch, jobs = stored_batch(store, 2)
        failed = give_up(store, jobs[0])
        answer(store, store.settle(jobs[1], done(jobs[1])), MailState.FAILED)
        undelivered = store.job(jobs[1].id)
        again = redriven(failed, JobStatus.NOT_PROCESSED, now=NOW)
        store.redrive(failed, again, by="ann")
        assert store.redrive(undelivered, redriven(undelivered, JobStatus.PROCESSED, now=NOW), by="ann") is None
        sent(store, store.settle(again, done(again)))
        assert statuses(store, batch.id) == [3, 3]

    def test_every_redrive_is_audited(self, store):
        _, (job,) = stored_batch(store)
        for operator in ("ann", "bob"):
            failed = give_up(store, job)
            job = redriven(failed, JobStatus.NOT_PROCESSED, now=NOW)
            store.redrive(failed, job, by=operator)
        first, second = store.audit(job.id)
        assert "ann" in first
        assert "bob" in second
        assert "4 -> 1" in first

    def test_a_job_is_redriven_once(self, store):
        batch, (job,) = stored_batch(store)
        failed = give_up(store, job)
        again = redriven(failed, JobStatus.NOT_PROCESSED, now=NOW)
        store.redrive(failed, again, by="ann")
        with pytest.raises(ConflictError):
            store.redrive(failed, again, by="bob")
        assert store.batch(batch.id).open_jobs == 1
        assert len(store.audit(job.id)) == 1

    def test_redrive_takes_no_other_step(self, store):
        batch, (job,) = stored_batch(store)
        with pytest.raises(IllegalTransitionError):
            store.redrive(job, done(job), by="ann")
        failed = give_up(store, job)
        with pytest.raises(IllegalTransitionError):
            store.redrive(failed, replace(failed, status=JobStatus.DELIVERED), by="ann")
        assert store.audit(job.id) == []
        assert statuses(store, batch.id) == [4]


class TestSweeping:
    def test_unsettled_jobs_are_those_nobody_wrote_for_a_while(self, store):
        jobs = [stored_batch(store, now=NOW + seconds)[1][0] for seconds in (2, 1, 0, 3)]
        give_up(store, jobs[2])
        worked = worked_on(store, jobs[0], now=NOW + 2.5)
        assert store.unsettled_jobs(not_updated_since=NOW + 3, limit=10) == [jobs[1], worked]
        assert store.unsettled_jobs(not_updated_since=NOW + 3, limit=1) == [jobs[1]]
        assert store.unsettled_jobs(not_updated_since=NOW + 1, limit=10) == []

    def test_finished_jobs_are_settled_ones_by_when_they_were(self, store):
        _, jobs = stored_batch(store, 4)
        late, early = give_up(store, jobs[0], now=NOW + 20), give_up(store, jobs[1], now=NOW + 10)
        give_up(store, jobs[2], now=NOW + 30)
        assert store.finished_jobs(before=NOW + 30, limit=10) == [early, late]
        assert store.finished_jobs(before=NOW + 30, limit=1) == [early]

    def test_a_result_mailed_again_is_finished_and_a_job_computed_anew_is_not(self, store):
        _, (job,) = stored_batch(store)
        answer(store, store.settle(job, done(job)), MailState.FAILED)
        _, (other,) = stored_batch(store)
        failed = give_up(store, other)
        undelivered = store.job(job.id)
        store.redrive(undelivered, redriven(undelivered, JobStatus.PROCESSED, now=NOW + 60), by="ann")
        store.redrive(failed, redriven(failed, JobStatus.NOT_PROCESSED, now=NOW + 60), by="ann")
        assert [each.id for each in store.finished_jobs(before=NOW + 61, limit=10)] == [job.id]
        assert store.finished_jobs(before=NOW + 60, limit=10) == [], "it is kept as if it were new"

    def test_with_its_last_job_a_batch_is_forgotten(self, store):
        batch, jobs = stored_batch(store, 2)
        other, _ = stored_batch(store)
        failed = give_up(store, jobs[0])
        again = redriven(failed, JobStatus.NOT_PROCESSED, now=NOW)
        store.redrive(failed, again, by="ann")
        mail = None
        settled = [done(job) for job in (again, jobs[1])]
        for before, after in zip((again, jobs[1]), settled, strict=True):
            mail = store.settle(before, after)
        store.forget(settled[0])
        assert (store.job(jobs[0].id), store.audit(jobs[0].id)) == (None, [])
        assert store.batch(batch.id) is not None
        assert store.mail(mail.id) == mail
        store.forget(settled[1])
        store.forget(settled[1])
        assert (store.batch(batch.id), store.mail(mail.id), store.jobs_of_batch(batch.id)) == (None, None, [])
        assert store.batch(other.id) == other

    def test_a_job_that_is_to_be_worked_on_is_not_forgotten(self, store):
        _, (job,) = stored_batch(store)
        with pytest.raises(ConflictError):
            store.forget(job)
        failed = give_up(store, job)
        again = redriven(failed, JobStatus.NOT_PROCESSED, now=NOW)
        store.redrive(failed, again, by="ann")
        with pytest.raises(ConflictError):
            store.forget(failed)
        assert store.job(job.id) == again

    def test_counts_name_every_status_and_state(self, store):
        assert set(store.counts().values()) == {0}
        _, jobs = stored_batch(store, 3)
        give_up(store, jobs[0])
        store.settle(jobs[1], done(jobs[1]))
        assert store.counts() == {"1": 1, "2": 1, "3": 0, "4": 1, "pending": 0, "sending": 0, "sent": 0, "failed": 0}
        sent(store, store.settle(jobs[2], done(jobs[2])))
        assert store.counts() == {"1": 0, "2": 0, "3": 2, "4": 1, "pending": 0, "sending": 0, "sent": 1, "failed": 0}
