"""What this machine is and how much of it this process may use.

A *core* is what the system schedules on: with simultaneous multithreading (SMT) a hardware thread, and its
*siblings* are the hardware threads of the same physical core. Every reader takes the places it reads from.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flopwise.executors.accelerators import Accelerator, accelerators

PROC = Path("/proc")
SYS = Path("/sys")
CGROUPS = SYS / "fs/cgroup"


@dataclass(frozen=True)
class Core:
    """One number that a process can be pinned to.

    Args:
        number: As the system counts.
        siblings: Cores of the same physical core, this one among them, in order.
        node: NUMA node whose memory is near.
    """

    number: int
    siblings: tuple[int, ...]
    node: int = 0


@dataclass(frozen=True)
class Topology:
    """What this process may use of the machine.

    Args:
        cores: In order of their numbers.
        memory_bytes: The machine's, or what a cgroup leaves of it.
        accelerators: Those that ``CUDA_VISIBLE_DEVICES`` lets through.
        beyond: Siblings of ``cores`` that this process may not use itself.
    """

    cores: tuple[Core, ...]
    memory_bytes: int
    accelerators: tuple[Accelerator, ...] = ()
    beyond: frozenset[int] = field(default=frozenset())

    @property
    def nodes(self) -> tuple[int, ...]:
        """NUMA nodes that hold at least one core."""
        return tuple(sorted({core.node for core in self.cores}))

    @property
    def physical(self) -> int:
        """How many physical cores the cores belong to."""
        return len({core.siblings for core in self.cores})


def topology() -> Topology:
    """This machine's."""
    cores = read_cores(usable_cores())
    numbers = {core.number for core in cores}
    beyond = frozenset(sibling for core in cores for sibling in core.siblings if sibling not in numbers)
    return Topology(cores, usable_memory_bytes(), accelerators(), beyond)


def read_cores(numbers: tuple[int, ...], sys: Path = SYS) -> tuple[Core, ...]:
    """Siblings and NUMA node of every core; each alone, on node 0, where the system does not say.

    Args:
        numbers: Cores to look at.
        sys: Where sysfs is mounted.
    """
    nodes = {
        number: int(folder.name.removeprefix("node"))
        for folder in (sys / "devices/system/node").glob("node[0-9]*")
        for number in parse_ranges(_read(folder / "cpulist"))
    }
    return tuple(Core(number, _siblings(number, sys), nodes.get(number, 0)) for number in numbers)


def _siblings(number: int, sys: Path) -> tuple[int, ...]:
    found = parse_ranges(_read(sys / f"devices/system/cpu/cpu{number}/topology/thread_siblings_list"))
    return found if number in found else (number,)


def parse_ranges(text: str) -> tuple[int, ...]:
    """Numbers in the kernel's list form; nothing for what is not one.

    Example:
        >>> parse_ranges("0-2,8")
        (0, 1, 2, 8)
    """
    found: set[int] = set()
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            return ()
        found.update(range(int(ends[0]), int(ends[-1]) + 1))
    return tuple(sorted(found))


def format_ranges(numbers: tuple[int, ...] | frozenset[int]) -> str:
    """The inverse of :func:`parse_ranges`.

    Example:
        >>> format_ranges((0, 1, 2, 8))
        '0-2,8'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def usable_cores() -> tuple[int, ...]:
    """Core numbers this process may use: its affinity, cut to the whole cores that a cgroup quota pays for.

    Which ones a quota leaves depends on the cgroup: its processes all get the same, and another one's
    mostly others, so that containers that do not see each other are not all pinned to the first cores.
    """
    cores = allowed_cores()
    quota = cpu_quota()
    if quota is None:
        return cores
    count = max(1, int(quota))
    blocks = max(1, len(cores) // count)
    start = quota_place() % blocks * count
    return cores[start : start + count]


def allowed_cores() -> tuple[int, ...]:
    """Core numbers this process may be scheduled on, whatever a quota says."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def machine() -> dict[str, Any]:
    """Facts about the machine, as JSON: cores, memory_bytes, host, cpu, boot_id, platform, python, accelerators."""
    return {
        "cores": len(usable_cores()),
        "memory_bytes": usable_memory_bytes(),
        "host": platform.node(),
        "cpu": cpu_name(),
        "boot_id": boot_id(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "accelerators": [each.model for each in accelerators()],
    }


def usable_memory_bytes() -> int:
    """Memory this process may use: the machine's, or a tighter cgroup limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return total if limit is None else min(total, limit)


def cpu_quota(proc: Path = PROC, cgroups: Path = CGROUPS) -> float | None:
    """Tightest cgroup CPU quota in cores, v2 or v1, over the process's group and all groups above; None for none.

    Args:
        proc: Where procfs is mounted.
        cgroups: Where cgroups are mounted.
    """
    return min((quota for quota, _ in _quotas(proc, cgroups)), default=None)


def quota_place(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """A number that all processes under the tightest CPU quota share, and other groups do not; 0 without one.

    It is the inode of the group's folder, which is the same number seen from inside a container and from outside.
    """
    quotas = sorted(_quotas(proc, cgroups), key=lambda found: found[0])
    return quotas[0][1].stat().st_ino if quotas else 0


def memory_limit(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Tightest cgroup memory limit in bytes; None for none. Arguments as for :func:`cpu_quota`."""
    files = [folder / "memory.max" for folder in groups("", proc, cgroups)]
    files += [folder / "memory.limit_in_bytes" for folder in groups("memory", proc, cgroups)]
    words = [_read(file) for file in files]
    return min((int(word) for word in words if word.isdigit()), default=None)


def groups(controller: str, proc: Path = PROC, cgroups: Path = CGROUPS) -> Iterator[Path]:
    """Folders of this process's cgroup and of those above it, innermost first.

    Args:
        controller: Of version 1; ``""`` is the unified (v2) hierarchy.
        proc: Where procfs is mounted.
        cgroups: Where cgroups are mounted.
    """
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller not in names.split(","):
            continue
        root = cgroups / names if controller else cgroups
        root = root if root.is_dir() or not controller else cgroups / controller
        folder = root / path.lstrip("/")
        yield from (f for f in (folder, *folder.parents) if f == root or root in f.parents)


def _quotas(proc: Path, cgroups: Path) -> Iterator[tuple[float, Path]]:
    """Every quota in force, in cores, and the folder it is set in."""
    found = [(_quota_v2(folder / "cpu.max"), folder) for folder in groups("", proc, cgroups)]
    found += [(_quota_v1(folder), folder) for folder in groups("cpu", proc, cgroups)]
    yield from ((quota, folder) for quota, folder in found if quota is not None)


def _quota_v2(file: Path) -> float | None:
    words = _read(file).split()
    if len(words) != 2 or not words[0].isdigit():
        return None
    return int(words[0]) / int(words[1])


def _quota_v1(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit():
        return None
    return int(quota) / int(period)


def cpu_name() -> str:
    """What the processor calls itself."""
    for line in _read(PROC / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def boot_id() -> str:
    """Differs after every reboot; empty where the system does not say."""
    return _read(PROC / "sys" / "kernel" / "random" / "boot_id")


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
