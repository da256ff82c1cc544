"""Colour profiles: which may travel on, CMYK to RGB, and sRGB for a screen."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

from PIL import Image, ImageCms

MAX_ICC_BYTES = 4 * 1024 * 1024
"""The largest profiles of printing presses have about 3 MB."""

ColorSpace = Literal["RGB", "GRAY", "CMYK"]

_WORDS: dict[ColorSpace, str] = {"RGB": "colour", "GRAY": "grey", "CMYK": "four-ink"}


def usable_profile(profile: bytes | None, space: ColorSpace) -> tuple[bytes | None, str | None]:
    """The profile if it is sound and describes colours of ``space``, else None and a note on why it was left out."""
    if not profile:
        return None, None
    if len(profile) > MAX_ICC_BYTES:
        return None, (
            f"The colour profile has {len(profile):,} bytes, over {MAX_ICC_BYTES:,}; it was left out, "
            "so the colours may look slightly different."
        )
    if _space(profile) != space or _opened(profile) is None:
        what = "is damaged" if _space(profile) in (None, space) else f"is not one for {_WORDS[space]} pictures"
        return None, f"The colour profile {what}; it was left out, so the colours may look slightly different."
    return profile, None


def cmyk_to_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """The CMYK picture in sRGB, and the note that says how it was converted."""
    profile, _ = usable_profile(profile, "CMYK")
    if profile is not None and (converted := _through_profile(image, profile)) is not None:
        return converted, "The printing colours (CMYK) were converted to sRGB through the file's own colour profile."
    return image.convert("RGB"), (
        "The printing colours (CMYK) were converted to RGB by the plain formula, because the file has no usable "
        "colour profile; they may look different from print."
    )


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The ``RGB`` or ``L`` picture as ``RGB`` for a screen; unchanged colours where it has no usable profile."""
    profile, _ = usable_profile(profile, "GRAY" if image.mode == "L" else "RGB")
    converted = None if profile is None else _through_profile(image, profile)
    return image.convert("RGB") if converted is None else converted


def _space(profile: bytes) -> str | None:
    """The colour space in a profile's header, or None if that is no profile's header (ICC.1:2022, 7.2)."""
    if len(profile) < 128 or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("latin-1").strip()


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile | None:
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except OSError:
        return None


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """``image`` converted to sRGB as a photo program does by default, or None if the profile cannot do it."""
    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
