"""End a search that has stopped finding anything better, and go on to confirmation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.evaluations import Scored
from flopwise.policies.policy import Action, Decision, History

TRIALS_WITHOUT_GENERATIONS = 8
"""What counts as a generation for searchers that have none."""


NONE = Scored(-1, None, math.inf)
"""Stands for the best of no trials."""


class Patience:
    """End the search after some generations without an improvement beyond the noise.

    The best loss of those generations is compared with the best before them, the baseline included; a
    difference within one standard deviation of a trial's noise is no improvement. Slow progress counts
    as a whole: it is judged over all the generations together, not one by one. Searchers without
    generations are judged every 8 trials.

    Example:
        >>> Patience(Patience.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.patience``.

        Args:
            generations: How many may pass without an improvement.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        generations: int = Field(default=8, ge=1)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        searched, size = history.trials.searched, history.population or TRIALS_WITHOUT_GENERATIONS
        whole = len(searched) - len(searched) % size
        first = whole - size * self._options.generations
        if first < 0 or searched[first].last < history.accepted_after:
            return None
        baseline = history.trials.baseline if history.proxy is None else None
        best = _best([baseline or NONE, searched[searched[first - 1].best] if first else NONE])
        now = _best(searched[first:whole])
        least = (history.noise_sd or 0.0) / math.sqrt(history.seeds)
        if best.loss == math.inf or best.loss - now.loss > least:
            return None
        return Decision(Action.END_SEARCH, self._cause(history, whole - first), _evidence(best, now, least, whole))

    def _cause(self, history: History, trials: int) -> str:
        beyond = " beyond the noise between seeds" if history.noise_sd else ""
        count = self._options.generations
        span = f"{count} generation{'s' if count > 1 else ''}" if history.population else f"{trials} trials"
        return f"no improvement{beyond} in the last {span}"


def _best(trials: Sequence[Scored]) -> Scored:
    """The first of those with the smallest loss."""
    return min(trials, key=lambda trial: trial.loss)


def _evidence(best: Scored, now: Scored, least: float, trials: int) -> dict[str, object]:
    return {
        "best_trial": best.number,
        "best_generation": best.generation,
        "best_loss": best.loss,
        "best_since": None if now.loss == math.inf else now.loss,
        "noise": least,
        "trials": trials,
    }
