"""Files that lie, are cut, or are no pictures: each gets its own error, with the value and the remedy, quickly."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from irss_core.errors import (
    CorruptMediaError,
    InputError,
    IrssError,
    LimitExceededError,
    ResourceError,
    UnsupportedFormatError,
)
from irss_core.media.images import ImageLimits, read_header, read_image
from irss_core.media.pages import count_gif_frames
from tests import made_pictures as made

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's remarks on broken TIFF tags

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")


def file(tmp_path: Path, data: bytes, name: str = "in.bin") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    with io.BytesIO() as stream:
        (image or Image.fromarray(made.samples(40, 50, 3))).save(stream, kind, **options)
        return stream.getvalue()


def refusal(path: Path, error: type[IrssError], limits: ImageLimits | None = None) -> str:
    """How ``read_image`` refuses the file: with exactly this class, in one line, soon, in little memory."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(error) as caught:
            read_image(path, limits or ImageLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error
    message = str(caught.value)
    assert message.isprintable()
    assert 20 < len(message) < 500
    assert time.perf_counter() - started < 10  # they take milliseconds; a bomb would take minutes
    assert peak < 64 * 1024 * 1024
    return message


# No pictures ----------------------------------------------------------------------------------------------------------


def zip_file() -> bytes:
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a.png", made.png(made.samples(2, 2, 3)))
        return stream.getvalue()


NO_PICTURES = {
    "text": (b"Dear Sir or Madam,\n", "a text file"),
    "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9"/>', "an SVG drawing"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "zip": (zip_file(), "a ZIP archive"),
    "heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64), "a HEIC picture"),
    "mp4": (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(64), "a video"),
    "webm": (b"\x1aE\xdf\xa3" + bytes(64), "a video"),
    "psd": (b"8BPS\x00\x01" + bytes(64), "a Photoshop document"),
    "jxl": (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    "wav": (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a sound"),
    "program": (b"\x7fELF\x02\x01\x01" + bytes(64), "a program"),
    "noise": (bytes(made.samples(1, 4000, 1).reshape(-1)), "no kind of file known here"),
    "zeros": (bytes(4000), "no kind of file known here"),
    "bm-text": (b"BM is how this sentence happens to begin.", "a text file"),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
@pytest.mark.parametrize("name", ["in.jpg", "in.png", "in"])
def test_what_is_no_picture_is_called_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    data, words = NO_PICTURES[kind]
    message = refusal(file(tmp_path, data, name), UnsupportedFormatError)
    assert message.startswith(f"{name} is {words}")
    assert "PNG" in message
    assert "Save or export" in message


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    assert "is empty (0 bytes). Copy or download it again" in refusal(file(tmp_path, b""), CorruptMediaError)


def test_a_missing_file_a_folder_and_a_looping_link_say_what_they_are(tmp_path: Path) -> None:
    assert "There is no file gone.png. Check its name" in refusal(tmp_path / "gone.png", InputError)
    assert "is a folder, not a picture. Choose one file" in refusal(tmp_path, InputError)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read" in refusal(tmp_path / "loop", InputError)
    assert "cannot be read" in refusal(tmp_path / "nul\x00byte.png", InputError)
    assert "cannot be read" in refusal(tmp_path / ("long" * 100), InputError)


@needs_posix
def test_a_pipe_or_a_device_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "is a pipe or a device" in refusal(tmp_path / "pipe.png", InputError)
    assert "is a pipe or a device" in refusal(Path("/dev/zero"), InputError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_one_may_not_read_says_so(tmp_path: Path) -> None:
    path = file(tmp_path, made.png(made.samples(2, 2, 3)))
    path.chmod(0)
    assert "that you may read it" in refusal(path, InputError)


def test_a_link_and_an_odd_name_are_no_obstacle(tmp_path: Path) -> None:
    values = made.samples(3, 4, 3)
    names = ["größe 写真.png", "two\nlines.png", "-rf", "%s{0}.png", "no suffix", "\udcff.png"]
    for name in names:
        np.testing.assert_array_equal(read_image(file(tmp_path, made.png(values), name)).color, values)
    (tmp_path / "link.png").symlink_to(tmp_path / names[0])
    np.testing.assert_array_equal(read_image(tmp_path / "link.png").color, values)


def test_a_name_with_control_characters_does_not_break_the_message(tmp_path: Path) -> None:
    for name in ("two\nlines\x1b[31m.png", "\udcff.png", "x" * 200):
        assert "is empty" in refusal(file(tmp_path, b"", name), CorruptMediaError)


# Cut and changed ------------------------------------------------------------------------------------------------------

WHOLE: dict[str, Callable[[], bytes]] = {
    "png": lambda: made.png(made.samples(40, 50, 3)),
    "png-16": lambda: made.png(made.samples(40, 50, 4, np.uint16)),
    "png-interlaced": lambda: made.png(made.samples(40, 50, 3), interlaced=True),
    "jpeg": lambda: encoded("JPEG"),
    "jpeg-progressive": lambda: encoded("JPEG", progressive=True),
    "webp": lambda: encoded("WEBP"),
    "webp-lossless": lambda: encoded("WEBP", lossless=True),
    "gif": lambda: encoded("GIF"),
    "bmp": lambda: encoded("BMP"),
    "tiff": lambda: made.tiff(made.tiff_fields(50, 40, channels=3), made.samples(40, 50, 3).tobytes()),
    "tiff-lzw": lambda: encoded("TIFF", compression="tiff_lzw"),
    "tiff-jpeg": lambda: encoded("TIFF", compression="jpeg"),
    "tiff-16": lambda: made.tiff(
        made.tiff_fields(50, 40, bits=16, channels=3), made.samples(40, 50, 3, np.uint16).tobytes()
    ),
    "avif": lambda: encoded("AVIF"),
}
CUTTABLE = [pytest.param(kind, marks=needs_avif if kind == "avif" else ()) for kind in WHOLE]


@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", CUTTABLE)
def test_a_cut_file_is_refused_and_never_half_shown(tmp_path: Path, kind: str, share: float) -> None:
    whole = WHOLE[kind]()
    assert read_image(file(tmp_path, whole)).color.shape == (40, 50, 3)
    message = refusal(file(tmp_path, whole[: max(16, int(len(whole) * share))]), CorruptMediaError)
    assert message.startswith("in.bin is damaged: ")
    assert "Copy or download it again" in message


@pytest.mark.parametrize("kind", CUTTABLE)
def test_changed_bytes_give_a_picture_or_an_error_of_ours(tmp_path: Path, kind: str) -> None:
    whole = bytearray(WHOLE[kind]())
    random = np.random.default_rng(7)
    for _ in range(30):
        changed = whole.copy()
        for position in random.integers(4, len(whole), 3):
            changed[position] = random.integers(256)
        with contextlib.suppress(InputError):  # anything else is a bug
            read_image(file(tmp_path, bytes(changed)), ImageLimits(max_pixels=1_000_000))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}], ids=["plain", "progressive", "opt"]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_closed_in_the_middle_of_its_scan_is_refused(
    tmp_path: Path, mode: str, options: dict[str, bool]
) -> None:
    """libjpeg fills what is missing with grey and only warns; Pillow does not pass the warning on."""
    whole = encoded("JPEG", Image.fromarray(made.samples(64, 64, 3)).convert(mode), **options)
    scan = whole.index(b"\xff\xda")
    cut = whole[: scan + 40] + b"\xff\xd9"
    assert "ends before the picture is complete" in refusal(file(tmp_path, cut), CorruptMediaError)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_really_is_grey_at_the_end_is_read(tmp_path: Path, mode: str) -> None:
    for progressive in (False, True):
        grey = Image.new(mode, (64, 64), 128 if mode == "L" else (128, 128, 128))
        data = encoded("JPEG", grey, progressive=progressive)
        assert (read_image(file(tmp_path, data)).color == 128).all()


# PNG ------------------------------------------------------------------------------------------------------------------


def hand_made_png(*chunks: bytes) -> bytes:
    return made.PNG_SIGNATURE + b"".join(chunks) + made.png_chunk(b"IEND", b"")


IDAT = made.png_chunk(b"IDAT", zlib.compress(bytes(100)))

BROKEN_PNGS = {
    "no-size": (hand_made_png(made.png_header(0, 0, 8, 2), IDAT), "0 x 0 pixels, which no picture can be"),
    "depth-3": (hand_made_png(made.png_header(4, 4, 3, 0), IDAT), "impossible layout (colour type 0, 3 bits)"),
    "colour-type-5": (hand_made_png(made.png_header(4, 4, 8, 5), IDAT), "impossible layout (colour type 5, 8 bits)"),
    "no-header": (hand_made_png(IDAT, IDAT), "header (IHDR) is missing"),
    "two-headers": (hand_made_png(*[made.png_header(4, 4, 8, 0)] * 2, IDAT), "second header"),
    "no-data": (hand_made_png(made.png_header(4, 4, 8, 0)), "no image data"),
    "no-palette": (hand_made_png(made.png_header(4, 4, 8, 3), IDAT), "damaged"),
    "junk-data": (hand_made_png(made.png_header(4, 4, 8, 0), made.png_chunk(b"IDAT", b"junk")), "cannot be decoded"),
    "too-few-rows": (
        hand_made_png(made.png_header(99, 99, 8, 2), made.png_chunk(b"IDAT", zlib.compress(bytes(298 * 50)))),
        "14,900 bytes of the 29,502",
    ),
    "bad-filter": (
        hand_made_png(made.png_header(3, 3, 8, 0), made.png_chunk(b"IDAT", zlib.compress(b"\x09abc" * 3))),
        "cannot be decoded",
    ),
    "header-checksum": (
        hand_made_png(made.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0), wrong_checksum=True), IDAT),
        "checksum of its header",
    ),
    "data-checksum": (
        hand_made_png(
            made.png_header(9, 9, 8, 0), made.png_chunk(b"IDAT", zlib.compress(bytes(90)), wrong_checksum=True)
        ),
        "checksum (IDAT) is wrong",
    ),
    "endless-chunk": (
        made.PNG_SIGNATURE + made.png_header(4, 4, 8, 0) + b"\xff\xff\xff\xffIDATxx",
        "before the picture is complete",
    ),
}


@pytest.mark.parametrize("kind", BROKEN_PNGS)
def test_a_broken_png_is_refused_for_what_is_wrong(tmp_path: Path, kind: str) -> None:
    data, words = BROKEN_PNGS[kind]
    message = refusal(file(tmp_path, data), CorruptMediaError)
    assert words in message
    assert "again" in message


def test_too_few_rows_are_noticed_in_16_bits_and_interlaced_too(tmp_path: Path) -> None:
    for header in (made.png_header(9, 9, 16, 6), made.png_header(9, 9, 8, 2, interlaced=True)):
        data = hand_made_png(header, made.png_chunk(b"IDAT", zlib.compress(bytes(100))))
        assert "100 bytes of the" in refusal(file(tmp_path, data), CorruptMediaError)


@pytest.mark.parametrize("length", [0, 1, 5, 7, 300])
@pytest.mark.parametrize("channels", [1, 3])
def test_broken_transparency_is_left_out_with_a_note(tmp_path: Path, channels: int, length: int) -> None:
    values = made.samples(4, 5, channels)
    back = read_image(file(tmp_path, made.png(values, extra=made.png_chunk(b"tRNS", b"\xff" * length))))
    np.testing.assert_array_equal(back.color, values)
    assert back.alpha is None
    assert any("tRNS" in note for note in back.notes)


def test_a_profile_that_inflates_without_end_is_left_out(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(40_000_000), 9)
    assert len(bomb) < 60_000
    values = made.samples(4, 5, 3)
    path = file(tmp_path, made.png(values, extra=made.png_chunk(b"iCCP", b"x\x00\x00" + bomb)))
    tracemalloc.start()
    back = read_image(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(back.color, values)
    assert back.icc_profile is None
    assert any("profile" in note for note in back.notes)
    assert peak < 32 * 1024 * 1024


def test_compressed_text_that_inflates_without_end_is_not_even_looked_at(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(20_000_000), 9)
    chunks = [made.png_chunk(b"zTXt", b"k\x00\x00" + bomb), made.png_chunk(b"iTXt", b"k\x00\x01\x00\x00\x00" + bomb)]
    values = made.samples(4, 5, 3)
    np.testing.assert_array_equal(read_image(file(tmp_path, made.png(values, extra=b"".join(chunks)))).color, values)


@pytest.mark.parametrize("kind", [b"iCCP", b"eXIf", b"tRNS"])
def test_a_wrong_checksum_in_a_side_chunk_costs_only_that_chunk(tmp_path: Path, kind: bytes) -> None:
    values = made.samples(4, 5, 3)
    path = file(tmp_path, made.png(values, extra=made.png_chunk(kind, b"\x00" * 6, wrong_checksum=True)))
    np.testing.assert_array_equal(read_image(path).color, values)


def test_image_data_that_inflates_without_end_is_stopped_at_the_size_in_the_header(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(40_000_000), 9)
    path = file(tmp_path, hand_made_png(made.png_header(10, 10, 8, 0), made.png_chunk(b"IDAT", bomb)))
    tracemalloc.start()
    read_image(path)  # the rows it needs are there
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


# Over the limits, known from the header -------------------------------------------------------------------------------


def gif_header(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)


def gif_beyond_screen(width: int, height: int) -> bytes:
    return gif_header(10, 10) + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08\x01\x00\x00;"


def jpeg_claiming(width: int, height: int) -> bytes:
    whole = bytearray(encoded("JPEG"))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(whole)


def webp_claiming(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_claiming(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def wide_png(width: int, height: int) -> bytes:
    return hand_made_png(made.png_header(width, height, 8, 2), IDAT)


def small_bomb() -> bytes:
    """100 megapixels of white in under 100 kB."""
    rows = (b"\x00" + b"\xff" * 1250) * 10_000
    header = made.png_header(10_000, 10_000, 1, 0)
    return hand_made_png(header, made.png_chunk(b"IDAT", zlib.compress(rows, 9)))


SIDE, PIXELS = "at most 16,384. Make the picture smaller, or raise IRSS_MAX_IMAGE_SIDE", "raise IRSS_MAX_IMAGE_PIXELS"
TOO_LARGE = {
    "png": (lambda: wide_png(100_000, 100_000), "100,000 x 100,000", SIDE),
    "png-limits-of-the-format": (lambda: wide_png(2**31 - 1, 2**31 - 1), "2,147,483,647 x 2,147,483,647", SIDE),
    "png-bomb": (small_bomb, "10,000 x 10,000 pixels, 100,000,000 in all; at most 40,000,000", PIXELS),
    "jpeg": (lambda: jpeg_claiming(65_535, 65_535), "65,535 x 65,535", SIDE),
    "jpeg-pixels": (lambda: jpeg_claiming(9_000, 9_000), "81,000,000 in all", PIXELS),
    "gif": (lambda: gif_header(65_535, 65_535), "65,535 x 65,535", SIDE),
    "gif-frame-beyond-screen": (lambda: gif_beyond_screen(8_000, 8_000), "8,000 x 8,000 pixels, 64,000,000", PIXELS),
    "gif-frame-far-beyond": (lambda: gif_beyond_screen(65_000, 65_000), "4225000000 pixels", "make it smaller"),
    "webp": (lambda: webp_claiming(16_777_215, 16_777_215), "16,777,215 x 16,777,215", SIDE),
    "bmp": (lambda: bmp_claiming(2**31 - 1, 30_000), "2,147,483,647 x 30,000", SIDE),
    "tiff": (lambda: made.tiff(made.tiff_fields(2**32 - 1, 2**32 - 1, size=4), b"abcd"), "4,294,967,295", SIDE),
    "tiff-16": (lambda: made.tiff(made.tiff_fields(9_000, 9_000, bits=16, size=4), b"abcd"), "81,000,000", PIXELS),
    "tiff-tile": (
        lambda: made.tiff(
            made.tiff_fields(4, 4, size=4)
            | {322: (4, [2**31]), 323: (4, [2**31]), 324: (4, [8]), 325: (4, [4])},
            b"abcd",
        ),
        "A tile of in.bin is 2,147,483,648 x 2,147,483,648",
        SIDE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_too_large_is_known_before_decoding(tmp_path: Path, kind: str) -> None:
    make, value, remedy = TOO_LARGE[kind]
    path = file(tmp_path, make())
    message = refusal(path, LimitExceededError)
    assert value in message
    assert remedy in message
    with pytest.raises(LimitExceededError):
        read_header(path)


def test_a_file_too_long_is_refused_by_its_length(tmp_path: Path) -> None:
    path = file(tmp_path, made.png(made.samples(40, 50, 3)))
    message = refusal(path, LimitExceededError, ImageLimits(max_bytes=1000))
    assert f"{path.stat().st_size:,} bytes long; at most 1,000" in message
    assert "IRSS_MAX_IMAGE_BYTES" in message


def test_limits_are_inclusive_and_can_be_raised_beyond_pillows_own(tmp_path: Path) -> None:
    path = file(tmp_path, made.png(made.samples(40, 50, 1)))
    read_image(path, ImageLimits(max_pixels=2000, max_side=50))
    refusal(path, LimitExceededError, ImageLimits(max_pixels=1999))
    refusal(path, LimitExceededError, ImageLimits(max_side=49))
    bomb = file(tmp_path, small_bomb())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's DecompressionBombWarning, which begins at 89 megapixels
        assert read_header(bomb, ImageLimits(max_pixels=100_000_000)).width == 10_000


def test_the_decoders_own_guard_becomes_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = file(tmp_path, encoded("TIFF"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "Save it as PNG" in refusal(path, LimitExceededError)


def test_running_out_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", no_memory)
    assert "not enough memory to decode in.bin" in refusal(file(tmp_path, encoded("JPEG")), ResourceError)


# TIFF, WebP, GIF, AVIF ------------------------------------------------------------------------------------------------


def tiff_8(**changed: tuple[int, list[int]]) -> bytes:
    fields = made.tiff_fields(5, 4, channels=3) | {int(tag[1:]): value for tag, value in changed.items()}
    return made.tiff(fields, bytes(60))


def tiff_16(**changed: tuple[int, list[int]]) -> bytes:
    fields = made.tiff_fields(5, 4, bits=16, channels=3) | {int(tag[1:]): value for tag, value in changed.items()}
    return made.tiff(fields, bytes(120))


BROKEN_TIFFS = {
    "directory-beyond-the-end": (b"II*\x00\xff\xff\xff\x00", "a tag table is said to be at byte 16,777,215"),
    "directory-in-the-header": (b"II*\x00\x02\x00\x00\x00" + bytes(50), "a tag table is said to be at byte 2"),
    "cut-table": (b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(50), "damaged"),
    "no-fields": (b"II*\x00\x08\x00\x00\x00\x00\x00" + bytes(50), "claims 0 fields"),
    "no-size": (made.tiff({259: (3, [1])}, b"abcd"), "0 x 0 pixels"),
    "circle": (made.tiff(made.tiff_fields(2, 2), b"abcd", following=12), "runs in a circle"),
    "strip-beyond-the-end": (tiff_8(t273=(4, [2**31])), "damaged"),
    "strip-too-short": (made.tiff(made.tiff_fields(500, 400, size=60), bytes(60)), "damaged"),
    "strips-missing": (tiff_8(t278=(4, [1])), "it has 1 of 4 parts"),
    "16-strip-beyond-the-end": (tiff_16(t273=(4, [2**32 - 200])), "is said to reach byte 4,294,967,216"),
    "16-strip-too-short": (tiff_16(t279=(4, [60])), "a part has 60 bytes of 120"),
    "16-strips-missing": (tiff_16(t278=(4, [1])), "it has 1 of 4 parts"),
    "16-no-strips": (tiff_16(t278=(4, [0])), "5 x 0 pixels"),
    "16-no-tile-size": (tiff_16(t322=(4, [0]), t323=(4, [16]), t324=(4, [8]), t325=(4, [9])), "0 x 16 pixels"),
    "16-unknown-compression": (tiff_16(t259=(3, [4711])), "cannot be decoded"),
    "16-junk-lzw": (tiff_16(t259=(3, [5])), "cannot be decoded"),
    "16-one-channel-rgb": (tiff_16(t277=(3, [1])), "1 channels where its colours need 3"),
    "sizes-as-bytes-of-nothing": (tiff_16(t256=(1, [])), "0 x 4 pixels"),
    "text-for-a-number": (
        made.tiff(made.tiff_fields(5, 4), bytes(20)).replace(struct.pack("<HH", 258, 3), struct.pack("<HH", 258, 2)),
        "type 2",
    ),
    "values-shared-many-times": (
        made.tiff(
            made.tiff_fields(5, 4) | {tag: (1, [7] * 900) for tag in (700, 33723, 34377)}, bytes(20)
        ).replace(struct.pack("<HHI", 700, 1, 900), struct.pack("<HHI", 700, 1, 2**31)),
        "its tags claim 2,147,4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN_TIFFS)
def test_a_broken_tiff_is_refused_for_what_is_wrong(tmp_path: Path, kind: str) -> None:
    data, words = BROKEN_TIFFS[kind]
    message = refusal(file(tmp_path, data), CorruptMediaError)
    assert words in message
    assert "again" in message


def test_16_bit_strips_that_all_share_the_same_bytes_are_refused(tmp_path: Path) -> None:
    rows = 1000
    fields = made.tiff_fields(500, rows, bits=16) | {
        278: (4, [1]),
        273: (4, [8] * rows),
        279: (4, [1000] * rows),
    }
    assert "its parts claim 1,000,000 bytes" in refusal(
        file(tmp_path, made.tiff(fields, bytes(1000))), CorruptMediaError
    )


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x04\x00\x00\x00WEBP",
        b"RIFF\x1a\x00\x00\x00WEBPJUNK" + bytes(20),
        b"RIFF\x1a\x00\x00\x00WEBPVP8 \x0e\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\x05\x00\x05\x00" + bytes(4),
        webp_claiming(16, 16),
    ],
    ids=["nothing", "unknown-chunk", "empty-frame", "no-frame"],
)
def test_a_broken_webp_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "damaged" in refusal(file(tmp_path, data), CorruptMediaError)


@needs_avif
def test_avif_garbage_is_refused(tmp_path: Path) -> None:
    head = b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf"
    for data in (head, head + bytes(500), head + b"\xff" * 500, WHOLE["avif"]().replace(b"meta", b"atem")):
        assert "damaged" in refusal(file(tmp_path, data), CorruptMediaError)


def test_a_gif_of_endlessly_many_tiny_blocks_is_counted_in_bounded_time() -> None:
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + b"\x01\x00" * 750_000 + b"\x00"
    started = time.perf_counter()
    assert 1 < count_gif_frames(gif_header(1, 1) + frame * 4 + b";") < 4
    assert time.perf_counter() - started < 10


def test_a_gif_cut_after_its_first_frame_still_shows_it(tmp_path: Path) -> None:
    frames = [Image.fromarray(made.samples(20, 20, 3, seed=seed)).quantize(64) for seed in (1, 2)]
    whole = encoded("GIF", frames[0], save_all=True, append_images=frames[1:])
    back = read_image(file(tmp_path, whole[:-200]))
    np.testing.assert_array_equal(back.color, np.asarray(frames[0].convert("RGB")))
