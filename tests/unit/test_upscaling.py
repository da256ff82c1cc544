"""Files in, files out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irss_core.errors import CancelledError, CorruptMediaError, IrssError, LimitExceededError, OutputExistsError
from irss_core.media.images import ImageLimits, Picture, read_image
from irss_core.media.video import ClipLimits, ClipPart, ClipWriter, probe_clip, read_frames
from irss_core.progress import CancelToken
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.video import VideoUpscaler
from irss_core.upscaling import (
    ClipOptions,
    StillOptions,
    forecast_still,
    upscale_clip,
    upscale_picture,
    upscale_still,
)
from tests.tiny_models import baseline, noise_picture, tiny_frnet, tiny_srvgg

BICUBIC = ImageUpscaler(baseline())
TINY = ImageUpscaler(tiny_srvgg(), device="cpu", dtype="fp32")


def png(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Seven 20x16 frames with uneven times."""
    path = tmp_path / "in.mkv"
    with ClipWriter(path, width=20, height=16, fps=Fraction(25), crf=0) as writer:
        for index in range(7):
            writer.write(noise_picture(16, 20, seed=index), Fraction(index**2, 25))
    return path


def test_still_is_written_at_the_models_scale(tmp_path: Path) -> None:
    source, target = png(tmp_path / "in.png", noise_picture(6, 9)), tmp_path / "out.png"
    result = upscale_still(source, target, BICUBIC)
    assert np.array_equal(read_image(target).color, result.image)
    assert result.image.shape == (24, 36, 3)


