"""How much of an attempt's cores went to others while it ran."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
SHORTEST_S = 0.5
"""Idle time is counted in hundredths of a second, so less than this says nothing."""

REUSE_S = 0.01
"""Reading all cores takes a millisecond where there are hundreds, so attempts that start together share it."""


@dataclass(frozen=True)
class CoreTimes:
    """One look at all cores.

    Args:
        at: Monotonic seconds.
        idle_s: Core number to the seconds that it has had nothing to do since it booted.
    """

    at: float
    idle_s: Mapping[int, float]


class CoreClock:
    """Looks at the cores, but not again within a hundredth of a second."""

    def __init__(self) -> None:
        self._last: CoreTimes | None = None

    def look(self) -> CoreTimes:
        """The latest look, at most ``REUSE_S`` old."""
        now = time.monotonic()
        if self._last is None or now - self._last.at > REUSE_S:
            self._last = CoreTimes(now, idle_seconds())
        return self._last


def idle_seconds(path: Path = Path("/proc/stat")) -> dict[int, float]:
    """Idle time of every core, waiting for a disk included; empty where the system does not say."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
    return {int(row[0][3:]): (int(row[4]) + int(row[5])) * TICK_S for row in rows}


def taken_by_others(before: CoreTimes, after: CoreTimes, cores: Collection[int], own_cpu_s: float) -> float | None:
    """Share of the cores' time that was neither idle nor the attempt's own: other processes, interrupts, the
    kernel's own work, and what a hypervisor took.

    Args:
        before: Look at its start.
        after: Look at its end.
        cores: Of its slot.
        own_cpu_s: User and system seconds of all its processes.

    Returns:
        In [0, 1]; None where it cannot be known: no cores, or too short a time.

    Example:
        >>> taken_by_others(CoreTimes(10.0, {3: 5.0}), CoreTimes(12.0, {3: 5.5}), [3], 1.0)
        0.25
    """
    wall_s = after.at - before.at
    if not cores or wall_s < SHORTEST_S or not all(core in before.idle_s and core in after.idle_s for core in cores):
        return None
    idle_s = sum(after.idle_s[core] - before.idle_s[core] for core in cores)
    taken_s = wall_s * len(cores) - idle_s - own_cpu_s
    return round(min(1.0, max(0.0, taken_s / (wall_s * len(cores)))), 4)
