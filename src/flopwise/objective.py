"""What the study minimises or maximises. The sign is turned once, here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Objective:
    """One metric and its direction.

    Args:
        metric: Name of a final value that every evaluation reports.
        direction: ``minimize`` or ``maximize``.

    Example:
        >>> Objective("accuracy", "maximize").loss({"accuracy": 0.9})
        -0.9
    """

    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"

    @property
    def sign(self) -> float:
        """+1 when smaller is better, -1 when larger is better."""
        return 1.0 if self.direction == "minimize" else -1.0

    def loss(self, metrics: Mapping[str, Any]) -> float | None:
        """The metric with smaller always better; None where it is missing or not finite."""
        value = metrics.get(self.metric)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return self.sign * float(value)

    def value(self, loss: float) -> float:
        """Back from a loss to the metric as the user knows it."""
        return self.sign * loss
