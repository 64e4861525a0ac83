"""What the study minimises or maximises. The sign is turned once, here.

A study with a target minimises seconds, and a training that never got there has none: it is *censored*. Its
loss is then a place in the order of losses, behind everything that reached the target and among its like by
how far it came. It is compared and never averaged, and it is not shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from flopwise.target import Target

UNREACHED = 1e9
"""Losses of trainings that did not reach the target lie around twice this: no seconds (these would be thirty years)."""
FURTHEST = 0.9 * UNREACHED
"""Values of a target's metric beyond this are all as far from it."""


@dataclass(frozen=True)
class Objective:
    """One metric and its direction.

    Args:
        metric: Name of a final value that every evaluation reports.
        direction: ``minimize`` or ``maximize``.
        target: Where ``metric`` is the seconds until another one reaches it.

    Example:
        >>> Objective("accuracy", "maximize").loss({"accuracy": 0.9})
        -0.9
        >>> timed = Objective("seconds_to_target", target=Target("val_loss", 5.0))
        >>> fast, none = ({"targets": [[5.0, s]], "last_validation": [90, 20.0, 5.1]} for s in (12.0, None))
        >>> timed.loss({}, fast), timed.reached(timed.loss({}, none)), timed.shown(timed.loss({}, none))
        (12.0, False, None)
    """

    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"
    target: Target | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any], level: float | None = None) -> Objective:
        """The objective of a canonical study.

        Args:
            data: Its ``objective``.
            level: The target in force, where that is another one than the study begins with.
        """
        target = Target.from_json(data["target"]) if "target" in data else None
        if target is not None and level is not None:
            target = replace(target, value=level)
        return cls(data["metric"], data["direction"], target)

    @property
    def sign(self) -> float:
        """+1 when smaller is better, -1 when larger is better."""
        return 1.0 if self.direction == "minimize" else -1.0

    def loss(self, metrics: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> float | None:
        """The metric with smaller always better; None where it is missing or not finite.

        Args:
            metrics: Final values.
            facts: What the attempt noted; with a target, when it reached which level.
        """
        if self.target is not None:
            return self._place(self.target, facts or {})
        value = _finite(metrics.get(self.metric))
        return None if value is None else self.sign * value

    def together(self, losses: Sequence[float]) -> float:
        """One loss of several seeds: their mean; with a target the median, which one slow or censored run cannot move.

        The middle of an even number of seeds is the mean of the two that are nearest to it, unless one of them is
        censored: then it is that one.
        """
        if self.target is None:
            return sum(losses) / len(losses)
        low, high = statistics.median_low(losses), statistics.median_high(losses)
        return (low + high) / 2 if self.reached(high) else high

    def reached(self, loss: float) -> bool:
        """Whether a loss is a measured value, and not the place of a censored one."""
        return self.target is None or loss < UNREACHED

    def value(self, loss: float) -> float:
        """Back from a loss to the metric as the user knows it; infinite for a censored one."""
        return self.sign * loss if self.reached(loss) else math.inf

    def shown(self, loss: float | None) -> float | None:
        """The same as JSON has it: None for none, and for a censored one."""
        return None if loss is None or not self.reached(loss) else self.value(loss)

    def _place(self, target: Target, facts: Mapping[str, Any]) -> float | None:
        reached = dict(facts.get("targets", ()))
        seconds, last = _finite(reached.get(target.value)), facts.get("last_validation")
        if seconds is not None:
            return seconds
        value = _finite(last[2]) if last else None
        return None if value is None else 2 * UNREACHED + target.sign * max(-FURTHEST, min(value, FURTHEST))


def uncensored(losses: Iterable[float | None], objective: Objective) -> tuple[float, ...]:
    """The losses that are values: neither failed nor censored."""
    return tuple(loss for loss in losses if loss is not None and objective.reached(loss))


def _finite(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None
