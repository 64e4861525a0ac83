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

    Outside the main thread Python cannot set handlers; then ``count`` stays 0.

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
        os.close(self.wake)
        os.close(self._write)

    def drain(self) -> None:
        """Empty the wake pipe."""
        try:
            while os.read(self.wake, 64):
                pass
        except BlockingIOError:
            return

    def _caught(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.last = signal.Signals(number).name
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return
