"""Jobs, batches and the gallery over HTTP: handed in, read, cancelled, deleted, by whom they belong to."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from irss_core.api.requests import JobOptionsBody
from irss_core.jobs.job import JobStatus
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions, Stage
from tests.made_api import BOB, Site, made_site, png, problem

UNKNOWN = "0" * 64


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made_site(tmp_path)


def test_a_submission_answers_with_its_job_and_where_to_look(site: Site) -> None:
    answer = _submit(site, [_upload(site)], options={"model": "bicubic", "outscale": 2, "format": "webp"})
    assert answer.status_code == 202
    body = answer.json()
    job = body["batch"]["jobs"][0]
    assert body["created"] is True
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["status"], job["state"], job["settled"]) == (1, "not processed", False)
    assert job["options"] == {**JobOptions(model="bicubic", outscale=2, format="webp").to_dict()}
    assert job["stages"] == ["validate", "metadata", "upscale", "thumbnail", "archive", "deliver"]
    assert site.service.work.depth().ready == 1


def test_a_submission_of_several_files_is_found_at_its_batch(site: Site) -> None:
    answer = _submit(site, [_upload(site), _upload(site)])
    batch = answer.json()["batch"]
    assert answer.headers["location"] == f"/batches/{batch['id']}"
    assert [job["number"] for job in batch["jobs"]] == [1, 2]
    assert site.program(None).get(answer.headers["location"]).json()["id"] == batch["id"]


def test_the_same_request_under_the_same_key_is_taken_once(site: Site) -> None:
    uploads, key = [_upload(site)], {"Idempotency-Key": "c7d6a0de"}
    first, again = _submit(site, uploads, headers=key), _submit(site, uploads, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json()["created"], again.json()["created"]) == (True, False)
    assert first.json()["batch"]["id"] == again.json()["batch"]["id"]
    other = problem(_submit(site, [_upload(site)], headers=key))
    assert (other["status"], other["code"]) == (409, "conflict")
    assert 'irss_http_submissions_total{created="false"} 1.0' in site.program(None).get("/metrics").text


@pytest.mark.parametrize("key", ["", "x" * 201, "a b"])
def test_a_key_that_is_none_is_refused(site: Site, key: str) -> None:
    assert problem(_submit(site, [_upload(site)], headers={"Idempotency-Key": key}))["status"] == 422


@pytest.mark.parametrize(
    ("options", "at"),
    [
        ({"quality": 101}, "body.options.quality"),
        ({"preset": "melt"}, "body.options.preset"),
        ({"colour": True}, "body.options.colour"),
        ({"denoise": "yes"}, "body.options.denoise"),
        ({"width": 1.5}, "body.options.width"),
        ({"max_bytes": 5000, "format": "png"}, None),
        ({"model": "bicubic", "model_denoise": 0.5}, None),
    ],
)
def test_options_that_cannot_be_are_named(site: Site, options: dict[str, object], at: str | None) -> None:
    found = problem(_submit(site, [_upload(site)], options=options))
    assert found["status"] == 422
    if at:
        assert [fault["at"] for fault in found["errors"]] == [at]
    assert site.service.work.depth().ready == 0


def test_a_model_that_is_not_there_is_told(site: Site) -> None:
    found = problem(_submit(site, [_upload(site)], options={"model": "nonesuch"}))
    assert (found["status"], found["code"]) == (404, "unknown-model")


def test_numbers_that_json_does_not_have_are_refused(site: Site) -> None:
    body = f'{{"uploads": ["{_upload(site)}"], "options": {{"outscale": NaN}}}}'
    answer = site.program().post("/process-file", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer)["status"] == 422


def test_the_options_are_those_of_jobs() -> None:
    ours, theirs = JobOptionsBody.model_fields, {field.name: field for field in fields(JobOptions)}
    assert list(ours) == list(theirs)
    assert JobOptionsBody().to_options() == JobOptions()
    for name, value in {
        "outscale": 16,
        "quality": 1,
        "sharpen": 3,
        "contrast": 0,
        "width": 16384,
        "max_bytes": 1024,
    }.items():
        JobOptionsBody(**{name: value}).to_options()
    assert all(field.description for field in ours.values())


def test_uploads_of_others_and_none_at_all_cannot_be_submitted(site: Site) -> None:
    foreign = _upload(site, BOB)
    answers = [problem(_submit(site, [upload])) for upload in (foreign, UNKNOWN, "../x")]
    assert [answer["status"] for answer in answers] == [404] * 3
    assert answers[0] == answers[1], "what is somebody else's is as if it were not there"
    assert problem(_submit(site, []))["status"] == 422
    twice = _upload(site)
    assert problem(_submit(site, [twice, twice]))["status"] == 422
    assert problem(_submit(site, [UNKNOWN] * 501))["status"] == 422


def test_too_many_submissions_are_told_when_to_come_back(tmp_path: Path) -> None:
    site = made_site(tmp_path, limits=JobLimits(submissions_per_hour=1))
    assert _submit(site, [_upload(site)]).status_code == 202
    answer = _submit(site, [_upload(site, BOB)], address=BOB)
    found = problem(answer)
    assert (found["status"], found["code"]) == (429, "rate-limited")
    assert answer.headers["retry-after"] == str(found["retry_after"])
    assert 0 < found["retry_after"] <= 3600
    other = site.program(BOB, ip="203.0.113.9").post("/process-file", json={"uploads": [_upload(site, BOB)]})
    assert other.status_code == 202


def test_a_job_is_read_by_whoever_has_its_id_and_its_batch_is_told_to_its_owner_only(site: Site) -> None:
    job = site.done(site.submitted(2)[0])
    for client, batch in [
        (site.program(), f"/batches/{job.batch_id}"),
        (site.program(BOB), None),
        (site.program(None), None),
    ]:
        body = client.get(f"/jobs/{job.id}").json()
        assert body["id"] == job.id
        assert body["links"]["batch"] == batch
        assert job.owner not in str(body)
        assert "example.org" not in str(body), "nobody's address"


def test_a_job_says_how_it_is_doing(site: Site) -> None:
    waiting, working, done, failed = site.submitted(4)
    site.at(working, Stage.UPSCALE, 0.42, remaining_s=180)
    site.done(done)
    site.failed(failed)
    read = lambda job: site.program(None).get(f"/jobs/{job.id}").json()  # noqa: E731
    assert read(waiting)["summary"] == "Waiting for its turn."
    assert read(working)["summary"] == "Enlarging: 42%, about 3 min left."
    assert (read(working)["stage"], read(working)["progress"], read(working)["remaining_s"]) == ("upscale", 0.42, 180)
    assert read(done)["links"]["result"] == f"/image/{done.id}"
    assert read(done)["facts"]["result_width"] == 64
    assert read(failed)["error"] == {"code": "corrupt-media", "detail": "it is truncated."}
    assert read(failed)["links"]["result"] is None


def test_unknown_and_malformed_ids_are_answered_alike(site: Site) -> None:
    for kind in ("jobs", "batches"):
        answers = [problem(site.program().get(f"/{kind}/{each}")) for each in (UNKNOWN, "x", "%00", "A" * 64, "é")]
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["status"] == 404


def test_only_its_owner_changes_a_job(site: Site) -> None:
    job = site.submitted()[0]
    for method, path in [
        ("POST", f"/jobs/{job.id}/cancel"), ("DELETE", f"/jobs/{job.id}"), ("POST", f"/batches/{job.batch_id}/cancel"),
    ]:  # fmt: skip
        assert problem(site.program(None).request(method, path))["status"] == 401
        foreign = problem(site.program(BOB).request(method, path))
        unknown = problem(
            site.program(BOB).request(method, path.replace(job.id, UNKNOWN).replace(job.batch_id, UNKNOWN))
        )
        assert foreign == unknown
        assert foreign["status"] == 404
    assert site.status(job) is JobStatus.NOT_PROCESSED
    assert not site.service.job(job.id).cancel_requested


def test_a_waiting_job_is_cancelled_at_once_and_one_in_work_soon(site: Site) -> None:
    waiting, working, done = site.submitted(3)
    site.at(working, Stage.UPSCALE, 0.5)
    site.done(done)
    client = site.program()
    assert client.post(f"/jobs/{waiting.id}/cancel").json()["summary"] == "Cancelled."
    assert client.post(f"/jobs/{working.id}/cancel").json()["summary"] == "Being cancelled."
    assert problem(client.post(f"/jobs/{done.id}/cancel"))["status"] == 409


def test_a_deleted_job_is_gone_with_its_files(site: Site) -> None:
    job, other = site.submitted(2)
    site.done(job)
    site.done(other)
    answer = site.program().delete(f"/jobs/{job.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (f"/jobs/{job.id}", f"/image/{job.id}", f"/jobs/{job.id}/events"):
        assert problem(site.program().get(path))["status"] == 404
    assert not [key for key in site.service.objects.keys("") if job.id in key]
    assert site.program().get(f"/jobs/{other.id}").status_code == 200


def test_a_batch_tells_all_and_gives_one_zip_in_the_end(site: Site) -> None:
    one, two = site.submitted(2)
    site.done(one)
    body = site.program(None).get(f"/batches/{one.batch_id}").json()
    assert (body["settled"], body["links"]["results_zip"]) == (False, None)
    assert body["summary"] == "1 of 2 files finished, 1 to go."
    site.failed(two)
    body = site.program(None).get(f"/batches/{one.batch_id}").json()
    assert body["summary"] == "1 of 2 files finished, 1 not delivered."
    zipped = site.program(None).get(body["links"]["results_zip"])
    assert zipped.status_code == 303
    whole = site.program(None).get(zipped.headers["location"])
    assert (whole.status_code, whole.headers["content-type"], whole.content[:2]) == (200, "application/zip", b"PK")


def test_there_is_no_zip_of_nothing(site: Site) -> None:
    job = site.submitted()[0]
    assert problem(site.program().get(f"/batches/{job.batch_id}/results.zip"))["status"] == 404
    assert problem(site.program().get(f"/batches/{UNKNOWN}/results.zip"))["status"] == 404


def test_a_batch_is_cancelled_as_far_as_it_is_not_finished(site: Site) -> None:
    one, _ = site.submitted(2)
    site.done(one)
    body = site.program().post(f"/batches/{one.batch_id}/cancel").json()
    assert body["settled"] is True
    assert [job["summary"] for job in body["jobs"]] == ["Finished, not yet mailed.", "Cancelled."]


def test_the_gallery_shows_ones_own_newest_first_page_by_page(site: Site) -> None:
    made = []
    for _ in range(3):
        made += site.submitted()
        site.clock.advance(60)
    site.submitted(address=BOB)
    first = site.program().get("/images", params={"limit": 2}).json()
    rest = site.program().get("/images", params={"limit": 2, "cursor": first["next"]}).json()
    assert [image["id"] for image in first["images"] + rest["images"]] == [job.id for job in reversed(made)]
    assert rest["next"] is None
    assert problem(site.program(None).get("/images"))["status"] == 401


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "nonsense"}, {"cursor": ""}]
)
def test_a_listing_that_cannot_be_is_refused(site: Site, params: dict[str, str]) -> None:
    assert problem(site.program().get("/images", params=params))["status"] == 422


def test_a_cursor_of_somebody_else_opens_nothing(site: Site) -> None:
    for _ in range(2):
        site.submitted()
    cursor = site.program().get("/images", params={"limit": 1}).json()["next"]
    answer = site.program(BOB).get("/images", params={"cursor": cursor})
    assert answer.status_code == 422 or answer.json()["images"] == []


@pytest.mark.parametrize("role", ["result", "thumbnail", "preview", "original"])
def test_an_image_leads_to_a_short_lived_download(site: Site, role: str) -> None:
    job = site.done(site.submitted()[0])
    links = site.program(None).get(f"/jobs/{job.id}").json()["links"]
    answer = site.program(None).get(links[role])
    assert answer.status_code == 303
    file = site.program(None).get(answer.headers["location"])
    assert (file.status_code, file.headers["content-type"]) == (200, "image/png")


def test_an_image_that_is_not_there_is_not_found(site: Site) -> None:
    job = site.submitted()[0]
    for path in (f"/image/{job.id}", f"/image/{job.id}?role=thumbnail", f"/image/{UNKNOWN}", "/image/..%2Fsecret.key"):
        assert problem(site.program().get(path))["status"] == 404
    assert problem(site.program().get(f"/image/{job.id}?role=upscaled"))["status"] == 422


def _upload(site: Site, address: str = "ada@example.org") -> str:
    answer = site.program(address).post("/upload", files={"file": ("picture.png", png())})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _submit(
    site: Site, uploads: list[str], *, address: str = "ada@example.org", headers: Any = None, options: Any = None
) -> Any:
    body = {"uploads": uploads, **({"options": options} if options is not None else {})}
    return site.program(address).post("/process-file", json=body, headers=headers)
