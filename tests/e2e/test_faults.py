"""What goes wrong on real machines, with real processes and real sockets: nothing is lost and nothing comes twice."""

from __future__ import annotations

import email
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiosmtpd.controller import Controller
from PIL import Image

from irss_core.config import Settings
from irss_core.jobs.job import Batch, Job, JobStatus, Mail, MailState, begin_attempt, new_id, processed
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.service import JobService
from irss_core.services import build_services
from tests.e2e.fault_workers import EMPTY_STAGES, SETTLED, Orders, running, submit, wait_for, work, work_on_one
from tests.e2e.visitors import free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes with signals")

EVERY_STAGE = JobOptions(model="bicubic", autocontrast=True, sharpen=0.5)
PLACES = (*Stage, SETTLED)


class Site:
    """A data folder, and the service on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.orders = Orders(self.data_dir)
        self.service: JobService = build_services(Settings(data_dir=self.data_dir)).jobs

    def submit(self, *names: str, options: JobOptions = EVERY_STAGE, address: str = "user@example.org") -> list[Job]:
        """One batch; a name with "broken" in it is a damaged file."""
        owner = self.service.sessions.owner_of_address(address)
        uploads = []
        for name in names:
            path = self.folder / name
            pixels = np.random.default_rng(len(name)).integers(0, 256, (24, 32, 3), np.uint8)
            Image.fromarray(pixels).save(path, "PNG")
            if "broken" in name:
                path.write_bytes(path.read_bytes()[:300])
            uploads.append(self.service.add_upload(owner, path, name=name))
        return list(self.service.submit(owner, uploads, options, ip=None).jobs)

    def finished_batch(self) -> Job:
        """A job that is done, and whose mail is to go out."""
        now, job_id, batch_id = time.time(), new_id(), new_id()
        job = Job(job_id, batch_id, "0" * 64, 1, "a.png", f"uploads/{job_id}", 4, JobOptions(), now, now)
        self.service.store.create(Batch(batch_id, "0" * 64, "user@example.org", now, jobs=1, open_jobs=1), [job])
        begun = begin_attempt(job, now=now)
        self.service.store.save(job, begun)
        self.service.settle(begun, processed(begun, now=now))
        return job

    def job(self, job: Job) -> Job:
        return self.service.job(job.id)

    def mail(self, job: Job) -> Mail:
        """The one mail of a job's batch."""
        (mail,) = self.service.store.mails_of_batch(job.batch_id)
        return mail

    def mails(self, job: Job) -> list[EmailMessage]:
        """What of it lies in the outbox."""
        found = [
            email.message_from_bytes(path.read_bytes(), policy=policy.default)
            for path in (self.data_dir / "outbox").glob("*.eml")
        ]
        return [mail for mail in found if mail["Message-ID"] == self.mail(job).message_id]

    def is_quiet(self) -> bool:
        """Whether no message is anywhere but among the dead."""
        depths = (self.service.work.depth(), self.service.mails.depth())
        return not any(depth.ready + depth.delayed + depth.leased for depth in depths)

    def all_delivered(self, jobs: list[Job]) -> bool:
        return all(self.job(job).status is JobStatus.DELIVERED for job in jobs)

    def result(self, job: Job) -> bytes:
        target = self.folder / f"result-{new_id()}"
        self.service.objects.get(self.job(job).outputs["result"], target)
        return target.read_bytes()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# Killed in every stage.


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, dict[str, Job], Job]:
    """A worker for each place, killed there, and two that come after them; all on one database.

    Returns the site, the job that stood at each place, and one that nobody disturbed.
    """
    site = Site(tmp_path_factory.mktemp("killed"))
    submitted = [site.submit("a.png", address=f"{place}@example.org")[0] for place in PLACES]
    markers = {place: site.folder / f"at-{place}" for place in PLACES}
    with ExitStack() as workers:
        for place, marker in markers.items():
            orders = replace(site.orders, lease_s=60.0, stand_still_at=place, marker=marker)
            workers.enter_context(running(work_on_one, orders))
        wait_for(lambda: all(marker.exists() for marker in markers.values()), seconds=90)
    # Leaving the block was kill -9 for all of them.
    at = {place: site.job(next(job for job in submitted if job.id == markers[place].read_text())) for place in PLACES}
    (undisturbed,) = site.submit("a.png", address="undisturbed@example.org")
    offset = site.folder / "offset"
    offset.write_text("61")  # the leases of the dead are over
    with running(work, replace(site.orders, clock_offset=offset), count=2):
        wait_for(lambda: site.all_delivered([*at.values(), undisturbed]) and site.is_quiet(), seconds=90)
    return site, at, undisturbed


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_killed_in_any_stage_costs_nothing_but_time(killed, place):
    site, jobs, undisturbed = killed
    job = site.job(jobs[place])
    assert job.status is JobStatus.DELIVERED
    assert job.attempt == (1 if place in (Stage.DELIVER, SETTLED) else 2)
    assert len(site.mails(job)) == 1
    assert site.result(job) == site.result(undisturbed)
    assert job.facts["sha256"] == site.job(undisturbed).facts["sha256"]


