"""Which ends are final and which are tried again: the same for a live run, a resumed one and a report."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.errors import JournalDamaged
from flopwise.events import (
    FORMAT,
    AttemptEnded,
    AttemptStarted,
    Event,
    LateResult,
    PackingChosen,
    PackingMeasured,
    PackingStarted,
    RunCreated,
    SessionOpened,
    SlotQuarantined,
    TrialProposed,
)
from flopwise.journal.replay import RunState
from flopwise.journal.states import MOST_LOST, MOST_LOST_ALONE

STUDY: dict[str, Any] = {"objective": {"metric": "loss", "direction": "minimize"}, "execution": {"retries": 2}}


def opened(session: int = 1, slots: int = 3) -> SessionOpened:
    there = [{"index": index, "cores": [index], "threads": 1} for index in range(slots)]
    return SessionOpened(session, 10, "host", "boot", "wall", {}, there, "flopwise run", 0.0)


class Told:
    """A run told attempt by attempt."""

    def __init__(self, trials: int = 20, slots: int = 3, retries: int = 2) -> None:
        study = {**STUDY, "execution": {"retries": retries}}
        self.state = RunState([RunCreated(FORMAT, "r", "ab", study, "h", "k", "python", {}, "2026")])
        self.session = 0
        self.open(slots)
        for number in range(1, trials + 1):
            self.state.apply(TrialProposed(number, "search", {"x": 1.0}, {}, [7], [0.5]))

    def open(self, slots: int = 3) -> None:
        self.session += 1
        self.state.apply(opened(self.session, slots))

    def start(self, trial: int, slot: int) -> str:
        name = str(self.state.trials[trial].next_attempt(0))
        self.state.apply(AttemptStarted(name, 7, slot, None, self.session))
        return name

    def end(self, name: str, outcome: str, **more: Any) -> AttemptEnded:
        end = AttemptEnded(name, outcome, {"loss": 1.0} if outcome == "ok" else {}, {}, 0.0, 1.0, 1.0, 0.5, **more)
        self.state.apply(end)
        return end

    def ran(self, trial: int, slot: int, outcome: str, **more: Any) -> AttemptEnded:
        return self.end(self.start(trial, slot), outcome, **more)

    def final(self, trial: int) -> str | None:
        end = self.state.trials[trial].final(0)
        return end.outcome if end else None


@pytest.mark.parametrize("outcome", ["error", "nan", "timeout", "pruned", "ok"])
def test_what_would_end_the_same_again_is_final(outcome: str) -> None:
    told = Told()
    end = told.ran(1, 0, outcome)
    assert list(told.state.final_ends) == [end]
    assert told.final(1) == outcome


@pytest.mark.parametrize("outcome", ["killed", "oom"])
def test_what_may_live_elsewhere_is_tried_again_elsewhere(outcome: str) -> None:
    told = Told(retries=1)
    told.ran(1, 2, outcome)
    assert told.final(1) is None
    assert told.state.trials[1].shunned(0) == 2
    told.ran(1, 0, outcome)
    assert told.final(1) == outcome


def test_an_error_after_another_trials_on_the_same_slot_is_tried_once_on_another() -> None:
    told = Told()
    told.ran(1, 0, "error")
    assert told.final(1) == "error"
    told.ran(2, 0, "error")
    assert told.final(2) is None
    assert told.state.trials[2].shunned(0) == 0
    told.ran(2, 1, "error")
    assert told.final(2) == "error"


def test_the_slot_is_not_in_doubt_where_others_fail_as_well() -> None:
    told = Told()
    told.ran(1, 0, "error")
    told.ran(2, 1, "timeout")
    told.ran(3, 0, "error")
    told.ran(4, 1, "timeout")
    assert [told.final(number) for number in (1, 2, 3, 4)] == ["error", "timeout", "error", "timeout"]


def test_a_loss_that_is_no_number_is_never_the_slots_fault() -> None:
    told = Told()
    for number in (1, 2, 3):
        told.ran(number, 0, "nan")
    assert told.state.slots.failing == []
    assert told.final(3) == "nan"


@pytest.mark.parametrize("changes", [{"slots": 1}, {"retries": 0}])
def test_without_another_slot_or_without_retries_an_error_is_final(changes: dict[str, int]) -> None:
    told = Told(**changes)
    told.ran(1, 0, "error")
    told.ran(2, 0, "error")
    assert told.final(2) == "error"


def test_doubt_does_not_outlive_its_session() -> None:
    told = Told()
    told.ran(1, 0, "error")
    told.open()
    told.ran(2, 0, "error")
    assert told.final(2) == "error"


def test_what_the_user_stopped_never_counts() -> None:
    told = Told()
    for _ in range(3 * MOST_LOST):
        told.ran(1, 0, "killed", interrupted=True)
    told.ran(2, 0, "error")
    assert told.final(1) is None
    assert told.final(2) == "error"


def test_lost_attempts_are_bounded() -> None:
    told = Told()
    trial = told.state.trials[1]
    for lost in range(1, MOST_LOST + 1):
        name = told.start(1, 0)
        too_often = trial.lost_too_often(told.state.attempt(name), "coordinator")
        assert too_often is (lost == MOST_LOST)
        told.end(name, "killed", interrupted=not too_often, lost="coordinator")
    assert told.final(1) == "killed"


def test_who_runs_alone_when_keepers_die_is_found_out_sooner() -> None:
    told = Told()
    for _ in range(2):
        culprit, innocent = told.start(1, 0), told.start(2, 1)
        for name in (culprit, innocent):
            attempt = told.state.attempt(name)
            assert not told.state.trials[attempt.id.trial].lost_too_often(attempt, "keeper")
            told.end(name, "killed", interrupted=True, lost="keeper")
    assert told.state.suspects == {(1, 0), (2, 0)}
    told.ran(2, 0, "ok")
    assert told.state.suspects == {(1, 0)}
    for death in range(1, MOST_LOST_ALONE + 1):
        name = told.start(1, 0)
        too_often = told.state.trials[1].lost_too_often(told.state.attempt(name), "keeper")
        assert too_often is (death == MOST_LOST_ALONE)
        told.end(name, "killed", interrupted=not too_often, lost="keeper")
    assert told.final(1) == "killed"
    assert told.state.suspects == set()


def test_company_at_any_moment_is_company() -> None:
    told = Told()
    first, second = told.start(1, 0), told.start(2, 1)
    told.end(second, "ok")
    third = told.start(3, 1)
    told.end(first, "ok")
    told.end(third, "ok")
    assert not any(told.state.attempt(name).alone for name in (first, second, third))
    assert told.state.attempt(told.start(4, 0)).alone


def test_a_late_result_is_charged_to_its_attempt_and_changes_nothing() -> None:
    told = Told()
    told.ran(1, 0, "killed")
    told.ran(1, 1, "ok")
    told.state.apply(LateResult("t0001.s0.a1", "ok", {"loss": -5.0}, 2.5, 0.1, 9.0))
    assert told.state.trials[1].loss(told.state.objective) == 1.0
    assert told.state.attempt("t0001.s0.a1").device_s == 3.5
    with pytest.raises(JournalDamaged, match="has not ended"):
        told.state.apply(LateResult(told.start(2, 0), "ok", {}, 1.0, 0.0, 9.0))


def test_quarantine_lasts_until_the_next_session() -> None:
    told = Told()
    told.state.apply(SlotQuarantined(1, 1, "it fails", {}))
    assert set(told.state.quarantined) == {1}
    assert told.state.slots.usable == {0, 2}
    told.open()
    assert told.state.quarantined == {}
    assert told.state.slots.usable == {0, 1, 2}


def test_packing_is_remembered() -> None:
    events: list[Event] = [
        PackingStarted(2, 1, 1, 5.0),
        PackingMeasured(2, 1, [1.0, 1.0], 7200.0, None, "", 2.0, 0.1, 6.0),
        PackingStarted(1, 2, 1, 6.0),
    ]
    told = Told()
    for event in events:
        told.state.apply(event)
    assert [each.slots for each in told.state.packings] == [2]
    assert told.state.packing_started == events[-1]
    assert told.state.packing is None
    told.state.apply(PackingChosen(2, 1, 2, "most an hour"))
    assert told.state.packing is not None and told.state.packing.threads == 1
