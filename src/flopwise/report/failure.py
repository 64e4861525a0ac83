"""A failed attempt in a few lines: what, why, and the end of its output."""

from __future__ import annotations

from flopwise.events import AttemptEnded
from flopwise.journal.replay import RunState
from flopwise.report.text import clip, plain, tail
from flopwise.trial import AttemptId, Outcome

TAIL_LINES = 6
TAIL_WIDTH = 200
"""Characters of a line of output that are shown; ``flopwise logs`` has the rest."""


def is_failure(event: AttemptEnded) -> bool:
    """Whether the workload failed; not when the study itself ended the attempt."""
    return not event.interrupted and event.outcome not in (Outcome.OK, Outcome.PRUNED)


def failure_lines(event: AttemptEnded, state: RunState) -> list[str]:
    """One line with outcome and cause, then the last lines of output.

    Args:
        event: A failure.
        state: Of the run, the event included.
    """
    attempt = AttemptId.parse(event.attempt)
    trial = state.trials[attempt.trial]
    again = "" if trial.final(attempt.seed_index) == event else "; it is tried again"
    cause = f": {plain(event.cause)}" if event.cause else ""
    who = "baseline" if attempt.trial == 0 else f"trial {attempt.trial}"
    head = f"{who} failed, {event.outcome}{cause} ({event.attempt}){again}"
    return [head, *(f"    | {clip(line, TAIL_WIDTH)}" for line in tail(event.tail, TAIL_LINES))]
