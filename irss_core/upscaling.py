"""Files in, files out: the functions that the app, the command line and the API all call to upscale something."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from irss_core.errors import OutputExistsError
from irss_core.media.images import ImageLimits, Picture, bleed_color, read_image, write_image
from irss_core.media.video import ClipLimits, ClipPart, ClipWriter, Frame, clip_part, part_frames, read_frames
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.image import ImageUpscaler, UpscaleResult, output_size
from irss_core.sr.resample import resize
from irss_core.sr.tiled import TileSize
from irss_core.sr.video import ClipReport, VideoUpscaler


@dataclass(frozen=True)
class StillOptions:
    """How a picture is upscaled and written. ``format`` None goes by the file's ending."""

    outscale: float | None = None
    tile: TileSize = "auto"
    format: str | None = None
    quality: int = 90
    keep_metadata: bool = True
    alpha: Literal["model", "lanczos"] = "lanczos"


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is upscaled and written. ``crf`` is H.264's constant rate factor: lower is better and larger.

    A ``part`` is written without the sound: it would have to be cut, and so coded anew.
    """

    outscale: float | None = None
    crf: int = 16
    part: ClipPart | None = None


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take, and what that expectation rests on."""

    seconds: float
    memory_bytes: int
    basis: str


def upscale_picture(
    picture: Picture,
    upscaler: ImageUpscaler,
    *,
    options: StillOptions = StillOptions(),
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Picture, UpscaleResult]:
    """Return the enlarged picture, transparency and metadata kept, and the facts of the run on its colours.

    Raises: as ``ImageUpscaler``.
    """
    color = picture.color if picture.alpha is None else bleed_color(picture.color, picture.alpha)
    result = upscaler(color, outscale=options.outscale, tile=options.tile, progress=progress, cancel=cancel)
    alpha = None
    if picture.alpha is not None:
        height, width = result.image.shape[:2]
        if options.alpha == "model":
            mask = upscaler(picture.alpha[..., None], outscale=options.outscale, tile=options.tile, cancel=cancel)
            alpha = mask.image[..., 0]
        else:
            alpha = resize(picture.alpha, height=height, width=width)
    return replace(picture, color=result.image, alpha=alpha), result


def upscale_still(
    source: Path,
    target: Path,
    upscaler: ImageUpscaler,
    *,
    options: StillOptions = StillOptions(),
    limits: ImageLimits = ImageLimits(),
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> UpscaleResult:
    """Write the enlarged picture of a file to another file, whole or not at all, and return the run's facts.

    Raises:
        OutputExistsError: the target is there and ``overwrite`` is False; checked before any work.
        InputError: the source cannot be read, or is over a limit. Else as ``upscale_picture``.
    """
    check_target(target, overwrite=overwrite)
    picture = read_image(source, limits)
    enlarged, result = upscale_picture(picture, upscaler, options=options, progress=progress, cancel=cancel)
    notes = write_image(
        enlarged,
        target,
        format=options.format,
        quality=options.quality,
        keep_metadata=options.keep_metadata,
        overwrite=overwrite,
    )
    return replace(result, fallbacks=(*result.fallbacks, *picture.notes, *notes))


def upscale_clip(
    source: Path,
    target: Path,
    upscaler: VideoUpscaler,
    *,
    also: Sequence[Path] = (),
    options: ClipOptions = ClipOptions(),
    limits: ClipLimits = ClipLimits(),
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> ClipReport:
    """Write the enlarged clip of a file to another file, frame for frame with its sound, and return the run's facts.

    Args:
        also: more files to write the same frames to, in other formats.

    Raises: as ``upscale_still``.
    """
    targets = (target, *also)
    for path in targets:
        check_target(path, overwrite=overwrite)
    run = upscaler.start(outscale=options.outscale)
    with read_frames(source, limits) as reader, contextlib.ExitStack() as open_files:
        info, taken = reader.info, deque[Frame]()

        def pixels() -> Iterator[np.ndarray]:
            for frame in clip_part(reader, options.part, cancel=cancel):
                taken.append(frame)
                yield frame.pixels

        height, width = output_size(info.height, info.width, run.outscale)
        writers = [
            ClipWriter(
                path,
                width=width,
                height=height,
                fps=info.fps,
                audio_from=source
                if info.has_audio and options.part is None and path.suffix.lower() != ".gif"
                else None,
                crf=options.crf,
                overwrite=overwrite,
                time_base=info.time_base,
                pixel_aspect=info.pixel_aspect,
            )
            for path in targets
        ]
        for writer in writers:
            open_files.enter_context(writer)
        total = part_frames(info, options.part)
        for enlarged in run.frames(pixels(), total=total, progress=progress, cancel=cancel):
            frame = taken.popleft()
            for writer in writers:
                writer.write(enlarged, frame.pts_s, duration_s=frame.duration_s)
        notes = reader.notes
    report = run.report()
    return replace(
        report, fallbacks=(*report.fallbacks, *notes, *(note for writer in writers for note in writer.notes))
    )


def forecast_still(
    upscaler: ImageUpscaler, width: int, height: int, *, measured: tuple[UpscaleResult, int] | None = None
) -> Forecast:
    """Return what a width x height picture will take on this machine.

    Args:
        measured: a finished run with this upscaler and the number of input pixels it had; without it a small
            picture is run now, which takes a second or two.
    """
    if measured is None:
        side = 64
        sample = np.zeros((side, side, 3), np.uint8)
        upscaler(sample)  # the first run also prepares the network, which is not part of the rate
        measured = upscaler(sample), side * side
    result, pixels = measured
    return Forecast(
        seconds=result.seconds * width * height / pixels,
        memory_bytes=upscaler.estimate_memory_bytes(height, width),
        basis=f"{pixels} pixels took {result.seconds:.2f} s on {result.device} in {result.dtype}",
    )


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError if the target is there and may not be replaced."""
    if target.exists() and not overwrite:
        raise OutputExistsError(f"{target} exists already. Choose another name, or allow overwriting.")
