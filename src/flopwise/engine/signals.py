"""SIGINT, SIGTERM and SIGHUP as a counter that wakes the loop: once is please, twice is now."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Context manager that owns the signals while a study runs.

    Outside the main thread Python cannot set handlers; then only :meth:`ask` counts.

    Attributes:
        count: How often the user asked to stop.
        wake: File descriptor that becomes readable when a signal arrives.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self.wake, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._caught) for number in CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        for fd in (self.wake, self._write):
            os.close(fd)
        self._write = -1

    def drain(self) -> None:
        """Empty the wake pipe."""
        try:
            while os.read(self.wake, 64):
                pass
        except BlockingIOError:
            return

    def ask(self, reason: str) -> None:
        """Ask the study to stop, as a signal does; may be called from any thread, and after its end.

        Args:
            reason: Stands where a signal's name would.
        """
        self.count += 1
        self.last = reason
        try:
            os.write(self._write, b"!")
        except OSError:  # full, which wakes as well, or closed
            return

    def _caught(self, number: int, _: FrameType | None) -> None:
        self.ask(signal.Signals(number).name)
