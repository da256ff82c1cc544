"""The service on AWS, deployed whole in an emulator: every way in and out that people have, and what goes wrong."""

from __future__ import annotations

import json
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.aws.cloud import Cloud, until
from tests.e2e.visitors import picture
from tests.made_clips import make_clip

SMALL_MODEL, LARGE_MODEL = "realesr-animevideov3", "realesrgan-x4plus"
HUNDRED = 100
pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def ada(cloud: Cloud) -> httpx.Client:
    return cloud.visitor(cloud.sign_in("ada@example.org"))


def send(visitor: httpx.Client, path: Path, **more: Any) -> str:
    """Upload a file by a presigned form and return the upload's id."""
    data, kind = path.read_bytes(), "video/mp4" if path.suffix == ".mp4" else "image/png"
    new = {"name": path.name, "size_bytes": len(data), "content_type": kind, **more}
    answer = visitor.post("/uploads", json=new)
    assert answer.status_code == 201, answer.text
    form = answer.json()
    sent = httpx.post(form["url"], data=form["fields"], files={"file": (path.name, data)}, timeout=60)
    assert sent.status_code == 204, sent.text
    return str(form["id"])


def ended(visitor: httpx.Client, job_id: str, status: int = 2) -> dict[str, Any]:
    """The job as soon as it has come as far as that, or failed."""

    def look() -> dict[str, Any] | None:
        answer = visitor.get(f"/jobs/{job_id}")
        job = answer.json() if answer.status_code == 200 else {"status": 0}
        return job if job["status"] >= status else None

    found: dict[str, Any] = until(look)
    return found


def fetched(cloud: Cloud, visitor: httpx.Client, job: dict[str, Any], role: str = "result") -> Image.Image:
    """One of a job's pictures, by its presigned address."""
    answer = visitor.get(f"/image/{job['id']}", params={"role": role})
    assert answer.status_code == 303
    taken = httpx.get(answer.headers["location"], timeout=60)
    assert taken.status_code == 200
    return Image.open(BytesIO(taken.content))


@pytest.fixture(scope="module")
def interrupted(cloud: Cloud, ada: httpx.Client, tmp_path_factory: Any) -> str:
    """A job whose worker was killed while it enlarged; its message comes back after two minutes."""
    path = picture(tmp_path_factory.mktemp("large") / "large.png", 320, 240, seed=9)
    upload = send(ada, path)
    ada.post("/process-file", json={"uploads": [upload], "options": {"model": LARGE_MODEL}})
    worker = cloud.start_worker()
    until(lambda: (job := ada.get(f"/jobs/{upload}").json())["stage"] == "upscale" and job["progress"] > 0)
    worker.kill()
    return upload


@pytest.fixture(scope="module")
def worker(cloud: Cloud, interrupted: str) -> Any:
    """The worker of all other tests."""
    return cloud.start_worker()


def test_sign_up_and_sign_in_with_the_user_pool(cloud: Cloud, tmp_path: Path) -> None:
    users, client_id = cloud.client("cognito-idp"), cloud.outputs["UserPoolClientId"]
    who = {"ClientId": client_id, "Username": "bob@example.org"}
    password = "correct horse Battery 9"
    users.sign_up(**who, Password=password, UserAttributes=[{"Name": "email", "Value": "bob@example.org"}])
    users.admin_confirm_sign_up(UserPoolId=cloud.outputs["UserPoolId"], Username="bob@example.org")
    verified = [{"Name": "email_verified", "Value": "true"}]
    users.admin_update_user_attributes(
        UserPoolId=cloud.outputs["UserPoolId"], Username="bob@example.org", UserAttributes=verified
    )
    parameters = {"USERNAME": "bob@example.org", "PASSWORD": password}
    signed_in = users.initiate_auth(ClientId=client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters)
    bob = cloud.visitor(signed_in["AuthenticationResult"]["IdToken"])
    upload = send(bob, picture(tmp_path / "bob.png", 32, 24, seed=3), options={"preset": "thumbnail-100"})
    assert ended(bob, upload)["error"] is None
    until(lambda: cloud.letters("bob@example.org", "ready"))
    assert [image["id"] for image in bob.get("/images").json()["images"]] == [upload]
    nobody = cloud.visitor(signed_in["AuthenticationResult"]["IdToken"][:-6] + "forged")
    assert nobody.get("/images").status_code == 401


