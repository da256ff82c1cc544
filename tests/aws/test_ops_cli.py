"""``irss cloud`` as an operator types it: what it prints, and what it says when something is not there."""

from __future__ import annotations

import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from irss_core import aws_jobs
from irss_core.adapters.aws.job_store import DynamoJobStore
from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.jobs.job import Batch, Job, JobStatus, given_up, new_id
from irss_core.jobs.keys import upload_key
from irss_core.jobs.options import JobOptions
from tests.aws.accounts import ID
from tests.aws.tools import tool
from tests.aws_emulator import REGION, client, moto_endpoint
from tests.made_sqs import MadeQueue, made_queue
from tests.made_tables import made_table

COMMANDS = [
    ["deploy", "--email", "me@example.org"],
    ["status"],
    ["logs", "0123456789ab"],
    ["doctor"],
    ["destroy", "--confirm", "irss"],
    ["dlq", "list"],
    ["dlq", "show", "work-1"],
    ["dlq", "redrive"],
]


@dataclass
class Shell:
    """A terminal: what was printed last, and the exit status."""

    out: str = ""
    err: str = ""

    def irss(self, *arguments: str) -> int:
        out, err = io.StringIO(), io.StringIO()
        status = main(["cloud", *arguments], console=Console(out, err))
        self.out, self.err = out.getvalue(), err.getvalue()
        return status

    def json(self, *arguments: str) -> Any:
        assert self.irss(*arguments) == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A machine that nobody set up for AWS; it is as before afterwards."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AWS_", "IRSS_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("IRSS_DATA_DIR", str(tmp_path / "data"))
    yield Shell()
    os.environ.clear()
    os.environ.update(before)
    aws_jobs._client.cache_clear()


