"""The Lambda functions: each takes its event apart, calls one function of ``irss_core``, and answers.

All of them may be called twice for the same thing. That does no harm: an execution has its job's name, every write
names the state that it was read in, and a file that arrives is known by its bucket, key and ETag.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from irss_core.aws_jobs import executions
from irss_core.config import Settings
from irss_core.errors import InputError, IrssError, NotFoundError
from irss_core.jobs import steps
from irss_core.jobs.attempt import EXHAUSTED
from irss_core.jobs.job import MailState, mail_id_of
from irss_core.jobs.log import record, record_error, redacted
from irss_core.jobs.options import Stage
from irss_core.jobs.ports import Message
from irss_core.jobs.service import JobService
from irss_core.jobs.uploads import is_id
from irss_core.services import Services, build_courier, build_services, build_sweeper, build_workshop

Event = dict[str, Any]


class _Redacted(LambdaPowertoolsFormatter):
    """Powertools' JSON lines, in which no id and no address is whole."""

    def serialize(self, log: dict[str, Any]) -> str:  # type: ignore[override]
        """Return the line."""
        return redacted(super().serialize(log))


logger = Logger(service="irss", logger_formatter=_Redacted())  # the parent of all loggers of ours
metrics = Metrics()  # both by the stack's name, which the environment has
tracer = Tracer()

_LOST = steps.Failure(EXHAUSTED, "The execution ended before the job did. Submit the file again.")
_known_arrivals = IdempotencyConfig(expires_after_seconds=24 * 3600)


# ------------------------------------------------------------------------------------------------------------- HTTP API


def api(event: Event, context: LambdaContext) -> Event:
    """Answer a request of the HTTP API."""
    answer: Event = _app()(event, context)
    return answer


# ------------------------------------------------------------------------------------------------- the pipeline's steps


@logger.inject_lambda_context
@tracer.capture_lambda_handler
def intake(event: Event, context: LambdaContext) -> Event:
    """Have the state machine begin what SQS tells of: a job's id, or a file that came."""
    _known_arrivals.register_lambda_context(context)
    return _each_message(event, context, _take_in)


def _in_words(handler: Callable[[Event, LambdaContext], Event]) -> Callable[[Event, LambdaContext], Event]:
    """Have a step that will not succeed another time fail in words that reach ``fail`` whole."""

    @wraps(handler)
    def told(event: Event, context: LambdaContext) -> Event:
        try:
            return handler(event, context)
        except IrssError as error:
            raise (error if error.retryable else steps.told_whole(error)) from None

    return told


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@_in_words
def begin(event: Event, context: LambdaContext) -> Event:
    """Return the attempt, the lane and the steps of a job."""
    return steps.begin(_jobs(), event["job_id"])


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@_in_words
def stage(event: Event, context: LambdaContext) -> Event:
    """Run one stage of a job."""
    from irss_core.jobs.stages import STAGES

    wanted = Stage(event["stage"])
    return steps.run_stage(
        _jobs(), _workshop(), event["job_id"], attempt=event["attempt"], stage=wanted, function=STAGES[wanted]
    )


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@_in_words
def archive(event: Event, context: LambdaContext) -> Event:
    """Keep a job's original, and check its outputs."""
    from irss_core.jobs.stages import STAGES

    return steps.archive(
        _jobs(),
        _workshop(),
        event["job_id"],
        attempt=event["attempt"],
        function=STAGES[Stage.ARCHIVE],
        changes=event.get("changes"),
    )


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
@_in_words
def commit(event: Event, context: LambdaContext) -> Event:
    """Settle a job whose steps are all done; the last one of a batch sends the batch's mail on its way."""
    ended = steps.commit(_jobs(), event["job_id"], attempt=event["attempt"])
    metrics.add_metric("JobsProcessed", MetricUnit.Count, 1)
    return ended


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def fail(event: Event, context: LambdaContext) -> Event:
    """Settle a job of which a step failed; its owner is told why."""
    failure = steps.failure_of(str(event["failure"].get("Error", "")), str(event["failure"].get("Cause", "")))
    ended = steps.fail(_jobs(), event["job_id"], failure)
    metrics.add_metric("JobsNotDelivered", MetricUnit.Count, 1)
    return ended


@logger.inject_lambda_context
@metrics.log_metrics(raise_on_empty_metrics=False)
def ended(event: Event, context: LambdaContext) -> None:
    """Settle the job of an execution that failed, was stopped or took too long: it had no step left to do so."""
    try:
        job_id = json.loads(event["detail"].get("input") or "{}").get("job_id", "")
    except ValueError:
        job_id = ""
    job = _jobs().store.job(job_id) if is_id(job_id) else None
    if job is not None and not job.settled:
        metrics.add_metric("ExecutionsLost", MetricUnit.Count, 1)
        steps.fail(_jobs(), job_id, _LOST)


# ---------------------------------------------------------------------------------------------------------------- mails


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics
def mail(event: Event, context: LambdaContext) -> Event:
    """Send the mails that SQS names."""
    return _each_message(event, context, _deliver)


