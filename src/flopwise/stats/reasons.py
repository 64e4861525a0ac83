"""A verdict's reasons in sentences for people; the one that decided comes first."""

from __future__ import annotations

from flopwise.stats.also import Beside
from flopwise.stats.evidence import Evidence
from flopwise.stats.threshold import NOISE_SDS_PER_SHARE

MOST_SEEDS_TO_SUGGEST = 1000
"""Beyond this many seeds a verdict is called out of reach."""


def reasons(verdict: str, evidence: Evidence, metric: str) -> list[str]:
    """Sentences for people; the one that decided comes first.

    Args:
        verdict: GO, NO-GO or INCONCLUSIVE.
        evidence: Behind it.
        metric: Of the objective.
    """
    sentences = [_crashes("winner", evidence.failed_winner, evidence.seeds)]
    if evidence.mean_improvement is None:
        sentences.append("There is no seed on which both the baseline and the winner ended ok.")
    else:
        constraints = [_constraint(each) for each in evidence.also if each.needed]
        first = [sentence for kept, sentence in constraints if not kept]
        sentences += [*first, _bound(verdict, evidence), _means(evidence, metric), _asked(evidence)]
        sentences += [sentence for kept, sentence in constraints if kept]
    if verdict == "INCONCLUSIVE" and not evidence.failed_winner:
        sentences.append(_way_out(evidence))
    sentences += [_early(verdict, evidence), _crashes("baseline", evidence.failed_baseline, evidence.seeds)]
    return [sentence for sentence in sentences if sentence]


def _crashes(who: str, failed: int, seeds: int) -> str:
    return f"The {who} failed on {failed} of {seeds} fresh seeds." if failed else ""


def _constraint(beside: Beside) -> tuple[bool, str]:
    """Whether a constraint is surely kept, and what the fresh seeds say about it."""
    name, kept = beside.metric, beside.holds is True
    if beside.lower is None:
        return kept, f"{name} is not known on every fresh seed, and a GO needs it."
    asked = []
    if beside.allowed is not None:
        found = f"worse by at most {_show(-beside.lower)}" if beside.lower < 0 else "no worse"
        asked.append(f"may be worse by {_show(beside.allowed)}; with 95% confidence it is {found}")
    if beside.limit is not None and beside.worst is not None:
        asked.append(
            f"must not be beyond {_show(beside.limit)}; with 95% confidence it is within {_show(beside.worst)}"
        )
    answer = {True: "kept", False: "broken", None: "open"}[beside.holds]
    return kept, f"{name} {' and '.join(asked)}: {answer}."


def _bound(verdict: str, evidence: Evidence) -> str:
    lower, upper, least = evidence.lower, evidence.upper, evidence.threshold
    if lower is None or upper is None or least is None:
        return "One seed cannot tell an improvement from luck."
    if evidence.sd == 0:
        return f"The improvement is {_show(lower)} on every seed."
    if upper < least:
        return f"With 95% confidence the improvement is less than {_show(upper)}, below the {_show(least)} asked for."
    if lower > 0 and verdict == "INCONCLUSIVE" and not evidence.failed_winner:
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


def _early(verdict: str, evidence: Evidence) -> str:
    """What an early end saved, and why it was one."""
    if evidence.last:
        return ""
    left = f"the last {evidence.planned - evidence.seeds} of {evidence.planned} planned seeds are not needed"
    if verdict != "INCONCLUSIVE" or evidence.failed_winner or evidence.chance is None:
        return f"It is decided at look {evidence.look} of {evidence.looks}: {left}."
    return (
        f"Given up at look {evidence.look} of {evidence.looks}, {left}: even a true improvement of twice what is asked "
        f"for would end in GO with a chance of only {evidence.chance:.1%}."
    )


def _way_out(evidence: Evidence) -> str:
    if evidence.n < 2:
        return "Confirm with at least 3 seeds."
    if evidence.n_needed is None:
        return f"More than {MOST_SEEDS_TO_SUGGEST} seeds would be needed to settle it."
    return f"About {evidence.n_needed} seeds would settle it if mean and spread stay as they are."


def _show(value: float) -> str:
    return f"{value:.4g}"
