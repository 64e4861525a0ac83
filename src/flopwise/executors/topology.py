"""What this machine is and how much of it this process may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROC = Path("/proc")
SYS = Path("/sys/fs/cgroup")


def usable_cores() -> tuple[int, ...]:
    """Core numbers this process may use: its affinity, cut to the whole cores that a cgroup quota pays for."""
    if hasattr(os, "sched_getaffinity"):
        cores = tuple(sorted(os.sched_getaffinity(0)))
    else:
        cores = tuple(range(os.cpu_count() or 1))
    quota = cpu_quota()
    return cores if quota is None else cores[: max(1, int(quota))]


def machine() -> dict[str, Any]:
    """Facts about the machine, as JSON: cores, memory_bytes, host, cpu, boot_id, platform, python."""
    return {
        "cores": len(usable_cores()),
        "memory_bytes": usable_memory_bytes(),
        "host": platform.node(),
        "cpu": _cpu_name(),
        "boot_id": boot_id(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def usable_memory_bytes() -> int:
    """Memory this process may use: the machine's, or a tighter cgroup limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return total if limit is None else min(total, limit)


def cpu_quota(proc: Path = PROC, cgroups: Path = SYS) -> float | None:
    """Tightest cgroup CPU quota in cores, v2 or v1, over the process's group and all groups above; None for none.

    Args:
        proc: Where procfs is mounted.
        cgroups: Where cgroups are mounted.
    """
    quotas = [_quota_v2(folder / "cpu.max") for folder in _groups("", proc, cgroups)]
    quotas += [_quota_v1(folder) for folder in _groups("cpu", proc, cgroups)]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(proc: Path = PROC, cgroups: Path = SYS) -> int | None:
    """Tightest cgroup memory limit in bytes; None for none. Arguments as for :func:`cpu_quota`."""
    files = [folder / "memory.max" for folder in _groups("", proc, cgroups)]
    files += [folder / "memory.limit_in_bytes" for folder in _groups("memory", proc, cgroups)]
    words = [_read(file) for file in files]
    return min((int(word) for word in words if word.isdigit()), default=None)


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """Folders of this process's cgroup and of those above it; ``""`` is the unified (v2) hierarchy."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller not in names.split(","):
            continue
        root = cgroups / names if controller else cgroups
        root = root if root.is_dir() or not controller else cgroups / controller
        folder = root / path.lstrip("/")
        yield from (f for f in (folder, *folder.parents) if f == root or root in f.parents)


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


def _cpu_name() -> str:
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
