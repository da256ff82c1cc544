"""DynamoJobStore where it is not one machine's: writers who die between two transactions, readers of late indexes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from irss_core.adapters.aws.job_store import DynamoJobStore
from irss_core.errors import ConflictError, StoreUnavailableError
from irss_core.jobs.job import (
    Batch,
    Job,
    JobStatus,
    MailState,
    begin_attempt,
    given_up,
    mail_answered,
    mail_sending,
    new_id,
    redriven,
)
from tests.aws_emulator import client
from tests.dynamodb_local import MOST_ACTIONS, local_client
from tests.made_submissions import NOW, OWNER, done, made_batch, stored_batch, worked_on
from tests.made_tables import made_table

FEW = 5  # actions of a transaction: two jobs at a time
WRITES = ("transact_write_items", "update_item", "put_item", "delete_item")


class Killed(BaseException):
    """The end of a process; nothing of it runs any more."""


class Watched:
    """A client that tells of each call before it is made."""

    def __init__(self, dynamodb: Any, before: Callable[[str, dict[str, Any]], None]) -> None:
        self._dynamodb, self._before = dynamodb, before

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self._before(name, request)
            return getattr(self._dynamodb, name)(**request)

        return call


def failing(table: str, *, after_writes: int, error: BaseException) -> DynamoJobStore:
    """A store whose client writes that many times, and then never again."""
    left = [after_writes]

    def before(name: str, request: dict[str, Any]) -> None:
        if name in WRITES:
            left[0] -= 1
            if left[0] < 0:
                raise error

    return DynamoJobStore(Watched(client("dynamodb"), before), table, most_actions=FEW)


@pytest.fixture
def table() -> str:
    return made_table(client("dynamodb"))


@pytest.fixture
def store(table: str) -> DynamoJobStore:
    return DynamoJobStore(client("dynamodb"), table, most_actions=FEW)


def items(table: str) -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]


def assert_nobody_sees(store: DynamoJobStore, batch: Batch, jobs: list[Job]) -> None:
    assert (store.batch(batch.id), store.jobs_of_batch(batch.id), store.mails_of_batch(batch.id)) == (None, [], [])
    assert [store.job(job.id) for job in jobs] == [None] * len(jobs)
    assert store.jobs_of_owner(OWNER, limit=50).jobs == ()
    assert store.open_batches_of(OWNER) == 0
    assert store.unsettled_jobs(not_updated_since=NOW, limit=50) == []


class TestCreate:
    def test_a_submission_larger_than_a_transaction_is_read_as_it_was_written(self, store):
        batch, jobs = made_batch(7)
        store.create(batch, jobs)
        assert store.batch(batch.id) == batch
        assert store.jobs_of_batch(batch.id) == jobs
        assert [store.job(job.id) for job in jobs] == jobs
        assert store.counts()["1"] == 7
        with pytest.raises(ConflictError):
            store.create(batch, jobs)

    def test_awss_own_engine_writes_a_large_submission_part_by_part(self):
        store = DynamoJobStore(local_client(), made_table(local_client()), most_actions=MOST_ACTIONS)
        batch, jobs = made_batch(100)
        store.create(batch, jobs)
        assert store.jobs_of_batch(batch.id) == jobs
        assert store.batch(batch.id) == batch
        assert store.counts()["1"] == 100

    def test_of_aws_a_transaction_takes_a_hundred_actions(self, table):
        sizes = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name == "transact_write_items":
                sizes.append(len(request["TransactItems"]))

        store = DynamoJobStore(Watched(client("dynamodb"), before), table)
        store.create(*made_batch(49))
        assert sizes == [99]
        store.create(*made_batch(50))
        assert sizes[1:] == [1, 99, 3, 1]

    @pytest.mark.parametrize("again_as", ["the same batch", "another batch"])
    @pytest.mark.parametrize("after_writes", range(5))
    def test_who_is_killed_on_the_way_leaves_nothing_to_see_and_no_id_taken(self, table, store, after_writes, again_as):
        batch, jobs = made_batch(6)
        with pytest.raises(Killed):
            failing(table, after_writes=after_writes, error=Killed()).create(batch, jobs)
        assert_nobody_sees(store, batch, jobs)
        if again_as == "another batch":
            batch = replace(batch, id=new_id())
            jobs = [replace(job, batch_id=batch.id, name="another.png") for job in jobs]
        fewer = [replace(batch, jobs=3, open_jobs=3), jobs[:3]]  # what is left of the first must not join them
        store.create(*fewer)
        assert (store.batch(batch.id), store.jobs_of_batch(batch.id)) == tuple(fewer)
        assert [store.job(job.id) for job in jobs] == [*jobs[:3], None, None, None]
        assert [*store.jobs_of_owner(OWNER, limit=50).jobs] == jobs[:3]
        assert store.counts()["1"] == 3

    @pytest.mark.parametrize("after_writes", [1, 2, 4])
    def test_the_sweep_undoes_what_was_broken_off_long_ago(self, table, store, after_writes):
        batch, jobs = made_batch(6)
        with pytest.raises(Killed):
            failing(table, after_writes=after_writes, error=Killed()).create(batch, jobs)
        left = len(items(table))
        store.unsettled_jobs(not_updated_since=NOW, limit=10)
        assert len(items(table)) == left, "it may still go on"
        store.unsettled_jobs(not_updated_since=NOW + 1, limit=10)
        assert items(table) == []

    def test_a_writer_who_was_taken_for_dead_writes_nothing_more(self, table, store):
        batch, jobs = made_batch(6)
        writes = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name in WRITES:
                writes.append(name)
                if len(writes) == 4:  # the draft and two parts are there
                    store.unsettled_jobs(not_updated_since=NOW + 1, limit=10)

        slow = DynamoJobStore(Watched(client("dynamodb"), before), table, most_actions=FEW)
        with pytest.raises(ConflictError):
            slow.create(batch, jobs)
        assert items(table) == []

    def test_a_writer_who_was_overtaken_leaves_the_other_ones_draft_alone(self, table, store):
        batch, jobs = made_batch(6)
        half_way, refused = threading.Event(), threading.Event()

        def stopped_half_way(stop: Callable[[], object]) -> DynamoJobStore:
            parts = []

            def before(_: str, request: dict[str, Any]) -> None:
                if any("Put" in action for action in request.get("TransactItems", ())[1:]):
                    parts.append(request)
                    if len(parts) == 2:
                        stop()

            return DynamoJobStore(Watched(client("dynamodb"), before), table, most_actions=FEW)

        fast = stopped_half_way(lambda: (half_way.set(), refused.wait(10)))
        with ThreadPoolExecutor(1) as pool:
            overtaking = []
            slow = stopped_half_way(
                lambda: (overtaking.append(pool.submit(fast.create, batch, jobs)), half_way.wait(10))
            )
            with pytest.raises(ConflictError):
                slow.create(batch, jobs)
            refused.set()
            overtaking[0].result(10)
        assert store.jobs_of_batch(batch.id) == jobs

    def test_two_who_submit_the_same_at_once_make_it_once(self, table, store):
        batch, jobs = made_batch(6)
        meeting = threading.Barrier(2)

        def submit(_: int) -> bool:
            meeting.wait(10)
            try:
                DynamoJobStore(client("dynamodb"), table, most_actions=FEW).create(batch, jobs)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(submit, range(2))) == 1
        assert store.jobs_of_batch(batch.id) == jobs

    def test_a_store_that_fails_on_the_way_has_its_leavings_taken_away(self, table, store):
        batch, jobs = made_batch(6)
        writes = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name in WRITES:
                writes.append(name)
                if len(writes) == 3:
                    raise EndpointConnectionError(endpoint_url="http://there")

        with pytest.raises(StoreUnavailableError):
            DynamoJobStore(Watched(client("dynamodb"), before), table, most_actions=FEW).create(batch, jobs)
        assert items(table) == []

    def test_an_id_of_a_whole_batch_is_not_taken_away_from_it(self, table, store):
        batch, jobs = stored_batch(store, 6)
        other, others = made_batch(6)
        with pytest.raises(ConflictError):
            store.create(other, [*others[:5], replace(others[5], id=jobs[0].id)])
        assert store.jobs_of_batch(batch.id) == jobs
        assert store.job(jobs[0].id) == jobs[0]
        assert store.batch(other.id) is None
        assert len(items(table)) == 13


class TestSettle:
    def test_the_last_two_who_meet_ask_for_one_mail(self, table, store):
        batch, (first, second) = stored_batch(store, 2)
        met = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name == "transact_write_items" and not met:  # it has read of two open jobs
                met.append(store.settle(second, done(second)))

        mail = DynamoJobStore(Watched(client("dynamodb"), before), table).settle(first, done(first))
        assert met == [None]
        assert store.mails_of_batch(batch.id) == [mail]
        assert store.batch(batch.id) == replace(batch, open_jobs=0, mails=1)

    def test_who_counts_down_beside_others_needs_no_second_try(self, table, store):
        batch, jobs = stored_batch(store, 5)
        met, tries = [], []

        def before(name: str, request: dict[str, Any]) -> None:
            if name == "transact_write_items":
                tries.append(name)
                met.extend(store.settle(job, done(job)) for job in jobs[1:4] if len(tries) == 1)

        DynamoJobStore(Watched(client("dynamodb"), before), table).settle(jobs[0], done(jobs[0]))
        assert (len(tries), met) == (1, [None] * 3)
        assert store.batch(batch.id).open_jobs == 1

    def test_many_who_are_refused_by_turns_settle_each_job_once(self, table, store):
        batch, jobs = stored_batch(store, 8)
        calls, guard = [], threading.Lock()

        def before(name: str, request: dict[str, Any]) -> None:
            with guard:
                calls.append(name)
                refuse = name == "transact_write_items" and calls.count(name) % 3
            if refuse:
                reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
                answer = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
                raise ClientError(answer, "TransactWriteItems")

        busy = DynamoJobStore(Watched(client("dynamodb"), before), table)

        with ThreadPoolExecutor(8) as pool:
            mails = [*pool.map(lambda job: busy.settle(job, done(job)), jobs)]
        assert sum(mail is not None for mail in mails) == 1
        assert (store.batch(batch.id).open_jobs, store.counts()["2"]) == (0, 8)


class TestMails:
    @pytest.fixture
    def sending(self, store):
        _, jobs = stored_batch(store, 9)
        mails = [store.settle(job, done(job)) for job in jobs]
        sending = mail_sending(mails[-1], now=NOW)
        store.save_mail(mails[-1], sending)
        return sending

    @pytest.mark.parametrize("state", [MailState.SENT, MailState.FAILED])
    @pytest.mark.parametrize("after_writes", range(3))
    def test_who_is_killed_while_a_mail_of_many_jobs_ends_leaves_it_to_the_next(
        self, table, store, sending, after_writes, state
    ):
        ended = mail_answered(sending, state, answer="an answer", now=NOW + 1)
        with pytest.raises(Killed):
            failing(table, after_writes=after_writes, error=Killed()).save_mail(sending, ended)
        assert store.mail(sending.id) == sending, "so somebody will look after it"
        moved = [job.status for job in store.jobs_of_batch(sending.batch_id) if job.status is not JobStatus.PROCESSED]
        assert len(moved) == [0, 4, 6][after_writes]
        again = mail_sending(sending, now=NOW + 900)
        store.save_mail(sending, again)
        store.save_mail(again, mail_answered(again, state, answer="an answer", now=NOW + 901))
        became = {job.status for job in store.jobs_of_batch(sending.batch_id)}
        assert became == {JobStatus.DELIVERED if state is MailState.SENT else JobStatus.NOT_DELIVERED}

    def test_a_courier_who_lost_the_mail_moves_no_job(self, store, sending):
        store.save_mail(sending, mail_sending(sending, now=NOW + 900))
        with pytest.raises(ConflictError):
            store.save_mail(sending, mail_answered(sending, MailState.SENT, answer="250", now=NOW + 901))
        assert store.counts()["2"] == 9

    def test_a_result_that_joins_the_mail_while_it_ends_is_delivered_with_it(self, table, store):
        batch, jobs = stored_batch(store, 2)
        mails = [store.settle(job, done(job)) for job in jobs]
        sending = mail_sending(mails[1], now=NOW)
        store.save_mail(mails[1], sending)
        store.save_mail(sending, mail_answered(sending, MailState.FAILED, answer="550", now=NOW))
        first, second = ((job, redriven(job, JobStatus.PROCESSED, now=NOW)) for job in store.jobs_of_batch(batch.id))
        mail = store.redrive(*first, by="ann")
        sending = mail_sending(mail, now=NOW)
        store.save_mail(mail, sending)
        joined = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name == "transact_write_items" and not joined:  # the jobs have been read
                joined.append(store.redrive(*second, by="bob"))

        courier = DynamoJobStore(Watched(client("dynamodb"), before), table)
        courier.save_mail(sending, mail_answered(sending, MailState.SENT, answer="250", now=NOW))
        assert joined == [None]
        assert [job.status for job in store.jobs_of_batch(batch.id)] == [JobStatus.DELIVERED] * 2

    def test_two_results_redriven_at_once_ask_for_one_mail(self, table, store):
        batch, jobs = stored_batch(store, 2)
        mails = [store.settle(job, done(job)) for job in jobs]
        sending = mail_sending(mails[1], now=NOW)
        store.save_mail(mails[1], sending)
        store.save_mail(sending, mail_answered(sending, MailState.FAILED, answer="550", now=NOW))
        first, second = ((job, redriven(job, JobStatus.PROCESSED, now=NOW)) for job in store.jobs_of_batch(batch.id))
        asked = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name == "transact_write_items" and not asked:
                asked.append(store.redrive(*second, by="bob"))

        late = DynamoJobStore(Watched(client("dynamodb"), before), table).redrive(*first, by="ann")
        assert late is None
        assert store.mails_of_batch(batch.id)[1:] == asked
        assert len(store.audit(jobs[0].id)) == 1


class TestReading:
    def test_a_job_is_read_by_two_consistent_requests(self, table, store):
        _, jobs = stored_batch(store, 2)
        calls = []
        watched = DynamoJobStore(Watched(client("dynamodb"), lambda name, request: calls.append(request)), table)
        assert watched.job(jobs[1].id) == jobs[1]
        lookup, read = calls
        assert lookup["ConsistentRead"]
        assert read["RequestItems"][table]["ConsistentRead"]

    def test_the_jobs_of_a_batch_come_from_the_table_itself(self, table, store):
        batch, jobs = stored_batch(store, 2)
        calls = []
        watched = DynamoJobStore(Watched(client("dynamodb"), lambda name, request: calls.append(request)), table)
        assert watched.jobs_of_batch(batch.id) == jobs
        assert [(call["ConsistentRead"], "IndexName" in call) for call in calls] == [(True, False)]

    def test_what_a_late_index_still_names_is_left_out(self, table, store):
        _, (moved, gone) = stored_batch(store, 2)
        stays = stored_batch(store, now=NOW + 1)[1][0]
        late: dict[str, Any] = {}

        class Late(Watched):
            """A client whose index listings stay as they were when they were first asked for."""

            def query(self, **request: Any) -> Any:
                name = repr(sorted(request.items(), key=lambda each: each[0]))
                return late.setdefault(name, client("dynamodb").query(**request))

        behind = DynamoJobStore(Late(client("dynamodb"), lambda name, request: None), table)
        assert len(behind.unsettled_jobs(not_updated_since=NOW + 9, limit=10)) == 3
        assert len(behind.jobs_of_owner(OWNER, limit=10).jobs) == 3
        store.settle(moved, done(moved))
        failed = given_up(gone, code="error", error="It failed.", now=NOW)
        store.settle(gone, failed)
        store.forget(failed)
        assert behind.unsettled_jobs(not_updated_since=NOW + 9, limit=10) == [stays]
        assert [job.id for job in behind.jobs_of_owner(OWNER, limit=10).jobs] == [stays.id, moved.id]

    def test_a_claim_is_a_transaction_which_aws_knows_again_and_a_report_is_not(self, table, store):
        _, (job,) = stored_batch(store)
        sent = []

        def before(name: str, request: dict[str, Any]) -> None:
            if name in WRITES:
                sent.append(name)

        watched = DynamoJobStore(Watched(client("dynamodb"), before), table)
        claimed = worked_on(watched, job)
        watched.save(claimed, replace(claimed, progress=0.5))
        assert sent == ["transact_write_items", "update_item"]
        assert store.job(job.id).progress == 0.5
        with pytest.raises(ConflictError):
            store.save(job, begin_attempt(job, now=NOW))


def test_more_mails_than_fit_go_with_the_last_job_of_a_batch(table, store):
    _, (job,) = stored_batch(store)
    for _ in range(4):
        mail = store.settle(job, done(job))
        sending = mail_sending(mail, now=NOW)
        store.save_mail(mail, sending)
        store.save_mail(sending, mail_answered(sending, MailState.FAILED, answer="550", now=NOW))
        job = store.job(job.id)
        again = redriven(job, JobStatus.NOT_PROCESSED, now=NOW)
        store.redrive(job, again, by="ann")
        job = again
    failed = given_up(job, code="error", error="It failed.", now=NOW)
    store.settle(job, failed)
    store.forget(failed)
    assert items(table) == []