@logger.inject_lambda_context
@metrics.log_metrics
def ses_events(event: Event, context: LambdaContext) -> None:
    """Note what SES says of a mail: it arrived, it came back, or its reader complained."""
    detail = event["detail"]
    kind = str(detail.get("eventType", ""))
    mail_id = mail_id_of(f"{(detail['mail'].get('tags', {}).get('mail') or [''])[0]}@irss")
    metrics.add_metric(f"Mail{kind or 'Unknown'}", MetricUnit.Count, 1)
    if mail_id is None:
        return
    if kind == "Delivery":
        _courier().hear(mail_id, MailState.SENT, answer="The mail arrived.")
    elif kind == "Complaint":  # which says that it arrived, too; SES sends to that address no more
        _courier().hear(mail_id, MailState.SENT, answer="The mail arrived, and its reader called it unwanted.")
    elif kind == "Bounce":
        _courier().hear(mail_id, MailState.FAILED, answer=_bounce_words(detail.get("bounce", {})))
    elif kind in ("Reject", "Rendering Failure"):
        why = str(detail.get("reject", {}).get("reason", "")) or "it gave no reason"
        _courier().hear(mail_id, MailState.FAILED, answer=f"Amazon SES did not send the mail: {why}.")
    record("mail event", kind=kind)


@logger.inject_lambda_context
@metrics.log_metrics
def sweep(event: Event, context: LambdaContext) -> None:
    """Set going again what lost its message, and delete what is over."""
    _sweeper().sweep()
    for name, count in _jobs().store.counts().items():
        metrics.add_metric(f"Jobs{name}" if name.isdigit() else f"Mails{name.title()}", MetricUnit.Count, count)


# --------------------------------------------------------------------------------------------------------- single steps


def _take_in(message: Message) -> None:
    if is_id(message.body):
        _start(message.body)
        return
    try:
        detail = json.loads(message.body)["detail"]
        arrival = {
            "bucket": str(detail["bucket"]["name"]),
            "key": str(detail["object"]["key"]),
            "etag": str(detail["object"].get("etag") or detail["object"].get("eTag") or ""),
        }
    except (ValueError, KeyError, TypeError):
        record("not understood", queue="intake")  # nor will it be another time
        return
    if _is_our_upload(arrival):
        _once(_arrived)(arrival=arrival)


def _start(job_id: str) -> None:
    service = _jobs()
    job = service.store.job(job_id)
    if job is None or job.settled:
        return
    runs = executions(_settings(), service)
    if not runs.start(job) and not runs.runs(job):
        steps.fail(service, job_id, _LOST)


def _arrived(*, arrival: dict[str, str]) -> str:
    """Return what an upload became; without an order that is nothing yet."""
    upload_id = arrival["key"].rpartition("/")[2]
    try:
        made = _jobs().arrived(upload_id)
    except (InputError, NotFoundError) as error:
        record_error("arrival refused", error)
        return "refused"
    return "nothing" if made is None else "a job"


def _is_our_upload(arrival: dict[str, str]) -> bool:
    folder, _, upload_id = arrival["key"].partition("/")
    return arrival["bucket"] == _settings().aws_uploads_bucket and folder == "uploads" and is_id(upload_id)


def _deliver(message: Message) -> None:
    metrics.add_metric("MailSteps", MetricUnit.Count, 1)
    _courier().deliver(message)
    sent = _jobs().store.mail(message.body)
    if sent is not None and sent.resent:
        metrics.add_metric("MailUncertain", MetricUnit.Count, 1)


def _bounce_words(bounce: Event) -> str:
    told = [str(each.get("diagnosticCode", "")) for each in bounce.get("bouncedRecipients", ())]
    kind = str(bounce.get("bounceType", "")).lower() or "unknown"
    return f"The mail came back ({kind}). {told[0][:300] if told and told[0] else 'The receiving server said no more.'}"


def _each_message(event: Event, context: LambdaContext, handle: Any) -> Event:
    """Handle a batch message by message; those that failed, and no others, come again."""

    def handle_record(record: SQSRecord) -> None:
        deliveries = int(record.attributes.approximate_receive_count or 1)
        try:
            handle(Message(record.message_id, record.body, record.receipt_handle, deliveries))
        except Exception as error:
            record_error("message not handled", error, deliveries=deliveries)
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return {**process_partial_response(event, handle_record, processor, context)}


# ------------------------------------------------------------------------------------ made once a process, when needed


@cache
def _settings() -> Settings:
    return Settings()


@cache
def _services() -> Services:
    return build_services(_settings())


def _jobs() -> JobService:
    return _services().jobs


@cache
def _workshop() -> Any:
    return build_workshop(_services())


@cache
def _courier() -> Any:
    return build_courier(_services(), scratch=_settings().data_dir / "scratch")


@cache
def _sweeper() -> Any:
    return build_sweeper(_services(), scratch=_settings().data_dir / "scratch" / "sweep")


@cache
def _once(function: Any) -> Any:
    """Return the function, called once for the same arrival within a day."""
    store = DynamoDBPersistenceLayer(
        table_name=str(_settings().aws_table),
        key_attr="pk",
        static_pk_value="arrival",
        sort_key_attr="sk",
        expiry_attr="ttl",
    )
    return idempotent_function(
        function, data_keyword_argument="arrival", persistence_store=store, config=_known_arrivals
    )


@cache
def _app() -> Any:
    from fastapi import FastAPI
    from mangum import Mangum

    from irss_core import __version__
    from irss_core.api import build_api
    from irss_core.api.streams import StreamLimit

    app = FastAPI(title="IRSS", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    build_api(app, _services())
    # A function answers whole: whoever would listen to a stream of events asks instead.
    app.state.api = replace(app.state.api, streams=StreamLimit(of_one_client=0))
    return Mangum(app, lifespan="off", api_gateway_base_path="/api")
