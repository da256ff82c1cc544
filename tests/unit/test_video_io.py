"""Reading and writing clips: what goes in comes out, at the same times, with the same sound, or not at all."""

from __future__ import annotations

import gc
import io
import os
import sys
import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from irss_core.errors import (
    CorruptMediaError,
    InvalidOptionError,
    OutputExistsError,
    ResourceError,
    UnsupportedFormatError,
)
from irss_core.media.video import (
    CLIP_SUFFIXES,
    OUTPUT_SUFFIXES,
    ClipWriter,
    Frame,
    extract_frame,
    is_clip,
    probe_clip,
    read_frames,
)
from tests.made_clips import FULL, LIMITED, Sound, cfr, index_of, make_clip, packets_of, picture, samples_of, yuv_frame

MILLISECOND = Fraction(1, 1000)
VARIABLE = [0, 3600, 5400, 20_000, 20_500, 60_000, 90_000, 180_000]  # of 90 kHz


def write_clip(path: Path, frames: list[np.ndarray], times: list[Fraction], last: Fraction | None = None, **options):
    """Write frames with ``ClipWriter``; returns the writer."""
    height, width = frames[0].shape[:2]
    options.setdefault("fps", Fraction(25))
    with ClipWriter(path, width=width, height=height, **options) as writer:
        for i, (pixels, time) in enumerate(zip(frames, times, strict=True)):
            writer.write(pixels, time, duration_s=last if i == len(frames) - 1 else None)
    return writer


def copy_clip(source: Path, target: Path, **options) -> tuple[list[Frame], ClipWriter]:
    """Pass a clip through reader and writer, as an upscaler would."""
    info = probe_clip(source)
    passed = []
    with (
        read_frames(source) as frames,
        ClipWriter(target, width=info.width, height=info.height, fps=info.fps, audio_from=source, **options) as writer,
    ):
        for frame in frames:
            writer.write(frame.pixels, frame.pts_s, duration_s=frame.duration_s)
            passed.append(frame)
    return passed, writer


def times(frames: list[Frame]) -> list[tuple[Fraction, Fraction | None]]:
    return [(frame.pts_s, frame.duration_s) for frame in frames]


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def open_descriptors(path: Path) -> int:
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            targets.append(descriptor.readlink())
        except OSError:
            continue
    return targets.count(path.resolve())


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


# What a clip is -------------------------------------------------------------------------------------------------------


def test_probe_tells_the_facts_of_an_mp4(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", ticks=cfr(10), sound=Sound())
    info = probe_clip(path)
    assert (info.format, info.codec, info.width, info.height) == ("mp4", "h264", 48, 32)
    assert (info.fps, info.frame_count, info.duration_s) == (25, 10, 0.4)
    assert (info.has_audio, info.audio_codec, info.is_variable_rate) == (True, "aac", False)
    assert info.size_bytes == path.stat().st_size
    assert info.pixel_aspect == 1
    assert info.notes == ()


@pytest.mark.parametrize(
    ("name", "format_name", "codec"),
    [
        ("a.mp4", "mp4", "h264"),
        ("a.mov", "mov", "h264"),
        ("a.mkv", "mkv", "h264"),
        ("a.webm", "webm", "vp8"),
        ("a.avi", "avi", "mpeg4"),
        ("a.mpg", "mpg", "mpeg2video"),
        ("a.m1v", "mpg", "mpeg1video"),
        ("a.ts", "ts", "h264"),
        ("a.gif", "gif", "gif"),
    ],
)
def test_every_format_gives_all_frames_in_order(tmp_path: Path, name: str, format_name: str, codec: str) -> None:
    step = 4 if name == "a.gif" else 1
    path = make_clip(tmp_path / name, ticks=cfr(8, step), tick=Fraction(1, 25 * step), last_ticks=step)
    renamed = path.rename(tmp_path / "content-decides")
    info = probe_clip(renamed)
    frames = list(read_frames(renamed))
    assert is_clip(renamed)
    assert (info.format, info.codec, info.width, info.height) == (format_name, codec, 48, 32)
    assert [index_of(frame.pixels) for frame in frames] == list(range(8))
    assert all(f.pixels.dtype == np.uint8 and f.pixels.shape == (32, 48, 3) for f in frames)
    assert all(f.pixels.flags.c_contiguous for f in frames)
    assert [float(f.pts_s) for f in frames] == pytest.approx([i / 25 for i in range(8)], abs=0.0006)
    assert [float(f.duration_s or 0) for f in frames] == pytest.approx([0.04] * 8, abs=0.0011)


def test_stills_are_no_clips(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "webp", "gif", "tif", "bmp", "avif"):
        path = tmp_path / f"still.{suffix}"
        Image.fromarray(picture(3)).save(path)
        renamed = path.rename(tmp_path / f"{suffix}.mp4")
        assert not is_clip(renamed), suffix


def test_suffixes_name_what_is_read_and_written() -> None:
    assert {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".gif", ".webp"} <= CLIP_SUFFIXES
    assert OUTPUT_SUFFIXES <= CLIP_SUFFIXES


# Times ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv"])
def test_variable_rate_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, ticks=VARIABLE, tick=Fraction(1, 90_000), rate=Fraction(25), last_ticks=45_000)
    frames = list(read_frames(path))
    tolerance = MILLISECOND if name.endswith("mkv") else 0
    expected = [Fraction(t, 90_000) for t in [*VARIABLE, 225_000]]
    for frame, start, end in zip(frames, expected[:-1], expected[1:], strict=True):
        assert abs(frame.pts_s - start) <= tolerance
        assert abs((frame.duration_s or 0) - (end - start)) <= tolerance
    assert probe_clip(path).is_variable_rate in ((None,) if name.endswith("mkv") else (True,))


