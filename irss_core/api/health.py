"""GET /health, GET /metrics: how the service is doing, for people, load balancers and Prometheus."""

from __future__ import annotations

import functools
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from irss_core import __version__
from irss_core.api.context import Api, TheApi
from irss_core.api.problems import may_fail
from irss_core.api.store_check import StoreFigures
from irss_core.config import MEBIBYTE, Settings
from irss_core.errors import IrssError
from irss_core.sr.catalog import MODELS
from irss_core.sr.weights import weights_status

logger = logging.getLogger("irss.api")

router = APIRouter(tags=["Operation"])

LEAST_DISK_BYTES = 1024 * MEBIBYTE
_PATIENCE_S = 2.0
_UNATTENDED_S = 60.0  # a worker that is there takes a job within a second


class Trouble(BaseModel):
    """One thing that is wrong, and what to do about it."""

    what: Literal["store", "disk", "dead-letters", "workers"]
    detail: str = Field(examples=["2 messages are dead letters. Look at them with `irss dlq list`."])


class HealthAnswer(BaseModel):
    """How the service is doing. It answers with 200 while it answers: a restart mends nothing of what may be wrong."""

    status: Literal["ok", "degraded"]
    version: str
    device: str = Field(description="What is computed on, or what was asked for as long as nothing was computed.")
    models: list[str] = Field(description="The models whose weights are here.")
    problems: list[Trouble] = Field(description="What is wrong; empty if nothing is.")
    store_writable: bool = Field(description="Whether jobs can be taken.")
    disk_free_bytes: int | None = Field(description="Of the disk that jobs are kept on.")
    jobs_waiting: int | None = Field(description="Jobs that no worker has taken yet.")
    jobs_in_work: int | None = Field(description="Jobs that a worker holds.")
    dead_letters: int | None = Field(description="Jobs and mails that failed too often to be tried again.")
    mail: Literal["smtp", "folder", "ses"] = Field(
        description="Where mails go: to a mail server, into a folder here, or to Amazon SES."
    )


@router.get("/health", summary="How is the service doing?", responses=may_fail())
async def health(api: TheApi) -> HealthAnswer:
    """Answer within moments, whatever is being computed, with what is wrong, if anything is."""
    settings = api.settings
    figures, free = await _figures(api), _disk_free_bytes(settings.data_dir)
    problems = list(_problems(figures, free))
    return HealthAnswer(
        status="degraded" if problems else "ok",
        version=__version__,
        device=_device_in_use(settings),
        models=[name for name, spec in MODELS.items() if weights_status(spec, cache_dir=settings.cache_dir).available],
        problems=problems,
        store_writable=figures is not None,
        disk_free_bytes=free,
        jobs_waiting=figures.waiting if figures else None,
        jobs_in_work=figures.in_work if figures else None,
        dead_letters=figures.dead if figures else None,
        mail="ses" if settings.backend == "aws" else "smtp" if settings.smtp_host else "folder",
    )


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **may_fail(),
    },
)
def metrics(api: TheApi) -> Response:
    """Return jobs by status, mails by state, the queues' depth and age, requests by route, and submissions."""
    return Response(api.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _figures(api: Api) -> StoreFigures | None:
    """Return what the store says, None if it cannot be had at once; the log then says why."""
    try:
        with anyio.fail_after(_PATIENCE_S):
            look = functools.partial(api.store_check.look, api.job_service)
            return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
    except TimeoutError:
        logger.warning("the store of jobs did not answer within %g s", _PATIENCE_S)
    except IrssError as error:
        logger.warning("the store of jobs is not well: %s", error)
    return None


def _problems(figures: StoreFigures | None, free: int | None) -> Iterator[Trouble]:
    if free is not None and free < LEAST_DISK_BYTES:
        yield Trouble(
            what="disk",
            detail=f"{free // MEBIBYTE} MiB are free where jobs are kept. Keep {LEAST_DISK_BYTES // MEBIBYTE} free, "
            "or lower IRSS_KEEP_RESULTS_DAYS.",
        )
    if figures is None:
        yield Trouble(what="store", detail="The store of jobs cannot be written or read right now; the log says why.")
        return
    if figures.dead:
        yield Trouble(
            what="dead-letters",
            detail=f"{figures.dead} messages failed too often to be tried again. Look at them with `irss dlq list`.",
        )
    if figures.unattended_s > _UNATTENDED_S:
        yield Trouble(
            what="workers",
            detail=f"A job has been waiting for {figures.unattended_s:.0f} s and nobody works. Start `irss worker`, or "
            "let the app start workers with IRSS_WORKERS.",
        )


def _disk_free_bytes(folder: Path) -> int | None:
    """Return what is free where ``folder`` lies, or will lie."""
    try:
        return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
    except (OSError, StopIteration):
        return None


def _device_in_use(settings: Settings) -> str:
    """Return the device that is computed on, or what was asked for as long as torch is not loaded."""
    if "irss_core.sr.device" not in sys.modules or settings.device != "auto":
        return settings.device
    from irss_core.sr.device import choose_device

    return str(choose_device(settings.device))
