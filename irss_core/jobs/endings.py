"""Endings: how jobs end, by a worker, their owner or an operator, and how they begin again."""

from __future__ import annotations

import contextlib

from irss_core.errors import CancelledError, NotFoundError, StoreUnavailableError
from irss_core.jobs.forecast import Speeds
from irss_core.jobs.job import Job, JobStatus, Mail, cancel_asked, cancelled, given_up, redriven
from irss_core.jobs.keys import archive_key, output_key, results_zip_key, work_key
from irss_core.jobs.log import record
from irss_core.jobs.options import Stage
from irss_core.jobs.ports import Clock, JobStore, ObjectStore, Queue

_MANY_DEAD = 1000


class Endings:
    """Writes what becomes of a job, and sends the messages that follow from it.

    All raise ConflictError if the job is no longer as it was given; then nothing was written.
    """

    def __init__(
        self, *, store: JobStore, objects: ObjectStore, work: Queue, mails: Queue, clock: Clock, speeds: Speeds
    ) -> None:
        self._store, self._objects, self._work, self._mails = store, objects, work, mails
        self._clock, self._speeds = clock, speeds

    def settle(self, before: Job, after: Job) -> Mail | None:
        """Write 1 -> 2 or 1 -> 4; if it was the batch's last open job, return the mail, which is on its way."""
        mail = self._store.settle(before, after)
        if mail is not None:
            _send(self._mails, mail.id)
        if after.status is JobStatus.PROCESSED:
            self._note_speed(after)
        return mail

    def cancel(self, job: Job) -> Job:
        """Return the job, ended if it was not begun yet, else with the wish to stop.

        Raises:
            IllegalTransitionError: it is finished.
        """
        if job.cancel_requested or (job.settled and job.error_code == CancelledError.code):
            return job
        after = cancel_asked(job, now=self._clock.now())
        if not job.attempt:
            after = cancelled(after, now=self._clock.now())
            self.settle(job, after)
            return after
        self._store.save(job, after)
        if job.error_code is not None:  # it may be waiting for its next attempt, which it need not do any longer
            _send(self._work, job.id)
        return after

    def give_up(self, job: Job, *, code: str, error: str) -> Job:
        """Return the job that cannot be done, or that its owner wants no more; one that is settled, as it is."""
        if job.settled:
            return job
        now = self._clock.now()
        after = cancelled(job, now=now) if job.cancel_requested else given_up(job, code=code, error=error, now=now)
        self.settle(job, after)
        record("attempt ended", job=after, ending="settled", status=after.status.value, error=after.error_code)
        return after

    def delete(self, job: Job) -> None:
        """Delete a job with all that is its."""
        mail = None
        if not job.settled:
            after = cancelled(job, now=self._clock.now())
            mail = self._store.settle(job, after)
            job = after
        made = [key for prefix in (output_key(job.id, ""), work_key(job.id, "")) for key in self._objects.keys(prefix)]
        for key in (job.input_key, archive_key(job.id), results_zip_key(job.batch_id), *made):
            self._objects.delete(key)
        self._store.forget(job)
        if mail is not None and self._store.mail(mail.id) is not None:  # others of the batch are still to be told of
            _send(self._mails, mail.id)

    def redrive(self, job: Job, status: JobStatus, *, by: str) -> Job:
        """Return the job, sent through again.

        Raises:
            NotFoundError: what it needs for that was deleted since.
            IllegalTransitionError: it is not one that was not delivered.
        """
        after = redriven(job, status, now=self._clock.now())
        anew = status is JobStatus.NOT_PROCESSED
        if self._objects.info(job.input_key if anew else job.outputs["result"]) is None:
            raise NotFoundError(
                f"The {'input' if anew else 'result'} of job {job.short_id} was deleted since. Its owner has to submit "
                "the file again."
            )
        mail = self._store.redrive(job, after, by=by)
        if anew:
            for message in self._work.dead_letters(limit=_MANY_DEAD):
                if message.body == job.id:
                    self._work.discard(message.id)
            _send(self._work, job.id)
        if mail is not None:
            _send(self._mails, mail.id)
        return after

    def _note_speed(self, job: Job) -> None:
        """Remember for forecasts what a job took; one that went on from an earlier attempt says nothing of that."""
        facts, seconds = job.facts, (job.finished_at or 0.0) - (job.started_at or 0.0)
        if job.attempt != 1 or seconds <= 0 or not {"width", "height"} <= facts.keys():
            return
        megapixels = facts["width"] * facts["height"] * (facts.get("frames") or 1) / 1e6
        model = job.options.model if Stage.UPSCALE in job.options.stages else None
        with contextlib.suppress(StoreUnavailableError):
            self._speeds.note(model, megapixels=megapixels, seconds=seconds, now=self._clock.now())


def _send(queue: Queue, body: str) -> None:
    """Send a message for what is written already. If that cannot be done now the sweeper does it later."""
    with contextlib.suppress(StoreUnavailableError):
        queue.send(body)
