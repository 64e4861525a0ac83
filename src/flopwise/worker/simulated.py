"""An evaluation in the coordinator's own process and in memory: its values are real, its time is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopwise.wire import Job, Message, Progress, Reported
from flopwise.worker.context import AttemptContext
from flopwise.worker.entry import evaluate


class _Kept:
    """A sink that keeps lines of progress; rows are read from the whole curve."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []

    def has_room(self) -> bool:
        return True

    def send(self, message: Message) -> None:
        if isinstance(message, Progress):
            self.progress.append(message)


def evaluate_in_memory(
    job: Job, objective: str | None, asked: Callable[[], bool]
) -> tuple[list[dict[str, Any]], list[Progress], Reported]:
    """Run a job and write nothing.

    Args:
        job: What to do; the process stands in its folder.
        objective: The study's function as ``Hello.objective`` carries it.
        asked: Says whether the study wants the attempt to end.

    Returns:
        The whole learning curve, lines of progress, and the result.
    """
    sink = _Kept()
    context = AttemptContext(job, sink, objective, asked)
    result = evaluate(job, context)
    context.flush()
    reported = Reported(job.attempt, result.outcome, result.metrics, result.info, result.cause)
    return context.rows(), sink.progress, reported
