"""Stills out: :func:`write_image`, and :func:`encode_image` for what need not outlast a power cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from irss_core.errors import InvalidOptionError, UnsupportedFormatError
from irss_core.media.atomic import atomic_file
from irss_core.media.color import to_srgb, usable_profile
from irss_core.media.exif import read_exif, with_size
from irss_core.media.file_names import shown_name
from irss_core.media.picture import OUTPUT_FORMATS, Picture, Pixels
from irss_core.media.pixels import flatten_on_white, to_8bit
from irss_core.media.png_writer import write_png
from irss_core.media.tiff_writer import write_tiff

_BY_SUFFIX = {
    **dict.fromkeys((".png", ".apng"), "PNG"),
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".webp": "WEBP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
}
_ALIASES = {"JPG": "JPEG", "TIF": "TIFF"}
MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383}  # the JPEG format allows 65,535, libjpeg stops here
_FULL_CHROMA_FROM = 90
_LOSSLESS = 100
_LOSSLESS_WEBP_EFFORT = 20  # of 100; more is much slower for a few per cent


def write_image(
    picture: Picture,
    path: Path,
    *,
    format: str | None = None,
    quality: int = 90,
    keep_metadata: bool = True,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write ``picture`` whole or not at all; the answer is a sentence for everything the format could not keep.

    PNG and TIFF keep every sample exactly. JPEG has 8 bits and no transparency (it is laid over white); from quality
    90 on its colour has full resolution. WebP has 8 bits; at quality 100 it is lossless. The colour profile always
    travels with the pixels: without it their colours would change.

    Args:
        format: one of ``OUTPUT_FORMATS``; by the ending of ``path`` if None.
        quality: 1 (small) to 100 (best), for JPEG and WebP.
        keep_metadata: write the camera data (EXIF, already without position and thumbnail) too.

    Raises:
        InvalidOptionError: an impossible quality or target; a side longer than the format can hold.
        OutputExistsError: ``path`` exists and ``overwrite`` is off.
        ResourceError: the disk is full or failing.
        UnsupportedFormatError: a format we do not write.
    """
    path = Path(path)
    target = _target_format(path, format)
    _check_quality(quality)
    _check_sides(picture, path, target)
    with atomic_file(path, overwrite=overwrite) as stream:
        return _write(stream, picture, target, quality=quality, keep_metadata=keep_metadata)


def encode_image(picture: Picture, path: Path, *, format: str, quality: int = 90) -> tuple[str, ...]:
    """Write ``picture`` as ``write_image`` does, but over whatever is there and with no care for a crash.

    Raises:
        InvalidOptionError, UnsupportedFormatError: as ``write_image``. OSError: the disk is full or failing.
    """
    target = _target_format(path, format)
    _check_quality(quality)
    _check_sides(picture, path, target)
    with path.open("wb") as stream:
        return _write(stream, picture, target, quality=quality, keep_metadata=True)


def _write(stream: BinaryIO, picture: Picture, target: str, *, quality: int, keep_metadata: bool) -> tuple[str, ...]:
    picture, notes = _fitted(picture, target)
    camera = read_exif(picture.exif if keep_metadata else None)  # once more: no position leaves through here
    exif = with_size(camera.block, picture.width, picture.height) if camera.block else None
    _encode(stream, picture, target, quality=quality, exif=exif)
    return (*notes, camera.note) if camera.note else notes


def _target_format(path: Path, wanted: str | None) -> str:
    choices = ", ".join(OUTPUT_FORMATS)
    if wanted is None:
        if target := _BY_SUFFIX.get(path.suffix.lower()):
            return target
        raise UnsupportedFormatError(
            f"{shown_name(path)} does not end in a format that is written ({choices}). "
            "Give it an ending such as .png, or name the format."
        )
    target = _ALIASES.get(wanted.upper(), wanted.upper())
    if target not in OUTPUT_FORMATS:
        raise UnsupportedFormatError(f"Pictures are not written as {wanted!r}. Choose one of {choices}.")
    return target


