"""The list of a visitor's own jobs as HTML: what each is, how it is doing, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from irss_core.jobs.job import Job, JobStatus
from irss_core.jobs.options import JobOptions
from irss_core.jobs.words import STAGE_WORDS, STATUS_WORDS
from irss_core.sr.catalog import MODELS
from irss_core.ui.job_list import Action, Group, Listing
from irss_core.ui.rendering import address, bar, heading, notice, readable
from irss_core.words import size_words, time_words

# A button of the list says what is to be done with which job or submission; every press goes to the server. One that
# was pressed and goes away hands the focus on: to the question that came of it, or to another button of its row.
PRESSED_JS = """
let pressed = null;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  pressed = button.dataset.of;
  trigger("pick", { action: button.dataset.action, of: pressed });
});
watch("value", () => {
  if (pressed === null || element.contains(document.activeElement)) return;
  const row = `button[data-of="${CSS.escape(pressed)}"]`;
  const next = element.querySelector("[data-focus]") ?? element.querySelector(row);
  pressed = null;
  next?.focus();
});
"""

NO_JOBS = "Nothing handed in yet. What you hand in stands here, for you alone, until it is deleted."

_STATUS_LOOK: Mapping[JobStatus, str] = {
    JobStatus.NOT_PROCESSED: "irss-plain",
    JobStatus.PROCESSED: "irss-good",
    JobStatus.DELIVERED: "irss-good",
    JobStatus.NOT_DELIVERED: "irss-bad",
}
_PRESET_WORDS: Mapping[str, str] = {
    "filters": "filters",
    "resize+thumbnail": "resized",
    "thumbnail-100": "thumbnail",
}
_FORMAT_WORDS: Mapping[str, str] = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF", "mp4": "MP4"}


def jobs_html(listing: Listing, *, asking: str = "", problem: str = "") -> str:
    """Return the list.

    Args:
        asking: the job or submission whose deletion is to be confirmed.
        problem: why something that was asked for was not done.
    """
    groups = "".join(_group(group, asking) for group in listing.groups)
    body = groups or f'<p class="irss-quiet">{NO_JOBS}</p>'
    more = f'<div class="irss-job-actions">{_button("more", "", "Show more")}</div>' if listing.has_more else ""
    told = notice(problem, kind="error") if problem else ""
    return f'<section class="irss-jobs" aria-label="Your jobs">{heading("Your jobs")}{told}{body}{more}</section>'


def options_words(options: JobOptions) -> str:
    """Return in a few words what was asked for: "Real-ESRGAN x4plus, x2, PNG"."""
    parts = []
    if options.preset == "upscale":
        spec = MODELS.get(options.model)
        parts.append(spec.title if spec else options.model)
        parts += [f"x{options.outscale:g}"] if options.outscale else []
    else:
        parts.append(_PRESET_WORDS.get(options.preset, options.preset))
    parts += [f"{options.width} wide"] if options.width else []
    parts += [_FORMAT_WORDS[options.format]] if options.format else []
    return ", ".join(parts)


def state_words(job: Job, group: Group) -> str:
    """Return in a sentence or two how a job is doing."""
    if job.status is JobStatus.NOT_PROCESSED:
        return _in_work(job)
    if job.status is JobStatus.PROCESSED:
        return "Done. The mail goes out when the other files are done." if group.waiting else "Done, to be mailed."
    if job.status is JobStatus.DELIVERED:
        return "Done and mailed."
    if job.error_code == "cancelled":
        return "Cancelled."
    why = job.error or "The reason is not known."
    return f"Done, but it could not be mailed: {why}" if "result" in job.outputs else why


# --- parts of it -----------------------------------------------------------------------------------------------------


def _group(group: Group, asking: str) -> str:
    rows = "".join(_row(job, group, asking) for job in group.jobs)
    head = _head(group, asking) if group.total > 1 else ""
    return f'<article class="irss-batch">{head}<ul>{rows}</ul></article>'


def _head(group: Group, asking: str) -> str:
    counts = [f"{group.finished} of {group.total} done"]
    counts += [f"{group.failed} not delivered"] if group.failed else []
    counts += [f"{group.waiting} to go"] if group.waiting else []
    hidden = group.total - len(group.jobs)
    counts += [f"{len(group.jobs)} shown"] if hidden else []
    batch_id = group.batch.id
    buttons = []
    if group.results > 1 and not group.waiting:
        buttons.append(_link(f"batches/{batch_id}/results.zip", "Download all as zip", download=True))
    buttons.append(_link(f"batches/{batch_id}", "Open page"))
    if group.waiting:
        buttons.append(_button("cancel-batch", batch_id, "Cancel all"))
    buttons.append(_button("ask", batch_id, "Delete all"))
    progress = bar(1 - group.waiting / group.total) if group.waiting else ""
    question = f"Delete all {group.total} files of this submission now, with their results?"
    return (
        f'<header><h3>{group.total} files <span class="irss-quiet">{_when(group.batch.created_at)}</span></h3>'
        f'<p class="irss-quiet">{readable(", ".join(counts))}</p>{progress}'
        f"{_actions(buttons, batch_id, asking, question, 'delete-batch')}</header>"
    )


def _row(job: Job, group: Group, asking: str) -> str:
    status = job.status
    facts = [options_words(job.options), size_words(job.input_bytes)]
    alone = f" · {_when(job.created_at)}" if group.total == 1 else ""
    return (
        f'<li class="irss-job">{_thumbnail(job)}<div class="irss-job-words">'
        f'<p class="irss-job-name"><strong>{readable(job.name)}</strong> '
        f'<span class="irss-badge {_STATUS_LOOK[status]}">{status.value} · {STATUS_WORDS[status]}</span></p>'
        f'<p class="irss-quiet">{readable(" · ".join(facts))}{alone}</p>'
        f'<p class="irss-job-state">{readable(state_words(job, group))}</p>{_last_try(job)}{_progress(job)}'
        f"{_result(job)}{_row_actions(job, group, asking)}</div></li>"
    )


def _row_actions(job: Job, group: Group, asking: str) -> str:
    buttons = []
    if job.settled and "result" in job.outputs:
        buttons.append(_link(f"image/{job.id}", "Download", download=True, of=job.name))
    buttons.append(_link(f"jobs/{job.id}", "Open page", of=job.name))
    if not job.settled and not job.cancel_requested:
        buttons.append(_button("cancel", job.id, "Cancel", of=job.name))
    buttons.append(_button("ask", job.id, "Delete", of=job.name))
    return _actions(buttons, job.id, asking, f"Delete {job.name} now, with its result?", "delete")


def _actions(buttons: list[str], target: str, asking: str, question: str, delete: Action) -> str:
    if asking == target:
        keep = _button("keep", target, "Keep it", more=" data-focus")
        delete_now = _button(delete, target, "Delete now", more=' class="irss-danger"')
        # An element of another kind, so that it comes in place of the one before: no button there turns into one of
        # these under somebody's finger.
        words = f"<p>{readable(question)}</p>"
        return f'<section class="irss-job-actions irss-ask" role="alert">{words}{keep}{delete_now}</section>'
    return f'<div class="irss-job-actions">{"".join(buttons)}</div>'


def _in_work(job: Job) -> str:
    if job.cancel_requested:
        return "Being cancelled."
    if job.stage is None:
        return "Waiting for its turn." if not job.attempt else "Starting."
    stages = job.options.stages
    step = stages.index(job.stage) + 1 if job.stage in stages else len(stages)
    words = f"{STAGE_WORDS[job.stage]} (step {step} of {len(stages)}): {job.progress:.0%}"
    return f"{words}, about {time_words(job.remaining_s)} left." if job.remaining_s is not None else f"{words}."


def _last_try(job: Job) -> str:
    """Return why a job that is still open did not succeed at the last try."""
    if job.settled or not job.error:
        return ""
    return f'<p class="irss-quiet">The last try did not succeed and is repeated by itself: {readable(job.error)}</p>'


def _progress(job: Job) -> str:
    if job.settled or job.stage is None:
        return ""
    return bar(min(max(job.progress, 0.0), 1.0))


def _result(job: Job) -> str:
    """Return what came out, of a job that has a result."""
    facts = job.facts
    if not job.settled or "result" not in job.outputs:
        return ""
    words = []
    if {"result_width", "result_height"} <= facts.keys():
        words.append(f"{facts['result_width']} x {facts['result_height']}")
    if "result_format" in facts:
        words.append(_FORMAT_WORDS.get(str(facts["result_format"]).lower(), str(facts["result_format"])))
    if isinstance(facts.get("result_bytes"), int | float):
        words.append(size_words(facts["result_bytes"]))
    if isinstance(facts.get("seconds"), int | float):
        words.append(f"took {time_words(facts['seconds'])}")
    return f'<p class="irss-quiet">Result: {readable(" · ".join(words))}</p>' if words else ""


def _thumbnail(job: Job) -> str:
    """Return the result's thumbnail, the input's as long as there is none, and an empty square before that."""
    role = next((role for role in ("thumbnail", "preview") if role in job.outputs), None)
    if role is None:
        return '<span class="irss-thumbnail" aria-hidden="true"></span>'
    return (
        f'<img class="irss-thumbnail" src="image/{address(job.id)}?role={role}" width="100" height="100" alt="" '
        'loading="lazy">'
    )


def _button(action: str, target: str, words: str, *, of: str = "", more: str = "") -> str:
    return (
        f'<button type="button" data-action="{action}" data-of="{readable(target)}"{more}{_label(words, of)}>'
        f"{words}</button>"
    )


def _link(path: str, words: str, *, download: bool = False, of: str = "") -> str:
    how = " download" if download else ' target="_blank" rel="noopener"'
    return f'<a class="irss-download" href="{address(path)}"{how}{_label(words, of)}>{words}</a>'


def _label(words: str, of: str) -> str:
    """Return what tells one button from the same one of the next row, for who does not see where it stands."""
    return f' aria-label="{words}: {readable(of)}"' if of else ""


def _when(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment.day} {moment:%b %Y, %H:%M} UTC</time>'
