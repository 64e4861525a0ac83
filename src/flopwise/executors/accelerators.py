"""The accelerators of a machine, told without loading a driver's library: NVIDIA's, and a Mac's own."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flopwise.errors import ExecutorError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Names of the devices that a process may use; empty for none."""

NVIDIA = Path("/proc/driver/nvidia")
"""Exists where NVIDIA's driver is loaded."""

PCI = Path("/sys/bus/pci/devices")
QUERY = ("--query-gpu=index,uuid,name,memory.total,pci.bus_id", "--format=csv,noheader,nounits")
QUERY_LIMIT_S = 30.0
"""The first query after a boot loads firmware, which takes seconds."""

MIB = 1 << 20


@dataclass(frozen=True)
class Accelerator:
    """One device, or one part of a device that was split.

    Args:
        index: 0, 1, … in the order of the machine's buses.
        name: What ``CUDA_VISIBLE_DEVICES`` calls it, the same whatever else is visible; ``mps`` on a Mac.
        model: For people.
        memory_bytes: Its own memory; None where that is not known, or is the machine's.
        node: NUMA node it is near; None where the system does not say.
    """

    index: int
    name: str
    model: str
    memory_bytes: int | None = None
    node: int | None = None


def accelerators(environ: Mapping[str, str] = os.environ, driver: Path = NVIDIA) -> tuple[Accelerator, ...]:
    """Those that this process may use; none where there is no driver, or where it gives no answer.

    Args:
        environ: ``CUDA_VISIBLE_DEVICES`` in it is honoured.
        driver: Where NVIDIA's driver tells about itself.
    """
    if sys.platform == "darwin":
        return apple_gpu()
    try:
        found = installed(shutil.which("nvidia-smi"), driver)
    except ExecutorError:
        found = tuple(told_by_driver(driver))
    return visible(found, environ.get(VISIBLE))


def installed(program: str | None, driver: Path = NVIDIA) -> tuple[Accelerator, ...]:
    """NVIDIA's devices in this machine, whether this process may use them or not.

    Args:
        program: Path of ``nvidia-smi``; None for none, then only what the driver says is known.
        driver: Where NVIDIA's driver tells about itself.

    Raises:
        ExecutorError: If ``nvidia-smi`` is there and fails although the driver is loaded.
    """
    if program is None:
        return tuple(told_by_driver(driver))
    try:
        return ask_nvidia_smi(program)
    except ExecutorError:
        if driver.exists():
            raise
        return ()  # the program without a driver: an image made for a machine with a GPU


@functools.cache
def ask_nvidia_smi(program: str, pci: Path = PCI) -> tuple[Accelerator, ...]:
    """What ``nvidia-smi`` lists; asked once a process.

    Args:
        program: Its path.
        pci: Where sysfs lists devices by their address.

    Raises:
        ExecutorError: If it fails, hangs, or says what cannot be read.
    """
    try:
        done = subprocess.run(
            [program, *QUERY], capture_output=True, text=True, timeout=QUERY_LIMIT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(program, str(error)) from None
    if done.returncode:
        raise _failed(program, (done.stdout + done.stderr).strip() or f"exit status {done.returncode}")
    try:
        return tuple(_listed(line, pci) for line in done.stdout.splitlines() if line.strip())
    except ValueError:
        raise _failed(program, done.stdout.strip()) from None


def _failed(program: str, said: str) -> ExecutorError:
    return ExecutorError(
        "nvidia-smi does not list this machine's GPUs",
        got=said[:400],
        where=program,
        fix="run it by hand; a driver that was updated without a reboot is the usual cause",
    )


def _listed(line: str, pci: Path) -> Accelerator:
    index, uuid, model, memory_mib, address = (cell.strip() for cell in line.split(","))
    memory_bytes = int(memory_mib) * MIB if memory_mib.isdigit() else None  # "[N/A]" where it is the machine's
    return Accelerator(int(index), uuid, model, memory_bytes, _node(address, pci))


def _node(address: str, pci: Path) -> int | None:
    """The NUMA node of a device; ``nvidia-smi`` writes the bus's domain with eight digits, the kernel with four."""
    domain, _, rest = address.lower().partition(":")
    try:
        node = int((pci / f"{domain[-4:]}:{rest}" / "numa_node").read_text())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def told_by_driver(driver: Path = NVIDIA, pci: Path = PCI) -> Iterator[Accelerator]:
    """What the driver's own files say, in containers that have no ``nvidia-smi``; it leaves the memory out."""
    for index, file in enumerate(sorted((driver / "gpus").glob("*/information"))):
        facts = dict(line.partition(":")[::2] for line in file.read_text().splitlines())
        facts = {key.strip(): value.strip() for key, value in facts.items()}
        if facts.get("GPU UUID", "").startswith("GPU-"):
            node = _node(facts.get("Bus Location", ""), pci)
            yield Accelerator(index, facts["GPU UUID"], facts.get("Model", "NVIDIA GPU"), None, node)


def visible(found: Sequence[Accelerator], setting: str | None) -> tuple[Accelerator, ...]:
    """The devices that a value of ``CUDA_VISIBLE_DEVICES`` lets through, in its order.

    As CUDA does it, the list ends at the first entry that names nothing. A part of a device that was
    split (``MIG-…``) is taken as it is named.

    Args:
        found: The machine's.
        setting: The variable's value; None when it is not set.

    Example:
        >>> two = (Accelerator(0, "GPU-aa", "H200"), Accelerator(1, "GPU-bb", "H200"))
        >>> [each.name for each in visible(two, "1,GPU-a")], visible(two, "")
        (['GPU-bb', 'GPU-aa'], ())
    """
    if setting is None:
        return tuple(found)
    chosen: list[Accelerator] = []
    for entry in setting.split(","):
        device = _named(entry.strip(), found)
        if device is None or device in chosen:
            break
        chosen.append(device)
    return tuple(chosen)


def _named(entry: str, found: Sequence[Accelerator]) -> Accelerator | None:
    if entry.isdigit():
        return next((device for device in found if device.index == int(entry)), None)
    if entry.startswith("MIG-") and found:
        return Accelerator(found[0].index, entry, "part of a GPU (MIG)", None, found[0].node)
    if not entry.startswith("GPU-"):
        return None
    matching = [device for device in found if device.name.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


def apple_gpu() -> tuple[Accelerator, ...]:
    """The GPU of a Mac with Apple's own processor; it shares the machine's memory."""
    return (Accelerator(0, "mps", "Apple GPU"),) if platform.machine() == "arm64" else ()


def is_cuda(name: str) -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` knows such a name."""
    return name.startswith(("GPU-", "MIG-")) or name.isdigit()
