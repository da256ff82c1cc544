"""Figures for Prometheus: requests as they are answered, jobs, mails and queues as they are when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from irss_core.errors import IrssError
from irss_core.jobs.job import JobStatus
from irss_core.jobs.ports import Queue
from irss_core.jobs.service import JobService

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One app's figures, in a registry of their own."""

    def __init__(self, jobs: Callable[[], JobService]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_OfJobs(jobs))
        self.requests = Counter(
            "irss_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.durations = Histogram(
            "irss_http_request_seconds",
            "Time until an answer begins; how long its body then takes is up to the caller.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self.submissions = Counter(
            "irss_http_submissions",
            "Submissions taken, by whether they were new.",
            ("created",),
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


class CountRequests:
    """Middleware that counts requests by the pattern of their route: an address itself may be a capability."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it when its answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", None) or "other"
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.durations.labels(route).observe(time.perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, counted)


class _OfJobs(Collector):
    """Reads the store and the queues when it is asked; a store that cannot be read is a figure too."""

    def __init__(self, jobs: Callable[[], JobService]) -> None:
        self._jobs = jobs

    def describe(self) -> Iterable[Metric]:
        return ()  # so that registering it reads nothing

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("irss_store_up", "Whether the store of jobs can be read.")
        try:
            figures = [*_counts(self._jobs()), *_depths(self._jobs())]
        except IrssError:
            up.add_metric((), 0)
            return [up]
        up.add_metric((), 1)
        return [up, *figures]


def _counts(jobs: JobService) -> Iterable[Metric]:
    of_jobs = GaugeMetricFamily("irss_jobs", "Jobs by their status number.", labels=("status",))
    of_mails = GaugeMetricFamily("irss_mails", "Mails of the outbox by their state.", labels=("state",))
    statuses = {str(status.value) for status in JobStatus}
    for name, count in jobs.store.counts().items():
        (of_jobs if name in statuses else of_mails).add_metric((name,), count)
    return of_jobs, of_mails


def _depths(jobs: JobService) -> Iterable[Metric]:
    messages = GaugeMetricFamily("irss_queue_messages", "Messages of a queue.", labels=("queue", "state"))
    oldest = GaugeMetricFamily(
        "irss_queue_oldest_ready_seconds", "How long the oldest message waits that can be had.", labels=("queue",)
    )
    queues: dict[str, Queue] = {"work": jobs.work, "mail": jobs.mails}
    for name, queue in queues.items():
        depth = queue.depth()
        for state in ("ready", "delayed", "leased", "dead"):
            messages.add_metric((name, state), getattr(depth, state))
        oldest.add_metric((name,), depth.oldest_ready_s or 0.0)
    return messages, oldest
