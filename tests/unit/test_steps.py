"""The pipeline's steps as a state machine runs them: one at a time, each perhaps twice, some beside each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from irss_core.errors import CancelledError, ConflictError, CorruptMediaError
from irss_core.jobs import steps
from irss_core.jobs.attempt import EXHAUSTED
from irss_core.jobs.job import Job, JobStatus
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs.stages import Changes
from irss_core.jobs.steps import OF_WORKERS, Failure, failure_of, told_whole
from tests.made_jobs import Backstage, Stages


class Machine:
    """A job, and a state machine's way through its steps."""

    def __init__(self, folder: Path, options: JobOptions | None = None) -> None:
        self.backstage = Backstage(folder)
        self.stages = Stages(self.backstage)
        (self.made,) = self.backstage.batch(options=options)
        self.attempt = 0

    @property
    def job(self) -> Job:
        return self.backstage.job(self.made)

    def begin(self) -> dict[str, Any]:
        plan = steps.begin(self.backstage.service, self.made.id)
        self.attempt = plan["attempt"]
        return plan

    def run(self, stage: Stage, function: Any = None) -> dict[str, Any]:
        return steps.run_stage(
            self.backstage.service,
            self.backstage.workshop,
            self.made.id,
            attempt=self.attempt,
            stage=stage,
            function=function or self.stages[stage],
        )

    def archive(self, changes: Any, function: Any = None) -> dict[str, Any]:
        return steps.archive(
            self.backstage.service,
            self.backstage.workshop,
            self.made.id,
            attempt=self.attempt,
            function=function or self.stages[Stage.ARCHIVE],
            changes=changes,
        )

    def commit(self) -> dict[str, Any]:
        return steps.commit(self.backstage.service, self.made.id, attempt=self.attempt)

    def fail(self, failure: Failure) -> dict[str, Any]:
        return steps.fail(self.backstage.service, self.made.id, failure)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_job_goes_through_its_steps_to_the_mail(machine):
    plan = machine.begin()
    assert plan == {"job_id": machine.made.id, "attempt": 1, "lane": "function", "changes_picture": True}
    for stage in (Stage.VALIDATE, Stage.METADATA, Stage.UPSCALE):
        assert machine.run(stage) == {"job_id": machine.made.id, "attempt": 1, "changes": None}
        assert machine.job.stage is stage
    beside = machine.run(Stage.THUMBNAIL)["changes"]
    machine.archive(json.loads(json.dumps(beside)))
    assert machine.commit() == {"job": machine.made.short_id, "status": 2, "code": None}
    assert [stage for _, stage in machine.stages.called][-2:] == [Stage.THUMBNAIL, Stage.ARCHIVE]
    assert machine.job.status is JobStatus.PROCESSED
    assert machine.backstage.mails.depth().ready == 1


def test_what_runs_beside_the_others_writes_nothing_and_loses_nothing(machine):
    machine.begin()
    stored = {"result": {"size_bytes": 1, "sha256": "aa"}}

    def thumbnail(job: Job, *_: Any, **__: Any) -> Changes:
        upscaled = Changes({"result": "processed/x/result"}, {"stored": stored, "seconds": 2})
        machine.run(Stage.UPSCALE, lambda *_, **__: upscaled)
        return Changes({"preview": "processed/x/preview"}, {"stored": {"preview": {"size_bytes": 2, "sha256": "bb"}}})

    beside = machine.run(Stage.THUMBNAIL, thumbnail)["changes"]
    assert "preview" not in machine.job.outputs
    machine.archive(beside, lambda *_, **__: Changes())
    assert dict(machine.job.outputs) == {"result": "processed/x/result", "preview": "processed/x/preview"}
    assert machine.job.facts["seconds"] == 2
    assert machine.job.facts["stored"] == {**stored, "preview": {"size_bytes": 2, "sha256": "bb"}}


def test_an_attempt_that_was_overtaken_does_nothing(machine):
    machine.begin()
    old = machine.attempt
    machine.begin()
    machine.attempt = old
    called = len(machine.stages.called)
    for step in (lambda: machine.run(Stage.VALIDATE), lambda: machine.archive(None), machine.commit):
        with pytest.raises(ConflictError):
            step()
    assert len(machine.stages.called) == called
    assert machine.job.status is JobStatus.NOT_PROCESSED


def test_committed_twice_it_is_one_mail(machine):
    machine.begin()
    assert machine.commit() == machine.commit()
    assert len(machine.backstage.store.mails_of_batch(machine.made.batch_id)) == 1


def test_a_job_that_is_settled_is_not_begun(machine):
    machine.fail(Failure("corrupt-media", "It is damaged."))
    with pytest.raises(ConflictError):
        machine.begin()


