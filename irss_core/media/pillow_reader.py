"""JPEG, WebP, BMP, GIF and AVIF in, through Pillow.

The decoder's class is called directly, by content: ``Image.open`` would try every decoder installed, has a size limit
of its own which our settings could not move, and takes a JPEG with a depth map for another format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import av
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    WebPImagePlugin,
    features,
)

from irss_core.errors import UnsupportedFormatError
from irss_core.media.color import cmyk_to_rgb, usable_profile
from irss_core.media.exif import CameraData, read_exif
from irss_core.media.limits import ImageLimits
from irss_core.media.pages import count_gif_frames
from irss_core.media.picture import Pixels
from irss_core.media.reading import Decoded, Inspected, image_samples, present
from irss_core.media.source import Source, corrupt, decoder_errors

_DECODERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
_OPTIONAL = {"WEBP": "webp", "AVIF": "avif"}  # parts a build of Pillow may lack
_GREY_OF_MISSING_DATA = {"L": (128,), "RGB": (128, 128, 128), "CMYK": (127, 127, 127, 127)}


def inspect_with_pillow(source: Source, kind: str, limits: ImageLimits) -> Inspected:
    """The header's facts of a file of the format ``kind``.

    Raises:
        CorruptMediaError: the header is damaged.
        LimitExceededError: too many pixels.
        UnsupportedFormatError: this build of Pillow cannot read the format.
    """
    if kind in _OPTIONAL and not features.check(_OPTIONAL[kind]):
        raise UnsupportedFormatError(
            f"{source.name} is a {kind} picture, which the installed Pillow was built without. "
            "Install Pillow from its official wheel, or save the picture as PNG or JPEG."
        )
    if claimed := _CLAIMED_SIZE.get(kind):  # Pillow prepares a canvas as soon as it opens these
        limits.check_size(source.name, *claimed(source))
    source.stream.seek(0)
    with decoder_errors(source.name):
        image = _DECODERS[kind](source.stream)
    limits.check_size(source.name, *image.size)
    exif = read_exif(image.info.get("exif"))
    frames = count_gif_frames(source.read_all()) if kind == "GIF" else int(getattr(image, "n_frames", 1))
    return Inspected(
        width=image.width,
        height=image.height,
        mode=image.mode,
        bit_depth=8,
        has_alpha=image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
        decode=lambda: _decode(source, image, exif),
        frames=max(1, frames),
        orientation=exif.orientation,
        exif=exif.block,
        icc_profile=image.info.get("icc_profile"),
    )


def _gif_size(source: Source) -> tuple[int, int]:
    """Width and height of a GIF's screen (GIF89a, 18)."""
    source.stream.seek(6)
    head = source.stream.read(4)
    return int.from_bytes(head[:2], "little"), int.from_bytes(head[2:], "little")


def _webp_size(source: Source) -> tuple[int, int]:
    """Width and height in a WebP header (RFC 9649, 2.5 to 2.7)."""
    source.stream.seek(12)
    head = source.stream.read(18)
    if head[:4] == b"VP8X":
        return 1 + int.from_bytes(head[12:15], "little"), 1 + int.from_bytes(head[15:18], "little")
    if head[:4] == b"VP8L":
        bits = int.from_bytes(head[9:13], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if head[:4] == b"VP8 " and len(head) == 18:
        return int.from_bytes(head[14:16], "little") & 0x3FFF, int.from_bytes(head[16:18], "little") & 0x3FFF
    raise corrupt(source.name, "its header names no known WebP coding")


_CLAIMED_SIZE = {"GIF": _gif_size, "WEBP": _webp_size}


def _decode(source: Source, image: ImageFile.ImageFile, exif: CameraData) -> Decoded:
    with image, decoder_errors(source.name):
        image.load()
        _refuse_missing_end(source, image)
        profile, color_note = image.info.get("icc_profile"), None
        if image.mode == "CMYK":
            converted, color_note = cmyk_to_rgb(image, profile)
            profile = None
            color, alpha = image_samples(converted)
        else:
            color, alpha = image_samples(image)
    profile, profile_note = usable_profile(profile, "GRAY" if color.shape[2] == 1 else "RGB")
    alpha, alpha_note = _without_unused_alpha(image, alpha)
    depth = _avif_depth(source) if image.format == "AVIF" else 8
    depth_note = f"The AVIF has {depth} bits a channel; it was read with 8." if depth > 8 else None
    return Decoded(
        color, alpha, profile, exif.block, present(exif.note, color_note, profile_note, alpha_note, depth_note)
    )


def _without_unused_alpha(image: Image.Image, alpha: Pixels | None) -> tuple[Pixels | None, str | None]:
    """Alpha, or None with a note for a BMP whose fourth byte was never filled in: nothing of it would be visible."""
    if alpha is not None and image.format == "BMP" and not alpha.any():
        return None, "The BMP's transparency hides every pixel, which is a known defect of such files; it was left out."
    return alpha, None


def _refuse_missing_end(source: Source, image: Image.Image) -> None:
    """Refuse a JPEG that was cut inside a scan and closed properly.

    libjpeg fills the rest with grey (or leaves it coarse, if progressive) and warns, which Pillow does not pass on.
    FFmpeg's decoder does report it, and takes no offence at stray bytes, which some cameras leave. It is asked where
    the last pixel has exactly the filling's colour, and for every progressive file.

    Raises:
        CorruptMediaError: a scan has too little data.
    """
    if image.format != "JPEG":
        return
    last = image.getpixel((image.width - 1, image.height - 1))
    filled = (last if isinstance(last, tuple) else (last,)) == _GREY_OF_MISSING_DATA.get(image.mode)
    if not filled and not image.info.get("progressive"):
        return
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(source.read_all()))
    except av.error.InvalidDataError as exc:
        raise corrupt(source.name, "its image data ends before the picture is complete") from exc
    except av.FFmpegError:
        return  # a kind of JPEG that FFmpeg does not know proves nothing


def _avif_depth(source: Source) -> int:
    """Bits a channel as the file's pixel information property says (ISO/IEC 23008-12, 6.5.6), or 8 without one."""
    source.stream.seek(0)
    head = source.stream.read(65_536)
    at = head.find(b"pixi")
    return head[at + 9] if 0 <= at < len(head) - 9 else 8
