"""A search by a cheap stop: its best are evaluated again at the full one, and only those results decide."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from heapq import nsmallest
from typing import Any

from flopwise.budget.pricing import RECHECKED_EVERY
from flopwise.events import TrialProposed
from flopwise.journal.replay import RunState, TrialState
from flopwise.seeds import derive
from flopwise.trial import Phase


def search_stop(study: Mapping[str, Any]) -> dict[str, float]:
    """How much training an evaluation of the search buys."""
    section: Mapping[str, Any] = study.get("proxy") or study["evaluation"]
    return dict(section["stop"])


class Rechecks:
    """The full evaluations of a search that goes by a proxy; there are none in other searches.

    Args:
        study: Canonical.
        tier: ``population``, or none.
    """

    def __init__(self, study: Mapping[str, Any], tier: Mapping[str, int]) -> None:
        self._study = study
        self._most = study["proxy"]["recheck"] if study.get("proxy") else 0
        self._size = tier.get("population") or RECHECKED_EVERY
        self._done = 0

    def due(self, state: RunState, *, over: bool) -> list[TrialProposed]:
        """The best of every batch that has finished and has not been rechecked.

        Args:
            state: The run so far.
            over: Nothing more is proposed, so that the last batch may be a smaller one.
        """
        if not self._most:
            return []
        known = {trial.trial.of for trial in state.by_phase(Phase.RECHECK)}
        wanted = [t for batch in self._batches(state, over) for t in self._best(batch, state)]
        missing = [trial for trial in wanted if trial.trial.number not in known]
        return [self._again(state.next_number + offset, trial) for offset, trial in enumerate(missing)]

    def _batches(self, state: RunState, over: bool) -> Iterator[list[TrialState]]:
        """Finished batches since the last call, in order."""
        trials = state.by_phase(Phase.SEARCH)
        while self._done < len(trials):
            batch = trials[self._done : self._done + self._size]
            if not all(trial.finished for trial in batch) or (len(batch) < self._size and not over):
                return
            self._done += len(batch)
            yield batch

    def _best(self, batch: list[TrialState], state: RunState) -> list[TrialState]:
        losses = ((trial.loss(state.objective), trial.trial.number, trial) for trial in batch)
        return [trial for _, _, trial in nsmallest(self._most, (each for each in losses if each[0] is not None))]

    def _again(self, number: int, trial: TrialState) -> TrialProposed:
        seed, count = self._study["search"]["seed"], self._study["evaluation"]["seeds"]
        return TrialProposed(
            number=number,
            phase=Phase.RECHECK,
            config=dict(trial.trial.config),
            stop=self._study["evaluation"]["stop"],
            seeds=[derive(seed, "evaluation", index) for index in range(count)],
            of=trial.trial.number,
        )


def proxy_pairs(state: RunState) -> list[tuple[float, float]]:
    """Cheap and full loss of every config that has both: those that the plan compared, then those rechecked."""
    objective = state.objective
    full = {_text(trial): trial.loss(objective) for trial in state.by_phase(Phase.SIGNAL)}
    found = [(trial.loss(objective), full.get(_text(trial))) for trial in state.by_phase(Phase.PROXY)]
    again = state.by_phase(Phase.RECHECK)
    found += [(state.trials[t.trial.of or 0].loss(objective), t.loss(objective)) for t in again]
    return [(cheap, loss) for cheap, loss in found if cheap is not None and loss is not None]


def _text(trial: TrialState) -> str:
    return json.dumps(trial.trial.config, sort_keys=True)
