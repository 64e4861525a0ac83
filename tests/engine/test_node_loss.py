"""What is lost with one node of several: run again on another node, as long as there is one, and not for ever."""

from __future__ import annotations

from typing import Any

from flopwise.engine.placing import slot_for
from flopwise.events import FORMAT, AttemptEnded, AttemptStarted, RunCreated, SessionOpened, TrialProposed
from flopwise.journal.replay import RunState
from flopwise.journal.states import MOST_LOST
from flopwise.wire import Slot

STUDY: dict[str, Any] = {"objective": {"metric": "loss", "direction": "minimize"}, "execution": {"retries": 2}}
SLOTS = tuple(Slot(index, (), 1, host=index // 2) for index in range(4))


def told() -> RunState:
    """Two nodes of two slots each, and one trial."""
    there = [{"index": slot.index, "cores": [], "threads": 1, "host": slot.host} for slot in SLOTS]
    state = RunState([RunCreated(FORMAT, "r", "ab", STUDY, "h", "k", "python", {}, "2026")])
    state.apply(SessionOpened(1, 10, "host", "boot", "wall", {}, there, "flopwise run", 0.0))
    state.apply(TrialProposed(1, "search", {"x": 1.0}, {}, [7], [0.5]))
    return state


def end(state: RunState, slot: int, outcome: str = "killed", **more: Any) -> None:
    name = str(state.trials[1].next_attempt(0))
    state.apply(AttemptStarted(name, 7, slot, None, 1))
    state.apply(AttemptEnded(name, outcome, {}, {}, 0.0, 1.0, 1.0, 0.5, **more))


def lose(state: RunState, slot: int) -> None:
    end(state, slot, interrupted=True, lost="node")


def test_it_waits_for_the_other_node() -> None:
    state = told()
    lose(state, 0)
    trial = state.trials[1]
    assert slot_for((trial, 0), SLOTS, state) == SLOTS[2]
    assert slot_for((trial, 0), SLOTS[:2], state) is None


def test_it_does_not_wait_for_a_node_that_is_gone() -> None:
    state = told()
    lose(state, 0)
    assert slot_for((state.trials[1], 0), SLOTS[:2], state, down={2, 3}) == SLOTS[0]


def test_one_that_just_failed_needs_another_slot_not_another_node() -> None:
    state = told()
    end(state, 0)
    assert slot_for((state.trials[1], 0), SLOTS, state) == SLOTS[1]


def test_losses_with_nodes_are_no_retries_and_make_nobody_a_suspect() -> None:
    state = told()
    for number in range(MOST_LOST - 1):
        lose(state, number % 4)
    trial = state.trials[1]
    assert trial.final(0) is None and not trial.suspect(0)
    name = str(trial.next_attempt(0))
    state.apply(AttemptStarted(name, 7, 0, None, 1))
    assert trial.lost_too_often(state.attempt(name), "node")