def sign_in(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


# What is not there.


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_without_credentials_every_command_says_how_to_sign_in(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    assert shell.irss(*command) == 1
    assert shell.out == ""
    (line,) = shell.err.splitlines()
    assert "there are no credentials" in line
    assert "aws sso login" in line


@pytest.mark.parametrize("command", COMMANDS[1:], ids=lambda command: " ".join(command[:2]))
def test_a_stack_that_is_not_there_is_named_with_its_region_and_the_remedy(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    sign_in(monkeypatch, moto_endpoint())
    assert shell.irss(*command, "--stack", "irss-nowhere") == 1
    assert shell.out == ""
    (line,) = shell.err.splitlines()
    assert line.startswith(f"irss: There is no stack 'irss-nowhere' in {REGION} of account {ID}.")
    assert "irss cloud deploy" in line


@pytest.mark.parametrize(
    ("region", "words"), [("eu-cental-1", "Is it eu-central-1?"), ("moon", "no region 'moon'. Give --region")]
)
def test_a_region_that_there_is_not_is_refused_before_anything_is_asked(shell: Shell, region: str, words: str) -> None:
    assert shell.irss("deploy", "--region", region) == 2
    assert words in shell.err


def test_without_a_region_it_says_how_to_name_one(shell: Shell) -> None:
    assert shell.irss("status") == 2
    assert "--region" in shell.err


@pytest.mark.parametrize("name", ["Irss", "irss_eu", "../irss"])
def test_a_name_that_no_stack_can_have_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    sign_in(monkeypatch, moto_endpoint())
    assert shell.irss("status", "--stack", name) == 2
    assert "28 lower-case letters" in shell.err


class _Expired(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        error = "<Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>It is over.</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_an_expired_token_says_to_sign_in_again(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Expired)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sign_in(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    try:
        assert shell.irss("status") == 1
    finally:
        server.shutdown()
        server.server_close()
    (line,) = shell.err.splitlines()
    assert "ExpiredToken" in line
    assert "aws sso login" in line


def test_a_new_stack_needs_an_address(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(monkeypatch, moto_endpoint())
    assert shell.irss("deploy", "--stack", "irss-without") == 2
    assert "--email you@example.org" in shell.err


def test_help_loads_nothing_of_aws() -> None:
    code = (
        "import sys; from irss_core.cli.root import main; main(['cloud', '--help']); main(['--help']);"
        "print([name for name in sys.modules if name.split('.')[0] in ('aws', 'boto3', 'botocore', 'yaml', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Dead letters of the three queues.


@dataclass(frozen=True)
class Deployed:
    """A stack in moto with what the jobs need: its queues, and a job."""

    stack: str
    intake: MadeQueue
    tasks: MadeQueue
    mail: MadeQueue
    table: str


@pytest.fixture
def deployed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    sign_in(monkeypatch, moto_endpoint())
    made = Deployed(f"irss-{new_id()[:8]}", made_queue(), made_queue(), made_queue(), made_table(client("dynamodb")))
    secret = client("secretsmanager").create_secret(Name=made.stack, SecretString="secret" * 8)["ARN"]
    role = client("iam").create_role(RoleName=made.stack, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    queues = {
        f"IRSS_AWS_{name}_{kind}": url
        for name, queue in (("INTAKE", made.intake), ("TASKS", made.tasks), ("MAIL", made.mail))
        for kind, url in (("QUEUE", queue.url), ("DLQ", queue.dead_letters_url))
    }
    buckets = {f"IRSS_AWS_{name}_BUCKET": made.stack for name in ("UPLOADS", "PROCESSED", "ARCHIVE")}
    client("s3").create_bucket(Bucket=made.stack)
    variables = {"IRSS_BACKEND": "aws", "IRSS_AWS_TABLE": made.table, "IRSS_AWS_SESSION_SECRET": secret}
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.12",
            "Handler": "index.handler",
            "Role": role,
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "Environment": {"Variables": {**variables, **queues, **buckets}},
        },
    }
    template = json.dumps({"Resources": {"ApiFunction": function}})
    client("cloudformation").create_stack(StackName=made.stack, TemplateBody=template)
    return made


def stored_job(deployed: Deployed) -> Job:
    """A job that waits for a worker."""
    store = DynamoJobStore(client("dynamodb"), deployed.table)
    owner, batch_id, job_id = "a" * 64, new_id(), new_id()
    job = Job(
        id=job_id,
        batch_id=batch_id,
        owner=owner,
        number=1,
        name="a.png",
        input_key=upload_key(job_id),
        input_bytes=1,
        options=JobOptions(),
        created_at=1.0,
        updated_at=1.0,
    )
    store.create(Batch(batch_id, owner, "me@example.org", 1.0, jobs=1, open_jobs=1), [job])
    return job


def send(url: str, body: str) -> None:
    client("sqs").send_message(QueueUrl=url, MessageBody=body)


def waiting(queue: MadeQueue) -> list[str]:
    answer = client("sqs").receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
    return [each["Body"] for each in answer.get("Messages", ())]


def test_a_dead_task_is_shown_without_its_token_and_put_back(shell: Shell, deployed: Deployed) -> None:
    job = stored_job(deployed)
    send(deployed.tasks.dead_letters_url, f"{job.id} the-token function")
    assert shell.irss("dlq", "list", "--stack", deployed.stack) == 0
    row = shell.out.splitlines()[1].split()
    assert row[0].startswith("tasks-")
    assert row[2] == job.short_id
    (shown,) = shell.json("dlq", "show", row[0], "--stack", deployed.stack)
    assert (shown["about"], shown["jobs"][0]["id"]) == (job.id, job.id)
    assert "the-token" not in shell.out

    assert shell.irss("dlq", "redrive", "--dry-run", "--stack", deployed.stack) == 0
    assert "put back" in shell.out
    assert waiting(deployed.tasks) == []
    assert shell.irss("dlq", "redrive", "--stack", deployed.stack) == 0
    assert waiting(deployed.tasks) == [f"{job.id} the-token function"]
    assert shell.irss("dlq", "list", "--stack", deployed.stack) == 0
    assert shell.out == "No dead messages.\n"


def test_a_dead_task_of_a_job_that_was_given_up_is_computed_anew(shell: Shell, deployed: Deployed) -> None:
    job = stored_job(deployed)
    client("s3").put_object(Bucket=deployed.stack, Key=job.input_key, Body=b"x")
    store = DynamoJobStore(client("dynamodb"), deployed.table)
    store.settle(job, given_up(job, code="attempts-exhausted", error="Given up.", now=2.0))
    send(deployed.tasks.dead_letters_url, f"{job.id} the-token function")
    assert shell.irss("dlq", "redrive", "--stack", deployed.stack) == 0
    assert "computed anew" in shell.out
    again = store.job(job.id)
    assert again is not None
    assert again.status is JobStatus.NOT_PROCESSED
    assert waiting(deployed.intake) == [job.id], "the state machine begins it again"
    assert waiting(deployed.tasks) == []


def test_a_file_that_came_and_was_not_looked_at_is_not_thrown_away(shell: Shell, deployed: Deployed) -> None:
    arrival = json.dumps({"detail": {"bucket": {"name": "b"}, "object": {"key": "uploads/" + "a" * 64}}})
    send(deployed.intake.dead_letters_url, arrival)
    assert shell.irss("dlq", "list", "--stack", deployed.stack) == 0
    assert "a file that came" in shell.out
    assert shell.irss("dlq", "redrive", "--stack", deployed.stack) == 0
    assert waiting(deployed.intake) == [arrival]


def test_what_status_prints_for_a_shell_is_what_irss_dlq_needs(shell: Shell, deployed: Deployed) -> None:
    assert shell.irss("status", "--stack", deployed.stack, "--env") == 0
    exports = dict(line.removeprefix("export ").split("=", 1) for line in shell.out.splitlines())
    assert exports["AWS_DEFAULT_REGION"] == REGION
    assert exports["IRSS_AWS_TASKS_DLQ"] == deployed.tasks.dead_letters_url
    os.environ.update(exports)
    out = io.StringIO()
    assert main(["dlq", "list"], console=Console(out, io.StringIO())) == 0
    assert out.getvalue() == "No dead messages.\n"


# The whole way, in an emulator that knows plans.

TEMPLATE = """
Parameters:
  Email: {Type: String}
  LogDays: {Type: Number, Default: 30}
  ImageUri: {Type: String, Default: ""}
Resources:
  Queue: {Type: AWS::SQS::Queue}
  Dead: {Type: AWS::SQS::Queue}
  WebBucket: {Type: AWS::S3::Bucket}
  Logs: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref LogDays}}
  Images: {Type: AWS::ECR::Repository, Properties: {EmptyOnDelete: true}}
Outputs:
  WorkerRepositoryUri: {Value: !GetAtt Images.RepositoryUri}
  WebBucketName: {Value: !Ref WebBucket}
  ApiUrl: {Value: https://api.test}
  TasksQueueUrl: {Value: !Ref Queue}
  TasksDlqUrl: {Value: !Ref Dead}
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one, in which there is nothing."""
    tool("ministack/bin/ministack")
    from tests.aws.cloud import ministack

    with ministack(tmp_path_factory.mktemp("ministack"), smtp_port=9) as endpoint:
        yield endpoint


@pytest.fixture
def template(emulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A template to deploy there, from a machine without docker."""
    monkeypatch.setenv("PATH", str(tmp_path))
    sign_in(monkeypatch, emulator)
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return ["--template", str(path)]


def test_from_an_empty_account_and_back(shell: Shell, template: list[str]) -> None:
    assert shell.irss("deploy", "--email", "me@example.org", "--plan", *template) == 0
    assert f"5 changes to irss in {REGION}" in shell.out.splitlines()
    assert shell.irss("status") == 1, "a plan alone makes nothing"

    assert shell.irss("deploy", "--email", "me@example.org", "--yes", *template) == 0
    lines = [line.split() for line in shell.out.splitlines()]
    assert ["Add", "Queue", "AWS::SQS::Queue"] in lines
    assert "API: https://api.test" in shell.out.splitlines()
    assert "NO WORKER" in shell.err
    assert "docker build --platform linux/amd64" in shell.err

    told = shell.json("status", "--json")
    assert told["stack"]["status"] == "CREATE_COMPLETE"
    assert {queue["name"]: queue["waiting"] for queue in told["queues"]}["tasks"] == 0

    assert shell.irss("deploy", "--yes", "--image", "1.dkr.ecr/irss:1", "--set", "LogDays=7", *template) == 0
    assert ["Modify", "Logs", "AWS::Logs::LogGroup"] in [line.split()[:3] for line in shell.out.splitlines()]
    assert "NO WORKER" not in shell.err

    assert shell.irss("destroy", "--confirm", "other") == 2
    assert "Nothing was deleted" in shell.err
    assert shell.irss("destroy", "--confirm", "irss") == 0
    assert shell.out.splitlines()[-1] == "irss is gone"
    assert shell.irss("status") == 1


def test_nobody_to_agree_is_no(shell: Shell, template: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert shell.irss("deploy", "--stack", "irss-unsure", "--email", "me@example.org", *template) == 1
    assert "nothing was changed" in shell.err
    assert shell.irss("status", "--stack", "irss-unsure") == 1


def test_with_docker_a_new_stacks_worker_comes_in_a_second_plan(
    shell: Shell, template: list[str], tmp_path: Path
) -> None:
    docker, log = tmp_path / "docker", tmp_path / "docker.log"
    docker.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    docker.chmod(0o755)
    assert shell.irss("deploy", "--stack", "irss-docker", "--email", "me@example.org", "--yes", *template) == 0
    assert "NO WORKER" not in shell.err
    _, login, build, push = (line.split() for line in log.read_text().splitlines())
    assert (login[0], build[0], push[0]) == ("login", "build", "push")
    told = shell.json("status", "--stack", "irss-docker", "--json")
    repository = told["stack"]["outputs"]["WorkerRepositoryUri"]
    assert push[1].startswith(f"{repository}:")

    log.unlink()
    assert shell.irss("deploy", "--stack", "irss-docker", "--yes", "--image", "", *template) == 0
    assert not log.exists(), "an image that is named, even none, is not built"
