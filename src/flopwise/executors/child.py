"""The fork: what happens between the keeper and the worker's entry point."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from flopwise.executors import linux
from flopwise.executors.environment import attempt_variables
from flopwise.trial import Outcome
from flopwise.wire import Frames, Job, Reported, encode

BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""The coordinator decides what these mean, so the keeper holds them back.

A child lets them through again, SIGTERM only once the worker has a handler for it.
"""

OOM_SCORE = 500
"""When memory runs out the kernel is to take an attempt, not keeper or coordinator."""

CRASHED = 70
"""Exit status of a child that did not come as far as a result."""

NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
READ_BYTES = 1 << 16
HAND_OVER_S = 5.0
"""How long a long task may take to be read by a child that waits for it."""


@dataclass(frozen=True)
class Part:
    """What all children play.

    Args:
        main: The worker's ``main(job, fd, objective)``.
        rehearse: Called in a child that waits for its job.
        objective: As in ``Hello``.
    """

    main: Callable[..., Any]
    rehearse: Callable[[], None]
    objective: str | None


@dataclass(frozen=True)
class Task:
    """What a child works on, and its descriptors for it.

    Args:
        job: Its folder exists.
        out: Its stdout.
        err: Its stderr.
        group: ``cgroup.procs`` of the control group it is to enter; None to stay in the keeper's.
    """

    job: Job
    out: int
    err: int
    group: int | None = None

    def descriptors(self) -> list[int]:
        """Those, in an order that tells which is which."""
        return [self.out, self.err] if self.group is None else [self.out, self.err, self.group]


@dataclass(frozen=True)
class Child:
    """A forked process, as the keeper sees it.

    Args:
        pid: Also its session and process group.
        pidfd: Readable when it has exited.
        pipe: Read end of its wire, non-blocking.
        tasks: Where its task goes; None when it was born with one.
    """

    pid: int
    pidfd: int
    pipe: int
    tasks: socket.socket | None

    def descriptors(self) -> list[int]:
        """Everything the keeper holds open for it."""
        return [self.pidfd, self.pipe, *([] if self.tasks is None else [self.tasks.fileno()])]


def fork(part: Part, inherited: Iterable[int], task: Task | None = None) -> Child:
    """Fork a worker.

    Args:
        part: What it plays.
        inherited: The keeper's own descriptors, which the child must not hold.
        task: What to work on; None for a child that rehearses and waits for :func:`hand_over`.

    Raises:
        OSError: If descriptors or process cannot be had; nothing is left behind.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    ours, theirs = socket.socketpair() if task is None else (None, None)
    keeper = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        _close([read, write], ours, theirs)
        raise
    if pid == 0:
        receive = (lambda: task) if theirs is None else (lambda: _receive(part, theirs))
        held = [read, *inherited, *([] if ours is None else [ours.fileno()])]
        _run(receive, write, part, keeper, held)
    _close([write], theirs)
    os.set_blocking(read, False)
    if ours is not None:
        ours.settimeout(HAND_OVER_S)
    try:
        return Child(pid, os.pidfd_open(pid), read, ours)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _close([read], ours)
        raise


def hand_over(child: Child, task: Task) -> None:
    """Give a waiting child its task. It is read at once, so a short one never makes the keeper wait.

    Raises:
        OSError: If it is dead, or does not read.
    """
    assert child.tasks is not None
    frame = encode(task.job)
    sent = socket.send_fds(child.tasks, [frame], task.descriptors())
    if sent < len(frame):
        child.tasks.sendall(frame[sent:])


def open_files(job: Job) -> tuple[int, int]:
    """Make an attempt's stdout and stderr.

    Raises:
        OSError: If they cannot be, or are there already.
    """
    out = os.open(f"{job.folder}/stdout", NEW_FILE, 0o600)
    try:
        return out, os.open(f"{job.folder}/stderr", NEW_FILE, 0o600)
    except OSError:
        os.close(out)
        raise


def _receive(part: Part, tasks: socket.socket) -> Task | None:
    """Wait for a task; None when the keeper has none."""
    part.rehearse()
    frames = Frames()
    data, descriptors, _, _ = socket.recv_fds(tasks, READ_BYTES, 3)
    while data:
        for job in frames.feed(data):
            assert isinstance(job, Job)
            tasks.close()
            return Task(job, *descriptors)
        data = tasks.recv(READ_BYTES)
    return None


def _run(receive: Callable[[], Task | None], write: int, part: Part, keeper: int, inherited: Iterable[int]) -> NoReturn:
    """Never returns, whatever happens: the keeper's own code must not go on in two processes."""
    status = CRASHED
    try:
        _settle_in(keeper, inherited)
        task = receive()
        if task is None:
            os._exit(0)
        if _takes_place(task, write):
            status = int(part.main(task.job, write, part.objective))
    except BaseException:
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _settle_in(keeper: int, inherited: Iterable[int]) -> None:
    """What is the same for all attempts."""
    os.setsid()
    linux.die_with_parent(keeper)
    linux.adopt_orphans()
    _close(inherited)
    _volunteer_for_oom()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _takes_place(task: Task, write: int) -> bool:
    """Whether it could. If not, the study hears why: nothing of the workload has run, so the config has not failed."""
    try:
        _take_place(task)
    except OSError as error:
        cause = f"the process could not be started: {error}"
        os.write(write, encode(Reported(task.job.attempt, Outcome.KILLED, cause=cause)))
        return False
    return True


def _take_place(task: Task) -> None:
    """In the attempt's group, files, folder and slot."""
    if task.group is not None:
        os.write(task.group, b"0")
    os.dup2(task.out, 1)
    os.dup2(task.err, 2)
    _close(task.descriptors())
    os.chdir(task.job.folder)
    if task.job.slot.cores:
        os.sched_setaffinity(0, task.job.slot.cores)
    variables = attempt_variables(task.job.slot, os.environ)
    os.environ.update({name: value for name, value in variables.items() if os.environ.get(name) != value})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED - {signal.SIGTERM})


def _volunteer_for_oom() -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    try:
        if int(os.pread(fd, 16, 0)) < OOM_SCORE:
            os.write(fd, str(OOM_SCORE).encode())
    finally:
        os.close(fd)


def _close(descriptors: Iterable[int], *sockets: socket.socket | None) -> None:
    for fd in descriptors:
        os.close(fd)
    for each in sockets:
        if each is not None:
            each.close()
