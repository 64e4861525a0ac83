"""Does a cheap score rank configs as the full one does? Rank correlations with intervals, and what trusting it costs.

Spearman's rho (Am. J. Psychol. 15, 1904) is the correlation of the ranks; Kendall's tau-b (Biometrika 33, 1945) the
share of pairs in the same order less the share in the other order, corrected for ties. Intervals are the bootstrap's
percentiles (Efron, 1979), from resampled configs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flopwise.seeds import stream

RESAMPLES = 1000
CONFIDENCE = 0.90
"""Of the interval: each of its ends is a one-sided 95% bound."""

FEWEST = 3
"""Configs without which there is nothing to rank."""


@dataclass(frozen=True)
class Agreement:
    """How far a cheap score can be trusted.

    Args:
        configs: With both scores.
        spearman: Rank correlation; None where one of the scores is the same everywhere.
        spearman_lower: Lower end of its 90% interval.
        spearman_upper: Upper end.
        kendall: Tau-b; None as above.
        kendall_lower: Lower end of its 90% interval.
        kendall_upper: Upper end.
        regret: Full loss of the config that is best by the cheap score, less the best full loss; at least 0.
        regret_top: The same for the best of the ``top`` by the cheap score.
        top: How many that are.
    """

    configs: int
    spearman: float | None
    spearman_lower: float | None
    spearman_upper: float | None
    kendall: float | None
    kendall_lower: float | None
    kendall_upper: float | None
    regret: float
    regret_top: float
    top: int


def agreement(cheap: Sequence[float], full: Sequence[float], top: int, seed: int) -> Agreement | None:
    """Compare two scores of the same configs.

    Args:
        cheap: Losses at the cheap stop, smaller is better.
        full: Losses at the full stop, in the same order.
        top: How many of the best by the cheap score are evaluated in full.
        seed: Of the study; the resampling derives from it.

    Returns:
        None with fewer than three configs.

    Example:
        >>> found = agreement([1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 40.0], top=2, seed=0)
        >>> found.spearman, round(found.kendall, 4), found.regret
        (0.8, 0.6667, 0.0)
    """
    pairs = list(zip(cheap, full, strict=True))
    if len(pairs) < FEWEST:
        return None
    order = sorted(range(len(pairs)), key=lambda index: (cheap[index], index))
    best = min(full)
    rho = _bootstrapped(spearman, pairs, seed)
    tau = _bootstrapped(kendall, pairs, seed)
    return Agreement(
        configs=len(pairs),
        spearman=spearman(pairs),
        spearman_lower=rho[0],
        spearman_upper=rho[1],
        kendall=kendall(pairs),
        kendall_lower=tau[0],
        kendall_upper=tau[1],
        regret=full[order[0]] - best,
        regret_top=min(full[index] for index in order[:top]) - best,
        top=top,
    )


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Correlation of the ranks; ties share their mean rank. None where one side does not vary."""
    left, right = (ranks([pair[side] for pair in pairs]) for side in (0, 1))
    middle = (len(pairs) + 1) / 2
    spread = math.sqrt(sum((x - middle) ** 2 for x in left) * sum((y - middle) ** 2 for y in right))
    return sum((x - middle) * (y - middle) for x, y in zip(left, right, strict=True)) / spread if spread else None


def kendall(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Tau-b. None where one side does not vary."""
    score, left, right = 0, 0, 0
    for index, (x, y) in enumerate(pairs):
        for a, b in pairs[:index]:
            one, other = (x > a) - (x < a), (y > b) - (y < b)
            score += one * other
            left += one != 0
            right += other != 0
    return score / math.sqrt(left * right) if left and right else None


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs.

    Example:
        >>> ranks([0.3, 0.1, 0.3])
        [2.5, 1.0, 2.5]
    """
    ordered = sorted(values)
    first = {value: ordered.index(value) for value in set(values)}
    count = {value: values.count(value) for value in set(values)}
    return [first[value] + (count[value] + 1) / 2 for value in values]


def _bootstrapped(
    statistic: Callable[[Sequence[tuple[float, float]]], float | None], pairs: Sequence[tuple[float, float]], seed: int
) -> tuple[float | None, float | None]:
    """The ends of the percentile interval; resamples in which a side does not vary say nothing."""
    draws = stream(seed, "agreement")
    found = []
    for _ in range(RESAMPLES):
        value = statistic(draws.choices(pairs, k=len(pairs)))
        if value is not None:
            found.append(value)
    if not found:
        return None, None
    found.sort()
    tail = (1.0 - CONFIDENCE) / 2
    return _percentile(found, tail), _percentile(found, 1.0 - tail)


def _percentile(ordered: Sequence[float], share: float) -> float:
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])
