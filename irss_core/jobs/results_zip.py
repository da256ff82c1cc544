"""All results of a batch as one zip with a manifest: the same bytes whenever the same jobs are packed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from irss_core.errors import NotFoundError
from irss_core.jobs.job import Batch, Job
from irss_core.jobs.keys import results_zip_key
from irss_core.jobs.names import result_name
from irss_core.jobs.ports import Clock, ObjectInfo, ObjectStore, Records
from irss_core.jobs.scratch import scratch_folder
from irss_core.jobs.words import STATUS_WORDS
from irss_core.media.zips import free_name

MANIFEST = "manifest.csv"
_COLUMNS = ("number", "file", "status", "result", "width", "height", "seconds", "error")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say: the time of packing would make each packing another
_REGULAR_FILE = 0o100644 << 16
_ON_UNIX = 3
_FORMULA = tuple("=+-@＝＋－＠")
_CHUNK_BYTES = 1 << 20


class ResultsZips:
    """The zips of batches: made when somebody asks, and kept until something in the batch changes."""

    def __init__(
        self, *, objects: ObjectStore, records: Records, clock: Clock, kept_s: float, scratch: Path | None
    ) -> None:
        self._objects, self._records, self._clock = objects, records, clock
        self._kept_s, self._scratch = kept_s, scratch

    def stored(self, batch: Batch, jobs: Sequence[Job]) -> str:
        """Return the key of a batch's zip, which is there and has what the jobs are now.

        Raises:
            NotFoundError: there is no result in the batch.
        """
        key, record = results_zip_key(batch.id), f"results-zip:{batch.id}"
        content, noted, info = _content_of(jobs), self._records.get(record), self._objects.info(key)
        # With the bytes' own digest: of two that make different zips, one may store its bytes and the other its note.
        if info is None or noted != f"{content} {info.sha256}":
            with scratch_folder(self._scratch, purpose="to zip the results") as folder:
                write_results_zip(folder / "results.zip", jobs, self._objects)
                info = self._objects.put(key, folder / "results.zip", content_type="application/zip")
            over_at = self._clock.now() + self._kept_s
            self._records.put(record, f"{content} {info.sha256}", expires_at=over_at, replacing=noted)
        return key


def write_results_zip(target: Path, jobs: Sequence[Job], objects: ObjectStore) -> None:
    """Write the results there are of a batch's jobs, by their number, and a manifest of all of them.

    Beside the target there is one of the results at a time meanwhile.

    Raises:
        NotFoundError: there is none.
    """
    taken, rows, fetched = {MANIFEST}, [], target.with_name("result")
    with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED) as archive:  # results are compressed already
        for job in jobs:
            info = _fetch(job, objects, fetched)
            name = free_name(result_name(job, "result", info.content_type), taken) if info else ""
            if info:
                entry = _entry(name, info.size_bytes)
                with fetched.open("rb") as source, archive.open(entry, "w") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK_BYTES)
                fetched.unlink()
            rows.append(_row(job, name))
        if len(taken) == 1:
            raise NotFoundError(
                "There is no result in this submission: none is finished yet, all failed, or they were deleted since."
            )
        archive.writestr(_entry(MANIFEST, 0), _csv(rows))


def _content_of(jobs: Sequence[Job]) -> str:
    """Return a text that is another one whenever the zip of these jobs would be."""
    facts = [[job.id, job.outputs.get("result"), _row(job, "")] for job in jobs]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


def _fetch(job: Job, objects: ObjectStore, target: Path) -> ObjectInfo | None:
    """Write a job's result to a file and return its facts, or None if there is none any more or yet."""
    key = job.outputs.get("result")
    if key is None or not job.settled:
        return None
    try:
        return objects.get(key, target)
    except NotFoundError:
        return None


def _entry(name: str, size_bytes: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.create_system, entry.external_attr = _ON_UNIX, _REGULAR_FILE
    entry.file_size = size_bytes  # what decides on the form for more than 2 GB
    return entry


def _row(job: Job, result: str) -> list[object]:
    facts = job.facts
    size = [facts.get("result_width"), facts.get("result_height")]
    return [job.number, job.name, STATUS_WORDS[job.status], result, *size, facts.get("seconds"), job.error]


def _csv(rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return "\ufeff" + stream.getvalue()  # by which spreadsheets know UTF-8


def _cell(value: object) -> object:
    """Return the value as a spreadsheet only shows it: a text that looks like a formula could be run there."""
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(_FORMULA) else value
