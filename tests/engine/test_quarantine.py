"""Quarantine: a slot that fails where the others do not; never the last one, never for the configs' sake."""

from __future__ import annotations

import random

import pytest

from flopwise.engine.placing import free_slots, next_up, slot_for
from flopwise.engine.quarantine import chance, quarantine, suspected
from flopwise.events import FORMAT, AttemptEnded, AttemptStarted, RunCreated, SessionOpened, TrialProposed
from flopwise.journal.replay import RunState
from flopwise.journal.slot_health import SlotHealth
from flopwise.trial import Outcome
from flopwise.wire import Slot

OK, ERROR, KILLED = Outcome.OK, Outcome.ERROR, Outcome.KILLED


class Health:
    """Slots of which attempts end one after the other, each of another trial."""

    def __init__(self, slots: int = 4) -> None:
        self.health = SlotHealth(range(slots))
        self.number = 0

    def ended(self, slot: int, outcome: Outcome, times: int = 1, trial: int | None = None) -> None:
        for _ in range(times):
            self.number += 1
            name = f"t{self.number:04d}.s0.a1"
            self.health.ended(slot, self.number if trial is None else trial, name, outcome)

    def found(self) -> list[int]:
        return [slot for slot in self.health.failing if quarantine(self.health, slot, 1) is not None]


def test_three_trials_in_a_row_while_the_others_do_well() -> None:
    slots = Health()
    slots.ended(2, ERROR, 2)
    for slot in (0, 1, 3):
        slots.ended(slot, OK, 2)
    assert slots.found() == []
    slots.ended(2, KILLED)
    assert slots.found() == [2]
    event = quarantine(slots.health, 2, 7)
    assert event is not None
    assert (event.slot, event.session) == (2, 7)
    assert event.cause == ("the last 3 trials on slot 2 failed, while 6 of 6 attempts ended well on the others")
    assert event.evidence == {
        "trials": [1, 2, 9],
        "attempts": ["t0001.s0.a1", "t0002.s0.a1", "t0009.s0.a1"],
        "elsewhere": 6,
        "failed_elsewhere": 0,
        "ended": 9,
        "chance": pytest.approx(9 / 8**3),
    }


def test_one_trial_that_fails_three_times_says_nothing_about_the_slot() -> None:
    slots = Health()
    slots.ended(2, KILLED, 5, trial=9)
    slots.ended(0, OK, 9)
    assert slots.found() == []


def test_a_success_in_between_clears_the_slot() -> None:
    slots = Health()
    slots.ended(2, ERROR, 2)
    slots.ended(0, OK, 9)
    slots.ended(2, OK)
    slots.ended(2, ERROR)
    assert slots.found() == []


def test_what_ended_before_does_not_count() -> None:
    slots = Health()
    slots.ended(0, OK, 50)
    slots.ended(2, ERROR, 3)
    assert slots.found() == []
    assert suspected(slots.health, 2)


def test_the_last_usable_slot_is_never_taken() -> None:
    slots = Health(2)
    slots.ended(0, ERROR, 3)
    slots.ended(1, OK, 6)
    assert slots.found() == [0]
    slots.health.quarantine(0)
    slots.ended(1, ERROR, 9)
    assert slots.found() == []
    assert slots.health.usable == {1}


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("count", [2, 8])
def test_configs_that_fail_anywhere_do_not_take_slots_away(rate: float, count: int) -> None:
    """In one session of twenty at most, whatever their rate: the others fail as well."""
    misled = 0
    for seed in range(100):
        dice, slots = random.Random(seed), Health(count)
        for _ in range(200):
            slots.ended(dice.randrange(count), ERROR if dice.random() < rate else OK)
            if slots.found():
                misled += 1
                break
    assert misled <= 5


@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_a_broken_slot_is_found_late_in_a_long_session_too(rate: float) -> None:
    for seed in range(20):
        dice, slots = random.Random(seed), Health(8)
        for _ in range(2000):
            slots.ended(dice.randrange(8), ERROR if dice.random() < rate else OK)
        for _ in range(6):
            for slot in range(8):
                slots.ended(slot, ERROR if slot == 5 or dice.random() < rate else OK)
        assert 5 in slots.found()


def test_chance_is_that_of_the_others_rate() -> None:
    slots = Health()
    slots.ended(0, OK, 3)
    slots.ended(2, ERROR, 3)
    slots.ended(1, OK, 3)
    assert chance(slots.health, 2) == pytest.approx(9 * (1 / 5) ** 3)
    slots.ended(0, ERROR)
    assert chance(slots.health, 2) == pytest.approx(10 * (2 / 6) ** 3)
    slots.ended(3, ERROR, 9)
    assert chance(slots.health, 2) == pytest.approx(19 * (11 / 15) ** 3)


