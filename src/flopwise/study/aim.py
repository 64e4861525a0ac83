"""The objective and the evaluation against the workload: is that metric measured, and is that length enough?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from flopwise.errors import Problem
from flopwise.study.explain import not_one_of, shown
from flopwise.study.freeze import fidelity_json
from flopwise.study.schema import EvaluationSection, ObjectiveSection, TargetSection
from flopwise.target import SECONDS_TO_TARGET

UNSET = ("progress_timeout", "validate_every", "count_validation")
"""Keys of an evaluation that are left out where they are not set: a study without them keeps its hash."""


LEVELS = {"direction", "fallback", "tighten"}
EXAMPLE = "for example {val_loss: 5.0}"


def evaluation_json(evaluation: EvaluationSection) -> dict[str, Any]:
    """The evaluation in canonical form."""
    unset = {key for key in UNSET if getattr(evaluation, key) is None}
    found = evaluation.model_dump(exclude=unset)
    return {**found, "stop": fidelity_json(found)}


def objective_json(objective: ObjectiveSection) -> dict[str, Any]:
    """The objective in canonical form; without a target it has no such key."""
    found = objective.model_dump(exclude={"target"})
    if objective.target is None:
        return found
    ((metric, value),) = (objective.target.model_extra or {}).items()
    return {**found, "target": {"metric": metric, "value": float(value), **objective.target.model_dump(include=LEVELS)}}


def aim_problems(
    objective: ObjectiveSection | None, evaluation: EvaluationSection, spec: Any, executor: str, *, broken: bool
) -> Iterator[Problem]:
    """What is wrong with objective and evaluation, given the workload.

    Args:
        objective: None where it could not be read.
        evaluation: As given, or the default where it could not be read.
        spec: The workload's; None where it is unknown.
        executor: Name of the one that runs the attempts.
        broken: The evaluation's stop could not be read.
    """
    if objective and spec and spec.metrics and objective.metric not in (*spec.metrics, SECONDS_TO_TARGET):
        yield Problem("objective.metric", not_one_of(objective.metric, (*spec.metrics, SECONDS_TO_TARGET)))
    if objective:
        yield from _timing(objective, evaluation, spec, executor)
        yield from _target(objective.target, spec)
    yield from _stop(evaluation, spec, broken=broken)
    yield from _validation(evaluation, spec)


def _timing(objective: ObjectiveSection, evaluation: EvaluationSection, spec: Any, executor: str) -> Iterator[Problem]:
    """A target and the metric that is the time to it belong together."""
    timed = objective.metric == SECONDS_TO_TARGET
    if timed and objective.target is None:
        yield Problem("objective.target", f"missing: what {SECONDS_TO_TARGET} is the time to; {EXAMPLE}")
    if not timed and objective.target is not None:
        reason = f"means nothing with metric: {objective.metric}"
        yield Problem("objective.target", f"{reason}; say metric: {SECONDS_TO_TARGET}, or drop it")
    if timed and objective.direction == "maximize":
        yield Problem("objective.direction", f"expected minimize: fewer {SECONDS_TO_TARGET} are better, got maximize")
    if timed and executor == "simulated":
        yield Problem("execution.executor", "expected one that runs on a real clock: simulated seconds measure nothing")
    if timed and evaluation.validate_every is None and getattr(spec, "validates", None) is not None:
        yield Problem("evaluation.validate_every", "missing: steps between validations; for example 50")


def _target(target: TargetSection | None, spec: Any) -> Iterator[Problem]:
    if target is None:
        return
    given = target.model_extra or {}
    if len(given) != 1:
        came = ", ".join(given) or "none"
        yield Problem("objective.target", f"expected one metric and its value, got {came}; {EXAMPLE}")
        return
    ((metric, value),) = given.items()
    measured = getattr(spec, "validates", None)
    if measured is not None and metric not in measured:
        yield Problem(f"objective.target.{metric}", not_one_of(metric, measured))
    if target.direction == "maximize" and metric in getattr(spec, "lower_is_better", ()):
        yield Problem("objective.target.direction", f"expected minimize: lower {metric} is better, got maximize")
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        yield Problem(f"objective.target.{metric}", f"expected a number, got {shown(value)}")
        return
    yield from _levels("fallback", "easier", [value, *target.fallback], target.direction == "minimize")
    yield from _levels("tighten", "harder", [value, *target.tighten], target.direction != "minimize")


def _levels(key: str, what: str, levels: Sequence[float], rising: bool) -> Iterator[Problem]:
    """Targets that have to go one way, the study's own first."""
    for before, after in pairwise(levels):
        if (after > before) is not rising or after == before:
            way = "more" if rising else "less"
            yield Problem(f"objective.target.{key}", f"expected {way} than {before:g}, which is {what}, got {after:g}")


def _stop(evaluation: EvaluationSection, spec: Any, *, broken: bool) -> Iterator[Problem]:
    given = fidelity_json(evaluation.model_dump())
    if len(given) > 1:
        yield Problem("evaluation.stop", f"expected exactly one of {', '.join(given)}; drop the others")
    if not given and not broken and spec is not None and spec.needs_stop:
        example = "{flops: 1e12}, or with tokens, steps or seconds"
        yield Problem("evaluation.stop", f"missing: how much training one evaluation buys; for example {example}")


def _validation(evaluation: EvaluationSection, spec: Any) -> Iterator[Problem]:
    every, counted = evaluation.validate_every, evaluation.count_validation
    if every is not None and spec is not None and getattr(spec, "validates", None) is None:
        reason = f"the workload {spec.name!r} decides itself when it validates"
        yield Problem("evaluation.validate_every", f"{reason}: let it report rows, and drop this key")
    if counted is not None and every is None:
        yield Problem("evaluation.count_validation", "means nothing without validate_every")
