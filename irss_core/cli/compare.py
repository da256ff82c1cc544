"""``irss compare``: one still or clip through several models, side by side in one picture or one clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from irss_core.cli.inputs import STILL_ENDINGS, clip_endings
from irss_core.cli.invocation import invocation_of, load_settings
from irss_core.cli.options import Crf, Device, ModelNames, Overwrite, Precision, Scale, Tile, tile_size
from irss_core.cli.region import Area, parse_region
from irss_core.errors import InputError, InvalidOptionError, OutputExistsError
from irss_core.sr.catalog import find_model

EXAMPLES = """\b
Examples:
  irss compare photo.jpg -m realesrgan-x4plus -m tecogan-x4 -o sheet.png
  irss compare photo.jpg -m bicubic -m realesrgan-x4plus --centre 128
  irss compare photo.jpg -m realesrgan-x4plus --weights my_esrgan.pth --region 200,150,96,96
  irss compare clip.mp4 -m realesr-animevideov3 -m tecogan-x4 -o sheet.mp4
"""

_AT_FIRST = ("realesrgan-x4plus", "tecogan-x4")


def compare(
    context: typer.Context,
    *,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture or a clip.")],
    model: ModelNames = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", metavar="FILE", help="Your own checkpoint as one more model; repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Default: NAME_compare.png or .mp4 in the current folder."),
    ] = None,
    scale: Scale = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="X,Y,W,H", help="Only this part, in pixels of the input.")
    ] = None,
    centre: Annotated[
        int | None,
        typer.Option("--centre", "--center", min=1, metavar="N", help="Only the N x N pixels in the middle."),
    ] = None,
    tile: Tile = "auto",
    device: Device = None,
    dtype: Precision = None,
    overwrite: Overwrite = False,
    crf: Crf = 16,
) -> None:
    """Show what several models make of one picture or clip.

    A picture becomes a sheet, side by side: the input with its pixels enlarged, then each model's result with its
    time and the other measured facts. A clip becomes a clip with the models' names over their pictures, sound kept.
    """
    area = Area(None if region is None else parse_region(region), centre)
    chosen = _contestants(model or [], weights or [])
    invocation = invocation_of(context)
    settings = load_settings(device=device, dtype=dtype)
    if not source.is_file():
        raise InputError(f"{source}: There is no such file. Check the name.")

    from irss_core.media.video import ClipLimits, is_clip

    clip = is_clip(source, ClipLimits(max_frame_pixels=settings.max_clip_frame_pixels))
    target = _target(source, output, clip=clip, overwrite=overwrite)
    services = invocation.load_services(settings)

    from irss_core.cli import comparison as work  # with services and this imported, Ctrl-C needs to throw only a token

    with invocation.cancellable() as cancel:
        contestants = work.load_contestants(chosen, services, console=invocation.console, cancel=cancel)
        comparison = work.Comparison(
            source=source,
            target=target,
            area=area,
            contestants=contestants,
            scale=work.common_scale(contestants, scale),
            overwrite=overwrite,
            services=services,
            console=invocation.console,
            cancel=cancel,
        )
        if clip:
            work.compare_clip(comparison, crf=crf)
        else:
            work.compare_still(comparison, tile=tile_size(tile))
    invocation.console.result(f"{source} -> {target}")


def _contestants(models: Sequence[str], weights: Sequence[Path]) -> list[str | Path]:
    """Return what is compared: names of the catalogue and checkpoint files, at least two, none twice."""
    chosen: list[str | Path] = [*models, *weights] or list(_AT_FIRST)
    for name in models:
        find_model(name)
    if len(chosen) < 2:
        raise InvalidOptionError(f"There is only {chosen[0]} to compare. Give at least two: -m A -m B.")
    if len(set(chosen)) < len(chosen):
        raise InvalidOptionError("A model was given twice. Give each once.")
    return chosen


def _target(source: Path, output: Path | None, *, clip: bool, overwrite: bool) -> Path:
    endings = clip_endings() if clip else STILL_ENDINGS
    target = output or Path(f"{source.stem}_compare{'.mp4' if clip else '.png'}")
    if target.is_dir():
        target /= f"{source.stem}_compare{'.mp4' if clip else '.png'}"
    if target.suffix.lower() not in endings:
        raise InvalidOptionError(
            f"{target} cannot hold the comparison of a {'clip' if clip else 'picture'}. "
            f"Use one of {', '.join(sorted(endings))}."
        )
    if target.exists() and not overwrite:
        raise OutputExistsError(f"{target} is already there. Use --overwrite to replace it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
