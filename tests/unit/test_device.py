"""Which device and precision a run uses."""

from __future__ import annotations

import pytest
import torch

from irss_core.errors import InvalidOptionError
from irss_core.sr import device
from irss_core.sr.device import choose_device, choose_dtype, free_memory_bytes, machine_report

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _forget_the_probe() -> None:
    device._best_dtype.cache_clear()


def test_cpu_without_bf16_instructions_runs_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_flags", lambda: frozenset({"avx2", "avx512f"}))
    assert choose_dtype(CPU) == torch.float32


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
@pytest.mark.parametrize(("bf16_seconds", "expected"), [(0.4, torch.bfloat16), (0.95, torch.float32)])
def test_bf16_is_taken_only_where_it_measures_faster(
    monkeypatch: pytest.MonkeyPatch, flag: str, bf16_seconds: float, expected: torch.dtype
) -> None:
    seconds = {torch.float32: 1.0, torch.bfloat16: bf16_seconds}
    monkeypatch.setattr(device, "_cpu_flags", lambda: frozenset({flag}))
    monkeypatch.setattr(device, "_probe_seconds", seconds.__getitem__)
    assert choose_dtype(CPU) == expected


def test_probe_measures_both_precisions() -> None:
    assert device._probe_seconds(torch.float32) > 0
    assert device._probe_seconds(torch.bfloat16) > 0


def test_cuda_runs_fp16() -> None:
    assert choose_dtype(torch.device("cuda")) == torch.float16


def test_named_dtype_is_taken_as_it_is() -> None:
    assert choose_dtype(CPU, "bf16") == torch.bfloat16


def test_absent_device_is_refused_with_a_remedy() -> None:
    absent = "cuda:97"
    with pytest.raises(InvalidOptionError, match="or cpu, which is always there"):
        choose_device(absent)


def test_report_describes_this_machine() -> None:
    report = machine_report("cpu")
    assert report.device == "cpu"
    assert report.device_name
    assert report.threads == torch.get_num_threads()
    assert 0 < report.memory_free_bytes <= report.memory_total_bytes
    assert report.dtype_reason


def test_free_memory_is_a_real_amount() -> None:
    assert 10_000_000 < free_memory_bytes(CPU) < 1 << 50
