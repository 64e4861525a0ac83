"""GO, NO-GO or INCONCLUSIVE: does the winner beat the baseline on seeds that nothing was chosen by?

The rule, with improvements counted positive when the winner is better:

- GO: the one-sided 95% lower bound of the mean improvement is above 0, the mean improvement is at least
  the threshold, and no fresh seed of the winner failed. A candidate that is no better gets it in at most 5% of
  studies.
- NO-GO: the 95% upper bound is below the threshold, or the winner failed on half of its seeds or more.
- INCONCLUSIVE: anything else; says how many seeds would settle it if mean and spread stay as they are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from flopwise.objective import Objective
from flopwise.stats.compare import paired, t_quantile
from flopwise.stats.noise import noise_sd
from flopwise.stats.threshold import NOISE_SDS_PER_SHARE, threshold

MOST_SEEDS_TO_SUGGEST = 1000
"""Beyond this many seeds a verdict is called out of reach."""


class Verdict(StrEnum):
    """The three ways a study can end."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Args:
        verdict: One of the three.
        reasons: Sentences, most important first.
        numbers: The fields of :class:`Evidence`, JSON values.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The numbers of a comparison, in the metric's own unit; None where there is none.

    Args:
        n: Seeds on which both baseline and winner ended ok; only these are compared.
        min_improvement: As the study asks for it.
        failed_baseline: Fresh seeds on which the baseline failed.
        failed_winner: Fresh seeds on which the winner failed.
        seeds: Fresh seeds run.
        baseline_mean: Mean metric of the baseline.
        winner_mean: Mean metric of the winner.
        mean_improvement: Mean difference, positive when the winner is better.
        sd: Standard deviation of the differences.
        lower: One-sided 95% lower bound of the mean improvement.
        upper: One-sided 95% upper bound of the mean improvement.
        threshold: Improvement asked for.
        relative: Mean improvement as a share of the baseline; only when the baseline is positive.
        noise_sd: Standard deviation over seeds of one config, pooled over both.
        n_needed: Seeds that would settle an open comparison, all else equal.
    """

    n: int
    min_improvement: float
    failed_baseline: int = 0
    failed_winner: int = 0
    seeds: int = 0
    baseline_mean: float | None = None
    winner_mean: float | None = None
    mean_improvement: float | None = None
    sd: float | None = None
    lower: float | None = None
    upper: float | None = None
    threshold: float | None = None
    relative: float | None = None
    noise_sd: float | None = None
    n_needed: int | None = None


def decide(
    baseline: Sequence[float | None],
    candidate: Sequence[float | None],
    min_improvement: float,
    objective: Objective,
) -> Judgement:
    """Judge a candidate against the baseline on the same fresh seeds.

    Args:
        baseline: Losses, one a seed, smaller is better; None where the seed failed for good.
        candidate: Losses on the same seeds, in the same order.
        min_improvement: Share of the baseline's metric where that is positive; see
            :func:`flopwise.stats.threshold.threshold` for what it means elsewhere.
        objective: To show values as the user knows them.

    Raises:
        ValueError: If the lengths differ or there are no seeds.

    Example:
        >>> decide([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], 0.01, Objective("val_loss")).verdict
        <Verdict.GO: 'GO'>
    """
    evidence = _evidence(baseline, candidate, min_improvement, objective)
    verdict = _rule(evidence)
    if verdict is Verdict.INCONCLUSIVE and not evidence.failed_winner:
        evidence = replace(evidence, n_needed=_n_needed(evidence))
    return Judgement(verdict, tuple(_reasons(verdict, evidence, objective.metric)), asdict(evidence))


def no_candidate(trials: int, min_improvement: float) -> Judgement:
    """The judgement when no search trial ended ok, so there is nothing to confirm.

    Args:
        trials: Search trials that were run.
        min_improvement: As the study asks for it.
    """
    reason = f"None of the {trials} search trials ended ok: there is no candidate to confirm."
    return Judgement(Verdict.INCONCLUSIVE, (reason,), asdict(Evidence(0, min_improvement)))


def _evidence(
    baseline: Sequence[float | None], candidate: Sequence[float | None], share: float, objective: Objective
) -> Evidence:
    if not baseline:
        raise ValueError("no seeds to judge by")
    pairs = [(b, c) for b, c in zip(baseline, candidate, strict=True) if b is not None and c is not None]
    counts = Evidence(
        n=len(pairs),
        min_improvement=share,
        failed_baseline=sum(loss is None for loss in baseline),
        failed_winner=sum(loss is None for loss in candidate),
        seeds=len(baseline),
    )
    if not pairs:
        return counts
    noise = noise_sd([b for b in baseline if b is not None], [c for c in candidate if c is not None])
    base = objective.value(statistics.fmean(b for b, _ in pairs))
    compared = paired([b for b, _ in pairs], [c for _, c in pairs])
    return replace(
        counts,
        baseline_mean=base,
        winner_mean=objective.value(statistics.fmean(c for _, c in pairs)),
        threshold=threshold(base, share, noise),
        relative=compared.mean_improvement / base if base > 0 else None,
        noise_sd=noise,
        **asdict(compared),
    )


def _rule(evidence: Evidence) -> Verdict:
    if evidence.seeds and 2 * evidence.failed_winner >= evidence.seeds:
        return Verdict.NO_GO
    mean, lower, upper = evidence.mean_improvement, evidence.lower, evidence.upper
    if mean is None or lower is None or upper is None or evidence.threshold is None:
        return Verdict.INCONCLUSIVE
    if lower > 0 and mean >= evidence.threshold:
        return Verdict.INCONCLUSIVE if evidence.failed_winner else Verdict.GO
    if upper < evidence.threshold or evidence.sd == 0:
        return Verdict.NO_GO
    return Verdict.INCONCLUSIVE


def _n_needed(evidence: Evidence) -> int | None:
    """The fewest seeds, more than now, at which the same mean and spread would decide; None when out of reach."""
    if evidence.sd is None or evidence.mean_improvement is None or evidence.threshold is None:
        return None
    mean, least = evidence.mean_improvement, evidence.threshold
    room = mean if mean >= least else least - mean
    more = range(evidence.n + 1, MOST_SEEDS_TO_SUGGEST + 1)
    return next((n for n in more if t_quantile(n - 1) * evidence.sd / math.sqrt(n) < room), None)


def _reasons(verdict: Verdict, evidence: Evidence, metric: str) -> list[str]:
    """Sentences for people; the one that decided comes first."""
    sentences = [_crashes("winner", evidence.failed_winner, evidence.seeds)]
    if evidence.mean_improvement is None:
        sentences.append("There is no seed on which both the baseline and the winner ended ok.")
    else:
        sentences += [_bound(verdict, evidence), _means(evidence, metric), _asked(evidence)]
    if verdict is Verdict.INCONCLUSIVE and not evidence.failed_winner:
        sentences.append(_way_out(evidence))
    sentences.append(_crashes("baseline", evidence.failed_baseline, evidence.seeds))
    return [sentence for sentence in sentences if sentence]


def _crashes(who: str, failed: int, seeds: int) -> str:
    return f"The {who} failed on {failed} of {seeds} fresh seeds." if failed else ""


def _bound(verdict: Verdict, evidence: Evidence) -> str:
    lower, upper, least = evidence.lower, evidence.upper, evidence.threshold
    if lower is None or upper is None or least is None:
        return "One seed cannot tell an improvement from luck."
    if evidence.sd == 0:
        return f"The improvement is {_show(lower)} on every seed."
    if upper < least:
        return f"With 95% confidence the improvement is less than {_show(upper)}, below the {_show(least)} asked for."
    if lower > 0 and verdict is Verdict.INCONCLUSIVE and not evidence.failed_winner:
        return f"The improvement is real (95% sure: more than {_show(lower)}), but may be less than asked for."
    if lower > 0:
        return f"With 95% confidence the improvement is more than {_show(lower)}."
    return f"The improvement may be luck: with 90% confidence it lies between {_show(lower)} and {_show(upper)}."


def _means(evidence: Evidence, metric: str) -> str:
    mean, base, winner = evidence.mean_improvement or 0.0, evidence.baseline_mean or 0.0, evidence.winner_mean or 0.0
    share = "" if evidence.relative is None else f" ({abs(evidence.relative):.2%})"
    change = f"{'better' if mean > 0 else 'worse'} by {_show(abs(mean))}{share}" if mean else "no change"
    seeds = "seed" if evidence.n == 1 else "seeds"
    return (
        f"{metric} went from {_show(base)} (baseline) to {_show(winner)} (winner), "
        f"{change}, mean of {evidence.n} fresh {seeds}."
    )


def _asked(evidence: Evidence) -> str:
    share, least = evidence.min_improvement, evidence.threshold or 0.0
    if evidence.relative is not None:
        return f"Asked for: at least {_show(least)}, {share:.2%} of the baseline."
    return f"Asked for: at least {_show(least)}, {NOISE_SDS_PER_SHARE * share:g} times the noise between seeds."


def _way_out(evidence: Evidence) -> str:
    if evidence.n < 2:
        return "Confirm with at least 3 seeds."
    if evidence.n_needed is None:
        return f"More than {MOST_SEEDS_TO_SUGGEST} seeds would be needed to settle it."
    return f"About {evidence.n_needed} seeds would settle it if mean and spread stay as they are."


def _show(value: float) -> str:
    return f"{value:.4g}"
