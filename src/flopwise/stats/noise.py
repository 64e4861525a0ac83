"""How much the same config differs from itself when only the seed changes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def noise_sd(*groups: Sequence[float]) -> float | None:
    """Standard deviation over seeds within one config, pooled over all groups.

    Args:
        *groups: Losses (or metric values) of one config each, one a seed.

    Returns:
        The square root of the pooled sample variance; None when no group has two seeds.

    Example:
        >>> noise_sd([1.0, 3.0], [10.0, 12.0])
        1.4142135623730951
        >>> noise_sd([1.0]) is None
        True
    """
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return None
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in repeated)
    return math.sqrt(squares / sum(len(group) - 1 for group in repeated))
