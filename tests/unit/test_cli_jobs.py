"""``irss submit``, ``jobs``, ``dlq`` and ``worker``: what an operator sees and does."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from irss_core.cli import submit
from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.errors import CorruptMediaError
from irss_core.jobs.delivery import Courier
from irss_core.jobs.job import Job, JobStatus, given_up
from irss_core.jobs.options import Stage
from irss_core.jobs.worker import MailRoom, Pace, Worker, assign_jobs
from irss_core.media.images import ImageLimits
from irss_core.media.video import ClipLimits
from tests.made_jobs import Backstage, Stages, letter


class Desk:
    """A terminal on the machine that the jobs are on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backstage = Backstage(folder)
        self.stages = Stages(self.backstage)
        self.out, self.err = "", ""

    def irss(self, *arguments: str) -> int:
        out, err = io.StringIO(), io.StringIO()
        services: Any = SimpleNamespace(
            jobs=self.backstage.service, image_limits=ImageLimits(), clip_limits=ClipLimits()
        )
        status = main(arguments, console=Console(out, err), load_services=lambda _settings: services)
        self.out, self.err = out.getvalue(), err.getvalue()
        return status

    def json(self, *arguments: str) -> Any:
        assert self.irss(*arguments) == 0, self.err
        return json.loads(self.out)

    def worker(self) -> Worker:
        backstage = self.backstage
        courier = Courier(
            store=backstage.store, mails=backstage.mails, mailer=backstage.mailer, clock=backstage.clock, compose=letter
        )
        sweeper: Any = SimpleNamespace(sweep=lambda: None)
        pace = Pace(wait_s=0.01)
        return Worker(
            backstage.work,
            backstage.workshop,
            assign=assign_jobs(backstage.service, self.stages),
            mail_room=MailRoom(backstage.mails, courier, sweeper),
            pace=pace,
        )

    def work(self) -> None:
        assert self.worker().run_until_idle(threading.Event())

    def failed_job(self) -> Job:
        (job,) = self.backstage.batch()
        error = CorruptMediaError("It is damaged.")
        self.backstage.service.settle(
            job, given_up(job, code=error.code, error=str(error), now=self.backstage.clock.now())
        )
        return job

    def kill_workers(self, queue: Any) -> None:
        for _ in range(6):
            queue.receive(wait_s=0, visibility_timeout_s=120)
            self.backstage.clock.advance(121)

    def picture(self, name: str) -> str:
        path = self.folder / name
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(path)
        return str(path)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# jobs


def test_jobs_are_listed_newest_first(desk):
    (old,) = desk.backstage.batch()
    desk.backstage.clock.advance(90)
    (new,) = desk.backstage.batch()
    assert desk.irss("jobs", "list") == 0
    first, second = desk.out.splitlines()[1:]
    assert first.startswith(new.id[:12])
    assert second.startswith(old.id[:12])
    assert old.id not in desk.out
    assert "1 min 30 s" in second
    assert [job["id"] for job in desk.json("jobs", "list", "--json")] == [new.id, old.id]


def test_the_list_can_be_narrowed(desk):
    desk.backstage.batch(3)
    failed = desk.failed_job()
    assert [job["id"] for job in desk.json("jobs", "list", "--status", "4", "--json")] == [failed.id]
    assert desk.irss("jobs", "list", "--limit", "1") == 0
    assert len(desk.out.splitlines()) == 2
    assert "3 older jobs not shown" in desk.err


def test_an_empty_list_says_what_to_do(desk):
    assert desk.irss("jobs", "list") == 0
    assert "irss submit" in desk.out


def test_a_job_is_shown_by_the_beginning_of_its_id(desk):
    job = desk.failed_job()
    assert desk.irss("jobs", "show", job.id[:12]) == 0
    assert "error: It is damaged." in desk.out.splitlines()
    (shown,) = desk.json("jobs", "show", job.id, "--json")
    assert (shown["status"], shown["status_text"]) == (4, "not delivered")
    assert shown["mails"] == [{"state": "pending", "attempt": 0, "resent": False, "answer": None}]
    assert "owner" not in shown
    assert "somebody@irss.test" not in desk.out


@pytest.mark.parametrize(("text", "status"), [("abc", 2), ("abcdef012345", 1), ("f" * 64, 1)])
def test_an_id_of_no_job_is_an_error(desk, text, status):
    assert desk.irss("jobs", "show", text) == status
    assert desk.err.startswith("irss: ")


def test_a_failed_job_is_retried_and_who_did_so_is_noted(desk):
    job = desk.failed_job()
    assert desk.irss("jobs", "retry", job.id[:12]) == 0
    assert desk.backstage.job(job).status is JobStatus.NOT_PROCESSED
    assert len(desk.backstage.store.audit(job.id)) == 1
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.DELIVERED


