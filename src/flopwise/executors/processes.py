"""The keeper's processes: workers, by job, and the orphans that workers leave behind.

The kernel makes the keeper the parent of every orphan below it (it and its workers are child subreapers).
So the rule is simple: a direct child that is not a running worker is an orphan, and is killed, and only
when there is none left has an attempt ended.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import sys
import time
from functools import partial

from flopwise.executors import linux
from flopwise.executors.attempt import Attempt
from flopwise.executors.birth import begin
from flopwise.executors.cgroup import Groups
from flopwise.executors.core_time import CoreClock
from flopwise.executors.outbox import Outbox
from flopwise.executors.relay import relay
from flopwise.executors.spares import Spares
from flopwise.executors.stamps import Stamps
from flopwise.registry import load
from flopwise.trial import Outcome
from flopwise.wire import Ended, Job, Measurement, Message, Reported, Started, WireError, encode

READ_BYTES = 1 << 16
WATCHED_ORPHANS = 64
"""How many dying orphans are waited for at a time; all are killed at once."""

STUCK_S = 10.0
"""An orphan that SIGKILL does not end in this time hangs in the kernel; its attempt ends without it."""

LOOK_S = 0.05
"""Between two looks at the attempts. A deadline may pass so much late; a program that prints 1 GB/s is 50 MB over
its limit by then. With hundreds of attempts, a look at all of them at every message would be most of the work."""

LEAST_CPU_S = 0.01
"""CPU time of a stray below which it does not matter whose it was."""

TRANSIENT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Reasons for not getting a process that may be gone at the next attempt."""


