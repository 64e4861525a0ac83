"""Confirmation in two steps on fresh seeds: the best few choose one, that one and the baseline decide.

The search's own seeds never decide: the best of many noisy values is too good to be true (the winner's
curse). The second step uses seeds that neither search nor first step has seen, paired by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flopwise.budget.pricing import CHOOSE_SEEDS
from flopwise.events import Event, PhaseStarted, TrialProposed, VerdictReached
from flopwise.journal.replay import RunState, TrialState
from flopwise.seeds import derive
from flopwise.stats.verdict import Judgement, decide, no_candidate
from flopwise.trial import Phase


def candidates(study: Mapping[str, Any], state: RunState) -> list[TrialState]:
    """The ``confirm.top`` best finished search trials; ties go to the lower number."""
    ranked = _ranked(state, state.by_phase(Phase.SEARCH))
    return ranked[: study["confirm"]["top"]]


def choose_events(
    study: Mapping[str, Any], state: RunState, chosen: Sequence[TrialState], seeds_decide: int
) -> list[Event]:
    """Begin the first step; with one candidate go straight to the second, with none to the verdict."""
    if not chosen:
        return _verdict(None, no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"]))
    numbers = [trial.trial.number for trial in chosen]
    if len(chosen) == 1:
        return _decide(study, state, chosen[0].trial.number, seeds_decide)
    detail = {"candidates": numbers, "seeds": CHOOSE_SEEDS}
    seeds = [derive(study["search"]["seed"], "choose", index) for index in range(CHOOSE_SEEDS)]
    first = len(state.trials)
    trials = [_again(study, first + i, Phase.CHOOSE, trial, seeds) for i, trial in enumerate(chosen)]
    return [PhaseStarted(Phase.CHOOSE, detail), *trials]


def decide_events(study: Mapping[str, Any], state: RunState, seeds_decide: int) -> list[Event]:
    """Begin the second step with the best of the first; those that failed a seed are out."""
    ranked = _ranked(state, state.by_phase(Phase.CHOOSE))
    if not ranked:
        judgement = no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"])
        reason = "Every candidate failed on a fresh seed: there is none to confirm."
        return _verdict(None, replace(judgement, reasons=(reason,)))
    chosen = ranked[0].trial.of
    assert chosen is not None
    return _decide(study, state, chosen, seeds_decide)


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


def _decide(study: Mapping[str, Any], state: RunState, chosen: int, count: int) -> list[Event]:
    seeds = [derive(study["search"]["seed"], "decide", index) for index in range(count)]
    first = len(state.trials)
    pair = (state.trials[0], state.trials[chosen])
    trials = [_again(study, first + i, Phase.DECIDE, trial, seeds) for i, trial in enumerate(pair)]
    return [PhaseStarted(Phase.DECIDE, {"chosen": chosen, "seeds": count}), *trials]


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


def _ranked(state: RunState, trials: Sequence[TrialState]) -> list[TrialState]:
    """Trials that have a loss, best first, ties by number."""
    losses = [(trial.loss(state.objective), trial.trial.number, trial) for trial in trials]
    return [trial for loss, _, trial in sorted((x for x in losses if x[0] is not None), key=lambda x: x[:2])]
