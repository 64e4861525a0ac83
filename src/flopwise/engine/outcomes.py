"""How an attempt ended: what its process said, and what the keeper saw, put together in one outcome."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from flopwise.trial import Outcome
from flopwise.wire import Ended, Reported


@dataclass(frozen=True)
class Ending:
    """Outcome, its cause in one line, and whether the study (not the workload) ended it."""

    outcome: Outcome
    cause: str
    interrupted: bool = False


def classify(reported: Reported | None, ended: Ended, limit_s: float | None) -> Ending:
    """One outcome for one attempt.

    Args:
        reported: The worker's last word, if it came through.
        ended: What the keeper saw.
        limit_s: The attempt's time-out in seconds.
    """
    if reported is not None and reported.outcome != Outcome.KILLED:
        return Ending(Outcome(reported.outcome), reported.cause)
    if ended.reason == "timeout":
        return Ending(Outcome.TIMEOUT, f"not finished after {limit_s:g} s" if limit_s else "not finished in time")
    if ended.reason == "stopped":
        return Ending(Outcome.KILLED, "stopped by the study", interrupted=True)
    if ended.reason == "protocol":
        return Ending(Outcome.ERROR, "wrote something that is not a message to the study's own pipe")
    if ended.signal is not None:
        return Ending(Outcome.KILLED, _signal_cause(ended.signal))
    if reported is not None:
        return Ending(Outcome.KILLED, reported.cause or "stopped from outside")
    return Ending(Outcome.ERROR, f"exited with status {ended.exit_code} without a result")


def _signal_cause(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    hint = " (out of memory, or killed from outside)" if number == signal.SIGKILL else ""
    return f"ended by signal {number} {name}{hint}"
