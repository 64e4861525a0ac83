"""Single keys from a terminal, without waiting for Return, and the terminal given back on every way out.

Nothing is done while this process is in the background, where touching the terminal would stop it. Ctrl-Z,
Ctrl-\\\\ and signals that nobody else handles give the terminal back first and then do what they always do.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable
from types import FrameType

LEAVING = (signal.SIGTSTP, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end or suspend a process that does not handle them."""

IFLAG, OFLAG, CFLAG, LFLAG, ISPEED, OSPEED, CC = range(7)
"""Fields of termios attributes."""


def _nothing(_: bool) -> None:
    return


class Keys:
    """Keys pressed in a terminal.

    Args:
        fd: Of the terminal.
        suspended: Called with True before this process is suspended, and with False when it goes on.
    """

    def __init__(self, fd: int, suspended: Callable[[bool], None] = _nothing) -> None:
        self._fd = fd
        self._suspended = suspended
        self._before: list[object] | None = None
        self._open = False

    def open(self) -> None:
        """Take single keys from now on; outside the main thread, which owns the signals, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._open = True
        for number in LEAVING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._leave)
        self._take()

    def close(self) -> None:
        """Give the terminal back; calling it twice does no harm."""
        self._open = False
        self._give()
        for number in LEAVING:
            if signal.getsignal(number) == self._leave:
                signal.signal(number, signal.SIG_DFL)

    def pressed(self) -> str:
        """What was typed since the last call; empty when nothing was, or nobody is there."""
        if not self._open or not self._take():
            return ""
        try:
            ready = select.select([self._fd], [], [], 0)[0]
            return os.read(self._fd, 64).decode(errors="replace") if ready else ""
        except OSError:
            return ""

    def _take(self) -> bool:
        """Have keys one by one and unechoed; also again after a shell took the terminal back."""
        try:
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return False
            attributes = termios.tcgetattr(self._fd)
            if attributes[LFLAG] & termios.ICANON:
                self._before = termios.tcgetattr(self._fd)
                attributes[LFLAG] &= ~(termios.ICANON | termios.ECHO)
                termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
        except (OSError, termios.error):
            return False
        return True

    def _give(self) -> None:
        before, self._before = self._before, None
        try:
            if before is not None and os.tcgetpgrp(self._fd) == os.getpgrp():
                termios.tcsetattr(self._fd, termios.TCSANOW, before)  # type: ignore[arg-type]
        except (OSError, termios.error):
            return

    def _leave(self, number: int, _: FrameType | None) -> None:
        """Give the terminal back and let the signal do its work; come back from being suspended.

        Raises:
            SystemExit: On SIGTERM and SIGHUP, so that everything else is put in order too.
        """
        self._give()
        if number in (signal.SIGTERM, signal.SIGHUP):
            raise SystemExit(128 + number)
        self._suspended(True)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        signal.signal(number, self._leave)
        self._suspended(False)
        self._take()


def terminal_keys(suspended: Callable[[bool], None] = _nothing) -> Keys | None:
    """Keys of standard input; None when that is no terminal."""
    try:
        return Keys(sys.stdin.fileno(), suspended) if sys.stdin.isatty() else None
    except (AttributeError, ValueError, OSError):
        return None
