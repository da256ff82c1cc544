"""``irss`` as a process: what a shell, a script and a person at a keyboard get from it. Models without weights only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a good picture, another in a subfolder, and a damaged one."""
    pictures = tmp_path / "pictures"
    (pictures / "deep").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(pictures / "Ωmega photo.png")
    Image.fromarray(pixels[:, ::-1]).save(pictures / "deep" / "b.jpg")
    (pictures / "bad.png").write_bytes((pictures / "Ωmega photo.png").read_bytes()[:200])
    return tmp_path


def environment(here: Path, **extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IRSS_", "PYTHONIO"))}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    folders = {"IRSS_CACHE_DIR": str(here / "cache"), "IRSS_DATA_DIR": str(here / "data")}
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | folders | extra


def irss(*arguments: str | bytes, here: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "irss_core.cli", *arguments],
        cwd=here,
        env=environment(here, **extra),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=120,
        check=False,
    )


def test_a_folder_is_done_with_its_structure_and_the_bad_file_told(here):
    done = irss("upscale", "pictures", "-r", "-o", "pictures/out", "-m", "bicubic", here=here)
    assert done.returncode == 1, done.stderr
    made = sorted(path.relative_to(here).as_posix() for path in (here / "pictures/out").rglob("*") if path.is_file())
    assert made == ["pictures/out/deep/b_x4.png", "pictures/out/Ωmega photo_x4.png"]
    assert all(Image.open(here / path).size == (128, 96) for path in made)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("irss: pictures/bad.png: ")
    assert "2 of 3 done" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr

    again = irss("upscale", "pictures", "-r", "-o", "pictures/out", "-m", "bicubic", here=here)
    assert again.returncode == 1
    assert "0 of 3 done" in again.stdout
    assert "2 skipped" in again.stdout
    assert len(list((here / "pictures/out").rglob("*.png"))) == 2


def test_a_quoted_pattern_and_a_file_as_output(here):
    done = irss("upscale", "pict*/**/b.*", "-o", "large.webp", "-m", "lanczos", "-s", "1.5", here=here)
    assert done.returncode == 0, done.stderr
    assert Image.open(here / "large.webp").size == (48, 36)


def test_names_that_the_output_encoding_lacks_are_escaped(here):
    name = b"pictures/caf\xe9 \xce\xa9.png"
    (here / "pictures/Ωmega photo.png").rename(here / os.fsdecode(name))
    done = irss("upscale", name, "-o", "out", "-m", "bicubic", here=here, PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 0, done.stderr
    assert len(list((here / "out").iterdir())) == 1
    assert r"caf\xe9" in done.stdout


def test_a_comparison_is_made_and_told(here):
    done = irss("compare", "pictures/Ωmega photo.png", "-m", "bicubic", "-m", "lanczos", "--centre", "16", here=here)
    assert done.returncode == 0, done.stderr
    assert Image.open(here / "Ωmega photo_compare.png").width > 3 * 64
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:2]] == ["Bicubic", "Lanczos"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process")
def test_ctrl_c_ends_with_130_and_leaves_no_partial_file(here):
    frames = [Image.fromarray(np.full((48, 64, 3), value % 250, np.uint8)) for value in range(0, 6300, 7)]
    frames[0].save(here / "long.gif", save_all=True, append_images=frames[1:], duration=20)
    process = subprocess.Popen(
        [sys.executable, "-m", "irss_core.cli", "upscale", "long.gif", "-o", "out", "-m", "lanczos"],
        cwd=here,
        env=environment(here),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any((here / "out").glob("*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert list((here / "out").iterdir()) == []
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["models"], ["upscale", "--help"], ["models", "--help"]]
)
def test_what_needs_no_model_never_loads_torch(here, arguments):
    code = (
        "import sys; from irss_core.cli import main; status = main(sys.argv[1:]);"
        "sys.exit(3 if {'torch', 'gradio'} & set(sys.modules) else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=here, env=environment(here), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_usage_errors_are_one_line_and_status_2(here):
    done = irss("upscale", "a.png", here=here)
    assert done.returncode == 2
    assert done.stderr == "irss: Missing option '--output' / '-o'. (try: irss upscale --help)\n"


def test_a_reader_that_stops_reading_is_no_crash(here):
    process = subprocess.Popen(
        [sys.executable, "-m", "irss_core.cli", "models", "--json"],
        cwd=here,
        env=environment(here),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=30)
    process.stderr.close()


def test_doctor_says_what_works_here(here):
    done = irss("doctor", here=here, IRSS_PORT="0" if os.name == "nt" else "7861")
    assert done.returncode in {0, 1}
    names = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("ok", "warn", "fail"))]
    assert {"python", "torch", "device", "precision", "memory", "cache", "disk", "weights", "clips", "port"} <= set(
        names
    )