def test_profile_and_orientation_go_along(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jpg", tmp_path / "out.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "Maker"
    Image.fromarray(noise_picture(8, 12)).save(source, exif=exif, icc_profile=b"\0" * 36 + b"acsp" + b"\0" * 88)
    upscale_still(source, target, BICUBIC)
    with Image.open(target) as out:
        assert out.size == (32, 48)
        assert out.getexif().get(0x0112, 1) == 1
        assert out.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("alpha", ["lanczos", "model"])
def test_transparency_is_upscaled_without_a_halo(alpha: str) -> None:
    inside = np.hypot(*(np.mgrid[0:24, 0:24] - 11.5)) < 8
    color = np.where(inside[..., None], (200, 30, 30), (0, 255, 0)).astype(np.uint8)  # green that must never show
    picture = Picture(color, np.where(inside, 255, 0).astype(np.uint8), None, None, "PNG")
    upscaler = BICUBIC if alpha == "lanczos" else TINY
    enlarged, _ = upscale_picture(picture, BICUBIC, options=StillOptions(alpha="lanczos"))
    assert enlarged.alpha is not None
    visible = enlarged.alpha > 0
    assert enlarged.color[visible][:, 1].max() < 60
    masked, _ = upscale_picture(picture, upscaler, options=StillOptions(alpha=alpha))  # type: ignore[arg-type]
    assert masked.alpha is not None
    assert masked.alpha.shape == (96, 96)


def test_alpha_by_the_model_differs_from_lanczos() -> None:
    picture = Picture(noise_picture(12, 12), noise_picture(12, 12, channels=1)[..., 0], None, None, "PNG")
    by_model, _ = upscale_picture(picture, TINY, options=StillOptions(alpha="model"))
    by_lanczos, _ = upscale_picture(picture, TINY)
    assert not np.array_equal(by_model.alpha, by_lanczos.alpha)


def test_sixteen_bit_file_stays_sixteen_bit(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    fine = noise_picture(10, 10, channels=1, dtype=np.uint16)[..., 0]
    Image.fromarray(fine).save(source)
    upscale_still(source, target, TINY)
    out = read_image(target).color
    assert out.dtype == np.uint16
    assert np.unique(out % 257).size > 50


def test_what_the_format_cannot_keep_is_said(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.jpg"
    Image.new("RGBA", (4, 4), (9, 9, 9, 100)).save(source)
    notes = upscale_still(source, target, BICUBIC).fallbacks
    assert len(notes) == 1
    assert "JPEG" in notes[0]


def test_existing_target_is_kept_and_nothing_is_computed(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="allow overwriting"):
        upscale_still(tmp_path / "absent.png", target, BICUBIC)
    assert target.read_bytes() == b"mine"


def test_overwriting_when_asked(tmp_path: Path) -> None:
    source, target = png(tmp_path / "in.png", noise_picture(4, 4)), tmp_path / "out.png"
    target.write_bytes(b"old")
    upscale_still(source, target, BICUBIC, overwrite=True)
    assert read_image(target).color.shape == (16, 16, 3)


def test_cancelled_work_leaves_no_file(tmp_path: Path, clip: Path) -> None:
    token = CancelToken()
    token.cancel()
    source = png(tmp_path / "in.png", noise_picture(4, 4))
    before = set(tmp_path.iterdir())
    with pytest.raises(CancelledError):
        upscale_still(source, tmp_path / "out.png", TINY, cancel=token)
    with pytest.raises(CancelledError):
        upscale_clip(clip, tmp_path / "out.mp4", VideoUpscaler.sharing(TINY), cancel=token)
    assert set(tmp_path.iterdir()) == before


def test_limits_are_passed_on(tmp_path: Path, clip: Path) -> None:
    source = png(tmp_path / "in.png", noise_picture(9, 9))
    with pytest.raises(LimitExceededError, match="IRSS_MAX_IMAGE_PIXELS"):
        upscale_still(source, tmp_path / "out.png", BICUBIC, limits=ImageLimits(max_pixels=80))
    with pytest.raises(LimitExceededError, match="IRSS_MAX_CLIP_SECONDS"):
        upscale_clip(clip, tmp_path / "o.mp4", VideoUpscaler.sharing(BICUBIC), limits=ClipLimits(max_seconds=0.1))


@pytest.mark.parametrize("upscaler", [VideoUpscaler.sharing(BICUBIC), VideoUpscaler(tiny_frnet(), dtype="fp32")])
def test_clip_keeps_every_frame_and_its_time(tmp_path: Path, clip: Path, upscaler: VideoUpscaler) -> None:
    target = tmp_path / "out.mkv"
    report = upscale_clip(clip, target, upscaler, options=ClipOptions(outscale=2))
    assert report.frames == 7
    info = probe_clip(target)
    assert (info.width, info.height) == (40, 32)
    times = [frame.pts_s for frame in read_frames(clip)]
    assert [frame.pts_s for frame in read_frames(target)] == times
    assert times[3] > 2 * times[2]  # uneven indeed


def test_part_of_a_clip_begins_at_zero_and_goes_to_every_target(tmp_path: Path, clip: Path) -> None:
    targets = tmp_path / "out.mkv", tmp_path / "out.gif"
    options = ClipOptions(outscale=1, part=ClipPart(start_s=0.16, length_s=0.6))  # frames at 4/25, 9/25 and 16/25
    report = upscale_clip(clip, targets[0], VideoUpscaler.sharing(BICUBIC), also=targets[1:], options=options)
    assert report.frames == 3
    assert [frame.pts_s for frame in read_frames(targets[0])] == [0, Fraction(5, 25), Fraction(12, 25)]
    assert len(list(read_frames(targets[1]))) == 3


def test_one_failing_target_leaves_none(tmp_path: Path, clip: Path) -> None:
    targets = tmp_path / "out.mkv", tmp_path / "absent" / "out.mp4"
    before = set(tmp_path.iterdir())
    with pytest.raises(IrssError):
        upscale_clip(clip, targets[0], VideoUpscaler.sharing(BICUBIC), also=targets[1:])
    assert set(tmp_path.iterdir()) == before


def test_truncated_clip_is_an_error_and_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(CorruptMediaError):
        upscale_clip(broken, tmp_path / "out.mp4", VideoUpscaler.sharing(BICUBIC))
    assert not (tmp_path / "out.mp4").exists()


def test_forecast_grows_with_the_pixels_and_says_what_it_rests_on() -> None:
    result = TINY(noise_picture(32, 32))
    small = forecast_still(TINY, 32, 32, measured=(result, 32 * 32))
    large = forecast_still(TINY, 320, 320, measured=(result, 32 * 32))
    assert small.seconds == pytest.approx(result.seconds)
    assert large.seconds == pytest.approx(100 * result.seconds)
    assert large.memory_bytes > small.memory_bytes
    assert "1024 pixels took" in large.basis


def test_forecast_without_a_measurement_makes_one() -> None:
    assert forecast_still(TINY, 640, 480).seconds > 0
