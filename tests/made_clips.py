"""Small clips made with PyAV alone, independently of the code under test, with content that tells frames apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags

MUXERS = {".mkv": "matroska", ".mpg": "mpeg", ".ts": "mpegts", ".m1v": "mpeg1video"}
ENCODERS = {".webm": "libvpx", ".avi": "mpeg4", ".mpg": "mpeg2video", ".m1v": "mpeg1video", ".gif": "gif"}
LIMITED, FULL = 1, 2


@dataclass(frozen=True)
class Sound:
    """A tone of 440 Hz that starts ``onset_s`` into the clip."""

    codec: str = "aac"
    seconds: float = 1.0
    onset_s: float = 0.0
    rate: int = 48_000


def picture(index: int, width: int = 48, height: int = 32) -> np.ndarray:
    """Frame ``index``: a grey of its own (they repeat after 24) with a darker top left corner."""
    pixels = np.full((height, width, 3), 40 + 8 * (index % 24), np.uint8)
    pixels[: height // 2, : width // 2] //= 2
    return pixels


def index_of(pixels: np.ndarray) -> int:
    """Which ``picture`` this is, after coding."""
    return round((float(pixels[3 * pixels.shape[0] // 4 :].mean()) - 40) / 8)


def cfr(count: int, step: int = 1) -> list[int]:
    """``count`` timestamps, ``step`` ticks apart."""
    return [i * step for i in range(count)]


def make_clip(
    path: Path,
    *,
    ticks: Sequence[int] = tuple(range(8)),
    tick: Fraction = Fraction(1, 25),
    rate: Fraction | None = None,
    last_ticks: int | None = None,
    size: tuple[int, int] = (48, 32),
    codec: str | None = None,
    frames: Sequence[np.ndarray] | None = None,
    sound: Sound | None = None,
    rotation: tuple[int, bool] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    file: Any = None,
    **context: Any,
) -> Path:
    """A clip at ``path`` whose frames (else ``picture`` 0, 1 …) appear at ``ticks``; ``context`` is the encoder's."""
    encoder = codec or ENCODERS.get(path.suffix, "libx264")
    muxer = MUXERS.get(path.suffix, path.suffix[1:])
    with av.open(file or str(path), "w", format=muxer, container_options=container_options or {}) as output:
        stream = output.add_stream(encoder, rate=rate or 1 / tick, time_base=tick, options=options or _options(encoder))
        stream.width, stream.height = size
        stream.pix_fmt = context.pop("pix_fmt", "rgb8" if encoder == "gif" else "yuv420p")
        stream.codec_context.flags |= Flags.frame_duration
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        sound_packets = _sound_packets(output, sound) if sound else []
        packets = []
        for i, pts in enumerate(ticks):
            source = frames[i] if frames is not None else picture(i, *size)
            frame = source if isinstance(source, av.VideoFrame) else av.VideoFrame.from_ndarray(source, "rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = pts, tick
            following = ticks[i + 1] if i + 1 < len(ticks) else pts + (last_ticks or 1)
            frame.duration = following - pts
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in sorted(packets + sound_packets, key=lambda p: (p.dts or 0) * p.time_base):
            output.mux(packet)
    return path


def yuv_frame(y: np.ndarray, u: np.ndarray, v: np.ndarray, *, matrix: int = 2, color_range: int = 0) -> av.VideoFrame:
    """A yuv420p frame of given planes."""
    frame = av.VideoFrame(y.shape[1], y.shape[0], "yuv420p")
    for plane, values in zip(frame.planes, (y, u, v), strict=True):
        buffer = np.zeros((plane.height, plane.line_size), np.uint8)
        buffer[:, : plane.width] = np.clip(np.round(values), 0, 255)
        plane.update(buffer.tobytes())
    frame.colorspace, frame.color_range = matrix, color_range
    return frame


def packets_of(path: Path, kind: str = "audio") -> list[tuple[Fraction, bytes]]:
    """Time and bytes of every packet of the first stream of ``kind``."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def samples_of(path: Path) -> tuple[np.ndarray, int]:
    """The first channel of a clip's sound from time zero on, and its rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        heard = np.zeros(0, np.float32)
        resampler = av.AudioResampler("fltp", "mono", stream.rate)
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                start = round(part.pts * part.time_base * stream.rate)
                data = part.to_ndarray()[0]
                data, start = data[max(-start, 0) :], max(start, 0)
                heard = np.pad(heard, (0, max(start + len(data) - len(heard), 0)))
                heard[start : start + len(data)] = data
        return heard, stream.rate


def _options(encoder: str) -> dict[str, str]:
    if encoder == "libx264":
        return {"crf": "10", "preset": "ultrafast", "bf": "0"}
    if encoder in ("libvpx", "libvpx-vp9"):
        return {"crf": "10", "b": "1M", "deadline": "realtime", "cpu-used": "8"}
    return {"b": "2M"} if encoder.startswith("mpeg") else {}


def _sound_packets(output: av.container.OutputContainer, sound: Sound) -> list[av.Packet]:
    # ffmpeg's own Vorbis encoder is stereo only, and must be asked for by this option.
    layout, options = ("stereo", {"strict": "experimental"}) if sound.codec == "vorbis" else ("mono", {})
    stream = output.add_stream(sound.codec, rate=sound.rate, layout=layout, options=options)
    time = np.arange(round(sound.seconds * sound.rate)) / sound.rate
    wave = (np.sin(2 * np.pi * 440 * time) * (time >= sound.onset_s) * 12_000).astype(np.int16)
    packets = []
    for start in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "s16", "mono")
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = start
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]
