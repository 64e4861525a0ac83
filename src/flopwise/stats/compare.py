"""Is one config better than another? Both are run on the same seeds and compared seed by seed.

One-sided paired t-test and its confidence bounds (Student, "The probable error of a mean", 1908).
scipy.special is loaded when it is used: importing it takes as long as the rest of the command line.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from flopwise.registry import resolve

CONFIDENCE = 0.95
"""Of each one-sided bound: the true improvement lies below ``lower`` in at most 5% of all studies."""


@dataclass(frozen=True)
class Comparison:
    """Improvement of a candidate over a baseline, positive when the candidate is better.

    Args:
        n: Seeds compared.
        mean_improvement: Mean of baseline loss minus candidate loss.
        sd: Standard deviation of the differences; None with fewer than two.
        lower: One-sided lower confidence bound of the mean; None with fewer than two.
        upper: One-sided upper confidence bound of the mean; None with fewer than two.
    """

    n: int
    mean_improvement: float
    sd: float | None
    lower: float | None
    upper: float | None


def paired(baseline: Sequence[float], candidate: Sequence[float], critical: float | None = None) -> Comparison:
    """Compare losses seed by seed.

    Differences without any spread (a workload that no seed changes) have equal bounds: the
    improvement is then known exactly.

    Args:
        baseline: Losses, one a seed, smaller is better.
        candidate: Losses on the same seeds, in the same order.
        critical: Standard errors between the mean and its bounds; None for a single look at all seeds.

    Raises:
        ValueError: If the lengths differ or there is nothing to compare.

    Example:
        >>> paired([2.0, 3.0], [1.0, 2.0])
        Comparison(n=2, mean_improvement=1.0, sd=0.0, lower=1.0, upper=1.0)
    """
    differences = [b - c for b, c in zip(baseline, candidate, strict=True)]
    if not differences:
        raise ValueError("no seeds to compare")
    n, mean = len(differences), statistics.fmean(differences)
    if n < 2:
        return Comparison(n, mean, None, None, None)
    sd = statistics.stdev(differences)
    margin = (t_quantile(n - 1) if critical is None else critical) * sd / math.sqrt(n)
    return Comparison(n, mean, sd, mean - margin, mean + margin)


def t_quantile(df: int, confidence: float = CONFIDENCE) -> float:
    """What Student's t with ``df`` degrees of freedom stays below with probability ``confidence``."""
    return float(resolve("scipy.special:stdtrit")(df, confidence))
