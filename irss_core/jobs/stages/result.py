"""The result of a job, put in the store by the stage that makes it; with its thumbnail, as its pixels are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irss_core.errors import InvalidOptionError
from irss_core.jobs.job import Job
from irss_core.jobs.keys import output_key
from irss_core.jobs.stages.plan import CONTENT_TYPES, picture_format
from irss_core.jobs.stages.workshop import Changes, Workshop, noted, put_output, together

if TYPE_CHECKING:
    from irss_core.media.images import Picture

THUMBNAIL_SIDE = 100
_THUMBNAIL_QUALITY = 88
RESULT = ("result", "thumbnail")
"""The roles that are made together."""


def put_picture(job: Job, workshop: Workshop, picture: Picture, folder: Path) -> Changes:
    """Return the still that is the job's result, stored in the format the options ask for.

    Raises:
        InvalidOptionError: the format cannot hold it, or no file of it is as small as asked for.
    """
    from irss_core.media.images import encode_image

    format, notes = result_format(job, picture.width, picture.height, has_alpha=picture.alpha is not None)
    target, quality = folder / "result", job.options.quality
    if job.options.max_bytes is None:
        notes += encode_image(picture, target, format=format, quality=quality)
    else:
        notes += _compress(picture, target, format=format, quality=quality, max_bytes=job.options.max_bytes)
    facts = {"result_width": picture.width, "result_height": picture.height}
    return put_result(job, workshop, target, format, Changes(facts=facts), noted(*notes), thumbnail_of=picture)


def put_clip(job: Job, workshop: Workshop, clip: Path, *changes: Changes) -> Changes:
    """Return the MP4 that is the job's result, stored, with the changes that go with it."""
    from irss_core.media.images import Picture
    from irss_core.media.video import ClipLimits, extract_frame, probe_clip

    any_size = ClipLimits(max_seconds=1e9, max_frames=2**40, max_bytes=2**50, max_frame_pixels=2**28)
    info = probe_clip(clip, any_size)
    facts = {"result_width": info.width, "result_height": info.height}
    first = Picture(extract_frame(clip, 0, any_size), None, None, None, "MP4")
    return put_result(job, workshop, clip, "mp4", Changes(facts=facts), *changes, thumbnail_of=first)


def put_result(
    job: Job, workshop: Workshop, file: Path, format: str, *changes: Changes, thumbnail_of: Picture
) -> Changes:
    """Return a finished file stored as the job's result, with the changes that go with it and its thumbnail."""
    facts = {"result_bytes": file.stat().st_size, "result_format": format}
    key = output_key(job.id, "result")
    stored = put_output(workshop, "result", key, file, content_type=CONTENT_TYPES[format])
    thumbnail = put_thumbnail(job, workshop, "thumbnail", thumbnail_of, file.parent)
    return together(job, *changes, stored, thumbnail, Changes(facts=facts))


def put_thumbnail(job: Job, workshop: Workshop, role: str, picture: Picture, folder: Path) -> Changes:
    """Return a picture's thumbnail stored under a role: a JPEG of 100 x 100, in sRGB, with nothing but pixels in it."""
    from irss_core.media.images import encode_image

    target = folder / role
    encode_image(thumbnail_picture(picture), target, format="JPEG", quality=_THUMBNAIL_QUALITY)
    return put_output(workshop, role, output_key(job.id, role), target, content_type=CONTENT_TYPES["jpeg"])


def thumbnail_picture(picture: Picture) -> Picture:
    """Return the square middle of a picture at 100 x 100, 8-bit sRGB without metadata; transparency on a chequer."""
    from dataclasses import replace

    import numpy as np
    from PIL import Image

    from irss_core.media.images import Picture, thumbnail_rgb

    side = min(picture.width, picture.height)
    top, left = (picture.height - side) // 2, (picture.width - side) // 2
    middle = (slice(top, top + side), slice(left, left + side))
    alpha = None if picture.alpha is None else picture.alpha[middle]
    small = thumbnail_rgb(replace(picture, color=picture.color[middle], alpha=alpha), THUMBNAIL_SIDE)
    if side < THUMBNAIL_SIDE:
        sides = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        small = np.asarray(Image.fromarray(small).resize(sides, Image.Resampling.LANCZOS))
    return Picture(small, None, None, None, picture.format)


def result_format(job: Job, width: int, height: int, *, has_alpha: bool) -> tuple[str, tuple[str, ...]]:
    """Return the format of a still of that size, and a note if it is not the one it came in for its size.

    Raises:
        InvalidOptionError: the format that was asked for holds no picture of that size.
    """
    from irss_core.media.encode import MAX_SIDES

    format = picture_format(job.options, read_as=job.facts["format"], has_alpha=has_alpha)
    most = MAX_SIDES.get(format.upper())
    if most is None or max(width, height) <= most:
        return format, ()
    size = f"{width:,} x {height:,} pixels; {format} holds at most {most:,} a side"
    if job.options.format is None and job.options.max_bytes is None:
        return "png", (f"The result has {size}, so it was written as png.",)
    raise InvalidOptionError(f"The result would have {size}. Use png or tiff, or a smaller scale or width.")


def _compress(picture: Picture, target: Path, *, format: str, quality: int, max_bytes: int) -> tuple[str, ...]:
    """Write the picture at the best quality up to ``quality`` with which the file is small enough.

    Raises:
        InvalidOptionError: it is too large even at the lowest; the message names the size that can be reached.
    """
    from irss_core.media.images import encode_image

    def size_at(quality: int) -> int:
        encode_image(picture, target, format=format, quality=quality)
        return target.stat().st_size

    if size_at(quality) <= max_bytes:
        return ()
    smallest = size_at(1)
    if smallest > max_bytes:
        raise InvalidOptionError(
            f"max_bytes is {max_bytes:,}, but the smallest {format} of this result, {picture.width:,} x "
            f"{picture.height:,} pixels, has {smallest:,}. Allow that many, or make the result smaller with width."
        )
    fits, too_large = 1, quality
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if size_at(middle) <= max_bytes:
            fits = middle
        else:
            too_large = middle
    notes = encode_image(picture, target, format=format, quality=fits)
    return (f"It was compressed with quality {fits} to keep within {max_bytes:,} bytes.", *notes)
