"""What AWS charges: list prices without free tiers or discounts, in US dollars, of us-east-1, as of ``AS_OF``.

Other regions are up to a third dearer. Each price names the page of AWS that it stands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AS_OF = "2026-06"
REGION = "us-east-1"


@dataclass(frozen=True)
class Price:
    """Dollars for ``units`` of something, and where that stands."""

    dollars: float
    units: float
    unit: str
    page: str

    @property
    def of_one(self) -> float:
        """Dollars for one."""
        return self.dollars / self.units


def _page(name: str) -> str:
    return f"https://aws.amazon.com/{name}/pricing/"


_EC2 = "https://aws.amazon.com/ec2/pricing/on-demand/"

PRICES: Mapping[str, Price] = {
    "transition": Price(0.025, 1e3, "state transitions", _page("step-functions")),
    "lambda-request": Price(0.20, 1e6, "invocations", _page("lambda")),
    "lambda-arm-gb-s": Price(0.0000133334, 1, "GB-seconds on Arm", _page("lambda")),
    "fargate-x86-vcpu-h": Price(0.04048, 1, "vCPU-hours on x86", _page("fargate")),
    "fargate-x86-gb-h": Price(0.004445, 1, "GB-hours on x86", _page("fargate")),
    "fargate-arm-vcpu-h": Price(0.03238, 1, "vCPU-hours on Arm", _page("fargate")),
    "fargate-arm-gb-h": Price(0.00356, 1, "GB-hours on Arm", _page("fargate")),
    "address-h": Price(0.005, 1, "hours of a public IPv4 address", _page("vpc")),
    "g4dn.xlarge": Price(0.526, 1, "hours", _EC2),
    "g5.xlarge": Price(1.006, 1, "hours", _EC2),
    "g6.xlarge": Price(0.8048, 1, "hours", _EC2),
    "s3-put": Price(0.005, 1e3, "PUT, POST, COPY and LIST", _page("s3")),
    "s3-get": Price(0.0004, 1e3, "GET and HEAD", _page("s3")),
    "s3-gb-month": Price(0.023, 1, "GB-months", _page("s3")),
    "s3-transition": Price(0.01, 1e3, "moves to intelligent tiering", _page("s3")),
    "s3-watched": Price(0.0025, 1e3, "object-months watched by intelligent tiering", _page("s3")),
    "dynamodb-write": Price(0.625, 1e6, "write units on demand", _page("dynamodb")),
    "dynamodb-read": Price(0.125, 1e6, "read units on demand", _page("dynamodb")),
    "sqs-request": Price(0.40, 1e6, "requests", _page("sqs")),
    "sns-publish": Price(0.50, 1e6, "messages", _page("sns")),
    "event": Price(1.00, 1e6, "events of S3", _page("eventbridge")),
    "api-request": Price(1.00, 1e6, "requests of an HTTP API", _page("api-gateway")),
    "mail": Price(0.10, 1e3, "mails", _page("ses")),
    "mail-gb": Price(0.12, 1, "GB attached", _page("ses")),
    "out-gb": Price(0.09, 1, "GB to the internet", _EC2),
    "log-gb": Price(0.50, 1, "GB of log", _page("cloudwatch")),
    "trace": Price(5.00, 1e6, "traces", _page("xray")),
    "alarm-month": Price(0.10, 1, "alarms and months", _page("cloudwatch")),
    "metric-month": Price(0.30, 1, "metrics and months", _page("cloudwatch")),
    "secret-month": Price(0.40, 1, "secrets and months", _page("secrets-manager")),
    "image-gb-month": Price(0.10, 1, "GB-months of images", _page("ecr")),
}  # fmt: skip

GPU_MACHINES = ("g4dn.xlarge", "g5.xlarge", "g6.xlarge")
"""Types of EC2 with one GPU whose price is here: an NVIDIA T4, A10G and L4."""
