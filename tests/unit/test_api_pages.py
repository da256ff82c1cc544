"""The pages of jobs and batches: what visitors see, and what the pages may not do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from irss_core.jobs import words
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions, Stage
from tests.made_api import ADA, BOB, Site, made_site, png

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
UNKNOWN = "0" * 64


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made_site(tmp_path)


def _page(site: Site, path: str, address: str | None = None) -> Any:
    return site.browser(address).get(path, headers=BROWSER)


def test_a_browser_gets_a_page_and_everybody_else_json(site: Site) -> None:
    job = site.submitted()[0]
    for path in (f"/jobs/{job.id}", f"/batches/{job.batch_id}"):
        page = _page(site, path)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "Accept" in page.headers["vary"]
        for accept in ("*/*", "application/json", "application/json, text/plain, */*"):
            assert site.program(None).get(path, headers={"Accept": accept}).json()["id"] in path


def test_a_page_runs_nothing_but_its_own_file_and_tells_nobody_its_address(site: Site) -> None:
    job = site.done(site.submitted()[0])
    for path in (f"/jobs/{job.id}", f"/batches/{job.batch_id}", f"/jobs/{UNKNOWN}"):
        page = _page(site, path, ADA)
        policy = dict(each.strip().split(" ", 1) for each in page.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert "unsafe" not in str(policy)
        assert {policy[each] for each in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert {policy[each] for each in ("img-src", "media-src")} == {"'self' https:"}, "a cloud's store is elsewhere"
        assert {policy[each] for each in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert "noindex" in page.headers["x-robots-tag"]
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|https?://", page.text)


def test_the_page_s_own_files_are_served(site: Site) -> None:
    names = re.findall(r'(?:href|src)="(/irss/pages/[^"]+)"', _page(site, f"/jobs/{UNKNOWN}").text)
    assert len(names) == 2
    for name in names:
        assert site.program(None).get(name).status_code == 200
        assert re.search(r"\?v=[0-9a-f]{12}$", name), "a changed file has another address"


def test_a_page_says_how_the_job_is_doing(site: Site) -> None:
    job = site.submitted()[0]
    assert "Waiting for its turn." in _page(site, f"/jobs/{job.id}").text
    site.at(job, Stage.UPSCALE, 0.42, remaining_s=180)
    text = _page(site, f"/jobs/{job.id}").text
    assert "Enlarging: 42%, about 3 min left." in text
    assert re.search(r'<progress[^>]* value="0.42"', text)
    assert re.findall(r'<li class="(\w+)" data-stage="(\w+)"', text) == [
        ("done", "validate"), ("done", "metadata"), ("now", "upscale"), ("next", "thumbnail"), ("next", "archive"),
        ("next", "deliver"),
    ]  # fmt: skip
    assert f'data-events="/jobs/{job.id}/events"' in text
    assert 'data-final="false"' in text


def test_a_finished_job_shows_its_result_and_facts(site: Site) -> None:
    job = site.done(site.submitted()[0])
    text = _page(site, f"/jobs/{job.id}").text
    assert "<progress" not in text
    assert f'<a class="button main" href="/image/{job.id}" download>' in text
    assert f'<img src="/image/{job.id}" width="64" height="64"' in text
    for role in ("preview", "thumbnail"):
        assert f'src="/image/{job.id}?role={role}"' in text
    for fact in ("16 x 16 → 64 x 64", "PNG 300 bytes", "Real-ESRGAN x4plus", "14 February 2027, 08:00 UTC"):
        assert fact in text


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"result_format": "webp", "result_width": 6000, "result_height": 6000}, "img"),
        ({"result_format": "png", "result_width": 16384, "result_height": 16384}, None),
        ({"result_format": "tiff", "result_width": 64, "result_height": 64}, None),
        ({"result_format": "mp4", "result_width": 64, "result_height": 64}, "video"),
        ({}, None),
    ],
)
def test_only_what_a_browser_can_show_is_shown(site: Site, facts: dict[str, Any], shown: str | None) -> None:
    job = site.submitted()[0]
    site.done(job, facts=facts)
    inline = re.findall(rf'<(img|video)[^>]* src="/image/{job.id}"', _page(site, f"/jobs/{job.id}").text)
    assert inline == ([shown] if shown else [])


def test_a_failed_job_says_why(site: Site) -> None:
    job = site.failed(site.submitted()[0], "picture 1.png is truncated. Send the whole file.")
    text = _page(site, f"/jobs/{job.id}").text
    assert "Failed: picture 1.png is truncated. Send the whole file." in text
    assert "save it as a new file" in text, "and what to do"
    assert "download" not in text


def test_what_happened_on_the_way_is_told(site: Site) -> None:
    job = site.submitted()[0]
    site.done(job, facts={"notes": ["16 bits were made 8."], "fallbacks": ["It was run again in fp32."]})
    text = _page(site, f"/jobs/{job.id}").text
    assert "16 bits were made 8." in text
    assert "It was run again in fp32." in text


def test_only_the_owner_is_offered_to_change_something(site: Site) -> None:
    job = site.submitted()[0]
    for path in (f"/jobs/{job.id}", f"/batches/{job.batch_id}"):
        assert f'data-to="{path}/cancel"' in _page(site, path, ADA).text
        for other in (BOB, None):
            assert "data-to" not in _page(site, path, other).text
    assert f'data-method="DELETE" data-to="/jobs/{job.id}"' in _page(site, f"/jobs/{job.id}", ADA).text
    assert job.batch_id in _page(site, f"/jobs/{job.id}", ADA).text
    assert job.batch_id not in _page(site, f"/jobs/{job.id}", BOB).text, "the key to the other files"


def test_what_a_user_wrote_is_text(site: Site) -> None:
    path = site.settings.data_dir / "x.png"
    path.write_bytes(png())
    name = "<img src=x onerror=alert(1)>\"'.png"
    upload = site.service.add_upload(site.owner(), path, name=name)
    job = site.service.submit(site.owner(), [upload], JobOptions(), ip=None).jobs[0]
    site.failed(job, "<script>alert(2)</script>")
    for page in (_page(site, f"/jobs/{job.id}", ADA), _page(site, f"/batches/{job.batch_id}", ADA)):
        assert "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;.png" in page.text
        assert "<img src=x" not in page.text
        assert "<script>alert" not in page.text


def test_a_batch_is_a_table_of_its_files(site: Site) -> None:
    one, two = site.submitted(2)
    site.done(one)
    text = _page(site, f"/batches/{one.batch_id}").text
    assert "<h1>2 files</h1>" in text
    assert "1 of 2 files finished, 1 to go." in text
    assert f'<a href="/jobs/{two.id}">picture 2.png</a>' in text
    assert "results.zip" not in text
    site.failed(two)
    text = _page(site, f"/batches/{one.batch_id}").text
    assert f'href="/batches/{one.batch_id}/results.zip"' in text
    assert 'data-final="true"' in text
    assert "kept until" in text


def test_what_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    site = made_site(tmp_path, limits=JobLimits(keep_results_s=86_400))
    for path in (f"/jobs/{UNKNOWN}", f"/batches/{UNKNOWN}", "/jobs/x"):
        page = _page(site, path)
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "results are kept for 1 day." in page.text


def test_every_state_has_its_words(site: Site) -> None:
    job = site.done(site.submitted()[0])
    undelivered = site.failed(site.submitted()[0])
    told = {
        "Being cancelled.": replace(site.submitted()[0], cancel_requested=True),
        "Cancelled.": replace(undelivered, error_code="cancelled"),
        "Finished, but the mail was not delivered: no such mailbox": replace(
            undelivered, outputs=job.outputs, error="no such mailbox", error_code="mail-failed"
        ),
        "Checking the file: 0%. The last try did not succeed: the disk is full.": replace(
            site.at(site.submitted()[0], Stage.VALIDATE, 0.0), error="the disk is full.", error_code="x"
        ),
    }
    for said, each in told.items():
        assert words.summary(each) == said
