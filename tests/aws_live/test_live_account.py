"""What no emulator shows, on a real account: IRSS_AWS_LIVE_STACK names a deployed stack of yours.

    IRSS_AWS_LIVE_STACK=irss-staging AWS_DEFAULT_REGION=eu-central-1 pytest tests/aws_live

It makes two roles, a queue and a state machine for a few minutes, hands in two small pictures, and costs some cents.
The mails go to Amazon's mailbox simulator, which the sandbox of SES allows, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from aws.ops.account import Account, sign_in
from aws.ops.overview import settings_of
from aws.ops.stack import Resource, Stack, require_stack, resources
from irss_core.aws_jobs import build_job_service
from irss_core.config import Settings
from irss_core.jobs.job import Job
from irss_core.jobs.options import JobOptions
from irss_core.jobs.service import JobService

STACK = os.environ.get("IRSS_AWS_LIVE_STACK", "")
pytestmark = [
    pytest.mark.skipif(
        not STACK, reason="IRSS_AWS_LIVE_STACK names no stack: these tests need a real account and cost some cents"
    ),
    pytest.mark.timeout(3000),
]

_DAY_S = 86_400
_ROLES_ARE_KNOWN_AFTER_S = 15.0  # IAM takes some seconds to spread the word
_TTL_TAKES_AT_MOST_S = 3 * _DAY_S  # AWS says "within a few days"


def until(found: Callable[[], Any], *, patience_s: float, every_s: float = 5.0) -> Any:
    """What a function gives as soon as that is something."""
    over_at = time.monotonic() + patience_s
    while time.monotonic() < over_at:
        if value := found():
            return value
        time.sleep(every_s)
    pytest.fail(f"waited {patience_s:.0f} s in vain")


@pytest.fixture(scope="module")
def account() -> Account:
    return sign_in()


@pytest.fixture(scope="module")
def stack(account: Account) -> Stack:
    return require_stack(account, STACK)


@pytest.fixture(scope="module")
def parts(account: Account, stack: Stack) -> dict[str, Resource]:
    return resources(account, stack)


@pytest.fixture(scope="module")
def service(account: Account, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    """The jobs of the stack, as another machine sees them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings_of(account, stack).items():
            patch.setenv(name, value)
        patch.setenv("IRSS_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield build_job_service(Settings())


@contextlib.contextmanager
def made_role(account: Account, trusted: dict[str, str], policy: dict[str, Any] | None) -> Iterator[str]:
    """The ARN of a role that may do what the policy says, or nothing."""
    iam, name = account.client("iam"), f"irss-live-{secrets.token_hex(6)}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trusted}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    try:
        if policy is not None:
            allowed = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **policy}]})
            iam.put_role_policy(RoleName=name, PolicyName="live", PolicyDocument=allowed)
        time.sleep(_ROLES_ARE_KNOWN_AFTER_S)
        yield arn
    finally:
        with contextlib.suppress(ClientError):
            iam.delete_role_policy(RoleName=name, PolicyName="live")
        iam.delete_role(RoleName=name)


# IAM is enforced.


def test_a_role_of_the_account_that_is_not_ours_is_denied(account: Account, stack: Stack) -> None:
    with made_role(account, {"AWS": f"arn:{account.partition}:iam::{account.id}:root"}, None) as arn:
        given = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="live")["Credentials"]
        other = boto3.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=account.region
        )
        calls: list[Callable[[], Any]] = [
            lambda: other.client("s3").list_objects_v2(Bucket=stack.outputs["UploadsBucketName"]),
            lambda: other.client("sqs").receive_message(QueueUrl=stack.outputs["TasksQueueUrl"]),
            lambda: other.client("dynamodb").scan(TableName=stack.outputs["TableName"]),
            lambda: other.client("secretsmanager").get_secret_value(SecretId=stack.outputs["SessionSecretArn"]),
            lambda: other.client("stepfunctions").list_executions(stateMachineArn=stack.outputs["StateMachineArn"]),
        ]
        for call in calls:
            with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
                call()