def test_b_frames_come_in_display_order(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "b.mp4", ticks=cfr(12), options={"crf": "10", "bf": "3", "sc_threshold": "0"})
    coded = [time for time, _ in packets_of(path, "video")]
    assert coded != sorted(coded), "the clip has no B-frames: nothing is tested"
    assert [index_of(f.pixels) for f in read_frames(path)] == list(range(12))


def test_a_clip_that_starts_late_is_moved_to_zero(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "late.mkv", ticks=[50 + i for i in range(5)])
    assert [f.pts_s for f in read_frames(path)] == [Fraction(i, 25) for i in range(5)]


def test_pictures_after_the_first_sound_keep_their_distance(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "late.mkv", ticks=[10 + i for i in range(5)], sound=Sound("libopus"))
    first = next(read_frames(path)).pts_s
    assert abs(first - Fraction(10, 25)) <= 8 * MILLISECOND  # Opus begins 7 ms before zero


def test_a_stream_without_duration_or_count_is_read_to_its_end(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):  # no seeking back: the header never learns how long the clip is
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    path = tmp_path / "live.webm"
    make_clip(path, ticks=cfr(9), file=pipe, container_options={"live": "1"})
    path.write_bytes(pipe.data)
    info = probe_clip(path)
    assert (info.frame_count, info.duration_s) == (None, None)
    assert [index_of(f.pixels) for f in read_frames(path)] == list(range(9))


def test_clips_glued_together_keep_running(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "one.mpg", ticks=cfr(20)).read_bytes()
    (tmp_path / "two.mpg").write_bytes(one + one)
    reader = read_frames(tmp_path / "two.mpg")
    frames = list(reader)
    steps = [b.pts_s - a.pts_s for a, b in pairwise(frames)]
    assert len(frames) == 40
    assert min(steps) > 0
    assert max(steps) <= Fraction(3, 25)
    assert reader.notes == ("1 frames had no usable time in the file and were given one.",)


def test_repeated_times_are_spread_without_moving_the_others(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "once.mkv", ticks=cfr(5), codec="mjpeg", pix_fmt="yuvj420p")
    path = tmp_path / "twice.mkv"
    with av.open(str(source)) as once, av.open(str(path), "w") as twice:
        stream = twice.add_stream_from_template(once.streams.video[0])
        for packet, time in zip(once.demux(video=0), [0, 40, 40, 80, 120], strict=False):
            packet.stream, packet.pts, packet.dts = stream, time, time
            twice.mux(packet)
    reader = read_frames(path)
    frames = list(reader)
    assert [index_of(f.pixels) for f in frames] == list(range(5))
    assert [f.pts_s * 1000 for f in frames] == [0, 40, 41, 80, 120]
    assert any("1 frames had no usable time" in note for note in reader.notes)


def test_an_avi_begins_at_zero_though_b_frames_delay_its_counting(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "b.avi", ticks=cfr(10), options={"b": "2M", "bf": "2"})
    assert packets_of(path, "video")[0][0] > 0
    assert [f.pts_s for f in read_frames(path)] == [Fraction(i, 25) for i in range(10)]


