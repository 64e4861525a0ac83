"""How well a target tells configs apart, and which of several to take.

A target that nobody reaches ranks nobody; one that everybody reaches in about the same time ranks noise. In between,
the best is the one whose times differ most for their noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flopwise.stats.noise import noise_sd

TIE = 0.05
"""Times that differ by no more than this share of their median are the same."""
NOISE_SDS = 2.0
"""So are times that differ by no more than this many standard deviations of one config's times."""
FEWEST = 2
"""Configs that must reach a harder target before it is taken."""


@dataclass(frozen=True)
class Rung:
    """One target, and what the configs made of it.

    Args:
        value: The target.
        of: Configs that were trained.
        reached: Configs that reached it on every seed (the median does where there are several).
        fastest: Seconds of the fastest of them; None where there is none.
        median: Their median, in seconds.
        slowest: Seconds of the slowest of them.
        noise_sd: Standard deviation of one config's seconds, pooled; None where no config has two that reached it.
    """

    value: float
    of: int
    reached: int
    fastest: float | None = None
    median: float | None = None
    slowest: float | None = None
    noise_sd: float | None = None

    @property
    def spread(self) -> float | None:
        """Slowest less fastest, as a share of the median."""
        if self.fastest is None or self.slowest is None or not self.median:
            return None
        return (self.slowest - self.fastest) / self.median

    @property
    def tied(self) -> bool:
        """Whether everybody got there, in times that cannot be told apart."""
        if self.fastest is None or self.slowest is None or self.median is None or self.reached < self.of:
            return False
        return self.slowest - self.fastest <= max(TIE * self.median, NOISE_SDS * (self.noise_sd or 0.0))

    @property
    def separates(self) -> float:
        """Pairs of configs that it ranks, as a share of all: those of which one at least gets there, ties aside."""
        if self.of < 2 or self.tied:
            return 0.0
        behind = self.of - self.reached
        return 1.0 - behind * (behind - 1) / (self.of * (self.of - 1))


def rung(value: float, seconds: Sequence[Sequence[float | None]]) -> Rung:
    """What configs made of one target.

    Args:
        value: The target.
        seconds: Of every config, one a seed; None where the seed did not reach it.
    """
    times = [_middle(config) for config in seconds]
    reached = [each for each in times if each is not None]
    noise = noise_sd(*([each for each in config if each is not None] for config in seconds))
    if not reached:
        return Rung(value, len(times), 0, noise_sd=noise)
    return Rung(value, len(times), len(reached), min(reached), statistics.median(reached), max(reached), noise)


def choose(start: float, fallback: Sequence[float], tighten: Sequence[float], rungs: Mapping[float, Rung]) -> float:
    """The target to compare by.

    Falls back to the first easier one that anybody reaches; tightens, while everybody ties, to the first harder one
    that does not tie and that two configs reach at least, or else to the hardest that two reach.

    Args:
        start: The study's own.
        fallback: Easier ones, in the order to try.
        tighten: Harder ones, in the order to try.
        rungs: Of every one of these.
    """
    if not rungs[start].reached:
        return next((level for level in fallback if rungs[level].reached), start)
    if not rungs[start].tied:
        return start
    harder = [level for level in tighten if rungs[level].reached >= FEWEST]
    return next((level for level in harder if not rungs[level].tied), harder[-1] if harder else start)


def recommend(rungs: Sequence[Rung]) -> float | None:
    """Of a ladder, the target that ranks most pairs; of equals the one with the widest spread, then the hardest.

    Args:
        rungs: The easiest first.
    """
    able = [(each.separates, each.spread or 0.0, place) for place, each in enumerate(rungs) if each.reached]
    return rungs[max(able)[2]].value if able else None


def _middle(config: Sequence[float | None]) -> float | None:
    """The median of a config's seeds, those that did not get there last; None where it did not get there."""
    ordered = sorted(math.inf if each is None else each for each in config)
    if not ordered:
        return None
    upper = ordered[len(ordered) // 2]
    middle = upper if len(ordered) % 2 or upper == math.inf else (ordered[len(ordered) // 2 - 1] + upper) / 2
    return None if middle == math.inf else middle
