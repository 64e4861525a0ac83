"""How fast attempts begin when there are more of them than cores.

A hundred attempts that begin in one moment often end in one moment. Then a hundred processes that write results and
are taken down share a few cores, each is done when all are, and the next hundred begin in one moment again. As far
apart as beginning and ending take, the first is done at once and its slot has work while the others end.
"""

from __future__ import annotations

import math
import time
from collections import deque

from flopwise.wire import Job

CPU_S = 0.01
"""What beginning and ending an attempt of a process with torch loaded take of one core; docs/log.md has the figures."""


class Pace:
    """Jobs that are to begin, in order.

    Args:
        cores: That attempts and keeper share.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._waiting: deque[Job] = deque()
        self._latest_at = -math.inf

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Queue one."""
        self._waiting.append(job)

    def holds(self, attempt: str) -> bool:
        """Whether that attempt waits."""
        return any(job.attempt == attempt for job in self._waiting)

    def due_in_s(self, running: int) -> float | None:
        """Seconds until the next may begin; None when none waits.

        Args:
            running: Attempts that run; as many as there are cores begin at once.
        """
        if not self._waiting:
            return None
        if running < self._cores:
            return 0.0
        return max(0.0, self._latest_at + CPU_S / self._cores - time.monotonic())

    def take(self) -> Job:
        """The next one, which begins now."""
        self._latest_at = time.monotonic()
        return self._waiting.popleft()

    def clear(self) -> None:
        """Forget all: there is nobody left for whom they would run."""
        self._waiting.clear()
