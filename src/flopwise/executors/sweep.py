"""Ends every process of a run that outlived its keeper, found by the run's mark in its environment, or its group."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flopwise.errors import ExecutorError
from flopwise.executors import cgroup
from flopwise.executors.environment import RUN
from flopwise.executors.linux import has_marker, kill_marked

LIMIT_S = 20.0
"""A killed process that is still there after this is stuck in the kernel."""


def sweep(run_id: str, patience_s: float = 0.0) -> int:
    """Wait until no process of a run is left, and end those that do not go by themselves.

    Only processes of this user that were started with ``FLOPWISE_RUN=<run_id>``, or that are in the run's
    control groups, are touched, and never this one.

    Args:
        run_id: The run's id.
        patience_s: How long a keeper that is just ending its attempts is left to do so, in seconds.

    Returns:
        How many processes were killed.

    Raises:
        ExecutorError: If one cannot be ended.
    """
    marker = f"{RUN}={run_id}".encode()
    began = time.monotonic()
    killed: set[int] = set()
    while left := marked(run_id):
        waited_s = time.monotonic() - began
        if waited_s >= patience_s:
            killed |= {pid for pid in left if kill_marked(pid, marker)}
        if waited_s > patience_s + LIMIT_S:
            raise ExecutorError(
                f"processes {', '.join(map(str, left))} of this run do not end, though killed",
                fix="they hang in the kernel (a dead file server?); free them, then resume",
            )
        time.sleep(0.005)
    return len(killed) + cgroup.clear(run_id, LIMIT_S)


def marked(run_id: str) -> list[int]:
    """Processes of a run, this one excepted; a dead one that nobody has waited for has no environment."""
    marker = f"{RUN}={run_id}".encode()
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in numbers if pid != os.getpid() and has_marker(pid, marker)]
