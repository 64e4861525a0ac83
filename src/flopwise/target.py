"""A target that a training runs to: which metric, how far, and when a learning curve has got there.

Everything that turns a curve into seconds is here, so that a worker, the coordinator and a report cannot
disagree about it. Example:

    >>> target = Target("val_loss", 5.0, fallback=(5.5,), tighten=(4.8,))
    >>> curve = [Point(0, 0.0, 9.0), Point(50, 10.0, 6.0), Point(100, 20.0, 4.0)]
    >>> target.seconds(curve), target.seconds(curve, level=5.5), target.seconds(curve, level=3.0)
    (15.0, 12.5, None)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

SECONDS_TO_TARGET = "seconds_to_target"
"""The metric of a study with a target."""

TRAIN_S = "train_s"
"""In a row: seconds of training when it was measured. A row without it is timed by when it was reported."""


@dataclass(frozen=True, slots=True)
class Point:
    """One validation.

    Args:
        step: The workload's own counter.
        seconds: Of training until then.
        value: Of the target's metric.
    """

    step: int
    seconds: float
    value: float


@dataclass(frozen=True)
class Target:
    """A value of a metric that every training is to reach.

    Args:
        metric: Reported in rows of the learning curve.
        value: The target.
        direction: Which way is better.
        fallback: Easier ones, for when nobody reaches it; the first is tried first.
        tighten: Harder ones, for when everybody reaches it in about the same time.
    """

    metric: str
    value: float
    direction: Literal["minimize", "maximize"] = "minimize"
    fallback: tuple[float, ...] = ()
    tighten: tuple[float, ...] = ()

    @property
    def sign(self) -> float:
        """+1 when smaller is better, -1 when larger is better."""
        return 1.0 if self.direction == "minimize" else -1.0

    @property
    def levels(self) -> tuple[float, ...]:
        """Every declared target, the easiest first."""
        return tuple(sorted({self.value, *self.fallback, *self.tighten}, key=lambda level: -self.sign * level))

    @property
    def hardest(self) -> float:
        """Where a training may end: beyond it there is nothing that anybody asks for."""
        return self.levels[-1]

    def reached(self, value: float, level: float | None = None) -> bool:
        """Whether a value is as good as the target, or as another level."""
        return self.sign * value <= self.sign * (self.value if level is None else level)

    def seconds(self, curve: Sequence[Point], level: float | None = None) -> float | None:
        """When a curve first reached a level, in a straight line between two validations; None where it did not.

        Args:
            curve: In the order of measuring.
            level: Another level than the target's.
        """
        goal = self.value if level is None else level
        if curve and self.reached(curve[0].value, goal):
            return curve[0].seconds
        for before, after in pairwise(curve):
            if self.reached(after.value, goal):
                share = (before.value - goal) / (before.value - after.value)
                return before.seconds + share * (after.seconds - before.seconds)
        return None

    def to_json(self) -> dict[str, Any]:
        """Inverse of :meth:`from_json`."""
        return {
            "metric": self.metric,
            "value": self.value,
            "direction": self.direction,
            "fallback": list(self.fallback),
            "tighten": list(self.tighten),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Target:
        """A target as a canonical study and a job hold it."""
        levels = {name: tuple(data[name]) for name in ("fallback", "tighten")}
        return cls(data["metric"], data["value"], data["direction"], **levels)


def points(rows: Iterable[Mapping[str, Any]], metric: str) -> list[Point]:
    """The validations among the rows of a learning curve.

    Args:
        rows: ``step``, ``elapsed_s`` and ``values``, as a journal has them.
        metric: What was validated.

    Example:
        >>> points([{"step": 1, "elapsed_s": 9.0, "values": {"val_loss": 2.0, "train_s": 1.5}},
        ...         {"step": 2, "elapsed_s": 9.9, "values": {"train_loss": 2.0}}], "val_loss")
        [Point(step=1, seconds=1.5, value=2.0)]
    """
    found = []
    for row in rows:
        value, seconds = row["values"].get(metric), row["values"].get(TRAIN_S, row["elapsed_s"])
        if _finite(value) and _finite(seconds):
            found.append(Point(row["step"], float(seconds), float(value)))
    return found


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