def test_killed_workers_leave_no_half_objects(killed):
    site, jobs, undisturbed = killed
    everything = [*jobs.values(), undisturbed]
    keys = site.service.objects.keys("processed/")
    roles = ("preview", "result", "thumbnail")
    assert sorted(keys) == sorted(site.job(job).outputs[role] for job in everything for role in roles)
    assert site.service.objects.keys("work/") == []
    for key in keys:
        target = site.folder / f"whole-{new_id()}"
        site.service.objects.get(key, target)  # which checks the bytes against their hash


# The same message twice.


def test_a_message_delivered_twice_and_once_more_afterwards_is_one_result_and_one_mail(site):
    (job,) = site.submit("a.png")
    for _ in range(3):
        site.service.work.send(job.id)
    with running(work, site.orders, count=2):
        wait_for(lambda: site.all_delivered([job]) and site.is_quiet())
        finished_at = site.job(job).finished_at
        site.service.work.send(job.id)
        site.service.mails.send(site.mail(job).id)
        wait_for(site.is_quiet)
    assert site.job(job).finished_at == finished_at
    assert len(site.mails(job)) == 1


# Bad files.


def test_one_broken_file_of_ten_is_reported_and_nine_are_done(site):
    names = [f"{number}.png" for number in range(9)]
    jobs = site.submit(*names[:4], "broken.png", *names[4:], options=JobOptions(model="bicubic"))
    with running(work, site.orders, count=2):
        wait_for(lambda: is_told(site, jobs[0]))
    statuses = [site.job(job).status for job in jobs]
    assert statuses.count(JobStatus.DELIVERED) == 9
    assert statuses[4] is JobStatus.NOT_DELIVERED
    (mail,) = site.mails(jobs[0])
    text = mail.get_body(("plain",)).get_content()
    assert "9 of 10" in mail["Subject"]
    assert "broken.png" in text


def is_told(site: Site, job: Job) -> bool:
    """Whether the mail of a job's batch has been sent."""
    return any(mail.state is MailState.SENT for mail in site.service.store.mails_of_batch(job.batch_id))


def test_a_file_that_kills_every_worker_is_given_up_and_its_user_told(site):
    (job,) = site.submit("deadly.png", address="deadly@example.org")
    (healthy,) = site.submit("a.png", address="healthy@example.org")
    orders = replace(site.orders, killed_by="deadly.png", lease_s=0.8, stages=EMPTY_STAGES)
    deaths, deadline = 0, time.monotonic() + 60
    while not is_told(site, job):
        assert time.monotonic() < deadline
        with running(work, orders) as (process,):
            wait_for(lambda: not process.is_alive() or is_told(site, job))
            deaths += not process.is_alive()
    assert deaths == 5
    done = site.job(job)
    assert (done.status, done.error_code, done.attempt) == (JobStatus.NOT_DELIVERED, "attempts-exhausted", 5)
    assert site.service.work.depth().dead == 1
    (mail,) = site.mails(job)
    assert "deadly.png" in mail["Subject"]
    with running(work, replace(site.orders, stages=EMPTY_STAGES)):
        wait_for(lambda: site.all_delivered([healthy]))


# Mail servers.


class MailServer:
    """A handler for aiosmtpd: what arrived, and how it treats what comes."""

    def __init__(self) -> None:
        self.arrived: list[EmailMessage] = []
        self.refuses = False
        self.takes_s = 0.0
        self.drops: list[bool] = []  # for each of the next mails: whether it is kept before the connection drops

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        import asyncio

        keep, drop = (self.drops.pop(0), True) if self.drops else (True, False)
        if keep:
            self.arrived.append(email.message_from_bytes(envelope.content, policy=policy.default))
        if drop:
            server.transport.abort()
        await asyncio.sleep(self.takes_s)
        return "250 taken"


@contextmanager
def serving(handler: MailServer, port: int) -> Iterator[None]:
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@pytest.fixture
def postman(site: Site) -> Iterator[tuple[Site, MailServer, int]]:
    """A worker that mails through a server of ours, which does not listen yet."""
    port = free_port()
    settings = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none", "mail_from": "irss@example.org"}
    with running(work, replace(site.orders, settings=settings)):
        yield site, MailServer(), port


def ended(site: Site, job: Job) -> Callable[[], bool]:
    return lambda: site.mail(job).state in (MailState.SENT, MailState.FAILED) and site.is_quiet()


def test_a_mail_server_that_is_down_for_a_while(postman):
    site, server, port = postman
    job = site.finished_batch()
    wait_for(lambda: site.mail(job).attempt >= 3)
    with serving(server, port):
        wait_for(ended(site, job))
    assert site.job(job).status is JobStatus.DELIVERED
    assert [mail["Message-ID"] for mail in server.arrived] == [site.mail(job).message_id]
    assert not site.mail(job).resent


def test_a_mail_server_that_refuses(postman):
    site, server, port = postman
    server.refuses = True
    job = site.finished_batch()
    with serving(server, port):
        wait_for(ended(site, job))
    assert server.arrived == []
    assert (site.job(job).status, site.job(job).error_code) == (JobStatus.NOT_DELIVERED, "mail-failed")
    assert "550 no such mailbox" in str(site.job(job).error)
    assert site.mail(job).attempt == 1


