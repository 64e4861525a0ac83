"""How stable a search has been: the share of its last generations' evaluations that failed.

Not a policy: the verdict and the offer of a larger tier ask for it. Every failure counts here, explained or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flopwise.policies.evaluations import Finished
from flopwise.trial import Phase

STABLE_BELOW = 0.05
"""A smaller share of failures counts as stable."""

GENERATIONS = 3
"""Looked back on."""

LEAST_EVALUATIONS = 20
"""A look at fewer says nothing: one failure would be more than the share."""


@dataclass(frozen=True)
class Stability:
    """What the last generations show.

    Args:
        failed: Evaluations that failed, after their retries.
        evaluations: Looked at.
        below: The share that counts as stable.
    """

    failed: int
    evaluations: int
    below: float = STABLE_BELOW

    @property
    def rate(self) -> float | None:
        """Share that failed; None without evaluations."""
        return self.failed / self.evaluations if self.evaluations else None

    @property
    def stable(self) -> bool:
        """Whether there were enough to say so, and few enough of them failed."""
        return self.evaluations >= LEAST_EVALUATIONS and self.failed < self.below * self.evaluations


def stability(finished: Sequence[Finished], population: int | None, seeds: int = 1) -> Stability:
    """The failures among the last generations of a search.

    Args:
        finished: Evaluations in the order in which they ended; only those of the search count.
        population: Trials a generation; None without generations, when the last ``LEAST_EVALUATIONS`` or a
            quarter of the search are looked at, whichever is more.
        seeds: Evaluations of one search trial.

    Example:
        >>> from flopwise.trial import Outcome
        >>> ends = [Finished(n, Phase.SEARCH, 1, 1.0, Outcome.OK) for n in range(30)]
        >>> stability(ends, 8).stable
        True
    """
    search = [evaluation for evaluation in finished if evaluation.phase is Phase.SEARCH]
    width = GENERATIONS * population * seeds if population else math.ceil(len(search) / 4)
    last = search[-max(width, LEAST_EVALUATIONS) :]
    return Stability(sum(evaluation.failed for evaluation in last), len(last))
