"""Are the nan results of a search those of one region of the space?

A region that is bad in an obvious way is the search's to leave, and no reason to stop. That takes enough results
to say so: until then nan is neither explained nor held against the study.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flopwise.policies.evaluations import Finished
from flopwise.policies.policy import History
from flopwise.policies.region import ALPHA, Region, attainable, find_region
from flopwise.trial import Outcome, Phase

MOST_EVALUATIONS = 120
"""Looked back on for a region."""

LEAST_NAN = 4
"""Fewer are accidents."""

ENOUGH_NAN = 6
"""From so many on they have to be explained, "nothing explains them" included."""

ENOUGH_EVALUATIONS = 30
"""Or from so many evaluations on."""


class Answer(StrEnum):
    """What can be said."""

    TOO_FEW = "too few"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class NanLook:
    """The nan results so far.

    Args:
        answer: Whether one region explains them.
        region: The best there is; None when nothing separates anything, or they are too few.
        nan: How many there are.
        evaluations: Looked at: those that gave a result or nan.
    """

    answer: Answer
    region: Region | None
    nan: int
    evaluations: int

    def counts(self, evaluation: Finished) -> bool:
        """Whether a failed evaluation is held against the study: every one but nan that is, or may be, explained."""
        if evaluation.outcome is not Outcome.NAN:
            return evaluation.failed
        return self.answer is Answer.UNEXPLAINED


def look(history: History) -> NanLook:
    """Look at the last evaluations of the search; those before an accepted pause teach no less."""
    seen = [each for each in history.last(MOST_EVALUATIONS, (Phase.SEARCH,)) if not each.failed or _is_nan(each)]
    configs, bad = [each.config for each in seen], [_is_nan(each) for each in seen]
    count, knobs = sum(bad), len({knob for config in configs for knob in config})
    if count < LEAST_NAN:
        return NanLook(Answer.TOO_FEW, None, count, len(seen))
    region = find_region(configs, bad) if knobs else None
    if region is not None and region.explains:
        return NanLook(Answer.EXPLAINED, region, count, len(seen))
    decided = count >= ENOUGH_NAN or len(seen) >= ENOUGH_EVALUATIONS
    undecidable = bool(knobs) and attainable(knobs, len(seen), count) > ALPHA and len(seen) < ENOUGH_EVALUATIONS
    answer = Answer.UNEXPLAINED if decided and not undecidable else Answer.TOO_FEW
    return NanLook(answer, region, count, len(seen))


def _is_nan(evaluation: Finished) -> bool:
    return evaluation.outcome is Outcome.NAN