def test_a_mail_server_that_is_slow(postman):
    """Slower than a lease lasts: it is extended, and nobody else begins."""
    site, server, port = postman
    server.takes_s = 4.0
    job = site.finished_batch()
    with serving(server, port):
        wait_for(ended(site, job))
    assert len(server.arrived) == 1
    assert site.job(job).status is JobStatus.DELIVERED
    assert site.mail(job).attempt == 1


@pytest.mark.parametrize("kept", [True, False])
def test_a_mail_server_that_drops_the_connection_after_the_data(postman, kept):
    site, server, port = postman
    server.drops = [kept]
    job = site.finished_batch()
    with serving(server, port):
        wait_for(ended(site, job))
    assert site.job(job).status is JobStatus.DELIVERED
    assert site.mail(job).resent
    assert {mail["Message-ID"] for mail in server.arrived} == {site.mail(job).message_id}
    assert len(server.arrived) == 1 + kept, "the reader's server tells the copy by its Message-ID"


def test_a_mail_server_that_always_drops_gets_no_third_copy(postman):
    site, server, port = postman
    server.drops = [True] * 10
    job = site.finished_batch()
    with serving(server, port):
        wait_for(ended(site, job))
    assert len(server.arrived) == 2
    assert site.mail(job).state is MailState.FAILED


# Clocks and signals.


@pytest.mark.parametrize("jump_s", [20 * 60, -20 * 60])
def test_a_clock_that_jumps_while_a_job_is_in_work(site, jump_s):
    offset, marker = site.folder / "offset", site.folder / "in-work"
    offset.write_text("0")
    orders = replace(site.orders, clock_offset=offset, stages=EMPTY_STAGES)
    (job,) = site.submit("a.png")
    with ExitStack() as second:
        with running(work, replace(orders, stand_still_at=Stage.UPSCALE, marker=marker)):
            wait_for(marker.exists)
            part = offset.with_suffix(".part")
            part.write_text(str(jump_s))
            part.replace(offset)
            (later,) = site.submit("b.png", address="later@example.org")
            second.enter_context(running(work, orders))
            wait_for(lambda: site.all_delivered([later]))
        # The first one is killed by now, if the second has not taken its job already: its lease seemed to be over.
        wait_for(lambda: site.all_delivered([job, later]) and site.is_quiet())
    assert [len(site.mails(each)) for each in (job, later)] == [1, 1]
    assert site.job(job).attempt == 2


def test_told_to_stop_a_worker_gives_its_message_back_in_under_two_seconds(site):
    (job,) = site.submit("a.png")
    marker, orders = site.folder / "in-work", replace(site.orders, lease_s=60.0, stages=EMPTY_STAGES)
    with running(work, replace(orders, stand_still_at=Stage.UPSCALE, marker=marker)) as (process,):
        wait_for(marker.exists)
        assert site.service.work.depth().leased == 1
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        process.join(10)
        seconds = time.monotonic() - begun
        assert process.exitcode == 0
    assert site.service.work.depth().ready == 1
    assert seconds < 2.0
    with running(work, orders):
        wait_for(lambda: site.all_delivered([job]))
    assert (site.job(job).attempt, len(site.mails(job))) == (2, 1)


def test_a_second_signal_ends_a_worker_at_once(site):
    site.submit("a.png")
    marker, orders = site.folder / "in-work", replace(site.orders, lease_s=60.0, stages=EMPTY_STAGES)
    with running(work, replace(orders, stand_still_at=Stage.UPSCALE, marker=marker)) as (process,):
        wait_for(marker.exists)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        process.join(10)
        assert process.exitcode == 128 + signal.SIGINT


# Many at once.


def test_eight_submitters_and_four_workers_on_one_database(site):
    names = [[f"user{submitter}-{number}" for number in range(4)] for submitter in range(8)]
    picture = site.folder / "picture.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    orders = replace(site.orders, stages=EMPTY_STAGES)
    with running(work, orders, count=4) as workers:
        submitters = [running(submit, orders, picture, mine) for mine in names]
        for each in submitters:
            each.__enter__()
        wait_for(lambda: site.service.store.counts()["3"] == 32 and site.is_quiet())
        os.kill(workers[0].pid, signal.SIGTERM)
        for each in submitters:
            each.__exit__(None, None, None)
    everything = [job for submitter in names for name in submitter for job in jobs_of(site, f"{name}@example.org")]
    assert len(everything) == 32
    assert {job.attempt for job in everything} == {1}
    assert all(site.result(job) == b"the result of " + job.id.encode() for job in everything)
    assert len(list((site.data_dir / "outbox").glob("*.eml"))) == 32
    assert {len(site.service.store.mails_of_batch(job.batch_id)) for job in everything} == {1}


def jobs_of(site: Site, address: str) -> tuple[Job, ...]:
    return site.service.jobs_of(site.service.sessions.owner_of_address(address)).jobs
