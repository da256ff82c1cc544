"""A stack that is there: how it is, what happened to a job, whether mails arrive, and how it is taken down."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aws.ops.account import Account
from aws.ops.buckets import deploy_bucket_name, open_deploy_bucket
from aws.ops.health import check_stack, send_tests
from aws.ops.history import executions_of, history
from aws.ops.images import Image, planned_image, push_image
from aws.ops.overview import alarm_states, look, queue_states, settings_of
from aws.ops.quotas import check_quotas
from aws.ops.removal import destroy, holdings, stop_workers
from aws.ops.stack import Resource, Stack
from irss_core.errors import ConflictError, InvalidOptionError, NotFoundError, ResourceError
from irss_core.progress import ProgressMeter
from tests.aws.accounts import ID, MadeClient, answer, made_account, moto_account, refuse
from tests.made_sqs import made_queue

JOB = "0123456789ab" + "c" * 52
MACHINE = f"arn:aws:states:us-east-1:{ID}:stateMachine:irss-pipeline"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def made_stack(status: str = "CREATE_COMPLETE", *, parameters: Any = None, **outputs: str) -> Stack:
    return Stack("irss", "arn:stack", status, "", parameters or {"Email": "me@example.org"}, outputs)


def never(_: float) -> None:
    raise AssertionError("nothing is to be waited for")


# Quotas.


def quota_account(
    *, concurrent: int = 1000, vcpus: float = 100, sandbox: bool = False, sending: bool = True
) -> Account:
    ses = {"SendQuota": {"Max24HourSend": 200.0, "MaxSendRate": 1.0}, "SendingEnabled": sending}
    return made_account(
        service_quotas=MadeClient(get_service_quota=answer({"Quota": {"Value": vcpus}})),
        sesv2=MadeClient(get_account=answer(ses | {"ProductionAccessEnabled": not sandbox})),
        **{"lambda": MadeClient(get_account_settings=answer({"AccountLimit": {"ConcurrentExecutions": concurrent}}))},
    )


@pytest.mark.parametrize(
    ("account", "found"),
    [
        (quota_account(), ["ok", "ok", "ok"]),
        (quota_account(concurrent=10), ["warn", "ok", "ok"]),
        (quota_account(vcpus=6), ["ok", "warn", "ok"]),
        (quota_account(vcpus=0), ["ok", "fail", "ok"]),
        (quota_account(sandbox=True), ["ok", "ok", "warn"]),
        (quota_account(sending=False), ["ok", "ok", "fail"]),
    ],
)
def test_quotas_that_are_too_small_are_found(account: Account, found: list[str]) -> None:
    checks = list(check_quotas(account, vcpus=16, gpu=False))
    assert [check.status for check in checks] == found
    assert all(check.remedy for check in checks if check.status != "ok")


@pytest.mark.parametrize(("gpu", "code"), [(False, "L-3032A538"), (True, "L-DB2E81BA")])
def test_the_quota_is_that_of_the_machines(gpu: bool, code: str) -> None:
    account = quota_account()
    list(check_quotas(account, vcpus=16, gpu=gpu))
    assert account.client("service-quotas").asked[0][1]["QuotaCode"] == code


def test_a_quota_that_may_not_be_read_does_not_stop_a_deployment() -> None:
    account = made_account(
        service_quotas=MadeClient(get_service_quota=refuse("AccessDeniedException")),
        sesv2=MadeClient(get_account=refuse("BadRequest")),
        **{"lambda": MadeClient(get_account_settings=refuse("AccessDeniedException"))},
    )
    assert {check.status for check in check_quotas(account, vcpus=1, gpu=False)} == {"warn"}


# Status.


def test_queues_are_counted_with_their_dead_letters() -> None:
    account, queue = moto_account(), made_queue()
    account.client("sqs").send_message(QueueUrl=queue.url, MessageBody="a")
    account.client("sqs").send_message(QueueUrl=queue.url, MessageBody="b", DelaySeconds=60)
    account.client("sqs").send_message(QueueUrl=queue.dead_letters_url, MessageBody="c")
    states = queue_states(account, made_stack(TasksQueueUrl=queue.url, TasksDlqUrl=queue.dead_letters_url))
    counted = {each.name: (each.waiting, each.delayed, each.in_work, each.dead) for each in states}
    assert counted == {"intake": (0, 0, 0, 0), "tasks": (1, 1, 0, 1), "mails": (0, 0, 0, 0), "events": (0, 0, 0, 0)}


def alarm(name: str, state: str, hours_ago: int) -> dict[str, Any]:
    return {"AlarmName": name, "StateValue": state, "StateUpdatedTimestamp": AT - timedelta(hours=hours_ago)}


def test_alarms_that_ring_come_first_then_those_that_changed_last() -> None:
    names = ("MailAgeAlarm", "BounceRateAlarm", "FirstWorkerWanted", "TasksAgeAlarm")
    parts = {name: Resource(name, "AWS::CloudWatch::Alarm", f"irss-{name}") for name in names}
    found = [
        alarm("irss-MailAgeAlarm", "OK", 9),
        alarm("irss-BounceRateAlarm", "ALARM", 30),
        alarm("irss-FirstWorkerWanted", "ALARM", 0),
        alarm("irss-TasksAgeAlarm", "OK", 2),
    ]
    account = made_account(cloudwatch=MadeClient(describe_alarms=answer({"MetricAlarms": found})))
    states = alarm_states(account, parts)
    assert [each.name for each in states] == ["BounceRate", "TasksAge", "MailAge"], (
        "a worker that is started is no worry"
    )


def status_account(service: Any) -> Account:
    return made_account(
        cloudformation=MadeClient(list_stack_resources=answer({"StackResourceSummaries": []})),
        sqs=MadeClient(),
        ecs=MadeClient(describe_services=answer({"services": service})),
    )


def test_workers_are_told() -> None:
    told = {"desiredCount": 3, "runningCount": 2, "pendingCount": 1}
    stack = made_stack(parameters={"ImageUri": "irss:1"}, ClusterName="cluster", WorkerServiceName="worker")
    worker = look(status_account([told]), stack).worker
    assert worker is not None
    assert (worker.wanted, worker.running, worker.starting, worker.image) == (3, 2, 1, "irss:1")


def test_a_stack_in_the_making_has_no_workers_and_no_settings_yet() -> None:
    overview = look(status_account([]), made_stack("CREATE_IN_PROGRESS"))
    assert overview.worker is None
    assert overview.environment == {}
    assert json.loads(json.dumps(overview.to_dict()))["stack"]["status"] == "CREATE_IN_PROGRESS"
    with pytest.raises(NotFoundError, match="CREATE_IN_PROGRESS"):
        settings_of(status_account([]), made_stack("CREATE_IN_PROGRESS"))


# Logs.


def execution(name: str, *, minutes: int = 0, status: str = "SUCCEEDED") -> dict[str, Any]:
    arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
    return {"executionArn": arn, "name": name, "status": status, "startDate": AT + timedelta(minutes=minutes)}


class Machine(MadeClient):
    """A state machine that ran for some jobs."""

    def __init__(self, *executions: dict[str, Any]) -> None:
        known = {each["executionArn"]: each for each in executions}

        def describe(executionArn: str) -> Any:
            return known[executionArn] if executionArn in known else refuse("ExecutionDoesNotExist")()

        super().__init__(
            describe_execution=describe,
            list_executions=answer({"executions": list(executions)}),
            get_execution_history=self._history,
        )

    def _history(self, executionArn: str, **_: Any) -> Any:
        failed = {"error": "CorruptMediaError", "cause": f"{JOB} is damaged, somebody@example.org says"}
        told: list[tuple[int, str, dict[str, Any]]] = [
            (0, "ExecutionStarted", {"executionStartedEventDetails": {"input": JOB}}),
            (1, "TaskStateEntered", {"stateEnteredEventDetails": {"name": "Begin"}}),
            (9, "ExecutionFailed", {"executionFailedEventDetails": failed}),
        ]
        return {"events": [{"timestamp": AT + timedelta(seconds=at), "type": kind, **more} for at, kind, more in told]}


def test_executions_are_found_by_the_whole_id_and_by_its_beginning() -> None:
    machine = Machine(execution(f"{JOB}-1", minutes=5), execution(JOB), execution("f" * 64))
    account, stack = made_account(stepfunctions=machine), made_stack(StateMachineArn=MACHINE)
    for text in (JOB, JOB[:12], JOB[:12].upper()):
        assert [each.name for each in executions_of(account, stack, text)] == [JOB, f"{JOB}-1"]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("0123", InvalidOptionError, "first 6"),
        ("not-hex-at-all", InvalidOptionError, "64 characters"),
        (JOB + "0", InvalidOptionError, "64 characters"),
        ("abcdef", NotFoundError, "not begun yet"),
        ("d" * 64, NotFoundError, "not begun yet"),
        ("012345", InvalidOptionError, "2 jobs"),
    ],
)
def test_an_id_of_no_job_says_what_to_do(text: str, kind: type[Exception], words: str) -> None:
    machine = Machine(execution(JOB), execution("012345" + "e" * 58))
    account = made_account(stepfunctions=machine)
    with pytest.raises(kind, match=words):
        executions_of(account, made_stack(StateMachineArn=MACHINE), text)


def test_steps_and_log_lines_are_told_in_the_order_of_time_and_without_whole_ids() -> None:
    def line(seconds: int, message: Any) -> dict[str, Any]:
        return {"timestamp": round((AT + timedelta(seconds=seconds)).timestamp() * 1000), "message": message}

    told = {
        "/irss/functions": [
            line(
                2, json.dumps({"level": "INFO", "message": "attempt begun", "facts": {"job": JOB[:12], "attempt": 1}})
            ),
            line(3, f"[ERROR] {JOB} of somebody@example.org\n"),
        ],
        "/irss/worker": [line(5, json.dumps({"level": "warning", "event": "attempt ended", "error": "corrupt-media"}))],
    }
    logs = MadeClient(filter_log_events=lambda logGroupName, **_: {"events": told[logGroupName]})
    parts = {
        name: Resource(name, "AWS::Logs::LogGroup", group)
        for name, group in (("FunctionLogs", "/irss/functions"), ("WorkerLogs", "/irss/worker"))
    }
    account = made_account(stepfunctions=Machine(execution(JOB)), logs=logs)
    entries = history(account, executions_of(account, made_stack(StateMachineArn=MACHINE), JOB), parts)
    assert [(entry.where, entry.text) for entry in entries] == [
        ("state machine", "ExecutionStarted"),
        ("state machine", "TaskStateEntered, name: Begin"),
        ("function", f"attempt begun job={JOB[:12]} attempt=1"),
        ("function", f"[ERROR] {JOB[:12]} of (address)"),
        ("worker", "warning attempt ended error=corrupt-media"),
        ("state machine", f"ExecutionFailed, error: CorruptMediaError, cause: {JOB[:12]} is damaged, (address) says"),
    ]
    asked = logs.asked[0][1]
    assert asked["filterPattern"] == f'"{JOB[:12]}"'
    assert asked["startTime"] < AT.timestamp() * 1000


# Doctor.


def doctor_account(**changes: Any) -> Account:
    destination = {"Enabled": True, "MatchingEventTypes": ["DELIVERY", "BOUNCE", "COMPLAINT"]}
    ses = {
        "get_account": answer({"SendQuota": {}, "ProductionAccessEnabled": True}),
        "get_email_identity": answer({"VerifiedForSendingStatus": True}),
        "get_configuration_set_event_destinations": answer({"EventDestinations": [destination]}),
    }
    listed = changes.pop("subscriptions", ["arn:aws:sns:us-east-1:1:t:1"])
    subscriptions = {"Subscriptions": [{"SubscriptionArn": arn} for arn in listed]}
    return made_account(
        sesv2=MadeClient(**ses | changes),
        sns=MadeClient(list_subscriptions_by_topic=answer(subscriptions), publish=answer({"MessageId": "m2"})),
        ses=MadeClient(send_raw_email=answer({"MessageId": "m1"})),
        sqs=MadeClient(),
    )


def found(account: Account, stack: Stack | None = None) -> dict[str, str]:
    usual = made_stack(parameters={"Email": "me@example.org", "ImageUri": "irss:1"}, SesConfigurationSet="irss")
    return {check.name: check.status for check in check_stack(account, stack or usual)}


def test_a_healthy_stack_has_nothing_to_say() -> None:
    assert set(found(doctor_account()).values()) == {"ok"}


@pytest.mark.parametrize(
    ("account", "name"),
    [
        (doctor_account(get_email_identity=answer({"VerifiedForSendingStatus": False})), "sender"),
        (doctor_account(get_email_identity=refuse("NotFoundException")), "sender"),
        (doctor_account(get_configuration_set_event_destinations=refuse("NotFoundException")), "mail events"),
        (doctor_account(get_configuration_set_event_destinations=answer({})), "mail events"),
        (doctor_account(subscriptions=["PendingConfirmation"]), "alarms"),
        (doctor_account(subscriptions=[]), "alarms"),
        (doctor_account(get_account=refuse("AccessDeniedException")), "SES"),
    ],
)
def test_what_keeps_mails_or_alarms_from_arriving_is_found(account: Account, name: str) -> None:
    told = found(account)
    assert {each for each, status in told.items() if status == "fail"} == {name}


def test_a_domain_that_is_verified_is_enough_for_its_addresses() -> None:
    def identity(EmailIdentity: str) -> Any:
        return {"VerifiedForSendingStatus": EmailIdentity == "example.org"}

    assert found(doctor_account(get_email_identity=identity))["sender"] == "ok"


def test_the_sandbox_a_broken_stack_and_no_worker_are_told() -> None:
    account = doctor_account(get_account=answer({"SendQuota": {}, "ProductionAccessEnabled": False}))
    told = found(account, made_stack("UPDATE_ROLLBACK_FAILED", SesConfigurationSet="irss"))
    assert (told["SES"], told["stack"], told["worker"]) == ("warn", "fail", "fail")


def test_a_test_goes_to_the_operator_by_ses_and_to_the_alarms() -> None:
    account = doctor_account()
    checks = list(send_tests(account, made_stack(SesConfigurationSet="irss", AlarmsTopicArn="arn:alarms")))
    assert [check.name for check in checks] == ["test mail", "test alarm"]
    ((_, mail),) = account.client("ses").asked
    assert (mail["Destinations"], mail["ConfigurationSetName"]) == (["me@example.org"], "irss")
    ((_, published),) = account.client("sns").asked
    assert published["TopicArn"] == "arn:alarms"


# The worker's image.


def test_an_images_tag_is_of_what_it_is_built_from(tmp_path: Path) -> None:
    (tmp_path / "irss_core").mkdir()
    (tmp_path / "irss_core" / "a.py").write_text("a")
    (tmp_path / "Dockerfile").write_text("FROM x")

    def tag(**changes: Any) -> str:
        options = {"architecture": "X86_64", "gpu": False} | changes
        return planned_image("repository", root=tmp_path, **options).tag

    before = tag()
    (tmp_path / "notes.md").write_text("no part of it")
    assert tag() == before
    assert len({before, tag(gpu=True), tag(architecture="ARM64")}) == 3
    (tmp_path / "irss_core" / "a.py").write_text("b")
    assert tag() != before


def ecr(*, there: bool) -> MadeClient:
    login = {"authorizationToken": base64.b64encode(b"AWS:secret").decode()}
    return MadeClient(
        describe_images=answer({"imageDetails": [{}]}) if there else refuse("ImageNotFoundException"),
        get_authorization_token=answer({"authorizationData": [login]}),
    )


IMAGE = Image("1.dkr.ecr.us-east-1.amazonaws.com/irss-worker", "abc", "ARM64", gpu=True)


def test_an_image_is_built_for_its_machine_and_pushed() -> None:
    run: list[tuple[Sequence[str], str | None]] = []

    def docker(command: Sequence[str], typed: str | None) -> int:
        run.append((command, typed))
        return 0

    push_image(made_account(ecr=ecr(there=False)), IMAGE, run=docker)
    (login, password), (build, _), (push, _) = run
    assert login == ["docker", "login", "--username", "AWS", "--password-stdin", "1.dkr.ecr.us-east-1.amazonaws.com"]
    assert password == "secret", "it is typed, not named: others see a command's words"
    assert "linux/arm64" in build
    assert "TORCH_INDEX=https://pypi.org/simple" in build
    assert push == ["docker", "push", IMAGE.uri]


def test_an_image_that_is_there_is_not_built_again() -> None:
    push_image(made_account(ecr=ecr(there=True)), IMAGE, run=lambda *_: pytest.fail("docker was called"))


def test_docker_that_fails_is_named() -> None:
    with pytest.raises(ResourceError, match=r"`docker build` ended with status 3"):
        push_image(made_account(ecr=ecr(there=False)), IMAGE, run=lambda command, _: 3 if command[1] == "build" else 0)


# Taking it down.


def test_a_stack_is_taken_down_with_what_its_buckets_hold() -> None:
    account = moto_account()
    client, cloudformation = account.client("s3"), account.client("cloudformation")
    template = {"Resources": {"WebBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "irss-held"}}}}
    stack_id = cloudformation.create_stack(StackName="irss-down", TemplateBody=json.dumps(template))["StackId"]
    client.put_bucket_versioning(Bucket="irss-held", VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        client.put_object(Bucket="irss-held", Key="a", Body=b"x")
    packages = open_deploy_bucket(account, "irss-down").name

    stack = Stack("irss-down", stack_id, "CREATE_COMPLETE", "", {}, {})
    held = holdings(account, "irss-down", stack)
    assert held.all_buckets == ("irss-held", packages)
    destroy(account, stack, held, meter=ProgressMeter(1, "parts"), tell=print, sleep=lambda _: None)
    buckets = {each["Name"] for each in client.list_buckets()["Buckets"]}
    assert not buckets & {"irss-held", packages}
    assert holdings(account, "irss-down", None).all_buckets == ()


def test_what_is_left_of_a_stack_that_is_gone_is_taken_away() -> None:
    account = moto_account()
    packages = open_deploy_bucket(account, "irss-rest").name
    held = holdings(account, "irss-rest", None)
    assert held.all_buckets == (packages,) == (deploy_bucket_name(account, "irss-rest"),)
    destroy(account, None, held, meter=ProgressMeter(0, "parts"), tell=print, sleep=never)
    assert holdings(account, "irss-rest", None).deploy_bucket is None


class Stubborn(MadeClient):
    """A stack that is deleted at the last of so many tries."""

    def __init__(self, tries: int) -> None:
        self.tries, self.done = tries, 0
        super().__init__(
            delete_stack=self._delete, describe_stack_events=self._events, describe_stacks=self._describe,
            list_stack_resources=answer({"StackResourceSummaries": []}),
        )  # fmt: skip

    @property
    def status(self) -> str:
        return "CREATE_COMPLETE" if not self.done else "DELETE_COMPLETE" if self.done >= self.tries else "DELETE_FAILED"

    def _delete(self, **_: Any) -> Any:
        self.done += 1

    def _events(self, **_: Any) -> Any:
        reason = "The bucket is not empty."
        failed = {
            "LogicalResourceId": "UploadsBucket",
            "ResourceStatus": "DELETE_FAILED",
            "ResourceStatusReason": reason,
        }
        return {
            "StackEvents": [{"EventId": f"{number}", "Timestamp": AT, **failed} for number in range(self.done, -1, -1)]
        }

    def _describe(self, **_: Any) -> Any:
        return {"Stacks": [{"StackId": "arn:stack", "StackStatus": self.status}]}


def taken_down(client: MadeClient, stack: Stack) -> None:
    account = made_account(cloudformation=client, s3=MadeClient(head_bucket=refuse("404")))
    destroy(
        account,
        stack,
        holdings(account, "irss", stack),
        meter=ProgressMeter(1, "parts"),
        tell=lambda _: None,
        sleep=never,
    )


def test_what_was_written_into_a_bucket_meanwhile_is_deleted_in_another_round() -> None:
    client = Stubborn(tries=2)
    taken_down(client, made_stack())
    assert client.names().count("delete_stack") == 2


def test_a_stack_that_stays_says_what_keeps_it() -> None:
    with pytest.raises(ResourceError, match=r"DELETE_FAILED.*UploadsBucket: The bucket is not empty"):
        taken_down(Stubborn(tries=99), made_stack())


def test_a_stack_that_is_being_changed_is_left_alone() -> None:
    with pytest.raises(ConflictError, match="UPDATE_IN_PROGRESS"):
        taken_down(Stubborn(tries=1), made_stack("UPDATE_IN_PROGRESS"))


def test_workers_are_stopped_first_and_no_new_ones_are_started() -> None:
    ecs = MadeClient(
        update_service=answer({}), list_tasks=answer({"taskArns": ["arn:1", "arn:2"]}), stop_task=answer({})
    )
    scaling = MadeClient(register_scalable_target=answer({}))
    account = made_account(ecs=ecs, application_autoscaling=scaling)
    assert stop_workers(account, made_stack(ClusterName="cluster", WorkerServiceName="worker")) == 2
    assert scaling.asked[0][1]["MaxCapacity"] == 0
    assert ecs.names() == ["update_service", "list_tasks", "stop_task", "stop_task"]
    assert stop_workers(made_account(), made_stack()) == 0
