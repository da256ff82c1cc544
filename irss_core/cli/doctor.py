"""``irss doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from irss_core.cli.console import Console
from irss_core.cli.invocation import invocation_of, load_settings
from irss_core.cli.options import AsJson
from irss_core.errors import IrssError
from irss_core.sr.catalog import MODELS
from irss_core.words import size_words

if TYPE_CHECKING:
    from irss_core.config import Settings
    from irss_core.sr.weights import WeightsStatus

Status = Literal["ok", "warn", "fail"]

_LEAST_FREE_MEMORY = 2_000_000_000
_LEAST_FREE_DISK = 500_000_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Check:
    """One finding: "ok", "warn" (something is missing that some need) or "fail" (nothing much works without it)."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check what works on this machine.

    Everything that does not work comes with what to do about it. Exit status 1 if something essential is broken;
    a "warn" is something that only some need.
    """
    checks = list(examine(load_settings()))
    console = invocation_of(context).console
    if as_json:
        console.block(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _tell(checks, console)
    raise typer.Exit(1 if any(check.status == "fail" for check in checks) else 0)


def examine(settings: Settings) -> Iterator[Check]:
    """Yield every check of this machine with these settings, the most basic ones first."""
    yield check_python(sys.version_info[:3])
    yield from _check_engine(settings)
    yield from check_cache(settings.cache_dir)
    yield from _check_weights(settings)
    yield from _check_media()
    yield from _check_metrics(settings)
    yield check_browser([name for name in _BROWSERS if shutil.which(name)])
    yield check_port(settings.listen_host, settings.port)


def check_python(version: tuple[int, ...]) -> Check:
    """Return whether this Python will do."""
    found = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < (3, 11):
        return Check("python", "fail", found, "Install Python 3.11 or 3.12 and make the environment anew.")
    if version >= (3, 13):
        remedy = "The package that carries the weights has no build for it: use 3.11 or 3.12, or `irss models fetch`."
        return Check("python", "warn", found, remedy)
    return Check("python", "ok", found)


def check_device(device: str, name: str, *, gpu_here: bool) -> Check:
    """Return what the models run on; a GPU that torch cannot use is worth knowing about."""
    found = f"{device}: {name}"
    if gpu_here and device == "cpu":
        remedy = (
            "There is an NVIDIA GPU, but this torch or this setting does not use it: the README says how to get one."
        )
        return Check("device", "warn", found, remedy)
    return Check("device", "ok", found)


def check_memory(free_bytes: int, total_bytes: int) -> Check:
    """Return whether there is memory to work in."""
    found = f"{size_words(free_bytes)} free of {size_words(total_bytes)}"
    if free_bytes < _LEAST_FREE_MEMORY:
        return Check("memory", "warn", found, "Close other programs, or use small tiles: irss upscale --tile 128.")
    return Check("memory", "ok", found)


def check_cache(cache_dir: Path) -> Iterator[Check]:
    """Yield whether weights can be kept in the cache folder, which need not be there yet."""
    place = cache_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    elsewhere = "Set IRSS_CACHE_DIR to a folder you may write to."
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        yield Check("cache folder", "fail", f"{cache_dir} cannot be written to: {error.strerror}", elsewhere)
        return
    yield Check("cache folder", "ok", f"{cache_dir}" + ("" if place == cache_dir else " (made when first needed)"))
    free = shutil.disk_usage(place).free
    if free < _LEAST_FREE_DISK:
        yield Check("disk", "warn", f"{size_words(free)} free for the cache", f"Free some space. {elsewhere}")
    else:
        yield Check("disk", "ok", f"{size_words(free)} free for the cache")


def check_weights(statuses: dict[str, WeightsStatus]) -> Iterator[Check]:
    """Yield whether each model's weights are here; only when none is, nothing can be shown."""
    none_at_all = not any(status.available for status in statuses.values())
    for name, status in statuses.items():
        label = f"weights of {name}"
        length = f" ({size_words(status.size_bytes)})" if status.size_bytes else ""
        if status.available:
            yield Check(label, "ok", f"{status.where}{length}")
        else:
            yield Check(label, "fail" if none_at_all else "warn", status.where, f"irss models fetch {name}{length}")