def test_presigned_upload_storage_event_polling_and_presigned_download(
    cloud: Cloud, ada: httpx.Client, tmp_path: Path
) -> None:
    job_id = send(ada, picture(tmp_path / "cat.png", 64, 48, seed=1), options={"preset": "thumbnail-100"})
    job = ended(ada, job_id)
    assert (job["error"], job["name"]) == (None, "cat.png")
    assert fetched(cloud, ada, job).size == (100, 100)


def test_verified_address_queue_model_statuses_and_mail(
    cloud: Cloud, ada: httpx.Client, worker: Any, tmp_path: Path
) -> None:
    upload = send(ada, picture(tmp_path / "dog.png", 40, 30, seed=2))
    assert ada.get(f"/jobs/{upload}").status_code == 404, "nothing was ordered with it"
    answer = ada.post("/process-file", json={"uploads": [upload], "options": {"model": SMALL_MODEL}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["batch"]["jobs"][0]["status"] == 1
    job = ended(ada, upload)
    assert (job["status"], job["error"]) == (2, None)
    assert fetched(cloud, ada, job).size == (160, 120)
    cloud.letter_about("dog.png")
    cloud.ses_says("Delivery", upload)
    assert ended(ada, upload, status=3)["status"] == 3


def test_a_mail_that_comes_back_is_told(cloud: Cloud, ada: httpx.Client, tmp_path: Path) -> None:
    upload = send(ada, picture(tmp_path / "lost.png", 20, 20, seed=4), options={"preset": "thumbnail-100"})
    ended(ada, upload)
    recipients = [{"diagnosticCode": "550 5.1.1 no such mailbox"}]
    cloud.letter_about("lost.png")
    cloud.ses_says("Bounce", upload, bounce={"bounceType": "Permanent", "bouncedRecipients": recipients})
    job = ended(ada, upload, status=4)
    assert job["status"] == 4
    assert "no such mailbox" in job["error"]["detail"]
    cloud.ses_says("Delivery", upload)
    assert ada.get(f"/jobs/{upload}").json()["status"] == 4, "late news change nothing"


def test_a_complaint_says_that_the_mail_arrived(cloud: Cloud, ada: httpx.Client, tmp_path: Path) -> None:
    upload = send(ada, picture(tmp_path / "unwanted.png", 20, 20, seed=12), options={"preset": "thumbnail-100"})
    ended(ada, upload)
    cloud.letter_about("unwanted.png")
    cloud.ses_says("Complaint", upload, complaint={"complaintFeedbackType": "abuse"})
    job = ended(ada, upload, status=3)
    assert (job["status"], job["error"]) == (3, None)


def test_process_file_through_topic_and_queue_with_preprocess_and_filters_and_a_mail(
    cloud: Cloud, ada: httpx.Client, worker: Any, tmp_path: Path
) -> None:
    upload = send(ada, picture(tmp_path / "grey.png", 60, 40, seed=5))
    options = {"preset": "filters", "denoise": True, "sharpen": 1.0, "greyscale": True, "width": 30, "format": "jpeg"}
    assert ada.post("/process-file", json={"uploads": [upload], "options": options}).status_code == 202
    job = ended(ada, upload)
    made = fetched(cloud, ada, job)
    assert (job["error"], made.size, made.format, made.mode) == (None, (30, 20), "JPEG", "L")
    cloud.letter_about("grey.png")


def test_state_machine_validates_resizes_beside_a_thumbnail_archives_and_announces(
    cloud: Cloud, ada: httpx.Client, worker: Any, tmp_path: Path
) -> None:
    heard = cloud.listen(cloud.outputs["JobEventsTopicArn"])
    path = picture(tmp_path / "wide.png", 120, 60, seed=6)
    upload = send(ada, path, options={"preset": "resize+thumbnail", "width": 60})
    job = ended(ada, upload)
    assert (job["facts"]["width"], job["facts"]["format"]) == (120, "png")
    assert fetched(cloud, ada, job).size == (60, 30)
    assert fetched(cloud, ada, job, "preview").size == (100, 100)
    archive = cloud.client("s3").get_object(Bucket=cloud.outputs["ArchiveBucketName"], Key=f"archive/{upload}")
    assert archive["Body"].read() == path.read_bytes()
    events = until(lambda: [event for event in heard() if event["job"] == upload[:12]])
    assert [(event["status"], event["code"]) for event in events] == [(2, None)]
    steps = [
        name
        for name in cloud.steps_of(upload)
        if name in ("Begin", "Validate", "Metadata", "Beside", "Archive", "Commit")
    ]
    assert steps == ["Begin", "Validate", "Metadata", "Beside", "Archive", "Commit"]


def test_thumbnails_are_listed_and_given_to_their_owner_only(cloud: Cloud, ada: httpx.Client, tmp_path: Path) -> None:
    upload = send(ada, picture(tmp_path / "mine.png", 50, 80, seed=7), options={"preset": "thumbnail-100"})
    job = ended(ada, upload)
    listed = ada.get("/images").json()["images"]
    assert upload in [image["id"] for image in listed]
    assert fetched(cloud, ada, job, "thumbnail").size == (100, 100)
    eve = cloud.visitor(cloud.sign_in("eve@example.org"))
    assert eve.get("/images").json()["images"] == []
    assert eve.delete(f"/jobs/{upload}").status_code == 404
    assert ada.delete(f"/jobs/{upload}").status_code in (200, 204)
    assert ada.get(f"/image/{upload}").status_code == 404


def test_a_clip_goes_to_a_worker_with_all_its_steps(
    cloud: Cloud, ada: httpx.Client, worker: Any, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", ticks=range(6))
    upload = send(ada, clip, options={"model": SMALL_MODEL})
    job = ended(ada, upload)
    assert (job["error"], job["facts"]["kind"], job["facts"]["frames"]) == (None, "clip", 6)
    assert "Validate" not in cloud.steps_of(upload)


def test_a_file_that_is_none_is_settled_with_words_and_a_mail(cloud: Cloud, ada: httpx.Client, tmp_path: Path) -> None:
    poison = tmp_path / "poison.png"
    poison.write_bytes(picture(tmp_path / "whole.png", 64, 64, seed=8).read_bytes()[:300])
    upload = send(ada, poison, options={"preset": "thumbnail-100"})
    job = ended(ada, upload)
    assert (job["status"], job["attempt"]) == (4, 1), "what is damaged is not tried again"
    assert job["error"]["code"] == "corrupt-media"
    assert until(lambda: [each for each in cloud.mails.arrived if "poison.png" in cloud.text(each)])
    assert cloud.dead_letters() == 0


def test_messages_and_events_that_come_again_do_no_harm(cloud: Cloud, ada: httpx.Client, tmp_path: Path) -> None:
    upload = send(ada, picture(tmp_path / "twice.png", 30, 30, seed=10), options={"preset": "thumbnail-100"})
    ended(ada, upload)
    intake, uploads = cloud.outputs["IntakeQueueUrl"], cloud.outputs["UploadsBucketName"]
    event = {"detail": {"bucket": {"name": uploads}, "object": {"key": f"uploads/{upload}", "etag": "other"}}}
    for body in (upload, upload, json.dumps(event), "{}", "no message of ours"):
        cloud.client("sqs").send_message(QueueUrl=intake, MessageBody=body)
    until(lambda: cloud.waiting(intake) == 0)
    job = ada.get(f"/jobs/{upload}").json()
    assert (job["status"], job["attempt"]) == (2, 1)
    assert len([letter for letter in cloud.mails.arrived if "twice.png" in cloud.text(letter)]) == 1


def test_what_may_not_be_uploaded_is_refused(cloud: Cloud, ada: httpx.Client, tmp_path: Path) -> None:
    new = {"name": "a.png", "size_bytes": 100, "content_type": "image/png"}
    assert ada.post("/uploads", json={**new, "name": "a.svg", "content_type": "image/svg+xml"}).status_code == 415
    assert ada.post("/uploads", json={**new, "size_bytes": 2**40}).status_code == 413
    assert cloud.visitor().post("/uploads", json=new).status_code == 401
    form = ada.post("/uploads", json=new).json()

    def sent(data: bytes, **changed: str) -> int:
        fields = {**form["fields"], **changed}
        return httpx.post(form["url"], data=fields, files={"file": ("a.png", data)}, timeout=60).status_code

    assert sent(b"x" * 101) == 400, "larger than was said"
    assert sent(b"x" * 10, **{"Content-Type": "text/html"}) in (400, 403), "of another type"
    assert sent(b"x" * 10, key=f"uploads/{'0' * 64}") in (400, 403), "to another place"
    policy = form["fields"]["policy"]
    assert sent(b"x" * 10, policy=policy[:-8] + "A" * 8) in (400, 403), "forged"
    short = cloud.objects().upload_form(f"uploads/{form['id']}", content_type="image/png", max_bytes=9, expires_in_s=1)
    time.sleep(2)
    late = httpx.post(short.url, data=dict(short.fields), files={"file": ("a.png", b"x")}, timeout=60)
    assert late.status_code in (400, 403), "over"
    assert sent(b"x" * 10) == 204, "and what is right is taken"


def test_a_hundred_jobs_at_once_are_all_done_once(cloud: Cloud, tmp_path: Path) -> None:
    many = cloud.visitor(cloud.sign_in("many@example.org"))
    packed = tmp_path / "many.zip"
    with zipfile.ZipFile(packed, "w") as out:
        for number in range(HUNDRED):
            one = picture(tmp_path / f"{number:03}.png", 24, 24, seed=100 + number)
            out.write(one, one.name)
    upload = send(many, packed)
    answer = many.post("/process-file", json={"uploads": [upload], "options": {"preset": "thumbnail-100"}})
    batch = answer.json()["batch"]
    assert len(batch["jobs"]) == HUNDRED

    def settled() -> Any:
        answer = many.get(f"/batches/{batch['id']}")
        jobs = answer.json().get("jobs", ()) if answer.status_code == 200 else ()  # functions are busy
        return jobs if jobs and all(job["status"] != 1 for job in jobs) else None

    jobs = until(settled, patience_s=240)
    assert {(job["status"], job["attempt"], job["error"]) for job in jobs} == {(2, 1, None)}
    until(lambda: cloud.letters("many@example.org", "ready"))
    assert len(cloud.letters("many@example.org", "ready")) == 1
    assert cloud.dead_letters() == 0


def test_the_app_is_the_same_over_the_cloud(cloud: Cloud, tmp_path: Path) -> None:
    with cloud.app() as address:
        visitor = httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {cloud.sign_in('kim@example.org')}"}
        )
        assert visitor.get("/health").json()["mail"] == "ses"
        upload = send(visitor, picture(tmp_path / "app.png", 40, 40, seed=11))
        submitted = visitor.post("/process-file", json={"uploads": [upload], "options": {"preset": "thumbnail-100"}})
        assert submitted.status_code == 202
        assert ended(visitor, upload)["error"] is None
        cloud.letter_about("app.png")


def test_roles_may_do_their_own_work_and_nobody_elses(cloud: Cloud) -> None:
    uploads, archive = (f"arn:aws:s3:::{cloud.outputs[f'{name}BucketName']}" for name in ("Uploads", "Archive"))
    processed = f"arn:aws:s3:::{cloud.outputs['ProcessedBucketName']}"
    pipeline, secret = cloud.outputs["StateMachineArn"], cloud.outputs["SessionSecretArn"]
    table = cloud.client("dynamodb").describe_table(TableName=cloud.outputs["TableName"])["Table"]["TableArn"]
    functions = [name for name in cloud.functions if name.endswith("Function")]
    policies = {role: cloud.policies_of(role) for role in (name.replace("Function", "Role") for name in functions)}
    everybody = set(policies)

    def who_may(action: str, resource: str) -> set[str]:
        return {role for role, own in policies.items() if cloud.allow(own, action, resource)}

    assert who_may("dynamodb:PutItem", table) == everybody
    assert who_may("dynamodb:PutItem", f"{table}-of-another-stack") == set()
    assert who_may("dynamodb:DeleteTable", table) == set()
    assert who_may("secretsmanager:GetSecretValue", secret) == {"ApiRole"}
    assert who_may("states:StartExecution", pipeline) == {"IntakeRole"}
    assert who_may("s3:PutObject", f"{uploads}/uploads/x") == {"ApiRole", "IntakeRole"}
    assert who_may("s3:PutObject", f"{uploads}/elsewhere/x") == set()
    assert who_may("s3:PutObject", f"{archive}/archive/x") == {"ArchiveRole"}
    assert who_may("s3:GetObject", f"{processed}/processed/x") >= {"ApiRole", "StageRole", "MailRole"}
    assert who_may("s3:PutBucketPolicy", uploads) == set()
    assert who_may("iam:PassRole", "arn:aws:iam::000000000000:role/any") == set()


def test_a_killed_worker_loses_nothing(cloud: Cloud, ada: httpx.Client, interrupted: str, worker: Any) -> None:
    job = ended(ada, interrupted)
    assert (job["status"], job["error"], job["attempt"] >= 3) == (2, None, True), "of the machine, the killed one, ours"
    assert fetched(cloud, ada, job).size == (1280, 960)
    cloud.letter_about("large.png")
