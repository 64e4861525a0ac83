"""Time as an argument: a real clock and a simulated one.

Durations always come from ``monotonic`` (Linux ``CLOCK_MONOTONIC``: shared by all processes of a
machine since it booted, so stamps of coordinator, keeper and worker compare). Wall time is for people.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the engine needs to know about time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def wall(self) -> str:
        """Date and time, ISO 8601, UTC."""
        ...


class RealClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")


class SimulatedClock:
    """A clock that moves only when told to.

    Args:
        start_s: First reading of ``monotonic``, in seconds.

    Example:
        >>> clock = SimulatedClock()
        >>> clock.advance(1.5)
        >>> clock.monotonic()
        1.5
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``; a negative step raises ``ValueError``."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} s")
        self._now_s += seconds

    def reach(self, at_s: float) -> None:
        """Move forward to a reading; one that has passed already changes nothing."""
        self._now_s = max(self._now_s, at_s)

    def monotonic(self) -> float:
        return self._now_s

    def wall(self) -> str:
        return datetime.fromtimestamp(self._now_s, UTC).isoformat(timespec="seconds")
