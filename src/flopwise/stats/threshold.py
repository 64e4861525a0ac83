"""The smallest improvement worth having, in the metric's own unit."""

from __future__ import annotations

NOISE_SDS_PER_SHARE = 100.0
"""Where a share means nothing, each percent asked for counts as one standard deviation of the noise."""


def threshold(baseline_value: float, min_improvement: float, noise_sd: float | None) -> float:
    """``confirm.min_improvement`` as a distance.

    It is a share of the baseline (0.01: one percent) as long as the baseline's metric is positive. A
    share of zero or of a negative number means nothing, so there each 0.01 counts one standard
    deviation of the noise: the default then asks for one.

    Args:
        baseline_value: The baseline's mean as a metric value (not as a loss).
        min_improvement: Share, at least 0.
        noise_sd: Standard deviation over seeds; None when unknown (counts as 0).

    Example:
        >>> threshold(2.0, 0.01, 0.5)
        0.02
        >>> threshold(-2.0, 0.01, 0.5)
        0.5
    """
    if baseline_value > 0:
        return baseline_value * min_improvement
    return NOISE_SDS_PER_SHARE * min_improvement * (noise_sd or 0.0)
