"""Two models and the scale to compare them at: the second step of the image tab and of the clip tab."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block

from irss_core.sr.catalog import MODELS
from irss_core.ui import rendering
from irss_core.ui.events import QUICK, Fields, Updates, html_part, model_choices, model_hint, model_title
from irss_core.ui.requests import OWN_SCALE, SCALES, parse_outscale
from irss_core.ui.sessions import Session

_FIRST, _SECOND = "realesrgan-x4plus", "tecogan-x4"


class ModelPair:
    """The components of the step; ``group`` holds them all. ``with_denoise`` offers the strength of what takes one.

    ``names_hidden`` is the visitor's wish to see the results without names at first, for the vote to be blind.
    """

    def __init__(self, *, with_denoise: bool) -> None:
        self.denoise: gr.Slider | None = None
        with gr.Column(elem_classes="irss-group") as self.group:
            html_part(rendering.step_heading(2, "Two models"))
            self._a = gr.Dropdown(model_choices(), value=_FIRST, label="A, on the left", filterable=False)
            self._hint_a = html_part(rendering.hint(model_hint(_FIRST)))
            self._b = gr.Dropdown(model_choices(), value=_SECOND, label="B, on the right", filterable=False)
            self._hint_b = html_part(rendering.hint(model_hint(_SECOND)))
            self._scale = gr.Dropdown(
                list(SCALES),
                value=OWN_SCALE,
                label="How many times larger (any number up to 16)",
                allow_custom_value=True,
            )
            if with_denoise:
                self.denoise = gr.Slider(
                    0,
                    1,
                    value=0.5,
                    step=0.05,
                    visible=False,
                    label="Denoise strength",
                    info="0 keeps the grain, 1 smooths it.",
                )
            self.names_hidden = gr.Checkbox(
                value=False, label="Hide the names until I have voted", container=False, elem_classes="irss-compact"
            )
        for chooser in self.choosers:
            chooser.change(self._describe, self.choosers, self._described, **QUICK)

    @property
    def choosers(self) -> list[gr.Dropdown]:
        """The two lists of models."""
        return [self._a, self._b]

    @property
    def fields(self) -> set[Block]:
        """Everything that ``chosen`` reads."""
        return {self._a, self._b, self._scale, *([self.denoise] if self.denoise else [])}

    def chosen(self, fields: Fields, session: Session) -> dict[str, Any]:
        """Return models, titles and outscale as a request takes them.

        Raises:
            UnknownModelError: there is no such model for this visitor. InvalidOptionError: an impossible scale.
        """
        models = (fields[self._a], fields[self._b])
        return {
            "models": models,
            "titles": (model_title(models[0], session), model_title(models[1], session)),
            "outscale": parse_outscale(fields[self._scale]),
        }

    @property
    def _described(self) -> list[Any]:
        return [self._hint_a, self._hint_b, *([self.denoise] if self.denoise else [])]

    def _describe(self, model_a: str, model_b: str) -> Updates:
        updates: Updates = {
            self._hint_a: rendering.hint(model_hint(model_a)),
            self._hint_b: rendering.hint(model_hint(model_b)),
        }
        if self.denoise is not None:
            takes_it = any(name in MODELS and MODELS[name].has_denoise for name in (model_a, model_b))
            updates[self.denoise] = gr.update(visible=takes_it)
        return updates
