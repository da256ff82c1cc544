"""The pipeline's stages, one by one and in a row: what they find, what they make, and what they refuse."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from irss_core.errors import (
    CancelledError,
    CorruptMediaError,
    InvalidOptionError,
    IrssError,
    LimitExceededError,
    StoreUnavailableError,
    UnknownModelError,
    UnsupportedFormatError,
)
from irss_core.jobs.job import Job
from irss_core.jobs.keys import archive_key, output_key, work_key
from irss_core.jobs.options import PRESETS, JobOptions, Stage
from irss_core.jobs.stages import STAGES, Workshop, check_options_for
from irss_core.media.images import Picture, read_image, write_image
from irss_core.media.video import probe_clip, read_frames
from irss_core.progress import CancelToken, ProgressUpdate
from tests import made_pictures as made
from tests.fakes.clock import FakeClock
from tests.fakes.objects import MemoryObjects
from tests.made_clips import Sound, index_of, make_clip, packets_of
from tests.made_workshop import TinyModels, job_of, run_stages

MODELS = TinyModels()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BOMB_SIDE = 30_000


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(objects=MemoryObjects(FakeClock()), models=MODELS, scratch=tmp_path / "scratch")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(workshop: Workshop) -> Any:
    yield
    assert list(workshop.scratch.glob("**/*")) == []
    assert MODELS.held == 0


def file_of(folder: Path, data: bytes, name: str = "in") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def picture_of(
    folder: Path,
    color: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
) -> Path:
    path = folder / "in.png"
    write_image(Picture(color, alpha, icc, exif, "PNG"), path, overwrite=True)
    return path


def output(workshop: Workshop, job: Job, role: str = "result") -> bytes:
    return workshop.objects.stored[job.outputs[role]][1]  # type: ignore[attr-defined]


def result_of(workshop: Workshop, job: Job, folder: Path, role: str = "result") -> Picture:
    return read_image(file_of(folder, output(workshop, job, role), "out"))


def validated(workshop: Workshop, folder: Path, data: bytes, **options: Any) -> Job:
    return run_stages(job_of(workshop.objects, file_of(folder, data), **options), workshop, Stage.VALIDATE)


# -- validate ----------------------------------------------------------------------------------------------------------


def png_bomb() -> bytes:
    """A PNG of 900 megapixels in under a megabyte."""
    squeezer = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE // 8 + 1)
    data = b"".join(squeezer.compress(row) for _ in range(BOMB_SIDE)) + squeezer.flush()
    header = made.png_header(BOMB_SIDE, BOMB_SIDE, 1, 0)
    return made.PNG_SIGNATURE + header + made.png_chunk(b"IDAT", data) + made.png_chunk(b"IEND", b"")


def jpeg(quality: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(made.smooth(60, 80, 3)).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def gif(frames: int) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(made.smooth(20, 30, 3) // (index + 1)) for index in range(frames)]
    pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    return stream.getvalue()


def apng() -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(made.smooth(20, 30, 3) // (index + 1)) for index in range(3)]
    pictures[0].save(stream, "PNG", save_all=True, append_images=pictures[1:], duration=100)
    return stream.getvalue()


def archive_of(name: str = "evil.html") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "words")
    return stream.getvalue()


def with_comment(data: bytes, comment: bytes) -> bytes:
    """A JPEG with a comment at its beginning."""
    return data[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + data[2:]


@pytest.mark.parametrize(
    ("data", "kind", "format"),
    [
        (made.png(made.smooth(20, 30, 3)), "still", "png"),
        (made.png(made.smooth(20, 30, 4, np.uint16)), "still", "png"),
        (jpeg(), "still", "jpeg"),
        (gif(1), "still", "gif"),
        (gif(3), "clip", "gif"),
    ],
)
def test_kind_is_told_by_content(workshop: Workshop, tmp_path: Path, data: bytes, kind: str, format: str) -> None:
    job = validated(workshop, tmp_path, data, name="whatever.mp4")
    assert (job.facts["kind"], job.facts["format"]) == (kind, format)


def test_clip_is_decoded_to_its_end_and_its_frames_counted(workshop: Workshop, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", ticks=[0, 1, 2, 5, 6], last_ticks=4)
    job = run_stages(job_of(workshop.objects, clip, name="clip.png"), workshop, Stage.VALIDATE)
    assert (job.facts["kind"], job.facts["format"], job.facts["frames"]) == ("clip", "mp4", 5)
    assert job.facts["duration_s"] == pytest.approx(10 / 25)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", CorruptMediaError, r"^The file is empty \(0 bytes\)"),
        (png_bomb(), LimitExceededError, "IRSS_MAX_IMAGE_SIDE"),
        (jpeg()[:-400], CorruptMediaError, "^The file is damaged"),
        (made.png(made.smooth(20, 30, 3))[:-40], CorruptMediaError, "^The file is damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedFormatError, "SVG"),
        (b"<?xml version='1.0'?><svg/>", UnsupportedFormatError, "SVG"),
        (b"<!doctype html><img>", UnsupportedFormatError, "web page"),
        (archive_of(), UnsupportedFormatError, "ZIP"),
        (b"%PDF-1.7 " + bytes(100), UnsupportedFormatError, "PDF"),
        (b"#EXTM3U\n/etc/passwd", UnsupportedFormatError, "text"),
        (b"just words", UnsupportedFormatError, "text"),
        (apng(), UnsupportedFormatError, "animated PNG with 3 frames"),
        (gif(3)[:200], CorruptMediaError, "The file"),
        (with_comment(jpeg(), b"*/<script>alert(1)</script>"), UnsupportedFormatError, "web page or script"),
        (with_comment(jpeg(), b"<HTML lang=de>"), UnsupportedFormatError, "picture and a web page"),
        (with_comment(jpeg(), b"<?php system('ls');"), UnsupportedFormatError, "script"),
        (with_comment(jpeg(), b"%PDF-1.4"), UnsupportedFormatError, "PDF"),
        (jpeg() + archive_of(), UnsupportedFormatError, "picture and a ZIP archive"),
        (b"GIF89a/*<html>*/=1;" + bytes(80), UnsupportedFormatError, "web page"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused(
    workshop: Workshop, tmp_path: Path, data: bytes, error: type[IrssError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        validated(workshop, tmp_path, data)
    assert str(tmp_path) not in str(caught.value)


def test_harmless_extras_are_no_second_nature(workshop: Workshop, tmp_path: Path) -> None:
    second_picture = jpeg() + jpeg(50) + b"PK\x05\x06" + bytes(40)
    assert validated(workshop, tmp_path, second_picture).facts["kind"] == "still"
    metadata = b"<?xpacket begin?><x:xmpmeta><rdf:RDF>headline</rdf:RDF></x:xmpmeta>"
    assert validated(workshop, tmp_path, with_comment(jpeg(), metadata)).facts["kind"] == "still"


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        ({"max_pixels": 1_000}, "IRSS_MAX_IMAGE_PIXELS"),
        ({"max_side": 70}, "IRSS_MAX_IMAGE_SIDE"),
        ({"max_bytes": 500}, "IRSS_MAX_IMAGE_BYTES"),
    ],
)
def test_limits_of_stills_are_named(workshop: Workshop, tmp_path: Path, limits: dict[str, int], setting: str) -> None:
    models = TinyModels()
    models.image_limits = replace(models.image_limits, **limits)
    with pytest.raises(LimitExceededError, match=setting):
        validated(replace(workshop, models=models), tmp_path, jpeg())


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        ({"max_seconds": 0.1}, "IRSS_MAX_CLIP_SECONDS"),
        ({"max_frames": 3}, "IRSS_MAX_CLIP_FRAMES"),
        ({"max_bytes": 500}, "IRSS_MAX_CLIP_BYTES"),
        ({"max_frame_pixels": 500}, "IRSS_MAX_CLIP_FRAME_PIXELS"),
    ],
)
def test_limits_of_clips_are_named(workshop: Workshop, tmp_path: Path, limits: dict[str, Any], setting: str) -> None:
    models = TinyModels()
    models.clip_limits = replace(models.clip_limits, **limits)
    with pytest.raises(LimitExceededError, match=setting):
        validated(replace(workshop, models=models), tmp_path, make_clip(tmp_path / "in.mp4").read_bytes())


def test_clip_that_breaks_off_is_found_before_it_is_worked_on(workshop: Workshop, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "in.mkv", ticks=range(60), sound=Sound(seconds=2.4)).read_bytes()
    with pytest.raises(CorruptMediaError, match="cut off"):
        validated(workshop, tmp_path, whole[: len(whole) // 2])


def test_options_are_held_against_the_kind_of_file(workshop: Workshop, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4").read_bytes()
    with pytest.raises(InvalidOptionError, match="max_bytes"):
        validated(workshop, tmp_path, clip, preset="filters", max_bytes=5_000)
    with pytest.raises(InvalidOptionError, match="format is mp4"):
        validated(workshop, tmp_path, jpeg(), format="mp4")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("clip", {"autocontrast": True}, "flicker"),
        ("clip", {"max_bytes": 9_999}, "width"),
        ("clip", {"format": "png"}, "written as mp4"),
        ("still", {"format": "mp4"}, "is a picture"),
        ("clip", {"preset": "thumbnail-100", "format": "mp4"}, "is a picture"),
        ("still", {"preset": "thumbnail-100", "width": 50}, "no step"),
        ("still", {"preset": "resize+thumbnail", "denoise": True}, "denoise is True"),
        ("still", {"preset": "filters", "outscale": 2}, "outscale is 2"),
    ],
)
def test_nothing_that_is_asked_for_is_left_out_silently(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        check_options_for(kind, JobOptions(**options))


def test_options_that_can_be_met_pass() -> None:
    check_options_for("still", JobOptions(autocontrast=True, max_bytes=9_999, width=10, outscale=2, format="webp"))
    check_options_for("clip", JobOptions(denoise=True, sharpen=1, greyscale=True, width=10, format="mp4"))
    check_options_for("clip", JobOptions(preset="thumbnail-100", format="jpeg"))


# -- metadata ----------------------------------------------------------------------------------------------------------


def photograph(folder: Path, *, orientation: int = 1) -> Path:
    """A JPEG with a profile, and camera data with a place."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F], exif[0x0110] = "ACME", "Box 3"
    settings = exif.get_ifd(0x8769)
    settings[0x829A], settings[0x829D], settings[0x8827], settings[0x920A] = 0.004, 2.8, 200, 35.0
    settings[0x9003], settings[0xA434] = "2024:05:06 07:08:09", "35mm f/2"
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (48.0, 51.0, 30.24), "E", (2.0, 17.0, 40.2)
    path = folder / "photograph.jpg"
    Image.fromarray(made.smooth(40, 60, 3)).save(path, quality=95, exif=exif, icc_profile=SRGB)
    return path


