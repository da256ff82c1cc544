"""Cloud: AWS without AWS. MiniStack in a process of its own, the whole stack deployed in it, and a mail server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from aws.packages import PACKAGES, build_package
from irss_core.adapters.aws.job_store import DynamoJobStore
from irss_core.adapters.aws.objects import S3Objects
from irss_core.adapters.local.clock import SystemClock
from tests.aws_emulator import REGION, client_at
from tests.e2e.visitors import free_port
from tests.mail_server import MailServer

ROOT = Path(__file__).resolve().parents[2]
MINISTACK = ROOT / ".aws-tools" / "ministack" / "bin" / "ministack"
OPERATOR = "operator@irss.test"
PATIENCE_S = 150.0
AT_ONCE = 3  # of each function that steps run in: each is a process, which takes a second to start
_STEPS = ("BeginFunction", "StageFunction", "ArchiveFunction", "CommitFunction")
_STEP_S = 0.1


@dataclass
class Cloud:
    """A deployed service, and everything of it within a test's reach."""

    endpoint: str
    mails: MailServer
    outputs: Mapping[str, str]
    functions: Mapping[str, str]  # logical name -> name, of all resources
    settings: Mapping[str, str]  # IRSS_… of every part
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator; making one takes longer than what most are asked."""
        if service not in self._clients:
            self._clients[service] = client_at(self.endpoint, service)
        return self._clients[service]

    @property
    def api_address(self) -> str:
        """Where the emulator answers for the HTTP API."""
        return f"{self.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/$default"

    def visitor(self, token: str | None = None) -> httpx.Client:
        """Somebody at the HTTP API, with a session or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.api_address, headers=headers, timeout=60)

    def environment(self) -> dict[str, str]:
        """What the worker and `irss serve` are told."""
        nobody = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": REGION,
        }
        rest = {name: value for name, value in os.environ.items() if not name.startswith(("IRSS_", "AWS_"))}
        return rest | nobody | {**self.settings, "IRSS_DATA_DIR": str(self.folder / "worker"), "IRSS_OFFLINE": "true"}

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker as it runs on ECS."""
        command = [sys.executable, "-m", "irss_core.cli", "worker"]
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        worker = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log, cwd=ROOT)
        self.workers.append(worker)
        return worker

    def letters(self, to: str, subject: str = "") -> list[EmailMessage]:
        """The mails that somebody got."""
        return [each for each in self.mails.arrived if each["To"] == to and subject in each["Subject"]]

    def letter_about(self, name: str) -> EmailMessage:
        """The one mail that names a file, as soon as it is here."""
        (letter,) = until(lambda: [each for each in self.mails.arrived if name in self.text(each)])
        return letter  # type: ignore[no-any-return]

    def text(self, letter: EmailMessage) -> str:
        """A mail's plain text."""
        return str(letter.get_body(("plain",)).get_content())  # type: ignore[union-attr]

    def ses_says(self, kind: str, job_id: str, **detail: Any) -> None:
        """Tell the service what SES has to say of a job's mail, in the words that it says it in.

        The emulator tells nothing of its mails by itself. As SES does, it puts a Message-ID of its own in place
        of ours, so the mail is named by its tag.
        """
        store = DynamoJobStore(self.client("dynamodb"), self.outputs["TableName"])
        (mail,) = store.mails_of_batch(store.job(job_id).batch_id)  # type: ignore[union-attr]
        tag = mail.message_id.strip("<>").partition("@")[0]
        event = {"source": "aws.ses", "detail": {"eventType": kind, "mail": {"tags": {"mail": [tag]}}, **detail}}
        payload = json.dumps(event).encode()
        answer = self.client("lambda").invoke(FunctionName=self.functions["SesEventsFunction"], Payload=payload)
        assert "FunctionError" not in answer, answer["Payload"].read()

    def listen(self, topic: str) -> Callable[[], list[dict[str, Any]]]:
        """What is said on a topic from now on, all of it each time."""
        sqs, heard = self.client("sqs"), []
        url = sqs.create_queue(QueueName=f"ear-{len(topic)}-{time.monotonic_ns()}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        raw = {"RawMessageDelivery": "true"}
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)

        def said() -> list[dict[str, Any]]:
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", ())
            heard.extend(json.loads(each["Body"]) for each in found)
            return heard

        return said

    def steps_of(self, job_id: str) -> list[str]:
        """The states that a job's execution entered, in their order."""
        arn = f"{self.outputs['StateMachineArn'].replace(':stateMachine:', ':execution:')}:{job_id}"
        history = self.client("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)["events"]
        entered = (each.get("stateEnteredEventDetails", {}).get("name") for each in history)
        return [name for name in entered if name]

    def policies_of(self, role: str) -> list[str]:
        """A role's policies as they were deployed, as JSON."""
        iam, name = self.client("iam"), self.functions[role]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        policies = [iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in inline]
        for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=each["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=each["PolicyArn"], VersionId=version)
            policies.append(found["PolicyVersion"]["Document"])
        return [json.dumps(each) for each in policies]

    def allow(self, policies: list[str], action: str, resource: str) -> bool:
        """Whether policies let somebody do something to a resource."""
        answer = self.client("iam").simulate_custom_policy(
            PolicyInputList=policies, ActionNames=[action], ResourceArns=[resource]
        )
        (result,) = answer["EvaluationResults"]
        return bool(result["EvalDecision"] == "allowed")

    def waiting(self, url: str) -> int:
        """How many messages a queue holds, in work or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def dead_letters(self) -> int:
        """How many messages failed too often, in all queues."""
        return sum(self.waiting(self.outputs[f"{name}DlqUrl"]) for name in ("Intake", "Mail", "Tasks", "Events"))

    def objects(self) -> S3Objects:
        """The object store, as the service has it."""
        return S3Objects(self.client("s3"), {"uploads": self.outputs["UploadsBucketName"]}, SystemClock())

    @contextlib.contextmanager
    def app(self) -> Iterator[str]:
        """The address of `irss serve` over this service while the block runs."""
        port = free_port()
        environment = {**self.environment(), "IRSS_PORT": str(port), "IRSS_WORKERS": "0", "IRSS_PUBLIC_URL": ""}
        environment.pop("IRSS_PUBLIC_URL")
        with (self.folder / "app.log").open("wb") as log:
            command = [sys.executable, "-m", "irss_core.cli", "serve"]
            app = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)
            try:
                until(lambda: _answers(f"http://127.0.0.1:{port}/health"))
                yield f"http://127.0.0.1:{port}"
            finally:
                app.terminate()
                app.wait(30)

    def sign_in(self, address: str) -> str:
        """A session's token, by the code that is mailed."""
        with self.visitor() as visitor:
            assert visitor.post("/verify", json={"address": address}).status_code in (200, 202, 204)
            (letter,) = until(lambda: self.letters(address, "code"))
            code = re.search(r"\b(\d{6})\b", letter.get_body(("plain",)).get_content())[1]  # type: ignore[index,union-attr]
            answer = visitor.post("/verify/confirm", json={"address": address, "code": code})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["token"])

    def stop(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(20)


def until(found: Callable[[], Any], *, patience_s: float = PATIENCE_S) -> Any:
    """What a function gives as soon as that is something."""
    over_at = time.monotonic() + patience_s
    while time.monotonic() < over_at:
        if value := found():
            return value
        time.sleep(_STEP_S)
    raise AssertionError(f"waited {patience_s:g} s in vain")


@contextlib.contextmanager
def ministack(folder: Path, *, smtp_port: int) -> Iterator[str]:
    """The emulator's address while the block runs."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "IRSS_"))},
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "BIND_HOST": "127.0.0.1",
        "SMTP_HOST": f"127.0.0.1:{smtp_port}",
        "TMPDIR": str(folder),
    }
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen([MINISTACK], env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            until(lambda: _answers(f"{endpoint}/_ministack/health"), patience_s=60)
            yield endpoint
        finally:
            process.terminate()
            process.wait(30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


# Whom the emulator has no place for it turns away as AWS does, but for the name of the error.
_THROTTLED = "Lambda.TooManyRequestsException"
# What the emulator does not take, and nothing of the pipeline needs.
_LEFT_OUT = ("FailureRateAlarm", "FirstWorkerWanted")
_WITHOUT_LIMITS = {
    "IRSS_SUBMISSIONS_PER_HOUR": "1000",
    "IRSS_SUBMISSIONS_PER_DAY": "1000",
    "IRSS_SUBMISSIONS_IN_FLIGHT": "1000",
}
_BUCKET = "irss-artifacts"
_STACK = "irss"


@contextlib.contextmanager
def deployed(folder: Path) -> Iterator[Cloud]:
    """The service of aws/template.yaml, with the real packages, in an emulator of its own."""
    with MailServer() as mails, ministack(folder, smtp_port=mails.port) as endpoint:
        template = _upload(endpoint, folder)
        cloudformation = client_at(endpoint, "cloudformation")
        cloudformation.create_stack(
            StackName=_STACK,
            TemplateURL=template,
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in {"Email": OPERATOR, "Site": "none", "PublicUrl": "https://irss.example.org"}.items()
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        stack = until(lambda: _ended(cloudformation))
        assert stack["StackStatus"] == "CREATE_COMPLETE", (folder / "ministack.log").read_text()[-3000:]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        names = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in cloudformation.describe_stack_resources(StackName=_STACK)["StackResources"]
        }
        settings = _configure(endpoint, folder, outputs, names)
        client_at(endpoint, "ses").verify_email_identity(EmailAddress=OPERATOR)
        yield Cloud(endpoint, mails, outputs, names, settings, folder)


def _upload(endpoint: str, folder: Path) -> str:
    """Build the packages, put them and the template into a bucket, and return the template's address."""
    s3 = client_at(endpoint, "s3")
    s3.create_bucket(Bucket=_BUCKET)
    text = (ROOT / "aws" / "template.yaml").read_text()
    for name in PACKAGES:
        build_package(name, folder / name)
        packed = folder / f"{name}.zip"
        with zipfile.ZipFile(packed, "w") as out:
            out.writestr("package.txt", str(folder / name))
        s3.upload_file(str(packed), _BUCKET, packed.name)
        text = text.replace(f"../build/lambda/{name}", f"s3://{_BUCKET}/{packed.name}")
    definition = (ROOT / "aws" / "pipeline.asl.json").read_text()
    definition = definition.replace(f'["{_THROTTLED}"]', f'["{_THROTTLED}", "Lambda.Unknown"]')
    definition = definition.replace(
        '"MaxDelaySeconds": 30', '"MaxDelaySeconds": 2'
    )  # what is waited for takes no longer
    s3.put_object(Bucket=_BUCKET, Key="pipeline.asl.json", Body=definition.encode())
    text = text.replace("DefinitionUri: pipeline.asl.json", f"DefinitionUri: s3://{_BUCKET}/pipeline.asl.json")
    for name in _LEFT_OUT:
        text = re.sub(rf"(?m)^  {name}:[^\n]*\n(?:(?:    .*|)\n)+", "", text)
    s3.put_object(Bucket=_BUCKET, Key="template.yaml", Body=text.encode())
    return f"{endpoint}/{_BUCKET}/template.yaml"


def _configure(endpoint: str, folder: Path, outputs: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Tell every function where its package is and what else is different here, and return the service's settings.

    The emulator unpacks a function's code anew for each process of it: the packages lie unpacked already.
    """
    functions, settings = client_at(endpoint, "lambda"), {}
    for name in (name for name in names if name.endswith("Function")):
        found = functions.get_function_configuration(FunctionName=names[name])
        package = "media" if name in ("StageFunction", "ArchiveFunction") else "control"
        changed = {
            **found["Environment"]["Variables"],
            **_WITHOUT_LIMITS,
            "PYTHONPATH": str(folder / package),
            # The issuer is at an address of AWS, which nobody here can reach.
            "IRSS_OIDC_KEYS_URL": f"{endpoint}/{outputs['UserPoolId']}/.well-known/jwks.json",
        }
        functions.update_function_configuration(FunctionName=names[name], Environment={"Variables": changed})
        settings = {key: value for key, value in changed.items() if key.startswith("IRSS_")}
        if name in _STEPS:
            functions.put_function_concurrency(FunctionName=names[name], ReservedConcurrentExecutions=AT_ONCE)
    return settings


def _ended(cloudformation: Any) -> Any:
    (stack,) = cloudformation.describe_stacks(StackName=_STACK)["Stacks"]
    return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack
