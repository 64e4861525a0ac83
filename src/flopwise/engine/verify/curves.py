"""Learning curves as verify reads them from the journal, and what they were at a step or a moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flopwise.engine.verify.parts import CONTENDED, Trial
from flopwise.engine.verify.run import Run
from flopwise.events import Measured

Curve = list[tuple[int, float, float]]
"""Step, seconds, value."""


@dataclass(frozen=True)
class Training:
    """One that ended ok.

    Args:
        curve: Its validations.
        loss: By the objective; NaN where that is a time.
        seconds: Until the target, or until it ended; NaN without a target.
        reached: Which of the two.
        alone: Nobody else used its slot.
    """

    curve: Curve
    loss: float
    seconds: float
    reached: bool
    alone: bool


def curves_of(run: Run) -> dict[str, Curve]:
    """Attempt to the validations among its rows; made once a run."""
    if not run.curves:
        objective = run.study["objective"]
        metric = objective.get("target", objective)["metric"]
        for record in run.records:
            if isinstance(record.event, Measured):
                curve = run.curves.setdefault(record.event.attempt, [])
                for row in record.event.rows:
                    value, at = row["values"].get(metric), row["values"].get("train_s", row["elapsed_s"])
                    if all(
                        isinstance(n, float | int) and not isinstance(n, bool) and math.isfinite(n) for n in (value, at)
                    ):
                        curve.append((row["step"], at, value))
    return run.curves


def training(run: Run, trial: Trial, seed: int) -> Training:
    """The attempt that counts for a seed, which ended ok."""
    end = trial.end(seed)
    assert end is not None
    curve, alone = curves_of(run).get(end.attempt, []), (end.contention or 0.0) <= CONTENDED
    value = trial.values()[seed]
    if "target" not in trial.study["objective"]:
        loss = trial.losses()[seed]
        return Training(curve, math.nan if loss is None else loss, math.nan, False, alone)
    if value is not None:
        return Training(curve, math.nan, float(value), True, alone)
    return Training(curve, math.nan, float(end.info["last_validation"][1]), False, alone)


def along(curve: Sequence[tuple[int, float, float]], at: float, axis: int) -> float:
    """The value at a step (axis 0) or a moment (axis 1), on straight lines."""
    after = next((n for n, point in enumerate(curve) if point[axis] >= at), len(curve) - 1)
    if after == 0 or curve[after][axis] <= at:
        return curve[after][2]
    low, high = curve[after - 1], curve[after]
    return low[2] + (at - low[axis]) * (high[2] - low[2]) / (high[axis] - low[axis])
