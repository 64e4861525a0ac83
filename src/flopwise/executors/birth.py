"""How an attempt begins: its files, its control group, and a process, forked now or ahead of need."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from flopwise.executors.attempt import Attempt
from flopwise.executors.cgroup import Group, Groups
from flopwise.executors.child import Child, Task, open_files
from flopwise.executors.core_time import CoreTimes
from flopwise.executors.memory import Watched
from flopwise.executors.output import Output
from flopwise.executors.spares import Spares
from flopwise.wire import Job


def begin(
    job: Job, cores: CoreTimes, spares: Spares, groups: Groups | None, inherited: Callable[[], Iterable[int]]
) -> Attempt:
    """Start a worker.

    Args:
        job: Its folder exists and holds no stdout or stderr yet.
        cores: Look at the cores just now.
        spares: Where processes come from.
        groups: The run's; None where there are none.
        inherited: Says which descriptors of the keeper's the worker must not hold.

    Raises:
        OSError: If files, pipe or process cannot be had; nothing is left behind.
    """
    at = time.monotonic()
    out, err = open_files(job)
    limit = job.slot.memory_bytes
    group = groups.make(limit) if groups and limit is not None else None
    try:
        child = _employ(Task(job, out, err), group, spares, inherited)
    except OSError:
        os.close(out)
        os.close(err)
        if group is not None:
            group.close()
        raise
    files = (("stdout", out), ("stderr", err))
    outputs = tuple(Output(Path(job.folder) / name, fd, job.output_bytes) for name, fd in files)
    memory = None if limit is None else group or Watched(child.pid, limit)
    return Attempt(job, child.pid, child.pidfd, child.pipe, out, err, at, cores, outputs, memory)


def _employ(task: Task, group: Group | None, spares: Spares, inherited: Callable[[], Iterable[int]]) -> Child:
    if group is None:
        return spares.employ(task, inherited)
    door = group.open_door()
    try:
        return spares.employ(Task(task.job, task.out, task.err, door), inherited)
    finally:
        os.close(door)