@pytest.mark.parametrize(
    ("role", "action", "resource"),
    [
        ("BeginRole", "s3:GetObject", "arn:{partition}:s3:::{uploads}/uploads/x"),
        ("StageRole", "ses:SendRawEmail", "arn:{partition}:ses:{region}:{account}:identity/x"),
        ("StageRole", "s3:PutObject", "arn:{partition}:s3:::{archive}/archive/x"),
        ("MailRole", "s3:GetObject", "arn:{partition}:s3:::{uploads}/uploads/x"),
        ("MailRole", "states:StartExecution", "{machine}"),
        ("CommitRole", "dynamodb:DeleteTable", "arn:{partition}:dynamodb:{region}:{account}:table/{table}"),
    ],
)
def test_a_function_may_not_do_what_is_another_ones(
    account: Account, stack: Stack, parts: dict[str, Resource], role: str, action: str, resource: str
) -> None:
    arn = resource.format(
        partition=account.partition,
        region=account.region,
        account=account.id,
        uploads=stack.outputs["UploadsBucketName"],
        archive=stack.outputs["ArchiveBucketName"],
        table=stack.outputs["TableName"],
        machine=stack.outputs["StateMachineArn"],
    )
    source = account.client("iam").get_role(RoleName=parts[role].physical_id)["Role"]["Arn"]
    asked = {"PolicySourceArn": source, "ActionNames": [action], "ResourceArns": [arn]}
    (result,) = account.client("iam").simulate_principal_policy(**asked)["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"


# A task token is new at every try.


def test_each_retry_has_a_token_of_its_own_and_the_old_one_is_worth_nothing(account: Account) -> None:
    name = f"irss-live-{secrets.token_hex(6)}"
    sqs, machines = account.client("sqs"), account.client("stepfunctions")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    wait = {
        "Type": "Task",
        "Resource": f"arn:{account.partition}:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": url, "MessageBody.$": "$$.Task.Token"},
        "HeartbeatSeconds": 10,
        "Retry": [{"ErrorEquals": ["States.HeartbeatTimeout"], "IntervalSeconds": 1, "MaxAttempts": 1}],
        "End": True,
    }
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": wait}})

    def token() -> str | None:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        for message in answer.get("Messages", ()):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return str(message["Body"])
        return None

    policy = {"Action": "sqs:SendMessage", "Resource": queue_arn}
    with made_role(account, {"Service": "states.amazonaws.com"}, policy) as role:
        machine = machines.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"]
        try:
            execution = machines.start_execution(stateMachineArn=machine)["executionArn"]
            first = until(token, patience_s=60, every_s=0)
            second = until(token, patience_s=60, every_s=0)  # nobody beat for ten seconds: the heartbeat is enforced
            assert first != second
            with pytest.raises(ClientError, match=r"TaskTimedOut|TaskDoesNotExist|InvalidToken"):
                machines.send_task_success(taskToken=first, output='"old"')
            machines.send_task_success(taskToken=second, output='"new"')
            done = until(lambda: _ended(machines, execution), patience_s=60)
            assert (done["status"], done["output"]) == ("SUCCEEDED", '"new"')
        finally:
            machines.delete_state_machine(stateMachineArn=machine)
            sqs.delete_queue(QueueUrl=url)


def _ended(machines: Any, execution: str) -> Any:
    found = machines.describe_execution(executionArn=execution)
    return None if found["status"] == "RUNNING" else found


# DynamoDB deletes what is over.


