"""Names of objects in the store: of ASCII only, made of ids, never of anything a user typed."""

from __future__ import annotations

import re

_KEY = re.compile(r"[a-z0-9]+(?:[/.-][a-z0-9]+)*")
MAX_LENGTH = 200


def upload_key(upload_id: str) -> str:
    """Return where an uploaded file lies."""
    return f"uploads/{upload_id}"


def output_key(job_id: str, role: str) -> str:
    """Return where one of a job's outputs lies ("result", "thumbnail" …)."""
    return f"processed/{job_id}/{role}"


def work_key(job_id: str, part: str) -> str:
    """Return where something lies that a job needs only until it is done ("checkpoint-000004" …)."""
    return f"work/{job_id}/{part}"


def archive_key(job_id: str) -> str:
    """Return where a job's original lies for as long as its result does."""
    return f"archive/{job_id}"


def results_zip_key(batch_id: str) -> str:
    """Return where all results of a batch lie as one zip."""
    return f"batches/{batch_id}/results.zip"


def is_key(text: str) -> bool:
    """Whether a text is a key: no "..", no leading "/", nothing but lower-case words and digits."""
    return len(text) <= MAX_LENGTH and _KEY.fullmatch(text) is not None
