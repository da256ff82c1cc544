"""Clips that were coded one after the other joined into one MP4, packet by packet, with a source's sound."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from irss_core.errors import ResourceError
from irss_core.media.clip_files import ffmpeg_message
from irss_core.media.clip_sound import SoundCopier
from irss_core.media.clips_out import exact_start


def join_clips(parts: Iterable[Path], target: Path, *, time_base: Fraction, audio_from: Path | None) -> tuple[str, ...]:
    """Write the MP4 in which the parts follow each other, and return what of the sound could not be copied as it is.

    Nothing is coded anew. A part is opened when the one before it is written.

    Args:
        parts: one or more MP4s of ``ClipWriter``, made with the same options, without sound; every frame keeps the time
            it has in its part.
        time_base: the parts' own.
        audio_from: the file whose sound goes along.

    Raises:
        ResourceError: the disk is full or failing.
        ValueError: a part was coded otherwise than the first one.
    """
    try:
        with closing(_Joint(target, time_base, audio_from)) as joint:
            for part in parts:
                joint.add(part)
            return joint.finish()
    except (av.FFmpegError, OSError) as exc:
        raise ResourceError(
            f"The stretches of the clip could not be put together: {ffmpeg_message(exc)}. Free some disk space."
        ) from exc


class _Joint:
    """An open output into which parts go one by one."""

    def __init__(self, target: Path, time_base: Fraction, audio_from: Path | None) -> None:
        options = {"movflags": "+faststart", **exact_start(time_base)}
        self._output = av.open("file:" + os.fspath(target), mode="w", format="mp4", container_options=options)
        self._time_base, self._audio_from = time_base, audio_from
        self._stream: VideoStream | None = None
        self._header: bytes | None = None
        self._sound: SoundCopier | None = None
        self._last_tick = -1

    def add(self, part: Path) -> None:
        """Write a part's packets, and the sound up to their times."""
        with av.open("file:" + os.fspath(part), mode="r", format="mov") as source:
            coded = source.streams.video[0]
            stream = self._stream or self._begin(coded)
            if coded.codec_context.extradata != self._header:
                raise ValueError(f"{part.name} was coded with other options than the parts before it")
            for packet in source.demux(coded):
                if packet.pts is None:  # the mark that PyAV puts at the end
                    continue
                self._last_tick = max(self._ticks(packet.pts * packet.time_base), self._last_tick + 1)
                packet.duration = max(self._ticks((packet.duration or 0) * packet.time_base), 1)
                packet.pts = packet.dts = self._last_tick
                packet.time_base, packet.stream = self._time_base, stream
                self._output.mux(packet)
                if self._sound is not None:
                    self._sound.feed(self._last_tick * self._time_base)

    def finish(self) -> tuple[str, ...]:
        """Write the rest of the sound and complete the file; the answer is the sound's notes."""
        if self._sound is not None:
            self._sound.feed(None)
        self._output.close()
        return tuple(dict.fromkeys(self._sound.notes)) if self._sound is not None else ()

    def close(self) -> None:
        """Let go of all files, finished or not."""
        if self._sound is not None:
            self._sound.close()
        with suppress(av.FFmpegError):
            self._output.close()

    def _begin(self, coded: VideoStream) -> VideoStream:
        self._stream = self._output.add_stream_from_template(coded)
        self._stream.time_base = self._time_base
        self._header = coded.codec_context.extradata
        if self._audio_from is not None:
            self._sound = SoundCopier(self._audio_from, self._output, container="mp4")
        return self._stream

    def _ticks(self, time_s: Fraction) -> int:
        return round(time_s / self._time_base)
