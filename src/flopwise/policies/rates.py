"""Is a share of failures really that large, or could a few of them be chance?"""

from __future__ import annotations

import math

DOUBT = 0.05
"""A smaller share is ruled out where it would give so many failures in fewer cases than this."""


def tail(count: int, trials: int, share: float) -> float:
    """Probability of ``count`` or more in so many independent trials (the binomial tail).

    Example:
        >>> round(tail(4, 20, 0.05), 4)
        0.0159
    """
    return math.fsum(math.comb(trials, k) * share**k * (1.0 - share) ** (trials - k) for k in range(count, trials + 1))


def surely_above(count: int, trials: int, share: float, doubt: float = DOUBT) -> bool:
    """Whether failures are more frequent than a share, by a one-sided exact binomial test.

    Example:
        >>> [surely_above(failed, 20, 0.05) for failed in (1, 3, 4)]
        [False, False, True]
    """
    return count > share * trials and tail(count, trials, share) < doubt
