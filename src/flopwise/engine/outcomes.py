"""How an attempt ended: what its process said, and what the keeper saw, put together in one outcome."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass

from flopwise.trial import Outcome
from flopwise.units import format_bytes
from flopwise.wire import Ended, Job, Reported

HINTS: Mapping[int, str] = {
    signal.SIGKILL: "out of memory, or killed from outside",
    signal.SIGTERM: "terminated from outside",
    signal.SIGSEGV: "its native code used memory that is not its own",
    signal.SIGBUS: "memory went away: a full /dev/shm, or a mapped file that was cut short",
    signal.SIGABRT: "its native code gave up; its stderr may say why",
    signal.SIGILL: "an instruction that this CPU does not have",
    signal.SIGFPE: "its native code divided by zero",
    signal.SIGXFSZ: "it wrote a larger file than the system allows",
    signal.SIGXCPU: "it used more CPU time than the system allows",
}
"""What a signal usually means."""


@dataclass(frozen=True)
class Ending:
    """Outcome, its cause in one line, and whether the study (not the workload) ended it.

    Args:
        outcome: One of the closed set.
        cause: One line.
        interrupted: It is run again.
        lost: With whom it was lost, ``keeper`` or ``coordinator``; empty when it was not.
    """

    outcome: Outcome
    cause: str
    interrupted: bool = False
    lost: str = ""


def classify(reported: Reported | None, ended: Ended, job: Job) -> Ending:
    """One outcome for one attempt.

    What a worker reported counts before how its process went: a result stands even if the process had to be
    ended afterwards.

    Args:
        reported: The worker's last word, if it came through.
        ended: What the keeper saw.
        job: What was asked for: the limits that it may have run into.
    """
    if reported is not None and reported.outcome != Outcome.KILLED:
        return Ending(Outcome(reported.outcome), reported.cause)
    if ended.reason in ("timeout", "silent"):
        return Ending(Outcome.TIMEOUT, _late_cause(ended.reason, job))
    if ended.reason == "memory":
        return Ending(Outcome.OOM, _memory_cause(job))
    if ended.reason == "stopped":
        return Ending(Outcome.KILLED, "stopped by the study", interrupted=True)
    if ended.reason == "protocol":
        return Ending(Outcome.ERROR, "wrote something that is not a message to the study's own pipe")
    if ended.signal is not None:
        return Ending(Outcome.KILLED, _signal_cause(ended.signal))
    if reported is not None:
        return Ending(Outcome.KILLED, reported.cause or "stopped from outside")
    return Ending(Outcome.ERROR, f"exited with status {ended.exit_code} without a result")


def _late_cause(reason: str, job: Job) -> str:
    if reason == "silent":
        return f"no progress: no measurement for {job.progress_s:g} s" if job.progress_s else "no progress"
    return f"not finished after {job.timeout_s:g} s" if job.timeout_s else "not finished in time"


def _memory_cause(job: Job) -> str:
    limit = job.slot.memory_bytes
    return f"its processes took more than its slot's {format_bytes(limit)} of memory" if limit else "out of memory"


def _signal_cause(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    hint = f" ({HINTS[number]})" if number in HINTS else ""
    return f"ended by signal {number} {name}{hint}"
