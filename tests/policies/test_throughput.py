"""Throughput: when the search is too slow, for what reason, and when that cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.policies.evaluations import Finished
from flopwise.policies.pace import Pace, Timing
from flopwise.policies.policy import Action, Decision, History
from flopwise.policies.throughput import Throughput
from flopwise.trial import Outcome, Phase


def lockstep(
    seconds: float,
    waves: int,
    *,
    slots: int = 2,
    gap_s: float = 0.0,
    contention: float | None = 0.0,
    session: int = 1,
    first: int = 1,
) -> list[Finished]:
    """Whole waves on all slots, each evaluation taking so long, with so much idle time after each wave."""
    found = []
    for wave in range(waves):
        began = 100.0 + wave * (seconds + gap_s)
        for slot in range(slots):
            timing = Timing(session, slot, began, began + seconds, contention)
            number = first + wave * slots + slot
            found.append(Finished(number, Phase.SEARCH, None, 1.0, Outcome.OK, timing))
    return found


TWO_SLOTS = Pace(10.0, 2, 2)


def judged(
    finished: list[Finished], pace: Pace | None = TWO_SLOTS, pause_below: float = 0.7, **more: Any
) -> Decision | None:
    return Throughput(Throughput.Options(pause_below=pause_below)).judge(History(finished, pace=pace, **more))


@pytest.mark.parametrize(
    ("seconds", "paused"), [(8.0, False), (10.0, False), (14.2, False), (14.4, True), (40.0, True)]
)
def test_it_pauses_below_seven_tenths_of_the_promise(seconds: float, paused: bool) -> None:
    assert (judged(lockstep(seconds, 10)) is not None) is paused


def test_the_study_sets_the_share() -> None:
    assert judged(lockstep(14.4, 10), pause_below=0.5) is None
    assert judged(lockstep(11.5, 10), pause_below=0.9) is not None


def test_it_says_what_was_promised_and_what_came() -> None:
    decision = judged(lockstep(20.0, 10))
    assert decision is not None
    assert decision.action is Action.PAUSE
    assert decision.evidence["promised_per_hour"] == pytest.approx(720.0)
    assert decision.evidence["achieved_per_hour"] == pytest.approx(360.0)
    assert (decision.evidence["median_s"], decision.evidence["calibrated_s"]) == (20.0, 10.0)
    assert decision.cause.startswith("360 evaluations an hour where 720 were promised: ")


def test_slower_configs_are_told_from_contention() -> None:
    slower, contended, unknown = (judged(lockstep(20.0, 10, contention=share)) for share in (0.01, 0.45, None))
    assert slower and "these configs cost more than the baseline" in slower.cause
    assert contended and "other processes took 45% of their cores' time (8 of 8 were contended)" in contended.cause
    assert unknown and "not known" in unknown.cause
    assert "idle" not in slower.cause


def test_idle_slots_are_named() -> None:
    decision = judged(lockstep(10.0, 10, gap_s=8.0))
    assert decision is not None
    assert "slots were idle 44% of the time" in decision.cause
    assert "an evaluation takes" not in decision.cause


def test_missing_and_quarantined_slots_are_named() -> None:
    one = lockstep(10.0, 20, slots=1)
    fewer = judged(one, Pace(10.0, 2, 1))
    assert fewer and "there are 1 slots, in the plan 2" in fewer.cause
    quarantined = judged(one, Pace(10.0, 2, 2, quarantined=1))
    assert quarantined and "1 of 2 slots are quarantined" in quarantined.cause
    assert quarantined.evidence["idle"] == pytest.approx(0.5)


@pytest.mark.parametrize("population", [3, 5, 6, 9])
def test_the_wait_at_the_end_of_a_generation_is_part_of_the_promise(population: int) -> None:
    """An odd generation on two slots leaves one idle in its last wave, as planned."""
    found, now = [], 0.0
    for generation in range(12):
        for start in range(0, population, 2):
            for slot in range(min(2, population - start)):
                number = 1 + generation * population + start + slot
                timing = Timing(1, slot, now, now + 10.0, 0.0)
                found.append(Finished(number, Phase.SEARCH, generation + 1, 1.0, Outcome.OK, timing))
            now += 10.0
    for count in range(1, len(found) + 1):
        assert judged(found[:count], population=population, pause_below=0.8) is None


def test_evaluations_of_mixed_length_are_no_reason_to_pause() -> None:
    """Half of them take twice as long and the others half as long as in calibration: 80% of the promise."""
    found: list[Finished] = []
    free_at = [0.0, 0.0]
    for number in range(1, 80):
        slot = free_at.index(min(free_at))
        seconds = 20.0 if number % 2 else 5.0
        timing = Timing(1, slot, free_at[slot], free_at[slot] + seconds, 0.0)
        free_at[slot] = timing.ended_at
        found.append(Finished(number, Phase.SEARCH, None, 1.0, Outcome.OK, timing))
    found.sort(key=lambda evaluation: evaluation.timing.ended_at if evaluation.timing else 0.0)
    assert not [count for count in range(1, len(found) + 1) if judged(found[:count])]


def test_the_more_evaluations_differ_the_longer_it_looks() -> None:
    """Sixty percent of the promise, from evaluations of 5 and of 28 seconds in turn: clear only after some time."""
    found = []
    free_at = [0.0, 0.0]
    for number in range(1, 200):
        slot = free_at.index(min(free_at))
        timing = Timing(1, slot, free_at[slot], free_at[slot] + (28.0 if number % 2 else 5.0), 0.0)
        free_at[slot] = timing.ended_at
        found.append(Finished(number, Phase.SEARCH, None, 1.0, Outcome.OK, timing))
    found.sort(key=lambda evaluation: evaluation.timing.ended_at if evaluation.timing else 0.0)
    first = next(count for count in range(1, len(found)) if judged(found[:count], pause_below=0.8))
    assert 12 < first < 100


def test_toys_and_first_waves_are_not_judged() -> None:
    assert judged(lockstep(4.0, 50), Pace(0.5, 2, 2)) is None
    assert judged(lockstep(3.0, 7), Pace(1.0, 2, 2)) is None
    assert judged(lockstep(30.0, 4)) is None
    assert judged(lockstep(30.0, 5)) is not None
    assert judged(lockstep(30.0, 5), None) is None


def test_time_between_sessions_is_not_the_searchs() -> None:
    before = lockstep(10.0, 10)
    after = lockstep(10.0, 4, session=2, first=21)
    assert judged([*before, *after]) is None
    assert judged([*before, *lockstep(30.0, 10, session=2, first=21)]) is not None


def test_an_accepted_pace_is_the_new_measure() -> None:
    seen = lockstep(20.0, 10)
    same = lockstep(20.0, 10, session=2, first=21)
    worse = lockstep(40.0, 10, session=2, first=21)
    assert judged([*seen, *same]) is not None
    assert judged([*seen, *same], accepted_after=20) is None
    again = judged([*seen, *worse], accepted_after=20)
    assert again and "180 evaluations an hour where 360 were promised" in again.cause


def test_confirmation_is_not_judged() -> None:
    slow = lockstep(40.0, 10)
    chosen = Finished(30, Phase.CHOOSE, None, 1.0, Outcome.OK, Timing(1, 0, 900.0, 940.0))
    assert judged([*slow, chosen]) is None


@pytest.mark.parametrize("wrong", [0.0, 1.0, -1.0])
def test_the_share_is_a_share(wrong: float) -> None:
    with pytest.raises(ValueError, match="pause_below"):
        Throughput.Options(pause_below=wrong)
