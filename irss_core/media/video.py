"""Clips in and out: the public face of reading (``clips_in``), describing (``clip_info``) and writing (``clips_out``).

Reading streams frames from MP4, MOV, MKV, WebM, AVI, MPG, animated GIF and animated WebP; writing makes MP4, MOV, MKV,
WebM or GIF with the times of the frames kept and the sound copied. Memory use does not depend on a clip's length.
"""

from __future__ import annotations

from irss_core.media.clip_info import ClipInfo, is_clip, probe_clip
from irss_core.media.clip_part import ClipPart, clip_part, part_frames
from irss_core.media.clips_in import ClipReader, Frame, extract_frame, read_frames
from irss_core.media.clips_out import OUTPUT_SUFFIXES, ClipWriter
from irss_core.media.limits import CLIP_SUFFIXES, ClipLimits

__all__ = [
    "CLIP_SUFFIXES",
    "OUTPUT_SUFFIXES",
    "ClipInfo",
    "ClipLimits",
    "ClipPart",
    "ClipReader",
    "ClipWriter",
    "Frame",
    "clip_part",
    "extract_frame",
    "is_clip",
    "part_frames",
    "probe_clip",
    "read_frames",
]
