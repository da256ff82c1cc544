"""Retention: nothing is kept longer than promised, and nothing that is nobody's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from irss_core.errors import ConflictError, NotFoundError
from irss_core.jobs.job import Job
from irss_core.jobs.uploads import UPLOAD_S

if TYPE_CHECKING:
    from irss_core.jobs.service import JobService

_AT_ONCE = 200  # jobs; the next sweep takes the next ones
_KILLED_S = 3600.0  # a file in the making that nobody touched for that long is of a process that was killed
_OF_JOBS = ("uploads", "archive", "processed", "work")


class Retention:
    """Deletes what is over. Several processes may do so at once.

    Args:
        service: Whose jobs and objects they are.
        scratch: This process's own folder for temporary files; those beside it are of other processes.
        delete_parts: Deletes what writers of objects left that were killed longer ago than so many seconds; by default
            there is nothing of the kind.
        notes: Folders of small files that are of use as long as results are kept.
    """

    def __init__(
        self,
        service: JobService,
        *,
        scratch: Path,
        delete_parts: Callable[[float], int] = lambda _older_than_s: 0,
        notes: Sequence[Path] = (),
    ) -> None:
        self._service, self._scratch, self._delete_parts, self._notes = service, scratch, delete_parts, notes

    def forget_jobs(self) -> int:
        """Delete jobs whose results have been kept long enough, with all that is theirs; return how many."""
        kept_s, forgotten = self._service.limits.keep_results_s, 0
        for job in self._service.store.finished_jobs(before=self._now() - kept_s, limit=_AT_ONCE):
            try:
                self._service.delete(job.id)
                forgotten += 1
            except (NotFoundError, ConflictError):  # another sweep was faster, or an operator has redriven it
                continue
        return forgotten

    def delete_objects(self) -> int:
        """Delete inputs that have been kept long enough, and objects of no job; return how many objects."""
        keys = [key for kind in _OF_JOBS for key in self._service.objects.keys(f"{kind}/") if self._is_over(key)]
        keys += [key for key in self._service.objects.keys("batches/") if self._is_nobodys(key)]
        for key in keys:
            self._service.objects.delete(key)
        return len(keys)

    def delete_files(self) -> int:
        """Delete the temporary files of processes that were killed, and old notes; return how many they were."""
        deleted = self._delete_parts(_KILLED_S)
        killed = [path for path in _untouched(self._scratch.parent, self._now() - _KILLED_S) if path != self._scratch]
        for path in killed:
            shutil.rmtree(path, ignore_errors=True)
        kept_since = self._now() - self._service.limits.keep_results_s
        over = [path for folder in self._notes for path in _untouched(folder, kept_since)]
        for path in over:
            path.unlink(missing_ok=True)
        return deleted + len(killed) + len(over)

    def keep_scratch(self) -> None:
        """Show others that this process lives."""
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.utime(self._scratch)

    def _is_over(self, key: str) -> bool:
        kind, job_id = key.split("/")[:2]
        job = self._service.store.job(job_id)
        if job is None:
            return kind != "uploads" or self._is_left(key)
        if not job.settled or kind == "processed":
            return False
        return kind == "work" or self._input_is_over(job)

    def _input_is_over(self, job: Job) -> bool:
        return job.finished_at is not None and job.finished_at < self._now() - self._service.limits.keep_inputs_s

    def _is_left(self, key: str) -> bool:
        """Whether an upload can no longer become a job's input."""
        info = self._service.objects.info(key)
        return info is not None and info.modified_at < self._now() - UPLOAD_S

    def _is_nobodys(self, key: str) -> bool:
        return self._service.store.batch(key.split("/")[1]) is None

    def _now(self) -> float:
        return self._service.clock.now()


def _untouched(folder: Path, since: float) -> list[Path]:
    """Return what lies in a folder and was last written before that time."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # deleted by another sweep just now
            if path.stat().st_mtime < since:
                found.append(path)
    return found
