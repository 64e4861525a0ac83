"""After how many seeds a confirmation is looked at, and what a look may conclude from what.

The theory is in :mod:`flopwise.stats.sequential`, which is loaded when there is more than one look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flopwise.registry import resolve
from flopwise.stats.compare import t_quantile

ALPHA = 0.05
"""Chance of a GO without an improvement, over all looks together; the same again for a NO-GO of a good candidate."""

FIRST = 3
"""Seeds before the first look: fewer say too little about the spread."""


def planned(seeds: int, most: int, together: int = 1) -> tuple[int, ...]:
    """After how many seeds to look; the last one is all of them.

    Evenly spaced, not before the third seed, and never so that a look adds a wave: the seeds of one wave are run
    at once whether they are looked at or not.

    Args:
        seeds: Planned for each of the two configs.
        most: Looks, the last one included.
        together: Seeds of both configs that run at the same time.

    Example:
        >>> planned(20, most=4), planned(20, most=4, together=4), planned(5, most=4), planned(3, most=4)
        ((5, 10, 15, 20), (8, 16, 20), (3, 5), (3,))
    """
    count = max(1, min(most, (seeds - 1) // 2))
    step = together * math.ceil(seeds / (count * together))
    return (*(n for n in range(step, seeds, step) if n >= FIRST), seeds)


def critical_value(pairs: Sequence[int], of: int, *, last: bool, alpha: float = ALPHA) -> float:
    """What the paired t statistic must exceed at the last of some looks.

    Args:
        pairs: Seeds compared at each look so far, at least 2.
        of: Seeds compared when all that is planned ends ok.
        last: No look comes after it.
        alpha: Chance of exceeding it at any look without an improvement.

    Example:
        >>> round(critical_value((5,), 5, last=True), 3)
        2.132
    """
    if len(pairs) == 1 and last:
        return t_quantile(pairs[0] - 1, 1.0 - alpha)
    return float(resolve("flopwise.stats.sequential:critical_values")(tuple(pairs), of, last, alpha)[-1])


def chance(mean: float, sd: float, n: int, of: int, least: float, expected: float, critical: float) -> float:
    """Chance of a GO at the last look, given what has been seen: the conditional power.

    Lan, Simon and Halperin, "Stochastically curtailed tests in long-term clinical trials", 1982; in the normal
    approximation with the spread seen so far.

    Args:
        mean: Improvement so far.
        sd: Of the differences so far.
        n: Seeds compared so far.
        of: Seeds in the end, more than ``n``.
        least: Mean that is asked for in the end.
        expected: True improvement on the seeds to come.
        critical: Of the last look.

    Example:
        >>> round(chance(0.0, 1.0, 5, 10, 1.0, 2.0, 1.8), 2)
        0.5
    """
    left, needed = of - n, max(least, critical * sd / math.sqrt(of))
    if sd == 0.0:
        return float(n * mean + left * expected >= of * needed)
    ndtr = resolve("scipy.special:ndtr")
    return float(ndtr((n * mean + left * expected - of * needed) / (sd * math.sqrt(left))))
