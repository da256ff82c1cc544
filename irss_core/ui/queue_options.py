"""QueueOptions: the second step of the queue tab, what is to be done with the files."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block

from irss_core.jobs.options import JobOptions
from irss_core.sr.catalog import MODELS
from irss_core.ui import rendering, wording
from irss_core.ui.events import QUICK, Fields, Updates, html_part, model_hint
from irss_core.ui.handoff import Handover, Wishes
from irss_core.ui.requests import OWN_SCALE, SCALES

_FIRST = "realesrgan-x4plus"
_PRESETS = (
    ("Enlarge with a model", "upscale"),
    ("Filters only, same size", "filters"),
    ("Resize to a width, with a thumbnail", "resize+thumbnail"),
    ("Thumbnail only, 100 x 100", "thumbnail-100"),
)
_FORMATS = (
    ("As handed in", ""),
    ("PNG", "png"),
    ("JPEG", "jpeg"),
    ("WebP", "webp"),
    ("TIFF", "tiff"),
    ("MP4 (clips)", "mp4"),
)


class QueueOptions:
    """The components of the step. A second model makes a second submission of the same files."""

    def __init__(self) -> None:
        html_part(rendering.step_heading(2, "What to do"))
        with gr.Column(elem_classes="irss-group"):
            self.preset = gr.Dropdown(list(_PRESETS), value="upscale", label="Task", filterable=False)
            with gr.Column(elem_classes="irss-group") as self.enlarging:
                choices = [(spec.title, name) for name, spec in MODELS.items()]
                self.model = gr.Dropdown(choices, value=_FIRST, label="Model", filterable=False)
                self.hint = html_part(rendering.hint(model_hint(_FIRST)))
                self.second = gr.Dropdown([("None", ""), *choices], value="", label="Also with", filterable=False)
                self.model_denoise = gr.Slider(
                    0, 1, value=0.5, step=0.05, visible=False, label="Denoise strength", info=wording.MODEL_DENOISE
                )
            with gr.Row():
                self.scale = gr.Dropdown(
                    list(SCALES),
                    value=OWN_SCALE,
                    label="Scale (any from 1 to 16)",
                    allow_custom_value=True,
                    min_width=130,
                )
                self.format = gr.Dropdown(
                    list(_FORMATS), value="", label="Kind of file", filterable=False, min_width=130
                )
            with gr.Accordion("Optional steps", open=False, elem_id="irss-queue-steps") as self.steps:
                self._build_steps()

    def _build_steps(self) -> None:
        self.denoise = gr.Checkbox(False, label="Remove speckle first", info=wording.STEP_DENOISE)
        self.autocontrast = gr.Checkbox(False, label="Stretch the contrast first", info=wording.STEP_AUTOCONTRAST)
        self.sharpen = gr.Slider(0, 3, value=0, step=0.1, label="Sharpen", info=wording.STEP_SHARPEN)
        self.contrast = gr.Slider(0, 3, value=1, step=0.05, label="Contrast", info=wording.STEP_CONTRAST)
        self.greyscale = gr.Checkbox(False, label="Greyscale", info=wording.STEP_GREYSCALE)
        self.width = gr.Number(0, precision=0, minimum=0, label="Width in pixels", info=wording.STEP_WIDTH)
        self.max_kilobytes = gr.Number(
            0, precision=0, minimum=0, label="Largest size in kB", info=wording.STEP_MAX_BYTES
        )
        self.quality = gr.Slider(
            1, 100, value=JobOptions.quality, step=1, label="Quality of JPEG and WebP", info=wording.STEP_QUALITY
        )

    def connect(self) -> None:
        """Show what the task and the models have to be asked."""
        self.preset.change(
            self.describe_task,
            self.preset,
            [self.enlarging, self.scale, self.steps, self.denoise, self.autocontrast],
            **QUICK,
        )
        for chooser in (self.model, self.second):
            chooser.change(self.describe_models, [self.model, self.second], [self.hint, self.model_denoise], **QUICK)

    @property
    def fields(self) -> set[Block]:
        """Everything that ``wishes`` reads."""
        return {
            self.preset, self.model, self.second, self.scale, self.model_denoise, self.format, self.denoise,
            self.autocontrast, self.sharpen, self.contrast, self.greyscale, self.width, self.max_kilobytes,
            self.quality,
        }  # fmt: skip

    @property
    def filled(self) -> list[Any]:
        """Everything that ``fill`` and ``keep_models`` update."""
        return [self.preset, self.model, self.second, self.scale, self.model_denoise]

    def wishes(self, fields: Fields) -> Wishes:
        """Return what stands in the form."""
        scale = fields[self.scale]
        return Wishes(
            preset=fields[self.preset],
            models=tuple(name for name in (fields[self.model], fields[self.second]) if name),
            scale="" if scale == OWN_SCALE else str(scale or ""),
            model_denoise=fields[self.model_denoise],
            format=fields[self.format] or "",
            quality=fields[self.quality],
            denoise=fields[self.denoise],
            autocontrast=fields[self.autocontrast],
            sharpen=fields[self.sharpen],
            contrast=fields[self.contrast],
            greyscale=fields[self.greyscale],
            width=fields[self.width],
            max_kilobytes=fields[self.max_kilobytes],
        )

    def fill(self, handover: Handover) -> Updates:
        """Return the updates that put in what another tab hands over."""
        updates = {
            self.preset: "upscale",
            self.scale: OWN_SCALE if handover.outscale is None else f"{handover.outscale:g}",
            **self.keep_models(handover.models),
        }
        if handover.model_denoise is not None:
            updates[self.model_denoise] = handover.model_denoise
        return updates

    def keep_models(self, models: tuple[str, ...]) -> Updates:
        """Return the updates that put in one or two models."""
        return {self.model: models[0], self.second: models[1] if len(models) > 1 else ""}

    def describe_task(self, preset: str) -> Updates:
        """Show the fields that a task has."""
        resizing, small = preset == "resize+thumbnail", preset == "thumbnail-100"
        first_steps = gr.update(visible=not resizing)
        return {
            self.enlarging: gr.update(visible=preset == "upscale"),
            self.scale: gr.update(visible=preset == "upscale"),
            self.steps: gr.update(visible=True, open=True) if resizing else gr.update(visible=not small),
            self.denoise: first_steps,
            self.autocontrast: first_steps,
        }

    def describe_models(self, model: str, second: str) -> Updates:
        """Say what a model is for, and ask for the denoise strength of one that takes it."""
        takes_it = any(name in MODELS and MODELS[name].has_denoise for name in (model, second))
        return {
            self.hint: rendering.hint(model_hint(model)),
            self.model_denoise: gr.update(visible=takes_it),
        }
