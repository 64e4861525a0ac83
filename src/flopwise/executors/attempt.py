"""An attempt as the keeper sees it: a process, its pipe, its files and its deadlines."""

from __future__ import annotations

import math
import os
import resource
import signal
from dataclasses import dataclass, field

from flopwise.executors import linux
from flopwise.wire import Ended, Frames, Job

TAIL_BYTES = 4096
"""Of stdout and stderr together, kept for the message that an attempt ended."""


@dataclass(frozen=True)
class Exit:
    """How the worker itself went; its descendants may still be dying.

    Args:
        status: As ``waitpid`` gives it.
        usage: Of the worker and the children it waited for.
        at: Monotonic seconds.
    """

    status: int
    usage: resource.struct_rusage
    at: float


@dataclass
class Attempt:
    """One forked worker.

    Args:
        job: What it works on.
        pid: The worker; also its session and process group.
        pidfd: Readable when the worker has exited.
        pipe: Read end of its wire, non-blocking.
        out: Its stdout file.
        err: Its stderr file.
        started_at: Monotonic seconds, before the fork.
        reason: Why it ends: exit, timeout, stopped or protocol.
        kill_at: When SIGKILL follows SIGTERM; None before SIGTERM, infinity after SIGKILL.
        is_open: Its pipe has not come to an end.
        reported: Its result has been relayed.
        outcome_ok: That result was ``ok``.
    """

    job: Job
    pid: int
    pidfd: int
    pipe: int
    out: int
    err: int
    started_at: float
    frames: Frames = field(default_factory=Frames)
    reason: str = "exit"
    kill_at: float | None = None
    is_open: bool = True
    reported: bool = False
    outcome_ok: bool = False
    exit: Exit | None = None

    @property
    def name(self) -> str:
        return self.job.attempt

    @property
    def deadline(self) -> float | None:
        """When something is due next: the time-out's SIGTERM, or the SIGKILL after a SIGTERM."""
        if self.exit is not None or self.kill_at == math.inf:
            return None
        if self.kill_at is not None or self.job.timeout_s is None:
            return self.kill_at
        return self.started_at + self.job.timeout_s

    def descriptors(self) -> tuple[int, ...]:
        """Everything the keeper holds open for it."""
        return self.pidfd, self.pipe, self.out, self.err

    def terminate(self, reason: str, now: float, grace_s: float) -> None:
        """SIGTERM to its group; SIGKILL is due ``grace_s`` seconds from now, or earlier if it was."""
        if self.exit is not None:
            return
        if self.kill_at is None:
            self.reason, self.kill_at = reason, now + grace_s
            linux.send_group(self.pid, signal.SIGTERM)
        self.kill_at = min(self.kill_at, now + grace_s)
        if self.kill_at <= now:
            self.kill()

    def kill(self, reason: str | None = None) -> None:
        """SIGKILL to its group; what has left the group is found among the keeper's orphans."""
        self.reason = reason or self.reason
        if self.exit is None:
            self.kill_at = math.inf
            linux.send_group(self.pid, signal.SIGKILL)

    def pass_deadline(self, now: float) -> None:
        """Do what is due."""
        due = self.deadline
        if due is None or due > now:
            return
        if self.kill_at is None:
            self.terminate("timeout", now, self.job.grace_s)
        else:
            self.kill()

    def reap(self, now: float) -> None:
        """Wait for the dead worker, after killing its group: until then nobody else can have its number."""
        linux.send_group(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        self.exit = Exit(status, usage, now)

    def ended(self, now: float) -> Ended:
        """The last message about it."""
        assert self.exit is not None
        code = os.waitstatus_to_exitcode(self.exit.status)
        usage = self.exit.usage
        return Ended(
            attempt=self.name,
            started_at=self.started_at,
            ended_at=now,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            reason=self.reason,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss_bytes=usage.ru_maxrss * 1024,
            tail="" if self.outcome_ok else self._tail(),
        )

    def _tail(self) -> str:
        out = _last(self.out, TAIL_BYTES // 4 - 1)
        if out and not out.endswith("\n"):
            out += "\n"
        return out + _last(self.err, TAIL_BYTES - len(out.encode()))


def _last(fd: int, size: int) -> str:
    """Last ``size`` bytes of an open file, whole characters only."""
    data = os.pread(fd, size, max(0, os.fstat(fd).st_size - size))
    return data.decode(errors="ignore")
