"""Comparing two models on a picture: files, sizes, forecasts, scores. Baselines stand in for networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irss_core.config import Settings
from irss_core.errors import CancelledError, InputError
from irss_core.progress import CancelToken
from irss_core.services import Services, build_services
from irss_core.ui import stills
from irss_core.ui.requests import LargeStill, Region, StillRequest
from irss_core.ui.running import Board
from irss_core.ui.stills import StillComparison, compare_still, score


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return build_services(Settings(cache_dir=tmp_path / "cache", offline=True))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng = np.random.default_rng(7)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = tmp_path / "été à la mer.jpg"
    Image.fromarray(small).resize((40, 30), Image.Resampling.BICUBIC).save(path, quality=95)
    return path


def request_for(path: Path, **changes: object) -> StillRequest:
    asked = StillRequest(path, ("bicubic", "lanczos"), ("Bicubic", "Lanczos"), outscale=2.0)
    return replace(asked, **changes)  # type: ignore[arg-type]


def run(
    asked: StillRequest, services: Services, tmp_path: Path, *, cancel: CancelToken | None = None
) -> StillComparison | LargeStill:
    folder = tmp_path / "results"
    folder.mkdir(exist_ok=True)
    return compare_still(asked, services, folder, board=Board(asked.steps), cancel=cancel or CancelToken())


def compared(asked: StillRequest, services: Services, tmp_path: Path) -> StillComparison:
    made = run(asked, services, tmp_path)
    assert isinstance(made, StillComparison)
    return made


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_both_results_and_the_baseline_have_one_size(services: Services, picture: Path, tmp_path: Path) -> None:
    made = compared(request_for(picture), services, tmp_path)
    shown = [made.bicubic_shown, *(run.shown for run in made.runs)]
    assert {size_of(path) for path in shown} == {(80, 60)} == {(made.width, made.height)}
    assert size_of(made.input_shown) == (40, 30)
    assert size_of(made.difference) == (80, 60)


def test_what_was_invented_lights_up_where_it_was(
    services: Services, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = stills.upscale_picture

    def inventing(part, upscaler, **options):  # type: ignore[no-untyped-def]
        enlarged, facts = honest(part, upscaler, **options)
        if upscaler.model.name == "lanczos":
            color = enlarged.color.copy()
            color[20:40, 40:60] = 255 - color[20:40, 40:60] // 4
            enlarged = replace(enlarged, color=color)
        return enlarged, facts

    monkeypatch.setattr(stills, "upscale_picture", inventing)
    made = compared(request_for(picture), services, tmp_path)
    bicubic, lanczos = made.invented
    assert bicubic.consistency_db > 30 > lanczos.consistency_db
    with Image.open(lanczos.shown) as image:
        overlay = np.asarray(image).astype(int)
    assert overlay.shape == (60, 80, 3)
    colorful = np.ptp(overlay, axis=2)
    assert colorful[24:36, 44:56].mean() > 80, "the colours of the heat scale"
    assert colorful[:12].mean() < 40, "the picture, dim and grey"


@pytest.mark.parametrize(("outscale", "count", "in_db"), [(2.5, 2, False), (0.5, 0, False), (3.0, 2, True)])
def test_what_was_invented_at_odd_scales(
    services: Services, picture: Path, tmp_path: Path, outscale: float, count: int, in_db: bool
) -> None:
    made = compared(request_for(picture, outscale=outscale), services, tmp_path)
    assert len(made.invented) == count
    assert all((each.consistency_db is not None) == in_db for each in made.invented)


def test_results_come_as_png_and_in_the_format_of_the_input(services: Services, picture: Path, tmp_path: Path) -> None:
    made = compared(request_for(picture), services, tmp_path)
    assert [path.name for path in made.runs[1].files] == ["été-à-la-mer_lanczos_x2.png", "été-à-la-mer_lanczos_x2.jpg"]
    with Image.open(made.runs[1].files[1]) as image:
        assert image.format == "JPEG"


def test_a_region_is_cut_out_and_the_whole_is_forecast(services: Services, picture: Path, tmp_path: Path) -> None:
    made = compared(request_for(picture, region=Region(4, 6, 20, 10)), services, tmp_path)
    assert (made.width, made.height) == (40, 20)
    with Image.open(picture) as image, Image.open(made.input_shown) as part:
        assert np.array_equal(np.asarray(image)[6:16, 4:24], np.asarray(part))
    assert made.whole_forecast is not None
    rate = sum(run.facts.seconds for run in made.runs) / (20 * 10)
    assert made.whole_forecast.seconds == pytest.approx(rate * 40 * 30)


def test_a_region_of_everything_needs_no_forecast(services: Services, picture: Path, tmp_path: Path) -> None:
    assert compared(request_for(picture, region=Region(0, 0, 40, 30)), services, tmp_path).whole_forecast is None


def test_without_a_scale_the_larger_of_the_models_own_is_taken(
    services: Services, picture: Path, tmp_path: Path
) -> None:
    made = compared(request_for(picture, outscale=None), services, tmp_path)
    assert (made.outscale, made.width) == (4.0, 160)


def test_one_model_against_itself_differs_nowhere(services: Services, picture: Path, tmp_path: Path) -> None:
    asked = request_for(picture, models=("lanczos", "lanczos"), titles=("Lanczos", "Lanczos"))
    made = compared(asked, services, tmp_path)
    assert made.differing_percent == 0
    assert made.runs[0].files[0] != made.runs[1].files[0]


def test_long_work_is_asked_about_first_and_done_when_confirmed(
    services: Services, picture: Path, tmp_path: Path
) -> None:
    services.settings.large_work_seconds = 1e-9
    large = run(request_for(picture), services, tmp_path)
    assert isinstance(large, LargeStill)
    assert large.seconds > 0
    assert isinstance(run(replace(large.request, confirmed=True), services, tmp_path), StillComparison)


def test_a_region_is_never_asked_about(services: Services, picture: Path, tmp_path: Path) -> None:
    services.settings.large_work_seconds = 1e-9
    compared(request_for(picture, region=Region(0, 0, 9, 9)), services, tmp_path)


def test_a_cancel_stops_before_anything_is_written(services: Services, picture: Path, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        run(request_for(picture), services, tmp_path, cancel=cancel)
    assert list((tmp_path / "results").iterdir()) == []


def test_results_too_large_for_a_browser_are_shown_reduced_but_kept_whole(
    services: Services, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stills, "VIEWER_PIXELS", 1000)
    made = compared(request_for(picture), services, tmp_path)
    width, height = size_of(made.runs[0].shown)
    assert made.reduced
    assert width * height <= 1000
    assert size_of(made.runs[0].files[0]) == (80, 60)


def test_transparency_and_sixteen_bits_survive(services: Services, tmp_path: Path) -> None:
    source = tmp_path / "glass.png"
    Image.fromarray(np.full((8, 8, 4), (200, 40, 40, 128), np.uint8)).save(source)
    made = compared(request_for(source), services, tmp_path)
    with Image.open(made.runs[0].files[0]) as image:
        assert image.mode == "RGBA"
        assert np.asarray(image)[8, 8].tolist() == [200, 40, 40, 128]


def test_the_score_of_the_truth_itself_is_perfect(services: Services, picture: Path, tmp_path: Path) -> None:
    made = compared(request_for(picture), services, tmp_path)
    bicubic, first, second = score(made, made.runs[1].files[0], services)
    assert second.psnr_db == float("inf")
    assert second.ssim == pytest.approx(1.0)
    assert first == replace(bicubic, title="Bicubic")  # model A is the baseline here
    assert 10 < first.psnr_db < 60


def test_a_region_is_scored_against_its_place_in_a_whole_original(
    services: Services, picture: Path, tmp_path: Path
) -> None:
    part = compared(request_for(picture, region=Region(8, 6, 24, 18)), services, tmp_path)
    truth = tmp_path / "truth.png"
    pixels = np.zeros((60, 80, 3), np.uint8)
    with Image.open(part.runs[1].files[0]) as image:
        pixels[12:48, 16:64] = np.asarray(image)
    Image.fromarray(pixels).save(truth)
    assert score(part, truth, services)[2].psnr_db == float("inf")


def test_an_original_of_another_size_is_refused_with_both_sizes(
    services: Services, picture: Path, tmp_path: Path
) -> None:
    made = compared(request_for(picture), services, tmp_path)
    with pytest.raises(InputError, match=r"40 x 30 pixels, the results are 80 x 60"):
        score(made, picture, services)