class Processes:
    """Forks workers, listens to them, and ends them with all that descends from them.

    Args:
        selector: The keeper's; every key's data is a callable without arguments.
        outbox: Frames to the coordinator.
        stamps: Where starts and ends are recorded.
        spares: Where processes come from.
        groups: Control groups for attempts with a limit of memory; None where there are none.
    """

    def __init__(
        self,
        selector: selectors.DefaultSelector,
        outbox: Outbox,
        stamps: Stamps,
        spares: Spares,
        groups: Groups | None,
    ) -> None:
        self._selector = selector
        self._outbox = outbox
        self._stamps = stamps
        self._spares = spares
        self._groups = groups
        self._clock = CoreClock()
        self._look_at = 0.0
        self._attempts: dict[str, Attempt] = {}
        self._orphans: dict[int, int] = {}
        self._known: set[str] = set()
        self._listening = True
        self._to_bury = False

    def __len__(self) -> int:
        return len(self._attempts)

    def start(self, job: Job) -> None:
        """Begin an attempt; one for which there is no process is reported as an attempt that failed."""
        if job.attempt in self._attempts:
            print(f"attempt {job.attempt} runs already; asked for twice", file=sys.stderr)
            return
        self._learn(job.workload)
        at = time.monotonic()
        try:
            attempt = begin(job, self._clock.look(), self._spares, self._groups, self._descriptors)
        except OSError as error:
            self._refuse(job, at, error)
            return
        self._attempts[job.attempt] = attempt
        self._selector.register(attempt.pidfd, selectors.EVENT_READ, partial(self._on_exit, attempt))
        if self._listening:
            attempt.heard_at = attempt.started_at
            self._listen(attempt)
        self._stamps.add("start", attempt.started_at, attempt=job.attempt, pid=attempt.pid)
        self._say(Started(job.attempt, attempt.pid, attempt.started_at))

    @property
    def wants_spare(self) -> bool:
        """Whether a keeper with nothing else to do had better call :meth:`add_spare`."""
        return self._spares.are_wanted(len(self._attempts))

    def add_spare(self) -> None:
        """Fork a child for an attempt to come."""
        self._spares.add(self._descriptors())

    def _learn(self, workload: str) -> None:
        """Load a workload's spec here once, so that no worker has to; it is light. Spares do not have it."""
        if workload in self._known:
            return
        self._known.add(workload)
        self._spares.dismiss()
        try:
            load("workloads", workload)
        except Exception as error:
            print(f"workload {workload} cannot be loaded: {error}", file=sys.stderr)

    def stop(self, attempt: str, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after ``grace_s`` seconds; nothing when it has ended already."""
        if attempt in self._attempts:
            self._attempts[attempt].terminate("stopped", time.monotonic(), grace_s)

    def kill_all(self) -> None:
        """End every attempt at once, and all spares."""
        self._spares.dismiss()
        for attempt in self._attempts.values():
            attempt.kill("stopped")

    def patience(self) -> float | None:
        """Seconds until the attempts are to be looked at; None when there are none."""
        return max(0.0, self._look_at - time.monotonic()) if self._attempts else None

    def look(self) -> None:
        """End attempts whose workers have died; now and then hold all to their limits of time, output and memory."""
        if self._to_bury:
            self._bury()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        for attempt in self._attempts.values():
            attempt.pass_deadline(now)
            attempt.look(now)
        if any(a.exit is not None and a.exit.at + STUCK_S <= now for a in self._attempts.values()):
            self._bury()

    def listen(self, wanted: bool) -> None:
        """Read from workers, or leave their pipes to fill up until they have to wait: that silence is not theirs."""
        if wanted == self._listening:
            return
        self._listening = wanted
        for attempt in self._attempts.values():
            attempt.heard_at = time.monotonic() if wanted and not attempt.reported else None
            if attempt.is_open:
                (self._listen if wanted else self._ignore)(attempt)

    # Listening.

    def _listen(self, attempt: Attempt) -> None:
        self._selector.register(attempt.pipe, selectors.EVENT_READ, partial(self._on_frames, attempt))

    def _ignore(self, attempt: Attempt) -> None:
        self._selector.unregister(attempt.pipe)

    def _on_frames(self, attempt: Attempt) -> None:
        if attempt.is_open:
            self._hear(attempt)
            if not attempt.is_open:
                self._ignore(attempt)

    def _hear(self, attempt: Attempt) -> bool:
        """Read once and pass on what is whole; False when there was nothing."""
        try:
            data = os.read(attempt.pipe, READ_BYTES)
        except BlockingIOError:
            return False
        attempt.is_open = bool(data)
        try:
            for message in attempt.frames.feed(data):
                self._pass_on(attempt, message)
        except WireError as error:
            print(f"attempt {attempt.name} ends, it broke the protocol: {error}", file=sys.stderr)
            attempt.is_open = False
            attempt.kill("protocol")
        return attempt.is_open

    def _pass_on(self, attempt: Attempt, message: Message) -> None:
        """A result is the last word: what follows it is dropped."""
        if attempt.reported:
            return
        frame = relay(message, attempt.name)
        if isinstance(message, Reported):
            attempt.reported, attempt.outcome_ok = True, message.outcome == Outcome.OK
            attempt.heard_at = None
        elif isinstance(message, Measurement):
            attempt.heard_at = time.monotonic()
        self._outbox.put(frame)

    # Ending.

    def _on_exit(self, attempt: Attempt) -> None:
        self._selector.unregister(attempt.pidfd)
        attempt.reap(time.monotonic(), self._clock.look())
        self._to_bury = True  # once for all that are found dead at the same time

    def _bury(self) -> None:
        """Kill orphans; when there is none left, end the attempts whose worker is dead."""
        self._to_bury = False
        dead = [a for a in self._attempts.values() if a.exit is not None]
        if not dead:
            return
        workers = {a.pid for a in self._attempts.values() if a.exit is None} | self._spares.pids
        orphans = [pid for pid in linux.children() if pid not in workers]
        for pid in orphans:
            self._kill_orphan(pid)
        now = time.monotonic()
        for attempt in dead:
            assert attempt.exit is not None
            if not orphans or attempt.exit.at + STUCK_S <= now:
                self._finish(attempt)

    def _kill_orphan(self, pid: int) -> None:
        """It is our child and not waited for, so the number is still its own."""
        os.kill(pid, signal.SIGKILL)
        if pid not in self._orphans and len(self._orphans) < WATCHED_ORPHANS:
            self._orphans[pid] = os.pidfd_open(pid)
            self._selector.register(self._orphans[pid], selectors.EVENT_READ, partial(self._on_orphan, pid))

    def _on_orphan(self, pid: int) -> None:
        pidfd = self._orphans.pop(pid)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, _, usage = os.wait4(pid, 0)
        self._count(usage.ru_utime + usage.ru_stime)
        self._bury()

    def _count(self, cpu_s: float) -> None:
        """CPU time of an orphan is its attempt's, which is known when only one has just ended."""
        dead = [a for a in self._attempts.values() if a.exit is not None]
        for attempt in dead:
            if len(dead) > 1 and cpu_s > LEAST_CPU_S:
                attempt.strays_cpu_s = None
            elif attempt.strays_cpu_s is not None:
                attempt.strays_cpu_s += cpu_s

    def _finish(self, attempt: Attempt) -> None:
        if attempt.is_open and self._listening:
            self._ignore(attempt)
        while attempt.is_open and self._hear(attempt):
            pass
        attempt.is_open = False
        attempt.close()
        ended = attempt.ended(time.monotonic())
        for fd in attempt.descriptors():
            os.close(fd)
        del self._attempts[attempt.name]
        self._end(ended, attempt.pid)

    def _refuse(self, job: Job, at: float, error: OSError) -> None:
        outcome = Outcome.KILLED if error.errno in TRANSIENT else Outcome.ERROR
        self._stamps.add("start", at, attempt=job.attempt, pid=None)
        self._say(Reported(job.attempt, outcome, cause=f"the process could not be started: {error}"))
        self._end(Ended(job.attempt, at, time.monotonic(), None, None, "exit"), None)

    def _end(self, ended: Ended, pid: int | None) -> None:
        self._stamps.add(
            "end",
            ended.ended_at,
            attempt=ended.attempt,
            pid=pid,
            exit_code=ended.exit_code,
            signal=ended.signal,
            reason=ended.reason,
            cpu_s=ended.cpu_s,
            peak_rss_bytes=ended.peak_rss_bytes,
            contention=ended.contention,
            switches=ended.switches,
        )
        self._say(ended)

    def _say(self, message: Message) -> None:
        self._outbox.put(encode(message))

    def _descriptors(self) -> set[int]:
        """What a new worker must not hold: everything the keeper has open for itself and for others."""
        own = {self._selector.fileno(), self._stamps.fileno(), *(key.fd for key in self._selector.get_map().values())}
        return own.union(self._spares.descriptors(), *(a.descriptors() for a in self._attempts.values()))
