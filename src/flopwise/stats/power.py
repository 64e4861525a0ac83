"""How many fresh seeds a confirmation needs to tell a real improvement from luck.

Planned for 80% power to detect a true improvement of twice the threshold. Not of the threshold
itself: the verdict also demands a measured mean of at least the threshold, and a candidate whose true
improvement is exactly that meets it half of the time, with any number of seeds.
"""

from __future__ import annotations

import math

from flopwise.registry import resolve
from flopwise.stats.compare import t_quantile
from flopwise.stats.threshold import threshold

POWER = 0.80
EFFECT = 2.0
"""The improvement planned for, in thresholds."""
FEWEST_SEEDS = 3
MOST_SEEDS = 20
SEEDS_WHEN_UNKNOWN = 5
"""Seeds when calibration had one seed and the noise is unknown."""

SLICES = 400
"""Equally likely ones of the sample variance's distribution; the integral is a sum over their midpoints."""


def seeds_needed(noise_sd: float | None, baseline_value: float, min_improvement: float) -> int:
    """Fresh seeds for the baseline and for the candidate each.

    Args:
        noise_sd: Standard deviation over seeds of one config, in the metric's unit; None when unknown.
        baseline_value: The baseline's mean as a metric value.
        min_improvement: ``confirm.min_improvement``.

    Returns:
        Between 3 and 20: the fewest with 80% power, 20 when even those have less; 5 when the noise is
        unknown.

    Example:
        >>> [seeds_needed(noise, 1.0, 0.01) for noise in (0.0, 0.01, 0.02, 1.0, None)]
        [3, 5, 14, 20, 5]
    """
    if noise_sd is None:
        return SEEDS_WHEN_UNKNOWN
    least = threshold(baseline_value, min_improvement, noise_sd)
    for n in range(FEWEST_SEEDS, MOST_SEEDS):
        if go_probability(EFFECT * least, least, noise_sd, n) >= POWER:
            return n
    return MOST_SEEDS if noise_sd > 0 else FEWEST_SEEDS


def go_probability(improvement: float, least: float, noise_sd: float, n: int) -> float:
    """Chance that the verdict's rule says GO: lower bound above 0 and mean of at least ``least``.

    The differences between candidate and baseline are taken to have sqrt(2) times the noise of one
    config, as if their seeds were independent; shared seeds can only make them steadier. With
    ``least`` 0 this is the power of the one-sided t-test (the noncentral t distribution); otherwise
    that distribution's integral over the sample variance, cut where the mean misses ``least``.

    Args:
        improvement: The true one.
        least: The threshold.
        noise_sd: Standard deviation over seeds of one config.
        n: Seeds, at least 2.
    """
    if noise_sd == 0:
        return float(improvement > 0 and improvement >= least)
    chdtri, ndtr = resolve("scipy.special:chdtri"), resolve("scipy.special:ndtr")
    standard_error = math.sqrt(2.0 / n) * noise_sd
    sampled_error = standard_error * (chdtri(n - 1, [1.0 - (i + 0.5) / SLICES for i in range(SLICES)]) / (n - 1)) ** 0.5
    needed = (t_quantile(n - 1) * sampled_error).clip(min=least)
    return float(ndtr((improvement - needed) / standard_error).mean())
