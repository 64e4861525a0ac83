"""What a program said while it ran: rows of its learning curve, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flopwise.errors import ProgramFailed
from flopwise.workloads.command.lines import Lines, as_number

STEP = "step"
"""A line with this key is a row of the learning curve, one without it is (part of) the result."""


class Rows:
    """Takes JSON lines as they come.

    Args:
        report: Takes a row: ``report(step, name=value, …)``.
        metric: Name of the metric that the study needs.

    Attributes:
        result: What lines without a step said.
        last: Name to last value in any row.
        count: How many rows there were.
    """

    def __init__(self, report: Callable[..., None], metric: str) -> None:
        self._report = report
        self._metric = metric
        self.result: dict[str, Any] = {}
        self.last: dict[str, float] = {}
        self.count = 0

    def take(self, line: Mapping[str, Any], lines: Lines) -> None:
        """One line.

        Args:
            line: A JSON object.
            lines: Where it came from, for messages.

        Raises:
            ProgramFailed: If its step is no whole number, or the study's metric is no number.
        """
        metric = line.get(self._metric)
        if metric is not None and as_number(metric) is None:
            raise lines.wrong(f"has a {self._metric} that is not a number: {metric!r:.60}")
        if STEP in line:
            self._row(line, lines)
        else:
            self.result.update(line)

    def _row(self, line: Mapping[str, Any], lines: Lines) -> None:
        step = _whole(line[STEP])
        if step is None:
            raise lines.wrong(f"has a step that is not a whole number: {line[STEP]!r:.60}")
        values = {name: number for name, value in line.items() if (number := as_number(value)) is not None}
        del values[STEP]
        if "self" in values:
            raise lines.wrong("has a value called 'self'; call it otherwise")
        self._report(step, **values)
        self.last.update(values)
        self.count += 1


def _whole(value: Any) -> int | None:
    """A step as an int; ``100.0`` is one, true and 1e400 are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole = isinstance(value, int) or value.is_integer()
    return int(value) if whole and abs(value) < 1 << 53 else None


def missing(metric: str, found: Mapping[str, Any], rows: Rows, result_file: str) -> ProgramFailed:
    """The error of a program that ended well and said nothing of the metric."""
    seen = f"{rows.count} rows with a step" if rows.count else "no lines at all"
    known = f"{seen}; the last {metric} was {rows.last[metric]!r}" if metric in rows.last else seen
    others = f", and a result with {', '.join(map(str, found))}" if found else ""
    return ProgramFailed(
        f"the program exited with status 0 and gave no {metric}",
        expected=f'{{"{metric}": …}} in the file {result_file} ($FLOPWISE_RESULT), or as a line without a step',
        got=f"{known}{others}"[:200],
        fix="to take the last rows as the result, set `metrics_from: rows`" if metric in rows.last else None,
    )
