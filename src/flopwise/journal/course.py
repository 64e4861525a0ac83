"""The course of a learning curve, kept while its rows come in and are forgotten: did it fall, and step evenly?"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SMOOTH = 5
"""Rows of which a mean is taken: single batches are noisy."""

LENGTH = "grad_norm"
"""Row value that is a gradient's length."""


@dataclass(slots=True)
class Course:
    """Figures of one curve; values are losses, smaller is better.

    Args:
        metric: Of the objective; where rows have no such value, the first that ends in ``loss`` is followed.
        sign: -1 where a larger metric is better.
        count: Rows with a value.
        head: Mean of the first five.
        low: Smallest mean of five in a row.
        tail: Mean of the last five.
        lengths: Rows with a gradient's length.
        log_length: Sum of their logarithms.
        longest: The largest of them.

    Example:
        >>> course = Course("loss", 1.0)
        >>> course.add([{"values": {"loss": 10.0 - step}} for step in range(10)])
        >>> course.head, course.low, course.tail
        (8.0, 3.0, 3.0)
    """

    metric: str
    sign: float
    name: str = ""
    count: int = 0
    head: float = math.nan
    low: float = math.inf
    tail: float = math.nan
    lengths: int = 0
    log_length: float = 0.0
    longest: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=SMOOTH))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in the next rows."""
        for row in rows:
            values = row.get("values", {})
            self.name = self.name or followed(self.metric, values)
            value = values.get(self.name)
            if _is_finite(value):
                self._value(value * (self.sign if self.name == self.metric else 1.0))
            length = values.get(LENGTH)
            if _is_finite(length) and length > 0:
                self.lengths += 1
                self.log_length += math.log(length)
                self.longest = max(self.longest, length)

    def _value(self, value: float) -> None:
        self.count += 1
        self.recent.append(value)
        if len(self.recent) < SMOOTH:
            return
        self.tail = sum(self.recent) / SMOOTH
        self.low = min(self.low, self.tail)
        if self.count == SMOOTH:
            self.head = self.tail


def followed(metric: str, values: Mapping[str, Any]) -> str:
    """Which value of a row is followed; empty for none."""
    return metric if metric in values else next((name for name in values if name.endswith("loss")), "")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