def test_a_failed_job_tells_its_owner_why_and_only_once(machine):
    machine.begin()
    told = machine.fail(Failure("corrupt-media", "It is damaged."))
    assert told == {"job": machine.made.short_id, "status": 4, "code": "corrupt-media"}
    assert machine.fail(Failure("unexpected", "Something else.")) == told
    assert machine.job.error == "It is damaged."
    assert machine.backstage.mails.depth().ready == 1


def test_a_job_that_was_deleted_needs_no_end(machine):
    machine.begin()
    machine.backstage.service.delete(machine.made.id)
    assert machine.fail(Failure("unexpected", "?"))["status"] is None


def test_a_cancelled_job_stops_at_its_next_step_and_says_so(machine):
    machine.begin()
    machine.backstage.service.cancel(machine.made.id)
    with pytest.raises(CancelledError) as cancelled:
        machine.run(Stage.VALIDATE)
    cause = {"errorType": "CancelledError", "errorMessage": str(cancelled.value)}
    machine.fail(failure_of("CancelledError", json.dumps(cause)))
    assert machine.job.error_code == "cancelled"
    assert machine.job.status is JobStatus.NOT_DELIVERED


@pytest.mark.parametrize(
    ("name", "size_bytes", "lane"),
    [
        ("a.png", 10, "function"),
        ("a", 10, "function"),
        ("a.MP4", 10, "worker"),
        ("a.gif", 10, "worker"),
        ("a.webp", 10, "worker"),
        ("a.tif", 65 * 2**20, "worker"),
    ],
)
def test_clips_and_large_pictures_are_for_workers(machine, name, size_bytes, lane):
    assert steps.lane_of(replace(machine.made, name=name, input_bytes=size_bytes)) == lane


def test_a_picture_that_is_only_looked_at_needs_no_worker(tmp_path):
    assert not Machine(tmp_path, JobOptions(preset="thumbnail-100")).begin()["changes_picture"]


def test_every_stage_but_the_last_ones_has_a_place_in_each_lane():
    everywhere = set(Stage) - {Stage.ARCHIVE, Stage.DELIVER}
    in_functions = {Stage.VALIDATE, Stage.METADATA, Stage.THUMBNAIL}
    assert set(OF_WORKERS["function"]) | in_functions == everywhere
    assert set(OF_WORKERS["worker"]) == everywhere
    assert list(OF_WORKERS["worker"]) == [stage for stage in Stage if stage in everywhere], "in the pipeline's order"


@pytest.mark.parametrize(
    ("error", "cause", "code", "words"),
    [
        ("corrupt-media", "It is cut off.", "corrupt-media", "It is cut off."),
        ("CorruptMediaError", {"errorType": "CorruptMediaError", "errorMessage": "Cut."}, "corrupt-media", "Cut."),
        ("Runtime.HandlerError", {"errorType": "CorruptMediaError", "errorMessage": "Cut."}, "corrupt-media", "Cut."),
        ("X", {"errorType": "irss_core.errors.CorruptMediaError", "errorMessage": "Cut."}, "corrupt-media", "Cut."),
        ("StoreUnavailableError", {"errorType": "StoreUnavailableError", "errorMessage": "Full."}, EXHAUSTED, "Full."),
        (EXHAUSTED, "Given up after 5 attempts.", EXHAUSTED, "Given up after 5 attempts."),
        ("States.Timeout", "", EXHAUSTED, "longer"),
        ("States.HeartbeatTimeout", "", EXHAUSTED, "longer"),
        ("KeyError", {"errorType": "KeyError", "errorMessage": "'secret'"}, "unexpected", "(KeyError)"),
        ("", "", "unexpected", "nothing is known"),
    ],
)
def test_failures_are_told_in_words_for_the_owner(error, cause, code, words):
    failure = failure_of(error, cause if isinstance(cause, str) else json.dumps(cause))
    assert failure.code == code
    assert words in failure.text
    assert "secret" not in failure.text


def test_an_error_keeps_its_code_where_its_name_is_lost():
    error = told_whole(CorruptMediaError("It is cut off."))
    cause = {"errorType": "Runtime.HandlerError", "errorMessage": str(error)}
    assert failure_of("Runtime.HandlerError", json.dumps(cause)) == Failure("corrupt-media", "It is cut off.")
    assert isinstance(error, CorruptMediaError)


def test_an_error_of_a_stage_is_the_functions_own(machine):
    machine.begin()

    def broken(*_: Any, **__: Any) -> Changes:
        raise CorruptMediaError("It is cut off.")

    with pytest.raises(CorruptMediaError):
        machine.run(Stage.VALIDATE, broken)
    assert machine.job.stage is Stage.VALIDATE
