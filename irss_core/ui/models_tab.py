"""The models tab: every model, one's own checkpoint, and what this machine computes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from irss_core.sr.catalog import MODELS, ModelSpec
from irss_core.sr.weights import weights_status
from irss_core.ui import rendering, results, wording
from irss_core.ui.events import Page, Updates, html_part, model_choices, telling
from irss_core.ui.rendering import heading
from irss_core.words import size_words

if TYPE_CHECKING:
    from irss_core.sr.loader import LoadedModel

_ARCHITECTURES = {
    "rrdbnet": "RRDBNet",
    "srvgg": "SRVGGNetCompact",
    "frnet": "FRNet (recurrent)",
    "resample": "no network",
}


class ModelsTab:
    """The components of the tab and what they do; ``choosers`` are the other tabs' lists of models."""

    def __init__(self, page: Page, choosers: Sequence[gr.Dropdown]) -> None:
        self._page, self._choosers = page, choosers
        html_part(wording.MODELS_INTRO)
        self.table = html_part(elem_id="irss-models-table")
        with gr.Row(elem_classes="irss-columns"):
            with gr.Column(min_width=300):
                html_part(heading("Your own checkpoint") + wording.CHECKPOINT_INTRO)
                self.file = gr.File(
                    label="Drop a checkpoint, or choose a file",
                    elem_id="irss-checkpoint-file",
                    elem_classes="irss-upload",
                    height=96,
                    show_label=False,
                )
                self.loaded = html_part(elem_id="irss-checkpoint-loaded")
            with gr.Column(min_width=300):
                html_part(heading("This machine"))
                self.machine = html_part(elem_id="irss-machine")
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.file.upload(self.load_checkpoint, self.file, [self.loaded, *choosers], **private)

    def connect(self, tab: gr.Tab) -> None:
        """Fill the tables whenever the tab is opened."""
        tab.select(self.show, None, [self.table, self.machine], api_visibility="private", show_progress="hidden")

    @telling(lambda tab: tab.machine)
    def show(self) -> Updates:
        """Show which models are here, and the machine."""
        from irss_core.sr.device import machine_report

        settings = self._page.services.settings
        return {
            self.table: models_table(self._page),
            self.machine: results.machine(machine_report(settings.device, settings.dtype)),
        }

    @telling(lambda tab: tab.loaded)
    def load_checkpoint(self, upload: str, request: gr.Request) -> Updates:
        """Take in a visitor's own checkpoint, and offer it in the lists of the other tabs."""
        session = self._page.session(request)
        path = session.adopt(upload, "checkpoint")
        model = self._page.services.add_checkpoint(path)
        title = f"{path.stem} (yours)"
        session.own_models[model.name] = title
        session.keep_only(path.parent)
        choices = model_choices(session)
        return {
            self.loaded: rendering.notice(f"Loaded: {describe(model)}. It is in the lists as {title!r}.", kind="good"),
            **{chooser: gr.update(choices=choices) for chooser in self._choosers},
        }


def describe(model: LoadedModel) -> str:
    """Return what a checkpoint turned out to be."""
    return (
        f"{_ARCHITECTURES[model.architecture]} with {model.blocks} blocks, x{model.scale}, "
        f"{model.parameters / 1e6:.2f} million parameters"
    )


def models_table(page: Page) -> str:
    """Return the table of all models, with whether their weights are here."""
    headings = ("Model", "For", "Scale", "Size", "Weights", "Licence and paper")
    rows = "".join(_row(page, spec, headings) for spec in MODELS.values())
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    return (
        '<div class="irss-table-box"><table class="irss-table irss-models-table"><caption>Models</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(page: Page, spec: ModelSpec, headings: Sequence[str]) -> str:
    text = rendering.readable
    size = f"{spec.parameters / 1e6:.2f} M parameters" if spec.parameters else "-"
    paper = f'<br><a href="{text(spec.paper_url)}" rel="noopener" target="_blank">{text(spec.paper)}</a>'
    cells = (
        f"{text(spec.summary)}",
        f"x{spec.scale}" + (", denoise" if spec.has_denoise else ""),
        f"{size}<br>{text(_ARCHITECTURES[spec.architecture])}",
        _weights(page, spec),
        f'<a href="{text(spec.source_url)}" rel="noopener" target="_blank">{text(spec.licence)}</a>'
        + (paper if spec.paper_url else ""),
    )
    kind = "a clip, carrying detail along" if spec.kind == "sequence" else "one picture at a time"
    return (
        f'<tr><th scope="row">{text(spec.title)}<small>{kind}</small></th>'
        + "".join(f'<td data-column="{heading}">{cell}</td>' for heading, cell in zip(headings[1:], cells, strict=True))
        + "</tr>"
    )


def _weights(page: Page, spec: ModelSpec) -> str:
    if not spec.files:
        return '<span class="irss-badge irss-good">needs none</span>'
    settings = page.services.settings
    status = weights_status(spec, cache_dir=settings.cache_dir)
    size = f"<br>{size_words(status.size_bytes)}" if status.size_bytes else ""
    where = rendering.readable(status.where)
    if status.available:
        return f'<span class="irss-badge irss-good">here</span>{size}<br><small>{where}</small>'
    words = "not here, and downloads are off" if settings.offline else "fetched at first use"
    return f'<span class="irss-badge irss-warn">{words}</span>{size}'
