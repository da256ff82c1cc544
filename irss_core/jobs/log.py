"""The log of the jobs: one JSON object a line, in which ids are cut short and addresses left out."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from irss_core.errors import IrssError
from irss_core.jobs.job import Job

logger = logging.getLogger("irss.jobs")

_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_ADDRESS = re.compile(r"[^\s<>\"'@]+@[^\s<>\"'@]+")


def record(event: str, *, level: int = logging.INFO, job: Job | None = None, **facts: Any) -> None:
    """Log that something happened, with what is known of it; a job by the first 12 characters of its id."""
    logger.log(level, event, extra={"facts": _facts(job, facts)})


def record_error(event: str, error: Exception, *, job: Job | None = None, **facts: Any) -> None:
    """Log an exception that the work outlives: by its code, or one that nobody raised on purpose with its traceback."""
    if isinstance(error, IrssError):
        record(event, level=logging.WARNING, job=job, error=error.code, **facts)
    else:
        logger.error(event, extra={"facts": _facts(job, facts)}, exc_info=error)


def log_as_json(level: str) -> None:
    """Have this process log to stderr as JSON lines, from the given level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


class JsonLines(logging.Formatter):
    """A log record as a line of JSON.

    An id is the key to its job and an address is somebody's: whatever was logged, neither leaves here whole.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: _redacted(value) for name, value in entry.items()}, default=str)


def redacted(text: str) -> str:
    """Return a text in which ids are cut short and addresses left out."""
    return _ADDRESS.sub("(address)", _ID.sub(r"\1", text))


def _redacted(value: object) -> object:
    return redacted(value) if isinstance(value, str) else value


def _facts(job: Job | None, facts: dict[str, Any]) -> dict[str, Any]:
    if job is None:
        return facts
    return {"job": job.short_id, "attempt": job.attempt, **facts}
