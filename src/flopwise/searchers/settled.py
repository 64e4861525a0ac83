"""When what is left of a question could not change its answer: then it is not run.

Both rules are functions of what the searcher was told, and hold back: what is not sure is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.objective import UNREACHED
from flopwise.stats.compare import paired, t_quantile

RISK = 0.01
"""Of dropping a row that is no worse, for all rows of a question together."""

FEWEST_FINE = 12
"""A second stage with fewer trials is run whole."""


@dataclass(frozen=True)
class Settled:
    """A question that is not asked to its end.

    Args:
        question: Its name; None for the second stage.
        dropped: Rows that are left out of the contexts that have not been run.
        skipped: Configs that are not run.
        reason: One sentence.
        numbers: What it was decided by.
    """

    question: str | None
    dropped: tuple[int, ...]
    skipped: int
    reason: str
    numbers: Mapping[str, Any]


def settled(name: str, losses: Sequence[Sequence[float | None]], left: int) -> Settled | None:
    """Whether one row of a question is surely better than every other.

    A row is surely worse than the best if its losses, context by context, are higher by a paired one-sided t-test
    at 1% over the number of rows it is held against. Where a training failed, or did not reach its target, nothing is
    sure.

    Args:
        name: Of the question.
        losses: Of every row, one a context that has been run; None where the trial failed.
        left: Contexts that have not been run.

    Example:
        >>> settled("A", [[1.0, 2.0, 3.0], [3.0, 4.01, 5.02]], left=1).dropped
        (1,)
        >>> settled("A", [[1.0, 2.0, 3.0], [3.0, 1.0, 5.0]], left=1) is None
        True
    """
    known = [[loss for loss in row if loss is not None and loss < UNREACHED] for row in losses]
    if not known or any(len(row) < len(given) or len(row) < 2 for row, given in zip(known, losses, strict=True)):
        return None
    leader = min(range(len(known)), key=lambda row: (sum(known[row]), row))
    others = [row for row in range(len(known)) if row != leader]
    critical = t_quantile(len(known[leader]) - 1, 1 - RISK / max(1, len(others)))
    found = [paired(known[row], known[leader], critical) for row in others]
    if not others or any(each.lower is None or each.lower <= 0 for each in found):
        return None
    contexts = len(known[leader])
    reason = f"in {contexts} contexts one option is surely the best; the others are not tried in the {left} left"
    pairs = zip(others, found, strict=True)
    worse = [{"row": row, "mean": each.mean_improvement, "lower": each.lower} for row, each in pairs]
    numbers = {"best": leader, "contexts": contexts, "worse": worse}
    return Settled(name, tuple(others), len(others) * left, reason, numbers)


def settled_fine(ranked: Sequence[int], first: int, tried: int, top: int, planned: int) -> Settled | None:
    """Whether the first half of the fine grid found nothing worth going on for: none of it is among the best few.

    Args:
        ranked: Numbers of all told trials that did not fail, the best first.
        first: Number of the second stage's first trial.
        tried: Trials of it that have been told.
        top: How many are the best few.
        planned: Trials that the second stage has.
    """
    places = [place for place, number in enumerate(ranked, start=1) if number >= first]
    best = min(places, default=None)
    if best is not None and best <= top:
        return None
    reason = f"none of the first {tried} trials of the fine grid is among the best {top}"
    return Settled(None, (), planned - tried, reason, {"tried": tried, "top": top, "best_place": best})
