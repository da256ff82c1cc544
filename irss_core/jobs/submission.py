"""Submissions: from uploads to a batch of jobs, one a file, whole or not at all, and once whatever is asked twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from irss_core.errors import (
    ConflictError,
    InvalidOptionError,
    IrssError,
    LimitExceededError,
    NotFoundError,
    ResourceError,
    StoreUnavailableError,
)
from irss_core.jobs.identity import Owner, Sessions
from irss_core.jobs.job import Batch, Job, new_id
from irss_core.jobs.keys import upload_key
from irss_core.jobs.limits import JobLimits, admit_submission, network_of
from irss_core.jobs.names import shown_name
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.ports import Clock, JobStore, ObjectStore, Queue, Records
from irss_core.jobs.scratch import scratch_folder
from irss_core.jobs.uploads import Arrived, Uploads, content_type_of, is_id
from irss_core.media.zips import unpack
from irss_core.sr.catalog import find_model

IDEMPOTENCY_S = 24 * 3600.0
_MAX_KEY = 255


@dataclass(frozen=True)
class Submission:
    """What was handed off. ``created`` is False if it was there: the same request came with the same key before."""

    batch: Batch
    jobs: tuple[Job, ...]
    created: bool


class Submissions:
    """Takes uploads and makes jobs of them.

    A job's id is its upload's, or follows from its zip's and its place in that. So of two requests for the same uploads
    one succeeds, and one that was broken off can be made again.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        objects: ObjectStore,
        records: Records,
        work: Queue,
        clock: Clock,
        sessions: Sessions,
        limits: JobLimits,
        uploads: Uploads,
        scratch: Path | None,
    ) -> None:
        self._store, self._objects, self._records, self._work = store, objects, records, work
        self._clock, self._sessions, self._limits = clock, sessions, limits
        self._uploads, self._scratch = uploads, scratch

    def submit(
        self, owner: Owner, upload_ids: Sequence[str], options: JobOptions, *, ip: str | None, key: str | None
    ) -> Submission:
        """Return the batch of jobs that the uploads became.

        Args:
            ip: where the request came from, if that is known and counts.
            key: names the request for a day: made again under it, it returns what came of it.

        Raises:
            NotFoundError: an upload that is not there, or not the owner's. InputError: one that cannot be taken, no
                uploads, too many, or options that cannot be. UnknownModelError: no such model.
            RateLimitedError: too many submissions.
            ConflictError: an upload was submitted before, or the key came with another request.
        """
        self._check(upload_ids, options)
        if key is None:
            return self._make(new_id(), owner, upload_ids, options, ip)
        batch_id = self._batch_of_request(owner, key, upload_ids, options)
        try:
            return self._made(batch_id) or self._make(batch_id, owner, upload_ids, options, ip)
        except IrssError:
            made = self._made(batch_id)  # by the same request, which came at the same time and was faster
            if made is None:
                raise
            return made

    def order(self, owner: Owner, options: JobOptions, *, ip: str | None) -> None:
        """Count a submission that is made of a file as soon as that is here: who orders it is then no longer there.

        Raises:
            UnknownModelError, InvalidOptionError, RateLimitedError: as ``submit``.
        """
        check_options(options)
        self._admit(owner, ip)

    def of_arrival(self, upload_id: str) -> Submission | None:
        """Return what became of a file that is here, if it was ordered with it; told twice, it is made once.

        Raises:
            InputError: the file cannot be taken.
        """
        ordered = self._uploads.order(upload_id) if is_id(upload_id) else None
        if ordered is None:
            return None
        owner, options = ordered
        with contextlib.suppress(ConflictError):  # told twice at once
            return self._create(new_id(), owner, [self._arrived(owner, upload_id)], options)
        return None

    def _make(
        self, batch_id: str, owner: Owner, upload_ids: Sequence[str], options: JobOptions, ip: str | None
    ) -> Submission:
        arrived = [self._arrived(owner, upload_id) for upload_id in upload_ids]
        self._admit(owner, ip)
        return self._create(batch_id, owner, arrived, options)

    def _admit(self, owner: Owner, ip: str | None) -> None:
        network = None if ip is None else self._sessions.seal(f"network:{network_of(ip)}")
        admit_submission(
            owner,
            network=network,
            limits=self._limits,
            store=self._store,
            records=self._records,
            now=self._clock.now(),
        )

    def _create(self, batch_id: str, owner: Owner, arrived: Sequence[Arrived], options: JobOptions) -> Submission:
        files, now = self._files(arrived), self._clock.now()
        batch = Batch(batch_id, owner.key, owner.address, now, jobs=len(files), open_jobs=len(files))
        jobs = tuple(
            Job(
                id=file.id,
                batch_id=batch_id,
                owner=owner.key,
                number=number,
                name=file.name,
                input_key=upload_key(file.id),
                input_bytes=file.size_bytes,
                options=options,
                created_at=now,
                updated_at=now,
            )
            for number, file in enumerate(files, start=1)
        )
        try:
            self._store.create(batch, jobs)
        except ConflictError:
            raise _submitted_before() from None
        # From here on the submission is taken: what cannot be done now the sweeper makes good.
        with contextlib.suppress(StoreUnavailableError):
            for job in jobs:
                self._work.send(job.id)
        with contextlib.suppress(ResourceError):
            self._clear(arrived)
        return Submission(batch, jobs, created=True)

    def _check(self, upload_ids: Sequence[str], options: JobOptions) -> None:
        """Refuse what can be known without looking at anything that is stored."""
        if not upload_ids:
            raise InvalidOptionError("Nothing was handed in. Upload a picture, a clip or a zip of them, and name it.")
        if len(upload_ids) > self._limits.max_files:
            raise self._too_many(len(upload_ids))
        if len(set(upload_ids)) < len(upload_ids):
            raise InvalidOptionError("An upload is named twice. Name each once, or upload the file twice.")
        check_options(options)

    def _arrived(self, owner: Owner, upload_id: str) -> Arrived:
        try:
            return self._uploads.arrived(owner, upload_id)
        except NotFoundError:
            job = self._store.job(upload_id) if is_id(upload_id) else None
            if job is not None and job.owner == owner.key:
                raise _submitted_before() from None
            raise

    def _files(self, arrived: Sequence[Arrived]) -> list[Arrived]:
        """Return the uploads with each zip replaced by what was in it, stored file by file."""
        most = self._limits.max_files - sum(not each.is_zip for each in arrived)
        files: list[Arrived] = []
        for each in arrived:
            inner = self._unpacked(each, max_files=most) if each.is_zip else [each]
            most -= len(inner) if each.is_zip else 0
            files += inner
        return files

    def _unpacked(self, upload: Arrived, *, max_files: int) -> list[Arrived]:
        if max_files < 1:
            raise self._too_many(self._limits.max_files + 1)
        files = []
        with scratch_folder(self._scratch, purpose=f"to unpack {upload.name}") as folder:
            packed = folder / "packed"
            self._objects.get(upload_key(upload.id), packed)
            unpacked = unpack(
                packed,
                folder / "files",
                max_bytes=self._limits.max_clip_bytes,
                max_files=max_files,
                name=upload.name,
            )
            for number, (name, path) in enumerate(unpacked.files):
                file = Arrived(_member_id(upload.id, number), shown_name(name), path.stat().st_size)
                self._objects.put(upload_key(file.id), path, content_type=content_type_of(name))
                path.unlink()
                files.append(file)
        return files

    def _clear(self, arrived: Sequence[Arrived]) -> None:
        for each in arrived:
            if each.is_zip:
                self._objects.delete(upload_key(each.id))
            self._uploads.forget(each.id)

    def _batch_of_request(self, owner: Owner, key: str, upload_ids: Sequence[str], options: JobOptions) -> str:
        """Return the id of the batch that the request under this key makes, or made."""
        if not key.isprintable() or not 1 <= len(key) <= _MAX_KEY:
            raise InvalidOptionError(f"An Idempotency-Key has 1 to {_MAX_KEY} printable characters. Take a random one.")
        record = f"submission:{self._sessions.seal(f'{owner.key}:{key}')}"
        wanted = json.dumps([list(upload_ids), options.to_dict()], sort_keys=True)
        request = hashlib.sha256(wanted.encode()).hexdigest()
        batch_id = new_id()
        over_at = self._clock.now() + IDEMPOTENCY_S
        if self._records.put(record, f"{request} {batch_id}", expires_at=over_at):
            return batch_id
        seen, _, batch_id = (self._records.get(record) or "").partition(" ")
        if seen != request:
            raise ConflictError(
                "This Idempotency-Key came with another submission within 24 hours. Take a new key for a new one."
            )
        return batch_id

    def _made(self, batch_id: str) -> Submission | None:
        batch = self._store.batch(batch_id)
        if batch is None:
            return None
        return Submission(batch, tuple(self._store.jobs_of_batch(batch_id)), created=False)

    def _too_many(self, count: int) -> LimitExceededError:
        return LimitExceededError(
            f"These are {count} files or more; at most {self._limits.max_files} are taken at once. Submit fewer, or "
            "raise IRSS_MAX_BATCH_FILES."
        )


def check_options(options: JobOptions) -> None:
    """Pass options that their model can follow; nothing is loaded for it.

    Raises:
        UnknownModelError: there is no such model. InvalidOptionError: it takes no denoise strength.
    """
    if Stage.UPSCALE not in options.stages:
        return
    spec = find_model(options.model)
    if options.model_denoise is not None and not spec.has_denoise:
        raise InvalidOptionError(
            f"model_denoise is {options.model_denoise}, but {spec.name} takes no denoise strength. Leave it out, or "
            "take realesr-general-x4v3."
        )


def _member_id(upload_id: str, number: int) -> str:
    """Return the id of a file of a zip: as secret as the zip's, which is random, and the same in every attempt."""
    return hashlib.sha256(f"{upload_id}/{number}".encode()).hexdigest()


def _submitted_before() -> ConflictError:
    return ConflictError(
        "One of these uploads was submitted before. Look at its job, or upload the file again to submit it anew."
    )
