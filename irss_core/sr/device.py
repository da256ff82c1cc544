"""What this machine computes on, and in which precision it does best."""

from __future__ import annotations

import functools
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import nn

from irss_core.errors import InvalidOptionError

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DTYPE_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}

# bf16 must win by this much on the probe, or its rounding buys nothing.
_BF16_WORTH = 1.15


@dataclass(frozen=True)
class MachineReport:
    """What a run will use here, and why; for a person to read."""

    device: str
    device_name: str
    dtype: str
    dtype_reason: str
    threads: int
    memory_total_bytes: int
    memory_free_bytes: int
    torch_version: str


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is the first of CUDA, MPS and CPU that is there.

    Raises:
        InvalidOptionError: the name is unknown, or the device is not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidOptionError(f"Device {name!r} is unknown. Use auto, cpu, cuda, cuda:N or mps.") from None
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise InvalidOptionError(f"Device {name!r} is not on this machine. Use auto, or cpu, which is always there.")
    return device


def choose_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the dtype of that name; "auto" is the fastest one whose results are as good on 8-bit pictures.

    Raises:
        InvalidOptionError: the name is not auto, fp32, bf16 or fp16.
    """
    if name == "auto":
        return _best_dtype(device.type)[0]
    try:
        return DTYPES[name]
    except KeyError:
        raise InvalidOptionError(f"Precision {name!r} is unknown. Use auto, {', '.join(DTYPES)}.") from None


def has_native_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX512-BF16, AMX or Arm's BF16 extension)."""
    flags = _cpu_flags()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def prepare_network(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return the network on the device, in the dtype and in channels-last layout, ready for inference."""
    return network.to(device=device, dtype=dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def synchronize(device: torch.device) -> None:
    """Return once the device has finished all work queued on it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def free_memory_bytes(device: torch.device) -> int:
    """Return the memory a new run may still take on the device, a container's own limit included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(int(psutil.virtual_memory().available), _container_free_bytes())


def machine_report(device_name: str = "auto", dtype_name: str = "auto") -> MachineReport:
    """Return what a run with these settings uses here, and why."""
    device = choose_device(device_name)
    dtype = choose_dtype(device, dtype_name)
    reason = _best_dtype(device.type)[1] if dtype_name == "auto" else "set by the user"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        label, total = properties.name, properties.total_memory
    else:
        label, total = _cpu_name(), psutil.virtual_memory().total
    return MachineReport(
        device=str(device),
        device_name=label,
        dtype=DTYPE_NAMES[dtype],
        dtype_reason=reason,
        threads=torch.get_num_threads(),
        memory_total_bytes=total,
        memory_free_bytes=free_memory_bytes(device),
        torch_version=torch.__version__,
    )


@functools.cache
def _best_dtype(device_type: str) -> tuple[torch.dtype, str]:
    if device_type == "cuda":
        return torch.float16, "CUDA devices run fp16 on tensor cores"
    if device_type != "cpu":
        return torch.float32, f"fp32 is what {device_type} runs without surprises"
    if not has_native_bf16():
        return torch.float32, "this CPU has no bf16 instructions"
    gain = _probe_seconds(torch.float32) / _probe_seconds(torch.bfloat16)
    if gain < _BF16_WORTH:
        return torch.float32, f"this CPU has bf16 instructions, but they measured only {gain:.2f} times fp32's speed"
    return torch.bfloat16, f"this CPU has bf16 instructions, measured {gain:.1f} times as fast as fp32"


def _probe_seconds(dtype: torch.dtype) -> float:
    """Return the best of three timings of a convolution shaped as the networks' are."""
    with torch.inference_mode():
        conv = prepare_network(nn.Conv2d(64, 64, 3, padding=1), torch.device("cpu"), dtype)
        x = torch.rand(1, 64, 96, 96).to(dtype=dtype, memory_format=torch.channels_last)
        conv(x)
        timings = []
        for _ in range(3):
            started = time.perf_counter()
            conv(x)
            timings.append(time.perf_counter() - started)
    return min(timings)


@functools.cache
def _cpu_flags() -> frozenset[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                return frozenset(line.split(":", 1)[1].split())
    flags = set()
    if torch.cpu._is_avx512_bf16_supported():
        flags.add("avx512_bf16")
    return frozenset(flags)


@functools.cache
def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _container_free_bytes() -> int:
    """Return what the container's limit (cgroup v2) leaves, or a number too large to matter."""
    unlimited = 1 << 62
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return unlimited
    return unlimited if limit == "max" else max(int(limit) - used, 0)
