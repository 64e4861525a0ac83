"""What verify says: a place, a quantity, what it should be and what it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "nothing"
"""Shown where a value is not there at all."""


@dataclass(frozen=True)
class Difference:
    """One thing that does not hold.

    Args:
        where: File, record and event, or path inside ``report.json``.
        what: The quantity, or the rule that is broken.
        expected: As re-derived.
        found: As written.
    """

    where: str
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: expected {self.expected}, found {self.found}"


def show(value: Any) -> str:
    """A value as JSON, cut to a readable length."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:197] + "..."


def read_json(text: bytes) -> dict[str, Any]:
    """A JSON object; empty when the text is none (cut short, say)."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def compare(where: str, expected: Any, found: Any, what: str = "", rel: float = 0.0) -> Iterator[Difference]:
    """Every leaf of ``found`` against ``expected``.

    A number in ``found`` that ``expected`` knows nothing of is a difference too: no number goes
    unverified. So is anything that ``expected`` has and ``found`` lacks.

    Args:
        where: For the differences.
        expected: As re-derived, JSON values.
        found: As written, JSON values.
        what: Path so far.
        rel: Relative tolerance for numbers; 0 is equality.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in {**expected, **found}:
            yield from _entry(where, expected, found, key, f"{what}.{key}" if what else str(key), rel)
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        longest = range(max(len(expected), len(found)))
        left, right = dict(enumerate(expected)), dict(enumerate(found))
        for index in longest:
            yield from _entry(where, left, right, index, f"{what}[{index}]", rel)
    elif not same(expected, found, rel):
        yield Difference(where, what, show(expected), show(found))


def same(expected: Any, found: Any, rel: float = 0.0) -> bool:
    """Whether two leaves are the same value; ``1`` and ``1.0`` are, ``1`` and ``true`` are not."""
    if _is_number(expected) and _is_number(found):
        return bool(expected == found or (rel > 0 and math.isclose(expected, found, rel_tol=rel, abs_tol=rel * 1e-6)))
    return type(expected) is type(found) and bool(expected == found)


def _entry(
    where: str, expected: Mapping[Any, Any], found: Mapping[Any, Any], key: Any, what: str, rel: float
) -> Iterator[Difference]:
    if key not in found:
        yield Difference(where, what, show(expected[key]), MISSING)
    elif key in expected:
        yield from compare(where, expected[key], found[key], what, rel)
    else:
        for path, number in _numbers(found[key], what):
            yield Difference(where, path, "no number that verify cannot derive", show(number))


def _numbers(value: Any, what: str) -> Iterator[tuple[str, Any]]:
    if _is_number(value):
        yield what, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{what}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{what}[{index}]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
