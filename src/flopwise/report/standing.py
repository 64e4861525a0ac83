"""What a view says about the run as a whole: best value, spent, left, and how long it still takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from flopwise.budget.ledger import Ledger
from flopwise.events import AttemptEnded
from flopwise.journal.replay import RunState
from flopwise.trial import PROBING, AttemptId, Outcome, Phase
from flopwise.units import format_money

PAID = (Phase.SEARCH, Phase.CHOOSE, Phase.DECIDE)
"""Phases that a tier's price is about, in their order."""


class Standing:
    """Figures kept while events come in; each event is looked at once, however long the run.

    Attributes:
        best: Number and loss of the best trial of calibration and search; None before.
        course: The best loss after each finished trial of calibration and search.
        done: Evaluations that have their final end, by phase.
        failed: How many of them failed for good.
    """

    def __init__(self) -> None:
        self.best: tuple[int, float] | None = None
        self.course: list[float] = []
        self.done: Counter[Phase] = Counter()
        self.failed = 0
        self._completed = 0
        self._ended = 0
        self._seconds = 0.0
        self._timed = 0

    def update(self, state: RunState) -> None:
        """Take in what is new in the state since the last call."""
        for number in state.completed[self._completed :]:
            self._finished(number, state)
        for end in state.final_ends[self._ended :]:
            self._final(end, state)
        self._completed, self._ended = len(state.completed), len(state.final_ends)

    def _finished(self, number: int, state: RunState) -> None:
        trial = state.trials[number]
        if trial.trial.phase in (Phase.CALIBRATE, Phase.RECHECK if state.study.get("proxy") else Phase.SEARCH):
            loss = trial.loss(state.objective)
            if loss is not None and state.objective.reached(loss) and (self.best is None or loss < self.best[1]):
                self.best = (number if trial.trial.of is None else trial.trial.of, loss)
            if self.best is not None:
                self.course.append(self.best[1])

    def _final(self, end: AttemptEnded, state: RunState) -> None:
        self.done[state.trials[AttemptId.parse(end.attempt).trial].trial.phase] += 1
        if end.outcome == Outcome.OK:
            self._seconds += end.ended_at - end.started_at
            self._timed += 1
        elif end.outcome != Outcome.PRUNED:
            self.failed += 1

    def best_value(self, state: RunState) -> float | None:
        """The best trial's value as the user knows it."""
        return None if self.best is None else state.objective.value(self.best[1])

    def left(self, state: RunState) -> int | None:
        """Evaluations still to come in this phase and those after it, as planned; None while unknown.

        Before a tier is chosen only the calibration is known.
        """
        phase = state.phase.phase if state.phase else Phase.CALIBRATE
        if phase in (Phase.CALIBRATE, *PROBING):
            open_now = state.by_phase(Phase(phase))
            return sum(end is None for trial in open_now for end in trial.finals()) if open_now else None
        if phase not in PAID:
            return 0
        planned = planned_by_phase(state)
        if planned is None:
            return None
        coming = PAID[PAID.index(Phase(phase)) :]
        return sum(max(0, planned[later] - self.done[later]) for later in coming)

    def eta_s(self, state: RunState) -> float | None:
        """Seconds that what is left takes at the mean pace so far; None while that is unknown."""
        left = self.left(state)
        if left is None or not self._timed or not state.sessions:
            return None
        return left * self._seconds / self._timed / max(1, len(state.slots.usable))


def planned_by_phase(state: RunState) -> Mapping[Phase, int] | None:
    """Evaluations of the chosen tier's phases; None before there is one."""
    plan = state.tier.plan if state.tier else {}
    for tier in plan.get("tiers", ()):
        if state.tier and tier["name"] == state.tier.tier:
            return {phase: int(tier[f"{phase}_evaluations"]) for phase in PAID}
    return None


def money(state: RunState, ledger: Ledger) -> str:
    """``$0.003 spent, $0.997 left``; empty where the machine costs nothing."""
    if not state.study["execution"]["price_per_hour"]:
        return ""
    spent, limit = ledger.price(), state.study["limits"]["price"]
    left = "" if limit is None else f", {format_money(max(0.0, limit - spent))} left"
    return f"{format_money(spent)} spent{left}"
