"""A searcher knows a trial by its place in the search: whatever came before it changes no proposal."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.engine.phases import Search
from flopwise.events import AttemptEnded, AttemptStarted, Event, PhaseStarted, RunCreated, TrialProposed
from flopwise.journal.replay import RunState
from flopwise.registry import load
from flopwise.space import Float, Space
from flopwise.trial import Phase

SPACE = Space({"x": Float(0.0, 1.0), "y": Float(1e-3, 1.0, "log")})
CENTRE = {"x": 0.5, "y": 0.1}
STUDY: dict[str, Any] = {
    "objective": {"metric": "loss", "direction": "minimize"},
    "execution": {"retries": 0, "price_per_hour": 0.0},
    "evaluation": {"stop": {}, "seeds": 1},
    "search": {"seed": 3},
}
TIERS = {"cmaes": {"population": 4, "generations": 3}, "nsga2": {"population": 4, "generations": 3}}


def ran(number: int, config: dict[str, Any]) -> list[Event]:
    """The trial's loss follows from its config alone; now and then one fails."""
    attempt, loss = f"t{number:04d}.s0.a1", config["x"] + config["y"]
    outcome = "error" if loss > 1.4 else "ok"
    metrics = {"loss": loss} if outcome == "ok" else {}
    return [AttemptStarted(attempt, 7, 0, None, 1), AttemptEnded(attempt, outcome, metrics, {}, 0.0, 1.0, 1.0, 0.0)]


def searched(method: str, before: int, between: int) -> tuple[list[TrialProposed], RunState]:
    """All proposals of a search after ``before`` trials of no searcher, and ``between`` more after each round."""
    tier = TIERS.get(method, {"trials": 12})
    kind = load("searchers", method)
    searcher = kind(SPACE, 3, kind.Options(), centre=CENTRE, population=tier.get("population"))
    search, state = Search(searcher, STUDY, tier, slots=3), RunState()
    state.apply(RunCreated(1, "run", "ab", STUDY, "", "", "python", {}, ""))
    others(state, before)
    state.apply(PhaseStarted(Phase.SEARCH))
    made: list[TrialProposed] = []
    while not search.complete(state):
        proposed = [event for event in search.propose(state) if isinstance(event, TrialProposed)]
        for event in [*proposed, *(end for trial in proposed for end in ran(trial.number, trial.config))]:
            state.apply(event)
        others(state, between)
        made += proposed
    return made, state


def others(state: RunState, count: int) -> None:
    for _ in range(count):
        event = TrialProposed(state.next_number, Phase.CALIBRATE, CENTRE, {}, [7])
        for each in (event, *ran(event.number, event.config)):
            state.apply(each)


@pytest.mark.parametrize("method", ["random", "qmc", "tpe", "cmaes", "nsga2"])
def test_proposals_do_not_depend_on_how_many_trials_came_before(method: str) -> None:
    plain, _ = searched(method, before=1, between=0)
    late, state = searched(method, before=8, between=2)
    assert [(trial.config, trial.point, trial.visible) for trial in plain] == [
        (trial.config, trial.point, trial.visible) for trial in late
    ]
    assert [trial.number for trial in plain] == list(range(1, 13))
    numbers = [trial.number for trial in late]
    assert numbers == sorted(set(numbers)) and numbers[0] == 8 and numbers[-1] > 12 + 7
    assert [state.trials[number].trial.ordinal for number in numbers] == list(range(1, 13))


def test_generations_are_counted_by_place_in_the_search() -> None:
    proposed, state = searched("cmaes", before=5, between=1)
    trials = [state.trials[trial.number].trial for trial in proposed]
    assert [trial.generation(4) for trial in trials] == [1] * 4 + [2] * 4 + [3] * 4
    assert trials[0].generation(None) is None
    assert state.trials[0].trial.generation(4) is None
