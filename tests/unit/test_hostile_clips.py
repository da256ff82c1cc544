"""Clips that are broken, mislabelled, absurd or malicious: one clear error each, and nothing else is ever opened."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import threading
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from PIL import Image

from irss_core.errors import (
    CorruptMediaError,
    InputError,
    LimitExceededError,
    OutputExistsError,
    UnsupportedFormatError,
)
from irss_core.media.clip_files import ClipKind, open_clip
from irss_core.media.video import ClipLimits, ClipWriter, Frame, extract_frame, is_clip, probe_clip, read_frames
from tests.made_clips import Sound, cfr, make_clip, picture

ENTRANCES: list[Callable[[Path], object]] = [probe_clip, read_frames, extract_frame]


def refused(path: Path, error: type[Exception], match: str | None = None) -> str:
    """Every way in refuses the file with the same error; returns the message."""
    messages = []
    for enter in ENTRANCES:
        with pytest.raises(error, match=match) as caught:
            enter(path)
        assert type(caught.value) is error
        messages.append(str(caught.value))
    assert len(set(messages)) == 1
    assert str(path.parent) not in messages[0], "a visitor is not shown the server's folders"
    return messages[0]


def cut(path: Path, share: float) -> Path:
    """The first ``share`` of a file, in its place."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


# Not clips at all -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"just some words\n" * 40, "a text file"),
        ("Žluťoučký kůň\n".encode() * 40, "a text file"),
        (b"<!DOCTYPE html><html><video src='http://127.0.0.1/x.mp4'></html>", "a web page"),
        (b"\xef\xbb\xbf\n<HTML></HTML>", "a web page"),
        (b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>", "an XML document"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive"),
        (b"ID3\x04" + bytes(200), "a sound file"),
        (b"OggS" + bytes(200), "an Ogg file"),
        (bytes(5000), "something this program does not know"),
        (b"\x7fELF" + bytes(200), "something this program does not know"),
        (b"\0", "something this program does not know"),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ""])
def test_other_kinds_of_file_are_named_and_refused(
    tmp_path: Path, content: bytes, looks_like: str, suffix: str
) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    message = refused(path, UnsupportedFormatError, looks_like)
    assert "MP4" in message
    with pytest.raises(UnsupportedFormatError):
        is_clip(path)


