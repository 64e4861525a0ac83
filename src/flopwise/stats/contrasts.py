"""How two ways of training compare: in seconds to a target, in loss at equal time, in loss at equal steps.

Trainings are compared in pairs, which differ in what is asked about alone: the same seed, the same other settings.
Pairs of the same settings and different seeds are a *block*. An interval of their mean difference rests

- on the **pairs**, where blocks have enough of them: the spread of the differences within blocks, so that settings in
  which both are slower do not count as noise;
- else on **repeats**: how much one config's results differ from seed to seed, measured on those configs that ran on
  several. The difference of two trainings has at most twice that variance.

Intervals are two-sided, 95%, by Student's t.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from flopwise.stats.censored import Duration
from flopwise.stats.compare import t_quantile
from flopwise.stats.noise import noise_sd
from flopwise.target import Point

Axis = Literal["seconds", "step"]
"""What is equal where losses are compared."""

CONFIDENCE = 0.95
FEWEST_DF = 3
"""With fewer degrees of freedom within blocks, an interval rests on repeats."""


@dataclass(frozen=True)
class Watched:
    """One training that ended ok.

    Args:
        curve: Its validations, in order.
        loss: The objective's, where it is no time.
        duration: How long it was watched, where the objective is the time to a target.
        timed: Whether its seconds mean something: its slot was not used by others.
    """

    curve: Sequence[Point]
    loss: float | None = None
    duration: Duration | None = None
    timed: bool = True


@dataclass(frozen=True)
class Repeats:
    """How much results of one config differ between seeds.

    Args:
        sd: Standard deviation, pooled over configs.
        df: Degrees of freedom.
    """

    sd: float
    df: int


@dataclass(frozen=True)
class Gain:
    """A mean difference of pairs, positive where the option is better than the reference.

    Args:
        n: Pairs.
        mean: Mean difference; None without pairs.
        sd: Standard deviation of one difference; None where it is not known.
        df: Its degrees of freedom.
        lower: Two-sided 95% interval; None where there is none.
        upper: Likewise.
        rests_on: Where the standard deviation is from: ``pairs``, ``repeats``, or None.
    """

    n: int
    mean: float | None = None
    sd: float | None = None
    df: int | None = None
    lower: float | None = None
    upper: float | None = None
    rests_on: Literal["pairs", "repeats"] | None = None


def gain(blocks: Iterable[Sequence[float]], repeats: Repeats | None) -> Gain:
    """Mean and interval of paired differences.

    Args:
        blocks: Differences, reference less option where smaller is better; those of one block together.
        repeats: For where blocks have too few.

    Example:
        >>> found = gain([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], None)
        >>> found.mean, found.sd, found.df, round(found.lower, 3), found.rests_on
        (3.5, 1.0, 4, 2.367, 'pairs')
        >>> gain([[2.0]], Repeats(0.1, 4)).rests_on
        'repeats'
    """
    known = [list(block) for block in blocks if block]
    every = [difference for block in known for difference in block]
    if not every:
        return Gain(0)
    mean, df, sd = statistics.fmean(every), len(every) - len(known), noise_sd(*known)
    rests_on: Literal["pairs", "repeats"] = "pairs"
    if df < FEWEST_DF and repeats is not None:
        sd, df, rests_on = math.sqrt(2) * repeats.sd, repeats.df, "repeats"
    if sd is None:
        return Gain(len(every), mean)
    margin = t_quantile(df, (1 + CONFIDENCE) / 2) * sd / math.sqrt(len(every))
    return Gain(len(every), mean, sd, df, mean - margin, mean + margin, rests_on)


def pooled(groups: Iterable[Sequence[float]]) -> Repeats | None:
    """What is known of repeats.

    Args:
        groups: Results of one config each, one a seed.

    Example:
        >>> pooled([[1.0, 3.0], [10.0, 12.0], [5.0]])
        Repeats(sd=1.4142135623730951, df=2)
    """
    repeated = [group for group in groups if len(group) > 1]
    sd = noise_sd(*repeated)
    return None if sd is None else Repeats(sd, sum(len(group) - 1 for group in repeated))


def common(curves: Sequence[Sequence[Point]], axis: Axis) -> float | None:
    """The last moment, or step, at which all of some curves are known; None where one has no points."""
    if not all(curves):
        return None
    return float(min(getattr(curve[-1], axis) for curve in curves))


def value_at(curve: Sequence[Point], where: float, axis: Axis) -> float:
    """What a curve was at a moment or a step, in a straight line between its points; beyond its ends their value.

    Example:
        >>> value_at([Point(0, 0.0, 9.0), Point(10, 2.0, 5.0)], 1.5, "seconds")
        6.0
    """
    places = [float(getattr(point, axis)) for point in curve]
    if where <= places[0]:
        return curve[0].value
    for (before, first), (after, second) in pairwise(zip(places, curve, strict=True)):
        if where <= after:
            share = 1.0 if after == before else (where - before) / (after - before)
            return first.value + share * (second.value - first.value)
    return curve[-1].value


def turned_round(differences: Sequence[float]) -> float:
    """Share of all ways to exchange the two of some pairs whose mean is at least as far from 0, of at most 14 pairs.

    Example:
        >>> turned_round([1.0, 2.0, 3.0])
        0.25
    """
    kept = list(differences)[:14]
    least = abs(math.fsum(kept)) - 1e-9 * math.fsum(map(abs, kept))
    sums = [0.0]
    for each in kept:
        sums = [before + turned for before in sums for turned in (each, -each)]
    return sum(abs(each) >= least for each in sums) / len(sums)
