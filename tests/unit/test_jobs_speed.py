"""``irss bench jobs``: each figure beside another clock or count than its own."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import app
from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.config import Settings
from irss_core.errors import InvalidOptionError
from irss_core.jobs.options import JobOptions, Stage
from irss_core.jobs_speed import FIGURES, JobsReport, run_jobs_bench
from irss_core.jobs_speed.idle_app import MODELS, resident_bytes
from irss_core.jobs_speed.site import aside
from irss_core.worker_processes import environment_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes with signals")
ROUNDING_S = 1e-5  # of a time of day as a float, several times over


@dataclass(frozen=True)
class Run:
    """A benchmark, what it left, and how long it took by the clock on the wall."""

    report: JobsReport
    folder: Path
    seconds: float

    def rows(self, database: str, query: str) -> list[tuple]:
        connection = sqlite3.connect(self.folder / database)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def jobs(self, figure: str) -> list[tuple]:
        """Id, submission, begin, end, seconds of the model and attempts of each job, as they were submitted."""
        return self.rows(
            f"{figure}/jobs.sqlite3",
            "SELECT id, created_at, started_at, finished_at, facts ->> 'seconds', attempt FROM jobs ORDER BY 2",
        )


def measured(folder: Path, *figures: str, jobs: int) -> Run:
    folder.mkdir()
    settings = Settings(data_dir=folder / "nobody's", cache_dir=folder / "cache", offline=True, dtype="fp32")
    begun = time.monotonic()
    report = run_jobs_bench(settings, figures, jobs=jobs, folder=folder)
    assert not settings.data_dir.exists()
    assert report.missing == {}
    return Run(report, folder, time.monotonic() - begun)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return measured(tmp_path_factory.mktemp("run") / "bench", "submissions", "overhead", "queue", jobs=2)


def test_submissions_are_counted_and_timed(run):
    submissions, jobs = run.report.submissions, run.jobs("submissions")
    assert submissions.count == len(jobs) - 1 == 10, "the first one, which makes the database, does not count"
    assert len(list((run.folder / "submissions" / "objects" / "uploads").rglob("*_facts.json"))) == len(jobs)
    from_the_second_to_the_last_s = jobs[-1][1] - jobs[1][1]
    assert from_the_second_to_the_last_s <= submissions.seconds <= run.seconds
    assert submissions.per_second == pytest.approx(10 / submissions.seconds)


def test_overhead_is_what_the_store_says_that_jobs_took(run):
    overhead, (first, *jobs) = run.report.overhead, run.jobs("overhead")
    took = [end - submitted - seconds for _, submitted, _, end, seconds, _ in jobs]
    assert overhead.each_s == pytest.approx(took, abs=ROUNDING_S)
    assert overhead.whole.median_s == pytest.approx(sum(took) / 2, abs=ROUNDING_S)
    assert overhead.whole.worst_s == pytest.approx(max(took), abs=ROUNDING_S)
    assert overhead.first_s == pytest.approx(first[3] - first[1] - first[4], abs=ROUNDING_S)
    assert overhead.first_s + sum(took) < run.seconds
    assert len(list((run.folder / "overhead" / "outbox").glob("*.eml"))) == 3


def test_results_were_written_while_the_overhead_ran(run):
    for job_id, submitted, _, end, _, _ in run.jobs("overhead"):
        folder = run.folder / "overhead" / "objects" / "processed" / job_id[:2] / job_id
        (file,) = (file for file in folder.glob("result_*") if file.suffix != ".json")
        assert submitted < file.stat().st_mtime < end


def test_steps_make_up_the_overhead(run):
    overhead = run.report.overhead
    stages = [stage for stage in JobOptions(model="bicubic").stages if stage is not Stage.DELIVER]
    assert list(overhead.steps) == ["wait", *stages]
    assert all(0 < step.median_s <= step.worst_s for step in overhead.steps.values())
    # The median of two is their mean, so the medians add up.
    whole = sum(step.median_s for step in overhead.steps.values())
    assert whole == pytest.approx(overhead.whole.median_s, abs=ROUNDING_S)
    waits = [begun - submitted for _, submitted, begun, *_ in run.jobs("overhead")[1:]]
    assert overhead.steps["wait"].worst_s == pytest.approx(max(waits), abs=0.02)  # the first stage is written after it


def test_both_queues_were_given_every_empty_job(run):
    queue = run.report.queue
    assert queue.jobs == 20
    opening = 1
    assert run.rows("ours.sqlite3", "SELECT seq FROM sqlite_sequence") == [(queue.jobs + opening,)]
    assert run.rows("ours.sqlite3", "SELECT count(*) FROM messages") == [(0,)]
    assert run.rows("huey.sqlite3", "SELECT (SELECT count(*) FROM task) + (SELECT count(*) FROM kv)") == [(0,)]
    assert queue.ratio == pytest.approx(queue.ours_s / queue.huey_s)
    assert 0 < queue.jobs / 2 * (queue.ours_s + queue.huey_s) < run.seconds, "half of them took the median or longer"


def test_a_killed_workers_job_is_taken_up_by_the_next_one(tmp_path):
    run = measured(tmp_path / "bench", "resumption", jobs=1)
    ((_, submitted, resumed_at, _, _, attempts),) = run.jobs("resumption-0")
    resumption = run.report.resumption
    assert (resumption.kills, attempts) == (1, 2)
    assert resumption.lease_s == 120
    assert 1.0 < resumption.whole.median_s < run.seconds, "the supervision waits a second before it starts another"
    killed_at = resumed_at - resumption.whole.median_s
    left_by_the_dead = min(path.stat().st_ctime for path in (run.folder / "resumption-0" / "scratch").iterdir())
    assert submitted < left_by_the_dead <= killed_at + ROUNDING_S


SLEEPERS = """
import subprocess, sys
own = bytearray(60_000_000)
code = "import time; mine = bytearray(30_000_000); print(flush=True); time.sleep(60)"
subprocess.run([sys.executable, "-c", code])
"""


@pytest.fixture
def sleepers() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
        for each in (*psutil.Process(process.pid).children(), process):
            each.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_process_and_of_those_below_it(sleepers):
    own, below = resident_bytes(sleepers)
    (child,) = sleepers.children()
    assert own == pytest.approx(resident_by_proc(sleepers.pid), rel=0.02)
    assert below == pytest.approx(resident_by_proc(child.pid), rel=0.02)
    assert own > 60e6
    assert 30e6 < below < own


def resident_by_proc(process_id: int) -> int:
    (line,) = (
        line for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines() if line.startswith("Rss:")
    )
    return int(line.split()[1]) * 1024


def test_the_models_named_are_those_that_the_app_loads():
    assert MODELS == app._WARM_MODELS


def test_nobody_is_mailed(tmp_path):
    settings = aside(Settings(data_dir=tmp_path, smtp_host="mail.example.org"), tmp_path / "bench")
    assert settings.smtp_host is None
    assert "IRSS_SMTP_HOST" not in environment_of(settings)


def test_without_huey_the_rest_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huey", None)
    settings = Settings(data_dir=tmp_path, offline=True, dtype="fp32")
    report = run_jobs_bench(settings, ["queue", "submissions"], jobs=1)
    assert report.queue is None
    assert report.submissions is not None
    assert "huey is not installed" in report.to_markdown()


def test_a_figure_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(InvalidOptionError, match="submissions, overhead, resumption, memory, queue"):
        run_jobs_bench(Settings(data_dir=tmp_path / "data"), ["speed"])
    assert not (tmp_path / "data").exists()


def test_the_command_prints_a_table_writes_json_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("IRSS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IRSS_DTYPE", "fp32")
    out, err, file = io.StringIO(), io.StringIO(), tmp_path / "jobs.json"
    arguments = ["bench", "jobs", "--jobs", "1", "--only", "submissions", "--only", "queue", "--json", str(file)]
    assert main(arguments, console=Console(out, err)) == 0, err.getvalue()
    assert "| figure | measured | what it is |" in out.getvalue()
    assert "| submissions a second |" in out.getvalue()
    report = json.loads(file.read_text(encoding="utf-8"))
    assert set(report) == {"environment", "load_average", "picture_bytes", "missing", *FIGURES}
    assert {"irss", "commit", "python", "machine", "cores", "sqlite"} <= set(report["environment"])
    assert set(report["submissions"]) == {"count", "seconds", "per_second"}
    assert set(report["queue"]) == {"jobs", "ours_s", "huey_s", "ratio", "huey_version"}
    assert report["overhead"] is report["resumption"] is report["memory"] is None
    assert list((tmp_path / "data").iterdir()) == []


def test_the_table_names_the_bar_and_all_figures(run):
    table = run.report.to_markdown()
    assert "bar for two cores 150 ms" in table
    assert f"| overhead a job, median | {run.report.overhead.whole.median_s * 1000:.0f} ms | 2 jobs;" in table
    assert "| of it wait |" in table
    assert "| ours over huey's |" in table
    assert set(run.report.to_dict()["overhead"]) == {"jobs", "whole", "steps", "model", "first_s", "each_s"}
