"""A learning curve that stays small however often it is reported to."""

from __future__ import annotations

from typing import Any

LONGEST = 20_000
"""Rows kept; beyond, every second one goes and from then on every second one comes."""


class Curve:
    """Rows in the order they came, the first and the last always among them.

    Example:
        >>> curve = Curve(longest=4)
        >>> for step in range(10):
        ...     curve.add(step, 0.1 * step, {"loss": 1.0})
        >>> [row["step"] for row in curve.rows()]
        [0, 4, 8, 9]
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._rows: list[tuple[int, float, dict[str, Any]]] = []
        self._every = 1
        self._count = 0
        self._last: tuple[int, float, dict[str, Any]] | None = None
        self._whole: list[tuple[int, float, dict[str, Any]]] = []

    def add(self, step: int, elapsed_s: float, values: dict[str, Any], *, whole: bool = False) -> None:
        """One more row; of those that are ``whole`` none goes."""
        if whole:
            self._whole.append((step, elapsed_s, values))
            return
        self._last = (step, elapsed_s, values)
        if self._count % self._every == 0:
            self._rows.append(self._last)
        self._count += 1
        if len(self._rows) > self._longest:
            self._rows = self._rows[::2]
            self._every *= 2

    def rows(self) -> list[dict[str, Any]]:
        """As JSON: step, elapsed_s, values."""
        rows = self._rows
        if self._last is not None and rows[-1] is not self._last:
            rows = [*rows, self._last]
        if self._whole:
            rows = sorted([*rows, *self._whole], key=lambda row: row[1])
        return [{"step": step, "elapsed_s": elapsed_s, "values": values} for step, elapsed_s, values in rows]