def test_records_that_are_over_go_by_themselves(account: Account, stack: Stack) -> None:
    client, table, now = account.client("dynamodb"), stack.outputs["TableName"], round(time.time())
    told = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert (told["TimeToLiveStatus"], told["AttributeName"]) == ("ENABLED", "ttl")
    item = {"pk": {"S": "live-ttl"}, "sk": {"S": f"{now:012d}"}, "ttl": {"N": str(now - 60)}}
    client.put_item(TableName=table, Item=item)
    found = client.query(
        TableName=table,
        KeyConditionExpression="pk = :pk AND sk < :sk",
        ExpressionAttributeValues={":pk": {"S": "live-ttl"}, ":sk": {"S": f"{now - _TTL_TAKES_AT_MOST_S:012d}"}},
    )
    assert found["Items"] == [], "left by a run of these tests more than three days ago"


# Pictures, from here to SES and back, by workers that come and go.


def handed_in(service: JobService, address: str, folder: Path) -> Job:
    path = folder / "picture.png"
    Image.effect_noise((48, 32), 60).convert("RGB").save(path)
    owner = service.sessions.owner_of_address(address)
    upload = service.add_upload(owner, path, name=path.name)
    (job,) = service.submit(owner, [upload], JobOptions(model="realesr-animevideov3"), ip=None).jobs
    return job


def settled(service: JobService, job: Job, *statuses: int) -> Callable[[], Job | None]:
    def look() -> Job | None:
        now = service.job(job.id)
        return now if now.status in statuses else None

    return look


def test_the_first_worker_comes_for_a_task_and_goes_when_nothing_is_left(
    account: Account, stack: Stack, service: JobService, tmp_path: Path
) -> None:
    cluster, worker = stack.outputs["ClusterName"], stack.outputs["WorkerServiceName"]
    if not worker:
        pytest.skip("the stack was deployed without a worker")

    def wanted() -> int:
        (found,) = account.client("ecs").describe_services(cluster=cluster, services=[worker])["services"]
        return int(found["desiredCount"])

    job = handed_in(service, "success@simulator.amazonses.com", tmp_path)
    until(lambda: wanted() > 0, patience_s=600)
    done = until(settled(service, job, 3, 4), patience_s=1200)
    assert (done.status, done.error) == (3, None), "SES says that it was delivered"
    until(lambda: wanted() == 0, patience_s=1800, every_s=15)


def test_a_mail_that_comes_back_settles_the_job(service: JobService, stack: Stack, tmp_path: Path) -> None:
    if not stack.outputs["WorkerServiceName"]:
        pytest.skip("the stack was deployed without a worker")
    job = handed_in(service, "bounce@simulator.amazonses.com", tmp_path)
    done = until(settled(service, job, 4), patience_s=1800)
    assert done.error_code == "mail-failed"


# The page is CloudFront's alone.


def test_the_pages_bucket_itself_answers_403(account: Account, stack: Stack) -> None:
    if not stack.outputs["WebUrl"]:
        pytest.skip("the stack was deployed without CloudFront")
    bucket = f"https://{stack.outputs['WebBucketName']}.s3.{account.region}.amazonaws.com"
    assert httpx.get(f"{bucket}/index.html").status_code == 403
    page = httpx.get(stack.outputs["WebUrl"])
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert httpx.get(f"{stack.outputs['WebUrl']}/health").status_code == 200, "the API is on the same address"


def test_results_are_nobodys_without_an_address_that_was_signed(account: Account, stack: Stack) -> None:
    for bucket in ("UploadsBucketName", "ProcessedBucketName", "ArchiveBucketName"):
        answer = httpx.get(f"https://{stack.outputs[bucket]}.s3.{account.region}.amazonaws.com/processed/x/result")
        assert answer.status_code == 403


# The domain that mails come from.


def test_the_domain_of_the_sender_signs_its_mails(account: Account, stack: Stack) -> None:
    domain = stack.parameters["Email"].rpartition("@")[2]
    try:
        told = account.client("sesv2").get_email_identity(EmailIdentity=domain)
    except ClientError:
        pytest.skip(f"SES knows no domain {domain}: the stack sends in the name of an address")
    assert told["VerifiedForSendingStatus"]
    assert told["DkimAttributes"]["Status"] == "SUCCESS"
