"""``irss cloud deploy``: a stack made or changed, as a plan that is shown before it is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from irss_core.cli.cloud_options import Region, StackName, tell_checks, watching
from irss_core.cli.invocation import Invocation, invocation_of
from irss_core.cli.wording import counted
from irss_core.progress import ProgressMeter

if TYPE_CHECKING:
    from aws.ops.account import Account
    from aws.ops.deployment import Sources
    from aws.ops.events import StackEvent
    from aws.ops.plan import Plan
    from aws.ops.stack import Stack
    from aws.ops.wishes import Wishes

DEPLOY_EXAMPLES = """\b
Examples:
  irss cloud deploy --email you@example.org
  irss cloud deploy --email you@example.org --domain irss.example.org --certificate arn:aws:acm:… --zone Z123
  irss cloud deploy --stack irss-eu --region eu-central-1 --email you@example.org --yes
  irss cloud deploy --gpu g5.xlarge --max-workers 2
  irss cloud deploy --plan --set LogDays=90
"""

_GPU_CORES = 4  # of the smallest machines that have one


def deploy(
    context: typer.Context,
    *,
    email: Annotated[
        str | None,
        typer.Option("--email", metavar="ADDRESS", help="Mails come from it, alarms go to it. New stacks need it."),
    ] = None,
    stack: StackName = "irss",
    region: Region = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="URI", help="The worker's image in ECR; default: built with docker."),
    ] = None,
    mail_identity: Annotated[
        Literal["address", "domain", "existing"] | None,
        typer.Option("--mail-identity", help="What SES is to verify; existing: nothing, it is verified."),
    ] = None,
    site: Annotated[
        Literal["cloudfront", "none"] | None, typer.Option("--site", help="Whether CloudFront serves the page.")
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", metavar="NAME", help="A domain of your own.")] = None,
    certificate: Annotated[
        str | None, typer.Option("--certificate", metavar="ARN", help="Its certificate in ACM.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", metavar="ID", help="Its zone in Route 53.")] = None,
    web_origin: Annotated[
        list[str] | None, typer.Option("--web-origin", metavar="URL", help="Another site that may call; repeatable.")
    ] = None,
    events_email: Annotated[
        str | None, typer.Option("--events-email", metavar="ADDRESS", help="Gets a line for each job that ends.")
    ] = None,
    max_workers: Annotated[int | None, typer.Option("--max-workers", min=1, metavar="N", help="At once.")] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="TYPE", help="Workers on such machines of EC2 instead of Fargate.")
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other parameter of the template; repeatable."),
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--template", metavar="FILE", help="Instead of the project's own.")
    ] = None,
    plan_only: Annotated[bool, typer.Option("--plan", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put the service on AWS, or change what is there.

    Credentials and quotas are checked, packages built and uploaded; then the plan is shown, and done if you agree.
    What is not given stays as it is. Without an image and without docker there is no worker, which is said.
    """
    from aws.ops.account import sign_in
    from aws.ops.deployment import Sources
    from aws.ops.stack import find_stack
    from aws.ops.template import TEMPLATE, read_template
    from aws.ops.wishes import wishes_of

    invocation, path = invocation_of(context), template or TEMPLATE
    sources = Sources(read_template(path), path.parent)
    account = sign_in(region)
    invocation.console.note(f"{account.caller}, {account.region}")
    found = find_stack(account, stack)
    before = found if found is not None and found.exists else None
    named = {
        "Email": email,
        "ImageUri": image,
        "MailIdentity": mail_identity,
        "Site": site,
        "DomainName": domain,
        "CertificateArn": certificate,
        "HostedZoneId": zone,
        "WebOrigins": web_origin,
        "EventsEmail": events_email,
        "MaxWorkers": max_workers,
        "GpuInstanceType": gpu,
    }
    wishes = wishes_of(sources.template, named=named, others=others or (), before=before)
    run = _Deployment(invocation, account, stack, sources, asks=not yes, plan_only=plan_only)
    run.check(wishes, before)
    run.all(wishes, before)


