"""Jobs, mails, options and keys: every step from every state, and every limit from both sides."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irss_core.errors import IllegalTransitionError, InvalidOptionError
from irss_core.jobs import keys
from irss_core.jobs.job import (
    BY_REDRIVE,
    LEGAL,
    Job,
    JobStatus,
    Mail,
    MailState,
    at_stage,
    attempt_failed,
    begin_attempt,
    cancel_asked,
    delivered,
    given_up,
    mail_answered,
    mail_id_of,
    mail_sending,
    new_id,
    processed,
    redriven,
    with_results,
)
from irss_core.jobs.options import PRESETS, JobOptions, Stage
from tests.made_submissions import NOW, made_batch

LATER = NOW + 60

# What each function makes of a job of status 1, 2, 3 and 4; None: it is refused.
STEPS: dict[str, tuple[Callable[[Job], Job], tuple[int | None, ...]]] = {
    "begin_attempt": (lambda job: begin_attempt(job, now=LATER), (1, None, None, None)),
    "at_stage": (lambda job: at_stage(job, Stage.UPSCALE, now=LATER, progress=0.5), (1, None, None, None)),
    "attempt_failed": (lambda job: attempt_failed(job, code="e", error="E.", now=LATER), (1, None, None, None)),
    "cancel_asked": (lambda job: cancel_asked(job, now=LATER), (1, None, None, None)),
    "with_results": (lambda job: with_results(job, outputs={}, facts={}, now=LATER), (1, 2, 3, 4)),
    "processed": (lambda job: processed(job, now=LATER), (2, None, None, None)),
    "given_up": (lambda job: given_up(job, code="e", error="E.", now=LATER), (4, 4, None, None)),
    "delivered": (lambda job: delivered(job, now=LATER), (None, 3, None, None)),
    "redriven to 1": (lambda job: redriven(job, JobStatus.NOT_PROCESSED, now=LATER), (None, None, None, 1)),
    "redriven to 2": (lambda job: redriven(job, JobStatus.PROCESSED, now=LATER), (None, None, None, 2)),
    "redriven to 3": (lambda job: redriven(job, JobStatus.DELIVERED, now=LATER), (None, None, None, None)),
    "redriven to 4": (lambda job: redriven(job, JobStatus.NOT_DELIVERED, now=LATER), (None, None, None, None)),
}


def job_of(status: JobStatus) -> Job:
    _, (job,) = made_batch()
    finished = None if status is JobStatus.NOT_PROCESSED else NOW
    return dataclasses.replace(
        job, status=status, attempt=2, stage=Stage.FILTER, progress=0.7, remaining_s=3.0, error="Old.",
        error_code="old", cancel_requested=True, outputs={"result": "processed/x/result"}, finished_at=finished,
    )  # fmt: skip


def mail_of(state: MailState, **more: object) -> Mail:
    return Mail(id=new_id(), batch_id=new_id(), created_at=NOW, updated_at=NOW, state=state, **more)  # type: ignore[arg-type]


class TestJobSteps:
    @pytest.mark.parametrize("status", JobStatus)
    @pytest.mark.parametrize("step", STEPS)
    def test_every_step_from_every_status(self, step, status):
        function, becomes = STEPS[step]
        before, expected = job_of(status), becomes[status - 1]
        if expected is None:
            with pytest.raises(IllegalTransitionError, match=f"status {status.value}") as refused:
                function(before)
            assert before.id not in str(refused.value), "the id is the key to the job"
            return
        after = function(before)
        assert after.status == expected
        assert after.updated_at == LATER
        fixed = ("id", "batch_id", "owner", "number", "name", "input_key", "input_bytes", "options", "created_at")
        assert [getattr(after, name) for name in fixed] == [getattr(before, name) for name in fixed]

    def test_the_tables_hold_what_the_service_promises_and_nothing_else(self):
        legal = {(int(start), int(end)) for start, ends in LEGAL.items() for end in ends}
        redrives = {(int(start), int(end)) for start, ends in BY_REDRIVE.items() for end in ends}
        assert legal == {(1, 2), (1, 4), (2, 3), (2, 4)}
        assert redrives == {(4, 1), (4, 2)}
        assert [status.value for status in JobStatus] == [1, 2, 3, 4]

    def test_an_attempt_is_counted_and_starts_from_nothing(self):
        after = begin_attempt(job_of(JobStatus.NOT_PROCESSED), now=LATER)
        assert (after.attempt, after.started_at, after.stage, after.progress) == (3, LATER, None, 0.0)
        assert after.error == "Old.", "the user still sees why the last one did not succeed"
        assert after.cancel_requested

    def test_a_processed_job_is_finished_without_an_error(self):
        after = processed(job_of(JobStatus.NOT_PROCESSED), now=LATER)
        assert (after.finished_at, after.error, after.error_code, after.progress) == (LATER, None, None, 1.0)
        assert after.remaining_s is None
        assert after.settled

    @pytest.mark.parametrize("status", [JobStatus.NOT_PROCESSED, JobStatus.PROCESSED])
    def test_a_job_given_up_says_why(self, status):
        after = given_up(job_of(status), code="corrupt-media", error="It is damaged.", now=LATER)
        assert (after.error_code, after.error, after.finished_at) == ("corrupt-media", "It is damaged.", LATER)

    def test_results_are_added_to_those_of_earlier_stages(self):
        job = with_results(job_of(JobStatus.NOT_PROCESSED), outputs={"preview": "p"}, facts={"width": 1}, now=LATER)
        job = with_results(job, outputs={"preview": "q"}, facts={"height": 2}, now=LATER)
        assert job.outputs == {"result": "processed/x/result", "preview": "q"}
        assert job.facts == {"width": 1, "height": 2}

    def test_a_job_redriven_to_be_computed_is_as_new_but_for_its_attempts(self):
        after = redriven(job_of(JobStatus.NOT_DELIVERED), JobStatus.NOT_PROCESSED, now=LATER)
        assert (after.stage, after.error, after.error_code, after.finished_at) == (None, None, None, None)
        assert not after.cancel_requested
        assert not after.settled
        assert after.attempt == 2

    def test_a_job_redriven_to_be_mailed_is_finished_and_has_its_result(self):
        after = redriven(job_of(JobStatus.NOT_DELIVERED), JobStatus.PROCESSED, now=LATER)
        assert (after.finished_at, after.stage, after.error) == (LATER, Stage.FILTER, None)
        without = dataclasses.replace(job_of(JobStatus.NOT_DELIVERED), outputs={})
        with pytest.raises(IllegalTransitionError, match="no result"):
            redriven(without, JobStatus.PROCESSED, now=LATER)

    def test_logs_may_say_twelve_characters_of_an_id(self):
        job = job_of(JobStatus.NOT_PROCESSED)
        assert job.short_id == job.id[:12]
        assert re.fullmatch("[0-9a-f]{64}", job.id)
        assert len({new_id() for _ in range(100)}) == 100


class TestMailSteps:
    @pytest.mark.parametrize("state", MailState)
    def test_a_mail_is_sent_when_it_waits_or_when_nobody_knows(self, state):
        before = mail_of(state, attempt=1)
        if state in (MailState.SENT, MailState.FAILED):
            with pytest.raises(IllegalTransitionError):
                mail_sending(before, now=LATER)
            return
        after = mail_sending(before, now=LATER)
        assert (after.state, after.attempt, after.updated_at) == (MailState.SENDING, 2, LATER)
        assert after.resent is (state is MailState.SENDING), "only then may it have gone out before"

    @pytest.mark.parametrize("state", MailState)
    @pytest.mark.parametrize("answer", MailState)
    def test_only_a_mail_being_sent_is_answered(self, state, answer):
        before = mail_of(state, attempt=1)
        if state is not MailState.SENDING or answer is MailState.SENDING:
            with pytest.raises(IllegalTransitionError):
                mail_answered(before, answer, answer="250 OK", now=LATER)
            return
        after = mail_answered(before, answer, answer="250 OK", now=LATER)
        assert (after.state, after.answer, after.attempt, after.updated_at) == (answer, "250 OK", 1, LATER)

    def test_once_resent_always_resent(self):
        mail = mail_sending(mail_sending(mail_of(MailState.PENDING), now=NOW), now=LATER)
        mail = mail_sending(mail_answered(mail, MailState.PENDING, answer="451", now=LATER), now=LATER)
        assert mail.resent

    def test_the_message_id_is_the_same_for_every_attempt_and_names_nothing(self):
        mail = mail_of(MailState.PENDING)
        assert mail_sending(mail, now=LATER).message_id == mail.message_id
        assert mail.message_id[1:13] != mail.batch_id[:12]

    def test_a_mail_is_known_again_by_its_message_id(self):
        mail = mail_of(MailState.PENDING)
        assert mail_id_of(mail.message_id) == mail_id_of(f" {mail.message_id[1:-1]}\n") == mail.id
        assert mail_id_of("<somebody@example.org>") is None


class TestOptions:
    @pytest.mark.parametrize(
        ("preset", "more", "stages"),
        [
            ("upscale", {}, "validate metadata upscale thumbnail archive deliver"),
            ("upscale", {"denoise": True}, "validate metadata preprocess upscale thumbnail archive deliver"),
            ("upscale", {"sharpen": 1.0}, "validate metadata upscale filter thumbnail archive deliver"),
            ("filters", {}, "validate metadata thumbnail archive deliver"),
            ("filters", {"greyscale": True}, "validate metadata filter thumbnail archive deliver"),
            (
                "filters",
                {"autocontrast": True, "contrast": 0.5},
                "validate metadata preprocess filter thumbnail archive deliver",
            ),
            ("resize+thumbnail", {"width": 100}, "validate metadata filter thumbnail archive deliver"),
            (
                "resize+thumbnail",
                {"denoise": True, "max_bytes": 5000},
                "validate metadata filter thumbnail archive deliver",
            ),
            ("thumbnail-100", {"sharpen": 1.0, "denoise": True}, "validate metadata thumbnail archive deliver"),
        ],
    )
    def test_the_stages_are_those_that_something_is_asked_of(self, preset, more, stages):
        assert JobOptions(preset=preset, **more).stages == tuple(stages.split())

    def test_stages_keep_their_order_in_every_preset(self):
        for preset in PRESETS:
            stages = JobOptions(preset=preset, denoise=True, sharpen=1.0).stages
            assert list(stages) == sorted(stages, key=list(Stage).index)
            assert stages[0] is Stage.VALIDATE
            assert stages[-1] is Stage.DELIVER

    @pytest.mark.parametrize(
        ("name", "least", "most", "step"),
        [
            ("outscale", 1, 16, 0.01),
            ("model_denoise", 0, 1, 0.01),
            ("sharpen", 0, 3, 0.01),
            ("contrast", 0, 3, 0.01),
            ("width", 1, 16_384, 1),
            ("max_bytes", 1024, None, 1),
            ("quality", 1, 100, 1),
        ],
    )
    def test_numbers_are_taken_up_to_their_limits(self, name, least, most, step):
        assert getattr(JobOptions(**{name: least}), name) == least
        beyond = [least - step, float("nan")]
        if most is not None:
            assert getattr(JobOptions(**{name: most}), name) == most
            beyond.append(most + step)
        for value in beyond:
            with pytest.raises(InvalidOptionError, match=f"{name} is .*{least}"):
                JobOptions(**{name: value})

    @pytest.mark.parametrize("options", [{"preset": "none"}, {"format": "svg"}, {"format": "PNG"}, {"preset": ""}])
    def test_words_that_do_not_exist_are_refused(self, options):
        with pytest.raises(InvalidOptionError, match="must be one of"):
            JobOptions(**options)

    @pytest.mark.parametrize("kind", ["png", "tiff", "mp4", "jpeg", "webp", None])
    def test_only_what_can_be_compressed_is_compressed_to_a_size(self, kind):
        if kind in ("jpeg", "webp", None):
            assert JobOptions(format=kind, max_bytes=5000).max_bytes == 5000
            return
        with pytest.raises(InvalidOptionError, match="jpeg or webp"):
            JobOptions(format=kind, max_bytes=5000)

    @given(
        st.builds(
            JobOptions,
            preset=st.sampled_from(PRESETS),
            outscale=st.none() | st.floats(1, 16),
            denoise=st.booleans(),
            sharpen=st.floats(0, 3),
            width=st.none() | st.integers(1, 16_384),
            format=st.sampled_from([None, "png", "jpeg", "webp", "tiff", "mp4"]),
        )
    )
    def test_options_survive_their_dict(self, options):
        assert JobOptions.from_dict(options.to_dict()) == options

    @pytest.mark.parametrize("values", [{"scale": 4}, {"quality": "high"}, {"width": [1]}, {"contrast": 9}])
    def test_a_dict_written_by_hand_is_checked(self, values):
        with pytest.raises(InvalidOptionError):
            JobOptions.from_dict(values)

    def test_what_a_dict_leaves_out_is_as_usual(self):
        assert JobOptions.from_dict({}) == JobOptions()


class TestKeys:
    def test_keys_are_made_of_ids_and_do_not_meet(self):
        one, other = new_id(), new_id()
        made = [
            keys.upload_key(one),
            keys.output_key(one, "result"),
            keys.output_key(one, "thumbnail"),
            keys.work_key(one, "checkpoint-000004"),
            keys.archive_key(one),
            keys.results_zip_key(one),
            keys.output_key(other, "result"),
        ]
        assert all(keys.is_key(key) for key in made)
        assert len(set(made)) == len(made)
        assert all(one in key for key in made[:-1])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "a/.b",
            "..",
            "A",
            "a b",
            "ä",
            "a\\b",
            "a\n",
            "a\0",
            "a%2fb",
        ],
    )
    def test_what_could_leave_the_folder_is_no_key(self, text):
        assert not keys.is_key(text)

    def test_a_key_has_a_longest_length(self):
        assert keys.is_key("a" * keys.MAX_LENGTH)
        assert not keys.is_key("a" * (keys.MAX_LENGTH + 1))

    @given(st.text(max_size=30))
    def test_every_key_stays_below_its_folder(self, text):
        if keys.is_key(text):
            assert text.isascii()
            assert not text.startswith(("/", "."))
            assert ".." not in text
