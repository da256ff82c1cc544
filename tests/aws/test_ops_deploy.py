"""A deployment from the template to the page: in moto where it can, else with services that answer as AWS does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aws.ops.account import Account
from aws.ops.buckets import bucket_is_ours, delete_bucket, deploy_bucket_name, empty_bucket, open_deploy_bucket
from aws.ops.deployment import Sources, deploy, package_maker, put_page, upload
from aws.ops.deployment import plan as plan_of
from aws.ops.events import StackEvent, follow
from aws.ops.plan import Change, Plan, drop_plan, make_plan
from aws.ops.site import config, content_type, put_site
from aws.ops.stack import Stack, environment, find_stack, require_stack, resources
from aws.ops.template import read_template
from aws.packages import build_package, fetch_package
from irss_core.errors import ConflictError, InputError, NotFoundError, ResourceError
from irss_core.progress import ProgressMeter, ProgressUpdate
from tests.aws.accounts import ID, MadeClient, answer, made_account, moto_account, refuse

TEMPLATE = {
    "Parameters": {"Email": {"Type": "String"}, "LogDays": {"Type": "Number", "Default": 30}},
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "WebBucket": {"Type": "AWS::S3::Bucket"},
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": {"Ref": "LogDays"}}},
    },
}


def never(_: float) -> None:
    raise AssertionError("nothing is to be waited for")


def meter(total: int = 1) -> ProgressMeter:
    return ProgressMeter(total, "parts")


@pytest.fixture
def account() -> Account:
    return moto_account()


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(TEMPLATE))
    return Sources(read_template(path), tmp_path)


def deployed(account: Account, name: str, sources: Sources, **parameters: str) -> Stack:
    url = upload(account, name, sources, meter=meter())
    wanted = plan_of(account, name, template_url=url, parameters=parameters)
    return deploy(account, wanted, meter=meter(3), tell=print, sleep=never)


# The whole way, in moto.


def test_a_new_stack_is_planned_made_and_gets_its_page(account: Account, sources: Sources) -> None:
    url = upload(account, "irss-new", sources, meter=meter())
    wanted = plan_of(account, "irss-new", template_url=url, parameters={"Email": "a@b.c"})
    assert wanted.makes_stack
    assert Change("Add", "Queue", "AWS::SQS::Queue", "") in wanted.changes
    planned = find_stack(account, "irss-new")
    assert planned is not None
    assert not planned.exists
    with pytest.raises(NotFoundError, match="irss cloud deploy"):
        require_stack(account, "irss-new")

    stack = deploy(account, wanted, meter=meter(3), tell=print, sleep=never)
    assert (stack.status, stack.works, stack.parameters["Email"]) == ("CREATE_COMPLETE", True, "a@b.c")
    assert resources(account, stack).keys() == {"Queue", "WebBucket", "Logs"}

    bucket = resources(account, stack)["WebBucket"].physical_id
    outputs = {"WebBucketName": bucket, "ApiUrl": "https://api.test"}  # which moto does not compute for a change set
    assert put_page(account, replace(stack, outputs=outputs)) > 10
    page = account.client("s3").get_object(Bucket=bucket, Key="config.js")
    assert 'export const API = "https://api.test";' in page["Body"].read().decode().splitlines()


def test_a_change_keeps_the_parameters_that_are_not_given(account: Account, sources: Sources) -> None:
    deployed(account, "irss-change", sources, Email="a@b.c")
    after = deployed(account, "irss-change", sources, LogDays="7")
    assert after.parameters == {"Email": "a@b.c", "LogDays": "7"}


def test_code_is_built_once_a_package_and_uploaded_once(account: Account, tmp_path: Path) -> None:
    functions = {
        name: {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": f"../build/{package}"}}
        for name, package in (("A", "control"), ("B", "media"), ("C", "control"))
    }
    machine = {"Type": "AWS::Serverless::StateMachine", "Properties": {"DefinitionUri": "machine.json"}}
    (tmp_path / "machine.json").write_text("{}")
    sources = Sources({"Resources": {**functions, "Machine": machine}}, tmp_path)
    built: list[str] = []

    def fetch(name: str, target: Path) -> int:
        built.append(name)
        target.mkdir(parents=True)
        (target / "code.py").write_text(f"name = {name!r}")
        return 1

    seen: list[ProgressUpdate] = []
    first = upload(account, "irss-code", sources, meter=ProgressMeter(3, "files", callback=seen.append), fetch=fetch)
    assert built == ["control", "media"]
    assert seen[-1].done == 3
    assert upload(account, "irss-code", sources, meter=meter(3), fetch=fetch) == first, (
        "the same code, the same template"
    )

    bucket = deploy_bucket_name(account, "irss-code")
    kept = account.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert sorted(each["Key"].partition("/")[0] for each in kept) == ["code", "code", "definition", "template"]
    ready = json.loads(
        account.client("s3").get_object(Bucket=bucket, Key=first.partition(f"{bucket}/")[2])["Body"].read()
    )
    codes = [each["Properties"]["CodeUri"] for each in ready["Resources"].values() if "CodeUri" in each["Properties"]]
    assert codes[0] == codes[2] != codes[1]
    assert all(code.startswith(f"s3://{bucket}/code/") for code in codes)


def test_packages_are_for_lambdas_processors_but_in_an_emulator_for_this_machines(account: Account) -> None:
    assert package_maker(account) is build_package
    assert package_maker(made_account(s3=bucket_client())) is fetch_package


@pytest.mark.parametrize(
    ("properties", "kind", "words"),
    [
        ({"CodeUri": "src/unknown"}, "Function", "no package unknown: control, media"),
        ({"DefinitionUri": "none.json"}, "StateMachine", r"there is no .*none\.json"),
    ],
)
def test_a_template_that_names_what_is_not_here_is_refused(
    account: Account, tmp_path: Path, properties: dict[str, str], kind: str, words: str
) -> None:
    thing = {"Type": f"AWS::Serverless::{kind}", "Properties": properties}
    with pytest.raises(InputError, match=words):
        upload(account, "irss-bad", Sources({"Resources": {"Thing": thing}}, tmp_path), meter=meter())


# Plans.


def made_stack(status: str = "CREATE_COMPLETE", **parameters: str) -> Stack:
    return Stack("irss", "arn:stack", status, "", parameters, {})


def planner(**calls: Any) -> MadeClient:
    usual = {
        "get_template_summary": answer({"Parameters": [{"ParameterKey": "Email"}, {"ParameterKey": "LogDays"}]}),
        "create_change_set": answer({"Id": "arn:set", "StackId": "arn:stack"}),
        "describe_change_set": answer({"Status": "CREATE_COMPLETE", "Changes": []}),
        "delete_change_set": answer({}),
        "delete_stack": answer({}),
    }
    return MadeClient(**usual | calls)


def planned(client: MadeClient, before: Stack | None, **parameters: str) -> Plan:
    account = made_account(cloudformation=client)
    return make_plan(
        account, name="irss", before=before, template_url="https://t", parameters=parameters, sleep=lambda _: None
    )


def test_parameters_of_an_older_template_are_not_named_any_more() -> None:
    client = planner()
    planned(client, made_stack(Email="a@b.c", Gone="x"), LogDays="7")
    asked = dict(client.asked)["create_change_set"]
    assert asked["ChangeSetType"] == "UPDATE"
    assert asked["Parameters"] == [
        {"ParameterKey": "LogDays", "ParameterValue": "7"},
        {"ParameterKey": "Email", "UsePreviousValue": True},
    ]


def test_a_stack_that_cannot_be_made_is_to_be_taken_away() -> None:
    client = planner()
    planned(client, None, Email="a@b.c")
    asked = dict(client.asked)["create_change_set"]
    assert (asked["ChangeSetType"], asked["OnStackFailure"]) == ("CREATE", "DELETE")
    assert "CAPABILITY_AUTO_EXPAND" in asked["Capabilities"]


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_no_change_is_no_plan(reason: str) -> None:
    client = planner(describe_change_set=answer({"Status": "FAILED", "StatusReason": reason, "Changes": []}))
    assert planned(client, made_stack(Email="a@b.c")).id == ""
    assert "delete_change_set" in client.names()
    assert "delete_stack" not in client.names()


def test_a_template_that_cannot_be_is_refused_with_the_reason() -> None:
    told = {"Status": "FAILED", "StatusReason": "Transform failed with: Api is no resource.", "Changes": []}
    client = planner(describe_change_set=answer(told))
    with pytest.raises(InputError, match="Api is no resource"):
        planned(client, None, Email="a@b.c")
    assert "delete_stack" in client.names(), "the empty stack of the plan is not left behind"


def test_a_plan_that_nobody_wants_leaves_an_existing_stack_alone() -> None:
    client = planner()
    drop_plan(made_account(cloudformation=client), Plan("arn:set", "arn:stack", "irss", False, ()))
    assert client.names() == ["delete_change_set"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ROLLBACK_COMPLETE", "irss cloud destroy"),
        ("DELETE_FAILED", "irss cloud destroy"),
        ("UPDATE_IN_PROGRESS", "Wait until"),
        ("DELETE_IN_PROGRESS", "Wait until"),
    ],
)
def test_a_stack_that_cannot_be_changed_says_what_to_do(status: str, words: str) -> None:
    with pytest.raises(ConflictError, match=words):
        planned(planner(), made_stack(status))


def test_a_plan_that_waits_for_another_look_is_looked_at_again() -> None:
    states = iter(["CREATE_PENDING", "CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_COMPLETE"])
    client = planner(describe_change_set=lambda **_: {"Status": next(states), "Changes": []})
    assert planned(client, None, Email="a@b.c").id == "arn:set"


# Carrying out.


def event(number: int, logical_id: str, status: str, reason: str = "") -> dict[str, Any]:
    return {
        "EventId": str(number),
        "Timestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "LogicalResourceId": logical_id,
        "ResourceType": "AWS::SQS::Queue",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


class MadeStack(MadeClient):
    """A stack whose events come a few at a time."""

    def __init__(self, *rounds: tuple[str, list[dict[str, Any]]]) -> None:
        self.events = [event(0, "irss", "REVIEW_IN_PROGRESS")]
        self.rounds: Iterator[tuple[str, list[dict[str, Any]]]] = iter(rounds)
        self.status = "REVIEW_IN_PROGRESS"
        super().__init__(
            execute_change_set=answer({}), describe_stack_events=self._tell, describe_stacks=self._describe
        )

    def _tell(self, **_: Any) -> Any:
        if ("execute_change_set", {"ChangeSetName": "arn:set"}) in self.asked:
            self.status, news = next(self.rounds)
            self.events = [*reversed(news), *self.events]
        return {"StackEvents": self.events}

    def _describe(self, **_: Any) -> Any:
        return {"Stacks": [{"StackName": "irss", "StackId": "arn:stack", "StackStatus": self.status}]}


WANTED = Plan(
    "arn:set", "arn:stack", "irss", True, tuple(Change("Add", name, "AWS::SQS::Queue", "") for name in ("A", "B"))
)


def test_progress_counts_parts_and_ends_with_the_stack() -> None:
    client = MadeStack(
        ("CREATE_IN_PROGRESS", [event(1, "irss", "CREATE_IN_PROGRESS"), event(2, "A", "CREATE_COMPLETE")]),
        ("CREATE_IN_PROGRESS", [event(3, "B", "CREATE_IN_PROGRESS")]),
        ("CREATE_COMPLETE", [event(4, "B", "CREATE_COMPLETE"), event(5, "irss", "CREATE_COMPLETE")]),
    )
    seen: list[float] = []
    counted = ProgressMeter(2, "parts", callback=lambda update: seen.append(update.done))
    waited: list[float] = []
    stack = deploy(made_account(cloudformation=client), WANTED, meter=counted, tell=print, sleep=waited.append)
    assert stack.status == "CREATE_COMPLETE"
    assert seen == [0, 1, 2]
    assert len(waited) == 2


def test_a_failure_names_the_first_part_that_failed_and_not_those_it_took_along() -> None:
    client = MadeStack(
        (
            "DELETE_COMPLETE",
            [
                event(1, "A", "CREATE_FAILED", "The name is taken."),
                event(2, "B", "CREATE_FAILED", "Resource creation cancelled"),
            ],
        ),
    )
    told: list[StackEvent] = []
    with pytest.raises(ResourceError, match=r"First A: The name is taken\. Nothing of it is left"):
        deploy(made_account(cloudformation=client), WANTED, meter=meter(2), tell=told.append, sleep=never)
    assert [each.logical_id for each in told] == ["A"]


def test_a_stack_that_still_rests_when_it_is_first_looked_at_is_not_taken_for_done() -> None:
    client = MadeStack(
        ("UPDATE_COMPLETE", []),
        ("UPDATE_COMPLETE", [event(1, "irss", "UPDATE_IN_PROGRESS"), event(2, "irss", "UPDATE_COMPLETE")]),
    )
    client.asked.append(("execute_change_set", {"ChangeSetName": "arn:set"}))
    waited: list[float] = []
    account = made_account(cloudformation=client)
    assert follow(account, "arn:stack", after="0", tell=print, sleep=waited.append) == "UPDATE_COMPLETE"
    assert len(waited) == 1


# Buckets.


def test_the_bucket_of_packages_is_private_and_encrypted(account: Account) -> None:
    name = open_deploy_bucket(account, "irss-safe").name
    assert open_deploy_bucket(account, "irss-safe").name == name, "it is taken as it is the second time"
    client = account.client("s3")
    assert all(client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    (rule,) = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (owner,) = client.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert owner["ObjectOwnership"] == "BucketOwnerEnforced"


def bucket_client(endpoint: str = "https://s3.eu-west-1.amazonaws.com", **calls: Any) -> MadeClient:
    closing = ("put_public_access_block", "put_bucket_ownership_controls", "put_bucket_encryption", "put_bucket_policy")
    client = MadeClient(**dict.fromkeys(("create_bucket", "head_bucket", *closing), answer({})) | calls)
    client.meta = type("Meta", (), {"endpoint_url": endpoint})  # type: ignore[attr-defined]
    return client


def test_the_bucket_is_in_the_region_and_by_tls_only() -> None:
    client = bucket_client(head_bucket=refuse("404"))
    account = Account(ID, "eu-west-1", "arn:aws-cn:iam::1:user/a", lambda _: client)
    open_deploy_bucket(account, "irss")
    asked = dict(client.asked)
    assert asked["create_bucket"]["CreateBucketConfiguration"] == {"LocationConstraint": "eu-west-1"}
    (statement,) = json.loads(asked["put_bucket_policy"]["Policy"])["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"][0] == f"arn:aws-cn:s3:::irss-deploy-{ID}-eu-west-1"


def test_a_bucket_of_somebody_else_is_not_used() -> None:
    with pytest.raises(ConflictError, match="--stack"):
        open_deploy_bucket(made_account(s3=bucket_client(head_bucket=refuse("403"))), "irss")


def test_a_bucket_is_emptied_with_old_versions_and_unfinished_uploads(account: Account) -> None:
    client, name = account.client("s3"), "irss-to-be-emptied"
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        client.put_object(Bucket=name, Key="a", Body=b"x")
    client.delete_object(Bucket=name, Key="a")
    client.put_object(Bucket=name, Key="b", Body=b"x")
    client.create_multipart_upload(Bucket=name, Key="c")
    assert empty_bucket(account, name) == 4
    assert delete_bucket(account, name)
    assert not bucket_is_ours(account, name)
    assert not delete_bucket(account, name)


def test_a_bucket_is_emptied_a_thousand_at_a_time() -> None:
    versions = [{"Key": str(number), "VersionId": "1"} for number in range(2500)]
    batches: list[int] = []

    def delete(**asked: Any) -> Any:
        batches.append(len(asked["Delete"]["Objects"]))
        return {}

    client = MadeClient(
        list_object_versions=answer({"Versions": versions}),
        delete_objects=delete,
        list_multipart_uploads=answer({}),
    )
    seen: list[int] = []
    assert empty_bucket(made_account(s3=client), "bucket", gone=seen.append) == 2500
    assert batches == [1000, 1000, 500]
    assert seen == [1000, 2000, 2500]


def test_an_object_that_stays_is_told() -> None:
    client = MadeClient(
        list_object_versions=answer({"Versions": [{"Key": "a", "VersionId": "1"}]}),
        delete_objects=answer({"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "Locked"}]}),
    )
    with pytest.raises(ConflictError, match=r"1 objects .* Locked \(AccessDenied\)"):
        empty_bucket(made_account(s3=client), "bucket")


# The page, and the settings of another machine.


def test_the_page_names_its_api_and_loses_what_is_no_part_of_it(account: Account, tmp_path: Path) -> None:
    client, name = account.client("s3"), "irss-the-page"
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="gone.js", Body=b"x")
    (tmp_path / "config.js").write_text('/** Where. */\nexport const API = "";\n')
    (tmp_path / "index.html").write_text("<p>Hello</p>")
    (tmp_path / "README.md").write_text("not for visitors")
    assert put_site(account, name, api="https://api.test", distribution=None, web=tmp_path) == 2
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=name)["Contents"]]
    assert keys == ["config.js", "index.html"]
    page = client.get_object(Bucket=name, Key="index.html")
    assert page["ContentType"] == "text/html; charset=utf-8"
    told = client.get_object(Bucket=name, Key="config.js")["Body"].read().decode()
    assert told == '/** Where. */\nexport const API = "https://api.test";\n'


def test_cloudfront_fetches_the_page_anew() -> None:
    s3 = MadeClient(put_object=answer({}), list_objects_v2=answer({}))
    cloudfront = MadeClient(create_invalidation=answer({}))
    put_site(made_account(s3=s3, cloudfront=cloudfront), "bucket", api="", distribution="E123")
    ((_, asked),) = cloudfront.asked
    assert (asked["DistributionId"], asked["InvalidationBatch"]["Paths"]["Items"]) == ("E123", ["/*"])


def test_the_api_of_a_page_on_cloudfront_is_its_own_address() -> None:
    s3 = MadeClient(put_object=answer({}), list_objects_v2=answer({}))
    outputs = {"WebBucketName": "bucket", "WebUrl": "https://x.cloudfront.net", "ApiUrl": "https://api.test"}
    put_page(made_account(s3=s3), Stack("irss", "arn", "CREATE_COMPLETE", "", {}, outputs))
    (body,) = (asked["Body"].decode() for _, asked in s3.asked if asked.get("Key") == "config.js")
    assert 'export const API = "";' in body


def test_without_the_page_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="clone"):
        put_site(made_account(), "bucket", api="", distribution=None, web=tmp_path)


def test_types_of_the_pages_files() -> None:
    assert content_type("app.js") == "text/javascript; charset=utf-8"
    assert content_type("icon.svg") == "image/svg+xml"
    assert content_type("odd.xyzzy") == "application/octet-stream"
    assert config('export const API = "/api";\nrest', "https://a") == 'export const API = "https://a";\nrest'


def test_settings_are_those_of_the_functions_but_for_what_is_theirs_alone() -> None:
    listed = [
        {"LogicalResourceId": "Foreign", "ResourceType": "AWS::Lambda::Function", "PhysicalResourceId": "foreign"},
        {"LogicalResourceId": "Api", "ResourceType": "AWS::Lambda::Function", "PhysicalResourceId": "api"},
        {"LogicalResourceId": "Planned", "ResourceType": "AWS::SQS::Queue"},
    ]
    variables = {
        "foreign": {"OTHER": "1"},
        "api": {
            "IRSS_BACKEND": "aws",
            "IRSS_AWS_TABLE": "jobs",
            "IRSS_DATA_DIR": "/tmp/irss",
            "IRSS_TRUSTED_PROXIES": "2",
            "IRSS_PUBLIC_URL": "",
            "POWERTOOLS_METRICS_NAMESPACE": "IRSS",
        },
    }
    account = made_account(
        cloudformation=MadeClient(list_stack_resources=answer({"StackResourceSummaries": listed})),
        **{
            "lambda": MadeClient(
                get_function_configuration=lambda FunctionName: {"Environment": {"Variables": variables[FunctionName]}}
            )
        },
    )
    parts = resources(account, made_stack())
    assert parts.keys() == {"Foreign", "Api"}
    assert environment(account, parts) == {"IRSS_AWS_TABLE": "jobs", "IRSS_BACKEND": "aws"}
    assert environment(account, {}) == {}
