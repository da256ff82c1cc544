"""Random interleavings of workers, couriers, users and operators who all know older states than the store's."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from irss_core.errors import ConflictError, IllegalTransitionError
from irss_core.jobs.job import (
    BY_REDRIVE,
    LEGAL,
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
    redriven,
)
from irss_core.jobs.options import Stage
from irss_core.jobs.ports import JobStore
from tests.contract.stores import JOB_STORES, RUNS
from tests.made_submissions import NOW, OWNER, done, stored_batch

picks = st.integers(0, 10**6)
OPEN = (MailState.PENDING, MailState.SENDING)


class StoreUsers(RuleBasedStateMachine):
    """They remember what they once read or wrote, and act on any of it."""

    def __init__(self, make: Callable[[], JobStore]) -> None:
        super().__init__()
        self.store = make()
        self.now = NOW
        self.jobs: dict[str, Job] = {}  # as the store last had them
        self.mails: dict[str, Mail] = {}
        self.mails_due: Counter[str] = Counter()  # by batch
        self.remembered: list[Job] = []
        self.remembered_mails: list[Mail] = []

    @rule(jobs=st.integers(1, 3))
    def submit(self, jobs: int) -> None:
        self.now += 1
        self.remembered += stored_batch(self.store, jobs, now=self.now)[1]
        self.look(moves={})

    @precondition(lambda self: self.jobs)
    @rule(pick=picks)
    def read(self, pick: int) -> None:
        self.remembered.append(self.store.job([*self.jobs][pick % len(self.jobs)]))

    @precondition(lambda self: self.remembered)
    @rule(
        pick=picks,
        step=st.sampled_from(
            [
                lambda job, now: begin_attempt(job, now=now),
                lambda job, now: begin_attempt(job, now=now),
                lambda job, now: at_stage(job, Stage.UPSCALE, now=now, progress=0.5),
                lambda job, now: attempt_failed(job, code="error", error="It failed.", now=now),
                lambda job, now: cancel_asked(job, now=now),
            ]
        ),
    )
    def save(self, pick: int, step: Callable[[Job, float], Job]) -> None:
        self.write(pick, step, self.store.save)
        self.look(moves={})

    @precondition(lambda self: self.remembered)
    @rule(
        pick=picks,
        step=st.sampled_from(
            [
                lambda job, now: done(job, now=now) if not job.settled else given_up(job, code="e", error="E", now=now),
                lambda job, now: given_up(job, code="corrupt-media", error="It is damaged.", now=now),
            ]
        ),
    )
    def settle(self, pick: int, step: Callable[[Job, float], Job]) -> None:
        mail = self.write(pick, step, self.store.settle)
        last = [job.batch_id for job in self.look(moves=LEGAL) if not self.open_jobs(job.batch_id)]
        self.mails_due.update(last)
        assert [mail.batch_id for mail in [mail] if mail] == last

    @precondition(lambda self: self.remembered)
    @rule(pick=picks, status=st.sampled_from([JobStatus.NOT_PROCESSED, JobStatus.PROCESSED]))
    def redrive(self, pick: int, status: JobStatus) -> None:
        waiting = {mail.batch_id for mail in self.mails.values() if mail.state in OPEN}
        mail = self.write(
            pick,
            lambda job, now: redriven(job, status, now=now),
            lambda before, after: self.store.redrive(before, after, by="ann"),
        )
        due = [
            job.batch_id
            for job in self.look(moves=BY_REDRIVE)
            if status is JobStatus.PROCESSED and not self.open_jobs(job.batch_id) and job.batch_id not in waiting
        ]
        self.mails_due.update(due)
        assert [mail.batch_id for mail in [mail] if mail] == due

    @precondition(lambda self: self.remembered_mails)
    @rule(pick=picks)
    def send_mail(self, pick: int) -> None:
        self.write_mail(pick, lambda mail: mail_sending(mail, now=self.now))
        self.look(moves={})

    @precondition(lambda self: self.remembered_mails)
    @rule(pick=picks, state=st.sampled_from([MailState.SENT, MailState.FAILED, MailState.PENDING]))
    def answer_mail(self, pick: int, state: MailState) -> None:
        answered = self.write_mail(pick, lambda mail: mail_answered(mail, state, answer="an answer", now=self.now))
        moved = self.look(moves=LEGAL)
        if answered is not None and state is not MailState.PENDING:
            became = JobStatus.DELIVERED if state is MailState.SENT else JobStatus.NOT_DELIVERED
            assert {(job.batch_id, job.status) for job in moved} <= {(answered.batch_id, became)}
            of_batch = self.store.jobs_of_batch(answered.batch_id)
            assert all(job.status is not JobStatus.PROCESSED for job in of_batch)
        else:
            assert not moved

    @precondition(lambda self: self.remembered)
    @rule(pick=picks)
    def forget(self, pick: int) -> None:
        job = self.remembered[pick % len(self.remembered)]
        stored = self.jobs.get(job.id)
        if stored is not None and not stored.settled:
            with pytest.raises(ConflictError):
                self.store.forget(job)
            return
        self.store.forget(job)
        self.jobs.pop(job.id, None)
        if not any(other.batch_id == job.batch_id for other in self.jobs.values()):
            assert self.store.batch(job.batch_id) is None
            self.mails_due.pop(job.batch_id, None)
            self.mails = {key: mail for key, mail in self.mails.items() if mail.batch_id != job.batch_id}
        self.look(moves={})

    @invariant()
    def listings_and_counts_agree_with_the_jobs(self) -> None:
        counts = Counter(str(job.status.value) for job in self.jobs.values())
        counts.update(mail.state.value for mail in self.mails.values())
        assert {name: count for name, count in self.store.counts().items() if count} == dict(counts)
        unsettled = self.store.unsettled_jobs(not_updated_since=math.inf, limit=1000)
        finished = self.store.finished_jobs(before=math.inf, limit=1000)
        assert {job.id for job in unsettled} == {job.id for job in self.jobs.values() if not job.settled}
        assert {job.id for job in finished} == {job.id for job in self.jobs.values() if job.settled}
        batches = {job.batch_id for job in self.jobs.values()}
        assert self.store.open_batches_of(OWNER) == sum(self.open_jobs(batch_id) > 0 for batch_id in batches)
        for batch_id in batches:
            batch = self.store.batch(batch_id)
            assert batch.open_jobs == self.open_jobs(batch_id)
            assert batch.mails == len(self.store.mails_of_batch(batch_id)) == self.mails_due[batch_id]

    def open_jobs(self, batch_id: str) -> int:
        return sum(job.batch_id == batch_id and not job.settled for job in self.jobs.values())

    def write(self, pick: int, step: Callable[[Job, float], Job], call: Callable[[Job, Job], Any]) -> Any:
        """Let one who remembers a job take a step; it must succeed exactly if that job is as remembered."""
        self.now += 1
        before = self.remembered[pick % len(self.remembered)]
        try:
            after = step(before, self.now)
        except IllegalTransitionError:
            return None
        stored = self.jobs.get(before.id)
        fits = stored is not None and (stored.status, stored.attempt) == (before.status, before.attempt)
        try:
            answer = call(before, after)
        except ConflictError:
            assert not fits or before.settled, "nobody else has written"
            return None
        assert fits, "somebody else has written"
        self.remembered.append(after)
        return answer

    def write_mail(self, pick: int, step: Callable[[Mail], Mail]) -> Mail | None:
        self.now += 1
        before = self.remembered_mails[pick % len(self.remembered_mails)]
        try:
            after = step(before)
        except IllegalTransitionError:
            return None
        stored = self.mails.get(before.id)
        fits = stored is not None and (stored.state, stored.attempt) == (before.state, before.attempt)
        try:
            self.store.save_mail(before, after)
        except ConflictError:
            assert not fits, "nobody else has written"
            return None
        assert fits, "somebody else has written"
        self.remembered_mails.append(after)
        return after

    def look(self, *, moves: Any) -> list[Job]:
        """Read everything again; return the jobs whose status moved, which must be one of the moves."""
        moved = []
        batches = dict.fromkeys(job.batch_id for job in (*self.remembered, *self.jobs.values()))  # in a fixed order
        jobs = {job.id: job for batch_id in batches for job in self.store.jobs_of_batch(batch_id)}
        for job in jobs.values():
            before = self.jobs.get(job.id)
            if before is not None:
                assert job.attempt - before.attempt in (0, 1)
                if job.status is not before.status:
                    assert job.status in moves.get(before.status, ())
                    moved.append(job)
        assert self.jobs.keys() <= jobs.keys()
        self.jobs = jobs
        mails = {mail.id: mail for batch_id in batches for mail in self.store.mails_of_batch(batch_id)}
        self.remembered_mails += [mail for key, mail in mails.items() if key not in self.mails]
        self.mails = mails
        return moved


@pytest.mark.parametrize("name", JOB_STORES)
def test_jobs_move_only_as_they_may_and_every_settling_has_one_mail(name: str, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in itertools.count())
    run_state_machine_as_test(
        lambda: StoreUsers(lambda: JOB_STORES[name](next(folders))),
        settings=settings(
            max_examples=RUNS.get(name, 25), stateful_step_count=30, deadline=None, derandomize=True, database=None
        ),
    )
