"""Is there anything to find? How much of a score's variance is real, from a few configs on shared seeds.

Every config is evaluated on the same seeds, so what a seed does to all of them alike cancels: the two-way analysis
of variance (config × seed) leaves config, seed and noise. The share of config in config plus noise is the
intraclass correlation for consistency, ICC(C,1) for one seed and ICC(C,k) for the mean of k, with their intervals:
McGraw and Wong, "Forming Inferences About Some Intraclass Correlation Coefficients", Psychological Methods 1(1),
1996, table 4 and table 7 (cases 2 and 3; ICC(3,1) of Shrout and Fleiss, 1979). How it grows with seeds is
Spearman's and Brown's formula (both British Journal of Psychology 3, 1910).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flopwise.registry import resolve
from flopwise.stats.compare import CONFIDENCE

USABLE = 0.5
"""Least share of the variance of what a search ranks by that has to be real: below it, it ranks mostly luck."""

GOOD = 0.75
"""Share that a recommended number of seeds is planned for (Koo and Li, J. Chiropr. Med. 15, 2016: good reliability)."""

FEWEST_CONFIGS = 3
"""With fewer nothing is said about the variance between configs."""


@dataclass(frozen=True)
class Reliability:
    """What two-way analysis of variance makes of a table of losses.

    Args:
        configs: Rows.
        seeds: Columns, shared by all configs.
        icc: ICC(C,1): share of the variance of a single score that is real; None where no two scores differ.
        lower: One-sided 95% lower bound of it.
        upper: One-sided 95% upper bound of it; with the lower one, a 90% interval.
        config_sd: Standard deviation between configs without noise, at least 0.
        noise_sd: Standard deviation of a score around what its config and its seed make of it.
        seed_sd: Standard deviation of what seeds do to all configs alike, at least 0.
    """

    configs: int
    seeds: int
    icc: float | None
    lower: float | None
    upper: float | None
    config_sd: float
    noise_sd: float
    seed_sd: float

    def of_mean(self, seeds: int) -> float | None:
        """ICC(C,k): share of the variance of the mean over ``seeds`` that is real; None where it is unknown."""
        return None if self.icc is None else spearman_brown(self.icc, seeds)

    def usable(self, seeds: int) -> bool:
        """Whether a search by the mean over ``seeds`` ranks configs rather than luck.

        Some of the variance has to be real with 95% confidence, and of that of the mean at least ``USABLE``.
        """
        share = self.of_mean(seeds)
        return share is not None and self.lower is not None and self.lower > 0 and share >= USABLE


def reliability(losses: Sequence[Sequence[float]]) -> Reliability | None:
    """Analyse a table of losses.

    Args:
        losses: One row a config, one column a seed; all there.

    Returns:
        None with fewer than three configs or two seeds.

    Raises:
        ValueError: If rows differ in length.

    Example:
        >>> steady = [[1.0, 1.5], [2.0, 2.5], [4.0, 4.5]]
        >>> found = reliability(steady)
        >>> found.icc, found.noise_sd, round(found.seed_sd, 6)
        (1.0, 0.0, 0.353553)
    """
    n, k = len(losses), len(losses[0]) if losses else 0
    if any(len(row) != k for row in losses):
        raise ValueError("every config needs a loss on every seed")
    if n < FEWEST_CONFIGS or k < 2:
        return None
    rows, columns, error = _mean_squares(losses)
    icc, lower, upper = _share(rows, error, n, k)
    return Reliability(
        configs=n,
        seeds=k,
        icc=icc,
        lower=lower,
        upper=upper,
        config_sd=math.sqrt(max(0.0, rows - error) / k),
        noise_sd=math.sqrt(error),
        seed_sd=math.sqrt(max(0.0, columns - error) / n),
    )


def spearman_brown(share: float, seeds: float) -> float:
    """The reliability of the mean of ``seeds`` scores, each of reliability ``share``.

    Example:
        >>> spearman_brown(0.5, 3)
        0.75
    """
    rest = 1.0 + (seeds - 1.0) * share
    return share * seeds / rest if rest > 0 else -1.0


def seeds_for(share: float, target: float = GOOD) -> int | None:
    """The fewest seeds whose mean has the reliability ``target``; None where no number has.

    Example:
        >>> seeds_for(0.5), seeds_for(0.3), seeds_for(-0.1)
        (3, 7, None)
    """
    if share <= 0:
        return None
    if share >= 1:
        return 1
    return max(1, math.ceil(target / (1.0 - target) * (1.0 - share) / share - 1e-9))


def detectable(noise_sd: float, trials: int, top: int, seeds: int, power: float = 0.8) -> float:
    """The smallest true improvement with which a config is found: ranked among the best ``top`` of a search.

    All other configs are taken to be equal, and each score to be the mean of ``seeds`` with normal noise. The config
    then has to beat what the noise lifts to the edge of the best ``top``.

    Args:
        noise_sd: Standard deviation of one score.
        trials: Of the search.
        top: Of those, how many are confirmed.
        seeds: Of a trial.
        power: Chance of finding it.

    Example:
        >>> [round(detectable(0.02, trials, top=3, seeds=1), 4) for trials in (120, 3)]
        [0.056, 0.0168]
    """
    ndtri = resolve("scipy.special:ndtri")
    edge = float(ndtri(1.0 - top / trials)) if top < trials else 0.0
    return max(0.0, edge + float(ndtri(power))) * noise_sd / math.sqrt(seeds)


def _mean_squares(losses: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """MSR, MSC and MSE: of configs, of seeds, and of what is left."""
    n, k = len(losses), len(losses[0])
    of_rows = [math.fsum(row) / k for row in losses]
    of_columns = [math.fsum(column) / n for column in zip(*losses, strict=True)]
    grand = math.fsum(of_rows) / n
    left = [loss - of_rows[i] - of_columns[j] + grand for i, row in enumerate(losses) for j, loss in enumerate(row)]
    rows = k * math.fsum((mean - grand) ** 2 for mean in of_rows) / (n - 1)
    columns = n * math.fsum((mean - grand) ** 2 for mean in of_columns) / (k - 1)
    error = math.fsum(each**2 for each in left) / ((n - 1) * (k - 1))
    return _rounded_away(rows, losses), columns, _rounded_away(error, losses)


def _rounded_away(square: float, losses: Sequence[Sequence[float]]) -> float:
    """Zero for a mean square that only the rounding of equal differences leaves."""
    largest = max(abs(loss) for row in losses for loss in row)
    return 0.0 if square <= (1e-13 * largest) ** 2 else square


def _share(rows: float, error: float, n: int, k: int) -> tuple[float | None, float | None, float | None]:
    """ICC(C,1) and its bounds."""
    if rows <= error == 0.0:
        return None, None, None
    if error == 0.0:
        return 1.0, 1.0, 1.0
    quantile = resolve("scipy.special:fdtri")
    ratio, freedom = rows / error, ((n - 1), (n - 1) * (k - 1))
    low = ratio / float(quantile(freedom[0], freedom[1], CONFIDENCE))
    high = ratio * float(quantile(freedom[1], freedom[0], CONFIDENCE))
    return tuple((f - 1.0) / (f + k - 1.0) for f in (ratio, low, high))  # type: ignore[return-value]
