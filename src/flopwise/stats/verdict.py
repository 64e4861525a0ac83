"""GO, NO-GO or INCONCLUSIVE: does the winner beat the baseline on seeds that nothing was chosen by?

The rule, with improvements counted positive when the winner is better:

- GO: the one-sided 95% lower bound of the mean improvement is above 0, the mean improvement is at least
  the threshold, and no fresh seed of the winner failed. A candidate that is no better gets it in at most 5% of
  studies, however many looks are taken before the last seed.
- NO-GO: the 95% upper bound is below the threshold, or the winner failed on half of its seeds or more.
- Where the study sets constraints on other metrics, a GO needs each of them to be surely kept (95%); one that is surely
  broken makes it a NO-GO.
- INCONCLUSIVE: anything else; says how many seeds would settle it if mean and spread stay as they are.

A look before the last seed ends the confirmation with a GO or a NO-GO by the same rule, and as INCONCLUSIVE where
a GO is out of reach: a seed of the winner failed, or the chance of a GO is small even if the true improvement is
twice what is asked for. Giving up early can only make a GO rarer, so it needs no share of the 5%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from flopwise.objective import Objective
from flopwise.stats.compare import t_quantile
from flopwise.stats.evidence import Evidence, Losses, Others, gather
from flopwise.stats.reasons import MOST_SEEDS_TO_SUGGEST, reasons

FUTILE_BELOW = 0.10
"""A confirmation goes on only where its chance of a GO is at least this."""


class Verdict(StrEnum):
    """The three ways a study can end."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Args:
        verdict: One of the three, if no more seeds are run.
        reasons: Sentences, most important first.
        numbers: The fields of :class:`flopwise.stats.evidence.Evidence`, JSON values.
        final: Whether it is the verdict: no more seeds are worth running, or none are planned.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: dict[str, Any]
    final: bool = True


def decide(
    baseline: Losses,
    candidate: Losses,
    min_improvement: float,
    objective: Objective,
    looks: Sequence[int] = (),
    others: Others | None = None,
) -> Judgement:
    """Judge a candidate against the baseline on the same fresh seeds.

    Args:
        baseline: Losses, one a seed, smaller is better; None where the seed failed for good.
        candidate: Losses on the same seeds, in the same order.
        min_improvement: Share of the baseline's metric where that is positive; see
            :func:`flopwise.stats.threshold.threshold` for what it means elsewhere.
        objective: To show values as the user knows them.
        looks: After how many seeds the comparison is looked at; the seeds there are are those of one look. Empty
            for a single look at all of them.
        others: The other metrics on the same seeds; None for none.

    Raises:
        ValueError: If the lengths differ, there are no seeds, or their number is not that of a look.

    Example:
        >>> decide([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], 0.01, Objective("val_loss")).verdict
        <Verdict.GO: 'GO'>
    """
    evidence = gather(baseline, candidate, min_improvement, objective, looks, others)
    alone = _rule(evidence)
    verdict = _constrained(alone, evidence)
    if verdict is Verdict.INCONCLUSIVE and not evidence.failed_winner:
        needed = _n_needed(evidence) if alone is verdict else _n_needed_beside(evidence)
        evidence = replace(evidence, n_needed=needed)
    said = reasons(str(verdict), evidence, objective.metric)
    return Judgement(verdict, tuple(said), asdict(evidence), final=evidence.last or _ends_early(verdict, evidence))


def no_candidate(trials: int, min_improvement: float) -> Judgement:
    """The judgement when no search trial ended ok, so there is nothing to confirm.

    Args:
        trials: Search trials that were run.
        min_improvement: As the study asks for it.
    """
    reason = f"None of the {trials} search trials ended ok: there is no candidate to confirm."
    return Judgement(Verdict.INCONCLUSIVE, (reason,), asdict(Evidence(0, min_improvement)))


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


def _constrained(verdict: Verdict, evidence: Evidence) -> Verdict:
    """A GO needs every constraint to be surely kept; one that is surely broken makes it a NO-GO."""
    answers = [each.holds for each in evidence.also if each.needed]
    if verdict is not Verdict.GO or all(answers):
        return verdict
    return Verdict.NO_GO if False in answers else Verdict.INCONCLUSIVE


def _n_needed_beside(evidence: Evidence) -> int | None:
    """Most seeds that an open constraint needs; None when one is out of reach."""
    counts = [each.n_needed for each in evidence.also if each.needed and each.holds is None]
    return None if None in counts else max((count for count in counts if count is not None), default=None)


def _ends_early(verdict: Verdict, evidence: Evidence) -> bool:
    """Whether a look before the last one ends the confirmation.

    Equal differences on a few seeds prove nothing about the next (a metric that counts is often equal by chance), so
    then it goes on, unless the winner fails.
    """
    if evidence.failed_winner:
        return True
    if evidence.sd is None or evidence.sd == 0:
        return False
    return verdict is not Verdict.INCONCLUSIVE or (evidence.chance is not None and evidence.chance < FUTILE_BELOW)


def _n_needed(evidence: Evidence) -> int | None:
    """The fewest seeds, more than now, at which the same mean and spread would decide; None when out of reach."""
    if evidence.sd is None or evidence.mean_improvement is None or evidence.threshold is None:
        return None
    mean, least = evidence.mean_improvement, evidence.threshold
    room = mean if mean >= least else least - mean
    more = range(evidence.n + 1, MOST_SEEDS_TO_SUGGEST + 1)
    return next((n for n in more if t_quantile(n - 1) * evidence.sd / math.sqrt(n) < room), None)
