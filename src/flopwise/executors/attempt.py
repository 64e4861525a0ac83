"""An attempt as the keeper sees it: a process, its pipe, its files, its limits and its deadlines."""

from __future__ import annotations

import math
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from flopwise.executors import linux
from flopwise.executors.core_time import CoreTimes, taken_by_others
from flopwise.executors.memory import Memory
from flopwise.executors.output import Output
from flopwise.wire import Ended, Frames, Job

TAIL_BYTES = 4096
"""Of stdout and stderr together, kept for the message that an attempt ended."""

WEIGH_S = 0.25
"""Between two looks at an attempt's memory."""


@dataclass(frozen=True)
class Exit:
    """How the worker itself went; its descendants may still be dying.

    Args:
        status: As ``waitpid`` gives it.
        usage: Of the worker and the children it waited for.
        at: Monotonic seconds.
        cores: Look at the cores just then.
    """

    status: int
    usage: resource.struct_rusage
    at: float
    cores: CoreTimes


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
        cores: Look at the cores just then.
        outputs: What keeps the two files small.
        memory: What holds its processes to their share; None without a limit.
        weigh_at: When its memory is looked at next.
        heard_at: Its last sign of progress, at first its start; None while nobody listens to it.
        reason: As in ``Ended``.
        kill_at: When SIGKILL follows SIGTERM; None before SIGTERM, infinity after SIGKILL.
        is_open: Its pipe has not come to an end.
        reported: Its result has been relayed.
        outcome_ok: That result was ``ok``.
        strays_cpu_s: CPU time of descendants that outlived the worker; None where it may be another's.
    """

    job: Job
    pid: int
    pidfd: int
    pipe: int
    out: int
    err: int
    started_at: float
    cores: CoreTimes
    outputs: tuple[Output, ...] = ()
    memory: Memory | None = None
    weigh_at: float = 0.0
    heard_at: float | None = None
    frames: Frames = field(default_factory=Frames)
    reason: str = "exit"
    kill_at: float | None = None
    is_open: bool = True
    reported: bool = False
    outcome_ok: bool = False
    exit: Exit | None = None
    strays_cpu_s: float | None = 0.0

    @property
    def name(self) -> str:
        return self.job.attempt

    @property
    def deadline(self) -> float | None:
        """When something is due next: the SIGTERM of a time limit, or the SIGKILL after a SIGTERM."""
        if self.exit is not None or self.kill_at == math.inf:
            return None
        if self.kill_at is not None:
            return self.kill_at
        return min((at for at, _ in self._limits()), default=None)

    def _limits(self) -> Iterator[tuple[float, str]]:
        """When a limit of time is reached, and which."""
        if self.job.timeout_s is not None:
            yield self.started_at + self.job.timeout_s, "timeout"
        if self.job.progress_s is not None and self.heard_at is not None:
            yield self.heard_at + self.job.progress_s, "silent"

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
            self.terminate(min(self._limits())[1], now, self.job.grace_s)
        else:
            self.kill()

    def look(self, now: float) -> None:
        """Hold its output and its memory to their limits."""
        for output in self.outputs:
            output.trim()
        if self.memory is None or self.exit is not None or now < self.weigh_at:
            return
        self.weigh_at = now + WEIGH_S
        if self.memory.is_exceeded():
            self.kill("memory" if self.kill_at is None else None)

    def reap(self, now: float, cores: CoreTimes) -> None:
        """Wait for the dead worker, after killing its group: until then nobody else can have its number."""
        linux.send_group(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        self.exit = Exit(status, usage, now, cores)

    def close(self) -> None:
        """Its last process is gone."""
        for output in self.outputs:
            output.close_up()
        if self.memory is not None:
            if self.memory.is_exceeded() and self.reason == "exit" and not self.outcome_ok:
                self.reason = "memory"
            self.memory.close()

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
            peak_rss_bytes=max(usage.ru_maxrss * 1024, self.memory.peak_bytes if self.memory else 0),
            contention=self._contention(self.exit),
            switches=(usage.ru_nvcsw, usage.ru_nivcsw),
            tail="" if self.outcome_ok else self._tail(),
        )

    def _contention(self, exit: Exit) -> float | None:
        if self.strays_cpu_s is None:
            return None
        own_cpu_s = exit.usage.ru_utime + exit.usage.ru_stime + self.strays_cpu_s
        return taken_by_others(self.cores, exit.cores, self.job.slot.cores, own_cpu_s)

    def _tail(self) -> str:
        out = _last(self.out, TAIL_BYTES // 4 - 1)
        if out and not out.endswith("\n"):
            out += "\n"
        return out + _last(self.err, TAIL_BYTES - len(out.encode()))


def _last(fd: int, size: int) -> str:
    """Last ``size`` bytes of an open file, whole characters only."""
    data = os.pread(fd, size, max(0, os.fstat(fd).st_size - size))
    return data.decode(errors="ignore")