class _Deployment:
    """One run of ``deploy``: what its steps share."""

    def __init__(
        self,
        invocation: Invocation,
        account: Account,
        stack: str,
        sources: Sources,
        *,
        asks: bool,
        plan_only: bool,
    ) -> None:
        self._invocation, self._console = invocation, invocation.console
        self._account, self._stack, self._sources = account, stack, sources
        self._asks, self._plan_only = asks, plan_only
        self._template_url: str | None = None

    def check(self, wishes: Wishes, before: Stack | None) -> None:
        """Say which quotas of the account are too small, if any."""
        from aws.ops.quotas import check_quotas

        gpu, workers = self._value("GpuInstanceType", wishes, before), self._value("MaxWorkers", wishes, before)
        cores = _GPU_CORES if gpu else int(self._value("WorkerCpu", wishes, before) or 0) // 1024
        checks = check_quotas(self._account, vcpus=int(workers or 0) * cores, gpu=bool(gpu))
        tell_checks([each for each in checks if each.status != "ok"], self._console)

    def all(self, wishes: Wishes, before: Stack | None) -> None:
        """Deploy; the repository of a new stack is there only then, so its worker comes second."""
        from aws.ops.wishes import IMAGE

        built = None if before is None or self._plan_only else self._image(wishes, before)
        after = self._once(wishes.with_image(built) if built else wishes)
        if before is None and (built := self._image(wishes, after)):
            after = self._once(wishes.with_image(built))
        if IMAGE not in wishes.parameters and not built:
            self._say_how_to_build(wishes, after)
        self._tell_addresses(after)

    def _uploaded_template(self) -> str:
        from aws.ops.deployment import upload
        from aws.ops.template import local_files

        if self._template_url is None:
            files = len(local_files(self._sources.template))
            with self._console.progress("Building and uploading") as progress:
                meter = ProgressMeter(files, "files", callback=progress)
                self._template_url = upload(self._account, self._stack, self._sources, meter=meter)
        return self._template_url

    def _once(self, wishes: Wishes) -> Stack:
        """Return the stack as it is after one plan was carried out.

        Raises:
            typer.Exit: it was not, because only the plan was wanted, or because somebody said no.
        """
        from aws.ops.deployment import deploy as carry_out
        from aws.ops.deployment import plan, put_page
        from aws.ops.plan import drop_plan
        from aws.ops.stack import require_stack

        wanted = plan(self._account, self._stack, template_url=self._uploaded_template(), parameters=wishes.parameters)
        if not wanted.id:
            self._console.note("nothing of the stack changes")
        else:
            self._show(wanted)
            if self._plan_only or not self._agreed():
                drop_plan(self._account, wanted)
                self._console.note("nothing was changed")
                raise typer.Exit(0 if self._plan_only else 1)
            with self._invocation.cancellable() as cancel, self._console.progress(f"Stack {self._stack}") as progress:
                meter = ProgressMeter(len(wanted.changes), "parts", callback=progress)
                carry_out(self._account, wanted, meter=meter, tell=self._tell_failure, sleep=watching(cancel))
        if self._plan_only:
            raise typer.Exit
        after = require_stack(self._account, self._stack)
        if put_page(self._account, after):
            self._console.note("the page is in its bucket")
        return after

    def _image(self, wishes: Wishes, stack: Stack) -> str | None:
        """Return the image that was built and pushed; None: one is named, or there is no docker."""
        from aws.ops.images import docker_is_here, planned_image, push_image, run
        from aws.ops.wishes import IMAGE

        repository = stack.outputs.get("WorkerRepositoryUri")
        if IMAGE in wishes.parameters or not repository or not docker_is_here():
            return None
        image = planned_image(repository, **self._machine(wishes, stack))
        self._console.note("building the worker's image with docker; the first time that takes many minutes")
        push_image(self._account, image, run=run)
        return image.uri

    def _say_how_to_build(self, wishes: Wishes, stack: Stack) -> None:
        from aws.ops.images import planned_image
        from aws.ops.wishes import IMAGE

        kept = stack.parameters.get(IMAGE)
        self._console.note(
            f"there is no docker here: the worker stays what it was, {kept}"
            if kept
            else "there is no docker here, and so NO WORKER: what is to be upscaled waits in the queue"
        )
        image = planned_image(stack.outputs.get("WorkerRepositoryUri", "REPOSITORY"), **self._machine(wishes, stack))
        registry = image.repository.partition("/")[0]
        login = f"aws ecr get-login-password --region {self._account.region}"
        self._console.note("where there is docker, and this repository:")
        self._console.note(f"  {login} | docker login --username AWS --password-stdin {registry}")
        for command in image.commands:
            self._console.note(f"  {' '.join(command)}")
        self._console.note(f"then: irss cloud deploy --stack {self._stack} --image {image.uri}")

    def _machine(self, wishes: Wishes, stack: Stack) -> dict[str, Any]:
        return {
            "architecture": self._value("WorkerArchitecture", wishes, stack) or "X86_64",
            "gpu": bool(self._value("GpuInstanceType", wishes, stack)),
        }

    def _value(self, name: str, wishes: Wishes, stack: Stack | None) -> str:
        from aws.ops.wishes import value_of

        return value_of(name, template=self._sources.template, wishes=wishes, before=stack)

    def _show(self, wanted: Plan) -> None:
        rows = [[each.action, each.logical_id, each.type, each.replaced] for each in wanted.changes]
        self._console.table(["action", "part", "type", "replaced"], rows)
        self._console.result(f"{counted(len(rows), 'change')} to {self._stack} in {self._account.region}")

    def _agreed(self) -> bool:
        try:
            return not self._asks or typer.confirm("Do it?", default=False, err=True)
        except typer.Abort:  # nobody is there to be asked, or does not want to be
            return False

    def _tell_failure(self, event: StackEvent) -> None:
        self._console.note(f"{event.logical_id}: {event.reason or event.status}")

    def _tell_addresses(self, stack: Stack) -> None:
        for name, key in (("page", "WebUrl"), ("API", "ApiUrl"), ("sign-in", "SignInUrl")):
            if stack.outputs.get(key):
                self._console.result(f"{name}: {stack.outputs[key]}")
        self._console.note(
            f"AWS has mailed {stack.parameters.get('Email', 'you')} to confirm the sender and the alarms"
        )
        self._console.note(f"then: irss cloud doctor --stack {self._stack} --send-test")