def test_an_empty_chunk_of_an_avi_keeps_the_frame_before_it(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", ticks=cfr(10), codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(6):  # the fifth frame becomes "nothing new" (the first name is the header's), its bytes are skipped
        start = content.index(b"00dc", start + 1)
    size = int.from_bytes(content[start + 4 : start + 8], "little")
    content[start + 4 : start + 16] = bytes(4) + b"JUNK" + (size - 8).to_bytes(4, "little")
    path.write_bytes(content)
    frames = list(read_frames(path))
    assert [index_of(f.pixels) for f in frames] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert frames[3].duration_s == Fraction(2, 25)


def test_an_edit_list_hides_frames_from_reader_and_count(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "whole.mp4", ticks=cfr(10), options={"crf": "10", "bf": "0", "g": "100"})
    path = tmp_path / "cut.mp4"
    with av.open(str(source)) as whole, av.open(str(path), "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts -= 4 * packet.duration  # four frames before zero: the muxer hides them by an edit list
                packet.dts -= 4 * packet.duration
                cut.mux(packet)
    frames = list(read_frames(path))
    assert [index_of(f.pixels) for f in frames] == list(range(4, 10))
    assert [f.pts_s for f in frames] == [Fraction(i, 25) for i in range(6)]
    assert probe_clip(path).frame_count == 6


# Pixels ---------------------------------------------------------------------------------------------------------------


def _marked(width: int = 48, height: int = 32) -> np.ndarray:
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[: height // 2, : width // 2] = 230
    pixels[: height // 2, width // 2 :] = 30
    return pixels


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("flip", [False, True])
def test_rotation_and_mirroring_are_applied(tmp_path: Path, degrees: int, flip: bool) -> None:
    stored = _marked()
    path = make_clip(tmp_path / "r.mp4", ticks=[0], frames=[stored], rotation=(degrees, flip))
    turned = np.rot90(stored, k=degrees // 90)  # counter-clockwise
    expected = turned[:, ::-1] if flip else turned  # ffmpeg's flip mirrors what is displayed
    info = probe_clip(path)
    frame = next(read_frames(path))
    assert (info.height, info.width) == expected.shape[:2] == frame.pixels.shape[:2]
    assert np.abs(frame.pixels.astype(int) - expected)[4:-4, 4:-4].mean() < 8


BARS = np.array(
    [[255, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0], [255, 0, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]]
)


def _bars_in_yuv(kr: float, kb: float, *, full: bool, width: int = 128, height: int = 16) -> tuple[np.ndarray, ...]:
    """Colour bars by the definition of the matrix, not by ffmpeg."""
    red, green, blue = (np.repeat(BARS[:, i] / 255, width // 8)[None].repeat(height, 0) for i in range(3))
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    if full:
        return y * 255, (cb * 255 + 128)[::2, ::2], (cr * 255 + 128)[::2, ::2]
    return 16 + 219 * y, (128 + 224 * cb)[::2, ::2], (128 + 224 * cr)[::2, ::2]


def _bar_centres(pixels: np.ndarray) -> np.ndarray:
    step = pixels.shape[1] // 8
    return pixels[pixels.shape[0] // 2, step // 2 :: step].astype(int)


@pytest.mark.parametrize(
    ("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (6, 0.299, 0.114), (9, 0.2627, 0.0593)]
)
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_tagged_matrix_and_range_are_obeyed(
    tmp_path: Path, matrix: int, kr: float, kb: float, color_range: int
) -> None:
    planes = _bars_in_yuv(kr, kb, full=color_range == FULL)
    path = make_clip(
        tmp_path / "bars.mkv",
        ticks=[0],
        frames=[yuv_frame(*planes, matrix=matrix, color_range=color_range)],
        size=(128, 16),
        codec="ffv1",
        options={},
        colorspace=matrix,
        color_range=color_range,
    )
    assert np.abs(_bar_centres(extract_frame(path)) - BARS).max() <= 2  # 8-bit planes cannot do better


@pytest.mark.parametrize(("width", "height", "kr", "kb"), [(128, 16, 0.299, 0.114), (1280, 16, 0.2126, 0.0722)])
def test_an_untagged_clip_is_taken_for_what_its_size_suggests(
    tmp_path: Path, width: int, height: int, kr: float, kb: float
) -> None:
    planes = _bars_in_yuv(kr, kb, full=False, width=width, height=height)
    path = make_clip(
        tmp_path / "bars.avi", ticks=[0], frames=[yuv_frame(*planes)], size=(width, height), codec="ffv1", options={}
    )
    assert np.abs(_bar_centres(extract_frame(path)) - BARS).max() <= 2


@pytest.mark.parametrize("name", ["bars.mp4", "bars.mov", "bars.mkv", "bars.webm"])
def test_colour_bars_survive_writing_and_are_tagged_bt709(tmp_path: Path, name: str) -> None:
    bars = np.repeat(BARS.astype(np.uint8), 16, axis=0)[None].repeat(32, 0)
    write_clip(tmp_path / name, [bars] * 2, [Fraction(0), Fraction(1, 25)], crf=4)
    with av.open(str(tmp_path / name)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.pix_fmt) == (1, LIMITED, "yuv420p")
    assert np.abs(_bar_centres(extract_frame(tmp_path / name)) - BARS).max() <= 4


def test_colours_do_not_shift_sideways(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(96), np.arange(48))
    ramp = np.stack([60 + x + y // 2, np.full_like(x, 120), 200 - x - y // 2], -1).astype(np.uint8)
    write_clip(tmp_path / "ramp.mp4", [ramp], [Fraction(0)], crf=1)
    error = (extract_frame(tmp_path / "ramp.mp4").astype(int) - ramp)[8:-8, 8:-8]
    # The ramp climbs 1 level a pixel: the mean error is the shift in pixels.
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.3, error.mean(axis=(0, 1))


def test_ten_bits_are_read_and_noted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "ten.mkv", ticks=[0, 1], codec="ffv1", pix_fmt="yuv420p10le", options={})
    reader = read_frames(path)
    assert [index_of(f.pixels) for f in reader] == [0, 1]
    assert any("10 bits" in note for note in reader.notes)


def test_non_square_pixels_are_told_and_written(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "wide.mp4", sample_aspect_ratio=Fraction(4, 3))
    turned = make_clip(tmp_path / "tall.mp4", sample_aspect_ratio=Fraction(4, 3), rotation=(90, False))
    assert probe_clip(path).pixel_aspect == Fraction(4, 3)
    assert probe_clip(turned).pixel_aspect == Fraction(3, 4)
    copy_clip(path, tmp_path / "out.mp4", pixel_aspect=Fraction(4, 3))
    assert probe_clip(tmp_path / "out.mp4").pixel_aspect == Fraction(4, 3)


def test_frames_that_change_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "small.m1v", ticks=cfr(3))
    large = make_clip(tmp_path / "large.m1v", ticks=cfr(3), size=(96, 64))
    (tmp_path / "both.mpg").write_bytes(small.read_bytes() + large.read_bytes())
    reader = read_frames(tmp_path / "both.mpg")
    assert {f.pixels.shape for f in reader} == {(32, 48, 3)}
    assert any("another size" in note for note in reader.notes)


# GIF and WebP ---------------------------------------------------------------------------------------------------------


def test_gif_delays_are_kept_both_ways(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(4)]
    frames[0].save(
        tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=[40, 120, 70, 200], loop=0, disposal=2
    )
    passed, _ = copy_clip(tmp_path / "in.gif", tmp_path / "out.gif")
    assert [f.duration_s for f in passed] == [Fraction(d, 100) for d in (4, 12, 7, 20)]
    assert times(list(read_frames(tmp_path / "out.gif"))) == times(passed)
    assert probe_clip(tmp_path / "in.gif").fps == Fraction(400, 43)
    copy_clip(tmp_path / "in.gif", tmp_path / "out.mp4")
    assert times(list(read_frames(tmp_path / "out.mp4"))) == times(passed)


def test_transparent_gif_is_shown_on_white(tmp_path: Path) -> None:
    frames = []
    for i in range(3):
        pixels = np.zeros((32, 48, 4), np.uint8)
        pixels[8:24, 8 * i : 8 * i + 16] = (200, 0, 0, 255)
        frames.append(Image.fromarray(pixels))
    frames[0].save(tmp_path / "t.gif", save_all=True, append_images=frames[1:], duration=80, disposal=2)
    reader = read_frames(tmp_path / "t.gif")
    shown = [f.pixels for f in reader]
    assert len(shown) == 3
    for i, pixels in enumerate(shown):
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[16, 8 * i + 8].tolist() == [200, 0, 0]
    assert reader.notes == ("Transparent parts of the clip are shown on white.",)


def test_written_gif_looks_like_its_frames_and_loops_for_ever(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 1, 64))
    frames = [(255 * np.stack([x, y, 0.5 + 0.5 * np.sin(6 * x + i)], -1)).astype(np.uint8).copy() for i in range(3)]
    write_clip(tmp_path / "g.gif", frames, [Fraction(i, 10) for i in range(3)], fps=Fraction(10))
    for i, shown in enumerate(read_frames(tmp_path / "g.gif")):
        error = shown.pixels.astype(float) - frames[i]
        smooth = error[:60, :92].reshape(15, 4, 23, 4, 3).mean(axis=(1, 3))
        assert np.sqrt((error**2).mean()) < 14, i
        assert np.sqrt((smooth**2).mean()) < 5, i  # dithering: right on average over 4x4 pixels
    content = (tmp_path / "g.gif").read_bytes()
    assert content[content.index(b"NETSCAPE2.0") + 11 :][:4] == b"\x03\x01\x00\x00"


def test_animated_webp_is_a_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(4)]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 120, 5, 200], quality=95)
    info = probe_clip(path)
    shown = list(read_frames(path))
    assert is_clip(path)
    assert (info.format, info.width, info.height, info.frame_count) == ("webp", 48, 32, 4)
    assert info.is_variable_rate is True
    assert [index_of(f.pixels) for f in shown] == list(range(4))
    assert [f.duration_s for f in shown] == [Fraction(d, 1000) for d in (40, 120, 100, 200)]  # 5 ms: as browsers do
    assert [f.pts_s for f in shown] == [Fraction(t, 1000) for t in (0, 40, 160, 260)]


def test_transparent_webp_is_shown_on_white(tmp_path: Path) -> None:
    frames = []
    for i in range(2):
        pixels = np.zeros((32, 48, 4), np.uint8)
        pixels[:, 24:] = (0, 0, 200 + i, 128)
        frames.append(Image.fromarray(pixels))
    frames[0].save(tmp_path / "t.webp", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    reader = read_frames(tmp_path / "t.webp")
    shown = next(reader).pixels
    assert shown[5, 5].tolist() == [255, 255, 255]
    assert np.abs(shown[5, 40].astype(int) - [127, 127, 227]).max() <= 1
    assert reader.notes == ("Transparent parts of the clip are shown on white.",)


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [Fraction(30_000, 1001), Fraction(24_000, 1001), Fraction(25), Fraction(2997, 100)])
@pytest.mark.parametrize("name", ["c.mp4", "c.mov"])
def test_constant_rates_are_written_exactly(tmp_path: Path, fps: Fraction, name: str) -> None:
    written = [i / fps for i in range(7)]
    write_clip(tmp_path / name, [picture(i) for i in range(7)], written, fps=fps)
    frames = list(read_frames(tmp_path / name))
    assert [f.pts_s for f in frames] == written
    assert {f.duration_s for f in frames} == {1 / fps}
    assert [index_of(f.pixels) for f in frames] == list(range(7))
    assert probe_clip(tmp_path / name).fps == fps


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.webm"])
def test_variable_rate_and_the_last_duration_are_kept(tmp_path: Path, name: str) -> None:
    written = [Fraction(t, 90_000) for t in VARIABLE]
    frames = [picture(i) for i in range(len(written))]
    write_clip(tmp_path / name, frames, written, Fraction(1, 2), fps=Fraction(4))
    tolerance = 0 if name in ("v.mp4", "v.mov") else MILLISECOND
    read = list(read_frames(tmp_path / name))
    assert [index_of(f.pixels) for f in read] == list(range(len(written)))
    assert max(abs(f.pts_s - t) for f, t in zip(read, written, strict=True)) <= tolerance
    assert abs((read[-1].duration_s or 0) - Fraction(1, 2)) <= tolerance
    assert probe_clip(tmp_path / name).duration_s == pytest.approx(2.5, abs=0.002)


def test_a_given_time_base_is_exact_where_the_default_is_not(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", ticks=[0, 512, 1031, 1999], tick=Fraction(1, 12_800), rate=Fraction(25))
    passed, _ = copy_clip(source, tmp_path / "out.mp4", time_base=probe_clip(source).time_base)
    assert times(list(read_frames(tmp_path / "out.mp4"))) == times(passed)


def test_one_frame_makes_a_clip(tmp_path: Path) -> None:
    for name in ("one.mp4", "one.mkv", "one.webm", "one.gif"):
        write_clip(tmp_path / name, [picture(5)], [Fraction(0)])
        frames = list(read_frames(tmp_path / name))
        assert [index_of(f.pixels) for f in frames] == [5], name
        assert float(frames[0].duration_s or 0) == pytest.approx(0.04), name


def test_odd_sides_are_padded_by_repetition_for_h264(tmp_path: Path) -> None:
    pixels = np.full((31, 47, 3), 60, np.uint8)
    pixels[:, -1] = 200
    writer = write_clip(tmp_path / "odd.mp4", [pixels] * 2, [Fraction(0), Fraction(1, 25)], crf=2)
    shown = extract_frame(tmp_path / "odd.mp4")
    assert shown.shape == (32, 48, 3)
    assert np.abs(shown[:, -2:].astype(int) - 200).max() < 12
    assert len(writer.notes) == 1
    assert "47x31" in writer.notes[0]
    assert "48x32" in writer.notes[0]


@pytest.mark.parametrize("name", ["odd.webm", "odd.gif"])
def test_odd_sides_stay_where_the_format_has_them(tmp_path: Path, name: str) -> None:
    writer = write_clip(tmp_path / name, [picture(1, 47, 31)], [Fraction(0)])
    assert extract_frame(tmp_path / name).shape == (31, 47, 3)
    assert writer.notes == ()


def test_quality_follows_crf(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for name in ("q.mp4", "q.webm"):
        sizes = []
        for crf in (4, 40):
            write_clip(tmp_path / name, [noise] * 2, [Fraction(0), Fraction(1, 25)], crf=crf, overwrite=True)
            sizes.append((tmp_path / name).stat().st_size)
        assert sizes[0] > 2 * sizes[1], name


def test_the_callers_array_may_be_reused(tmp_path: Path) -> None:
    buffer = np.empty((32, 48, 3), np.uint8)
    with ClipWriter(tmp_path / "r.mp4", width=48, height=32, fps=Fraction(25)) as writer:
        for i in range(5):
            buffer[:] = picture(i)
            writer.write(buffer, Fraction(i, 25))
    assert writer.frames_written == 5
    assert [index_of(f.pixels) for f in read_frames(tmp_path / "r.mp4")] == list(range(5))


def test_an_mp4_can_be_played_before_it_is_loaded(tmp_path: Path) -> None:
    write_clip(tmp_path / "f.mp4", [picture(0)], [Fraction(0)])
    content = (tmp_path / "f.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


# Sound ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "codec", "target"),
    [
        ("s.mp4", "aac", "t.mp4"),
        ("s.mp4", "aac", "t.mov"),
        ("s.mp4", "aac", "t.mkv"),
        ("s.mov", "pcm_s16le", "t.mov"),
        ("s.mkv", "pcm_s16le", "t.mkv"),
        ("s.mkv", "libopus", "t.mkv"),
        ("s.mkv", "libopus", "t.mp4"),
        ("s.webm", "libopus", "t.webm"),
        ("s.webm", "vorbis", "t.webm"),
        ("s.mpg", "mp2", "t.mp4"),
        ("s.avi", "libmp3lame", "t.mp4"),
    ],
)
def test_sound_is_copied_bit_by_bit(tmp_path: Path, source: str, codec: str, target: str) -> None:
    clip = make_clip(tmp_path / source, ticks=cfr(20), sound=Sound(codec, seconds=0.8))
    passed, writer = copy_clip(clip, tmp_path / target)
    before, after = packets_of(clip), packets_of(tmp_path / target)
    assert len(before) > 3
    assert [data for _, data in after] == [data for _, data in before]
    assert writer.notes == ()
    origin = Fraction(0) if source != "s.mpg" else min(before[0][0], packets_of(clip, "video")[0][0])
    assert max(abs(b[0] - origin - a[0]) for a, b in zip(after, before, strict=True)) <= MILLISECOND
    read = list(read_frames(tmp_path / target))
    assert len(read) == len(passed)
    assert max(abs(a.pts_s - b.pts_s) for a, b in zip(passed, read, strict=True)) <= MILLISECOND


@pytest.mark.parametrize(
    ("source", "codec", "target", "coded"),
    [
        ("s.mkv", "pcm_s16le", "t.mp4", "aac"),
        ("s.mov", "pcm_s16le", "t.mp4", "aac"),
        ("s.mkv", "vorbis", "t.mp4", "aac"),
        ("s.mp4", "aac", "t.webm", "opus"),
    ],
)
def test_sound_the_format_cannot_hold_is_coded_anew_in_step(
    tmp_path: Path, source: str, codec: str, target: str, coded: str
) -> None:
    clip = make_clip(tmp_path / source, ticks=cfr(20), sound=Sound(codec, seconds=0.8, onset_s=0.4, rate=44_100))
    _, writer = copy_clip(clip, tmp_path / target)
    assert probe_clip(tmp_path / target).audio_codec == coded
    assert len(writer.notes) == 1
    assert coded.upper() in writer.notes[0]
    heard, rate = samples_of(tmp_path / target)
    onset = np.argmax(np.abs(heard) > 0.1) / rate
    assert onset == pytest.approx(0.4, abs=0.03)
    assert len(heard) / rate == pytest.approx(0.8, abs=0.06)


def test_pictures_and_sound_that_start_apart_stay_apart(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "s.ts", ticks=[5 + i for i in range(20)], sound=Sound("aac"))
    passed, _ = copy_clip(clip, tmp_path / "t.mp4")
    distance = packets_of(clip, "video")[0][0] - packets_of(clip)[0][0]
    assert distance > Fraction(1, 10)
    copied = packets_of(tmp_path / "t.mp4", "video")[0][0] - packets_of(tmp_path / "t.mp4")[0][0]
    assert abs(copied - distance) <= MILLISECOND
    assert times(list(read_frames(tmp_path / "t.mp4"))) == times(passed)


def test_sound_longer_or_shorter_than_the_pictures_is_kept_whole(tmp_path: Path) -> None:
    for seconds in (0.2, 2.0):
        clip = make_clip(tmp_path / f"{seconds}.mp4", ticks=cfr(20), sound=Sound(seconds=seconds))
        copy_clip(clip, tmp_path / f"{seconds}-out.mp4")
        assert packets_of(tmp_path / f"{seconds}-out.mp4") == packets_of(clip)
        assert len(list(read_frames(tmp_path / f"{seconds}-out.mp4"))) == 20


def test_sound_lies_beside_its_pictures_in_the_file(tmp_path: Path) -> None:
    # Longer than the 10 s for which ffmpeg itself would wait for sound that is handed in too late.
    clip = make_clip(tmp_path / "s.mp4", ticks=cfr(75), tick=Fraction(1, 5), sound=Sound(seconds=15.0, rate=8000))
    copy_clip(clip, tmp_path / "t.mkv")
    with av.open(str(tmp_path / "t.mkv")) as container:
        times_in_order = [float(p.pts * p.time_base) for p in container.demux() if p.size]
    assert max(np.maximum.accumulate(times_in_order) - times_in_order) < 0.5


def test_a_gif_says_that_it_has_no_sound(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "s.mp4", sound=Sound())
    _, writer = copy_clip(clip, tmp_path / "t.gif")
    assert writer.notes == ("A GIF holds no sound; it was left out.",)


def test_a_silent_source_gives_a_silent_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(2)]
    frames[0].save(tmp_path / "s.webp", save_all=True, append_images=frames[1:], duration=50)
    for source in (
        make_clip(tmp_path / "s.mp4"),
        make_clip(tmp_path / "s.gif", tick=Fraction(1, 100)),
        tmp_path / "s.webp",
    ):
        _, writer = copy_clip(source, tmp_path / "t.mp4", overwrite=True)
        assert not probe_clip(tmp_path / "t.mp4").has_audio
        assert writer.notes == ()


# All of it or nothing -------------------------------------------------------------------------------------------------


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "t.mp4"
    target.write_bytes(b"precious")

    def fail_halfway() -> None:
        with ClipWriter(target, width=48, height=32, fps=Fraction(25), overwrite=True) as writer:
            for i in range(60):
                writer.write(picture(i), Fraction(i, 25))
            assert len(leftovers(tmp_path)) == 2
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_halfway()
    assert leftovers(tmp_path) == ["t.mp4"]
    assert target.read_bytes() == b"precious"


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "t.mp4"
    with ClipWriter(target, width=48, height=32, fps=Fraction(25)) as writer:
        writer.write(picture(0), Fraction(0))
        assert not target.exists()
    assert leftovers(tmp_path) == ["t.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_no_file_is_overwritten_unasked(tmp_path: Path) -> None:
    target = tmp_path / "t.mp4"
    target.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="overwriting"):
        write_clip(target, [picture(0)], [Fraction(0)])
    assert target.read_bytes() == b"precious"
    write_clip(target, [picture(0)], [Fraction(0)], overwrite=True)
    assert index_of(extract_frame(target)) == 0


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "t.mp4"

    def lose_the_race() -> None:
        with ClipWriter(target, width=48, height=32, fps=Fraction(25)) as writer:
            writer.write(picture(0), Fraction(0))
            target.write_bytes(b"somebody else's")

    with pytest.raises(OutputExistsError):
        lose_the_race()
    assert target.read_bytes() == b"somebody else's"
    assert leftovers(tmp_path) == ["t.mp4"]


def test_no_frames_make_no_clip(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidOptionError, match="No frame"),
        ClipWriter(tmp_path / "t.mp4", width=48, height=32, fps=Fraction(25)),
    ):
        pass
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("pixels", "time", "message"),
    [
        (np.zeros((32, 46, 3), np.uint8), Fraction(1), "takes"),
        (np.zeros((32, 48, 3), np.float32), Fraction(1), "uint8"),
        (picture(1), Fraction(0), "display order"),
        (picture(1), Fraction(-1), "display order"),
    ],
)
def test_wrong_frames_are_refused(tmp_path: Path, pixels: np.ndarray, time: Fraction, message: str) -> None:
    def write_both() -> None:
        with ClipWriter(tmp_path / "t.mp4", width=48, height=32, fps=Fraction(25)) as writer:
            writer.write(picture(0), Fraction(0))
            writer.write(pixels, time)

    with pytest.raises(InvalidOptionError, match=message):
        write_both()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "options", [{"crf": 52}, {"crf": -1}, {"fps": Fraction(0)}, {"fps": Fraction(2000)}, {"width": 0}]
)
def test_impossible_options_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(InvalidOptionError):
        ClipWriter(tmp_path / "t.mp4", **{"width": 48, "height": 32, "fps": Fraction(25), **options})


def test_unknown_output_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"\.mp4"):
        ClipWriter(tmp_path / "t.wmv", width=48, height=32, fps=Fraction(25))


@pytest.mark.parametrize("name", ["t.mp4", "t.webm", "t.gif"])
def test_a_size_the_encoder_refuses_is_an_error_in_its_words(tmp_path: Path, name: str) -> None:
    writer = ClipWriter(tmp_path / name, width=70_000, height=16, fps=Fraction(25))
    with pytest.raises(InvalidOptionError, match="70000x16"), writer:
        writer.write(np.zeros((16, 70_000, 3), np.uint8), Fraction(0))
    assert leftovers(tmp_path) == []


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="nowhere"):
        ClipWriter(tmp_path / "nowhere" / "t.mp4", width=48, height=32, fps=Fraction(25)).__enter__()


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_is_a_resource_error_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (80, 96, 128, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(ResourceError, match="could not be written"):
            write_clip(tmp_path / "t.mp4", list(noise), [Fraction(i, 25) for i in range(80)], crf=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert leftovers(tmp_path) == []


# Streams --------------------------------------------------------------------------------------------------------------


@needs_proc
def test_an_abandoned_reader_closes_its_file_at_once(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", ticks=cfr(20))
    gc.disable()
    try:
        reader = read_frames(path)
        next(reader)
        assert open_descriptors(path) == 1
        del reader
        assert open_descriptors(path) == 0

        reader = read_frames(path)
        next(reader)
        reader.close()
        assert open_descriptors(path) == 0
        assert list(reader) == []

        read_frames(path)
        assert open_descriptors(path) == 0
        extract_frame(path, 3)
        assert open_descriptors(path) == 0
    finally:
        gc.enable()


@needs_proc
def test_writer_lets_go_of_the_sounds_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "s.mp4", sound=Sound())
    copy_clip(clip, tmp_path / "t.mp4")
    with (
        pytest.raises(RuntimeError),
        ClipWriter(tmp_path / "u.mp4", width=48, height=32, fps=Fraction(25), audio_from=clip),
    ):
        raise RuntimeError
    assert open_descriptors(clip) == 0


def _peak_bytes(source: Path, target: Path) -> int:
    tracemalloc.start()
    try:
        copy_clip_streaming(source, target)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def copy_clip_streaming(source: Path, target: Path) -> None:
    info = probe_clip(source)
    with ClipWriter(
        target, width=info.width, height=info.height, fps=info.fps, audio_from=source, overwrite=True
    ) as writer:
        for frame in read_frames(source):
            writer.write(frame.pixels, frame.pts_s)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_proc
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    size = (160, 120)
    frames = [picture(i, *size) for i in range(20)]
    clips = {
        count: make_clip(
            tmp_path / f"{count}.mp4",
            ticks=cfr(count),
            frames=[frames[i % 20] for i in range(count)],
            size=size,
            sound=Sound("aac", seconds=count / 25),
        )
        for count in (30, 450)
    }
    short = _peak_bytes(clips[30], tmp_path / "out.mp4")
    before = _resident_bytes()
    long = _peak_bytes(clips[450], tmp_path / "out.mp4")
    frame_bytes = size[0] * size[1] * 3
    assert long - short < 5 * frame_bytes, (short, long)
    assert _resident_bytes() - before < 150 * frame_bytes, "ffmpeg's side grew by more than a quarter of the clip"


# Single frames and damage ---------------------------------------------------------------------------------------------


def test_single_frames_can_be_taken_out(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", ticks=cfr(8))
    assert index_of(extract_frame(path)) == 0
    assert index_of(extract_frame(path, 6)) == 6
    with pytest.raises(InvalidOptionError, match="0 to 7"):
        extract_frame(path, 8)
    with pytest.raises(InvalidOptionError):
        extract_frame(path, -1)


def _wipe_packets(path: Path, indices: range) -> None:
    content = bytearray(path.read_bytes())
    position = 0
    for i, (_, packet) in enumerate(packets_of(path, "video")):
        position = content.index(packet, position)
        if i in indices:
            content[position : position + len(packet)] = bytes(len(packet))
        position += len(packet)
    path.write_bytes(content)


def test_single_damaged_frames_are_noted_and_the_rest_is_in_place(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", ticks=cfr(60), codec="mjpeg", pix_fmt="yuvj420p")
    _wipe_packets(path, range(30, 31))
    reader = read_frames(path)
    shown = list(reader)
    assert [index_of(f.pixels) for f in shown] == [i % 24 for i in range(60) if i != 30]
    assert (shown[29].duration_s, shown[30].pts_s) == (Fraction(2, 25), Fraction(31, 25))
    assert any(note.startswith("1 frames could not be decoded") for note in reader.notes)


def test_too_much_damage_is_an_error_that_names_the_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", ticks=cfr(40), codec="mjpeg", pix_fmt="yuvj420p")
    _wipe_packets(path, range(10, 40))
    with pytest.raises(CorruptMediaError, match="after frame 10"):
        list(read_frames(path))


@pytest.mark.parametrize(
    "name", ["concat:a|b.mp4", "http:clip.mp4", "%03d.mp4", "clip [1]*?.mp4", "Žluťoučký 写真 🎞.mp4"]
)
def test_names_are_names_and_nothing_else(tmp_path: Path, name: str) -> None:
    source = make_clip(tmp_path / "plain.mp4", sound=Sound()).rename(tmp_path / name)
    passed, _ = copy_clip(source, tmp_path / f"out {name}")
    assert len(passed) == 8
    assert len(list(read_frames(tmp_path / f"out {name}"))) == 8
    current = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert is_clip(Path(name))
    finally:
        os.chdir(current)
