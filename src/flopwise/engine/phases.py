"""What the study does next, as a function of its state: which phase begins, which trials are proposed.

    calibrate ─► (signal, knobs, ladder) ─► search ─► choose ─► decide ─► done

Nothing here does I/O. The one thing with a memory is the searcher, and that is told from the state
alone, so a resumed run and an undisturbed one propose the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.engine.confirm import candidates, choose_events, decide_events, look_events, missing_trials
from flopwise.engine.recheck import search_stop
from flopwise.engine.timing import target_events
from flopwise.events import Event, PhaseStarted, QuestionSettled, TrialProposed
from flopwise.journal.replay import RunState
from flopwise.searchers.constrained import Proposer
from flopwise.seeds import derive
from flopwise.study import baseline_config
from flopwise.trial import Phase, Proposal, Told


def evaluation_seeds(study: Mapping[str, Any], count: int) -> list[int]:
    """The first ``count`` seeds that calibration and every search trial share."""
    return [derive(study["search"]["seed"], "evaluation", index) for index in range(count)]


def start_calibration(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """Trial 0: the baseline, on enough seeds to time it and to see its noise; empty when it is proposed already."""
    if 0 in state.trials:
        return []
    count = max(study["calibration"]["seeds"], study["evaluation"]["seeds"])
    proposal = TrialProposed(
        number=0,
        phase=Phase.CALIBRATE,
        config=baseline_config(study),
        stop=study["evaluation"]["stop"],
        seeds=evaluation_seeds(study, count),
    )
    return [proposal] if state.phase else [PhaseStarted(Phase.CALIBRATE), proposal]


class Search:
    """Feeds the searcher from the state and turns its proposals into events.

    The searcher knows a trial by its ordinal, its place in the search from 1, and never by its number: what was
    evaluated before the search began changes no proposal.

    Args:
        searcher: Fresh; it is told everything again, in order.
        study: Canonical study.
        tier: ``population`` and ``generations``, or ``trials``.
        slots: How many evaluations run at once.
    """

    def __init__(self, searcher: Proposer, study: Mapping[str, Any], tier: Mapping[str, int], slots: int) -> None:
        self._searcher = searcher
        self._stop = search_stop(study)
        self._seeds = evaluation_seeds(study, study["evaluation"]["seeds"])
        self._population = tier.get("population")
        self._waits = self._population is not None and not study["search"].get("asynchronous", False)
        self._total = tier["trials"] if "trials" in tier else tier["population"] * tier["generations"]
        self._slots = slots
        self._told = 0

    def complete(self, state: RunState) -> bool:
        """Whether every trial of the tier is proposed and finished."""
        if state.unfinished_count(Phase.SEARCH):
            return False
        proposed = state.proposed(Phase.SEARCH)
        return proposed >= self._total or not self._room(state, proposed, 0)

    def propose(self, state: RunState) -> list[Event]:
        """New trials, as many as may be proposed now, often none; before them the questions that are settled."""
        proposed, unfinished = state.proposed(Phase.SEARCH), state.unfinished_count(Phase.SEARCH)
        if self._population and self._waits:
            ordinals = self._rest_of_generation(proposed, unfinished, self._population)
        else:
            room = self._room(state, proposed, unfinished)
            ordinals = self._ordinals(proposed, min(self._slots - unfinished, room))
        settled = self.settled(state)
        if not ordinals:
            return settled
        self._tell(state)
        proposals = self._searcher.ask(ordinals)
        proposed_now = [self._event(state.next_number + offset, each) for offset, each in enumerate(proposals)]
        return [*settled, *proposed_now]

    def settled(self, state: RunState) -> list[Event]:
        """What the searcher does not ask to its end and the journal does not say yet."""
        found = getattr(self._searcher, "settled", ())
        return [
            QuestionSettled(each.question, list(each.dropped), each.skipped, each.reason, dict(each.numbers))
            for each in found[len(state.settled) :]
        ]

    def _rest_of_generation(self, proposed: int, unfinished: int, population: int) -> list[int]:
        """Ordinals that complete a half-proposed generation, or open the next one when all is finished."""
        begun = proposed % population
        if begun == 0 and unfinished:
            return []
        return self._ordinals(proposed, population - begun)

    def _room(self, state: RunState, proposed: int, unfinished: int) -> int:
        """How many more trials the searcher can propose, where it has stages that wait for each other."""
        room = getattr(self._searcher, "room", None)
        if room is None:
            return self._total
        self._tell(state)
        return int(room(proposed, unfinished))

    def _ordinals(self, proposed: int, wanted: int) -> list[int]:
        count = max(0, min(wanted, self._total - proposed))
        return [1 + proposed + offset for offset in range(count)]

    def _tell(self, state: RunState) -> None:
        """Tell what the searcher has not heard: whole generations by ordinal, or trials as they finished."""
        news = state.told(self._told)
        size = self._population or 1
        for start in range(0, len(news) - size + 1, size):
            told = sorted(news[start : start + size], key=_ordinal)
            self._searcher.tell(told)
            self._told += size
            state.let_go(points=[each.number for each in told])

    def _event(self, number: int, proposal: Proposal) -> TrialProposed:
        return TrialProposed(
            number=number,
            phase=Phase.SEARCH,
            config=dict(proposal.config),
            stop=self._stop,
            seeds=self._seeds,
            point=list(proposal.point),
            visible=self._told,
        )


def _ordinal(told: Told) -> int:
    return told.number


def after_search(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """The next step of confirmation, its trials, a look, or the verdict; empty while trials are running.

    Args:
        study: Canonical study.
        state: The run so far; its search is over.
    """
    phase = state.phase.phase if state.phase else ""
    missing = missing_trials(study, state)
    if missing:
        return missing
    if phase == Phase.SEARCH and (chosen := target_events(state)):
        return chosen
    if phase == Phase.SEARCH:
        return choose_events(study, state, candidates(study, state))
    if phase == Phase.CHOOSE and not state.unfinished_count(Phase.CHOOSE):
        return decide_events(study, state)
    if phase == Phase.DECIDE and not state.unfinished_count(Phase.DECIDE):
        return look_events(study, state)
    return []