@pytest.fixture
def listener() -> object:
    """A server on the loopback address that counts who connects."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                calls.append(connection)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], calls
        time.sleep(0.1)
        stop.set()
        thread.join()


PLAYLISTS = {
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "list.txt": "file '{target}'\nfile '{target}'\n",
    "list.pls": "[playlist]\nFile1={target}\n",
    "live.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    "manifest.mpd": "<?xml version='1.0'?>\n<MPD><Period><BaseURL>{target}</BaseURL></Period></MPD>",
}


@pytest.mark.parametrize("name", sorted(PLAYLISTS))
@pytest.mark.parametrize("suffix", ["", ".mp4", ".mkv"])
def test_playlists_are_refused_and_what_they_name_is_never_opened(
    tmp_path: Path, listener: tuple[int, list[object]], name: str, suffix: str
) -> None:
    port, calls = listener
    secret = make_clip(tmp_path / "secret.ts")
    for target in (f"http://127.0.0.1:{port}/x.ts", str(secret), "/etc/passwd"):
        path = tmp_path / f"{name}{suffix}"
        path.write_text(PLAYLISTS[name].format(target=target))
        refused(path, UnsupportedFormatError)
    assert calls == []


def test_a_second_lock_stands_behind_the_signatures(tmp_path: Path, listener: tuple[int, list[object]]) -> None:
    port, calls = listener
    secret = make_clip(tmp_path / "secret.ts")
    for name, demuxer in (("hls.m3u8", "hls"), ("list.ffconcat", "concat"), ("list.txt", "concat")):
        for target in (f"http://127.0.0.1:{port}/x.ts", str(secret)):
            path = tmp_path / name
            path.write_text(PLAYLISTS[name].format(target=target))
            with pytest.raises(CorruptMediaError):
                open_clip(path, ClipKind("x", demuxer), max_frame_pixels=10**6)
    picture_file = tmp_path / "x.png"
    Image.fromarray(picture(0)).save(picture_file)
    with pytest.raises(CorruptMediaError):
        open_clip(picture_file, ClipKind("x", "png_pipe"), max_frame_pixels=10**6)
    assert calls == []


def test_addresses_as_names_are_only_missing_files(listener: tuple[int, list[object]]) -> None:
    port, calls = listener
    for name in (f"http://127.0.0.1:{port}/a.mp4", f"tcp://127.0.0.1:{port}", "concat:/etc/passwd|/etc/hosts", "a\0b"):
        with pytest.raises(InputError):
            probe_clip(Path(name))
    assert calls == []


def test_stills_under_a_clips_name_are_stills(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        path = tmp_path / f"{kind}.mp4"
        Image.fromarray(picture(0)).save(path, kind)
        assert not is_clip(path)
        refused(path, UnsupportedFormatError)


def test_sound_alone_is_not_a_clip(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    refused(tmp_path / "a.mp4", UnsupportedFormatError, "sound file")
    with av.open(str(tmp_path / "b.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts = 48_000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux([*stream.encode(frame), *stream.encode(None)])
    refused(tmp_path / "b.mp4", UnsupportedFormatError, "no video")
    with pytest.raises(UnsupportedFormatError, match="no video"):
        is_clip(tmp_path / "b.mp4")


def test_missing_files_and_folders_are_input_errors(tmp_path: Path) -> None:
    refused(tmp_path, InputError, "folder")
    with pytest.raises(InputError):
        is_clip(tmp_path / "nowhere.mp4")


# Broken clips ---------------------------------------------------------------------------------------------------------


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    refused(tmp_path / "a.mp4", CorruptMediaError, "empty")
    with pytest.raises(CorruptMediaError):
        is_clip(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.webm"])
def test_a_header_alone_is_refused(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name)
    path.write_bytes(path.read_bytes()[:60])
    refused(path, CorruptMediaError)


def test_an_mp4_whose_index_is_missing_says_that_it_was_cut_off(tmp_path: Path) -> None:
    path = cut(make_clip(tmp_path / "a.mp4", ticks=cfr(40)), 0.6)
    assert b"moov" not in path.read_bytes()
    refused(path, CorruptMediaError, "cut off")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_clip_that_breaks_off_is_an_error_not_a_shorter_clip(tmp_path: Path, name: str, share: float) -> None:
    options = {"movflags": "+faststart"} if name == "a.mp4" else {}
    frames = [picture(i) for i in range(60)]
    path = make_clip(tmp_path / name, ticks=cfr(60), frames=frames, container_options=options)
    assert len(list(read_frames(path))) == 60
    with pytest.raises(CorruptMediaError, match=r"cut off|breaks off|damaged"):
        list(read_frames(cut(path, share)))


def test_a_webp_that_breaks_off_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(6)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=50)
    refused(cut(tmp_path / "a.webp", 0.6), CorruptMediaError, "cut off")


def test_a_webp_with_a_damaged_frame_names_it(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(6)]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(4):
        start = content.index(b"ANMF", start + 1)
    content[start + 32 : start + 60] = b"\xff" * 28
    path.write_bytes(content)
    with pytest.raises(CorruptMediaError, match=r"frame 3|cannot be read"):
        list(read_frames(path))


def test_a_gif_that_breaks_off_is_noted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.gif", ticks=cfr(10, 4), tick=Fraction(1, 100), last_ticks=4)
    reader = read_frames(cut(path, 0.7))
    assert 0 < len(list(reader)) < 10
    assert any("no end mark" in note for note in reader.notes)


def test_a_clip_without_frames_is_refused(tmp_path: Path) -> None:
    for name, options in (("a.mp4", {"movflags": "+empty_moov+frag_keyframe"}), ("a.mkv", {})):
        with av.open(str(tmp_path / name), "w", container_options=options) as output:
            stream = output.add_stream("libx264", rate=25)
            stream.width, stream.height = 48, 32
            output.start_encoding()
        refused(tmp_path / name, CorruptMediaError, "No frame|cannot be read")


def test_frames_of_rubbish_are_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", ticks=cfr(30))
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    path.write_bytes(content[:start] + b"\xa5" * (end - start) + content[end:])
    refused(path, CorruptMediaError, "No frame|cannot be decoded")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.webm", "a.mpg", "a.ts", "a.gif"])
def test_random_damage_never_crashes(tmp_path: Path, name: str) -> None:
    tick = Fraction(1, 100) if name.endswith("gif") else Fraction(1, 25)
    original = make_clip(tmp_path / name, ticks=cfr(12), tick=tick, sound=None).read_bytes()
    chance = random.Random(name)
    for _ in range(25):
        content = bytearray(original)
        for _ in range(chance.choice([1, 4, 30])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / name).write_bytes(content)
        try:
            frames = list(read_frames(tmp_path / name, ClipLimits(max_frames=100, max_seconds=60)))
        except InputError:
            continue
        assert frames
        assert all(b.pts_s > a.pts_s for a, b in pairwise(frames))


# Too much -------------------------------------------------------------------------------------------------------------


def test_a_file_over_the_size_limit_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    size = path.stat().st_size
    with pytest.raises(LimitExceededError, match="IRSS_MAX_CLIP_BYTES") as caught:
        probe_clip(path, ClipLimits(max_bytes=size - 1))
    assert f"{size:,}" in str(caught.value)
    assert f"{size - 1:,}" in str(caught.value)
    probe_clip(path, ClipLimits(max_bytes=size))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif", "a.mpg"])
def test_a_clip_over_the_length_limit_is_refused(tmp_path: Path, name: str) -> None:
    step = 4 if name == "a.gif" else 1
    path = make_clip(tmp_path / name, ticks=cfr(50, step), tick=Fraction(1, 25 * step), last_ticks=step)
    with pytest.raises(LimitExceededError, match=r"IRSS_MAX_CLIP_SECONDS") as caught:
        list(read_frames(path, ClipLimits(max_seconds=1.5)))
    assert "1.5 s" in str(caught.value)
    if name != "a.mpg":  # its header does not tell
        with pytest.raises(LimitExceededError, match=r"lasts 2\.0 s"):
            probe_clip(path, ClipLimits(max_seconds=1.5))
    assert len(list(read_frames(path, ClipLimits(max_seconds=2.0)))) == 50


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif", "a.webm"])
def test_a_clip_over_the_frame_limit_is_refused(tmp_path: Path, name: str) -> None:
    tick = Fraction(1, 100) if name == "a.gif" else Fraction(1, 25)
    path = make_clip(tmp_path / name, ticks=cfr(30), tick=tick)
    with pytest.raises(LimitExceededError, match="IRSS_MAX_CLIP_FRAMES"):
        list(read_frames(path, ClipLimits(max_frames=29)))
    if name not in ("a.mkv", "a.webm"):  # their headers do not tell
        with pytest.raises(LimitExceededError, match="has 30 frames"):
            probe_clip(path, ClipLimits(max_frames=29))
    assert len(list(read_frames(path, ClipLimits(max_frames=30)))) == 30


def test_a_header_that_claims_less_than_there_is_does_not_help(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", ticks=cfr(100))
    content = bytearray(path.read_bytes())
    position = content.index(b"\x44\x89\x88") + 3  # Duration, a float of 8 bytes
    assert struct.unpack(">d", content[position : position + 8])[0] == pytest.approx(4000)
    content[position : position + 8] = struct.pack(">d", 100.0)
    content = content.replace(b"00:00:04.000000000", b"00:00:00.100000000")
    path.write_bytes(content)
    assert probe_clip(path).duration_s == 0.1
    assert len(list(read_frames(path))) == 100
    for limits in (ClipLimits(max_seconds=2), ClipLimits(max_frames=50)):
        seen: list[Frame] = []
        with pytest.raises(LimitExceededError):
            seen.extend(read_frames(path, limits))
        assert 45 <= len(seen) <= 51


def test_a_header_that_claims_more_than_there_is_is_an_error_at_the_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", ticks=cfr(50))
    content = path.read_bytes().replace(b"00:00:02.000000000", b"00:00:09.000000000")
    path.write_bytes(content)
    with pytest.raises(CorruptMediaError, match=r"should last 9\.00 s but ends after 2\.00 s"):
        list(read_frames(path))


def test_a_header_wrong_by_little_is_only_noted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", ticks=cfr(50))
    path.write_bytes(path.read_bytes().replace(b"00:00:02.000000000", b"00:00:02.130000000"))
    reader = read_frames(path)
    assert len(list(reader)) == 50
    assert reader.notes == ("The clip ends 0.13 s before its header says.",)


def test_frames_over_the_pixel_limit_are_refused_before_decoding(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", size=(64, 48))
    with pytest.raises(LimitExceededError, match="IRSS_MAX_CLIP_FRAME_PIXELS") as caught:
        probe_clip(path, ClipLimits(max_frame_pixels=64 * 48 - 1))
    assert "64x48 = 3,072" in str(caught.value)
    probe_clip(path, ClipLimits(max_frame_pixels=64 * 48))


@pytest.mark.parametrize("codec", ["libx264", "mjpeg", "ffv1"])
@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_an_absurd_size_in_the_header_is_never_allocated(tmp_path: Path, name: str, codec: str) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_clip(tmp_path / name, codec=codec, pix_fmt=pixel_format, options={})
    content = path.read_bytes()
    if name == "a.mp4":  # the sample entry: 16 bits a side, then 72 dots an inch
        true, absurd = (struct.pack(">HHHH", *size, 0x48, 0) for size in ((48, 32), (65_535, 65_535)))
    else:
        true, absurd = (struct.pack("<II", *size) for size in ((48, 32), (100_000, 100_000)))
    assert true in content
    path.write_bytes(content.replace(true, absurd))
    before = _resident_bytes()
    try:
        info = probe_clip(path)
    except (LimitExceededError, CorruptMediaError):
        pass
    else:  # the decoder knows better: the true size is in the stream itself
        assert (info.width, info.height) == (48, 32)
    assert _resident_bytes() - before < 50_000_000


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def test_a_stream_whose_true_size_is_absurd_is_refused(tmp_path: Path) -> None:
    picture_file = io.BytesIO()
    Image.new("L", (9000, 9000)).save(picture_file, "JPEG", quality=20)
    source = make_clip(tmp_path / "small.mkv", codec="mjpeg", pix_fmt="yuvj420p")
    path = tmp_path / "a.mkv"
    with av.open(str(source)) as small, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(small.streams.video[0])
        for i in range(3):
            packet = av.Packet(picture_file.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 25)
            packet.is_keyframe = True
            output.mux(packet)
    for enter in ENTRANCES:
        with pytest.raises((LimitExceededError, CorruptMediaError)):
            enter(path)


def test_a_gif_bomb_is_refused_by_its_canvas(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.gif", tick=Fraction(1, 100))
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 60_000, 60_000)
    path.write_bytes(content)
    started = time.perf_counter()
    message = refused(path, LimitExceededError, "IRSS_MAX_CLIP_FRAME_PIXELS")
    assert "60000x60000" in message
    assert is_clip(path)
    assert time.perf_counter() - started < 2


def test_a_webp_bomb_is_refused_by_its_canvas(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=50)
    content = bytearray((tmp_path / "a.webp").read_bytes())
    content[24:30] = (16_382).to_bytes(3, "little") * 2
    (tmp_path / "a.webp").write_bytes(content)
    assert "16383x16383" in refused(tmp_path / "a.webp", LimitExceededError, "IRSS_MAX_CLIP_FRAME_PIXELS")


def test_a_webp_of_too_many_frames_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(6)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=1000)
    with pytest.raises(LimitExceededError, match="IRSS_MAX_CLIP_FRAMES"):
        probe_clip(tmp_path / "a.webp", ClipLimits(max_frames=5))
    with pytest.raises(LimitExceededError, match="IRSS_MAX_CLIP_SECONDS"):
        probe_clip(tmp_path / "a.webp", ClipLimits(max_seconds=5))


# A bad source of sound ------------------------------------------------------------------------------------------------


def test_a_broken_source_of_sound_leaves_no_file(tmp_path: Path) -> None:
    broken = cut(make_clip(tmp_path / "s.mp4", sound=Sound()), 0.4)
    writer = ClipWriter(tmp_path / "t.mp4", width=48, height=32, fps=Fraction(25), audio_from=broken)
    with pytest.raises(CorruptMediaError), writer:
        pass
    missing = ClipWriter(tmp_path / "t.mp4", width=48, height=32, fps=Fraction(25), audio_from=tmp_path / "none.mp4")
    with pytest.raises(InputError), missing:
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.mp4"]


def test_an_error_does_not_hide_an_existing_target(tmp_path: Path) -> None:
    (tmp_path / "t.mp4").write_bytes(b"precious")
    with (
        pytest.raises(OutputExistsError),
        ClipWriter(tmp_path / "t.mp4", width=48, height=32, fps=Fraction(25), audio_from=tmp_path / "none.mp4"),
    ):
        pass
    assert (tmp_path / "t.mp4").read_bytes() == b"precious"
