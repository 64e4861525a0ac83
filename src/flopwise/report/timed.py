"""A study that runs to a target, for the report: which target counts, and how winner and baseline got there.

Times of trainings that did not get there are censored. Their curves are Kaplan and Meier's, their difference is tested
by log-rank, and their mean is restricted to the moment up to which every one of them was watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flopwise.contention import is_contended
from flopwise.journal.replay import RunState, TrialState
from flopwise.objective import Objective
from flopwise.stats.censored import Duration, horizon, logrank, median, restricted_mean, survival
from flopwise.trial import Outcome, Phase


def timed(state: RunState) -> dict[str, Any] | None:
    """What ``report.json`` holds of it; None for a study without a target."""
    target = state.objective.target
    if target is None:
        return None
    chosen = state.target
    return {
        "metric": target.metric,
        "target": target.value,
        "chosen": None if chosen is None else {"reason": chosen.reason, "counts": chosen.counts},
        "compared": _compared(state),
    }


def _compared(state: RunState) -> dict[str, Any] | None:
    """Baseline and winner on the fresh seeds of the deciding step; None before a verdict, and where all got there."""
    verdict = state.verdict
    if verdict is None or verdict.winner is None:
        return None
    sides = [_side(state, of) for of in (0, verdict.winner)]
    if not all(runs for runs, _, _ in sides):
        return None
    first, second = (runs for runs, _, _ in sides)
    until = horizon([*first, *second])
    if until is None:
        return None
    names = ("baseline", "winner")
    return {
        "horizon": until,
        "logrank": logrank(first, second),
        **{name: _numbers(*side, until) for name, side in zip(names, sides, strict=True)},
    }


def _side(state: RunState, of: int) -> tuple[list[Duration], int, int]:
    """Trainings of one config whose time counts; how many failed; how many had to share their slot."""
    trials = [trial for trial in state.by_phase(Phase.DECIDE) if trial.trial.of == of]
    every = [each for trial in trials for each in durations(trial, state.objective)]
    runs = [each for each, shared in every if each is not None and not shared]
    failed = sum(each is None for each, _ in every)
    return runs, failed, len(every) - failed - len(runs)


def durations(trial: TrialState, objective: Objective) -> list[tuple[Duration | None, bool]]:
    """How long each seed was watched, None where it failed; and whether its slot was used by others."""
    found: list[tuple[Duration | None, bool]] = []
    for loss, end in zip(trial.losses(objective), trial.finals(), strict=True):
        if end is None or end.outcome != Outcome.OK or loss is None:
            found.append((None, False))
            continue
        reached = objective.reached(loss)
        seconds = loss if reached else float(end.info["last_validation"][1])
        found.append((Duration(seconds, reached), is_contended(end.contention)))
    return found


def _numbers(runs: Sequence[Duration], failed: int, disturbed: int, until: float) -> dict[str, Any]:
    return {
        "seeds": len(runs),
        "reached": sum(each.reached for each in runs),
        "failed": failed,
        "disturbed": disturbed,
        "median": median(runs),
        "restricted_mean": restricted_mean(runs, until),
        "curve": [list(step) for step in survival(runs)],
        "censored": sorted(each.seconds for each in runs if not each.reached),
    }
