"""Options that several commands take, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from irss_core.errors import InvalidOptionError
from irss_core.sr.catalog import MODELS, ModelSpec

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
StillFormat = Literal["png", "jpeg", "webp", "tiff", "keep"]


def complete_model(incomplete: str) -> list[str]:
    """Return the models' names that begin so, for the shell's completion."""
    return [name for name in MODELS if name.startswith(incomplete)]


def _tile(text: str) -> str:
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise typer.BadParameter(f"{text!r} is neither 'auto' nor a number of pixels above 0")
    return text


def tile_size(text: str) -> int | Literal["auto"]:
    """Return --tile as the engine takes it."""
    return "auto" if text == "auto" else int(text)


def check_denoise(denoise: float | None, spec: ModelSpec) -> None:
    """Raise InvalidOptionError if a denoise strength was given for a model that has none."""
    if denoise is not None and not spec.has_denoise:
        able = ", ".join(name for name, other in MODELS.items() if other.has_denoise)
        raise InvalidOptionError(f"{spec.name} has no denoise strength. Leave --denoise out, or use {able}.")


ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        autocompletion=complete_model,
        help="A model to compare; `irss models` lists them.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        autocompletion=complete_model,
        help="The model; `irss models` lists them. Default: realesrgan-x4plus for stills, tecogan-x4 for clips.",
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(
        "--scale",
        "-s",
        metavar="FACTOR",
        help="How many times as large, such as 2 or 3.5; default: what the model is made for.",
    ),
]
Tile = Annotated[
    str,
    typer.Option("--tile", metavar="PIXELS|auto", parser=_tile, help="Side of a tile; auto goes by the free memory."),
]
Denoise = Annotated[
    float | None,
    typer.Option("--denoise", min=0.0, max=1.0, metavar="0..1", help="Strength, for realesr-general-x4v3 only."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="Your own checkpoint (.pth, .safetensors, ncnn) instead of a model."
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps. [env: IRSS_DEVICE]")
]
Precision = Annotated[Dtype | None, typer.Option("--dtype", help="Precision to compute in. [env: IRSS_DTYPE]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are already there.")]
Crf = Annotated[
    int,
    typer.Option(
        "--crf",
        min=0,
        max=51,
        metavar="0..51",
        help="Clips: H.264 quality, lower is better and larger; 16 is very good.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
