"""Learning-curve rows on their way into the journal: in order, and not more of them than anybody can look at."""

from __future__ import annotations

from typing import Any

from flopwise.wire import Measurement

MOST_ROWS = 64
"""Rows of one attempt between two writings; beyond, every second one goes and from then on every second one comes."""


class Rows:
    """What was heard since the last writing, by attempt; the last row of each is always kept.

    Args:
        most: Rows of one attempt.
        metric: Rows that have it are all kept, and not counted: validations. Empty for none.

    Example:
        >>> rows = Rows(most=2)
        >>> for step in range(6):
        ...     rows.add(Measurement("t0001.s0.a1", step, 0.1 * step, {"loss": 1.0}))
        >>> [row["step"] for row in rows.take("t0001.s0.a1")]
        [0, 4, 5]
    """

    def __init__(self, most: int = MOST_ROWS, metric: str = "") -> None:
        self._most = most
        self._metric = metric
        self._heard: dict[str, _Thinned] = {}
        self._latest: dict[str, float] = {}

    @property
    def attempts(self) -> list[str]:
        """Those that have rows to be written."""
        return list(self._heard)

    def add(self, message: Measurement) -> None:
        """One more row; one from before the last one of its attempt came too late and is left out."""
        if message.elapsed_s < self._latest.get(message.attempt, 0.0):
            return
        self._latest[message.attempt] = message.elapsed_s
        row = {"step": message.step, "elapsed_s": message.elapsed_s, "values": dict(message.values)}
        self._heard.setdefault(message.attempt, _Thinned(self._most)).add(row, whole=self._metric in message.values)

    def take(self, attempt: str) -> list[dict[str, Any]]:
        """The rows to be written, which are then no longer here."""
        heard = self._heard.pop(attempt, None)
        return heard.rows() if heard else []

    def forget(self, attempt: str) -> None:
        """The attempt has ended."""
        self._heard.pop(attempt, None)
        self._latest.pop(attempt, None)


class _Thinned:
    """At most so many rows, evenly, and the last one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._every = 1
        self._count = 0
        self._rows: list[dict[str, Any]] = []
        self._whole: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}

    def add(self, row: dict[str, Any], *, whole: bool = False) -> None:
        if whole:
            self._whole.append(row)
            return
        self._last = row
        if self._count % self._every == 0:
            self._rows.append(row)
        self._count += 1
        if len(self._rows) > self._most:
            self._rows = self._rows[::2]
            self._every *= 2

    def rows(self) -> list[dict[str, Any]]:
        rows = self._rows if not self._last or self._rows[-1] is self._last else [*self._rows, self._last]
        return sorted([*rows, *self._whole], key=_elapsed_s) if self._whole else rows


def _elapsed_s(row: dict[str, Any]) -> float:
    return float(row["elapsed_s"])
