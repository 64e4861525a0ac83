"""The memory of an attempt's whole process tree, held to its slot's share.

Where the keeper may make control groups (:mod:`flopwise.executors.cgroup`) the kernel holds the limit. Elsewhere the
tree is looked at a few times a second and ended when it is too large, here.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Protocol

from flopwise.executors import linux

MAPPED = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s*(\d+) kB", re.MULTILINE)
HELD = re.compile(rb"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s*(\d+) kB", re.MULTILINE)

REST = 10.0
"""After weighing a tree it is left alone for this many times as long as that took."""

UNHURRIED_S = 2.0
"""The same, at least, for a tree that is weighed only to know its peak, unless it maps a tenth more by then."""


class Memory(Protocol):
    """What holds an attempt to its share."""

    peak_bytes: int
    """Most that the tree was seen to hold."""

    def is_exceeded(self) -> bool:
        """Look; whether the tree has had more than its share."""
        ...

    def close(self) -> None:
        """The attempt is over."""
        ...


class Watched:
    """Looks at a tree.

    Counted is what cannot be dropped: anonymous and shared memory, and what of it is in swap; not files, read
    or mapped. A worker shares the keeper's pages until it writes to them, so mapped memory overstates what a
    tree holds. It is cheap to read; weighed, with a page that several processes share divided between them,
    is only a tree that maps more than its limit, or one of several processes that maps more than its peak so far.

    Args:
        pid: The worker.
        limit_bytes: Of its slot.
    """

    def __init__(self, pid: int, limit_bytes: int) -> None:
        self._pid = pid
        self._limit = limit_bytes
        self._rest_until = 0.0
        self._mapped = 0
        self.peak_bytes = 0

    def is_exceeded(self) -> bool:
        """See :class:`Memory`."""
        pids = linux.tree(self._pid)
        mapped = sum(_sum(pid, "status", MAPPED) for pid in pids)
        if not self._is_worth_weighing(mapped, len(pids)):
            return False
        now = time.monotonic()
        held = sum(_sum(pid, "smaps_rollup", HELD) for pid in pids)
        self._rest_until = now + (1 + REST) * (time.monotonic() - now)
        self._mapped, self.peak_bytes = mapped, max(self.peak_bytes, held)
        return held > self._limit

    def _is_worth_weighing(self, mapped: int, processes: int) -> bool:
        if mapped <= self._limit and (processes == 1 or mapped <= self.peak_bytes):
            return False
        hurried = mapped > self._limit or mapped > 1.1 * self._mapped
        return time.monotonic() >= self._rest_until + (0.0 if hurried else UNHURRIED_S)

    def close(self) -> None:
        """See :class:`Memory`."""


def _sum(pid: int, name: str, pattern: re.Pattern[bytes]) -> int:
    """Bytes of all fields of a file of procfs that a pattern finds; 0 for a process that is gone."""
    try:
        text = (Path("/proc") / str(pid) / name).read_bytes()
    except OSError:
        return 0
    return 1024 * sum(int(number) for number in pattern.findall(text))
