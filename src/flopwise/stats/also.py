"""The other metrics of a confirmation: reported beside the declared one, or needed by a GO as constraints.

A constraint is one more thing that has to be shown, at the same 5% and with the bounds of the same looks. A GO needs
all of them at once (an intersection-union test: Berger, Technometrics 24, 1982), so it is wrong in at most 5% of
studies without any correction. Metrics that are only reported invite to look for the best of them, so the bounds of
``m`` of them hold together: each spends 5% / m (Bonferroni).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flopwise.objective import Objective
from flopwise.stats.compare import paired
from flopwise.stats.looks import ALPHA, critical_value

Metrics = Sequence[Mapping[str, float] | None]
"""Final values, one mapping a seed; None where it failed."""


@dataclass(frozen=True)
class Also:
    """A metric beside the objective's.

    Args:
        metric: Its name.
        direction: Which way is better.
        worse: Share of the baseline's by which the winner may be worse; None where that is no constraint.
        limit: Value that the winner's mean must not be beyond; None for none.
    """

    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"
    worse: float | None = None
    limit: float | None = None

    @property
    def needed(self) -> bool:
        """Whether a GO needs it."""
        return self.worse is not None or self.limit is not None


@dataclass(frozen=True)
class Beside:
    """What the fresh seeds say about it, in its own unit; None where there is no number.

    Args:
        metric: Its name.
        needed: Whether a GO needs it.
        n: Seeds compared.
        baseline_mean: Of the baseline.
        winner_mean: Of the winner.
        mean_improvement: Mean difference, positive when the winner is better.
        lower: Lower bound of the mean improvement.
        upper: Upper bound of the mean improvement.
        allowed: By how much it may be worse.
        limit: What the winner's mean must not be beyond.
        worst: Bound of the winner's mean on its worse side; where there is a limit.
        best: Bound on its better side.
        holds: Whether the constraint is surely kept (False: surely broken); None when open, or none is set.
        n_needed: Seeds that would settle an open one, all else equal.
    """

    metric: str
    needed: bool
    n: int
    baseline_mean: float | None = None
    winner_mean: float | None = None
    mean_improvement: float | None = None
    lower: float | None = None
    upper: float | None = None
    allowed: float | None = None
    limit: float | None = None
    worst: float | None = None
    best: float | None = None
    holds: bool | None = None
    n_needed: int | None = None


def beside(
    also: Sequence[Also], baseline: Metrics, winner: Metrics, pairs: Sequence[int], of: int, *, last: bool
) -> tuple[Beside, ...]:
    """Compare every other metric seed by seed.

    Args:
        also: The metrics.
        baseline: Values on the seeds so far.
        winner: On the same seeds.
        pairs: Seeds compared at each look so far, at least 2.
        of: Seeds when all is done.
        last: Whether this is the last look.
    """
    if not pairs:
        return tuple(Beside(each.metric, each.needed, 0) for each in also)
    reported = sum(not each.needed for each in also)
    found = []
    for each in also:
        alpha = ALPHA if each.needed else ALPHA / reported
        critical = critical_value(pairs, of, last=last, alpha=alpha)
        found.append(_compared(each, baseline, winner, pairs[-1], critical))
    return tuple(found)


def _compared(also: Also, baseline: Metrics, winner: Metrics, n: int, critical: float) -> Beside:
    objective = Objective(also.metric, also.direction)
    losses = [
        (objective.loss(b), objective.loss(w))
        for b, w in zip(baseline, winner, strict=True)
        if b is not None and w is not None
    ]
    known = [(b, w) for b, w in losses if b is not None and w is not None]
    if len(known) != n:
        return Beside(also.metric, also.needed, len(known))
    before, after = [b for b, _ in known], [w for _, w in known]
    compared = paired(before, after, critical)
    assert compared.lower is not None and compared.upper is not None and compared.sd is not None
    base, mean = statistics.fmean(before), statistics.fmean(after)
    numbers: dict[str, Any] = {
        "baseline_mean": objective.value(base),
        "winner_mean": objective.value(mean),
        "mean_improvement": compared.mean_improvement,
        "lower": compared.lower,
        "upper": compared.upper,
        "limit": also.limit,
    }
    tests: list[_Test] = []
    if also.worse is not None:
        numbers["allowed"] = also.worse * abs(base)
        tests.append(_Test(compared.mean_improvement + numbers["allowed"], compared.sd, n, critical))
    if also.limit is not None:
        sd = statistics.stdev(after)
        margin = critical * sd / math.sqrt(n)
        numbers |= {"worst": objective.value(mean + margin), "best": objective.value(mean - margin)}
        tests.append(_Test(objective.sign * also.limit - mean, sd, n, critical))
    return Beside(also.metric, also.needed, n, **numbers, holds=_all(tests), n_needed=_needed(tests))


@dataclass(frozen=True)
class _Test:
    """How far a mean is on the right side of what is demanded, and its spread."""

    room: float
    sd: float
    n: int
    critical: float

    @property
    def holds(self) -> bool | None:
        margin = self.critical * self.sd / math.sqrt(self.n)
        if self.room - margin >= 0:
            return True
        return False if self.room + margin < 0 else None

    @property
    def n_needed(self) -> int | None:
        """About the seeds at which the margin is as small as the room; None when out of reach."""
        if self.room == 0:
            return None
        least = math.ceil((self.critical * self.sd / abs(self.room)) ** 2)
        return max(least, self.n + 1) if least <= MOST_SEEDS else None


MOST_SEEDS = 1000


def _all(tests: Sequence[_Test]) -> bool | None:
    answers = [test.holds for test in tests]
    if False in answers:
        return False
    return True if answers and all(answers) else None


def _needed(tests: Sequence[_Test]) -> int | None:
    """Most seeds of the open ones; None when none is open, or one is out of reach."""
    counts = [test.n_needed for test in tests if test.holds is None]
    return None if None in counts else max((count for count in counts if count is not None), default=None)