SLOTS = [Slot(index, (index,), 1) for index in range(3)]


def told(*ends: tuple[int, int, str], running: tuple[tuple[int, int], ...] = (), lost: str = "") -> RunState:
    """A run of twenty trials; ``ends`` and ``running`` name trial and slot."""
    study = {"objective": {"metric": "loss", "direction": "minimize"}, "execution": {"retries": 2}}
    there = [{"index": slot.index, "cores": [slot.index], "threads": 1} for slot in SLOTS]
    state = RunState(
        [
            RunCreated(FORMAT, "r", "ab", study, "h", "k", "python", {}, "2026"),
            SessionOpened(1, 1, "host", "boot", "wall", {}, there, "flopwise run", 0.0),
            *(TrialProposed(number, "search", {"x": 1.0}, {}, [7], [0.5]) for number in range(1, 21)),
        ]
    )
    for trial, slot, outcome in ends:
        name = str(state.trials[trial].next_attempt(0))
        state.apply(AttemptStarted(name, 7, slot, None, 1))
        metrics = {"loss": 1.0} if outcome == "ok" else {}
        state.apply(AttemptEnded(name, outcome, metrics, {}, 0.0, 1.0, 1.0, 0.0, interrupted=bool(lost), lost=lost))
    for trial, slot in running:
        state.apply(AttemptStarted(str(state.trials[trial].next_attempt(0)), 7, slot, None, 1))
    return state


def indexes(slots: list[Slot]) -> list[int]:
    return [slot.index for slot in slots]


def test_a_slot_that_swallows_trials_waits_until_the_others_have_spoken() -> None:
    """It fails at once where the others work for long: without a pause it would have all the trials."""
    failed = [(number, 0, "error") for number in (1, 2, 3)]
    assert indexes(free_slots(SLOTS, {1}, told(*failed, running=((9, 1),)))) == [2]
    assert indexes(free_slots(SLOTS, set(), told(*failed))) == [0, 1, 2]
    for outcome in ("ok", "nan"):
        others = [(number, 2, outcome) for number in (5, 6, 7)]
        assert indexes(free_slots(SLOTS, {1}, told(*failed, *others, running=((9, 1),)))) == [0, 2]
    assert indexes(free_slots(SLOTS, {1}, told(*failed, (5, 2, "error"), running=((9, 1),)))) == [0, 2]


def test_a_retry_waits_for_another_slot_as_long_as_there_is_one() -> None:
    killed = told((1, 0, "killed"))
    evaluation = (killed.trials[1], 0)
    assert slot_for(evaluation, SLOTS, killed) == SLOTS[1]
    assert slot_for(evaluation, SLOTS[:1], killed) is None
    assert slot_for(evaluation, [], killed) is None
    assert slot_for((killed.trials[2], 0), SLOTS, killed) == SLOTS[0]
    for slot in (1, 2):
        killed.slots.quarantine(slot)
    assert slot_for(evaluation, SLOTS[:1], killed) == SLOTS[0]


def test_a_failure_that_may_be_the_slots_waits_for_another_slot() -> None:
    doubted = told((1, 0, "error"), (2, 0, "error"))
    assert slot_for((doubted.trials[2], 0), SLOTS[:1], doubted) is None
    assert slot_for((doubted.trials[2], 0), SLOTS, doubted) == SLOTS[1]


def test_what_the_study_ended_itself_may_go_on_where_it_was() -> None:
    lost = told((1, 0, "killed"), lost="coordinator")
    assert slot_for((lost.trials[1], 0), SLOTS, lost) == SLOTS[0]


def test_who_keepers_die_with_runs_first_and_alone() -> None:
    deaths = [(1, 0, "killed"), (1, 0, "killed")]
    state = told(*deaths, lost="keeper")
    waiting = [(state.trials[number], 0) for number in (1, 2, 3)]
    assert list(next_up(waiting, state)) == waiting[:1]
    beside = told(*deaths, lost="keeper", running=((5, 1),))
    assert list(next_up([(beside.trials[1], 0), (beside.trials[2], 0)], beside)) == []
    alone = told(*deaths, lost="keeper", running=((1, 0),))
    assert list(next_up([(alone.trials[2], 0)], alone)) == []
    calm = told()
    assert list(next_up([(calm.trials[2], 0)], calm)) == [(calm.trials[2], 0)]
