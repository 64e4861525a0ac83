"""Learning-rate schedules: functions of how far the training is, never of a step count."""

from __future__ import annotations

import math


def warmup_cosine(progress: float, warmup_fraction: float, min_fraction: float) -> float:
    """Share of the peak learning rate: rises in a straight line, then falls as half a cosine.

    Loshchilov and Hutter, SGDR, 2017 (without restarts).

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup_fraction: Share of the training in which it rises, in [0, 1].
        min_fraction: Share of the peak that is left at the end, in [0, 1].

    Returns:
        A factor in [0, 1].

    Example:
        >>> [warmup_cosine(p, 0.5, 0.2) for p in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.5, 1.0, 0.2]
    """
    if progress < warmup_fraction:
        return progress / warmup_fraction
    if warmup_fraction >= 1.0:
        return 1.0
    done = (progress - warmup_fraction) / (1.0 - warmup_fraction)
    return min_fraction + (1.0 - min_fraction) * 0.5 * (1.0 + math.cos(math.pi * done))
