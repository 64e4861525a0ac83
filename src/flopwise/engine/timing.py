"""Studies that run to a target: which of their targets counts, and what confirmation compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flopwise.contention import is_contended
from flopwise.events import Event, TargetChosen
from flopwise.journal.replay import RunState, TrialState
from flopwise.objective import Objective
from flopwise.stats.censored import Duration, decide_timed
from flopwise.stats.targets import Rung, choose, rung
from flopwise.stats.verdict import Judgement
from flopwise.trial import Outcome, Phase


def target_events(state: RunState) -> list[Event]:
    """Another target than the study's own, once its search is over and if it has to be; empty where it need not."""
    objective = state.objective
    target = objective.target
    if target is None or state.target is not None or not (target.fallback or target.tighten):
        return []
    trials = [trial for trial in state.by_phase(Phase.SEARCH) if trial.finished and trial.failure() is None]
    if not trials:
        return []
    rungs = {level: rung(level, [seconds(trial, objective, level) for trial in trials]) for level in target.levels}
    chosen = choose(target.value, target.fallback, target.tighten, rungs)
    if chosen == target.value:
        return []
    looked = [rungs[level] for level in (target.value, *target.fallback, *target.tighten)]
    return [TargetChosen(chosen, _reason(rungs[target.value], rungs[chosen]), [_count(each) for each in looked])]


def seconds(trial: TrialState, objective: Objective, level: float) -> list[float | None]:
    """When each seed of a trial reached a target that its study declares; None where it did not."""
    assert objective.target is not None
    at = replace(objective, target=replace(objective.target, value=level))
    return [at.shown(loss) for loss in trial.losses(at)]


def durations(trial: TrialState, objective: Objective) -> list[Duration | None]:
    """How long each seed was watched; None where it failed for good or has not ended."""
    pairs = zip(trial.losses(objective), trial.finals(), strict=True)
    return [
        None
        if loss is None or end is None
        else Duration(loss, True)
        if objective.reached(loss)
        else Duration(float(end.info["last_validation"][1]), False)
        for loss, end in pairs
    ]


def disturbed(*trials: TrialState) -> list[bool]:
    """Of each seed, whether the time of one of the trials says nothing, its slot having been used by others."""
    ends = zip(*(trial.finals() for trial in trials), strict=True)
    return [
        any(end is not None and end.outcome == Outcome.OK and is_contended(end.contention) for end in each)
        for each in ends
    ]


def timed_verdict(study: Mapping[str, Any], state: RunState, chosen: int, looks: Sequence[int]) -> Judgement:
    """The judgement on seconds to the target, over all looks taken so far."""
    objective = state.objective
    sides = [[t for t in state.by_phase(Phase.DECIDE) if t.trial.of == of] for of in (0, chosen)]
    first, second = ([each for trial in side for each in durations(trial, objective)] for side in sides)
    bad = [each for pair in zip(*sides, strict=True) for each in disturbed(*pair)]
    return decide_timed(first, second, bad, study["confirm"]["min_improvement"], objective, looks)


def _reason(before: Rung, now: Rung) -> str:
    if not before.reached:
        return f"No config reached {before.value:g}; {now.reached} of {now.of} reached {now.value:g}."
    return (
        f"All {before.of} configs reached {before.value:g} in about the same time; "
        f"{now.reached} of {now.of} reached {now.value:g}."
    )


def _count(each: Rung) -> dict[str, Any]:
    return {"value": each.value, "reached": each.reached, "of": each.of, "spread": each.spread}