def test_a_job_that_did_not_fail_is_not_retried(desk):
    (job,) = desk.backstage.batch()
    assert desk.irss("jobs", "retry", job.id) == 1
    assert "cannot be redriven" in desk.err


def test_only_the_mail_is_sent_again(desk):
    (job,) = desk.backstage.batch()
    desk.backstage.mailer.refuse()
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.NOT_DELIVERED
    desk.stages.called.clear()
    assert desk.irss("jobs", "retry", "--mail-only", job.id) == 0
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.DELIVERED
    assert desk.stages.called == []


def test_a_waiting_job_is_cancelled(desk):
    (job,) = desk.backstage.batch()
    assert desk.irss("jobs", "cancel", job.id) == 0
    assert desk.backstage.job(job).error_code == "cancelled"


def test_a_job_is_deleted_only_with_yes(desk):
    (job,) = desk.backstage.batch()
    assert desk.irss("jobs", "delete", job.id) == 2
    assert desk.backstage.store.job(job.id) is not None
    assert desk.irss("jobs", "delete", job.id, "--yes") == 0
    assert desk.backstage.store.job(job.id) is None
    assert desk.backstage.objects.keys("") == []


# dlq


def test_dead_messages_are_listed_and_shown(desk):
    (job,) = desk.backstage.batch()
    desk.kill_workers(desk.backstage.work)
    assert desk.irss("dlq", "list") == 0
    assert desk.out.splitlines()[1].split()[:4] == ["work-1", "5", job.id[:12], "picture"]
    (shown,) = desk.json("dlq", "show", "work-1")
    assert shown["jobs"][0]["id"] == job.id
    assert [letter["message"] for letter in desk.json("dlq", "list", "--json")] == ["work-1"]


def test_a_dry_run_changes_nothing(desk):
    (job,) = desk.backstage.batch()
    desk.kill_workers(desk.backstage.work)
    assert desk.irss("dlq", "redrive", "--dry-run") == 0
    assert "put back" in desk.out
    assert "1 message would be seen to" in desk.err
    assert desk.backstage.work.depth().dead == 1
    assert desk.irss("dlq", "redrive") == 0
    assert desk.backstage.work.depth().dead == 0
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.DELIVERED


def test_what_was_given_up_is_computed_anew(desk):
    (job,) = desk.backstage.batch()
    desk.kill_workers(desk.backstage.work)
    told = given_up(desk.backstage.job(job), code="attempts-exhausted", error="?", now=desk.backstage.clock.now())
    desk.backstage.service.settle(desk.backstage.job(job), told)
    assert desk.irss("dlq", "redrive", "work-1") == 0
    assert "computed anew" in desk.out
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.DELIVERED
    assert desk.backstage.work.depth().dead == 0


def test_what_is_done_needs_nothing_more(desk):
    (job,) = desk.backstage.batch()
    desk.backstage.work.send(job.id)
    message = desk.backstage.work.receive(wait_s=0, visibility_timeout_s=10_000)
    desk.kill_workers(desk.backstage.work)
    desk.worker().work_on(message)
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.DELIVERED
    assert desk.irss("dlq", "redrive") == 0
    assert "nothing is to be done any more" in desk.out
    assert desk.backstage.work.depth() == desk.backstage.mails.depth()


def test_a_dead_mail_is_put_back(desk):
    (job,) = desk.backstage.batch()
    desk.worker().work_on(desk.backstage.work.receive(wait_s=0, visibility_timeout_s=60))
    desk.kill_workers(desk.backstage.mails)
    assert desk.irss("dlq", "redrive", "mails-1") == 0
    desk.work()
    assert desk.backstage.job(job).status is JobStatus.DELIVERED


def test_a_dead_message_is_discarded_by_name_only(desk):
    desk.backstage.batch()
    desk.kill_workers(desk.backstage.work)
    assert desk.irss("dlq", "discard", "work-7") == 1
    assert desk.irss("dlq", "discard", "work-1") == 0
    assert desk.irss("dlq", "list") == 0
    assert desk.out == "No dead messages.\n"


# submit


def jobs_of(desk: Desk) -> list[Job]:
    return desk.backstage.store.unsettled_jobs(not_updated_since=float("inf"), limit=100)


