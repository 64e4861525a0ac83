"""The keeper's parent: it runs nobody's code, so it is there when the keeper is killed or hangs."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

from flopwise.executors import cgroup, linux
from flopwise.executors.environment import RUN

HUNG_S = 5.0
"""How long a keeper may take to end its attempts once the coordinator is gone."""


def stand_guard(serve: Callable[[int], None], release: Callable[[], None]) -> int:
    """Fork; serve in the child, watch over it in the parent.

    When the child is gone, for whatever reason, the parent ends everything that is left below it. When
    the coordinator is gone and the child does not end by itself, the parent ends that too.

    Args:
        serve: Called in the child with a pidfd of the parent.
        release: Called in the parent, to close what only the child should hold.

    Returns:
        Exit status for the process that returns: the child's own, or in the parent what became of it.
    """
    coordinator = os.pidfd_open(os.getppid())
    guard = os.pidfd_open(os.getpid())
    linux.adopt_orphans()
    keeper = os.fork()
    if keeper == 0:
        linux.adopt_orphans()
        os.close(coordinator)
        serve(guard)
        return 0
    os.close(guard)
    release()
    status = _watch(coordinator, keeper)
    _end_descendants()
    cgroup.clear(os.environ[RUN])
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _watch(coordinator: int, keeper: int) -> int:
    """Wait for the keeper to end, and help where it should but does not; returns its status."""
    pidfd = os.pidfd_open(keeper)
    select.select([coordinator, pidfd], [], [])
    if not select.select([pidfd], [], [], HUNG_S if _is_over(coordinator) else None)[0]:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    return os.waitpid(keeper, 0)[1]


def _is_over(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def _end_descendants() -> None:
    while True:
        for pid in linux.children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
