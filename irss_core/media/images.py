"""Stills: files to arrays and back without losing transparency, 16 bits, colour profile or camera data.

This is the module to import; the work is done in ``decode``, ``encode``, ``pixels`` and the modules they stand on.
"""

from __future__ import annotations

from irss_core.media.decode import read_header, read_image
from irss_core.media.encode import encode_image, write_image
from irss_core.media.limits import IMAGE_SUFFIXES, ImageLimits
from irss_core.media.picture import OUTPUT_FORMATS, ImageHeader, Picture
from irss_core.media.pixels import bleed_color, thumbnail_rgb, to_rgb8

__all__ = [
    "IMAGE_SUFFIXES",
    "OUTPUT_FORMATS",
    "ImageHeader",
    "ImageLimits",
    "Picture",
    "bleed_color",
    "encode_image",
    "read_header",
    "read_image",
    "thumbnail_rgb",
    "to_rgb8",
    "write_image",
]