def _check_quality(quality: int) -> None:
    if not 1 <= quality <= 100:
        raise InvalidOptionError(f"The quality is {quality}; it must be between 1 (small) and 100 (best).")


def _check_sides(picture: Picture, path: Path, target: str) -> None:
    limit = MAX_SIDES.get(target)
    if limit is not None and max(picture.width, picture.height) > limit:
        raise InvalidOptionError(
            f"{shown_name(path)} would be {picture.width:,} x {picture.height:,} pixels; {target} holds at most "
            f"{limit:,} a side. Choose PNG or TIFF, or a smaller scale."
        )


def _fitted(picture: Picture, target: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture as the format can hold it, and what that cost."""
    notes: list[str] = []
    picture, profile_note = _with_fitting_profile(picture)
    if profile_note:
        notes.append(profile_note)
    if target in ("JPEG", "WEBP") and picture.bit_depth == 16:
        alpha = None if picture.alpha is None else to_8bit(picture.alpha)
        picture = replace(picture, color=to_8bit(picture.color), alpha=alpha)
        notes.append(f"{target} has 8 bits a channel; the 16 bits were rounded. PNG and TIFF keep them.")
    if target == "JPEG" and picture.alpha is not None:
        if int(picture.alpha.min()) < 255:
            notes.append("JPEG has no transparency; the picture was laid over white. PNG, WebP and TIFF keep it.")
        picture = replace(picture, color=flatten_on_white(picture.color, picture.alpha), alpha=None)
    if target == "WEBP" and picture.color.shape[2] == 1:
        grey = Image.fromarray(picture.color[..., 0])
        picture = replace(picture, color=np.asarray(to_srgb(grey, picture.icc_profile)), icc_profile=None)
    return picture, tuple(notes)


def _with_fitting_profile(picture: Picture) -> tuple[Picture, str | None]:
    """The picture without a profile that does not describe it: readers refuse such files, or show wrong colours."""
    profile, note = usable_profile(picture.icc_profile, "GRAY" if picture.color.shape[2] == 1 else "RGB")
    return replace(picture, icc_profile=profile), note


def _encode(stream: BinaryIO, picture: Picture, target: str, *, quality: int, exif: bytes | None) -> None:
    samples = _with_alpha(picture)
    if target == "PNG":
        write_png(stream, samples, icc_profile=picture.icc_profile, exif=exif)
    elif target == "TIFF":
        write_tiff(stream, samples, icc_profile=picture.icc_profile, exif=exif)
    elif target == "JPEG":
        _write_jpeg(stream, samples, quality=quality, icc_profile=picture.icc_profile, exif=exif)
    else:
        _write_webp(stream, samples, quality=quality, icc_profile=picture.icc_profile, exif=exif)


def _with_alpha(picture: Picture) -> Pixels:
    """HxWxC: the colour, and alpha behind it where there is one."""
    if picture.alpha is None:
        return picture.color
    return np.concatenate([picture.color, picture.alpha[..., None]], axis=2)


def _write_jpeg(
    stream: BinaryIO, samples: Pixels, *, quality: int, icc_profile: bytes | None, exif: bytes | None
) -> None:
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    chroma = "4:4:4" if quality >= _FULL_CHROMA_FROM else "4:2:0"
    image.save(stream, "JPEG", quality=quality, subsampling=chroma, icc_profile=icc_profile, exif=exif or b"")


def _write_webp(
    stream: BinaryIO, samples: Pixels, *, quality: int, icc_profile: bytes | None, exif: bytes | None
) -> None:
    image = Image.fromarray(samples)
    metadata = {"icc_profile": icc_profile or b"", "exif": exif or b""}
    if quality == _LOSSLESS:  # ``exact``: also the colour under transparent pixels
        image.save(stream, "WEBP", lossless=True, quality=_LOSSLESS_WEBP_EFFORT, method=1, exact=True, **metadata)
    else:
        image.save(stream, "WEBP", quality=quality, method=4, **metadata)
