"""Confirmation in two steps on fresh seeds: the best few choose one, that one and the baseline decide.

The search's own seeds never decide: the best of many noisy values is too good to be true (the winner's
curse). The second step uses seeds that neither search nor first step has seen, paired by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from typing import Any

from flopwise.budget.pricing import CHOOSE_SEEDS
from flopwise.events import Event, PhaseStarted, TrialProposed, VerdictReached
from flopwise.journal.replay import RunState, TrialState
from flopwise.seeds import derive
from flopwise.stats.verdict import Judgement, decide, no_candidate
from flopwise.trial import Phase


def candidates(study: Mapping[str, Any], state: RunState) -> list[TrialState]:
    """The ``confirm.top`` best finished search trials; ties go to the lower number."""
    return _ranked(state, state.by_phase(Phase.SEARCH), study["confirm"]["top"])


def choose_events(
    study: Mapping[str, Any], state: RunState, chosen: Sequence[TrialState], seeds_decide: int
) -> list[Event]:
    """Begin the first step; with one candidate go straight to the second, with none to the verdict."""
    if not chosen:
        return _verdict(None, no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"]))
    numbers = [trial.trial.number for trial in chosen]
    if len(chosen) == 1:
        return [PhaseStarted(Phase.DECIDE, {"chosen": numbers[0], "seeds": seeds_decide})]
    return [PhaseStarted(Phase.CHOOSE, {"candidates": numbers, "seeds": CHOOSE_SEEDS})]


def decide_events(study: Mapping[str, Any], state: RunState, seeds_decide: int) -> list[Event]:
    """Begin the second step with the best of the first; those that failed a seed are out."""
    ranked = _ranked(state, state.by_phase(Phase.CHOOSE))
    if not ranked:
        judgement = no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"])
        reason = "Every candidate failed on a fresh seed: there is none to confirm."
        return _verdict(None, replace(judgement, reasons=(reason,)))
    return [PhaseStarted(Phase.DECIDE, {"chosen": ranked[0].trial.of, "seeds": seeds_decide})]


def missing_trials(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """Trials that the current step of confirmation has announced and not proposed yet.

    A kill may leave the announcement without all of its trials; whatever is missing is proposed then.
    """
    if state.phase is None or state.phase.phase not in (Phase.CHOOSE, Phase.DECIDE):
        return []
    phase, detail = Phase(state.phase.phase), state.phase.detail
    wanted = detail["candidates"] if phase is Phase.CHOOSE else [0, detail["chosen"]]
    known = [trial.trial.of for trial in state.by_phase(phase)]
    seeds = [derive(study["search"]["seed"], phase, index) for index in range(detail["seeds"])]
    missing = [state.trials[number] for number in wanted if number not in known]
    return [_again(study, len(state.trials) + i, phase, trial, seeds) for i, trial in enumerate(missing)]


def verdict_events(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """The judgement on the second step's values."""
    baseline, winner = state.by_phase(Phase.DECIDE)
    judgement = decide(
        baseline=baseline.losses(state.objective),
        candidate=winner.losses(state.objective),
        min_improvement=study["confirm"]["min_improvement"],
        objective=state.objective,
    )
    return _verdict(winner.trial.of, judgement)


def out_of_budget(study: Mapping[str, Any], state: RunState, cause: str) -> list[Event]:
    """The verdict when a limit ended confirmation before it could decide."""
    judgement = no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"])
    reason = f"The budget ended before the confirmation did: {cause}."
    return _verdict(None, replace(judgement, reasons=(reason,)))


def _verdict(winner: int | None, judgement: Judgement) -> list[Event]:
    verdict = VerdictReached(judgement.verdict, winner, list(judgement.reasons), dict(judgement.numbers))
    return [verdict, PhaseStarted("done")]


def _again(study: Mapping[str, Any], number: int, phase: Phase, trial: TrialState, seeds: list[int]) -> TrialProposed:
    """The same config as an earlier trial, on other seeds."""
    return TrialProposed(
        number=number,
        phase=phase,
        config=dict(trial.trial.config),
        stop=study["evaluation"]["stop"],
        seeds=seeds,
        of=trial.trial.number,
    )


def _ranked(state: RunState, trials: Sequence[TrialState], most: int | None = None) -> list[TrialState]:
    """Trials that have a loss, best first, ties by number; at most so many."""
    objective = state.objective
    losses = ((trial.loss(objective), trial) for trial in trials)
    scored = ((loss, trial.trial.number, trial) for loss, trial in losses if loss is not None)
    return [trial for _, _, trial in nsmallest(len(trials) if most is None else most, scored)]
