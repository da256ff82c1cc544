"""The settings that say how much may be handed in, as the jobs take them."""

from __future__ import annotations

from irss_core.config import Settings
from irss_core.jobs.limits import JobLimits

_DAY_S = 86_400.0


def job_limits(settings: Settings) -> JobLimits:
    """Return what an operator lets visitors do."""
    return JobLimits(
        max_files=settings.max_batch_files,
        max_image_bytes=settings.max_image_bytes,
        max_clip_bytes=settings.max_clip_bytes,
        submissions_per_hour=settings.submissions_per_hour,
        submissions_per_day=settings.submissions_per_day,
        submissions_in_flight=settings.submissions_in_flight,
        upload_bytes_per_day=settings.upload_bytes_per_day,
        keep_inputs_s=settings.keep_inputs_days * _DAY_S,
        keep_results_s=settings.keep_results_days * _DAY_S,
    )