def test_metadata_of_a_photograph_without_its_place(workshop: Workshop, tmp_path: Path) -> None:
    path = photograph(tmp_path, orientation=6)
    with Image.open(path) as image:
        assert image.getexif().get_ifd(0x8825)  # the place is really in there
    job = run_stages(job_of(workshop.objects, path), workshop, Stage.VALIDATE, Stage.METADATA)
    facts = job.facts
    assert (facts["width"], facts["height"], facts["orientation"]) == (40, 60, 6)
    assert (facts["mode"], facts["bit_depth"], facts["has_alpha"]) == ("RGB", 8, False)
    assert facts["icc_profile"] == "sRGB built-in"
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts["exif"] == {
        "camera": "ACME Box 3", "lens": "35mm f/2", "exposure_s": 0.004, "f_number": 2.8, "iso": 200,
        "focal_length_mm": 35, "taken_at": "2024:05:06 07:08:09",
    }  # fmt: skip
    # The hash of a file whose colour profile holds the time of its making has any two digits in it now and then.
    words = json.dumps({name: value for name, value in facts.items() if name != "sha256"})
    assert not any(word in words for word in ("48", "30.24", "GPS", "gps"))


def test_metadata_of_a_clip(workshop: Workshop, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", ticks=[0, 1, 3, 4, 9], sound=Sound(seconds=0.4))
    facts = run_stages(job_of(workshop.objects, clip), workshop, Stage.VALIDATE, Stage.METADATA).facts
    assert (facts["width"], facts["height"], facts["frames"], facts["is_variable_rate"]) == (48, 32, 5, True)
    assert (facts["codec"], facts["has_audio"], facts["audio_codec"]) == ("h264", True, "aac")
    assert facts["fps"] == pytest.approx(5 / 10 * 25)


def test_absurd_camera_data_stays_json_of_a_size(workshop: Workshop, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A" * 40_000 + "\x07"
    exif.get_ifd(0x8769)[0x829A] = (0, 0)
    path = tmp_path / "in.jpg"
    Image.fromarray(made.smooth(8, 8, 3)).save(path, exif=exif)
    facts = run_stages(job_of(workshop.objects, path), workshop, Stage.VALIDATE, Stage.METADATA).facts
    assert len(json.dumps(facts, allow_nan=False)) < 2_000


# -- the pipeline of each preset ---------------------------------------------------------------------------------------

OF_PRESET: dict[str, dict[str, Any]] = {
    "upscale": {"denoise": True, "autocontrast": True, "sharpen": 1.0},
    "filters": {"denoise": True, "greyscale": True},
    "resize+thumbnail": {"width": 30},
    "thumbnail-100": {},
}
SIDES = {"upscale": (240, 160), "filters": (60, 40), "resize+thumbnail": (30, 20), "thumbnail-100": (100, 100)}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_result_a_thumbnail_and_a_preview(workshop: Workshop, tmp_path: Path, preset: str) -> None:
    path = photograph(tmp_path)
    job = run_stages(job_of(workshop.objects, path, preset=preset, **OF_PRESET[preset]), workshop)
    picture = result_of(workshop, job, tmp_path)
    assert (picture.width, picture.height) == SIDES[preset]
    assert (job.facts["result_width"], job.facts["result_height"]) == SIDES[preset]
    assert picture.format == "JPEG"
    assert job.facts["result_format"] == "jpeg"
    assert job.facts["result_bytes"] == len(output(workshop, job))
    assert workshop.objects.info(job.outputs["result"]).content_type == "image/jpeg"  # type: ignore[union-attr]
    for role in ("thumbnail", "preview"):
        with Image.open(io.BytesIO(output(workshop, job, role))) as small:
            assert (small.size, small.format, small.mode) == ((100, 100), "JPEG", "RGB")
            assert not dict(small.getexif())
            assert "icc_profile" not in small.info
    assert job.outputs.keys() >= {"result", "thumbnail", "preview"}
    assert [key for key in workshop.objects.keys("") if key.startswith("work/")] == []
    assert workshop.objects.stored[archive_key(job.id)][1] == path.read_bytes()  # type: ignore[attr-defined]


def test_place_is_gone_from_the_result_and_the_camera_stays(workshop: Workshop, tmp_path: Path) -> None:
    job = run_stages(job_of(workshop.objects, photograph(tmp_path), denoise=True, sharpen=1.0), workshop)
    with Image.open(io.BytesIO(output(workshop, job))) as image:
        assert image.getexif()[0x010F] == "ACME"
        assert not image.getexif().get_ifd(0x8825)
        assert image.info["icc_profile"] == SRGB


def test_result_of_thumbnail_100_is_the_thumbnail(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, picture_of(tmp_path, made.smooth(120, 300, 3)), preset="thumbnail-100")
    job = run_stages(job, workshop)
    result = result_of(workshop, job, tmp_path)
    shown = (
        Image.fromarray(made.smooth(120, 300, 3)).crop((90, 0, 210, 120)).resize((100, 100), Image.Resampling.LANCZOS)
    )
    assert np.abs(result.color.astype(int) - np.asarray(shown)).max() <= 1
    assert output(workshop, job, "thumbnail") == output(workshop, job, "preview")


def test_thumbnail_of_a_clip_is_of_its_first_frame(workshop: Workshop, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    job = run_stages(job_of(workshop.objects, clip, preset="thumbnail-100"), workshop)
    result = result_of(workshop, job, tmp_path)
    assert (result.format, result.width, result.height) == ("PNG", 100, 100)
    assert index_of(result.color) == 0


def test_transparent_parts_of_a_thumbnail_show_a_chequer(workshop: Workshop, tmp_path: Path) -> None:
    path = picture_of(tmp_path, made.smooth(50, 50, 3), alpha=np.zeros((50, 50), np.uint8))
    job = run_stages(job_of(workshop.objects, path, preset="filters", greyscale=True), workshop)
    small = np.asarray(Image.open(io.BytesIO(output(workshop, job, "preview"))))
    assert small.min() > 200


def test_nothing_to_change_gives_the_picture_anew_without_its_place(workshop: Workshop, tmp_path: Path) -> None:
    path = photograph(tmp_path)
    job = run_stages(job_of(workshop.objects, path, preset="filters", format="png"), workshop)
    assert np.array_equal(result_of(workshop, job, tmp_path).color, read_image(path).color)


def test_name_of_any_script_goes_nowhere(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, file_of(tmp_path, jpeg()), name="../Żółw\u202e 図.jpg")
    job = run_stages(job, workshop)
    assert all(key.isascii() for key in workshop.objects.keys(""))
    with pytest.raises(UnsupportedFormatError) as caught:
        validated(workshop, tmp_path, b"text", name="../図.jpg")
    assert "図" not in str(caught.value)


# -- preprocess and filter ---------------------------------------------------------------------------------------------


def deep_picture(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A 16-bit PNG with alpha; its colours and alpha."""
    color, alpha = made.smooth(40, 60, 3, np.uint16), made.smooth(40, 60, 1, np.uint16)[..., 0]
    return picture_of(folder, color, alpha=alpha, icc=SRGB), color, alpha


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "upscale"},
        {"preset": "upscale", "denoise": True, "autocontrast": True, "sharpen": 0.5},
        {"preset": "filters", "denoise": True},
        {"preset": "filters", "autocontrast": True},
        {"preset": "filters", "sharpen": 1.0, "contrast": 1.2, "greyscale": True, "width": 31},
        {"preset": "resize+thumbnail", "width": 31},
    ],
)
@pytest.mark.parametrize("format", [None, "tiff"])
def test_16_bits_transparency_and_profile_are_kept(
    workshop: Workshop, tmp_path: Path, options: dict[str, Any], format: str | None
) -> None:
    path, _, _ = deep_picture(tmp_path)
    job = run_stages(job_of(workshop.objects, path, format=format, **options), workshop)
    result = result_of(workshop, job, tmp_path)
    assert (result.bit_depth, result.alpha is not None, result.icc_profile) == (16, True, SRGB)
    assert result.color.shape[2] == 3
    assert np.mean(result.color >> 8 != result.color & 255) > 0.5  # not 8 bits spread out
    assert job.facts.get("notes", []) == []


def test_denoise_is_the_median_of_the_surroundings(workshop: Workshop, tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        noisy = made.samples(23, 31, 3, dtype)
        job = job_of(workshop.objects, picture_of(tmp_path, noisy), preset="filters", denoise=True)
        result = result_of(workshop, run_stages(job, workshop), tmp_path).color
        padded = np.pad(noisy, ((1, 1), (1, 1), (0, 0)), mode="edge")
        around = [padded[y : y + 23, x : x + 31] for y in range(3) for x in range(3)]
        assert np.array_equal(result, np.median(np.stack(around), axis=0).astype(dtype))


def test_autocontrast_stretches_what_is_visible_and_shifts_no_colour(workshop: Workshop, tmp_path: Path) -> None:
    ramp = np.linspace(80, 160, 100).astype(np.uint8)
    color = np.repeat(np.stack([ramp, ramp, ramp], axis=1)[None], 40, axis=0)
    color[:, :2] = 255  # hidden
    alpha = np.full((40, 100), 255, np.uint8)
    alpha[:, :2] = 0
    job = job_of(workshop.objects, picture_of(tmp_path, color, alpha=alpha), preset="filters", autocontrast=True)
    result = result_of(workshop, run_stages(job, workshop), tmp_path).color[:, 2:]
    assert (result.min(), result.max()) == (0, 255)
    assert np.ptp(result, axis=2).max() == 0


def test_hidden_colours_do_not_run_into_visible_ones(workshop: Workshop, tmp_path: Path) -> None:
    color = np.full((30, 30, 3), (200, 30, 30), np.uint8)
    alpha = np.full((30, 30), 255, np.uint8)
    color[:, 15:], alpha[:, 15:] = (0, 255, 0), 0
    options = {"preset": "filters", "denoise": True, "sharpen": 2.0, "width": 20}
    job = job_of(workshop.objects, picture_of(tmp_path, color, alpha=alpha), **options)
    result = result_of(workshop, run_stages(job, workshop), tmp_path)
    assert result.alpha is not None
    assert result.color[result.alpha > 0][:, 1].max() < 60


def test_greyscale_has_one_channel_unless_a_profile_needs_three(workshop: Workshop, tmp_path: Path) -> None:
    color = made.smooth(20, 20, 3)
    luma = np.rint(color @ np.array([0.299, 0.587, 0.114]))
    for icc, channels in ((None, 1), (SRGB, 3)):
        job = job_of(workshop.objects, picture_of(tmp_path, color, icc=icc), preset="filters", greyscale=True)
        result = result_of(workshop, run_stages(job, workshop), tmp_path)
        assert (result.color.shape[2], result.icc_profile) == (channels, icc)
        assert np.abs(result.color.astype(int) - luma[..., None]).max() <= 1


def test_contrast_goes_by_middle_grey(workshop: Workshop, tmp_path: Path) -> None:
    color = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    job = job_of(workshop.objects, picture_of(tmp_path, color), preset="filters", contrast=2.0)
    result = result_of(workshop, run_stages(job, workshop), tmp_path).color
    assert np.array_equal(result, np.rint((color - 127.5) * 2 + 127.5).clip(0, 255).astype(np.uint8))


def test_sharpening_steepens_an_edge_and_leaves_plains_alone(workshop: Workshop, tmp_path: Path) -> None:
    edge = np.full((40, 40, 3), 80, np.uint8)
    edge[:, 20:] = 160
    job = job_of(workshop.objects, picture_of(tmp_path, edge), preset="filters", sharpen=1.0)
    result = result_of(workshop, run_stages(job, workshop), tmp_path).color
    assert np.array_equal(result[:, :10], edge[:, :10])
    assert np.array_equal(result[:, -10:], edge[:, -10:])
    assert int(result[20, 20, 0]) - int(result[20, 19, 0]) > 100


def test_bands_of_rows_leave_no_seam(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture_of(tmp_path, made.samples(50, 20, 3))
    options = {"preset": "filters", "denoise": True, "sharpen": 1.0, "greyscale": True, "autocontrast": True}
    whole = output(workshop, run_stages(job_of(workshop.objects, path, **options), workshop))
    monkeypatch.setattr("irss_core.jobs.stages.retouch._BAND_SAMPLES", 400)
    assert output(workshop, run_stages(job_of(workshop.objects, path, **options), workshop)) == whole


def test_width_keeps_the_proportions_within_what_is_made(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, picture_of(tmp_path, made.smooth(30, 45, 3)), preset="resize+thumbnail", width=100)
    assert result_of(workshop, run_stages(job, workshop), tmp_path).color.shape == (67, 100, 3)
    tall = job_of(workshop.objects, picture_of(tmp_path, made.smooth(400, 2, 3)), preset="filters", width=100)
    with pytest.raises(InvalidOptionError, match=r"20,000 pixels high; at most 16,384.*at most 81\."):
        run_stages(tall, workshop)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_result_is_compressed_as_little_as_fits(workshop: Workshop, tmp_path: Path, format: str) -> None:
    path = picture_of(tmp_path, made.samples(100, 100, 3))
    job = job_of(workshop.objects, path, preset="filters", format=format, max_bytes=8_000)
    job = run_stages(job, workshop)
    data = output(workshop, job)
    assert 7_000 < len(data) <= 8_000
    assert Image.open(io.BytesIO(data)).format == format.upper()
    assert any("compressed with quality" in note for note in job.facts["notes"])


def test_size_that_cannot_be_met_is_answered_with_the_one_that_can(workshop: Workshop, tmp_path: Path) -> None:
    path = picture_of(tmp_path, made.samples(200, 200, 3))
    job = job_of(workshop.objects, path, preset="filters", format="jpeg", max_bytes=1_100)
    with pytest.raises(InvalidOptionError, match=r"smallest jpeg of this result.* has") as caught:
        run_stages(job, workshop)
    reachable = int(str(caught.value).split(" has ")[1].split(".")[0].replace(",", ""))
    job = job_of(workshop.objects, path, preset="filters", format="jpeg", max_bytes=reachable)
    assert len(output(workshop, run_stages(job, workshop))) == reachable


def test_size_without_a_format_takes_one_that_can_be_compressed(workshop: Workshop, tmp_path: Path) -> None:
    alpha = made.smooth(60, 60, 1)[..., 0]
    for hidden, format in ((None, "jpeg"), (alpha, "webp")):
        path = picture_of(tmp_path, made.smooth(60, 60, 3), alpha=hidden)
        job = run_stages(job_of(workshop.objects, path, preset="filters", max_bytes=5_000), workshop)
        assert job.facts["result_format"] == format


# -- upscale -----------------------------------------------------------------------------------------------------------


def test_upscaled_still_is_what_the_model_gives_and_the_facts_say_how(workshop: Workshop, tmp_path: Path) -> None:
    color = made.smooth(20, 30, 3)
    seen: list[ProgressUpdate] = []
    job = job_of(workshop.objects, picture_of(tmp_path, color), model="still", outscale=3)
    held = MODELS.times_held
    job = run_stages(job, workshop, progress=seen.append)
    assert MODELS.times_held == held + 1
    expected = MODELS.image_upscaler("still")(color, outscale=3).image
    assert np.array_equal(result_of(workshop, job, tmp_path).color, expected)
    facts = job.facts
    assert (facts["model"], facts["outscale"], facts["device"], facts["dtype"]) == ("tiny", 3, "cpu", "fp32")
    assert (facts["tiles"], facts["fallbacks"]) == (1, [])
    assert facts["seconds"] > 0
    assert facts["peak_memory_bytes"] > 10_000_000
    assert seen[-1].fraction == 1


def test_still_is_upscaled_by_a_sequence_model_too(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, picture_of(tmp_path, made.smooth(16, 24, 3)), model="sequence")
    assert result_of(workshop, run_stages(job, workshop), tmp_path).color.shape == (64, 96, 3)


def test_unknown_model_is_told(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError):
        run_stages(job_of(workshop.objects, file_of(tmp_path, jpeg()), model="none"), workshop)


def test_cancelling_stops_the_model_and_leaves_nothing(workshop: Workshop, tmp_path: Path) -> None:
    token = CancelToken()
    job = job_of(workshop.objects, picture_of(tmp_path, made.smooth(20, 30, 3)), model="still")
    job = run_stages(job, workshop, Stage.VALIDATE, Stage.METADATA)
    with pytest.raises(CancelledError):
        run_stages(job, workshop, Stage.UPSCALE, progress=lambda _: token.cancel(), cancel=token)
    assert workshop.objects.keys("processed/") == []


def test_result_that_no_machine_could_hold_is_refused_before_any_work(workshop: Workshop, tmp_path: Path) -> None:
    wide = picture_of(tmp_path, np.zeros((2, 1_100, 3), np.uint8))
    job = job_of(workshop.objects, wide, model="bicubic", outscale=16, format="webp")
    with pytest.raises(InvalidOptionError, match=r"17,600 x 32 pixels; webp holds at most 16,383"):
        run_stages(job, workshop)
    job = job_of(workshop.objects, wide, model="bicubic", outscale=16, format="webp", width=800)
    assert result_of(workshop, run_stages(job, workshop), tmp_path).width == 800


def test_result_that_needs_more_memory_than_there_is_is_refused(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=50_000))
    with pytest.raises(LimitExceededError, match=r"At x4 the result has 120 x 80 pixels.*smaller outscale"):
        run_stages(job_of(workshop.objects, picture_of(tmp_path, made.smooth(20, 30, 3))), workshop)


def test_format_it_came_in_gives_way_when_it_cannot_hold_the_result(workshop: Workshop, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 1_100, 3), np.uint8)).save(stream, "WEBP")
    job = job_of(workshop.objects, file_of(tmp_path, stream.getvalue()), outscale=16)
    job = run_stages(job, workshop)
    assert (job.facts["result_format"], job.facts["result_width"]) == ("png", 17_600)
    assert any("written as png" in note for note in job.facts["notes"])


# -- clips -------------------------------------------------------------------------------------------------------------


def test_clip_goes_through_all_its_steps_in_one_pass(workshop: Workshop, tmp_path: Path) -> None:
    ticks = [0, 1, 2, 5, 6, 7, 12]
    clip = make_clip(tmp_path / "in.mkv", ticks=ticks, last_ticks=3, tick=Fraction(1, 20), sound=Sound(seconds=0.7))
    options = {"denoise": True, "sharpen": 0.5, "greyscale": True, "width": 64, "model": "sequence"}
    job = job_of(workshop.objects, clip, **options)
    job = run_stages(job, workshop)
    path = file_of(tmp_path, output(workshop, job), "out.mp4")
    info = probe_clip(path)
    assert (info.width, info.height, info.format, info.has_audio) == (64, 44, "mp4", True)  # 64x43, made even for H.264
    assert packets_of(path) == packets_of(clip)
    before, after = (list(read_frames(each)) for each in (clip, path))
    assert [(f.pts_s, f.duration_s) for f in after] == [(f.pts_s, f.duration_s) for f in before]
    assert max(np.ptp(frame.pixels.astype(int), axis=2).max() for frame in after) <= 4
    assert (job.facts["frames"], job.facts["model"], job.facts["result_format"]) == (7, "tiny", "mp4")
    assert (job.facts["result_width"], job.facts["result_height"]) == (64, 44)
    assert job.facts["frames_run"] > 7


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("filters", {"contrast": 1.5}),
        ("filters", {"denoise": True}),
        ("filters", {}),
        ("resize+thumbnail", {"width": 24}),
    ],
)
def test_clip_without_a_model(workshop: Workshop, tmp_path: Path, preset: str, options: dict[str, Any]) -> None:
    job = run_stages(job_of(workshop.objects, make_clip(tmp_path / "in.mp4"), preset=preset, **options), workshop)
    frames = list(read_frames(file_of(tmp_path, output(workshop, job), "out.mp4")))
    assert len(frames) == 8
    assert frames[0].pixels.shape == ((16, 24, 3) if preset == "resize+thumbnail" else (32, 48, 3))
    assert "model" not in job.facts


def test_animated_gif_becomes_an_mp4(workshop: Workshop, tmp_path: Path) -> None:
    job = run_stages(job_of(workshop.objects, file_of(tmp_path, gif(4)), model="still"), workshop)
    info = probe_clip(file_of(tmp_path, output(workshop, job), "out.mp4"))
    assert (info.format, info.width, info.height, info.frame_count) == ("mp4", 120, 80, 4)


# -- done twice, gone wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["still", "clip"])
def test_stage_done_twice_gives_the_same_keys_and_bytes(
    workshop: Workshop, tmp_path: Path, preset: str, kind: str
) -> None:
    path = photograph(tmp_path) if kind == "still" else make_clip(tmp_path / "in.mp4")
    options = {name: value for name, value in OF_PRESET[preset].items() if kind == "still" or name != "autocontrast"}
    job = job_of(workshop.objects, path, preset=preset, **options)
    for stage in (each for each in job.options.stages if each in STAGES):
        after = run_stages(job, workshop, stage)
        once = dict(workshop.objects.stored)  # type: ignore[attr-defined]
        again = run_stages(job, workshop, stage)  # as after a crash before the job was written
        assert again.outputs == after.outputs
        skipped = run_stages(after, workshop, stage)
        assert (skipped.outputs, skipped.facts) == (after.outputs, after.facts)
        now = workshop.objects.stored  # type: ignore[attr-defined]
        assert {key: data for key, (_, data) in now.items()} == {key: data for key, (_, data) in once.items()}
        job = after


def test_finished_job_is_not_computed_again(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, photograph(tmp_path), model="still", denoise=True, sharpen=1.0)
    job = run_stages(job, workshop)
    held, stored = MODELS.times_held, dict(workshop.objects.stored)  # type: ignore[attr-defined]
    assert run_stages(job, workshop) == job
    assert held == MODELS.times_held
    assert stored == workshop.objects.stored  # type: ignore[attr-defined]


def test_output_that_is_gone_or_changed_is_noticed_and_made_anew(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, photograph(tmp_path), model="still", sharpen=1.0)
    finished = run_stages(job, workshop)
    good = output(workshop, finished)
    other = file_of(tmp_path, b"x")
    for role, gone in (("result", True), ("result", False), ("thumbnail", True)):
        if gone:
            workshop.objects.delete(finished.outputs[role])
        else:
            workshop.objects.put(finished.outputs[role], other, content_type="image/jpeg")
        with pytest.raises(StoreUnavailableError, match=r"'(result|thumbnail)'"):
            run_stages(finished, workshop, Stage.ARCHIVE)
        finished = run_stages(finished, workshop)
        assert output(workshop, finished) == good


def test_archive_keeps_the_original_when_the_input_goes(workshop: Workshop, tmp_path: Path) -> None:
    path = photograph(tmp_path)
    job = run_stages(job_of(workshop.objects, path), workshop)
    workshop.objects.delete(job.input_key)
    assert run_stages(job, workshop, Stage.ARCHIVE) == job
    info = workshop.objects.info(archive_key(job.id))
    assert info is not None
    assert (info.sha256, info.content_type) == (job.facts["sha256"], "application/octet-stream")


def test_keys_are_made_of_the_id(workshop: Workshop, tmp_path: Path) -> None:
    job = job_of(workshop.objects, photograph(tmp_path), denoise=True, sharpen=1.0)
    for stage in job.options.stages[:5]:
        job = run_stages(job, workshop, stage)
    assert job.outputs == {
        "prepared": work_key(job.id, "prepared"),
        "upscaled": work_key(job.id, "upscaled"),
        "result": output_key(job.id, "result"),
        "thumbnail": output_key(job.id, "thumbnail"),
    }


def test_stages_cover_the_presets_and_load_neither_networks_nor_decoders() -> None:
    assert set(STAGES) == set(Stage) - {Stage.DELIVER}
    code = (
        "import sys, irss_core.jobs.stages as stages, irss_core.jobs.segments\n"
        "heavy = {'torch', 'av', 'scipy', 'gradio', 'fastapi', 'boto3'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)


def test_stills_are_validated_described_and_filtered_without_torch(tmp_path: Path) -> None:
    picture_of(tmp_path, made.smooth(20, 30, 3))
    code = f"""
import sys
from pathlib import Path
from types import SimpleNamespace
from irss_core.jobs.stages import Workshop
from irss_core.media.images import ImageLimits
from irss_core.media.video import ClipLimits
sys.modules["torch"] = None
import tests.fakes.objects, tests.fakes.clock
from irss_core.jobs.job import Job, with_results
from irss_core.jobs.options import JobOptions
from irss_core.jobs.stages import STAGES
objects = tests.fakes.objects.MemoryObjects(tests.fakes.clock.FakeClock())
objects.put("uploads/1", Path({str(tmp_path / "in.png")!r}), content_type="image/png")
models = SimpleNamespace(image_limits=ImageLimits(), clip_limits=ClipLimits())
options = JobOptions(preset="filters", denoise=True, sharpen=1.0, width=10)
job = Job(id="1", batch_id="2", owner="3", number=1, name="n", input_key="uploads/1", input_bytes=1, options=options,
          created_at=0, updated_at=0)
for stage in options.stages[:-1]:
    changes = STAGES[stage](job, Workshop(objects, models, Path({str(tmp_path / "s")!r})), progress=None, cancel=None)
    job = with_results(job, outputs=changes.outputs, facts=changes.facts, now=0)
assert job.facts["result_width"] == 10
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)
