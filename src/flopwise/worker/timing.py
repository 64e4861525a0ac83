"""What a training that ran to a target gives: seconds, made of the validations that it reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flopwise.errors import WorkloadError
from flopwise.target import SECONDS_TO_TARGET, Target, points
from flopwise.trial import Result


def timed(result: Result, target: Target, rows: Iterable[Mapping[str, Any]]) -> Result:
    """A good result with its seconds to the target; one that did not get there is censored, not failed.

    Args:
        result: Ended ok.
        target: What it ran to.
        rows: Validations, as they were reported.

    Returns:
        The result with the metric ``seconds_to_target`` where the target was reached, and the facts
        ``reached_target``, ``time_to_target``, ``final_step``, ``targets`` (every declared level with its seconds, or
        null) and ``last_validation`` (step, seconds, value).

    Raises:
        WorkloadError: If nothing was validated, or the workload says itself how long it took.
    """
    curve = points(rows, target.metric)
    if not curve:
        raise WorkloadError(
            f"no row of the learning curve has {target.metric}",
            expected=f"context.report(step, {target.metric}=…) now and then, or JSON lines with both",
            fix="seconds to a target are read from the learning curve",
        )
    if SECONDS_TO_TARGET in result.metrics:
        raise WorkloadError(f"{SECONDS_TO_TARGET} is measured, not told", fix="return it under another name")
    seconds, last = target.seconds(curve), curve[-1]
    facts = {
        "reached_target": seconds is not None,
        "time_to_target": seconds,
        "final_step": last.step,
        "targets": [[level, target.seconds(curve, level)] for level in target.levels],
        "last_validation": [last.step, last.seconds, last.value],
    }
    metrics = {**result.metrics, **({} if seconds is None else {SECONDS_TO_TARGET: seconds})}
    return replace(result, metrics=metrics, info={**result.info, **facts})
