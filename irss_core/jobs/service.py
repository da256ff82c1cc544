"""JobService: everything that can be asked of jobs, whoever asks: the app, the API, the command line, the worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from irss_core.errors import (
    ConflictError,
    IllegalTransitionError,
    NotFoundError,
)
from irss_core.jobs.codes import Codes
from irss_core.jobs.endings import Endings
from irss_core.jobs.forecast import FileFacts, Speeds, SubmissionForecast, forecast_submission
from irss_core.jobs.identity import Owner, Sessions
from irss_core.jobs.job import Batch, Job, JobStatus, Mail
from irss_core.jobs.keys import archive_key
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.names import result_name, shown_name
from irss_core.jobs.options import JobOptions
from irss_core.jobs.ports import Clock, JobStore, Mailer, ObjectInfo, ObjectStore, Page, Queue, Records
from irss_core.jobs.results_zip import ResultsZips
from irss_core.jobs.submission import Submission, Submissions
from irss_core.jobs.uploads import Upload, Uploads, is_id

DOWNLOAD_S = 5 * 60.0
ORIGINAL = "original"
"""The role of the file that was handed in; it is kept less long than the results."""

_MOST_LISTED = 200
_ROUNDS = 10  # of writes that others came before
_T = TypeVar("_T")


class JobService:
    """Jobs from their upload to their deletion, over the ports.

    Args:
        address: how others reach this service.
        sender: of the mails.
        scratch: a folder for zips in the making; by default the system's.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        objects: ObjectStore,
        records: Records,
        work: Queue,
        mails: Queue,
        mailer: Mailer,
        clock: Clock,
        sessions: Sessions,
        limits: JobLimits,
        address: str,
        sender: str,
        scratch: Path | None = None,
    ) -> None:
        self.store, self.objects, self.records = store, objects, records
        self.work, self.mails, self.mailer = work, mails, mailer
        self.clock, self.sessions, self.limits = clock, sessions, limits
        self.address, self.sender = address, sender
        self._speeds = Speeds(records)
        self._endings = Endings(store=store, objects=objects, work=work, mails=mails, clock=clock, speeds=self._speeds)
        self._codes = Codes(records=records, mailer=mailer, clock=clock, sessions=sessions, sender=sender)
        self._uploads = Uploads(objects=objects, records=records, clock=clock, limits=limits)
        self._zips = ResultsZips(
            objects=objects, records=records, clock=clock, kept_s=limits.keep_results_s, scratch=scratch
        )
        self._submissions = Submissions(
            store=store,
            objects=objects,
            records=records,
            work=work,
            clock=clock,
            sessions=sessions,
            limits=limits,
            uploads=self._uploads,
            scratch=scratch,
        )

    # Who asks.

    def request_code(self, address: str, *, ip: str | None) -> float:
        """Mail a code to an address and return how many seconds it is good for; raises as ``Codes.send``.

        Raises:
            InvalidOptionError: not an address.
        """
        return self._codes.send(self.sessions.owner_of_address(address), ip=ip)

    def confirm_code(self, address: str, code: str) -> str:
        """Return the token of a session for who got the code; raises as ``Codes.use``."""
        owner = self.sessions.owner_of_address(address)
        self._codes.use(owner, code)
        return self.sessions.token(owner)

    # Files in.

    def begin_upload(
        self,
        owner: Owner,
        *,
        name: str,
        size_bytes: int,
        content_type: str,
        order: JobOptions | None = None,
        ip: str | None = None,
    ) -> Upload:
        """Return a form that takes one file.

        Args:
            order: what is done with the file as soon as it is here; its job then has the upload's id. See ``arrived``.
            ip: where such an order came from, if that is known and counts.

        Raises:
            InputError: as ``Uploads.begin``.
            UnknownModelError, RateLimitedError: as ``submit``; of an order.
        """
        if order is not None:
            self._submissions.order(owner, order, ip=ip)
        return self._uploads.begin(owner, name=name, size_bytes=size_bytes, content_type=content_type, order=order)

    def arrived(self, upload_id: str) -> Submission | None:
        """Return what an upload became whose file has just come, None if nothing was ordered with it."""
        return self._submissions.of_arrival(upload_id)

    def add_upload(self, owner: Owner, source: Path, *, name: str) -> str:
        """Take in a file that is on this machine and return its upload's id; raises as ``Uploads.add``."""
        return self._uploads.add(owner, source, name=name)

    def submit(
        self,
        owner: Owner,
        uploads: Sequence[str],
        options: JobOptions,
        *,
        ip: str | None,
        idempotency_key: str | None = None,
    ) -> Submission:
        """Return the batch that uploads became, one job a file, zips unpacked; raises as ``Submissions.submit``."""
        return self._submissions.submit(owner, uploads, options, ip=ip, key=idempotency_key)

    def forecast(self, files: Sequence[FileFacts], options: JobOptions) -> SubmissionForecast:
        """Return about what these files will take, from what jobs took here and what is waiting before them.

        Raises:
            UnknownModelError: there is no such model.
        """
        speed, usual = self._speeds.of(options.model), self._speeds.of_all()
        return forecast_submission(files, options, speed=speed, usual=usual, ahead=self.work.depth())

    # Jobs and results out.

    def job(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            NotFoundError: there is none of that id.
        """
        job = self.store.job(job_id) if is_id(job_id) else None
        if job is None:
            raise NotFoundError("There is no job of that id. It may have been deleted; results are not kept for ever.")
        return job

    def batch(self, batch_id: str) -> tuple[Batch, list[Job]]:
        """Return the batch and its jobs by their number.

        Raises:
            NotFoundError: there is none of that id.
        """
        batch = self.store.batch(batch_id) if is_id(batch_id) else None
        if batch is None:
            raise NotFoundError(
                "There is no submission of that id. It may have been deleted; results are not kept for ever."
            )
        return batch, self.store.jobs_of_batch(batch_id)

    def jobs_of(self, owner: Owner, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Return some of the owner's jobs, newest first.

        Raises:
            InvalidOptionError: not a cursor of this owner's listing.
        """
        return self.store.jobs_of_owner(owner.key, limit=min(max(limit, 1), _MOST_LISTED), cursor=cursor)

    def download_url(self, job: Job, role: str) -> str:
        """Return an address, good for 5 minutes, that gives one of the job's outputs, or what was handed in.

        Raises:
            NotFoundError: it is not there yet, or not any more.
        """
        info = self._object_of(job, role)
        if info is None:
            raise NotFoundError(
                f"{job.name} has no {role} to download: it is not there yet, or was deleted. Look at the job's status."
            )
        name = shown_name(job.name) if role == ORIGINAL else result_name(job, role, info.content_type)
        return self.objects.download_url(info.key, filename=name, expires_in_s=DOWNLOAD_S)

    def results_zip_url(self, batch_id: str) -> str:
        """Return an address, good for 5 minutes, that gives all results of a batch as one zip, made if need be.

        Raises:
            NotFoundError: there is no such batch, or no result in it.
        """
        key = self._zips.stored(*self.batch(batch_id))
        return self.objects.download_url(key, filename="irss-results.zip", expires_in_s=DOWNLOAD_S)

    # Ending, by the worker, the owner or an operator.

    def settle(self, before: Job, after: Job) -> Mail | None:
        """Write 1 -> 2 or 1 -> 4, and return the batch's mail if this was its last open job; as ``Endings.settle``."""
        return self._endings.settle(before, after)

    def give_up(self, job_id: str, *, code: str, error: str) -> Job:
        """Return the job that cannot be done, 1 -> 4, with words for its owner; one that is settled, as it is.

        Raises:
            NotFoundError: there is no such job.
        """
        return self._retried(job_id, lambda job: self._endings.give_up(job, code=code, error=error))

    def cancel(self, job_id: str) -> Job:
        """Return the job that its owner wants no more: ended if it was not begun yet, else asked to stop.

        Raises:
            NotFoundError: there is no such job. IllegalTransitionError: it is finished.
        """
        return self._retried(job_id, self._endings.cancel)

    def cancel_batch(self, batch_id: str) -> list[Job]:
        """Return a batch's jobs, each of which that was not finished is cancelled as ``cancel`` does.

        Raises:
            NotFoundError: there is no such batch.
        """
        for job in self.batch(batch_id)[1]:
            with contextlib.suppress(NotFoundError, IllegalTransitionError):  # deleted or finished just now
                self.cancel(job.id)
        return self.store.jobs_of_batch(batch_id)

    def delete(self, job_id: str) -> None:
        """Delete a job with all that is its: at once, whoever works on it, whose writes are refused from then on.

        Raises:
            NotFoundError: there is no such job.
        """
        self._retried(job_id, self._endings.delete)

    def redrive(self, job_id: str, status: JobStatus, *, by: str) -> Job:
        """Return the job that an operator sends through again: to 1 to be computed anew, to 2 to be mailed again.

        Raises:
            NotFoundError: there is no such job, or what it needs for that was deleted since.
            IllegalTransitionError: it is not one that was not delivered.
        """
        return self._retried(job_id, lambda job: self._endings.redrive(job, status, by=by))

    def _retried(self, job_id: str, change: Callable[[Job], _T]) -> _T:
        """Return what the change gives, begun anew from the job as it is now whenever somebody else was faster."""
        for _ in range(_ROUNDS):
            try:
                return change(self.job(job_id))
            except IllegalTransitionError:
                raise
            except ConflictError:
                continue
        raise ConflictError("Others are changing this job all the time just now. Try again in a minute.")

    def _object_of(self, job: Job, role: str) -> ObjectInfo | None:
        if role == ORIGINAL:
            keys = [job.input_key, archive_key(job.id)]
        elif role == "result" and not job.settled:  # not checked yet
            keys = []
        else:
            keys = [job.outputs[role]] if role in job.outputs else []
        return next((info for key in keys if (info := self.objects.info(key)) is not None), None)
