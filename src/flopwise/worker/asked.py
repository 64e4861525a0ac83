"""An evaluation done in a loop of the user's own: judged and written down as a worker's is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from flopwise.errors import WorkloadError
from flopwise.trial import Result
from flopwise.wire import Job, Message, Reported
from flopwise.worker import summary
from flopwise.worker.context import AttemptContext
from flopwise.worker.entry import judged
from flopwise.worker.outcome import failure


class _Straight:
    """An outlet that hands every message on at once."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self.send = send

    def has_room(self) -> bool:
        return True


class AskedAttempt:
    """What stands behind an asked trial: its context, and what becomes of what is told about it.

    Nothing of the process is touched: no thread pool is sized, no random stream is seeded.

    Args:
        job: What was asked for.
        send: Takes the measurements.
        asked: Whether the study wants it to end.

    Attributes:
        context: The same that a function is given.
    """

    def __init__(self, job: Job, send: Callable[[Message], None], asked: Callable[[], bool]) -> None:
        self._job = job
        self._began = time.monotonic()
        self.context = AttemptContext(job, _Straight(send), None, asked)

    def told(self, value: Any) -> Reported:
        """Judge what was told as what a function returns: a mapping with the metric, or the metric alone.

        Raises:
            WorkloadError: If the metric is missing or not a number; nothing was written.
        """
        values = value if isinstance(value, Mapping) else {self._job.metric: value}
        return self._write(judged(values, self.context))

    def failed(self, cause: str | BaseException) -> Reported:
        """An evaluation that gave nothing; an exception says by its type whether memory ran out."""
        error = cause if isinstance(cause, BaseException) else WorkloadError(cause)
        return self._write(failure(error, self.context.facts, stopped=self.context.told_to_stop))

    def _write(self, result: Result) -> Reported:
        """On disk first, so that a death from here on loses nothing."""
        self.context.flush()
        done = summary.write(self._job, result, self.context.rows(), time.monotonic() - self._began)
        return Reported(self._job.attempt, done.outcome, done.metrics, done.info, done.cause)
