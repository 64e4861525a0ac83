"""The numbers of a comparison on fresh seeds at one look, from the losses alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from flopwise.objective import Objective
from flopwise.stats.also import Also, Beside, Metrics, beside
from flopwise.stats.compare import paired
from flopwise.stats.looks import chance, critical_value
from flopwise.stats.noise import noise_sd
from flopwise.stats.power import EFFECT
from flopwise.stats.threshold import threshold

Losses = Sequence[float | None]
"""One a seed, smaller is better; None where the seed failed for good."""


@dataclass(frozen=True)
class Others:
    """The other metrics on the same seeds.

    Args:
        also: Which, and what a GO needs of them.
        baseline: Final values of the baseline, one mapping a seed.
        winner: Of the winner.
    """

    also: Sequence[Also]
    baseline: Metrics
    winner: Metrics


@dataclass(frozen=True)
class Evidence:
    """The numbers of a comparison, in the metric's own unit; None where there is none.

    Args:
        n: Seeds on which both baseline and winner ended ok; only these are compared.
        min_improvement: As the study asks for it.
        failed_baseline: Fresh seeds on which the baseline failed.
        failed_winner: Fresh seeds on which the winner failed.
        seeds: Fresh seeds run.
        planned: Fresh seeds when all looks are made.
        look: Which look this is, from 1.
        looks: How many are planned.
        critical: Standard errors between the mean and its bounds, so that they hold at all looks together.
        chance: Of a GO at the last look, if the true improvement is twice what is asked for, or what was seen where
            that is more; None at the last.
        baseline_mean: Mean metric of the baseline.
        winner_mean: Mean metric of the winner.
        mean_improvement: Mean difference, positive when the winner is better.
        sd: Standard deviation of the differences.
        lower: One-sided 95% lower bound of the mean improvement, over all looks together.
        upper: One-sided 95% upper bound of the mean improvement, likewise.
        threshold: Improvement asked for.
        relative: Mean improvement as a share of the baseline; only when the baseline is positive.
        noise_sd: Standard deviation over seeds of one config, pooled over both.
        also: The other metrics, see :class:`flopwise.stats.also.Beside`.
        n_needed: Seeds that would settle an open comparison, all else equal.
    """

    n: int
    min_improvement: float
    failed_baseline: int = 0
    failed_winner: int = 0
    seeds: int = 0
    planned: int = 0
    look: int = 0
    looks: int = 0
    critical: float | None = None
    chance: float | None = None
    baseline_mean: float | None = None
    winner_mean: float | None = None
    mean_improvement: float | None = None
    sd: float | None = None
    lower: float | None = None
    upper: float | None = None
    threshold: float | None = None
    relative: float | None = None
    noise_sd: float | None = None
    also: tuple[Beside, ...] = ()
    n_needed: int | None = None

    @property
    def last(self) -> bool:
        """Whether no look comes after this one."""
        return self.look == self.looks


def gather(
    baseline: Losses,
    candidate: Losses,
    share: float,
    objective: Objective,
    looks: Sequence[int] = (),
    others: Others | None = None,
) -> Evidence:
    """Everything that the seeds run so far say.

    Args:
        baseline: Losses of the baseline.
        candidate: Losses on the same seeds, in the same order.
        share: ``confirm.min_improvement``.
        objective: To show values as the user knows them.
        looks: Planned, in seeds; the seeds there are are those of one of them. Empty: all there are is all that was
            planned.
        others: The other metrics; None for none.

    Raises:
        ValueError: If the lengths differ, there are no seeds, or their number is not that of a look.
    """
    looks = tuple(looks) or (len(baseline),)
    if not baseline:
        raise ValueError("no seeds to judge by")
    if len(baseline) not in looks:
        raise ValueError(f"{len(baseline)} seeds to judge by, expected one of {looks}")
    both = [b is not None and c is not None for b, c in zip(baseline, candidate, strict=True)]
    place = looks.index(len(baseline))
    counts = Evidence(
        n=sum(both),
        min_improvement=share,
        failed_baseline=sum(loss is None for loss in baseline),
        failed_winner=sum(loss is None for loss in candidate),
        seeds=len(baseline),
        planned=looks[-1],
        look=place + 1,
        looks=len(looks),
    )
    if not counts.n:
        return counts
    pairs = [n for n in (sum(both[:seeds]) for seeds in looks[: place + 1]) if n >= 2]
    critical = critical_value(pairs, looks[-1], last=counts.last) if counts.n >= 2 else None
    compared = _forecast(_compared(counts, baseline, candidate, objective, critical), pairs)
    if others is None:
        return compared
    found = beside(others.also, others.baseline, others.winner, pairs, looks[-1], last=counts.last)
    return replace(compared, also=found)


def _compared(
    counts: Evidence, baseline: Losses, candidate: Losses, objective: Objective, critical: float | None
) -> Evidence:
    pairs = [(b, c) for b, c in zip(baseline, candidate, strict=True) if b is not None and c is not None]
    noise = noise_sd([b for b in baseline if b is not None], [c for c in candidate if c is not None])
    base = objective.value(statistics.fmean(b for b, _ in pairs))
    compared = paired([b for b, _ in pairs], [c for _, c in pairs], critical)
    return replace(
        counts,
        baseline_mean=base,
        winner_mean=objective.value(statistics.fmean(c for _, c in pairs)),
        threshold=threshold(base, counts.min_improvement, noise),
        relative=compared.mean_improvement / base if base > 0 else None,
        noise_sd=noise,
        critical=critical,
        **asdict(compared),
    )


def _forecast(evidence: Evidence, pairs: Sequence[int]) -> Evidence:
    """With the chance that going on would still end in GO."""
    mean, sd, least = evidence.mean_improvement, evidence.sd, evidence.threshold
    if evidence.last or mean is None or sd is None or least is None:
        return evidence
    in_the_end = evidence.n + evidence.planned - evidence.seeds
    critical = critical_value([*pairs, in_the_end], evidence.planned, last=True)
    expected = max(EFFECT * least, mean)
    return replace(evidence, chance=chance(mean, sd, evidence.n, in_the_end, least, expected, critical))
