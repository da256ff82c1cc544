"""The jobs on AWS: which adapter stands behind each port, and which resource behind each adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from irss_core.adapters.aws import tasks
from irss_core.adapters.aws.clients import aws_client
from irss_core.adapters.aws.errors import aws_errors
from irss_core.adapters.aws.job_store import DynamoJobStore
from irss_core.adapters.aws.objects import S3Objects
from irss_core.adapters.aws.queue import SnsTopic, SqsQueue
from irss_core.adapters.aws.records import DynamoRecords
from irss_core.adapters.aws.ses import SesMailer
from irss_core.adapters.local.clock import SystemClock
from irss_core.config import Settings
from irss_core.errors import InvalidOptionError
from irss_core.job_limits import job_limits
from irss_core.jobs.identity import Sessions
from irss_core.jobs.ports import Message
from irss_core.jobs.service import JobService

if TYPE_CHECKING:
    from irss_core.jobs.options import Stage
    from irss_core.jobs.stages import StageFunction
    from irss_core.jobs.worker import Assignment

_client = cache(aws_client)


def build_job_service(settings: Settings) -> JobService:
    """Return the service over DynamoDB, S3, SQS and SES.

    Raises:
        InvalidOptionError: a setting is missing that says where something is.
    """
    clock, table = SystemClock(), _required(settings, "aws_table")
    records = DynamoRecords(_client("dynamodb"), table, clock)
    processed = _required(settings, "aws_processed_bucket")
    buckets = {
        "uploads": _required(settings, "aws_uploads_bucket"),
        "archive": _required(settings, "aws_archive_bucket"),
        **dict.fromkeys(("processed", "work", "batches"), processed),
    }
    topic = settings.aws_intake_topic
    return JobService(
        store=DynamoJobStore(_client("dynamodb"), table),
        objects=S3Objects(_client("s3"), buckets, clock),
        records=records,
        work=_queue(settings, "intake", topic=SnsTopic(_client("sns"), topic) if topic else None),
        mails=_queue(settings, "mail"),
        mailer=SesMailer(
            _client("ses"), records=records, clock=clock, configuration_set=settings.aws_ses_configuration_set
        ),
        clock=clock,
        sessions=Sessions(partial(_secret, _required(settings, "aws_session_secret")), clock=clock),
        limits=job_limits(settings),
        address=settings.address,
        sender=settings.mail_from,
        scratch=settings.data_dir / "scratch",
    )


def task_queue(settings: Settings) -> SqsQueue:
    """Return the queue by which the state machine asks for work."""
    return _queue(settings, "tasks")


def assign_tasks(
    settings: Settings, service: JobService, stages: Mapping[Stage, StageFunction]
) -> Callable[[Message], Assignment | None]:
    """Return how a worker understands the state machine's messages, and answers it."""
    protection = tasks.ScaleInProtection(settings.ecs_agent_uri)
    return tasks.assign_tasks(service.store, service.clock, _client("stepfunctions"), stages, protection=protection)


def executions(settings: Settings, service: JobService) -> tasks.Executions:
    """Return the runs of the state machine."""
    return tasks.Executions(_client("stepfunctions"), _required(settings, "aws_state_machine"), service.store)


def _queue(settings: Settings, name: str, *, topic: SnsTopic | None = None) -> SqsQueue:
    url, dead_letters_url = _required(settings, f"aws_{name}_queue"), _required(settings, f"aws_{name}_dlq")
    return SqsQueue(_client("sqs"), url=url, dead_letters_url=dead_letters_url, topic=topic)


def _secret(arn: str) -> bytes:
    with aws_errors("Secrets Manager", "read the secret of the sessions"):
        text: Any = _client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        return str(text).encode()


def _required(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if not value:
        raise InvalidOptionError(
            f"IRSS_BACKEND is aws, but IRSS_{name.upper()} is not set. `irss cloud status` prints what a deployed "
            "service's parts are called."
        )
    return str(value)
