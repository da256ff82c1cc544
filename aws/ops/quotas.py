"""What an account may use at once, held against what the service needs: Lambda, Fargate or GPUs, and SES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from aws.ops.account import Account, asking
from irss_core.errors import IrssError

Status = Literal["ok", "warn", "fail"]

LEAST_CONCURRENCY = 20  # ten of intake, five of mail, and some for the API and the state machine
_RAISE = "Ask for more: https://console.aws.amazon.com/servicequotas (Service Quotas)."
_SANDBOX = (
    "Mails go only to addresses that you verify in SES. Ask for production access: "
    "https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html"
)


@dataclass(frozen=True)
class Check:
    """One finding: "ok", "warn" (it works less well, or not for all) or "fail" (it does not work)."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def check_quotas(account: Account, *, vcpus: int, gpu: bool) -> Iterator[Check]:
    """Yield whether the account's quotas are enough.

    Args:
        vcpus: of all workers together, when there are as many as there may be.
        gpu: whether they run on machines with GPUs.
    """
    yield checked("Lambda", lambda: concurrency(account))
    yield checked("GPU machines" if gpu else "Fargate", lambda: cores(account, vcpus=vcpus, gpu=gpu))
    yield checked("SES", lambda: sending(account))


def concurrency(account: Account) -> Check:
    """Return whether enough functions may run at once."""
    with asking("Lambda", "tell its limits"):
        limit = int(account.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    found = f"{limit} functions may run at once"
    if limit < LEAST_CONCURRENCY:
        return Check("Lambda", "warn", f"{found}, {LEAST_CONCURRENCY} are wanted", f"It is slow when busy. {_RAISE}")
    return Check("Lambda", "ok", found)


def cores(account: Account, *, vcpus: int, gpu: bool) -> Check:
    """Return whether all workers may run at once."""
    service, code, name = ("ec2", "L-DB2E81BA", "GPU machines") if gpu else ("fargate", "L-3032A538", "Fargate")
    with asking("Service Quotas", "tell a quota"):
        quota = account.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
    limit = float(quota["Value"])
    found = f"{limit:g} vCPUs may run at once"
    if limit >= vcpus:
        return Check(name, "ok", f"{found}, all workers take {vcpus}")
    status: Status = "fail" if limit <= 0 else "warn"
    return Check(
        name, status, f"{found}, all workers take {vcpus}", f"Fewer workers will run (--max-workers). {_RAISE}"
    )


def sending(account: Account) -> Check:
    """Return whether mails may go to anybody, and how many."""
    with asking("SES", "tell its limits"):
        told: dict[str, Any] = account.client("sesv2").get_account()
    quota = told.get("SendQuota", {})
    found = f"{quota.get('Max24HourSend', 0):g} mails a day, {quota.get('MaxSendRate', 0):g} a second"
    if not told.get("SendingEnabled", True):
        return Check("SES", "fail", "sending is switched off", "AWS says why in the console of SES. Answer there.")
    if not told.get("ProductionAccessEnabled", False):
        return Check("SES", "warn", f"in the sandbox: {found}", _SANDBOX)
    return Check("SES", "ok", found)


def checked(name: str, check: Callable[[], Check], *, otherwise: Status = "warn") -> Check:
    """Return what a check finds, or that it could not be made."""
    try:
        return check()
    except IrssError as error:
        return Check(name, otherwise, "could not be checked", str(error))
