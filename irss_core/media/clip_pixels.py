"""Decoded video frames to upright RGB, with the matrix and range they were coded in; and RGB to what is encoded.

Chroma is interpolated over its full resolution and sited where the standards put it (left, as H.264 and HEVC mean it
when they say nothing): ffmpeg's quick paths repeat chroma samples, which a super-resolution network would sharpen
into visible blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import Image

MATRIX_BT709 = 1
RANGE_LIMITED = 1
_MATRIX_UNSPECIFIED = 2
_TRANSFERS_HDR = (16, 18)  # SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG)
_CAREFUL = (
    Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
)


@dataclass(frozen=True)
class Orientation:
    """How stored pixels are turned to be upright: transposed first, then mirrored in x and in y."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """The upright picture: HxWxC, same dtype, C-contiguous."""
        if self.transpose:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirror_x:
            pixels = pixels[:, ::-1]
        if self.mirror_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Upright width and height of a stored ``width`` x ``height``."""
        return (height, width) if self.transpose else (width, height)


def frame_orientation(frame: VideoFrame) -> Orientation:
    """What the container's display matrix asks for, to the nearest right angle.

    The matrix maps stored (x, y) to displayed (a*x + c*y, b*x + d*y).
    """
    side_data = cast("Iterable[SideData]", frame.side_data)
    matrix = next((bytes(data) for data in side_data if data.type is Type.DISPLAYMATRIX), None)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if abs(b) > abs(a):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)


def frame_notes(frame: VideoFrame) -> list[str]:
    """Plain sentences on what 8-bit RGB cannot carry of this frame."""
    notes = []
    bits = max((component.bits for component in frame.format.components), default=8)
    if bits > 8 and not frame.format.has_palette:
        notes.append(f"The clip has {bits} bits a colour; it is worked on in 8 bits.")
    if frame.color_trc in _TRANSFERS_HDR:
        notes.append("The clip is HDR; it is shown without tone mapping and looks flatter than on an HDR screen.")
    if frame.interlaced_frame:
        notes.append("The clip is interlaced; its two fields are kept woven together, which shows as combs in motion.")
    return notes


class FrameConverter:
    """Turns decoded frames into upright RGB of one size (the first frame's).

    ``resized`` counts the frames that had another size; ``transparent`` tells whether any was not wholly opaque.
    """

    def __init__(self) -> None:
        self.resized = 0
        self.transparent = False
        self._reformatter = VideoReformatter()
        self._first: tuple[int, int, Orientation] | None = None

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """The frame's pixels: HxWx3 uint8 RGB, full range, upright, C-contiguous; alpha composited on white."""
        if self._first is None:
            self._first = (frame.width, frame.height, frame_orientation(frame))
        width, height, orientation = self._first
        self.resized += (frame.width, frame.height) != (width, height)
        has_alpha = any(component.is_alpha for component in frame.format.components)
        converted = self._reformatter.reformat(
            frame,
            width,
            height,
            "rgba" if has_alpha else "rgb24",
            src_colorspace=_guessed_matrix(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=_CAREFUL,
        )
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        return orientation.apply(self.on_white(pixels) if has_alpha else pixels)

    def on_white(self, rgba: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 RGB of an HxWx4 uint8 RGBA with unassociated alpha, composited on white."""
        if rgba[..., 3].min() == 255:
            return np.ascontiguousarray(rgba[..., :3])
        self.transparent = True
        alpha = rgba[..., 3:].astype(np.uint16)
        blended = rgba[..., :3] * alpha + 255 * (255 - alpha)
        return ((blended + 127) // 255).astype(np.uint8)


class LimitedRangeConverter:
    """Turns RGB arrays of one size into the frames H.264 and VP9 take: yuv420p, BT.709, limited range, left-sited."""

    def __init__(self, width: int, height: int) -> None:
        self._graph = Graph()
        source = f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/1:pixel_aspect=1/1:range=pc"
        scale = (
            "out_color_matrix=bt709:out_range=limited:out_chroma_loc=left:flags=bicubic+full_chroma_inp+accurate_rnd"
        )
        nodes = (("buffer", source), ("scale", scale), ("format", "pix_fmts=yuv420p"), ("buffersink", None))
        self._graph.link_nodes(*(self._graph.add(name, args) for name, args in nodes))
        self._graph.configure()

    def __call__(self, pixels: np.ndarray) -> VideoFrame:
        """The frame for HxWx3 uint8 RGB, without times."""
        frame = VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, frame.color_range = 0, ColorRange.JPEG
        self._graph.vpush(frame)
        return self._graph.vpull()


def palette_frame(pixels: np.ndarray) -> VideoFrame:
    """The pal8 frame for HxWx3 uint8 RGB: up to 256 colours chosen for this frame, the rest dithered.

    The colours come from a copy of at most about 320 px a side: as good to the eye, and many times faster.
    """
    picture = Image.fromarray(pixels)
    reduced = picture.reduce(max(1, max(picture.size) // 320))
    palette = reduced.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    indexed = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    colors = np.array(indexed.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table = np.full((256, 4), 255, np.uint8)  # alpha first: ARGB
    table[:, 1:] = 0
    table[: len(colors), 1:] = colors
    return VideoFrame.from_ndarray((np.asarray(indexed), table), "pal8")  # type: ignore[arg-type]


def _guessed_matrix(frame: VideoFrame) -> Colorspace | None:
    """The matrix to assume where the clip does not say: by size, as players do; None where it says, or is RGB."""
    if frame.format.is_rgb or frame.colorspace != _MATRIX_UNSPECIFIED:
        return None
    return Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
