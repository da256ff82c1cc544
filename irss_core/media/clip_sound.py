"""The sound of a source clip, copied packet by packet into an output, in step with its pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard

from irss_core.media.clip_files import (
    audio_streams,
    clip_kind,
    ffmpeg_message,
    open_clip,
    read_head,
    timeline_origin,
)
from irss_core.media.clip_info import DEFAULT_LIMITS

# What players of a container expect in it; ffmpeg would also write other codecs, which then play nowhere.
_COPYABLE = {
    "mp4": frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac"}),
    "mov": frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"}),
    "webm": frozenset({"opus", "vorbis"}),
}
_AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_BITS_PER_CHANNEL = 96_000
_OPUS_HEADER_BYTES = 19
_MILLISECOND = Fraction(1, 1000)
_DAMAGED = "Parts of the sound are damaged and were left out."


@dataclass
class _Track:
    """One sound track on its way: ``copied`` as packets, or decoded and coded anew."""

    source: AudioStream
    output: AudioStream
    copied: bool
    shift: int
    last_dts: int | None = None


class SoundCopier:
    """Feeds a source's sound tracks into an output container; ``notes`` says what could not be copied as it is.

    Make it after the output's video stream is added and before anything is written; close it at the end.
    """

    def __init__(self, source: Path, output: OutputContainer, *, container: str) -> None:
        self.notes: list[str] = []
        self._output = output
        self._tracks: dict[int, _Track] = {}
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self._waiting: Packet[AudioStream] | None = None
        self._files = ExitStack()
        kind = clip_kind(read_head(source))
        if kind is None or kind.demuxer is None:
            return  # an animated WebP, or nothing that could hold sound
        max_frame_pixels = DEFAULT_LIMITS.max_frame_pixels
        self._origin = timeline_origin(source, kind, max_frame_pixels=max_frame_pixels)
        with ExitStack() as undo:
            opened = undo.enter_context(open_clip(source, kind, max_frame_pixels=max_frame_pixels))
            self._add_tracks(opened, container)
            self._files = undo.pop_all()

    def feed(self, until_s: Fraction | None) -> None:
        """Write the sound up to ``until_s`` seconds; all that is left if None."""
        while self._waiting is not None:
            track = self._tracks[self._waiting.stream_index]
            if until_s is not None and _time(self._waiting, track) > until_s:
                return
            self._write(self._waiting, track)
            self._waiting = self._next_packet()
        if until_s is None:
            for track in self._tracks.values():
                if not track.copied:
                    self._output.mux(track.output.encode(None))

    def close(self) -> None:
        """Close the source."""
        self._files.close()

    def _add_tracks(self, source: InputContainer, container: str) -> None:
        streams = audio_streams(source)
        if container == "gif":
            self.notes += ["A GIF holds no sound; it was left out."] if streams else []
            return
        if len(streams) < len(source.streams.audio):
            self.notes.append("A sound track that cannot be decoded was left out.")
        if source.streams.subtitles:
            self.notes.append("Subtitles are not carried over.")
        for stream in streams:
            self._tracks[stream.index] = self._track(stream, container)
        for other in source.streams:
            if other.index not in self._tracks:
                other.discard = Discard.all  # MP4's reader then skips the pictures instead of reading them
        if streams:
            self._packets = source.demux(streams)
            self._waiting = self._next_packet()

    def _track(self, stream: AudioStream, container: str) -> _Track:
        output = _copied_stream(self._output, stream, container)
        copied = output is not None
        if output is None:
            output = _coded_stream(self._output, stream, container)
            self.notes.append(
                f"Sound of the kind {stream.codec_context.codec.canonical_name} cannot go into .{container} as it is;"
                f" it was coded anew as {output.codec_context.codec.canonical_name.upper()}."
            )
        if language := stream.metadata.get("language"):
            output.metadata["language"] = language
        return _Track(stream, output, copied, round(self._origin / (stream.time_base or 1)))

    def _next_packet(self) -> Packet[AudioStream] | None:
        try:
            return next((packet for packet in self._packets if packet.size), None)
        except av.FFmpegError as exc:
            self.notes.append(f"The sound breaks off before its end ({ffmpeg_message(exc)}).")
            return None

    def _write(self, packet: Packet[AudioStream], track: _Track) -> None:
        # Copied packets are decoded too: a damaged one can make the muxer fail, and lose the pictures for a click.
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._note_damage()
            return
        try:
            if track.copied:
                self._output.mux(_retimed(packet, track))
                return
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= track.shift
                self._output.mux(track.output.encode(frame))
        except (av.error.InvalidDataError, av.error.ArgumentError):  # not a full disk: that is the caller's to know
            self._note_damage()

    def _note_damage(self) -> None:
        if _DAMAGED not in self.notes:
            self.notes.append(_DAMAGED)


def _retimed(packet: Packet[AudioStream], track: _Track) -> Packet[AudioStream]:
    """The packet, its bytes untouched, on the output's timeline; stamps that run backwards are moved up a little."""
    dts = packet.dts if packet.dts is not None else packet.pts
    placed = 0 if dts is None else dts - track.shift
    if track.last_dts is not None:
        # A millisecond survives the rounding to any container's unit of time; muxers refuse equal stamps.
        earliest = track.last_dts + math.ceil(_MILLISECOND / packet.time_base)
        placed = track.last_dts + (packet.duration or 0) if dts is None else placed
        placed = max(placed, earliest)
    packet.pts = placed if packet.pts is None else max(packet.pts - track.shift, placed)
    packet.dts = track.last_dts = placed
    packet.stream = track.output
    return packet


def _time(packet: Packet[AudioStream], track: _Track) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if stamp is None else (stamp - track.shift) * packet.time_base


def _copied_stream(output: OutputContainer, stream: AudioStream, container: str) -> AudioStream | None:
    allowed = _COPYABLE.get(container)
    codec = stream.codec_context.codec.canonical_name
    if allowed is not None and codec not in allowed:
        return None
    header = stream.codec_context.extradata or b""
    if codec == "opus" and not (len(header) >= _OPUS_HEADER_BYTES and header.startswith(b"OpusHead")):
        return None  # MP4 is built from this header, at the very end
    try:
        return output.add_stream_from_template(stream)
    except ValueError:  # what PyAV raises when the muxer does not know the codec
        return None


def _coded_stream(output: OutputContainer, stream: AudioStream, container: str) -> AudioStream:
    channels = stream.codec_context.channels
    layout = _LAYOUTS.get(channels, "stereo")
    bit_rate = _BITS_PER_CHANNEL * av.AudioLayout(layout).nb_channels
    if container == "webm":
        return output.add_stream("libopus", rate=48_000, layout=layout, bit_rate=bit_rate)
    rate = stream.codec_context.sample_rate
    return output.add_stream("aac", rate=rate if rate in _AAC_RATES else 48_000, layout=layout, bit_rate=bit_rate)
