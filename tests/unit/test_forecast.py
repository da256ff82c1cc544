"""What is said beforehand of a submission's time and size."""

from __future__ import annotations

from pathlib import Path

import pytest

from irss_core.errors import (
    UnknownModelError,
)
from irss_core.jobs.forecast import FileFacts
from irss_core.jobs.options import JobOptions
from tests.made_counter import BICUBIC, Counter


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


def took(counter: Counter, options: JobOptions, seconds: float, **facts: int) -> None:
    """Have a job done that takes so long."""
    counter.done(counter.submitted(options=options).jobs[0], took_s=seconds, **facts)
    counter.work.bodies()


def test_a_forecast_goes_by_what_jobs_took_here(counter: Counter) -> None:
    picture, options = FileFacts("still", 2000, 1000), JobOptions(model="realesrgan-x4plus", format="png")
    slow = counter.service.forecast([picture] * 3, options)
    assert slow.files == 3
    assert slow.megapixels == pytest.approx(6)
    assert slow.seconds > 6 * 90
    assert "slow computer" in slow.basis
    assert slow.result_bytes == pytest.approx(3 * 2e6 * 16 * 1.2)
    for _ in range(10):
        took(counter, options, 20.5, width=2000, height=1000)
    here = counter.service.forecast([picture] * 3, options)
    assert here.seconds == pytest.approx(3 * 20.5)
    assert "this machine" in here.basis
    took(counter, options, 41, width=2000, height=1000)
    assert here.seconds < counter.service.forecast([picture] * 3, options).seconds < 3 * 41
    assert counter.service.forecast([picture], JobOptions(model="tecogan-x4")).basis == slow.basis


def test_what_waits_before_a_submission_is_counted(counter: Counter) -> None:
    took(counter, BICUBIC, 10, width=1000, height=1000)
    picture = FileFacts("still", 1000, 1000)
    empty = counter.service.forecast([picture], BICUBIC)
    assert empty.waiting_s == 0
    counter.submitted(3)
    full = counter.service.forecast([picture], BICUBIC)
    assert full.waiting_s == pytest.approx(30)
    assert full.seconds == pytest.approx(empty.seconds + 30)


def test_a_forecast_knows_clips_and_steps_that_run_no_model(counter: Counter) -> None:
    clip = FileFacts("clip", 640, 360, frames=100, bytes=10**6)
    with_model = counter.service.forecast([clip], JobOptions(model="realesr-animevideov3"))
    assert with_model.megapixels == pytest.approx(23.04)
    assert with_model.result_bytes == pytest.approx(23.04e6 * 16 * 0.06)
    filters = counter.service.forecast([clip], JobOptions(preset="filters", model="none", greyscale=True))
    assert filters.seconds < with_model.seconds
    assert filters.result_bytes == pytest.approx(23.04e6 * 0.06)
    with pytest.raises(UnknownModelError):
        counter.service.forecast([clip], JobOptions(model="none"))


@pytest.mark.parametrize(
    ("options", "size_bytes"),
    [
        (JobOptions(preset="thumbnail-100"), 10_000),
        (JobOptions(preset="resize+thumbnail", width=500), 250_000),
        (JobOptions(model="bicubic", outscale=2), 4_000_000),
        (JobOptions(model="bicubic", outscale=2, width=500), 250_000),
        (JobOptions(model="bicubic", format="jpeg", max_bytes=5000), 5000),
    ],
)
def test_a_forecast_of_size_follows_the_options(options: JobOptions, size_bytes: int, counter: Counter) -> None:
    picture = FileFacts("still", 1000, 1000, bytes=1_000_000)  # a byte a pixel
    assert counter.service.forecast([picture], options).result_bytes == size_bytes


def test_a_clip_counts_by_its_frames_and_steps_without_a_model_for_themselves(counter: Counter) -> None:
    took(counter, BICUBIC, 100.5, width=1000, height=1000, frames=10)
    picture = FileFacts("still", 1000, 1000)
    assert counter.service.forecast([picture], BICUBIC).seconds == pytest.approx(10.5)
    took(counter, JobOptions(preset="filters", greyscale=True), 3, width=1000, height=1000)
    assert counter.service.forecast([picture], BICUBIC).seconds == pytest.approx(10.5)


def test_jobs_that_say_nothing_of_the_speed_are_left_out(counter: Counter) -> None:
    took(counter, BICUBIC, 100)  # whose size is not known
    took(counter, BICUBIC, -100, width=1000, height=1000)  # while the clock was set back
    (job,) = counter.submitted().jobs
    counter.done(counter.begun(job), took_s=100, width=1000, height=1000)  # the second attempt goes on from the first
    assert "slow computer" in counter.service.forecast([FileFacts("still", 1000, 1000)], BICUBIC).basis
