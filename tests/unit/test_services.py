"""Services: models kept ready, own checkpoints private, one inference at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr
from safetensors.torch import save_file

from irss_core.config import Settings
from irss_core.errors import InvalidOptionError, UnknownModelError, UnsupportedCheckpointError
from irss_core.services import Services, build_services
from irss_core.sr.catalog import MODELS
from tests.tiny_models import noise_picture, tiny_rrdbnet


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return build_services(Settings(cache_dir=tmp_path, offline=True, memory_limit_mb=512))


def test_a_model_is_loaded_once_and_reused(services: Services) -> None:
    upscaler = services.image_upscaler("bicubic")
    assert services.image_upscaler("bicubic") is upscaler
    assert services.video_upscaler("bicubic").image_upscaler is upscaler


def test_unknown_model_names_the_known_ones(services: Services) -> None:
    with pytest.raises(UnknownModelError, match="realesrgan-x4plus"):
        services.image_upscaler("esrgan9000")


def test_denoise_on_a_model_without_it_is_refused(services: Services) -> None:
    with pytest.raises(InvalidOptionError):
        services.image_upscaler("realesr-animevideov3", denoise=0.5)


def test_own_checkpoint_runs_under_a_name_nobody_can_guess(services: Services, tmp_path: Path) -> None:
    network = tiny_rrdbnet().network
    path = tmp_path / "mine.safetensors"
    save_file(network.state_dict(), path)
    first, second = services.add_checkpoint(path), services.add_checkpoint(path)
    assert first.name.startswith("own:")
    assert first.name != second.name
    assert len(first.name) > 30
    assert services.image_upscaler(first.name)(noise_picture(5, 5)).image.shape == (20, 20, 3)
    assert first.name not in MODELS


def test_own_checkpoint_no_longer_kept_says_so(services: Services) -> None:
    with pytest.raises(UnknownModelError, match="Load its file again"):
        services.image_upscaler("own:0123")


def test_what_is_no_checkpoint_is_refused(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "notes.pth"
    path.write_text("hello")
    with pytest.raises(UnsupportedCheckpointError):
        services.add_checkpoint(path)


def test_one_inference_at_a_time(services: Services) -> None:
    entered = threading.Event()

    def other() -> None:
        with services.inference_slot():
            entered.set()

    with services.inference_slot():
        thread = threading.Thread(target=other)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(5)
    thread.join()


def test_the_jobs_are_opened_once_at_the_first_call(tmp_path: Path) -> None:
    services = build_services(Settings(data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(services.jobs)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o077 == 0


def test_mails_go_to_the_server_that_is_set_else_to_a_folder(tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path, "smtp_password": SecretStr("secret")}
    assert type(build_services(Settings(**settings)).jobs.mailer).__name__ == "OutboxFolder"
    assert type(build_services(Settings(**settings, smtp_host="mail.example.org")).jobs.mailer).__name__ == "SmtpMailer"


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, max_batch_files=7, keep_inputs_days=1.5)
    limits = build_services(settings).jobs.limits
    assert (limits.max_files, limits.keep_inputs_s) == (7, 1.5 * 86_400)


def test_a_worker_without_work_does_not_load_torch(tmp_path: Path) -> None:
    code = (
        "import sys, threading; from irss_core.config import Settings; "
        "from irss_core.services import build_services, build_worker; "
        f"build_worker(build_services(Settings(data_dir={str(tmp_path)!r}))).run_until_idle(threading.Event()); "
        "sys.exit('torch' in sys.modules or 'fastapi' in sys.modules or 'gradio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LIGHT = (
    "errors",
    "config",
    "progress",
    "sr.catalog",
    "sr.tiling",
    "media.images",
    "media.video",
    "services",
    "local_jobs",
    "cli",
)


@pytest.mark.parametrize("module", LIGHT)
def test_what_a_lambda_needs_does_not_load_torch(module: str) -> None:
    code = f"import sys, irss_core.{module}; sys.exit('torch' in sys.modules or 'gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
