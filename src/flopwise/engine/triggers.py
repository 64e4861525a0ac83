"""A verdict's triggers from the state of a run; what they mean is in ``stats/triggers``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from flopwise.journal.course import SMOOTH
from flopwise.journal.replay import AttemptState, RunState, TrialState
from flopwise.registry import load
from flopwise.space import Categorical, Float, Int
from flopwise.stats.triggers import GENERATIONS, Shape, Trigger, curves, inside, persistence, stability
from flopwise.study import full_config, space_of
from flopwise.trial import Outcome, Phase

TRIALS_WITHOUT_GENERATIONS = 8
"""What counts as a generation for searchers that have none."""

AT_BOUND = 0.02
"""Share of a float's range, on its scale, that counts as its bound."""

FEW_VALUES = 4
"""An int with fewer values has no inside."""

WIDER = (0.5, 0.25, 0.1)
"""By which share of its range, on its scale, a parameter could be widened; the first that the workload takes."""


def triggers(study: Mapping[str, Any], state: RunState, winner: int, numbers: Mapping[str, Any]) -> list[Trigger]:
    """Every trigger of a confirmed winner.

    Args:
        study: Canonical study.
        state: The run; its looks are over.
        winner: Trial number.
        numbers: Of the last look.
    """
    recent = last_generations(state)
    return [
        _stability(recent),
        _persistence(state, winner, recent, numbers),
        curves([shape for each in _confirming(state, winner) for shape in _shapes(each)]),
        inside(list(_pressed(study, state.trials[winner].trial.config))),
    ]


def last_generations(state: RunState) -> list[list[TrialState]]:
    """Finished search trials of the last generations, oldest first; of as many trials where there are none."""
    tier = state.study["tiers"][state.tier.tier] if state.tier else {}
    size = tier.get("population") or TRIALS_WITHOUT_GENERATIONS
    trials = state.by_phase(Phase.SEARCH)
    groups = [trials[first : first + size] for first in range(0, len(trials), size)]
    return [[trial for trial in group if trial.finished] for group in groups[-GENERATIONS:]]


def _stability(recent: Sequence[Sequence[TrialState]]) -> Trigger:
    ends = [end for group in recent for trial in group for end in trial.finals() if end is not None]
    return stability([end.outcome not in (Outcome.OK, Outcome.PRUNED) for end in ends], len(recent))


def _persistence(
    state: RunState, winner: int, recent: Sequence[Sequence[TrialState]], numbers: Mapping[str, Any]
) -> Trigger:
    """The baseline's calibration is what search and choosing are compared with; deciding has its own."""
    objective = state.objective
    base = state.trials[0].loss(objective)
    chosen = next((trial for trial in state.by_phase(Phase.CHOOSE) if trial.trial.of == winner), None)
    passes = [None if trial is None else trial.loss(objective) for trial in (state.trials[winner], chosen)]
    losses = [[loss for trial in group if (loss := trial.loss(objective)) is not None] for group in recent]
    best = [min(group, default=None) for group in losses]
    gains = [None if base is None or loss is None else base - loss for loss in (*passes, *best)]
    return persistence([*gains[:2], numbers["mean_improvement"]], gains[2:], numbers["threshold"])


def _confirming(state: RunState, winner: int) -> list[TrialState]:
    return [trial for trial in state.by_phase(Phase.CHOOSE, Phase.DECIDE) if trial.trial.of == winner]


def _shapes(trial: TrialState) -> Iterator[Shape]:
    """Of the attempts that count and reported enough."""
    for attempt in trial.attempts:
        if attempt.ended is not None and attempt.ended is trial.final(attempt.id.seed_index):
            yield from _shape(attempt)


def _shape(attempt: AttemptState) -> Iterator[Shape]:
    course = attempt.course
    if course is None or course.count < 2 * SMOOTH:
        return
    typical = math.exp(course.log_length / course.lengths) if course.lengths else None
    yield Shape(course.head, course.low, course.tail, typical, course.longest if course.lengths else None)


def _pressed(study: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Parameters that matter in a config and are at a bound."""
    space = space_of(study)
    for key, parameter in space.parameters.items():
        end = None if key not in space.active(config) else _end(parameter, config[key])
        if end is not None and not isinstance(parameter, Categorical):
            wider = (value for value in _beyond(parameter, end) if value >= 0 or parameter.low < 0)
            widen = next((value for value in wider if _takes(study, config, key, value)), None)
            yield {"key": key, "value": config[key], "end": end, "widen": widen}


def _end(parameter: Float | Int | Categorical, value: Any) -> str | None:
    """``low`` or ``high`` where a value is there."""
    if isinstance(parameter, Float):
        unit = parameter.encode(value)
        return "low" if unit <= AT_BOUND else "high" if unit >= 1.0 - AT_BOUND else None
    if isinstance(parameter, Int) and (parameter.high - parameter.low) // parameter.step >= FEW_VALUES - 1:
        return {parameter.low: "low", parameter.high: "high"}.get(value)
    return None


def _beyond(parameter: Float | Int, end: str) -> Iterator[Any]:
    """Bounds further out, the furthest first."""
    low, high = float(parameter.low), float(parameter.high)
    for share in WIDER:
        if parameter.scale == "log":
            factor = (high / low) ** share
            value = low / factor if end == "low" else high * factor
        else:
            value = low - share * (high - low) if end == "low" else high + share * (high - low)
        if isinstance(parameter, Float):
            yield float(f"{value:.3g}")
        else:
            steps = max(1, round(abs(value - (low if end == "low" else high)) / parameter.step))
            yield parameter.low - steps * parameter.step if end == "low" else parameter.high + steps * parameter.step


def _takes(study: Mapping[str, Any], config: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether the workload allows a value of one key of a config."""
    model = load("workloads", study["workload"]).config_model
    if model is None:
        return True
    try:
        model.model_validate(full_config(study, {**config, key: value}))
    except (ValidationError, ValueError):
        return False
    return True
