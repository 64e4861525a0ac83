"""How many fresh seeds a confirmation needs to tell a real improvement from luck.

Planned for 80% power to detect a true improvement of twice the threshold. Not of the threshold
itself: the verdict also demands a measured mean of at least the threshold, and a candidate whose true
improvement is exactly that meets it half of the time, with any number of seeds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from flopwise.registry import resolve
from flopwise.stats.compare import t_quantile
from flopwise.stats.looks import critical_value, planned
from flopwise.stats.threshold import threshold

POWER = 0.80
EFFECT = 2.0
"""The improvement planned for, in thresholds."""
FEWEST_SEEDS = 3
MOST_SEEDS = 20
MOST_SEEDS_EVER = 1000
SEEDS_WHEN_UNKNOWN = 5
"""Seeds when calibration had one seed and the noise is unknown."""

BISECTIONS = 40
"""Halvings of the interval in which an improvement is looked for."""

SLICES = 200
"""Equally likely ones of the sample variance's distribution; the integral is a sum over their midpoints."""


NOISES = 25
"""Equally likely true noises, given the measured one."""


def seeds_needed(
    noise_sd: float | None,
    baseline_value: float,
    min_improvement: float,
    *,
    measured_on: int | None = None,
    looks: int = 1,
    together: int = 1,
) -> int:
    """Fresh seeds for the baseline and for the candidate each.

    A standard deviation from three seeds may well be half of the true one, and the power would be far from what was
    planned. So with ``measured_on`` the chance of a GO is averaged over what the true noise may be (the expected
    power, or assurance: O'Hagan, Stevens and Campbell, 2005), which asks for more seeds the less is known; with
    several looks most of them are never run.

    Args:
        noise_sd: Standard deviation over seeds of one config, in the metric's unit; None when unknown.
        baseline_value: The baseline's mean as a metric value.
        min_improvement: ``confirm.min_improvement``.
        measured_on: Seeds behind ``noise_sd``; None when it is exact.
        looks: Most looks, see :func:`flopwise.stats.looks.planned`.
        together: Seeds of both configs that run at the same time.

    Returns:
        Between 3 and 20: the fewest with 80% power, 20 when even those have less; 5 when the noise is
        unknown.

    Example:
        >>> [seeds_needed(noise, 1.0, 0.01) for noise in (0.0, 0.01, 0.02, 1.0, None)]
        [3, 5, 14, 20, 5]
        >>> seeds_needed(0.01, 1.0, 0.01, measured_on=4)
        8
    """
    if noise_sd is None:
        return SEEDS_WHEN_UNKNOWN
    if noise_sd == 0.0:
        return FEWEST_SEEDS
    least = threshold(baseline_value, min_improvement, noise_sd)
    at_a_single_look = enough_seeds(least, noise_sd, measured_on, most=MOST_SEEDS) or MOST_SEEDS
    for n in range(at_a_single_look, MOST_SEEDS):
        critical = critical_value(planned(n, looks, together), n, last=True)
        if expected_power(least, noise_sd, n, measured_on, critical) >= POWER:
            return n
    return MOST_SEEDS


@lru_cache(maxsize=256)
def confirmable(least: float, noise_sd: float, n: int) -> float:
    """The smallest true improvement that the verdict confirms with a chance of 80%, at a single look.

    Args:
        least: The threshold.
        noise_sd: Standard deviation over seeds of one config.
        n: Fresh seeds, at least 2.

    Returns:
        In the unit of ``least``; infinite with fewer than two seeds.

    Example:
        >>> round(confirmable(0.01, 0.01, 5), 4), confirmable(0.01, 0.0, 5)
        (0.0195, 0.01)
    """
    if n < 2:
        return math.inf
    if noise_sd == 0:
        return least
    low, high = least, max(least, noise_sd)
    if go_probability(low, least, noise_sd, n) >= POWER:
        return low
    while go_probability(high, least, noise_sd, n) < POWER:
        low, high = high, 2.0 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        reached = go_probability(middle, least, noise_sd, n) >= POWER
        low, high = (low, middle) if reached else (middle, high)
    return high


def enough_seeds(
    least: float, noise_sd: float, measured_on: int | None = None, most: int = MOST_SEEDS_EVER
) -> int | None:
    """The fewest seeds with 80% power at a single look; None beyond ``most``.

    Args:
        least: The threshold.
        noise_sd: Standard deviation over seeds of one config.
        measured_on: Seeds behind it; None when it is exact.
        most: Seeds to suggest.
    """
    few, many = FEWEST_SEEDS - 1, most
    if expected_power(least, noise_sd, many, measured_on) < POWER:
        return None
    while many - few > 1:
        middle = (few + many) // 2
        enough = expected_power(least, noise_sd, middle, measured_on) >= POWER
        few, many = (few, middle) if enough else (middle, many)
    return many


@lru_cache(maxsize=256)
def expected_power(
    least: float, noise_sd: float, n: int, measured_on: int | None = None, critical: float | None = None
) -> float:
    """Chance of a GO if the true improvement is twice what is asked for, averaged over the true noise.

    Args:
        least: The threshold.
        noise_sd: Measured standard deviation over seeds of one config.
        n: Seeds, at least 2.
        measured_on: Seeds behind it; None when it is exact.
        critical: See :func:`go_probability`.
    """
    noises = [noise_sd] if measured_on is None else _noises(noise_sd, measured_on)
    return sum(go_probability(EFFECT * least, least, noise, n, critical) for noise in noises) / len(noises)


def _noises(noise_sd: float, measured_on: int) -> list[float]:
    """Equally likely values of the true noise: s * sqrt(df / chi2), the usual non-informative posterior."""
    df = max(measured_on - 1, 1)
    shares = [(i + 0.5) / NOISES for i in range(NOISES)]
    return [noise_sd * math.sqrt(df / float(quantile)) for quantile in resolve("scipy.special:chdtri")(df, shares)]


def go_probability(improvement: float, least: float, noise_sd: float, n: int, critical: float | None = None) -> float:
    """Chance that the verdict's rule says GO: lower bound above 0 and mean of at least ``least``.

    The differences between candidate and baseline are taken to have sqrt(2) times the noise of one
    config, as if their seeds were independent; shared seeds can only make them steadier. With
    ``least`` 0 this is the power of the one-sided t-test (the noncentral t distribution); otherwise
    that distribution's integral over the sample variance, cut where the mean misses ``least``. Of several looks it
    counts the last alone: those before it add what they find early, and take away what they give up on.

    Args:
        improvement: The true one.
        least: The threshold.
        noise_sd: Standard deviation over seeds of one config.
        n: Seeds, at least 2.
        critical: What the t statistic must exceed; None for a single look.
    """
    if noise_sd == 0:
        return float(improvement > 0 and improvement >= least)
    ndtr = resolve("scipy.special:ndtr")
    standard_error = math.sqrt(2.0 / n) * noise_sd
    sampled_error = standard_error * _sampled(n)
    needed = ((t_quantile(n - 1) if critical is None else critical) * sampled_error).clip(min=least)
    return float(ndtr((improvement - needed) / standard_error).mean())


@lru_cache(maxsize=256)
def _sampled(n: int) -> Any:
    """Equally likely values of the sample standard deviation of ``n`` differences, in true ones; shape (SLICES,)."""
    shares = [1.0 - (i + 0.5) / SLICES for i in range(SLICES)]
    return (resolve("scipy.special:chdtri")(n - 1, shares) / (n - 1)) ** 0.5
