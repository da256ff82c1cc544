"""One input through several models, side by side: a sheet of a still, a clip of a clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from irss_core.cli.console import Console
from irss_core.cli.region import Area, Region
from irss_core.cli.wording import describe_clip, describe_still, how_it_ran
from irss_core.errors import LimitExceededError
from irss_core.media.images import Picture, read_image, to_rgb8, write_image
from irss_core.media.video import ClipWriter, Frame, read_frames
from irss_core.progress import CancelToken, ProgressMeter
from irss_core.services import Services
from irss_core.sheet import FrameSheet, Panel, compose_sheet, enlarge_pixels
from irss_core.sr.image import check_outscale, output_size
from irss_core.upscaling import StillOptions, upscale_picture
from irss_core.words import time_words

_MOST_SHEET_PIXELS = 200_000_000  # 600 MB in memory, and about what picture viewers still open


@dataclass(frozen=True)
class Contestant:
    """A model in the comparison: its name for ``Services``, what to call it, what it makes of sizes by itself."""

    name: str
    title: str
    scale: float


def load_contestants(
    chosen: Sequence[str | Path], services: Services, *, console: Console, cancel: CancelToken
) -> list[Contestant]:
    """Return the loaded models of these names and checkpoint files; raises as ``Services`` does."""
    contestants = []
    for choice in chosen:
        label = choice.name if isinstance(choice, Path) else choice
        with console.progress(f"Loading {label}") as progress:
            name = services.add_checkpoint(choice).name if isinstance(choice, Path) else choice
            model = services.image_upscaler(name, progress=progress, cancel=cancel).model
        title = label if isinstance(choice, Path) else model.title
        contestants.append(Contestant(name, title, model.default_outscale))
    return contestants


def common_scale(contestants: Sequence[Contestant], wanted: float | None) -> float:
    """Return the factor that was asked for, else the largest that any of the models is made for.

    Raises:
        InvalidOptionError: the factor is not possible.
    """
    return check_outscale(max(contestant.scale for contestant in contestants) if wanted is None else wanted)


@dataclass(frozen=True)
class Comparison:
    """What is compared and how. ``scale`` is the same for every model, so that the results lie beside each other."""

    source: Path
    target: Path
    area: Area
    contestants: Sequence[Contestant]
    scale: float
    overwrite: bool
    services: Services
    console: Console
    cancel: CancelToken


def compare_still(comparison: Comparison, *, tile: int | Literal["auto"]) -> None:
    """Write a sheet: the input with its pixels enlarged, then each model's result and its measured facts.

    Raises:
        LimitExceededError: the sheet would be too large to be looked at.
    """
    picture = read_image(comparison.source, comparison.services.image_limits)
    region = comparison.area.within(picture.color.shape[1], picture.color.shape[0])
    _check_sheet_size(region, comparison)
    part = replace(
        picture,
        color=region.crop(picture.color),
        alpha=None if picture.alpha is None else region.crop(picture.alpha),
    )
    options = StillOptions(outscale=comparison.scale, tile=tile)
    panels = [_input_panel(part, comparison.scale), *_still_panels(part, comparison, options)]
    sheet = Picture(
        color=compose_sheet(panels, heading=_heading(comparison, region)),
        alpha=None,
        icc_profile=picture.icc_profile if picture.color.shape[2] == 3 else None,  # a grey profile fits no RGB sheet
        exif=None,
        format="PNG",
    )
    notes = write_image(sheet, comparison.target, overwrite=comparison.overwrite)
    for note in (*picture.notes, *notes):
        comparison.console.note(note)


def compare_clip(comparison: Comparison, *, crf: int) -> None:
    """Write a clip with each model's frames side by side under its name; the models take turns frame by frame."""
    services, console = comparison.services, comparison.console
    runs = [services.video_upscaler(c.name).start(outscale=comparison.scale) for c in comparison.contestants]
    with ExitStack() as files:
        # Each model reads the file for itself: one may look further ahead than another, and no frame is kept for long.
        readers = [files.enter_context(read_frames(comparison.source, services.clip_limits)) for _ in runs]
        info = readers[0].info
        region = comparison.area.within(info.width, info.height)
        height, width = output_size(region.height, region.width, comparison.scale)
        sheet = FrameSheet([contestant.title for contestant in comparison.contestants], width, height)
        times: deque[tuple[Fraction, Fraction | None]] = deque()
        streams = [
            run.frames(_cropped(reader, region, times if reader is readers[0] else None), cancel=comparison.cancel)
            for run, reader in zip(runs, readers, strict=True)
        ]
        writer = files.enter_context(
            ClipWriter(
                comparison.target,
                width=sheet.width,
                height=sheet.height,
                fps=info.fps,
                audio_from=comparison.source if info.has_audio else None,
                crf=crf,
                overwrite=comparison.overwrite,
                time_base=info.time_base,
                pixel_aspect=info.pixel_aspect,
            )
        )
        progress = files.enter_context(console.progress(comparison.source.name))
        meter = ProgressMeter(info.frame_count, "frames", callback=progress, cancel=comparison.cancel)
        for frames in zip(*streams, strict=True):
            shown_at, shown_for = times.popleft()
            writer.write(sheet.compose(frames), shown_at, duration_s=shown_for)
            meter.advance()
    for contestant, run in zip(comparison.contestants, runs, strict=True):
        console.result(f"{contestant.title}: {describe_clip(run.report())}")
    for note in (*readers[0].notes, *writer.notes):
        console.note(note)


def _still_panels(part: Picture, comparison: Comparison, options: StillOptions) -> Iterator[Panel]:
    for contestant in comparison.contestants:
        upscaler = comparison.services.image_upscaler(contestant.name)
        with comparison.console.progress(contestant.title) as progress:
            enlarged, result = upscale_picture(
                part, upscaler, options=options, progress=progress, cancel=comparison.cancel
            )
        comparison.console.result(f"{contestant.title}: {describe_still(result)}")
        height, width = enlarged.color.shape[:2]
        facts = (f"{width}x{height} in {time_words(result.seconds)}", how_it_ran(result), *result.fallbacks)
        yield Panel(contestant.title, to_rgb8(enlarged), facts)


def _input_panel(part: Picture, scale: float) -> Panel:
    height, width = part.color.shape[:2]
    tall, wide = output_size(height, width, scale)
    squares = enlarge_pixels(to_rgb8(part), wide, tall)
    return Panel("Input", squares, (f"{width}x{height}, each pixel shown as a square",))


def _cropped(
    frames: Iterable[Frame], region: Region, times: deque[tuple[Fraction, Fraction | None]] | None
) -> Iterator[np.ndarray]:
    """Yield the region of each frame; ``times`` collects when each is shown and for how long."""
    for frame in frames:
        if times is not None:
            times.append((frame.pts_s, frame.duration_s))
        yield region.crop(frame.pixels)


def _heading(comparison: Comparison, region: Region) -> str:
    part = f"{region.width}x{region.height} pixels at {region.left},{region.top}"
    return f"{comparison.source.name}, {part}, enlarged x{comparison.scale:g}"


def _check_sheet_size(region: Region, comparison: Comparison) -> None:
    height, width = output_size(region.height, region.width, comparison.scale)
    panels = len(comparison.contestants) + 1
    pixels = panels * height * width
    if pixels > _MOST_SHEET_PIXELS:
        raise LimitExceededError(
            f"The sheet would have {panels} pictures of {width}x{height}, {pixels / 1e6:.0f} megapixels; at most "
            f"{_MOST_SHEET_PIXELS / 1e6:.0f} can be looked at. Compare a part (--centre 512) or use a smaller --scale."
        )
