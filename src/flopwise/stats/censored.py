"""Times to a target, some of which are only known to be longer: trainings that ended without reaching it.

A run that did not reach its target is *censored*: its time is at least as long as it was watched. Leaving it out, or
counting it as the time it was watched, would make a config look faster the more often it fails. What is sound:

- **Kaplan–Meier** (J. Am. Stat. Assoc. 53:457, 1958): the share that has not reached the target by each moment.
- **Restricted mean**: the mean of min(time, horizon), for a horizon up to which every run was watched. Below the
  horizon nothing is censored, so these are whole observations, and two configs on the same seeds can be compared
  seed by seed like any other metric.
- **Log-rank** (Mantel, 1966): do two configs reach the target at the same rate? For independent runs.

The first and the last are scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

from flopwise.objective import Objective
from flopwise.registry import resolve
from flopwise.stats.verdict import Judgement, Verdict, decide

RISK = 0.05
"""Of a GO for a config that is no faster."""
NOBODY = "Neither the baseline nor the winner reached the target on any fresh seed."
SHARED = "No time can be compared: on every fresh seed a slot was used by others."
MOST_TURNED = 14
FEWEST_SEEDS = 5
"""So many pairs it takes that all of them going one way is no chance: 1 in 32."""


@dataclass(frozen=True)
class Duration:
    """How long one training was watched.

    Args:
        seconds: Until it reached the target, or until it ended.
        reached: Which of the two.
    """

    seconds: float
    reached: bool


def horizon(durations: Sequence[Duration]) -> float | None:
    """The longest time for which every run was watched, in seconds; None where all reached the target.

    Example:
        >>> horizon([Duration(5.0, True), Duration(9.0, False), Duration(20.0, True)])
        9.0
    """
    return min((each.seconds for each in durations if not each.reached), default=None)


def restricted(duration: Duration, until: float | None) -> float:
    """Seconds until the target or until the horizon, whichever is first."""
    return duration.seconds if until is None else min(duration.seconds, until)


def survival(durations: Sequence[Duration]) -> list[tuple[float, float]]:
    """Kaplan–Meier: moments at which runs reached the target, and the share that had not by then, from (0, 1) on.

    Example:
        >>> survival([Duration(1.0, True), Duration(2.0, False), Duration(3.0, True), Duration(4.0, True)])
        [(0.0, 1.0), (1.0, 0.75), (3.0, 0.375), (4.0, 0.0)]
    """
    if not any(each.reached for each in durations):
        return [(0.0, 1.0)]
    found = resolve("scipy.stats:ecdf")(_data(durations)).sf
    moments = {each.seconds for each in durations if each.reached}
    steps = zip(found.quantiles.tolist(), found.probabilities.tolist(), strict=True)
    return [(0.0, 1.0), *((moment, share) for moment, share in steps if moment in moments)]


def restricted_mean(durations: Sequence[Duration], until: float) -> float:
    """Mean seconds until the target or the horizon: the area under Kaplan and Meier's curve.

    Example:
        >>> restricted_mean([Duration(1.0, True), Duration(3.0, False)], until=3.0)
        2.0
    """
    steps = [(min(moment, until), share) for moment, share in survival(durations)]
    return sum(share * (after - moment) for (moment, share), (after, _) in pairwise([*steps, (until, 0.0)]))


def median(durations: Sequence[Duration]) -> float | None:
    """When half of the runs have reached the target, by Kaplan and Meier; None where half never does."""
    return next((moment for moment, share in survival(durations) if share <= 0.5), None)


def logrank(first: Sequence[Duration], second: Sequence[Duration]) -> float | None:
    """Two-sided p-value of "both reach the target at the same rate"; None where none reached it."""
    if not first or not second or not any(each.reached for each in (*first, *second)):
        return None
    found = resolve("scipy.stats:logrank")(_data(first), _data(second)).pvalue
    return float(found) if found == found else None


def decide_timed(
    baseline: Sequence[Duration | None],
    candidate: Sequence[Duration | None],
    disturbed: Sequence[bool],
    min_improvement: float,
    objective: Objective,
    looks: Sequence[int] = (),
) -> Judgement:
    """GO, NO-GO or INCONCLUSIVE by the paired difference in restricted mean seconds.

    The horizon depends on the runs, but not on which of a pair is whose; so where the two configs are equally fast,
    every difference is as likely the other way round. Where some runs are cut at the horizon, many differences are
    exactly 0 and Student's bounds are too narrow; then a GO needs besides that at most 5% of all ways to turn the
    differences round give as large a mean (Fisher, The Design of Experiments, 1935). That needs five seeds.

    Args:
        baseline: One a seed; None where it failed for good.
        candidate: On the same seeds, in the same order.
        disturbed: Seeds on which the time of one of the two says nothing, its slot having been used by others.
        min_improvement: Share of the baseline's restricted mean.
        objective: The study's.
        looks: As :func:`~flopwise.stats.verdict.decide` takes them.
    """
    kept = [(b, c) for b, c, bad in zip(baseline, candidate, disturbed, strict=True) if not bad]
    known = [each for pair in kept for each in pair if each is not None]
    until = horizon(known)
    first = [None if b is None or bad else restricted(b, until) for b, bad in zip(baseline, disturbed, strict=True)]
    second = [None if c is None else restricted(c, until) for c in candidate]
    judgement = decide(first, second, min_improvement, objective, looks)
    last = judgement.numbers["look"] == judgement.numbers["looks"]
    chance = turned_round(first, second)
    if judgement.verdict is Verdict.GO and until is not None and chance > RISK:
        reason = f"Turned round by chance, the differences would be as large in {chance:.1%} of all cases: too often."
        more = f"With trainings that do not reach the target, confirm with at least {FEWEST_SEEDS} seeds."
        reasons = (reason, *judgement.reasons[1:], more)
        judgement = replace(judgement, verdict=Verdict.INCONCLUSIVE, reasons=reasons, final=last)
    if not any(each.reached for each in known):
        reason = NOBODY if kept else SHARED
        judgement = replace(judgement, verdict=Verdict.INCONCLUSIVE, reasons=(reason,), final=last)
    return replace(judgement, reasons=(*judgement.reasons, *_notes(kept, until, sum(disturbed))))


def turned_round(baseline: Sequence[float | None], candidate: Sequence[float | None]) -> float:
    """Share of all ways to exchange the two of some pairs whose mean improvement is at least the one found.

    Of more than 14 seeds only the first 14 count: enough for any difference that can be told.

    Example:
        >>> turned_round([3.0, 3.0, 3.0], [1.0, 2.0, 3.0])
        0.25
    """
    pairs = zip(baseline, candidate, strict=True)
    gains = [b - c for b, c in pairs if b is not None and c is not None][:MOST_TURNED]
    found = math.fsum(gains) - 1e-9 * math.fsum(map(abs, gains))
    ways = [math.fsum(sign * gain for sign, gain in zip(signs, gains, strict=True)) for signs in _signs(len(gains))]
    return sum(way >= found for way in ways) / len(ways)


def _signs(count: int) -> Iterator[tuple[float, ...]]:
    return product((1.0, -1.0), repeat=count)


def _notes(kept: Sequence[tuple[Duration | None, Duration | None]], until: float | None, disturbed: int) -> list[str]:
    notes = []
    if until is not None:
        counts = [sum(each is not None and each.reached for each in side) for side in zip(*kept, strict=True)]
        notes.append(
            f"The target was reached on {counts[0]} (baseline) and {counts[1]} (winner) of {len(kept)} seeds; "
            f"the others count as the {until:.6g} s that every run was watched."
        )
    if disturbed:
        notes.append(
            f"Left out on {disturbed} fresh seeds, whose slot was used by others: the baseline, and so the pair."
        )
    return notes


def _data(durations: Sequence[Duration]) -> Any:
    """As scipy has censored data."""
    kind = resolve("scipy.stats:CensoredData")
    return kind(
        uncensored=[each.seconds for each in durations if each.reached],
        right=[each.seconds for each in durations if not each.reached],
    )
