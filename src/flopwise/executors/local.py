"""Attempts as processes of this machine, forked by a keeper of our own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from flopwise.errors import ExecutorError
from flopwise.executors.environment import clean
from flopwise.executors.executor import NoOptions, Traits
from flopwise.executors.linux import require_linux
from flopwise.executors.sweep import sweep
from flopwise.wire import (
    Frames,
    Hello,
    Job,
    KeeperLost,
    Message,
    Ready,
    Shutdown,
    Slot,
    StopAttempt,
    WireError,
    encode,
)

LOG = "keeper.log"
"""Beside the stamps: what the keeper itself printed."""

READ_BYTES = 1 << 20
OPEN_LIMIT_S = 600.0
"""How long preloading may take."""

CLOSE_LIMIT_S = 20.0
"""How long the keeper may take to end everything; it kills at once, so it takes milliseconds."""

LEFTOVER_S = 3.0
"""How long the keeper of a coordinator that died is left to end its attempts and stamp them."""


class LocalExecutor:
    """Runs attempts through a keeper process (:mod:`flopwise.executors.keeper`).

    Args:
        slots: From :func:`~flopwise.executors.slots.make_slots`.
        leases: Descriptors by which their cores are leased; the keeper's guard holds them as well.

    Raises:
        ExecutorError: If this machine lacks what that takes.
    """

    Options: ClassVar[type[NoOptions]] = NoOptions
    traits = Traits(pins=True)

    def __init__(self, slots: Sequence[Slot], leases: Sequence[int] = ()) -> None:
        require_linux()
        self._slots = tuple(slots)
        self._leases = tuple(leases)
        self._hello: Hello | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._frames = Frames()
        self._log_start = 0

    @classmethod
    def from_study(
        cls, execution: Mapping[str, Any], cut: Callable[[], Sequence[Slot]], leases: Sequence[int] = ()
    ) -> LocalExecutor:
        """See :class:`~flopwise.executors.executor.Executor`."""
        return cls(cut(), leases)

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    def open(self, hello: Hello) -> Ready:
        """See :meth:`~flopwise.executors.executor.Executor.open`."""
        self.close()
        environment = clean(os.environ, hello.run_id, hello.pass_env)
        sweep(hello.run_id, LEFTOVER_S)
        self._hello, self._frames = hello, Frames()
        try:
            self._launch(environment)
        except OSError as error:
            raise ExecutorError(f"the keeper could not be started: {error}", where=str(self._log)) from error
        self._send(hello)
        return self._await_ready()

    def _launch(self, environment: dict[str, str]) -> None:
        """Start the program; it holds one end of a socket pair, and its output goes to the log."""
        log = _open_log(self._log)
        self._log_start = os.fstat(log).st_size
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flopwise.executors.keeper", *map(str, (theirs.fileno(), *self._leases))],
                pass_fds=[theirs.fileno(), *self._leases],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            self._socket = ours
        finally:
            os.close(log)
            theirs.close()

    def start(self, job: Job) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.start`."""
        if self._socket is None:
            raise ExecutorError("the executor is not open", fix="call open() first, and again after KeeperLost")
        self._send(job)

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.stop`."""
        if self._socket is not None:
            self._send(StopAttempt(attempt, reason, grace_s))

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        """See :meth:`~flopwise.executors.executor.Executor.poll`."""
        waiting = select.poll()
        for fd in (self._socket, wake):
            if fd is not None:
                waiting.register(fd, select.POLLIN)
        ready = {fd for fd, _ in waiting.poll(timeout_s * 1000)}
        if self._socket is None or self._socket.fileno() not in ready:
            return []
        return self._receive()

    def close(self) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.close`."""
        if self._process is None:
            return
        self._send(Shutdown())
        self._drain()
        self._end_keeper()

    @property
    def _log(self) -> Path:
        assert self._hello is not None
        return Path(self._hello.stamps).parent / LOG

    def _send(self, message: Message) -> None:
        """Write to the keeper; when it is dead, :meth:`poll` says so."""
        assert self._socket is not None
        try:
            frame = encode(message)
        except WireError as error:
            raise ExecutorError(f"{type(message).__name__} cannot be sent to the keeper: {error}") from error
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(frame)

    def _receive(self) -> list[Message]:
        assert self._socket is not None
        messages: list[Message] = []
        problem = ""
        try:
            data = self._socket.recv(READ_BYTES)
            messages += self._frames.feed(data)
        except (ConnectionResetError, WireError) as error:
            data, problem = b"", str(error)
        if not data:
            messages.append(self._lost(problem))
        return messages

    def _await_ready(self) -> Ready:
        assert self._socket is not None
        deadline = time.monotonic() + OPEN_LIMIT_S
        while (left_s := deadline - time.monotonic()) > 0:
            for message in self.poll(left_s):
                if isinstance(message, Ready):
                    return message
                if isinstance(message, KeeperLost):
                    raise ExecutorError(f"the keeper did not start: {message.detail}", where=str(self._log))
        self._end_keeper()
        raise ExecutorError(
            f"the keeper was not ready after {OPEN_LIMIT_S:g} s",
            where=str(self._log),
            fix="one of the modules it loads hangs; import them by hand to see which",
        )

    def _lost(self, problem: str) -> KeeperLost:
        """The keeper is gone: see to it that nothing of it is left, and say how it went."""
        at = time.monotonic()
        status = self._end_keeper()
        return KeeperLost(problem or _describe(status, self._last_words()), at)

    def _last_words(self) -> str:
        """The last line that this keeper printed, for example of a traceback."""
        lines = self._log.read_bytes()[self._log_start :].decode(errors="replace").splitlines()
        return lines[-1] if lines else ""

    def _end_keeper(self) -> int:
        """Wait for the keeper's guard, which goes last; returns its exit status."""
        assert self._process is not None and self._hello is not None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        try:
            status = self._process.wait(CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process = None
        sweep(self._hello.run_id)
        return status

    def _drain(self) -> None:
        """Read and drop what the keeper still says, so that it can finish."""
        assert self._socket is not None
        self._socket.settimeout(CLOSE_LIMIT_S)
        with contextlib.suppress(OSError):
            while self._socket.recv(READ_BYTES):
                pass


def _open_log(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def _describe(status: int, last_words: str) -> str:
    """The guard passes a signal on as 128 + its number, as a shell does."""
    number = -status if status < 0 else status - 128
    if number in {s.value for s in signal.Signals}:
        return f"ended by signal {number} {signal.Signals(number).name}"
    return f"exited with status {status}" + (f": {last_words}" if last_words else "")
