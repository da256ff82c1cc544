"""The infrastructure as it is deployed: what is private, who may do what, and that its parts fit each other."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
from typing import Any

import pytest
from fastapi.routing import APIRoute

from irss_core.adapters.aws import table
from irss_core.api.assembly import ROUTERS
from irss_core.api.pages import STATIC_ADDRESS
from irss_core.config import PROXY_KEY_HEADER, Settings
from irss_core.jobs.options import Stage
from tests.aws.compiled import compiled_template, listed, named, resources, statements
from tests.aws.tools import PIPELINE, ROOT

FUNCTIONS = {"api", "intake", "begin", "stage", "archive", "commit", "fail", "mail", "ses_events", "ended", "sweep"}
MEDIA = {"stage", "archive"}
ENVIRONMENT = {
    *("IRSS_BACKEND", "IRSS_AWS_TABLE", "IRSS_AWS_STATE_MACHINE", "IRSS_AWS_SES_CONFIGURATION_SET"),
    *("IRSS_AWS_UPLOADS_BUCKET", "IRSS_AWS_PROCESSED_BUCKET", "IRSS_AWS_ARCHIVE_BUCKET", "IRSS_AWS_SESSION_SECRET"),
    *("IRSS_AWS_INTAKE_TOPIC", "IRSS_AWS_INTAKE_QUEUE", "IRSS_AWS_INTAKE_DLQ", "IRSS_AWS_MAIL_QUEUE"),
    *("IRSS_AWS_MAIL_DLQ", "IRSS_AWS_TASKS_QUEUE", "IRSS_AWS_TASKS_DLQ", "IRSS_MAIL_FROM", "IRSS_PUBLIC_URL"),
    *("IRSS_OIDC_ISSUER", "IRSS_OIDC_AUDIENCE", "IRSS_CORS_ORIGINS", "IRSS_TRUSTED_PROXIES", "IRSS_DATA_DIR"),
}
# Of these AWS says that they are for no resource in particular.
WITHOUT_RESOURCES = re.compile(
    r"xray:\w+|ecr:GetAuthorizationToken|logs:(\w+LogDeliver(y|ies)|\w+ResourcePolic(y|ies)|DescribeLogGroups)"
)
FOLDERS = {
    "UploadsBucket": {"uploads"},
    "ProcessedBucket": {"processed", "work", "batches"},
    "ArchiveBucket": {"archive"},
}
DEAD_LETTERS = {"IntakeDeadLetters", "MailDeadLetters", "TasksDeadLetters", "EventsDeadLetters"}
LAMBDA, QUEUE, BUCKET = "AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::S3::Bucket"


def functions() -> dict[str, dict[str, Any]]:
    """The functions by what handles their events."""
    return {each["Handler"].removeprefix("aws.handlers."): each for each in resources(LAMBDA).values()}


# ---------------------------------------------------------------------------------------------------------- deploying


def test_an_address_is_all_that_a_deployment_needs() -> None:
    parameters = compiled_template()["Parameters"]
    assert [name for name, each in parameters.items() if "Default" not in each] == ["Email"]
    names = {each for each in parameters if re.search(rf'"{each}"', json.dumps(compiled_template()["Resources"]))}
    in_conditions = {each for each in parameters if each in json.dumps(compiled_template()["Conditions"])}
    in_texts = {each for each in parameters if f"${{{each}}}" in json.dumps(compiled_template()["Resources"])}
    assert names | in_conditions | in_texts == set(parameters), "a parameter that changes nothing"


def test_everything_is_told_that_operators_need() -> None:
    wanted = {
        *("WebUrl", "ApiUrl", "PublicUrl", "ApiId", "TableName", "StateMachineArn", "SesConfigurationSet"),
        *("UploadsBucketName", "ProcessedBucketName", "ArchiveBucketName", "WebBucketName", "SessionSecretArn"),
        *("IntakeQueueUrl", "IntakeDlqUrl", "MailQueueUrl", "MailDlqUrl", "TasksQueueUrl", "TasksDlqUrl"),
        *("UserPoolId", "UserPoolClientId", "SignInUrl", "ClusterName", "WorkerServiceName", "WorkerRepositoryUri"),
    }
    assert wanted <= set(compiled_template()["Outputs"])


# ---------------------------------------------------------------------------------------------------------- functions


def test_every_function_is_there_in_its_package() -> None:
    found = functions()
    assert set(found) == FUNCTIONS
    defined = ast.parse((ROOT / "aws" / "handlers.py").read_text(encoding="utf-8")).body
    assert {each.name for each in defined if isinstance(each, ast.FunctionDef)} >= FUNCTIONS
    for name, each in found.items():
        assert each["Code"]["S3Key"] == ("media.zip" if name in MEDIA else "control.zip"), name
        assert each["Architectures"] == ["arm64"]
        assert each["TracingConfig"] == {"Mode": "Active"}
        assert named(each["LoggingConfig"]["LogGroup"]) == "FunctionLogs"


def test_every_function_and_the_worker_are_told_everything() -> None:
    (worker,) = resources("AWS::ECS::TaskDefinition")["WorkerTask"]["ContainerDefinitions"]
    told = {each["Name"]: each["Value"] for each in worker["Environment"]}
    for name, each in functions().items():
        variables = each["Environment"]["Variables"]
        assert set(variables) >= ENVIRONMENT, name
        own = {"IRSS_PROXY_KEY"} if name == "api" else set()
        assert {key: value for key, value in variables.items() if told.get(key) != value}.keys() <= own | {
            "IRSS_AWS_STATE_MACHINE",  # by its name here, for it names these functions
            "POWERTOOLS_METRICS_NAMESPACE",
            "POWERTOOLS_SERVICE_NAME",
        }
    assert told.keys() - ENVIRONMENT == {"AWS_DEFAULT_REGION"}
    known = {f"IRSS_{name.upper()}" for name in Settings.model_fields}
    assert known >= ENVIRONMENT


def test_state_machine_is_named_where_it_cannot_be_referred_to() -> None:
    name = resources("AWS::StepFunctions::StateMachine")["Pipeline"]["StateMachineName"]
    assert name == {"Fn::Sub": "${AWS::StackName}-pipeline"}
    text, _ = functions()["intake"]["Environment"]["Variables"]["IRSS_AWS_STATE_MACHINE"]["Fn::Sub"]
    assert text == "${States}:stateMachine:${AWS::StackName}-pipeline"


def test_logs_are_kept_for_a_while_only() -> None:
    groups = resources("AWS::Logs::LogGroup")
    assert set(groups) == {"FunctionLogs", "ApiLogs", "PipelineLogs", "WorkerLogs"}
    assert all(named(each["RetentionInDays"]) == "LogDays" for each in groups.values())


def test_logs_hold_no_ids() -> None:
    (stage,) = resources("AWS::ApiGatewayV2::Stage").values()
    written = stage["AccessLogSettings"]["Format"]
    assert "$context.routeKey" in written
    assert "path" not in written.lower()
    logging = resources("AWS::StepFunctions::StateMachine")["Pipeline"]["LoggingConfiguration"]
    assert logging["IncludeExecutionData"] is False


# ------------------------------------------------------------------------------------------------------ who may do what


def test_each_function_has_a_role_of_its_own() -> None:
    roles = [named(each["Role"]) for each in resources(LAMBDA).values()]
    assert len(set(roles)) == len(roles)
    for role in roles:
        assert resources("AWS::IAM::Role")[role]["ManagedPolicyArns"] == [{"Ref": "Basics"}]


def test_what_a_role_may_do_is_named_with_what_it_may_do_it_to() -> None:
    checked = 0
    for role, each in statements():
        assert each["Effect"] == "Allow"
        for action in listed(each["Action"]):
            assert "*" not in action, (role, action)
            if "*" in listed(each["Resource"]):
                assert WITHOUT_RESOURCES.fullmatch(action), (role, action)
            checked += 1
    assert checked > 50


def test_objects_are_reached_by_their_folders_only() -> None:
    for role, each in statements():
        for action in listed(each["Action"]):
            if not action.startswith("s3:") or action == "s3:ListBucket":
                continue
            for resource in listed(each["Resource"]):
                place = re.fullmatch(r"\$\{(\w+)\.Arn\}/(\w+)/\*", resource["Fn::Sub"])
                assert place, (role, resource)
                assert place[2] in FOLDERS[place[1]], (role, resource)


@pytest.mark.parametrize(
    ("action", "roles"),
    [
        ("ses:SendRawEmail", {"ApiRole", "MailRole"}),
        ("secretsmanager:GetSecretValue", {"ApiRole"}),
        ("states:StartExecution", {"IntakeRole"}),
        ("states:SendTaskSuccess", {"WorkerRole"}),
        ("s3:DeleteObject", {"ApiRole", "IntakeRole", "ArchiveRole", "SweepRole", "WorkerRole"}),
    ],
)
def test_who_may(action: str, roles: set[str]) -> None:
    assert {role for role, each in statements() if action in listed(each["Action"])} == roles


def test_mails_are_sent_in_the_operators_name_only() -> None:
    for _, each in statements():
        if "ses:SendRawEmail" in listed(each["Action"]):
            assert each["Condition"] == {"StringEquals": {"ses:FromAddress": {"Ref": "Email"}}}


# --------------------------------------------------------------------------------------------------- buckets and queues


def test_every_bucket_is_private_encrypted_and_spoken_to_by_tls() -> None:
    buckets, policies = resources(BUCKET), resources("AWS::S3::BucketPolicy")
    assert set(buckets) == {"UploadsBucket", "ProcessedBucket", "ArchiveBucket", "WebBucket"}
    assert {named(each["Bucket"]) for each in policies.values()} == set(buckets)
    for name, each in buckets.items():
        blocked = each["PublicAccessBlockConfiguration"]
        assert len(blocked) == 4, name
        assert all(value is True for value in blocked.values()), name
        (encrypted,) = each["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encrypted["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert each["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in each["LifecycleConfiguration"]["Rules"]), name
    for policy in policies.values():
        first = policy["PolicyDocument"]["Statement"][0]
        bucket = named(policy["Bucket"])
        assert (first["Effect"], first["Principal"], first["Action"]) == ("Deny", "*", "s3:*")
        assert first["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert first["Resource"] == [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]


def test_buckets_differ_where_they_must() -> None:
    buckets = resources(BUCKET)
    assert {name for name, each in buckets.items() if "VersioningConfiguration" in each} == {
        "ArchiveBucket",
        "WebBucket",
    }
    assert {name for name, each in buckets.items() if "NotificationConfiguration" in each} == {"UploadsBucket"}
    assert {name for name, each in buckets.items() if "CorsConfiguration" in each} == {"UploadsBucket"}
    (rule,) = buckets["UploadsBucket"]["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedMethods"] == ["POST"]
    assert "*" not in json.dumps(rule["AllowedOrigins"])
    for name in ("ProcessedBucket", "ArchiveBucket"):
        first = buckets[name]["LifecycleConfiguration"]["Rules"][0]
        assert first["Transitions"] == [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 0}]


def test_lifecycles_delete_nothing_that_is_still_promised() -> None:
    settings = Settings.model_fields
    promised = settings["keep_results_days"].default
    days = {
        rule.get("Prefix", name): rule["ExpirationInDays"]
        for name, each in resources(BUCKET).items()
        for rule in each["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    assert days["processed/"] > promised
    assert days["batches/"] > promised
    assert days["ArchiveBucket"] > promised
    execution_days = json.loads(PIPELINE.read_text(encoding="utf-8"))["TimeoutSeconds"] / 86_400
    assert days["UploadsBucket"] > settings["keep_inputs_days"].default + execution_days
    assert days["work/"] > execution_days


def test_every_queue_has_dead_letters() -> None:
    queues = resources(QUEUE)
    redriven = {name: each["RedrivePolicy"] for name, each in queues.items() if "RedrivePolicy" in each}
    assert set(queues) - set(redriven) == DEAD_LETTERS
    for name, each in redriven.items():
        assert each["maxReceiveCount"] == 5
        assert named(each["deadLetterTargetArn"]) == name.replace("Queue", "DeadLetters")
    for name, each in queues.items():
        assert each["SqsManagedSseEnabled"] is True
        kept_s = each.get("MessageRetentionPeriod", 345_600)
        assert kept_s == (1_209_600 if name in DEAD_LETTERS else 345_600)


def test_every_queue_is_spoken_to_by_tls() -> None:
    closed = set()
    for each in resources("AWS::SQS::QueuePolicy").values():
        last = each["PolicyDocument"]["Statement"][-1]
        assert (last["Effect"], last["Action"]) == ("Deny", "sqs:*")
        assert last["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        closed |= {named(queue) for queue in each["Queues"]}
    assert closed == set(resources(QUEUE))


def test_a_message_stays_hidden_for_as_long_as_its_function_may_take_and_be_tried() -> None:
    readers = {named(each["EventSourceArn"]): each for each in resources("AWS::Lambda::EventSourceMapping").values()}
    assert set(readers) == {"IntakeQueue", "MailQueue"}
    for queue, reader in readers.items():
        function = resources(LAMBDA)[named(reader["FunctionName"])]
        assert resources(QUEUE)[queue]["VisibilityTimeout"] >= 6 * function["Timeout"]
        assert reader["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert resources(QUEUE)["TasksQueue"]["VisibilityTimeout"] == 120


def test_intake_hears_of_submissions_and_of_files_that_came() -> None:
    policy = resources("AWS::SQS::QueuePolicy")["IntakeQueuePolicy"]["PolicyDocument"]["Statement"]
    senders = {each["Principal"]["Service"]: each["Condition"]["ArnEquals"]["aws:SourceArn"] for each in policy[:2]}
    assert {service: named(arn) for service, arn in senders.items()} == {
        "sns.amazonaws.com": "SubmissionsTopic",
        "events.amazonaws.com": "ArrivalsRule",
    }
    pattern = resources("AWS::Events::Rule")["ArrivalsRule"]["EventPattern"]
    assert pattern["detail"]["object"] == {"key": [{"prefix": "uploads/"}]}
    assert resources("AWS::SNS::Subscription")["SubmissionsToIntake"]["RawMessageDelivery"] is True


def test_the_table_is_the_adapters() -> None:
    (deployed,) = resources("AWS::DynamoDB::Table").values()
    assert {key: deployed[key] for key in table.TABLE} == table.TABLE
    assert deployed["TimeToLiveSpecification"] == {"AttributeName": table.TTL, "Enabled": True}


# ------------------------------------------------------------------------------------------------------- API and site


def test_a_token_is_asked_for_below_api_and_nowhere_else() -> None:
    routes = {each["RouteKey"]: each["AuthorizationType"] for each in resources("AWS::ApiGatewayV2::Route").values()}
    assert routes == {"$default": "NONE", "ANY /api/{proxy+}": "JWT", "OPTIONS /api/{proxy+}": "NONE"}
    (authorizer,) = resources("AWS::ApiGatewayV2::Authorizer").values()
    variables = functions()["api"]["Environment"]["Variables"]
    # The function itself takes the same tokens: a route that is open at the gateway is no way around.
    assert authorizer["JwtConfiguration"]["Issuer"] == variables["IRSS_OIDC_ISSUER"]
    assert authorizer["JwtConfiguration"]["Audience"] == [variables["IRSS_OIDC_AUDIENCE"]]


def test_a_site_sends_to_the_api_what_is_its_and_serves_the_page() -> None:
    distribution = resources("AWS::CloudFront::Distribution")["SiteDistribution"]["DistributionConfig"]
    patterns = [each["PathPattern"] for each in distribution["CacheBehaviors"]]
    assert all(each["TargetOriginId"] == "api" for each in distribution["CacheBehaviors"])

    def is_sent_on(path: str) -> bool:
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)

    asked = {route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    ours = {re.sub(r"\{[^}]+\}", "x", path) for path in asked | {"/openapi.json", f"/{STATIC_ADDRESS}/x.css", "/api/x"}}
    assert {path for path in ours if not is_sent_on(path)} == {"/metrics", "/objects", "/objects/x"}
    files = ["/", *(f"/{path.name}" for path in (ROOT / "web").iterdir())]
    assert [path for path in files if is_sent_on(path)] == []


# -------------------------------------------------------------------------------------------------- worker and watching


def test_who_goes_past_the_site_is_known_by_what_they_lack() -> None:
    key = {"Fn::Sub": "{{resolve:secretsmanager:${ProxyKey}}}"}
    told = functions()["api"]["Environment"]["Variables"]["IRSS_PROXY_KEY"]
    assert told == {"Fn::If": ["HasSite", key, {"Ref": "AWS::NoValue"}]}
    site = resources("AWS::CloudFront::Distribution")["SiteDistribution"]["DistributionConfig"]
    (api,) = [origin for origin in site["Origins"] if origin["Id"] == "api"]
    assert api["OriginCustomHeaders"] == [{"HeaderName": "X-IRSS-Proxy-Key", "HeaderValue": key}]
    assert "X-IRSS-Proxy-Key".lower() == PROXY_KEY_HEADER


def test_the_worker_has_time_to_give_back_what_it_holds() -> None:
    (container,) = resources("AWS::ECS::TaskDefinition")["WorkerTask"]["ContainerDefinitions"]
    assert container["StopTimeout"] == 120
    service = resources("AWS::ECS::Service")["WorkerService"]
    assert service["DeploymentConfiguration"]["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert "DesiredCount" not in service, "an update of the stack would undo the scaling"


def test_without_an_image_there_is_no_worker_and_no_network() -> None:
    found = compiled_template()["Resources"]
    always = {each["Type"] for each in found.values() if "Condition" not in each}
    assert not any(kind.startswith(("AWS::EC2::", "AWS::ApplicationAutoScaling::")) for kind in always)
    assert not {"AWS::ECS::Service", "AWS::ECS::TaskDefinition", "AWS::AutoScaling::AutoScalingGroup"} & always


def test_alarms_are_raised_and_reach_the_operator() -> None:
    alarms = resources("AWS::CloudWatch::Alarm")
    alarms.pop("FirstWorkerWanted")  # it starts a worker
    assert all(each["AlarmActions"] == [{"Ref": "AlarmsTopic"}] for each in alarms.values())
    by_mail = resources("AWS::SNS::Subscription")["AlarmsByMail"]
    assert (by_mail["Endpoint"], by_mail["Protocol"]) == ({"Ref": "Email"}, "email")
    watched: dict[str, set[str]] = {}
    for each in alarms.values():
        if each.get("Namespace") == "AWS/SQS":
            (dimension,) = each["Dimensions"]
            watched.setdefault(each["MetricName"], set()).add(named(dimension["Value"]))
    assert watched == {
        "ApproximateNumberOfMessagesVisible": DEAD_LETTERS,
        "ApproximateAgeOfOldestMessage": {"IntakeQueue", "MailQueue", "TasksQueue"},
    }
    assert {"FailureRateAlarm", "MailUncertainAlarm", "BounceRateAlarm"} <= set(alarms)
    (dimension,) = alarms["MailUncertainAlarm"]["Dimensions"]
    told = functions()["mail"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert dimension == {"Name": "service", "Value": told} == {"Name": "service", "Value": {"Ref": "AWS::StackName"}}


def test_dashboard_can_be_read() -> None:
    (dashboard,) = resources("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    assert {each["properties"]["title"] for each in widgets} >= {"Waiting", "Jobs", "Workers", "Mails", "API"}


def test_a_functions_time_ends_before_the_state_machine_gives_it_up() -> None:
    definition = json.loads(PIPELINE.read_text(encoding="utf-8"))
    calls = [
        (state["Parameters"]["FunctionName"].removesuffix("FunctionArn}").removeprefix("${").lower(), state)
        for state in _states(definition)
        if state.get("Resource") == "arn:aws:states:::lambda:invoke"
    ]
    assert {name for name, _ in calls} == {"begin", "stage", "archive", "commit", "fail"}
    for name, state in calls:
        assert state["TimeoutSeconds"] > functions()[name]["Timeout"], name
    stages = {state["Parameters"]["Payload"].get("stage") for _, state in calls} - {None}
    assert stages == {Stage.VALIDATE, Stage.METADATA, Stage.THUMBNAIL}


def _states(machine: dict[str, Any]) -> list[dict[str, Any]]:
    own = list(machine["States"].values())
    return own + [each for state in own for branch in state.get("Branches", ()) for each in _states(branch)]
