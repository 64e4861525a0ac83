"""The fork: what happens between the keeper and the worker's entry point."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from flopwise.executors import linux
from flopwise.executors.attempt import Attempt
from flopwise.executors.environment import thread_pools
from flopwise.wire import Job

BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""The coordinator decides what these mean, so the keeper holds them back.

A child lets them through again, SIGTERM only once the worker has a handler for it.
"""

OOM_SCORE = 500
"""When memory runs out the kernel is to take an attempt, not keeper or coordinator."""

CRASHED = 70
"""Exit status of a child that did not come as far as a result."""

NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Entry = Callable[..., Any]


@dataclass(frozen=True)
class Streams:
    """Descriptors made for one attempt before the fork."""

    out: int
    err: int
    read: int
    write: int


def spawn(job: Job, at: float, entry: Entry, objective: str | None, inherited: Iterable[int]) -> Attempt:
    """Fork a worker.

    Args:
        job: Its folder exists and holds no stdout or stderr yet.
        at: Stamp taken before the fork, monotonic seconds.
        entry: ``main(job, fd, objective)`` of the worker.
        objective: As in ``Hello``.
        inherited: The keeper's own descriptors, which the child must not hold.

    Raises:
        OSError: If files, pipe or process cannot be had; nothing is left behind.
    """
    streams = _open_streams(job)
    keeper = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        _close(streams.out, streams.err, streams.read, streams.write)
        raise
    if pid == 0:
        _run_child(job, streams, entry, objective, keeper, inherited)
    os.close(streams.write)
    os.set_blocking(streams.read, False)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _close(streams.out, streams.err, streams.read)
        raise
    return Attempt(job, pid, pidfd, streams.read, streams.out, streams.err, at)


def _open_streams(job: Job) -> Streams:
    opened: list[int] = []
    try:
        for name in ("stdout", "stderr"):
            opened.append(os.open(Path(job.folder) / name, NEW_FILE, 0o600))
        opened += os.pipe2(os.O_CLOEXEC)
    except OSError:
        _close(*opened)
        raise
    return Streams(*opened)


def _run_child(
    job: Job, streams: Streams, entry: Entry, objective: str | None, keeper: int, inherited: Iterable[int]
) -> NoReturn:
    """Never returns, whatever happens: the keeper's own code must not go on in two processes."""
    status = CRASHED
    try:
        _isolate(job, streams, keeper, inherited)
        status = int(entry(job, streams.write, objective))
    except BaseException:
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _isolate(job: Job, streams: Streams, keeper: int, inherited: Iterable[int]) -> None:
    os.setsid()
    linux.die_with_parent(keeper)
    linux.adopt_orphans()
    os.dup2(streams.out, 1)
    os.dup2(streams.err, 2)
    _close(streams.out, streams.err, streams.read, *inherited)
    os.chdir(job.folder)
    if job.slot.cores:
        os.sched_setaffinity(0, job.slot.cores)
    os.environ.update(thread_pools(job.slot.threads))
    _volunteer_for_oom()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED - {signal.SIGTERM})


def _volunteer_for_oom() -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    try:
        if int(os.pread(fd, 16, 0)) < OOM_SCORE:
            os.write(fd, str(OOM_SCORE).encode())
    finally:
        os.close(fd)


def _close(*descriptors: int) -> None:
    for fd in descriptors:
        os.close(fd)
