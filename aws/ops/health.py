"""Whether mails and alarms of a stack reach somebody: SES and SNS, and a test of both on request."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parseaddr

from botocore.exceptions import ClientError

from aws.ops.account import Account, asking, refusal
from aws.ops.overview import queue_states
from aws.ops.quotas import Check, checked, sending
from aws.ops.stack import Stack

_CONFIRM = "Open the mail that AWS sent there (look for it under spam, too) and follow its link."


def check_stack(account: Account, stack: Stack) -> Iterator[Check]:
    """Yield every check of a stack, the most basic ones first."""
    yield Check("credentials", "ok", f"{account.caller} in {account.region}")
    yield check_status(stack)
    yield checked("SES", lambda: sending(account), otherwise="fail")
    yield checked("sender", lambda: check_sender(account, stack), otherwise="fail")
    yield checked("mail events", lambda: check_configuration_set(account, stack), otherwise="fail")
    yield checked("alarms", lambda: check_alarms(account, stack), otherwise="fail")
    yield check_worker(stack)
    yield checked("dead letters", lambda: check_dead_letters(account, stack), otherwise="fail")


def check_status(stack: Stack) -> Check:
    """Return whether the stack is whole."""
    if stack.works:
        return Check("stack", "ok", f"{stack.name}: {stack.status}")
    return Check(
        "stack", "fail", f"{stack.name}: {stack.status} {stack.reason}".strip(), "Deploy again, or destroy it."
    )


def check_sender(account: Account, stack: Stack) -> Check:
    """Return whether SES sends in the name of the address that the mails come from."""
    address = stack.parameters.get("Email", "")
    unverified: list[Check] = []
    for identity in (address, address.rpartition("@")[2]):
        with asking("SES", "tell of an identity"):
            try:
                told = account.client("sesv2").get_email_identity(EmailIdentity=identity)
            except ClientError as error:
                if refusal(error) != "NotFoundException":
                    raise
                continue
        if told.get("VerifiedForSendingStatus"):
            return Check("sender", "ok", f"{identity} is verified")
        tokens = ", ".join(told.get("DkimAttributes", {}).get("Tokens", ())) or "in the console of SES"
        remedy = _CONFIRM if "@" in identity else f"Put its DKIM records into its DNS: {tokens}."
        unverified.append(Check("sender", "fail", f"{identity} is not verified", remedy))
    nothing = Check("sender", "fail", f"SES does not know {address}", "Deploy with --mail-identity address or domain.")
    return next(iter(unverified), nothing)


def check_configuration_set(account: Account, stack: Stack) -> Check:
    """Return whether SES tells what becomes of the mails."""
    name = stack.outputs.get("SesConfigurationSet", "")
    again = "Deploy again: without it a mail that comes back is never heard of."
    with asking("SES", "tell of a configuration set"):
        try:
            found = account.client("sesv2").get_configuration_set_event_destinations(ConfigurationSetName=name)
        except ClientError as error:
            if refusal(error) != "NotFoundException":
                raise
            return Check("mail events", "fail", f"there is no configuration set {name!r}", again)
    kinds = {kind for each in found.get("EventDestinations", ()) if each.get("Enabled") for kind in _kinds(each)}
    missing = {"DELIVERY", "BOUNCE"} - kinds
    if missing:
        return Check("mail events", "fail", f"{name} does not tell of {' and '.join(sorted(missing)).lower()}", again)
    return Check("mail events", "ok", f"{name} tells of {', '.join(sorted(kinds)).lower()}")


def check_alarms(account: Account, stack: Stack) -> Check:
    """Return whether somebody confirmed to be told of alarms."""
    with asking("SNS", "list who is told of alarms"):
        pages = (
            account.client("sns")
            .get_paginator("list_subscriptions_by_topic")
            .paginate(TopicArn=stack.outputs.get("AlarmsTopicArn", ""))
        )
        found = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
    confirmed = [arn for arn in found if arn.startswith("arn:")]
    if confirmed:
        return Check("alarms", "ok", f"{len(confirmed)} of {len(found)} subscriptions are confirmed")
    if found:
        return Check("alarms", "fail", "nobody confirmed to be told of alarms", _CONFIRM)
    return Check("alarms", "fail", "nobody is told of alarms", "Deploy again, or subscribe to the stack's AlarmsTopic.")


def check_worker(stack: Stack) -> Check:
    """Return whether there is something that upscales."""
    image = stack.parameters.get("ImageUri", "")
    if image:
        return Check("worker", "ok", image)
    return Check(
        "worker", "fail", "there is none: what is to be upscaled waits", "Deploy with docker, or with --image."
    )


def check_dead_letters(account: Account, stack: Stack) -> Check:
    """Return whether nothing was given up."""
    dead = {each.name: each.dead for each in queue_states(account, stack) if each.dead}
    if not dead:
        return Check("dead letters", "ok", "none")
    found = ", ".join(f"{name} {number}" for name, number in dead.items())
    return Check("dead letters", "warn", found, "irss cloud dlq list shows them, irss cloud dlq redrive sees to them.")


def send_tests(account: Account, stack: Stack) -> Iterator[Check]:
    """Send a mail and an alarm to the operator, and yield what AWS answered; whether they come only they can see."""
    address = stack.parameters.get("Email", "")
    message = EmailMessage()
    message["From"], message["To"] = f"IRSS <{address}>", address
    message["Subject"] = f"A test of {stack.name}"
    message.set_content(f"IRSS sends its mails as this one was sent: stack {stack.name} in {account.region}.\n")
    with asking("SES", "send a test mail"):
        told = account.client("ses").send_raw_email(
            Source=parseaddr(message["From"])[1],
            Destinations=[address],
            RawMessage={"Data": message.as_bytes()},
            ConfigurationSetName=stack.outputs.get("SesConfigurationSet", ""),
        )
    yield Check("test mail", "ok", f"SES took it ({told['MessageId']})", f"Look whether it came to {address}.")
    with asking("SNS", "send a test alarm"):
        told = account.client("sns").publish(
            TopicArn=stack.outputs.get("AlarmsTopicArn", ""),
            Subject=f"A test of {stack.name}",
            Message=f"Alarms of IRSS come as this did: stack {stack.name} in {account.region}.",
        )
    yield Check("test alarm", "ok", f"SNS took it ({told['MessageId']})", "Look whether it came.")


def _kinds(destination: dict[str, list[str]]) -> list[str]:
    return destination.get("MatchingEventTypes", [])
