from __future__ import annotations

import platform

import pytest
import torch

from flopwise.errors import WorkloadError
from flopwise.training import devices
from flopwise.training.devices import Device


def test_auto_on_a_cpu_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.choose() == Device("cpu", None)
    assert devices.choose("cpu", "bfloat16") == Device("cpu", torch.bfloat16)


def test_auto_on_cuda_takes_bfloat16_where_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has_it, dtype in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it: has_it)
        assert devices.choose() == Device("cuda", dtype)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WorkloadError, match="no cuda device here"):
        devices.choose("cuda")


def test_precision_decides_the_dtype_of_matmuls() -> None:
    a = torch.ones(2, 2)
    for device in (Device("cpu"), Device("cpu", torch.bfloat16)):
        with device.precision():
            assert str((a @ a).dtype) == f"torch.{device.dtype}"


def test_settings_are_put_back() -> None:
    before = torch.get_num_threads()
    with devices.reproducible(Device("cpu"), before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_deterministic_kernels_are_asked_for_on_cuda_only_and_put_back() -> None:
    inside = []
    for name in ("cpu", "cuda"):
        with devices.reproducible(Device(name), torch.get_num_threads()):
            inside.append(torch.are_deterministic_algorithms_enabled())
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert inside == [False, True]


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    assert devices.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_an_accelerator_is_possible_only_with_a_torch_built_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_ACCELERATOR_FILES", ("/",))
    for built, possible in (("12.8", True), (None, False)):
        for kind in ("cuda", "hip", "xpu"):
            monkeypatch.setattr(torch.version, kind, built, raising=False)
        assert devices.accelerator_possible() == possible
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(devices, "_ACCELERATOR_FILES", ("/no/such/device",))
    assert not devices.accelerator_possible()
