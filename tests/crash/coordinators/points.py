"""Faults at named points: the k-th write, sync, rename, spawn or wait of this process is where something happens.

A point is an operation with which a coordinator leaves a trace outside of itself, or waits for one. Its name is
the operation, the line of flopwise that asked for it, and how many operations came before.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import io
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

WRITES = (os.write, os.fsync, os.ftruncate, os.pwrite)
NAMES = (os.mkdir, os.rename, os.replace, os.unlink, os.chmod)
WRITING = os.O_WRONLY | os.O_RDWR


class Points:
    """Counts points, and does what it is told at one of them.

    Args:
        how: ``kill`` before the operation, ``half`` (kill when half of a write is done), ``after`` it, ``full``
            (from there on every write fails with ENOSPC), ``eio`` (this one operation fails), or ``count``.
        at: Which point, from 1.

    Attributes:
        names: Of the points so far.
    """

    def __init__(self, how: str = "count", at: int = 0) -> None:
        self._how = how
        self._at = at
        self.names: list[str] = []
        self._write, self._kill = os.write, os.kill

    def install(self) -> None:
        """Put a point in front of every such operation of this process, for good."""
        for operation in (*WRITES, *NAMES):
            setattr(os, operation.__name__, self._around(operation))
        os.open = self._around(os.open, lambda _, flags, *rest, **options: bool(flags & WRITING))
        io.open = self._around(io.open, lambda *given, **_: any(set("wax+") & set(a) for a in given[1:2]))
        fcntl.flock = self._around(fcntl.flock)
        select.poll = functools.partial(_Poll, self, select.poll)  # type: ignore[misc, assignment]
        for kind, name in ((subprocess.Popen, "__init__"), (subprocess.Popen, "wait"), (socket.socket, "sendall")):
            setattr(kind, name, self._around(getattr(kind, name)))

    def let_go(self) -> None:
        """From here on nothing happens at any point."""
        self._how = "count"

    def _around(self, operation: Callable[..., Any], counts: Callable[..., bool] = lambda *_, **__: True) -> Any:
        @functools.wraps(operation)
        def pointed(*arguments: Any, **options: Any) -> Any:
            if not counts(*arguments, **options):
                return operation(*arguments, **options)
            return self.pass_through(operation, *arguments, **options)

        return pointed

    def pass_through(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One point."""
        self.names.append(f"{operation.__name__} {_asked_by()} #{len(self.names) + 1}")
        now = len(self.names)
        if self._how == "full" and now >= self._at > 0 and operation.__name__ in ("write", "mkdir", "open"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if now != self._at or self._how == "count":
            return operation(*arguments, **options)
        if self._how == "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self._how == "half" and operation.__name__ == "write":
            self._write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        if self._how == "after":
            with contextlib.suppress(OSError):
                operation(*arguments, **options)
        self._kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("a killed process goes on")


class _Poll:
    """``select.poll()`` whose waiting is a point."""

    def __init__(self, points: Points, kind: Callable[[], Any]) -> None:
        self._points = points
        self._poll = kind()
        self.register = self._poll.register

    def poll(self, *arguments: Any) -> Any:
        return self._points.pass_through(self._poll.poll, *arguments)


def _asked_by() -> str:
    """``journal/log.py:160``: the innermost line of flopwise."""
    frame = sys._getframe(2)
    while frame.f_back is not None and f"{os.sep}flopwise{os.sep}" not in frame.f_code.co_filename:
        frame = frame.f_back
    file = frame.f_code.co_filename.rpartition(f"{os.sep}flopwise{os.sep}")[2]
    return f"{file}:{frame.f_lineno}"
