"""How fast the jobs of this machine are: measured with its own disk, worker processes and app, in a folder aside."""

from __future__ import annotations

from irss_core.jobs_speed.report import JobsReport
from irss_core.jobs_speed.run import FIGURES, run_jobs_bench

__all__ = ["FIGURES", "JobsReport", "run_jobs_bench"]
