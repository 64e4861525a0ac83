"""What waiting for the last of a generation costs, and what would have helped."""

from __future__ import annotations

import random

import pytest

from flopwise.budget.plan import Calibration, make_plan
from flopwise.budget.stragglers import MOST_IDLE, equal_share, populations, recommend, simulate
from flopwise.report.stragglers import straggler_sentences
from flopwise.study import parse_study


def test_each_evaluation_goes_to_the_slot_that_is_free_first() -> None:
    waves = simulate([4.0, 1.0, 1.0, 1.0], 2, 4)
    assert waves is not None and (waves.slot_s, waves.idle_s) == (8.0, 1.0)
    assert simulate([1.0] * 7, 4, 8) is None


def test_what_does_not_fill_a_generation_is_left_out() -> None:
    waves = simulate([1.0, 1.0, 5.0], 2, 2)
    assert waves is not None and (waves.slot_s, waves.share) == (2.0, 0.0)


def test_larger_populations_wait_less() -> None:
    stream = random.Random(3)
    seconds = [stream.lognormvariate(0.0, 0.4) for _ in range(960)]
    shares = [wave.share for size in populations(8, 1) if (wave := simulate(seconds, 8, size)) is not None]
    assert shares == sorted(shares, reverse=True) and shares[0] > 2 * shares[-1]


@pytest.mark.parametrize(("slots", "seeds", "sizes"), [(4, 1, [4, 8, 12, 16]), (4, 3, [2, 3, 4, 6]), (1, 1, [2, 3, 4])])
def test_populations_fill_the_slots_once_to_four_times(slots: int, seeds: int, sizes: list[int]) -> None:
    assert populations(slots, seeds) == sizes


def test_the_smallest_that_keeps_slots_busy_is_recommended() -> None:
    assert recommend([(4, 0.3), (8, MOST_IDLE), (12, 0.01)]) == 8
    assert recommend([(4, 0.3), (8, 0.2)]) is None


def test_equal_durations_idle_slots_where_the_population_does_not_fill_them() -> None:
    assert [equal_share(size, 1, 4) for size in (4, 5, 8)] == [0.0, 0.375, 0.0]
    assert equal_share(2, 2, 4) == 0.0


def test_the_plan_says_so_before_anything_is_spent() -> None:
    text = """
name: s
workload: function
space: {x: {type: float, low: 0, high: 1}}
objective: {metric: loss}
tiers: {odd: {population: 5, generations: 3}, even: {population: 8, generations: 3}}
"""
    calibration = Calibration((10.0, 10.0), (1.0, 1.1))
    waits = make_plan(parse_study(text + "search: {method: cmaes}\n").canonical, calibration, slots=4)
    (said,) = [warning for warning in waits.warnings if "generations of" in warning]
    assert "Tier odd: generations of 5 leave 4 slots idle 38%" in said and "population of 8" in said
    free = make_plan(
        parse_study(text + "search: {method: cmaes, asynchronous: true}\n").canonical, calibration, slots=4
    )
    assert not any("generations of" in warning for warning in free.warnings)


def test_little_waiting_is_not_worth_a_word_and_much_has_an_advice() -> None:
    found = {"population": 4, "slots": 4, "idle_share": 0.05, "recommended": 8}
    found["populations"] = [{"population": 4, "idle_share": 0.05}, {"population": 8, "idle_share": 0.02}]
    assert straggler_sentences(None) == straggler_sentences(found) == []
    much = {**found, "idle_share": 0.234}
    said, advice = straggler_sentences(much)
    assert said.startswith("Stragglers idled slots 23.4% of the search")
    assert "a population of 8 would have idled them 2" in advice and "asynchronous: true" in advice
    assert straggler_sentences({**much, "recommended": None})[1].startswith("Before the next study: `search: {asyn")
