"""What pictures cost on AWS: each line with its amount and its price, and each assumption in words. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aws.ops.prices import PRICES, Price
from irss_core.errors import InvalidOptionError

Machine = Literal["fargate-x86", "fargate-arm", "g4dn.xlarge", "g5.xlarge", "g6.xlarge"]

VCPU_SECONDS_PER_MEGAPIXEL = 640.0
"""Of realesrgan-x4plus: 83.48 s for 512x512 on 2 cores of a CPU without bf16 instructions (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Calls:
    """How often a picture has a function called, of how much memory, and how long a call lasts."""

    function: str  # its name in aws/template.yaml
    number: int
    memory_mb: int
    seconds: float
    seconds_per_megapixel: float = 0.0


# A still of the preset "upscale" that goes all the way: aws/pipeline.asl.json, and what is asked around it.
TRANSITIONS = 12
CALLS = (
    Calls("ApiFunction", 6, 1024, 0.1),
    Calls("IntakeFunction", 2, 512, 0.2),
    Calls("BeginFunction", 1, 512, 0.1),
    Calls("StageFunction", 3, 3008, 0.5, 0.5),
    Calls("ArchiveFunction", 1, 1769, 0.5),
    Calls("CommitFunction", 1, 512, 0.2),
    Calls("MailFunction", 1, 512, 1.0),
    Calls("SesEventsFunction", 2, 512, 0.1),
)
ALARMS, METRICS = 11, 40
_API_REQUESTS = 6
_PUTS, _GETS, _TIERED = 7, 14, 4
_WRITES, _READS = 40, 60
_QUEUE_REQUESTS, _EXTENDED_EVERY_S = 12, 40.0
_PUBLISHED, _EVENTS, _TRACES = 2, 1, 12
_LOG_BYTES = 20_000
_MOST_ATTACHED_BYTES = 7_000_000
_INPUT_BYTES_PER_PIXEL, _RESULT_BYTES_PER_PIXEL = 0.3, 0.3  # JPEG, as the forecasts of jobs have it
_SCALE = 4
_BESIDE_S = 3.0  # of a worker, a picture: fetching, decoding, storing
_DAYS_A_MONTH = 365 / 12
_GB = 1e9
_IMAGES_GB = 5.0


@dataclass(frozen=True)
class Workers:
    """What pictures are computed on: ``cores`` and ``memory_gb`` count on Fargate only."""

    machine: Machine = "fargate-x86"
    cores: float = 4.0
    memory_gb: float = 16.0
    at_most: int = 4  # at once
    start_s: float = 180.0
    idle_s: float = 900.0  # until one that has nothing to do is stopped

    @property
    def on_fargate(self) -> bool:
        """Whether they run on CPUs."""
        return self.machine.startswith("fargate")


@dataclass(frozen=True)
class Load:
    """Pictures of so many megapixels each, and how long a worker takes for a megapixel; None: as measured on CPUs."""

    images: int
    megapixels: float
    seconds_per_megapixel: float | None = None
    workers: Workers = Workers()
    keep_inputs_days: float = 7.0
    keep_results_days: float = 30.0


@dataclass(frozen=True)
class Line:
    """So many units of something at a price."""

    service: str
    what: str
    amount: float
    price: Price

    @property
    def dollars(self) -> float:
        """What they cost."""
        return self.amount * self.price.of_one


def cost_of(load: Load) -> list[Line]:
    """Return what the pictures cost, line by line.

    Raises:
        InvalidOptionError: not an amount, or a GPU whose speed was not said.
    """
    _check(load)
    return [
        line
        for part in (_pipeline(load), _worker(load), _objects(load), _messages(load), _watching(load))
        for line in part
    ]


def monthly() -> list[Line]:
    """Return what a month costs without a single picture."""
    polls = 2 * 5 * 3 * 60 * 24 * _DAYS_A_MONTH  # five pollers each of two queues, which wait for 20 s
    return [
        Line("SQS", "functions that wait for messages", polls, PRICES["sqs-request"]),
        Line("CloudWatch", "alarms", ALARMS, PRICES["alarm-month"]),
        Line("CloudWatch", "metrics that are not free", METRICS, PRICES["metric-month"]),
        Line("Secrets Manager", "keys of sessions and of CloudFront", 2, PRICES["secret-month"]),
        Line("ECR", "images of the worker", _IMAGES_GB, PRICES["image-gb-month"]),
    ]


def total(lines: Sequence[Line]) -> float:
    """Return the dollars of all lines."""
    return sum(line.dollars for line in lines)


def by_service(lines: Sequence[Line]) -> dict[str, float]:
    """Return the dollars of each service, in the order in which the lines name them."""
    found: dict[str, float] = {}
    for line in lines:
        found[line.service] = found.get(line.service, 0.0) + line.dollars
    return found


def seconds_per_megapixel(load: Load) -> float:
    """Return what a worker takes for a megapixel: as said, or as measured on CPUs."""
    if load.seconds_per_megapixel is not None:
        return load.seconds_per_megapixel
    return VCPU_SECONDS_PER_MEGAPIXEL / load.workers.cores


def picture_seconds(load: Load) -> float:
    """Return what a worker takes for one of the pictures."""
    return seconds_per_megapixel(load) * load.megapixels + _BESIDE_S


def assumptions(load: Load) -> list[str]:
    """Return in words what the lines rest on."""
    workers, pixels = load.workers, load.megapixels * 1e6
    where = f"{workers.cores:g} vCPU and {workers.memory_gb:g} GB on Fargate" if workers.on_fargate else workers.machine
    basis = (
        "as you said"
        if load.seconds_per_megapixel is not None
        else f"from {VCPU_SECONDS_PER_MEGAPIXEL:g} vCPU-seconds, which realesrgan-x4plus took on a CPU without bf16 "
        "instructions (docs/benchmarks.md); that more cores are as much faster is assumed"
    )
    return [
        f"A megapixel takes a worker ({where}) {seconds_per_megapixel(load):g} s, {basis}; every picture "
        f"{_BESIDE_S:g} s more for fetching, decoding and storing.",
        f"{_starts(load)} of at most {workers.at_most} workers are started, each paid for {workers.start_s:g} s before "
        f"its first picture and {workers.idle_s:g} s after its last one.",
        f"Files have {_INPUT_BYTES_PER_PIXEL:g} bytes a pixel; results are {_SCALE} times as wide and high, "
        f"{pixels * _RESULT_BYTES_PER_PIXEL * _SCALE**2 / 1e6:.1f} MB each.",
        f"Inputs are kept for {load.keep_inputs_days:g} days, results and originals for {load.keep_results_days:g}.",
        "Every picture is a submission of its own with a mail of its own; its result is downloaded once, and also "
        f"attached to the mail if it is not above {_MOST_ATTACHED_BYTES / 1e6:g} MB.",
        f"A picture takes {TRANSITIONS} steps of the state machine, {_API_REQUESTS} requests of the API, {_PUTS} "
        f"writes and {_GETS} reads of S3, {_WRITES} write and {_READS} read units of DynamoDB, {_QUEUE_REQUESTS} "
        f"requests of SQS and one for every {_EXTENDED_EVERY_S:g} s of work, and {_LOG_BYTES / 1000:g} kB of log. None "
        "of this is tried again.",
        "Functions are called (times, MB, seconds each): "
        + ", ".join(
            f"{each.function.removesuffix('Function')} {each.number} x {each.memory_mb} MB x "
            f"{each.seconds + each.seconds_per_megapixel * load.megapixels:g} s"
            for each in CALLS
        )
        + ".",
        "No free tier, no discount, no tax. Not counted: CloudFront and Cognito (free up to a size that this does not "
        "reach), the disk of GPU machines, and a domain.",
    ]


def _check(load: Load) -> None:
    if load.images < 1 or not load.megapixels > 0:
        raise InvalidOptionError(
            f"{load.images} pictures of {load.megapixels:g} megapixels cannot be. Take at least 1, of more than 0."
        )
    if load.seconds_per_megapixel is not None and not load.seconds_per_megapixel > 0:
        raise InvalidOptionError(f"{load.seconds_per_megapixel:g} seconds per megapixel are not possible. Take more.")
    if load.seconds_per_megapixel is None and not load.workers.on_fargate:
        raise InvalidOptionError(
            f"How fast {load.workers.machine} is was not measured. Give --seconds-per-megapixel; on such a machine, "
            "`irss bench speed -m realesrgan-x4plus` measures it."
        )


def _pipeline(load: Load) -> list[Line]:
    number = load.images
    gb_seconds = sum(
        each.number * each.memory_mb / 1024 * (each.seconds + each.seconds_per_megapixel * load.megapixels)
        for each in CALLS
    )
    return [
        Line("Step Functions", "steps of the state machine", number * TRANSITIONS, PRICES["transition"]),
        Line("Lambda", "calls", number * sum(each.number for each in CALLS), PRICES["lambda-request"]),
        Line("Lambda", "their time", number * gb_seconds, PRICES["lambda-arm-gb-s"]),
        Line("API Gateway", "requests", number * _API_REQUESTS, PRICES["api-request"]),
    ]


def _worker(load: Load) -> list[Line]:
    workers = load.workers
    hours = (load.images * picture_seconds(load) + _starts(load) * (workers.start_s + workers.idle_s)) / 3600
    if not workers.on_fargate:
        return [
            Line("Worker (EC2)", f"{workers.machine}, hours", hours, PRICES[workers.machine]),
            Line("Worker (EC2)", "its address, hours", hours, PRICES["address-h"]),
        ]
    return [
        Line("Worker (Fargate)", "vCPU-hours", hours * workers.cores, PRICES[f"{workers.machine}-vcpu-h"]),
        Line("Worker (Fargate)", "GB-hours", hours * workers.memory_gb, PRICES[f"{workers.machine}-gb-h"]),
        Line("Worker (Fargate)", "its address, hours", hours, PRICES["address-h"]),
    ]


def _objects(load: Load) -> list[Line]:
    number, (given, made) = load.images, _bytes(load)
    kept = given * load.keep_inputs_days + (given + made) * load.keep_results_days
    results_months = load.keep_results_days / _DAYS_A_MONTH
    return [
        Line("S3", "writes", number * _PUTS, PRICES["s3-put"]),
        Line("S3", "reads", number * _GETS, PRICES["s3-get"]),
        Line("S3", "moves to intelligent tiering", number * _TIERED, PRICES["s3-transition"]),
        Line("S3", "objects watched, months", number * _TIERED * results_months, PRICES["s3-watched"]),
        Line("S3", "storage, GB-months", number * kept / _DAYS_A_MONTH / _GB, PRICES["s3-gb-month"]),
        Line("DynamoDB", "write units", number * _WRITES, PRICES["dynamodb-write"]),
        Line("DynamoDB", "read units", number * _READS, PRICES["dynamodb-read"]),
        Line("Data transfer", "downloads, GB", number * made / _GB, PRICES["out-gb"]),
    ]


def _messages(load: Load) -> list[Line]:
    number, (_, made) = load.images, _bytes(load)
    extended = picture_seconds(load) // _EXTENDED_EVERY_S
    lines = [
        Line("SQS", "requests", number * (_QUEUE_REQUESTS + extended), PRICES["sqs-request"]),
        Line("SNS", "messages", number * _PUBLISHED, PRICES["sns-publish"]),
        Line("EventBridge", "files that came", number * _EVENTS, PRICES["event"]),
        Line("SES", "mails", number, PRICES["mail"]),
    ]
    if made <= _MOST_ATTACHED_BYTES:
        lines.append(Line("SES", "attachments, GB", number * made / _GB, PRICES["mail-gb"]))
    return lines


def _watching(load: Load) -> list[Line]:
    return [
        Line("CloudWatch", "logs, GB", load.images * _LOG_BYTES / _GB, PRICES["log-gb"]),
        Line("X-Ray", "traces", load.images * _TRACES, PRICES["trace"]),
    ]


def _starts(load: Load) -> int:
    """Return how often a worker is started: all pictures come at once."""
    return min(load.images, load.workers.at_most)


def _bytes(load: Load) -> tuple[float, float]:
    pixels = load.megapixels * 1e6
    return pixels * _INPUT_BYTES_PER_PIXEL, pixels * _RESULT_BYTES_PER_PIXEL * _SCALE**2
