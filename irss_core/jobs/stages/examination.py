"""What a file is and holds, found by really reading it; called through ``sandbox``, for the file may be hostile.

Everything taken and given is as JSON has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageCms

from irss_core.errors import CorruptMediaError, UnsupportedFormatError
from irss_core.jobs.stages.polyglot import second_nature
from irss_core.media.clip_files import READABLE, clip_kind
from irss_core.media.images import ImageLimits, read_header, read_image
from irss_core.media.signatures import HEAD_BYTES, describe_foreign, picture_format
from irss_core.media.video import ClipLimits, is_clip, probe_clip, read_frames

_MAX_TEXT = 200


def examine(path: str, image_limits: Mapping[str, Any], clip_limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's "kind" and "format"; a still is decoded, of a clip the header tells what decoding will take.

    Raises:
        CorruptMediaError: empty, cut off or damaged. LimitExceededError: over a limit, known before decoding.
        UnsupportedFormatError: no picture or clip that is read here, or something else at the same time.
    """
    file, limits = Path(path), ClipLimits(**clip_limits)
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise CorruptMediaError(f"{file.name} is empty (0 bytes). Hand it in again.")
    still, clip = picture_format(head), clip_kind(head)
    if still is None and clip is None:
        raise UnsupportedFormatError(
            f"{file.name} is {describe_foreign(head)}. Taken are pictures (JPEG, PNG, WebP, TIFF, BMP, GIF and AVIF) "
            f"and clips ({READABLE})."
        )
    if other := second_nature(file, head):
        raise UnsupportedFormatError(
            f"{file.name} is a {'picture' if clip is None else 'clip'} and {other} at the same time, as harmful files "
            "are. Save it again from a program for pictures or clips."
        )
    if clip is not None and is_clip(file, limits):
        info = probe_clip(file, limits)
        return {"kind": "clip", "format": info.format, "pixels": info.width * info.height, "frames": info.frame_count}
    header = read_header(file, ImageLimits(**image_limits))
    if header.animated:
        raise UnsupportedFormatError(
            f"{file.name} is an animated {header.format} with {header.frames:,} frames, which is not read as a clip. "
            "Save it as MP4, animated GIF or animated WebP, or save one frame of it as a picture."
        )
    picture = read_image(file, ImageLimits(**image_limits))
    return {"kind": "still", "format": header.format.lower(), "notes": picture.notes}


def decode_clip(path: str, clip_limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many frames a clip really has and how long they last, every one decoded.

    Raises:
        CorruptMediaError: too much is damaged, or the clip breaks off. LimitExceededError: longer than its header says.
    """
    frames, end_s = 0, 0.0
    with read_frames(Path(path), ClipLimits(**clip_limits)) as reader:
        for frame in reader:
            frames += 1
            end_s = float(frame.pts_s + (frame.duration_s or 0))
        return {"frames": frames, "duration_s": round(end_s, 6), "notes": reader.notes}


def describe_still(path: str, image_limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a still's header says: sides, colour, camera data. Where it was taken is not in there."""
    header = read_header(Path(path), ImageLimits(**image_limits))
    return {
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "bit_depth": header.bit_depth,
        "has_alpha": header.has_alpha,
        "icc_profile": _profile_name(header.icc_profile),
        "orientation": header.orientation,
        "pages": header.frames,
        "exif": _camera_data(header.exif),
    }


def describe_clip(path: str, clip_limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a clip's header says, but its length, which its frames tell better."""
    info = probe_clip(Path(path), ClipLimits(**clip_limits))
    return {
        "width": info.width,
        "height": info.height,
        "codec": info.codec[:_MAX_TEXT],
        "fps": round(float(info.fps), 6),
        "has_audio": info.has_audio,
        "audio_codec": info.audio_codec,
        "is_variable_rate": info.is_variable_rate,
    }


def _profile_name(profile: bytes | None) -> str | None:
    if profile is None:
        return None
    try:
        return _text(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))))
    except (OSError, ImageCms.PyCMSError):
        return None


def _camera_data(block: bytes | None) -> dict[str, Any]:
    """Return the camera, its settings and the time of an EXIF block from which the position was removed."""
    if block is None:
        return {}
    exif = Image.Exif()
    exif.load(block)
    settings = exif.get_ifd(ExifTags.IFD.Exif)
    base = ExifTags.Base
    found = {
        "camera": " ".join(filter(None, (_text(exif.get(base.Make)), _text(exif.get(base.Model))))) or None,
        "lens": _text(settings.get(base.LensModel)),
        "exposure_s": _number(settings.get(base.ExposureTime)),
        "f_number": _number(settings.get(base.FNumber)),
        "iso": _number(settings.get(base.ISOSpeedRatings)),
        "focal_length_mm": _number(settings.get(base.FocalLength)),
        "taken_at": _text(settings.get(base.DateTimeOriginal) or exif.get(base.DateTime)),
    }
    return {name: value for name, value in found.items() if value is not None}


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(sign for sign in value if sign.isprintable()).strip()[:_MAX_TEXT] or None


def _number(value: Any) -> float | int | None:
    """Return a number that JSON has, or None: fractions in files may be divided by zero."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not abs(number) < 1e15:
        return None
    return int(number) if number.is_integer() else round(number, 9)
