"""The worker: runs one job and says how it ended, on disk first and then over the wire."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from flopwise import registry
from flopwise.errors import ProgramFailed, WorkloadError
from flopwise.trial import Outcome, Result
from flopwise.wire import Job, Reported, WireError
from flopwise.worker import limits, summary, warm
from flopwise.worker.context import AttemptContext
from flopwise.worker.objective import decode
from flopwise.worker.outcome import failure, judge, judge_pin, refusal
from flopwise.worker.outlet import Outlet
from flopwise.worker.timing import timed


def main(job: Job, fd: int, objective: str | None, asked: Callable[[], bool] | None = None) -> int:
    """Run a job in this process.

    Args:
        job: What to do; the process stands in its folder.
        fd: Write end of the wire.
        objective: The study's function as ``Hello.objective`` carries it.
        asked: Says whether the study wants the attempt to end. None: SIGTERM says so.

    Returns:
        Exit status: 0 when the outcome is ok, 1 otherwise.
    """
    began = time.monotonic()
    pid = os.getpid()
    asked = asked or _sigterm()
    limits.apply(job.slot.threads)
    outlet = Outlet(fd)
    context = AttemptContext(job, outlet, objective, asked)
    result = evaluate(job, context)
    if os.getpid() != pid:
        os._exit(0)
    context.flush()
    result = summary.write(job, result, context.rows(), time.monotonic() - began)
    report(outlet, job.attempt, result)
    return 0 if result.outcome == Outcome.OK else 1


def before_fork(objective: str | None) -> None:
    """What a fork server calls once, so that no worker has to: load the function, warm what it uses.

    Raises:
        Exception: Whatever loading the function raises; each attempt will raise it again.
    """
    try:
        if objective is not None:
            decode(objective)
    finally:
        warm.warm_torch()
        limits.apply(1)


def evaluate(job: Job, context: AttemptContext) -> Result:
    """The workload's own code runs here, and nowhere else; whatever it raises becomes an outcome.

    Args:
        job: What to do; the process stands in its folder.
        context: Of the attempt.
    """
    try:
        spec = registry.load("workloads", job.workload)
        if job.kind == "prepare":
            return judge_pin(_resolve(spec.prepare, job)(job.config, context), context.facts)
        return judged(_resolve(spec.entry, job)(job.config, context), context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _print(error, job)
        refused = refusal(error) if job.kind == "prepare" else {}
        return failure(error, {**context.facts, **refused}, stopped=context.asked())


def judged(value: Any, context: AttemptContext) -> Result:
    """What a workload returned as a result, with its seconds where the study has a target.

    Raises:
        WorkloadError: If it lacks what the study needs.
    """
    result = judge(value, context.metric, context.facts, stopped=context.told_to_stop)
    if context.target is None or result.outcome != Outcome.OK:
        return result
    return timed(result, context.target, context.validations)


def _print(error: BaseException, job: Job) -> None:
    """What the attempt's stderr keeps of an error: no traceback where the message says it all."""
    if isinstance(error, WorkloadError) and job.kind == "prepare" and not isinstance(error, ProgramFailed):
        print(error, file=sys.stderr)
    elif not isinstance(error, ProgramFailed):
        traceback.print_exception(error)
    sys.stderr.flush()


def _resolve(target: str | None, job: Job) -> Any:
    if target is None:
        raise WorkloadError(f"workload {job.workload} has nothing to {job.kind}")
    return registry.resolve(target)


def _sigterm() -> Callable[[], bool]:
    """Turn SIGTERM from an end into a question; it is held back until then."""
    seen: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)

    signal.signal(signal.SIGTERM, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return lambda: bool(seen)


def report(outlet: Outlet, attempt: str, result: Result) -> None:
    """Send how an attempt ended; a result that has no frame ends it as an error.

    Args:
        outlet: The wire.
        attempt: ``AttemptId`` as text.
        result: How it ended.
    """
    try:
        outlet.send(Reported(attempt, result.outcome, result.metrics, result.info, result.cause))
    except WireError as error:
        cause = f"the result cannot be sent: {error}; note less with context.note"
        outlet.send(Reported(attempt, Outcome.ERROR, cause=cause))
