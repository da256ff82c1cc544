"""The README says what is so: its commands exist, its code runs, its tables are those of the program."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image

from irss_core.cli.root import app as command_line
from irss_core.config import Settings
from irss_core.media.video import ClipWriter
from irss_core.sr.catalog import MODELS
from tests.unit.test_packaging import ROOT, requirements

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a second-level heading, without its head."""
    section = re.split(r"^## ", README, flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith(heading + "\n"))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


# Hugging Face Spaces


@pytest.fixture(scope="module")
def front_matter() -> dict[str, str]:
    """The fields of one value each, as they are written."""
    _, block, _ = README.split("---\n", 2)
    return dict(re.findall(r"^(\w+): (.+)$", block, re.MULTILINE))


def test_front_matter_is_what_spaces_accepts(front_matter: dict[str, str]) -> None:
    assert README.startswith("---\n")
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= colors
    assert front_matter["sdk"] == "gradio"
    assert (ROOT / front_matter["app_file"]).exists()
    assert front_matter["python_version"] == '"3.11"', "in quotes: YAML would read 3.10 as the number 3.1"
    assert len(front_matter["short_description"]) <= 60, "the Hub refuses a longer one"
    assert front_matter["license"] == "apache-2.0"


def test_space_runs_the_pinned_gradio(front_matter: dict[str, str]) -> None:
    assert str(requirements("requirements.txt")["gradio"].specifier) == f"=={front_matter['sdk_version']}"


# Commands


def irss_commands() -> list[str]:
    """Every `irss` line of every page for users."""
    pages = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    return [line for page in pages for line in re.findall(r"^(?:\$ )?(irss .*)$", page, re.MULTILINE)]


def test_readme_shows_every_command_of_irss() -> None:
    shown = {shlex.split(line)[1] for line in irss_commands()}
    assert shown == set(typer.main.get_command(command_line).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", irss_commands())
def test_command_line_understands(line: str) -> None:
    command: Any = typer.main.get_command(command_line)
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or command.invoke_without_command, f"{line!r} names no command"
    assert words or not any(parameter.required for parameter in command.params)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known | {"--help"}
    models = {value for option, value in itertools.pairwise(words) if option in ("-m", "--model")}
    assert {name for name in models if not name.endswith((".pth", ".safetensors"))} <= MODELS.keys()


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = README + (ROOT / "CONTRIBUTING.md").read_text()
    shown = set(re.findall(r"(?:^|`)make ([a-z-]+)", pages, re.MULTILINE))
    assert {"demo", "test", "install", "clean"} <= shown <= targets


def test_torch_shown_is_the_one_pinned() -> None:
    pages = README + (ROOT / "requirements.txt").read_text()
    assert set(re.findall(r"torch==[\d.]+\d", pages)) == {str(requirements("requirements.txt")["torch"])}


def test_every_relative_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        missing = [link for link in links if not (page.parent / link).exists()]
        assert not missing, f"{page.relative_to(ROOT)} points to what is not there"


# Tables


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {row[0]: row[1] for row in table("Settings")}
    names = {name for cell in documented for name in re.findall(r"`(IRSS_\w+)`", cell)}
    fields = {
        f"IRSS_{name.upper()}": field
        for name, field in Settings.model_fields.items()
        if name not in ("space_id", "ecs_agent_uri")
    }
    assert names == fields.keys()
    for cell, shown in documented.items():
        default = fields[re.findall(r"IRSS_\w+", cell)[0]].default
        if isinstance(default, str | int | float):
            assert shown.lower() == str(default).lower(), f"{cell} is documented as {shown}, the default is {default}"


def test_documented_variables_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"`(IRSS_\w+)`", README):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IRSS_MAX_IMAGE_SIDE", "99")
    monkeypatch.setenv("PORT", "8123")
    settings = Settings()
    assert (settings.max_image_side, settings.port) == (99, 8123)


def test_model_table_is_the_catalog() -> None:
    def origin(name: str) -> str:
        files = MODELS[name].files
        if not files:
            return "none"
        if files[0].vendored:
            return "shipped"
        return "package" if files[0].ncnn else "download"

    shown = [(row[0].strip("`"), row[1], row[2], row[4], row[5]) for row in table("Models")]
    assert shown == [(s.name, s.kind, str(s.scale), origin(s.name), s.licence) for s in MODELS.values()]


# Code


@pytest.fixture
def desk(tmp_path: Path, weights_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with what the README's code reads, small."""
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(tmp_path / "photo.jpg")
    with ClipWriter(tmp_path / "clip.mp4", width=32, height=16, fps=Fraction(10)) as writer:
        for index in range(3):
            writer.write(rng.integers(0, 256, (16, 32, 3), np.uint8), Fraction(index, 10))
    own = {"params": {f"body.{k}.{name}": tensor for k, name, tensor in compact_network()}}
    torch.save(own, tmp_path / "my_esrgan.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRSS_CACHE_DIR", str(weights_cache))
    monkeypatch.setenv("IRSS_OFFLINE", "1")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "downloads"))
    return tmp_path


def compact_network() -> Iterator[tuple[int, str, torch.Tensor]]:
    """The smallest network that loads: SRVGGNetCompact, x2, one layer of 64."""
    generator = torch.Generator().manual_seed(1)
    for index, (inputs, outputs) in enumerate([(3, 64), (64, 64), (64, 12)]):
        yield 2 * index, "weight", torch.randn(outputs, inputs, 3, 3, generator=generator) / 30
        yield 2 * index, "bias", torch.zeros(outputs)
        if outputs == 64:
            yield 2 * index + 1, "weight", torch.full((64,), 0.25)


@pytest.mark.parametrize("code", [code for code in blocks("python") if "gradio_client" not in code])
def test_python_shown_runs(code: str, desk: Path) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    results = re.findall(r'"(\w+_\w+\.(?:png|jpg|mp4))"', code)
    assert results, "each example makes something"
    assert not [name for name in results if not (desk / name).exists()]


@pytest.fixture
def address(desk: Path) -> Iterator[str]:
    """The address of the app, running."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {"IRSS_PORT": str(port), "IRSS_HOST": "127.0.0.1", "TMPDIR": str(desk)}
    log = (desk / "app.log").open("w")
    server = subprocess.Popen([sys.executable, ROOT / "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except (urllib.error.URLError, TimeoutError):
                assert server.poll() is None, (desk / "app.log").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def test_http_and_mcp_calls_shown_work(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (code for code in blocks("python") if "gradio_client" in code)
    exec(compile(code.replace("http://127.0.0.1:7860", address), "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    assert "photo_realesrgan-x4plus" in printed
    assert "'tecogan-x4'" in printed

    (configuration,) = (json.loads(block) for block in blocks("json"))
    url = configuration["mcpServers"]["irss"]["url"].replace("http://127.0.0.1:7860", address)
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with urllib.request.urlopen(urllib.request.Request(url, question, accepted), timeout=20) as answer:
        text = answer.read().decode()
    tools = json.loads(text[text.index("{") :])["result"]["tools"]
    assert {"upscale", "compare", "models"} <= {tool["name"] for tool in tools}
