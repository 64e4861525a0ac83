"""The keeper: a small, single-threaded server that forks every attempt, and outlives none of them.

``python -m flopwise.executors.keeper FD`` where FD is one end of a socket pair; the other end is the
coordinator's. It imports what attempts need once, then forks one process per job, holds the deadlines and
passes on what workers say. Above it stands a guard (:mod:`flopwise.executors.guard`), below it are the
:class:`~flopwise.executors.processes.Processes`.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flopwise.executors import cgroup
from flopwise.executors.child import BLOCKED, Part
from flopwise.executors.guard import stand_guard
from flopwise.executors.outbox import Outbox
from flopwise.executors.pace import Pace
from flopwise.executors.preload import preload
from flopwise.executors.processes import Processes
from flopwise.executors.spares import Spares
from flopwise.executors.stamps import Stamps
from flopwise.executors.topology import boot_id, usable_cores
from flopwise.registry import resolve
from flopwise.wire import Frames, Hello, Job, Message, Ready, Shutdown, StopAttempt, WireError, encode

ENTRY = "flopwise.worker.entry:main"
REHEARSE = "flopwise.worker.rehearsal:rehearse"
READ_BYTES = 1 << 16
FAREWELL_S = 5.0
"""How long a coordinator that asked for the end may take to read the last messages."""

QUIET_S = 0.03
"""With nothing to do for so long, spares are forked; at once, they would compete with the attempts just begun."""

OPEN_FILES = 16_384
"""Descriptors to allow for, where the system lets us: four a slot, and one an orphan."""


class Keeper:
    """Serves one coordinator.

    Args:
        control: Socket to the coordinator.
        frames: What has been read from it and is not a whole message yet.
        hello: What it asked for.
        guard: Pidfd of the parent process, readable when that is gone.
    """

    def __init__(self, control: socket.socket, frames: Frames, hello: Hello, guard: int) -> None:
        self._control = control
        self._frames = frames
        self._guard = guard
        self._leaving = False
        self._busy_at = 0.0
        self._pace = Pace(len(usable_cores()))
        self._stamps = Stamps(Path(hello.stamps))
        self._outbox = Outbox(control)
        self._selector = selectors.DefaultSelector()
        spares = Spares(self._selector, Part(resolve(ENTRY), resolve(REHEARSE), hello.objective))
        groups = cgroup.join(hello.run_id)
        self._processes = Processes(self._selector, self._outbox, self._stamps, spares, groups)
        self._watch(control.fileno(), self._on_control)
        self._watch(guard, self._abandoned)

    def run(self, ready: Ready) -> None:
        """Serve until the coordinator says so or is gone, and until every attempt is gone."""
        self._stamps.add("keeper", time.monotonic(), pid=ready.pid, boot_id=boot_id())
        self._outbox.put(encode(ready))
        while self._processes or not self._leaving:
            self._balance()
            self._serve()
            self._processes.look()
        self._outbox.finish(FAREWELL_S)

    def _serve(self) -> None:
        """Do what there is to do, now or next; after a while with nothing to do, provide for later."""
        limits = (self._processes.patience(), self._spare_in_s(), self._pace.due_in_s(len(self._processes)))
        events = self._selector.select(min((limit for limit in limits if limit is not None), default=None))
        if events:
            self._busy_at = time.monotonic()
        elif self._spare_in_s() == 0.0:
            self._processes.add_spare()
        for key, _ in events:
            key.data()
        while self._pace.due_in_s(len(self._processes)) == 0.0:
            self._begin()

    def _begin(self) -> None:
        self._processes.start(self._pace.take())
        self._busy_at = time.monotonic()

    def _spare_in_s(self) -> float | None:
        """When the next spare is due, in seconds from now, unless something happens before; None for never."""
        if self._leaving or self._pace or not self._processes.wants_spare:
            return None
        return max(0.0, self._busy_at + QUIET_S - time.monotonic())

    def _balance(self) -> None:
        """Wait for a chance to write when there is something to write, and stop listening when it is much."""
        self._processes.listen(not self._outbox.is_full)
        if not self._leaving:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
            if self._selector.get_key(self._control.fileno()).events != events:
                self._selector.modify(self._control.fileno(), events, self._on_control)

    def _on_control(self) -> None:
        self._outbox.flush()
        try:
            data = self._control.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._abandoned()
        for message in self._frames.feed(data):
            self._obey(message)

    def _obey(self, message: Message) -> None:
        match message:
            case Job() if not self._leaving:
                self._pace.add(message)
            case StopAttempt():
                while self._pace.holds(message.attempt):  # only what has begun can be stopped
                    self._begin()
                self._processes.stop(message.attempt, message.grace_s)
            case Shutdown():
                self._leave()

    def _abandoned(self) -> None:
        """Coordinator or guard is gone: nothing of them may live on."""
        if not self._leaving:
            self._stamps.add("coordinator_gone", time.monotonic())
        self._leave()

    def _leave(self) -> None:
        if self._leaving:
            return
        self._leaving = True
        self._pace.clear()
        for fd in (self._control.fileno(), self._guard):
            self._selector.unregister(fd)
        self._processes.kill_all()

    def _watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, callback)


def serve(control: socket.socket, guard: int) -> None:
    """Be the keeper of the coordinator at the other end of ``control``."""
    began = time.monotonic()
    frames = Frames()
    hello = _greeting(control, frames)
    if hello is None:
        return
    problems = preload(hello)
    ready = Ready(os.getpid(), time.monotonic() - began, tuple(problems))
    Keeper(control, frames, hello, guard).run(ready)


def _greeting(control: socket.socket, frames: Frames) -> Hello | None:
    """The first message; None when the coordinator went before it said anything."""
    while data := control.recv(READ_BYTES):
        for message in frames.feed(data):
            if not isinstance(message, Hello):
                raise WireError(f"expected Hello first, got {type(message).__name__}")
            return message
    return None


def _settle_in() -> None:
    """What keeper, guard and all attempts share: files for this user only, own session, no core dumps."""
    os.umask(0o077)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    faulthandler.enable()
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(arguments: list[str]) -> int:
    """The program.

    Args:
        arguments: The numbers of the inherited socket, and of the leases that the guard is to hold.
    """
    control = socket.socket(fileno=int(arguments[0]))
    leases = [int(number) for number in arguments[1:]]
    for fd in (control.fileno(), *leases):
        os.set_inheritable(fd, False)
    _settle_in()

    def serve_without_leases(guard: int) -> None:
        for fd in leases:
            os.close(fd)
        serve(control, guard)

    return stand_guard(serve_without_leases, control.close)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
