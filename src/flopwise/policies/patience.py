"""End a search that has stopped finding anything better, and go on to confirmation."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.policy import Action, Decision, Finished, History
from flopwise.trial import Phase

TRIALS_WITHOUT_GENERATIONS = 8
"""What counts as a generation for searchers that have none."""


@dataclass(frozen=True)
class _Scored:
    """A trial of which all seeds have ended."""

    number: int
    generation: int | None
    loss: float
    fresh: bool


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
        size = history.population or TRIALS_WITHOUT_GENERATIONS
        search = _scored(history, Phase.SEARCH, history.seeds)
        whole = search[: len(search) - len(search) % size]
        window = whole[-size * self._options.generations :]
        before = _scored(history, Phase.CALIBRATE, 1) + whole[: -len(window) or None]
        if len(window) < size * self._options.generations or not all(trial.fresh for trial in window):
            return None
        best, now = _best(before), _best(window)
        least = (history.noise_sd or 0.0) / math.sqrt(history.seeds)
        if best.loss == math.inf or best.loss - now.loss > least:
            return None
        return Decision(Action.END_SEARCH, self._cause(history, len(window)), _evidence(best, now, least, len(whole)))

    def _cause(self, history: History, trials: int) -> str:
        beyond = " beyond the noise between seeds" if history.noise_sd else ""
        count = self._options.generations
        span = f"{count} generation{'s' if count > 1 else ''}" if history.population else f"{trials} trials"
        return f"no improvement{beyond} in the last {span}"


def _scored(history: History, phase: Phase, seeds: int) -> list[_Scored]:
    """Trials of a phase in the order of their last seed's end; a failed trial's loss is infinite."""
    ends: defaultdict[int, list[tuple[int, Finished]]] = defaultdict(list)
    for index, evaluation in enumerate(history.finished):
        if evaluation.phase is phase:
            ends[evaluation.number].append((index, evaluation))
    whole = sorted((group for group in ends.values() if len(group) >= seeds), key=lambda group: group[-1][0])
    return [_score(group, history.accepted_after) for group in whole]


def _score(group: list[tuple[int, Finished]], accepted_after: int) -> _Scored:
    losses = [math.inf if evaluation.loss is None else evaluation.loss for _, evaluation in group]
    index, last = group[-1]
    return _Scored(last.number, last.generation, sum(losses) / len(losses), index >= accepted_after)


def _best(trials: list[_Scored]) -> _Scored:
    return min(trials, key=lambda trial: trial.loss, default=_Scored(-1, None, math.inf, False))


def _evidence(best: _Scored, now: _Scored, least: float, trials: int) -> dict[str, object]:
    return {
        "best_trial": best.number,
        "best_generation": best.generation,
        "best_loss": best.loss,
        "best_since": None if now.loss == math.inf else now.loss,
        "noise": least,
        "trials": trials,
    }
