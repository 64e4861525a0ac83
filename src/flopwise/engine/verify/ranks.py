"""Does a cheap score rank as the full one does? Counted out pair by pair, and resampled as the plan says it was."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

RESAMPLES = 1000
TAIL = 0.05

Pairs = Sequence[tuple[float, float]]


def agreement(pairs: Pairs, top: int, seed: int) -> dict[str, Any] | None:
    """The fields of a proxy's agreement.

    Args:
        pairs: Cheap and full loss of every config.
        top: How many of the best by the cheap loss are evaluated in full.
        seed: Of the resampling.
    """
    if len(pairs) < 3:
        return None
    best = min(full for _, full in pairs)
    by_cheap = [full for _, _, full in sorted((cheap, place, full) for place, (cheap, full) in enumerate(pairs))]
    found: dict[str, Any] = {"configs": len(pairs), "top": top}
    for name, measure in (("spearman", rho), ("kendall", tau)):
        found[name] = measure(pairs)
        found[f"{name}_lower"], found[f"{name}_upper"] = _interval(measure, pairs, seed)
    return found | {"regret": by_cheap[0] - best, "regret_top": min(by_cheap[:top]) - best}


def rho(pairs: Pairs) -> float | None:
    """Spearman's: the correlation of ranks."""
    left, right = _ranks([x for x, _ in pairs]), _ranks([y for _, y in pairs])
    return None if len(set(left)) == 1 or len(set(right)) == 1 else statistics.correlation(left, right)


def tau(pairs: Pairs) -> float | None:
    """Kendall's tau-b."""
    signs = [(_sign(a[0] - b[0]), _sign(a[1] - b[1])) for place, a in enumerate(pairs) for b in pairs[place + 1 :]]
    left, right = sum(x != 0 for x, _ in signs), sum(y != 0 for _, y in signs)
    return sum(x * y for x, y in signs) / (left * right) ** 0.5 if left and right else None


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]


def _interval(measure: Callable[[Pairs], float | None], pairs: Pairs, seed: int) -> tuple[float | None, float | None]:
    stream = random.Random(seed)
    drawn = (measure(stream.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    found = sorted(value for value in drawn if value is not None)
    if not found:
        return None, None
    return tuple(_at(found, share * (len(found) - 1)) for share in (TAIL, 1.0 - TAIL))  # type: ignore[return-value]


def _at(ordered: Sequence[float], place: float) -> float:
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] * (1 - (place - below)) + ordered[above] * (place - below)
