"""Where a training runs, in which precision, and how its numbers are kept the same every time."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from flopwise.errors import WorkloadError

_ACCELERATOR_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/dri/renderD128")
_FILL = "fill_uninitialized_memory"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True)
class Device:
    """A place and a precision.

    Args:
        name: ``cpu``, ``cuda`` or ``mps``.
        autocast: Dtype of matmuls; None for float32 throughout.
    """

    name: str
    autocast: torch.dtype | None = None

    @property
    def dtype(self) -> str:
        """Name of the dtype of matmuls."""
        return "float32" if self.autocast is None else str(self.autocast).removeprefix("torch.")

    def precision(self) -> AbstractContextManager[Any]:
        """Context in which forward passes run."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.name, dtype=self.autocast)

    def send(self, batch: torch.Tensor) -> torch.Tensor:
        """A batch that was made on the CPU, on its way to the device; on cuda from pinned memory, without waiting."""
        pinned = batch.pin_memory() if self.name == "cuda" else batch
        return pinned.to(self.name, non_blocking=True)

    def synchronize(self) -> None:
        """Wait for all work sent to the device, so that a clock read after it is honest."""
        if self.name == "cuda":
            torch.cuda.synchronize()
        elif self.name == "mps":
            torch.mps.synchronize()


def choose(name: str = "auto", dtype: str = "auto") -> Device:
    """The device a config asks for.

    Args:
        name: ``auto`` (cuda, else mps, else cpu), ``cpu``, ``cuda`` or ``mps``.
        dtype: ``auto`` (bfloat16 on a cuda device that has it), ``float32`` or ``bfloat16``.

    Raises:
        WorkloadError: If this machine has no such device.
    """
    available = [kind for kind, there in (("cuda", torch.cuda.is_available), ("mps", _has_mps)) if there()]
    available.append("cpu")
    found = available[0] if name == "auto" else name
    if found not in available:
        raise WorkloadError(
            f"no {name} device here", expected=" or ".join(available), got=name, where="train.device", fix="use auto"
        )
    wanted = _auto_dtype(found) if dtype == "auto" else dtype
    return Device(found, torch.bfloat16 if wanted == "bfloat16" else None)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _auto_dtype(name: str) -> str:
    return "bfloat16" if name == "cuda" and torch.cuda.is_bf16_supported() else "float32"


@contextmanager
def reproducible(device: Device, threads: int) -> Iterator[None]:
    """Same seed, same device, same threads: the same bits. Settings are put back afterwards.

    On the CPU a fixed number of threads is enough (each thread's share of a sum is fixed). On cuda
    torch is told to use deterministic kernels, and refuses the few operations that have none.

    Args:
        device: Where the training runs.
        threads: Size of torch's thread pool.
    """
    with _threads(threads), _deterministic_kernels() if device.name == "cuda" else nullcontext():
        yield


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if before == threads:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    fill = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), getattr(fill, _FILL)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    setattr(fill, _FILL, False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        setattr(fill, _FILL, before[1])


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of handing it back, for the life of this process.

    A training step frees and takes the same activations again and again; without this every large one
    costs page faults each time (5% of a small CPU step, and most of its jitter).

    Returns:
        Whether the C library took it; there is nothing to do elsewhere than on glibc.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 32 * 2**20) and mallopt(_TRIM_THRESHOLD, 2**30))


def accelerator_possible() -> bool:
    """Whether this torch could touch an accelerator of this machine. Looks at files only.

    A process that has touched one (a backward pass and an optimizer step do, even on the CPU) leaves
    its forked children unable to use it.
    """
    built = any(getattr(torch.version, kind, None) is not None for kind in ("cuda", "hip", "xpu"))
    return built and any(Path(name).exists() for name in _ACCELERATOR_FILES)