def test_files_are_handed_off_with_a_forecast_and_an_address_to_look_at(desk):
    names = [desk.picture("a.png"), desk.picture("b.png")]
    assert desk.irss("submit", *names, "--email", "me@example.org", "-m", "bicubic", "-s", "2", "--greyscale") == 0
    first, second, third = desk.out.splitlines()
    assert first == "Handed off 2 files; one mail comes when all is done."
    assert second.startswith("About ")
    jobs = jobs_of(desk)
    assert third == f"http://irss.test/batches/{jobs[0].batch_id}"
    assert sorted(job.name for job in jobs) == ["a.png", "b.png"]
    assert (jobs[0].options.model, jobs[0].options.outscale, jobs[0].options.greyscale) == ("bicubic", 2.0, True)
    assert desk.backstage.work.depth().ready == 2


def test_a_folder_is_handed_off_without_what_is_no_picture(desk):
    (desk.folder / "in").mkdir()
    for name in ("in/a.png", "in/b.jpg"):
        desk.picture(name)
    (desk.folder / "in" / "notes.txt").write_text("no picture")
    assert desk.irss("submit", str(desk.folder / "in"), "--email", "me@example.org") == 0
    assert sorted(job.name for job in jobs_of(desk)) == ["a.png", "b.jpg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png", "--email", "me@example.org"], "Nothing was handed off"),
        (["--email", "nobody"], "address"),
        (["--email", "me@example.org", "--sharpen", "9"], "sharpen is 9.0"),
        (["--email", "me@example.org", "-m", "esrgan9000"], "realesrgan-x4plus"),
    ],
)
def test_what_cannot_be_handed_off_is_said_before_anything_is(desk, arguments, words):
    inputs = [] if arguments[0] == "missing.png" else [desk.picture("a.png")]
    assert desk.irss("submit", *inputs, *arguments) in (1, 2)
    assert words in desk.err
    assert jobs_of(desk) == []
    assert desk.backstage.objects.keys("") == []


def test_clips_alone_take_the_model_for_clips(desk):
    frames = [Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (0, 80, 160)]
    clip = desk.folder / "a.gif"
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=50)
    assert desk.irss("submit", str(clip), "--email", "me@example.org") == 0
    assert jobs_of(desk)[0].options.model == "tecogan-x4"
    assert desk.irss("submit", str(clip), desk.picture("b.png"), "--email", "me@example.org") == 0
    assert {job.options.model for job in jobs_of(desk)} == {"tecogan-x4", "realesrgan-x4plus"}


def meanwhile(desk: Desk, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as a job waits."""

    def watch() -> None:
        for _ in range(1000):
            if desk.backstage.work.depth().ready:
                act()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "_LOOK_EVERY_S", 0.01)


@pytest.mark.usefixtures("_looks_often")
def test_waiting_shows_what_became_of_each_file(desk):
    def bad(job: Job, *_: object) -> None:
        if job.name == "b.png":
            raise CorruptMediaError("It is damaged.")

    desk.stages.at(Stage.VALIDATE, bad)
    thread = meanwhile(desk, desk.work)
    names = [desk.picture("a.png"), desk.picture("b.png")]
    assert desk.irss("submit", *names, "--email", "me@example.org", "-m", "bicubic", "--wait") == 1
    thread.join()
    last = desk.out.splitlines()[-1]
    assert last.split() == ["b.png", "4", "not", "delivered", "It", "is", "damaged."]


@pytest.mark.usefixtures("_looks_often")
def test_waiting_as_json(desk):
    thread = meanwhile(desk, desk.work)
    told = desk.json("submit", desk.picture("a.png"), "--email", "me@example.org", "-m", "bicubic", "--wait", "--json")
    thread.join()
    assert [job["name"] for job in told["jobs"]] == ["a.png"]
    assert told["jobs"][0]["status"] in (2, 3)


@pytest.mark.usefixtures("_looks_often")
def test_ctrl_c_only_stops_the_waiting(desk):
    thread = meanwhile(desk, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert desk.irss("submit", desk.picture("a.png"), "--email", "me@example.org", "--wait") == 130
    thread.join()
    (job,) = jobs_of(desk)
    assert not job.cancel_requested
    assert f"irss jobs show {job.id[:12]}" in desk.err


@pytest.mark.usefixtures("_looks_often")
def test_who_waits_for_nobody_is_told(desk, monkeypatch):
    monkeypatch.setattr(submit, "_NOBODY_AFTER_S", 0.0)
    thread = meanwhile(desk, lambda: (time.sleep(0.1), desk.work())[1])
    assert desk.irss("submit", desk.picture("a.png"), "--email", "me@example.org", "-m", "bicubic", "--wait") == 0
    thread.join()
    assert desk.err.count("if the app does not run here: irss worker") == 1


# worker


def test_a_worker_is_told_one_thing_at_a_time(desk):
    assert desk.irss("worker", "--once", "--until-idle") == 2
    assert "cannot be given together" in desk.err
