"""The jobs of one machine: which adapter stands behind each port, and where in the data folder it keeps its things."""

from __future__ import annotations

from functools import partial

from irss_core.adapters.local.clock import SystemClock
from irss_core.adapters.local.database import Database
from irss_core.adapters.local.job_store import SqliteJobStore
from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.local.outbox_folder import OutboxFolder
from irss_core.adapters.local.queue import SqliteQueue
from irss_core.adapters.local.records import SqliteRecords
from irss_core.adapters.local.secret_key import load_secret
from irss_core.adapters.local.signing import UrlSigner
from irss_core.adapters.local.smtp import SmtpMailer
from irss_core.config import Settings
from irss_core.job_limits import job_limits
from irss_core.jobs.identity import Sessions
from irss_core.jobs.ports import Mailer
from irss_core.jobs.service import JobService

JOURNAL = "mail-journal"
"""The folder in which is noted what the mail server took."""


def build_job_service(settings: Settings) -> JobService:
    """Return the service over this machine's own store, queues, objects and mails.

    Raises:
        StoreUnavailableError: the data folder cannot be used.
    """
    clock, database = SystemClock(), Database(settings.data_dir / "jobs.sqlite3")
    return JobService(
        store=SqliteJobStore(database),
        objects=file_objects(settings),
        records=SqliteRecords(database, clock),
        work=SqliteQueue(database, "work", clock),
        mails=SqliteQueue(database, "mails", clock),
        mailer=_mailer(settings),
        clock=clock,
        sessions=Sessions(partial(_secret, settings), clock=clock),
        limits=job_limits(settings),
        address=settings.address,
        sender=settings.mail_from,
        scratch=settings.data_dir / "scratch",
    )


def file_objects(settings: Settings) -> FileObjects:
    """Return the store of the objects, which is a folder.

    Raises:
        StoreUnavailableError: the data folder cannot be used.
    """
    clock, folder = SystemClock(), settings.data_dir / "objects"
    return FileObjects(folder, signer=UrlSigner(_secret(settings), clock), address=settings.address, clock=clock)


def _secret(settings: Settings) -> bytes:
    return load_secret(settings.data_dir / "secret.key")


def _mailer(settings: Settings) -> Mailer:
    """Return the way to the mail server, or to a folder where there is none."""
    if settings.smtp_host is None:
        return OutboxFolder(settings.data_dir / "outbox")
    password = settings.smtp_password
    return SmtpMailer(
        settings.smtp_host,
        settings.smtp_port,
        user=settings.smtp_user,
        password=password.get_secret_value() if password else None,
        security=settings.smtp_security,
        journal=settings.data_dir / JOURNAL,
    )
