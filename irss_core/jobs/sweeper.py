"""Sweeper: finds what nobody holds any more, and sets it going again or ends it."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from irss_core.errors import ConflictError
from irss_core.jobs.attempt import EXHAUSTED
from irss_core.jobs.job import Job, Mail, MailState, given_up, mail_answered, mail_sending
from irss_core.jobs.log import record
from irss_core.jobs.ports import Message, Queue

if TYPE_CHECKING:
    from irss_core.jobs.retention import Retention
    from irss_core.jobs.service import JobService

_MANY = 1000
_THOROUGH_EVERY_S = 3600.0


@dataclass(frozen=True)
class SweepReport:
    """What a sweep found and did, in numbers."""

    jobs_sent_again: int = 0
    jobs_given_up: int = 0
    mails_sent_again: int = 0
    mails_given_up: int = 0
    jobs_forgotten: int = 0
    records_expired: int = 0
    objects_deleted: int = 0
    files_deleted: int = 0


class Sweeper:
    """Sweeps whenever it is called; several may do so at once, in several processes.

    A job or mail can lose its message when a process is killed between writing the one and sending the other. That is
    so when the queue holds fewer messages than there are jobs to do: then those that nobody has touched for
    ``stale_after_s`` get another one, once in that time. A message too many does no harm.
    """

    def __init__(self, service: JobService, *, retention: Retention, stale_after_s: float = 300.0) -> None:
        self._service, self._retention, self._stale_after_s = service, retention, stale_after_s
        self._thorough_at = 0.0

    def sweep(self) -> SweepReport:
        """Sweep, and return what was done; once an hour also through all objects and files."""
        self._retention.keep_scratch()
        thorough = time.monotonic() >= self._thorough_at
        if thorough:
            self._thorough_at = time.monotonic() + _THOROUGH_EVERY_S
        report = SweepReport(
            jobs_given_up=self._give_up_dead_jobs(),
            mails_given_up=self._give_up_dead_mails(),
            jobs_sent_again=self._send_jobs_again(),
            mails_sent_again=self._send_mails_again(),
            jobs_forgotten=self._retention.forget_jobs(),
            records_expired=self._service.records.expire(),
            objects_deleted=self._retention.delete_objects() if thorough else 0,
            files_deleted=self._retention.delete_files() if thorough else 0,
        )
        done = {each.name: count for each in fields(report) if (count := getattr(report, each.name))}
        if done:
            record("swept", **done)
        return report

    def _give_up_dead_jobs(self) -> int:
        """Settle the jobs whose message is dead. The message stays for the operator, until the job is redriven."""
        done = 0
        for message in self._service.work.dead_letters(limit=_MANY):
            job = self._service.store.job(message.body)
            if job is None:
                self._service.work.discard(message.id)
            elif not job.settled:
                done += self._give_up(job, message)
        return done

    def _give_up(self, job: Job, message: Message) -> bool:
        told = f"Given up: {message.deliveries} attempts were begun and none came to its end."
        reason = f"The last one stopped at the stage {job.stage}; its program was ended, perhaps for want of memory."
        if job.error is not None:
            reason = f"What was said last: {job.error}"
        after = given_up(job, code=EXHAUSTED, error=f"{told} {reason}", now=self._now())
        try:
            self._service.settle(job, after)
        except ConflictError:  # somebody has it after all, with another message
            return False
        record("job given up", job=job)
        return True

    def _give_up_dead_mails(self) -> int:
        """End the mails that took down five workers in a row before they were even handed to a server."""
        done = 0
        for message in self._service.mails.dead_letters(limit=_MANY):
            mail = self._service.store.mail(message.body)
            if mail is None:
                self._service.mails.discard(message.id)
            elif mail.state is MailState.PENDING:
                done += self._fail_mail(mail)
        return done

    def _fail_mail(self, mail: Mail) -> bool:
        sending = mail_sending(mail, now=self._now())
        failed = mail_answered(sending, MailState.FAILED, answer="The mail could not be put together.", now=self._now())
        try:
            self._service.store.save_mail(mail, sending)
            self._service.store.save_mail(sending, failed)
        except ConflictError:
            return False
        record("mail given up", mail=mail.id)
        return True

    def _send_jobs_again(self) -> int:
        if _messages(self._service.work) >= self._service.store.counts()["1"]:
            return 0
        stale = self._service.store.unsettled_jobs(not_updated_since=self._now() - self._stale_after_s, limit=_MANY)
        return sum(self._send_again(self._service.work, job.id) for job in stale)

    def _send_mails_again(self) -> int:
        counts = self._service.store.counts()
        if _messages(self._service.mails) >= counts[MailState.PENDING] + counts[MailState.SENDING]:
            return 0
        stale = self._service.store.open_mails(not_updated_since=self._now() - self._stale_after_s, limit=_MANY)
        return sum(self._send_again(self._service.mails, mail.id) for mail in stale)

    def _send_again(self, queue: Queue, body: str) -> bool:
        over_at = self._now() + self._stale_after_s
        if not self._service.records.put(f"sent-again:{body}", "", expires_at=over_at):
            return False
        queue.send(body)
        return True

    def _now(self) -> float:
        return self._service.clock.now()


def _messages(queue: Queue) -> int:
    depth = queue.depth()
    return depth.ready + depth.delayed + depth.leased
