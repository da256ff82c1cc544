"""The SQLite file under everything: how it is made, migrated, shared, and what is said when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.adapters.local.records import SqliteRecords
from irss_core.errors import StoreUnavailableError
from tests.made_submissions import made_batch, stored_batch

V1 = (("CREATE TABLE words (word TEXT NOT NULL UNIQUE) STRICT",),)
V2 = (*V1, ("ALTER TABLE words ADD COLUMN length INTEGER", "UPDATE words SET length = length(word)"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "jobs.sqlite3"


@pytest.fixture
def words(path: Path) -> Database:
    return Database(path, migrations=V1)


def add(database: Database, *more: str) -> None:
    with database.writing() as connection:
        for word in more:
            connection.execute("INSERT INTO words (word) VALUES (?)", (word,))


def all_words(database: Database) -> list[str]:
    return [row["word"] for row in database.read("SELECT word FROM words ORDER BY word")]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes for as long as the block lasts."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


class TestFile:
    def test_nothing_is_made_before_the_first_use(self, words, path):
        assert not path.parent.exists()
        assert all_words(words) == []
        assert path.exists()

    def test_only_its_owner_may_read_it(self, words, path):
        add(words, "word")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        files = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        assert files == {"jobs.sqlite3": 0o600, "jobs.sqlite3-wal": 0o600, "jobs.sqlite3-shm": 0o600}

    def test_a_commit_is_on_the_disk_before_it_is_answered(self, words):
        for _ in range(2):
            (mode,), (synchronous,) = (words.read(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous"))
            assert (mode, synchronous) == ("wal", 2), "2 is FULL"
            words.close()  # the next connection is as strict

    def test_first_users_do_not_stand_in_each_others_way(self, path):
        def first_use(number: int) -> None:
            database = Database(path)  # as a process of its own would
            SqliteQueue(database, "work", SystemClock()).send(str(number))
            database.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(first_use, range(8)))
        assert SqliteQueue(Database(path), "work", SystemClock()).depth().ready == 8

    def test_a_forked_process_is_refused(self, words):
        add(words, "word")
        child = os.fork()
        if child == 0:
            try:
                all_words(words)
            except RuntimeError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert all_words(words) == ["word"]


class TestTransactions:
    def test_a_block_that_fails_leaves_nothing(self, words):
        add(words, "kept")
        with pytest.raises(KeyError):  # noqa: SIM117, PT012
            with words.writing() as connection:
                connection.execute("INSERT INTO words VALUES ('lost')")
                raise KeyError
        with pytest.raises(sqlite3.IntegrityError):
            add(words, "lost too", "kept")
        assert all_words(words) == ["kept"]
        add(words, "next")
        assert all_words(words) == ["kept", "next"]

    def test_a_reader_sees_what_is_committed_and_does_not_wait_for_a_writer(self, words, path):
        add(words, "old")
        with words.writing() as connection:
            connection.execute("INSERT INTO words VALUES ('new')")
            assert all_words(Database(path, busy_timeout_s=0, migrations=V1)) == ["old"]
        assert all_words(Database(path, migrations=V1)) == ["new", "old"]

    def test_every_thread_writes_through_a_connection_of_its_own(self, words):
        threads = [threading.Thread(target=add, args=(words, f"word {number}")) for number in range(8)]
        with words.writing() as connection:  # they wait
            for thread in threads:
                thread.start()
            connection.execute("INSERT INTO words VALUES ('first')")
        for thread in threads:
            thread.join()
        assert len(all_words(words)) == 9

    def test_changes_tells_of_every_commit_and_of_nothing_else(self, words, path):
        add(words, "one")
        seen = words.changes()
        assert words.changes() == seen
        add(words, "two")
        assert words.changes() != seen, "one's own"
        seen = words.changes()
        add(Database(path, migrations=V1), "three")
        assert words.changes() != seen, "another's"

    def test_a_commit_wakes_who_waits_for_one_and_who_comes_late_does_not_wait(self, words):
        add(words, "one")
        seen = words.changes()
        started = time.monotonic()
        threading.Timer(0.1, add, [words, "two"]).start()
        words.wait_for_commit(seen, timeout_s=20)
        assert words.changes() != seen
        words.wait_for_commit(seen, timeout_s=20)
        assert time.monotonic() - started < 10

    def test_a_mistake_of_ours_is_not_called_a_full_disk(self, words):
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            words.read("SELECT * FROM nowhere")


class TestMigrations:
    def test_an_older_file_is_brought_to_the_newest_schema(self, words, path):
        add(words, "three", "to")
        newer = Database(path, migrations=V2)
        assert [tuple(row) for row in newer.read("SELECT * FROM words ORDER BY word")] == [("three", 5), ("to", 2)]
        assert newer.read("PRAGMA user_version")[0][0] == 2
        add(newer, "after")

    def test_a_file_of_a_later_version_is_refused_and_left_alone(self, words, path):
        add(Database(path, migrations=V2), "word")
        for use in (lambda: all_words(words), lambda: add(words, "older")):
            with pytest.raises(StoreUnavailableError, match=r"schema 2, this one knows 1.*Update IRSS"):
                use()
        assert all_words(Database(path, migrations=V2)) == ["word"]

    def test_a_migration_that_fails_changes_nothing(self, words, path):
        add(words, "word")
        broken = Database(
            path, migrations=(*V1, ("ALTER TABLE words RENAME TO texts", "INSERT INTO nowhere VALUES (1)"))
        )
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                broken.read("SELECT 1")
        assert all_words(words) == ["word"]
        assert words.read("PRAGMA user_version")[0][0] == 1

    def test_the_schema_keeps_the_programs_rules(self, path):
        store = SqliteJobStore(Database(path))
        batch, (job,) = stored_batch(store)
        for wrong in (
            f"UPDATE jobs SET status = 5 WHERE id = '{job.id}'",
            "UPDATE jobs SET attempt = 'many'",
            "UPDATE jobs SET facts = '{'",
            "UPDATE batches SET open_jobs = 2",
            "UPDATE batches SET open_jobs = -1",
            f"DELETE FROM batches WHERE id = '{batch.id}'",
        ):
            with pytest.raises(sqlite3.IntegrityError):  # noqa: SIM117
                with Database(path).writing() as connection:
                    connection.execute(wrong)
        assert store.job(job.id) == job


class TestUnavailable:
    def test_a_writer_that_is_locked_out_for_too_long_says_so(self, words, path):
        add(words, "word")
        impatient = Database(path, busy_timeout_s=0.05, migrations=V1)
        with locked(path):
            with pytest.raises(StoreUnavailableError, match="another process has been writing"):
                add(impatient, "late")
            assert all_words(impatient) == ["word"]
        add(impatient, "in time")
        assert all_words(words) == ["in time", "word"]

    def test_every_port_tells_of_a_locked_store_and_loses_nothing(self, path):
        database, clock = Database(path, busy_timeout_s=0.05), SystemClock()
        store, queue = SqliteJobStore(database), SqliteQueue(database, "work", clock)
        records = SqliteRecords(database, clock)
        _, (job,) = stored_batch(store)
        queue.send("job")
        with locked(path):
            for write in (
                lambda: store.create(*made_batch()),
                lambda: store.save(job, job),
                lambda: queue.send("another"),
                lambda: queue.receive(wait_s=0, visibility_timeout_s=60),
                lambda: records.count("key", expires_at=clock.now() + 60),
            ):
                with pytest.raises(StoreUnavailableError):
                    write()
            assert store.job(job.id) == job
            assert queue.depth().ready == 1
        assert queue.receive(wait_s=0, visibility_timeout_s=60).deliveries == 1

    def test_a_full_disk_undoes_the_whole_write_and_passes(self, path):
        database = Database(path)
        store = SqliteJobStore(database)
        stored_batch(store)
        (pages,) = database.read("PRAGMA page_count")[0]
        database.read(f"PRAGMA max_page_count = {pages + 2}")  # of this connection
        batch, jobs = made_batch(100)
        with pytest.raises(StoreUnavailableError, match=r"disk is full.*Free some space"):
            store.create(batch, jobs)
        assert (store.batch(batch.id), store.job(jobs[0].id)) == (None, None)
        store.create(batch, jobs)
        assert store.jobs_of_batch(batch.id) == jobs

    def test_a_store_that_may_not_be_written_says_so(self, words):
        add(words, "word")
        words.read("PRAGMA query_only = ON")  # as of a read-only disk
        with pytest.raises(StoreUnavailableError, match=r"cannot be written to.*IRSS_DATA_DIR"):
            add(words, "another")
        assert all_words(words) == ["word"]

    def test_a_folder_that_cannot_be_made_says_so(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StoreUnavailableError, match=r"jobs.sqlite3 cannot be made.*IRSS_DATA_DIR"):
            all_words(Database(tmp_path / "file" / "jobs.sqlite3", migrations=V1))

    def test_a_path_that_is_a_folder_says_so(self, tmp_path):
        with pytest.raises(StoreUnavailableError):
            all_words(Database(tmp_path, migrations=V1))

    @pytest.mark.parametrize("damage", [b"this is no database" * 300, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_damaged_file_says_so_and_is_left_as_it_is(self, words, path, damage):
        path.parent.mkdir()
        path.write_bytes(damage)
        with pytest.raises(StoreUnavailableError, match="damaged"):
            add(words, "word")
        assert path.read_bytes() == damage
