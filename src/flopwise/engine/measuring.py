"""What every job of a study is told about what is measured, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class Measuring(TypedDict):
    """Fields of :class:`~flopwise.wire.Job`."""

    metric: str
    validate_every: int | None
    count_validation: bool
    target: Mapping[str, Any]


def measuring(study: Mapping[str, Any]) -> Measuring:
    """What jobs measure: the study's metric, or that of its target, from which the worker makes seconds.

    Args:
        study: Canonical study.
    """
    objective, evaluation = study["objective"], study["evaluation"]
    target = objective.get("target", {})
    return {
        "metric": target.get("metric", objective["metric"]),
        "validate_every": evaluation.get("validate_every"),
        "count_validation": evaluation.get("count_validation", False),
        "target": target,
    }


def validated(study: Mapping[str, Any]) -> str:
    """The metric whose rows are all kept; empty for none."""
    objective = study["objective"]
    if "target" in objective:
        return str(objective["target"]["metric"])
    return str(objective["metric"]) if study.get("evaluation", {}).get("validate_every") else ""