def check_browser(found: list[str]) -> Check:
    """Return whether there is a Chromium, which only the project's own browser tests need."""
    if found:
        return Check("chromium", "ok", f"{found[0]} (for the browser tests)")
    return Check("chromium", "warn", "not here", "Only the project's browser tests need it: apt install chromium.")


def check_port(host: str, port: int) -> Check:
    """Return whether the app could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    remedy = "If the app does not run there already, choose another port: irss serve --port 7861, or IRSS_PORT."
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # elsewhere this option would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Check("port", "warn", f"{host}:{port} cannot be used: {error.strerror}", remedy)
    return Check("port", "ok", f"{host}:{port} is free")


def _check_engine(settings: Settings) -> Iterator[Check]:
    if importlib.util.find_spec("torch") is None:
        yield Check("torch", "fail", "not installed", "pip install -r requirements.txt")
        return
    try:
        from irss_core.sr.device import machine_report
    except (ImportError, OSError) as error:  # a torch built for another machine fails in its own libraries
        yield Check("torch", "fail", f"cannot be loaded: {error}", "pip install --force-reinstall -r requirements.txt")
        return
    yield Check("torch", "ok", importlib.metadata.version("torch"))
    try:
        machine = machine_report(settings.device, settings.dtype)
    except IrssError as error:
        yield Check("device", "fail", str(error), "Change --device or IRSS_DEVICE, --dtype or IRSS_DTYPE.")
        return
    yield check_device(machine.device, machine.device_name, gpu_here=shutil.which("nvidia-smi") is not None)
    yield Check("threads", "ok", str(machine.threads))
    yield Check("precision", "ok", f"{machine.dtype}: {machine.dtype_reason}")
    yield check_memory(machine.memory_free_bytes, machine.memory_total_bytes)


def _check_weights(settings: Settings) -> Iterator[Check]:
    from irss_core.sr.weights import weights_status

    yield from check_weights(
        {name: weights_status(spec, cache_dir=settings.cache_dir) for name, spec in MODELS.items() if spec.files}
    )


def _check_media() -> Iterator[Check]:
    import av
    import PIL
    from PIL import features

    reinstall = "pip install --force-reinstall --no-deps"
    if "libx264" in av.codecs_available:
        yield Check("clips", "ok", f"PyAV {av.__version__} encodes H.264")
    else:
        yield Check("clips", "fail", f"PyAV {av.__version__} has no H.264 encoder", f"{reinstall} av")
    for feature in ("webp", "avif", "littlecms2", "freetype2"):
        label, pillow = f"Pillow's {feature}", f"Pillow {PIL.__version__}"
        if features.check(feature):
            yield Check(label, "ok", f"in {pillow}")
        else:
            yield Check(label, "warn", f"not in this build of {pillow}", f"{reinstall} Pillow")


def _check_metrics(settings: Settings) -> Iterator[Check]:
    from irss_core.metrics.opencv import opencv

    try:
        yield Check("metrics", "ok", f"OpenCV {opencv().__version__}")
    except IrssError as error:
        yield Check("metrics", "warn", str(error), "Only SSIM and what is measured over time need it.")
    from irss_core.metrics.perceptual_weights import missing_words

    for net in ("alex", "squeeze", "vgg", "stlpips"):
        missing = missing_words(net, cache_dir=settings.cache_dir)
        label = "ST-LPIPS" if net == "stlpips" else f"LPIPS {net}"
        yield Check(label, "warn", "weights not here", missing) if missing else Check(label, "ok", "weights are here")


def _tell(checks: list[Check], console: Console) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        console.result(f"{check.status:<4}  {check.name:<{width}}  {check.found}")
        if check.remedy:
            console.result(f"{'':<4}  {'':<{width}}  -> {check.remedy}")
    broken = sum(check.status == "fail" for check in checks)
    lacking = sum(check.status == "warn" for check in checks)
    console.result(
        f"{len(checks)} checks: {broken} broken, {lacking} to know about, {len(checks) - broken - lacking} fine"
    )
