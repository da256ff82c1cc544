"""A deployment: what the template names is built and uploaded, the plan is made, carried out and followed."""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aws.ops.account import Account
from aws.ops.buckets import DeployBucket, open_deploy_bucket
from aws.ops.events import StackEvent, follow, last_event
from aws.ops.plan import Plan, carry_out, make_plan
from aws.ops.site import API_ON_THE_SAME_ADDRESS, put_site
from aws.ops.stack import Stack, find_stack, require_stack
from aws.ops.template import Template, packaged
from aws.packages import PACKAGES, build_package, fetch_package
from irss_core.errors import InputError, ResourceError
from irss_core.progress import ProgressMeter

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same bytes, and so no change

Fetch = Callable[[str, Path], int]


@dataclass(frozen=True)
class Sources:
    """A template that was read, and the folder that its files are named from."""

    template: Template
    folder: Path


def upload(account: Account, stack: str, sources: Sources, *, meter: ProgressMeter, fetch: Fetch | None = None) -> str:
    """Return the address of the template in the stack's bucket, after all that it names was built and put there.

    Args:
        fetch: writes a package into a folder; by default ``package_maker``.

    Raises:
        ResourceError: a package could not be had. InputError: the template names code that nobody knows.
    """
    bucket = open_deploy_bucket(account, stack)
    fetch, uploaded = fetch or package_maker(account), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="irss-deploy-") as scratch:

        def send(uri: str, kind: str) -> str:
            if uri not in uploaded:
                source = sources.folder / uri
                if kind == "CodeUri":
                    source = _zipped(uri, Path(scratch), fetch)
                elif not source.is_file():
                    raise InputError(f"The template names {uri}, but there is no {source}.")
                uploaded[uri] = bucket.uri(bucket.upload(source, kind="code" if kind == "CodeUri" else "definition"))
                meter.advance()
            return uploaded[uri]

        ready = Path(scratch) / "template.json"
        ready.write_text(packaged(sources.template, send), encoding="utf-8")
        return _template_url(bucket, ready)


def package_maker(account: Account) -> Fetch:
    """Return what makes a package: for Lambda's processors, or for this machine's if an emulator runs the functions."""
    return build_package if account.emulated else fetch_package


def plan(account: Account, stack: str, *, template_url: str, parameters: Mapping[str, str]) -> Plan:
    """Return what would change; raises as ``make_plan``."""
    before = find_stack(account, stack)
    return make_plan(account, name=stack, before=before, template_url=template_url, parameters=parameters)


def deploy(
    account: Account,
    wanted: Plan,
    *,
    meter: ProgressMeter,
    tell: Callable[[StackEvent], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Stack:
    """Carry a plan out and return the stack that it made.

    Args:
        meter: counts the parts that are done.
        tell: is told what went wrong.

    Raises:
        ResourceError: something went wrong; CloudFormation undid it.
    """
    after = last_event(account, wanted.stack_id)
    failures: list[StackEvent] = []
    open_parts = {change.logical_id for change in wanted.changes}

    def heard(event: StackEvent) -> None:
        if event.failed:
            failures.append(event)
            tell(event)
        elif event.done and event.logical_id in open_parts:
            open_parts.remove(event.logical_id)
            meter.advance()

    carry_out(account, wanted)
    status = follow(account, wanted.stack_id, after=after, tell=heard, sleep=sleep)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        first = f" First {failures[0].logical_id}: {failures[0].reason}" if failures else ""
        undone = "Nothing of it is left." if wanted.makes_stack else "All is as it was before."
        raise ResourceError(f"The deployment failed ({status}).{first} {undone} Correct that and deploy again.")
    return require_stack(account, wanted.stack_name)


def put_page(account: Account, stack: Stack) -> int:
    """Write the page for a stack into its bucket, and return how many files it has; 0: it has no such bucket."""
    bucket = stack.outputs.get("WebBucketName")
    if not bucket:
        return 0
    api = API_ON_THE_SAME_ADDRESS if stack.outputs.get("WebUrl") else stack.outputs.get("ApiUrl", "")
    return put_site(account, bucket, api=api, distribution=stack.outputs.get("DistributionId") or None)


def zip_folder(folder: Path, target: Path) -> None:
    """Write a folder as a zip that is the same whenever its files are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.external_attr = 0o755 << 16  # Lambda's own user must be able to read it
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def _zipped(uri: str, scratch: Path, fetch: Fetch) -> Path:
    name = Path(uri).name
    if name not in PACKAGES:
        raise InputError(f"The template names the code {uri}, but there is no package {name}: {', '.join(PACKAGES)}.")
    fetch(name, scratch / name)
    target = scratch / f"{name}.zip"
    zip_folder(scratch / name, target)
    return target


def _template_url(bucket: DeployBucket, ready: Path) -> str:
    return bucket.url(bucket.upload(ready, kind="template"))
