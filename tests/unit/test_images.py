"""Stills in and out: every sample, profile and turn that a format can hold survives; places and thumbnails do not."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageFilter, features

from irss_core.errors import InvalidOptionError, OutputExistsError, ResourceError, UnsupportedFormatError
from irss_core.media import encode, pillow_reader, tiff_writer
from irss_core.media.images import (
    IMAGE_SUFFIXES,
    OUTPUT_FORMATS,
    Picture,
    bleed_color,
    read_header,
    read_image,
    thumbnail_rgb,
    to_rgb8,
    write_image,
)
from irss_core.media.pixels import flatten_on_white, to_8bit
from irss_core.media.source import Source
from tests import made_pictures as made

SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif"}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
SIZES = [(24, 32), (1, 1), (1, 37), (37, 1), (13, 7)]


def picture(
    channels: int,
    dtype: type = np.uint8,
    *,
    size: tuple[int, int] = (24, 32),
    icc: bytes | None = None,
    exif: bytes | None = None,
) -> Picture:
    """A picture of random samples; 2 and 4 channels are with alpha."""
    values = made.samples(*size, channels, dtype)
    alpha = values[..., -1] if channels in (2, 4) else None
    return Picture(values[..., : channels - (channels in (2, 4))], alpha, icc, exif, "PNG")


def saved(tmp_path: Path, data: bytes, name: str = "in.bin") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def pillow_file(tmp_path: Path, image: Image.Image, kind: str, **options: object) -> Path:
    path = tmp_path / f"pillow.{kind.lower()}"
    image.save(path, kind, **options)
    return path


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def assert_same(picture: Picture, color: np.ndarray, alpha: np.ndarray | None = None) -> None:
    assert picture.color.dtype == color.dtype
    assert picture.color.flags.c_contiguous
    np.testing.assert_array_equal(picture.color, color)
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha is not None
        assert picture.alpha.dtype == color.dtype
        np.testing.assert_array_equal(picture.alpha, alpha)


# Out and in again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_png_and_tiff_keep_every_sample(
    tmp_path: Path, kind: str, dtype: type, channels: int, size: tuple[int, int]
) -> None:
    original = picture(channels, dtype, size=size)
    path = tmp_path / f"out{SUFFIX[kind]}"
    assert write_image(original, path) == ()
    back = read_image(path)
    assert_same(back, original.color, original.alpha)
    assert (back.format, back.notes, back.icc_profile, back.exif) == (kind, (), None, None)


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_at_quality_100_keeps_every_sample_even_under_transparent_pixels(tmp_path: Path, channels: int) -> None:
    original = picture(channels)
    if original.alpha is not None:
        original.alpha[:8] = 0
    write_image(original, tmp_path / "out.webp", quality=100)
    assert_same(read_image(tmp_path / "out.webp"), original.color, original.alpha)


@pytest.mark.parametrize(("kind", "channels"), [("JPEG", 1), ("JPEG", 3), ("WEBP", 1), ("WEBP", 3), ("WEBP", 4)])
def test_lossy_formats_stay_close(tmp_path: Path, kind: str, channels: int) -> None:
    values = made.smooth(48, 64, channels)
    alpha = values[..., 3] if channels == 4 else None
    original = Picture(values[..., :3], alpha, None, None, "PNG")
    path = tmp_path / f"out{SUFFIX[kind]}"
    write_image(original, path, quality=90)
    back = read_image(path)
    assert back.color.shape[2] == (1 if (kind, channels) == ("JPEG", 1) else 3)
    # smooth gradients at quality 90: 40 dB leaves room for other builds of the codecs; a channel swap gives under 15
    assert psnr(to_rgb8(back), to_rgb8(original)) > 40
    if alpha is not None:
        assert back.alpha is not None
        assert psnr(back.alpha, alpha) > 40


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_readers_understand_our_tiff(tmp_path: Path, dtype: type, channels: int) -> None:
    original = picture(channels, dtype, size=(300, 500), exif=read_exif_of(tmp_path, order=">"))
    write_image(original, tmp_path / "out.tif")
    expected = encode._with_alpha(original)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif").reshape(expected.shape), expected)
    if dtype is np.uint8:
        with Image.open(tmp_path / "out.tif") as image:
            np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_understands_our_png_of_many_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    monkeypatch.setattr("irss_core.media.bands.BAND_BYTES", 1000)
    original = picture(channels, size=(301, 67))
    write_image(original, tmp_path / "out.png")
    expected = encode._with_alpha(original)
    with Image.open(tmp_path / "out.png") as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)


def test_png_inflates_to_the_rows_and_ends_with_the_right_checksum(tmp_path: Path) -> None:
    original = picture(3, np.uint16, size=(40, 33))
    write_image(original, tmp_path / "out.png")
    data, at, deflated = (tmp_path / "out.png").read_bytes(), 8, b""
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(data[at + 8 + length : at + 12 + length], "big")
        deflated += body[4:] if body[:4] == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(deflated), np.uint8).reshape(40, 1 + 33 * 6)
    np.testing.assert_array_equal(
        np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8), original.color.astype(">u2").view(np.uint8).reshape(40, -1)
    )


def test_jpeg_keeps_full_colour_resolution_from_quality_90_on(tmp_path: Path) -> None:
    for quality, first_factor in ((90, 0x11), (89, 0x22)):
        path = tmp_path / f"{quality}.jpg"
        write_image(picture(3), path, quality=quality)
        data = path.read_bytes()
        frame = data.index(b"\xff\xc0")
        assert data[frame + 11] == first_factor


def test_grey_stays_grey_in_every_format_that_has_it(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "TIFF"):
        path = tmp_path / f"grey{SUFFIX[kind]}"
        write_image(picture(1), path)
        assert read_image(path).color.shape == (24, 32, 1)
        assert read_header(path).mode == "L"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_sixteen_bits_are_rounded_not_cut_where_the_format_has_eight(tmp_path: Path, kind: str) -> None:
    assert to_8bit(np.array([0, 128, 129, 257, 65406, 65407, 65535], np.uint16)).tolist() == [0, 0, 1, 1, 254, 255, 255]
    deep = made.smooth(48, 64, 3, np.uint16)
    path = tmp_path / f"out{SUFFIX[kind]}"
    notes = write_image(Picture(deep, None, None, None, "PNG"), path, quality=95)
    assert [kind in note and "8 bits" in note for note in notes] == [True]
    assert psnr(read_image(path).color, np.round(deep / 257)) > 40


def test_jpeg_lays_transparency_over_white_and_says_so(tmp_path: Path) -> None:
    color = np.zeros((32, 32, 3), np.uint8)
    alpha = np.zeros((32, 32), np.uint8)
    alpha[16:] = 255
    notes = write_image(Picture(color, alpha, None, None, "PNG"), tmp_path / "out.jpg")
    assert len(notes) == 1
    assert "white" in notes[0]
    back = read_image(tmp_path / "out.jpg")
    assert back.alpha is None
    assert back.color[:14].min() > 245
    assert back.color[18:].max() < 10


def test_jpeg_of_an_opaque_picture_with_alpha_has_nothing_to_say(tmp_path: Path) -> None:
    opaque = Picture(made.samples(8, 8, 3), np.full((8, 8), 255, np.uint8), None, None, "PNG")
    assert write_image(opaque, tmp_path / "out.jpg") == ()


def test_flattening_is_exact_rounding() -> None:
    color, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    expected = np.round((color.astype(float) * alpha + 255.0 * (255 - alpha.astype(float))) / 255)
    np.testing.assert_array_equal(flatten_on_white(color[..., None], alpha)[..., 0], expected)


# In: layouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_samples_are_read_exactly(
    tmp_path: Path, dtype: type, channels: int, size: tuple[int, int], interlaced: bool
) -> None:
    values = made.samples(*size, channels, dtype)
    path = saved(tmp_path, made.png(values, interlaced=interlaced))
    colors = 1 if channels < 3 else 3
    assert_same(read_image(path), values[..., :colors], values[..., colors] if channels in (2, 4) else None)
    header = read_header(path)
    assert (header.width, header.height, header.bit_depth) == (size[1], size[0], 8 * values.dtype.itemsize)
    assert header.has_alpha == (channels in (2, 4))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_grey_levels_spans_the_full_range(tmp_path: Path, depth: int) -> None:
    values = made.samples(9, 11, 1)[..., 0] % (1 << depth)
    path = saved(tmp_path, made.packed_png(values, depth, 0))
    assert_same(read_image(path), (values * (255 // ((1 << depth) - 1))).astype(np.uint8)[..., None])


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_grey_key_hides_exactly_its_level(tmp_path: Path, depth: int) -> None:
    key = (1 << depth) - 1 if depth < 8 else 200 * (257 if depth == 16 else 1)
    chunk = made.png_chunk(b"tRNS", struct.pack(">H", key))
    if depth < 8:
        values = made.samples(9, 11, 1)[..., 0] % (1 << depth)
        path = saved(tmp_path, made.packed_png(values, depth, 0, extra=chunk))
    else:
        values = made.samples(9, 11, 1, np.uint16 if depth == 16 else np.uint8)[..., 0]
        values[3, 4:8] = key
        values[4, 4:8] = key + 1
        path = saved(tmp_path, made.png(values[..., None], extra=chunk))
    back = read_image(path)
    assert back.alpha is not None
    np.testing.assert_array_equal(back.alpha == 0, values == key)
    assert set(np.unique(back.alpha)) <= {0, np.iinfo(back.color.dtype).max}
    assert read_header(path).has_alpha


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_colour_key_hides_exactly_its_colour(tmp_path: Path, dtype: type) -> None:
    values = made.samples(9, 11, 3, dtype)
    values[2:4] = (7, 8, 9)
    values[4] = (7, 8, 10)
    path = saved(tmp_path, made.png(values, extra=made.png_chunk(b"tRNS", struct.pack(">HHH", 7, 8, 9))))
    expected = np.full((9, 11), np.iinfo(dtype).max, dtype)
    expected[2:4] = 0
    assert_same(read_image(path), values, expected)


@pytest.mark.parametrize("transparent", [False, True])
def test_png_palette_becomes_rgb_with_its_transparency(tmp_path: Path, transparent: bool) -> None:
    palette = made.samples(1, 4, 3)[0]
    indices = made.samples(9, 11, 1)[..., 0] % 4
    extra = made.png_chunk(b"PLTE", palette.tobytes())
    if transparent:
        extra += made.png_chunk(b"tRNS", bytes([0, 100]))
    back = read_image(saved(tmp_path, made.packed_png(indices, 2, 3, extra=extra)))
    alpha = np.array([0, 100, 255, 255], np.uint8)[indices] if transparent else None
    assert_same(back, palette[indices], alpha)


WRITTEN_BY_PILLOW = {
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("1", "L", "RGB", "YCbCr", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
    "WEBP": ("L", "LA", "P", "RGB", "RGBA"),
}


@pytest.mark.parametrize(
    ("kind", "mode"), [(kind, mode) for kind, modes in WRITTEN_BY_PILLOW.items() for mode in modes]
)
def test_every_mode_pillow_writes_reads_like_pillow_says(tmp_path: Path, kind: str, mode: str) -> None:
    source = Image.fromarray(made.smooth(24, 32, 4), "RGBA")
    image = source.convert("RGB").quantize(16) if mode == "P" else source.convert("RGB" if mode != "RGBA" else "RGBA")
    image = image if image.mode == mode else image.convert(mode)
    path = pillow_file(tmp_path, image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    with Image.open(path) as reference:
        wanted = reference.convert("RGBA" if reference.has_transparency_data else "RGB")
        stored_mode = reference.mode
    back = read_image(path)
    assert (back.color.shape[2] == 1) == (stored_mode in ("1", "L", "LA"))
    expected = np.asarray(wanted)
    np.testing.assert_array_equal(np.broadcast_to(back.color, (24, 32, 3)), expected[..., :3])
    assert (back.alpha is not None) == (expected.shape[2] == 4)
    if back.alpha is not None:
        np.testing.assert_array_equal(back.alpha, expected[..., 3])
    header = read_header(path)
    assert (header.width, header.height, header.format, header.bit_depth) == (32, 24, kind, 8)
    assert header.has_alpha == (back.alpha is not None)


@needs_avif
def test_avif_is_read_with_alpha_and_close_colours(tmp_path: Path) -> None:
    values = made.smooth(48, 64, 4)
    path = pillow_file(tmp_path, Image.fromarray(values), "AVIF", quality=95)
    back = read_image(path)
    assert back.format == "AVIF"
    assert psnr(back.color, values[..., :3]) > 38
    assert back.alpha is not None
    assert psnr(back.alpha, values[..., 3]) > 38


TIFF_LAYOUTS = [
    pytest.param(channels, extra, order, planar, tile, compression, predictor, id=f"{channels}-{extra}-{order}-{planar}"
                 f"-{'tiles' if tile else 'strips'}-{compression}-{predictor}")
    for channels, extra in ((1, None), (2, "unassalpha"), (3, None), (4, "unassalpha"), (4, "unspecified"))
    for order in "<>"
    for planar in ("contig", "separate")
    for tile in (None, (16, 32))
    for compression, predictor in ((None, False), ("zlib", False), ("zlib", True))
    if not (channels == 1 and planar == "separate")
]  # fmt: skip


@pytest.mark.parametrize(("channels", "extra", "order", "planar", "tile", "compression", "predictor"), TIFF_LAYOUTS)
def test_16_bit_tiff_is_read_exactly_in_every_layout(
    tmp_path: Path,
    channels: int,
    extra: str | None,
    order: str,
    planar: str,
    tile: tuple[int, int] | None,
    compression: str | None,
    predictor: bool,
) -> None:
    values = made.samples(37, 51, channels, np.uint16)
    tifffile.imwrite(
        tmp_path / "in.tif",
        (values[..., 0] if channels == 1 else np.moveaxis(values, 2, 0) if planar == "separate" else values),
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=[extra] if extra else None,
        byteorder=order,
        planarconfig=planar if channels > 1 else None,
        tile=tile,
        rowsperstrip=None if tile else 10,
        compression=compression,
        predictor=predictor or None,
        metadata=None,
    )
    colors = 1 if channels < 3 else 3
    alpha = values[..., colors] if extra == "unassalpha" else None
    assert_same(read_image(tmp_path / "in.tif"), values[..., :colors], alpha)
    header = read_header(tmp_path / "in.tif")
    assert (header.bit_depth, header.has_alpha) == (16, alpha is not None)


def test_16_bit_tiff_with_lzw_and_predictor_is_read_exactly(tmp_path: Path) -> None:
    values = made.samples(37, 51, 3, np.uint16)
    differences = np.diff(values, axis=1, prepend=np.uint16(0)).astype("<u2")
    as_bytes = differences.view(np.uint8).reshape(37, -1)
    with BytesIO() as packed:
        Image.fromarray(as_bytes).save(packed, "TIFF", compression="tiff_lzw", strip_size=10**6)
        with Image.open(packed) as inner:
            offset, length = inner.tag_v2[273][0], inner.tag_v2[279][0]
        strip = packed.getvalue()[offset : offset + length]
    fields = made.tiff_fields(51, 37, bits=16, channels=3, size=len(strip)) | {259: (3, [5]), 317: (3, [2])}
    assert_same(read_image(saved(tmp_path, made.tiff(fields, strip))), values)


def test_16_bit_tiff_where_white_is_zero_is_inverted(tmp_path: Path) -> None:
    values = made.samples(5, 6, 1, np.uint16)
    fields = made.tiff_fields(6, 5, bits=16) | {262: (3, [0])}
    assert_same(read_image(saved(tmp_path, made.tiff(fields, values.tobytes()))), 65535 - values)


def test_16_bit_tiff_with_premultiplied_alpha_gets_its_full_colours_back(tmp_path: Path) -> None:
    straight = made.samples(20, 20, 4, np.uint16)
    straight[..., 3] |= 0x4000  # visible enough that dividing loses at most two levels
    cover = straight[..., 3:].astype(np.uint64)
    stored = straight.copy()
    stored[..., :3] = (straight[..., :3] * cover + 32767) // 65535
    tifffile.imwrite(tmp_path / "in.tif", stored, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    back = read_image(tmp_path / "in.tif")
    assert np.abs(back.color.astype(int) - straight[..., :3]).max() <= 2
    np.testing.assert_array_equal(back.alpha, straight[..., 3])


def test_12_bit_grey_tiff_spans_16_bits(tmp_path: Path) -> None:
    fields = made.tiff_fields(2, 1, bits=12, size=3)
    back = read_image(saved(tmp_path, made.tiff(fields, b"\xff\xf8\x00")))
    assert_same(back, np.array([[[65535], [0x8008]]], np.uint16))


@pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.int16])
def test_tiff_of_other_numbers_is_refused_with_a_remedy(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((4, 4), dtype))
    with pytest.raises(UnsupportedFormatError, match=r"in\.tif is a TIFF with .*Save it with 8 or 16 bits"):
        read_image(tmp_path / "in.tif")


def test_pages_after_the_first_are_left_out_and_counted(tmp_path: Path) -> None:
    first, second = (Image.fromarray(made.samples(8, 8, 3, seed=seed)) for seed in (1, 2))
    path = pillow_file(tmp_path, first, "TIFF", save_all=True, append_images=[second])
    back = read_image(path)
    assert_same(back, np.asarray(first))
    assert any("2 pages" in note for note in back.notes)
    assert (read_header(path).frames, read_header(path).animated) == (2, False)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_moving_picture_gives_its_first_frame_and_says_so(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "lime", "blue")]
    path = pillow_file(tmp_path, frames[0], kind, save_all=True, append_images=frames[1:])
    back = read_image(path)
    assert psnr(back.color, np.asarray(frames[0])) > 40
    assert any("3 frames" in note for note in back.notes)
    header = read_header(path)
    assert (header.frames, header.animated, header.format) == (3, True, kind)


def test_a_png_called_jpg_simply_works(tmp_path: Path) -> None:
    values = made.samples(4, 5, 3)
    back = read_image(saved(tmp_path, made.png(values), "holiday.jpg"))
    assert_same(back, values)
    assert back.format == "PNG"


def test_a_bmp_whose_alpha_was_never_filled_in_is_visible(tmp_path: Path) -> None:
    values = made.samples(4, 4, 4)
    values[..., 3] = 0
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 56, 4, -4, 1, 32, 3, 64, 2835, 2835, 0, 0) + masks
    data = b"BM" + struct.pack("<IHHI", 14 + 56 + 64, 0, 0, 70) + head + values[..., [2, 1, 0, 3]].tobytes()
    back = read_image(saved(tmp_path, data))
    assert_same(back, values[..., :3])
    assert any("transparency" in note for note in back.notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bigtiff_is_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    original = picture(4, dtype, icc=SRGB, exif=read_exif_of(tmp_path))
    monkeypatch.setattr(tiff_writer, "_CLASSIC_LIMIT", 0)
    write_image(original, tmp_path / "ours.tif")
    assert (tmp_path / "ours.tif").read_bytes()[:4] == b"II+\x00"
    tifffile.imwrite(
        tmp_path / "theirs.tif", encode._with_alpha(original), bigtiff=True, photometric="rgb", metadata=None,
        extrasamples=["unassalpha"],
    )  # fmt: skip
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "ours.tif"), encode._with_alpha(original))
    for name in ("ours.tif", "theirs.tif"):
        assert_same(read_image(tmp_path / name), original.color, original.alpha)
    assert read_image(tmp_path / "ours.tif").icc_profile == SRGB
    assert made.COMMENT_MARK in (read_image(tmp_path / "ours.tif").exif or b"")


def test_the_depth_map_behind_a_phones_jpeg_does_no_harm(tmp_path: Path) -> None:
    photo = Image.fromarray(made.smooth(24, 32, 3))
    path = pillow_file(tmp_path, photo, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95)
    with Image.open(path) as other:
        assert other.format == "MPO"
    header = read_header(path)
    assert (header.format, header.frames, header.width) == ("JPEG", 1, 32)
    assert psnr(read_image(path).color, np.asarray(photo)) > 38


def test_the_depth_of_an_avif_is_found_in_its_properties() -> None:
    for data, depth in ((b"....pixi\0\0\0\0\x03\x0a\x0a\x0a", 10), (b"....pixi\0\0\0\0\x01", 8), (b"none", 8)):
        assert pillow_reader._avif_depth(Source("a.avif", BytesIO(data), len(data))) == depth


# CMYK -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_own_profile(tmp_path: Path, kind: str) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    path = pillow_file(tmp_path, cyan, kind, icc_profile=made.cmyk_profile())
    back = read_image(path)
    red, green, blue = back.color[8, 8].tolist()
    assert green > 150 > max(red, blue) + 50  # the profile's green, not the plain formula's cyan
    assert back.icc_profile is None
    assert any("through the file's own colour profile" in note for note in back.notes)


@pytest.mark.parametrize("profile", [None, b"no profile at all"])
def test_cmyk_without_a_usable_profile_takes_the_plain_formula(tmp_path: Path, profile: bytes | None) -> None:
    path = pillow_file(tmp_path, Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", icc_profile=profile, quality=95)
    back = read_image(path)
    assert np.abs(back.color.astype(int) - (0, 255, 255)).max() < 8
    assert any("plain formula" in note for note in back.notes)


# Profiles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
@pytest.mark.parametrize("keep", [True, False])
def test_the_colour_profile_travels_byte_for_byte(tmp_path: Path, kind: str, dtype: type, keep: bool) -> None:
    path = tmp_path / f"out{SUFFIX[kind]}"
    write_image(picture(3, dtype, icc=SRGB), path, keep_metadata=keep)
    assert read_image(path).icc_profile == SRGB
    if kind != "PNG" or dtype is np.uint8:
        with Image.open(path) as image:
            assert image.info["icc_profile"] == SRGB


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_grey_profile_travels_with_grey(tmp_path: Path, kind: str) -> None:
    profile = made.grey_profile()
    path = tmp_path / f"out{SUFFIX[kind]}"
    assert write_image(picture(1, icc=profile), path) == ()
    assert read_image(path).icc_profile == profile


def test_webp_has_no_grey_so_the_profile_is_applied(tmp_path: Path) -> None:
    grey = Picture(np.full((16, 16, 1), 128, np.uint8), None, made.grey_profile(), None, "PNG")
    write_image(grey, tmp_path / "out.webp", quality=100)
    back = read_image(tmp_path / "out.webp")
    assert back.icc_profile is None
    assert np.abs(back.color.astype(int) - 188).max() <= 2  # linear 128 seen as sRGB


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("profile", [made.cmyk_profile(), b"x" * 200, SRGB[:100]], ids=["cmyk", "junk", "cut"])
def test_a_profile_that_does_not_fit_is_left_out_with_a_note(tmp_path: Path, kind: str, profile: bytes) -> None:
    path = pillow_file(tmp_path, Image.new("RGB", (8, 8)), kind, icc_profile=profile)
    back = read_image(path)
    assert back.icc_profile is None
    assert any("profile" in note for note in back.notes)


def test_an_absurdly_large_profile_is_left_out_with_its_size(tmp_path: Path) -> None:
    huge = SRGB[:128] + bytes(5_000_000)
    path = pillow_file(tmp_path, Image.new("RGB", (8, 8)), "TIFF", icc_profile=huge)
    back = read_image(path)
    assert back.icc_profile is None
    assert any("5,000,128 bytes" in note for note in back.notes)


def test_a_profile_of_another_kind_of_colour_is_not_written(tmp_path: Path) -> None:
    notes = write_image(picture(3, icc=made.grey_profile()), tmp_path / "out.png")
    assert any("profile" in note for note in notes)
    assert b"iCCP" not in (tmp_path / "out.png").read_bytes()


# Orientation and camera data ------------------------------------------------------------------------------------------

TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


def with_exif(tmp_path: Path, kind: str, block: bytes, pixels: np.ndarray) -> Path:
    """``pixels`` in a file of ``kind`` (PNG-late: the block behind the pixels) holding the EXIF ``block`` as it is."""
    if kind.startswith("PNG"):
        chunk = made.png_chunk(b"eXIf", block.removeprefix(b"Exif\x00\x00"))
        place = {"after": chunk} if kind == "PNG-late" else {"extra": chunk}
        return saved(tmp_path, made.png(pixels, **place), "in.png")
    options: dict[str, object] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100, "subsampling": 0},
        "AVIF": {"quality": 100, "speed": 10},
    }.get(kind, {})
    return pillow_file(tmp_path, Image.fromarray(pixels), kind, exif=block, **options)


def read_exif_of(tmp_path: Path, *, order: str = "<") -> bytes:
    """The cleaned block of a picture whose camera wrote everything."""
    block = read_image(with_exif(tmp_path, "PNG", made.exif(order=order), made.samples(2, 2, 3))).exif
    assert block is not None
    return block


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["PNG", "PNG-late", "WEBP", "JPEG", pytest.param("AVIF", marks=needs_avif)])
def test_orientation_is_applied_to_the_pixels_and_reset(
    tmp_path: Path, kind: str, order: str, orientation: int
) -> None:
    pixels = made.smooth(24, 16, 3)
    path = with_exif(tmp_path, kind, made.exif(orientation, order=order), pixels)
    upright = TURNS[orientation](pixels)
    back = read_image(path)
    assert back.color.shape == upright.shape
    if kind in ("JPEG", "AVIF"):
        assert psnr(back.color, upright) > 38
    else:
        np.testing.assert_array_equal(back.color, upright)
    assert (read_header(path).height, read_header(path).width) == upright.shape[:2]
    assert back.exif is not None
    loaded = Image.Exif()
    loaded.load(back.exif)
    assert loaded[0x0112] == 1


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_orientation_of_tiff_is_applied(tmp_path: Path, dtype: type, compression: str | None, orientation: int) -> None:
    pixels = made.samples(6, 4, 3, dtype)
    tifffile.imwrite(
        tmp_path / "in.tif",
        pixels,
        photometric="rgb",
        compression=compression,
        metadata=None,
        extratags=[(274, 3, 1, orientation, True)],
    )
    assert_same(read_image(tmp_path / "in.tif"), np.ascontiguousarray(TURNS[orientation](pixels)))
    header = read_header(tmp_path / "in.tif")
    assert (header.height, header.width) == TURNS[orientation](pixels).shape[:2]


def test_orientation_turns_alpha_and_16_bits_too(tmp_path: Path) -> None:
    pixels = made.samples(5, 3, 4, np.uint16)
    back = read_image(with_exif(tmp_path, "PNG", made.exif(6), pixels))
    upright = np.rot90(pixels, -1)
    assert_same(back, upright[..., :3], upright[..., 3])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("out", OUTPUT_FORMATS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_camera_data_travels_without_place_thumbnail_and_opaque_parts(
    tmp_path: Path, kind: str, out: str, order: str
) -> None:
    original = read_image(with_exif(tmp_path, kind, made.exif(3, order=order), made.smooth(16, 16, 3)))
    path = tmp_path / f"out{SUFFIX[out]}"
    write_image(original, path)
    data = path.read_bytes()
    for forbidden in (made.POSITION_MARK, made.THUMBNAIL_MARK, made.MAKER_MARK, b"xmpmeta"):
        assert forbidden not in (original.exif or b"")
        assert forbidden not in data
    assert made.COMMENT_MARK in data
    with Image.open(path) as image:
        loaded = image.getexif()
        exposure = loaded.get_ifd(0x8769)
        assert loaded[0x010F] == "ACME Ltd"
        assert loaded.get(0x0112, 1) == 1
        assert not loaded.get_ifd(0x8825)
        assert exposure[0x829A] == pytest.approx(1 / 250)
        assert (exposure[0xA002], exposure[0xA003]) == (16, 16)  # the size it has now, not the camera's
    again = read_image(path).exif
    assert again is not None
    assert made.COMMENT_MARK in again


@pytest.mark.parametrize("out", OUTPUT_FORMATS)
def test_metadata_switch_strips_camera_data(tmp_path: Path, out: str) -> None:
    original = picture(3, icc=SRGB, exif=read_exif_of(tmp_path))
    path = tmp_path / f"out{SUFFIX[out]}"
    write_image(original, path, keep_metadata=False)
    assert made.COMMENT_MARK not in path.read_bytes()
    assert b"ACME" not in path.read_bytes()
    assert read_image(path).exif is None
    assert read_image(path).icc_profile == SRGB


@pytest.mark.parametrize("out", OUTPUT_FORMATS)
def test_xmp_and_text_chunks_do_not_travel(tmp_path: Path, out: str) -> None:
    secret = b"<x:xmpmeta exif:GPSLatitude='48,51.5N'/>"
    png = made.png(made.samples(4, 4, 3), extra=made.png_chunk(b"tEXt", b"Comment\x00" + secret))
    jpeg = pillow_file(tmp_path, Image.new("RGB", (8, 8)), "JPEG", xmp=secret, comment=secret)
    assert secret in jpeg.read_bytes()
    for source in (saved(tmp_path, png), jpeg):
        back = read_image(source)
        write_image(back, tmp_path / f"out{SUFFIX[out]}", overwrite=True)
        assert secret not in (tmp_path / f"out{SUFFIX[out]}").read_bytes()
        assert secret not in (back.exif or b"")


@pytest.mark.parametrize("out", OUTPUT_FORMATS)
def test_a_position_does_not_leave_even_in_a_block_that_was_never_cleaned(tmp_path: Path, out: str) -> None:
    path = tmp_path / f"out{SUFFIX[out]}"
    assert write_image(picture(3, exif=made.exif()), path) == ()
    assert made.COMMENT_MARK in path.read_bytes()
    for forbidden in (made.POSITION_MARK, made.THUMBNAIL_MARK, made.MAKER_MARK):
        assert forbidden not in path.read_bytes()
    notes = write_image(picture(3, exif=b"junk"), path, overwrite=True)
    assert any("EXIF" in note for note in notes)


def test_camera_data_too_large_for_any_segment_is_left_out(tmp_path: Path) -> None:
    fields = [(270, 2, 70_000, b"x" * 70_000), (274, 3, 1, b"\x06\x00")]
    block = b"II*\x00\x08\x00\x00\x00" + made.ifd("<", fields, 8)
    back = read_image(with_exif(tmp_path, "PNG", block, made.samples(6, 4, 3)))
    assert back.color.shape == (4, 6, 3)
    assert back.exif is None
    assert any("over 65,533" in note for note in back.notes)


def test_broken_camera_data_costs_only_itself(tmp_path: Path) -> None:
    for block in (b"Exif\x00\x00II", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"junk" * 10, made.exif()[:30]):
        pixels = made.samples(4, 4, 3)
        back = read_image(with_exif(tmp_path, "PNG", block, pixels))
        assert_same(back, pixels)
        assert back.exif is None
        assert any("EXIF" in note for note in back.notes)


def test_camera_data_cut_inside_a_value_keeps_the_orientation(tmp_path: Path) -> None:
    block = made.exif(6)
    cut = block[: block.index(made.MAKER_MARK)]
    pixels = made.samples(6, 4, 3)
    assert read_image(with_exif(tmp_path, "PNG", cut, pixels)).color.shape == (4, 6, 3)


# Transparent edges ----------------------------------------------------------------------------------------------------


def disc(dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """A red disc with a soft edge on transparent green: HxWx3 and HxW."""
    y, x = np.mgrid[0:48, 0:48]
    full = np.iinfo(dtype).max
    cover = np.clip(16.5 - np.hypot(y - 24, x - 24), 0, 1)
    alpha = np.round(cover * full).astype(dtype)
    color = np.zeros((48, 48, 3), dtype)
    color[alpha > 0] = (full, 0, 0)
    color[alpha == 0] = (0, full, 0)
    return color, alpha


def test_bled_colour_scales_without_a_halo() -> None:
    color, alpha = disc()

    def green_at_edge(planes: np.ndarray) -> int:
        """The most green that a 4x enlargement of colour and alpha apart shows where anything is visible."""
        big = np.asarray(Image.fromarray(planes).resize((192, 192), Image.Resampling.BICUBIC))
        big_alpha = np.asarray(Image.fromarray(alpha).resize((192, 192), Image.Resampling.BICUBIC))
        return int(big[big_alpha > 0][:, 1].max())

    assert green_at_edge(color) > 100  # what it looks like without
    assert green_at_edge(bleed_color(color, alpha)) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bleeding_leaves_visible_pixels_alone_and_takes_the_nearest(dtype: type) -> None:
    color = made.samples(20, 30, 3, dtype)
    alpha = np.zeros((20, 30), dtype)
    alpha[5, 5], alpha[12, 25] = 1, 3
    before = color.copy()
    bled = bleed_color(color, alpha)
    np.testing.assert_array_equal(color, before)
    assert bled.dtype == dtype
    assert (bled[5, 5] == color[5, 5]).all()
    assert (bled[0, 0] == color[5, 5]).all()
    assert (bled[19, 29] == color[12, 25]).all()


@pytest.mark.parametrize("level", [0, 255])
def test_bleeding_has_nothing_to_do_when_all_or_nothing_is_visible(level: int) -> None:
    color = made.samples(3, 4, 1)
    assert bleed_color(color, np.full((3, 4), level, np.uint8)) is color


# For a screen ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_to_rgb8_is_three_channels_of_the_same_size(channels: int, dtype: type) -> None:
    original = picture(channels, dtype)
    flat = to_rgb8(original)
    assert (flat.shape, flat.dtype) == ((24, 32, 3), np.uint8)
    if channels in (1, 3):
        rounded = np.round(original.color / (257 if dtype is np.uint16 else 1))
        np.testing.assert_array_equal(flat, np.broadcast_to(rounded, flat.shape))


def test_to_rgb8_shows_white_where_nothing_is_visible() -> None:
    color, alpha = disc(np.uint16)
    flat = to_rgb8(Picture(color, alpha, None, None, "PNG"))
    assert flat[0, 0].tolist() == [255, 255, 255]
    assert flat[24, 24].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("size", "expected"), [((40, 100), (8, 20)), ((100, 1), (20, 1)), ((7, 9), (7, 9))])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_thumbnail_fits_and_never_grows(size: tuple[int, int], expected: tuple[int, int], channels: int) -> None:
    small = thumbnail_rgb(picture(channels, size=size), 20)
    assert (small.shape, small.dtype) == ((*expected, 3), np.uint8)


def test_thumbnail_shows_transparency_on_a_light_ground_without_hidden_colours() -> None:
    color, alpha = disc()
    small = thumbnail_rgb(Picture(color, alpha, None, None, "PNG"), 24)
    assert small[0, 0].min() > 200
    assert len({tuple(small[0, x]) for x in (0, 9)}) == 2  # the chequers
    assert small[12, 12].tolist() == [255, 0, 0]
    assert (small[..., 1] <= small[..., 2].astype(int) + 3).all()  # no green anywhere


def test_thumbnail_applies_the_colour_profile() -> None:
    grey = Picture(np.full((8, 8, 1), 128, np.uint8), None, made.grey_profile(), None, "PNG")
    assert np.abs(thumbnail_rgb(grey, 8).astype(int) - 188).max() <= 2


# Writing safely -------------------------------------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, b"precious", "out.png")
    with pytest.raises(OutputExistsError, match=r"out\.png exists already.*another name, or allow overwriting"):
        write_image(picture(3), path)
    assert path.read_bytes() == b"precious"
    write_image(picture(3), path, overwrite=True)
    assert read_image(path).format == "PNG"
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_a_file_that_appears_while_writing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.png"
    real = encode.write_png

    def slow_png(*args: object, **options: object) -> None:
        real(*args, **options)
        path.write_bytes(b"somebody else's")

    monkeypatch.setattr(encode, "write_png", slow_png)
    with pytest.raises(OutputExistsError):
        write_image(picture(3), path)
    assert path.read_bytes() == b"somebody else's"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[list[str]] = []
    real = os.fsync

    def recording(descriptor: int) -> None:
        flushed.append(sorted(p.suffix for p in tmp_path.iterdir()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    write_image(picture(3), tmp_path / "out.png")
    assert flushed[0] == [".part"]


def test_a_file_system_without_hard_links_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_image(picture(3), tmp_path / "out.png")
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]
    with pytest.raises(OutputExistsError):
        write_image(picture(3), tmp_path / "out.png")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("existing", [False, True])
def test_a_writer_that_dies_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException], existing: bool
) -> None:
    path = tmp_path / "out.png"
    if existing:
        path.write_bytes(b"precious")

    def dying_png(stream: BytesIO, *_: object, **__: object) -> None:
        stream.write(b"half a picture")
        raise failure

    monkeypatch.setattr(encode, "write_png", dying_png)
    with pytest.raises(failure):
        write_image(picture(3), path, overwrite=True)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"precious"] if existing else [])


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_reported_as_such_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(encode, "write_png", full_disk)
    with pytest.raises(ResourceError, match=r"out\.png could not be written.*Free some space"):
        write_image(picture(3), tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "side"), [("JPEG", 65_501), ("WEBP", 16_384)])
@pytest.mark.parametrize("upright", [False, True])
def test_a_side_too_long_for_the_format_names_the_limit_and_the_remedy(
    tmp_path: Path, kind: str, side: int, upright: bool
) -> None:
    size = (side, 1) if upright else (1, side)
    with pytest.raises(InvalidOptionError, match=rf"{side:,}.*{kind} holds at most {side - 1:,}.*PNG or TIFF"):
        write_image(picture(1, size=size), tmp_path / f"out{SUFFIX[kind]}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "side"), [("JPEG", 65_500), ("WEBP", 16_383)])
def test_the_longest_side_a_format_holds_is_written(tmp_path: Path, kind: str, side: int) -> None:
    path = tmp_path / f"out{SUFFIX[kind]}"
    write_image(picture(3, size=(1, side)), path)
    with Image.open(path) as image:
        assert image.size == (side, 1)


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_an_impossible_quality_names_the_range(tmp_path: Path, quality: int) -> None:
    with pytest.raises(InvalidOptionError, match=rf"{quality}.*between 1 .* and 100"):
        write_image(picture(3), tmp_path / "out.jpg", quality=quality)


def test_the_format_goes_by_the_ending_or_by_name(tmp_path: Path) -> None:
    write_image(picture(3), tmp_path / "a.JPEG")
    write_image(picture(3), tmp_path / "b.dat", format="webp")
    write_image(picture(3), tmp_path / "c.png", format="tif")
    assert [read_header(tmp_path / name).format for name in ("a.JPEG", "b.dat", "c.png")] == ["JPEG", "WEBP", "TIFF"]


@pytest.mark.parametrize(("name", "kind"), [("out.gif", None), ("out", None), ("out.png", "BMP")])
def test_a_format_that_is_not_written_names_those_that_are(tmp_path: Path, name: str, kind: str | None) -> None:
    with pytest.raises(UnsupportedFormatError, match="PNG, JPEG, WEBP, TIFF"):
        write_image(picture(3), tmp_path / name, format=kind)


def test_a_target_that_cannot_be_a_file_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="is a folder"):
        write_image(picture(3), tmp_path, format="PNG")
    with pytest.raises(InvalidOptionError, match="Choose a folder that exists"):
        write_image(picture(3), tmp_path / "missing" / "out.png")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_image(picture(3), tmp_path / "out.png")
    saved(tmp_path, b"", "plain")
    assert (tmp_path / "out.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_suffixes_and_formats_are_what_the_documentation_says() -> None:
    assert OUTPUT_FORMATS == ("PNG", "JPEG", "WEBP", "TIFF")
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"} <= IMAGE_SUFFIXES


@pytest.mark.parametrize(
    ("color", "alpha"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 4), np.uint8), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.float32), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 3), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)),
    ],
)
def test_a_picture_of_impossible_arrays_cannot_be_made(color: np.ndarray, alpha: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="must be"):
        Picture(color, alpha, None, None, "PNG")


def test_soft_edges_survive_a_round_trip_through_a_blur(tmp_path: Path) -> None:
    """Alpha is straight, not premultiplied: a soft edge keeps its colour through a file."""
    alpha = np.asarray(Image.new("L", (32, 32)).filter(ImageFilter.GaussianBlur(2))).copy()
    alpha[8:24, 8:24] = np.arange(16, dtype=np.uint8) * 17
    original = Picture(np.full((32, 32, 3), (200, 30, 90), np.uint8), alpha, None, None, "PNG")
    for kind in ("PNG", "TIFF"):
        write_image(original, tmp_path / f"out{SUFFIX[kind]}")
        assert_same(read_image(tmp_path / f"out{SUFFIX[kind]}"), original.color, alpha)
