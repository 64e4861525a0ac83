"""Quasi-random search leaves no gaps, pays for the baseline once unless asked to, and makes no noise."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.searchers.qmc import FIRST_BLOCK, QuasiRandom
from flopwise.space import Categorical, Float, Int, Space

SPACE = Space({"lr": Float(1e-4, 1.0, "log"), "depth": Int(1, 8), "kind": Categorical(("a", "b", "c", "d"))})
BASELINE = {"lr": 0.02, "depth": 3, "kind": "b"}


def qmc(seed: int = 0, centre: dict[str, Any] = BASELINE, baseline_first: bool = True) -> QuasiRandom:
    return QuasiRandom(SPACE, seed, QuasiRandom.Options(baseline_first=baseline_first), centre, None)


def test_the_baseline_is_left_to_trial_0_by_default() -> None:
    assert QuasiRandom.Options().baseline_first is False
    configs = [p.config for p in qmc(baseline_first=False).ask(range(1, 65))]
    assert BASELINE not in configs


def test_the_baseline_comes_first_and_the_sequence_after_it_where_that_is_asked_for() -> None:
    first, *rest = qmc().ask(range(1, 20))
    assert first.config == BASELINE
    assert [p.point for p in rest] == [p.point for p in qmc(baseline_first=False).ask(range(1, 19))]


@pytest.mark.parametrize("outside", [{"lr": 2.0}, {"depth": 2.5}, {"kind": "e"}])
def test_a_baseline_outside_the_space_is_left_out(outside: dict[str, Any]) -> None:
    searcher = qmc(centre={**BASELINE, **outside})
    assert searcher.ask([1, 2]) == qmc(baseline_first=False).ask([1, 2])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_every_axis_is_covered_evenly(blocks: int) -> None:
    count = FIRST_BLOCK * blocks
    points = [p.point for p in qmc(baseline_first=False).ask(range(1, count + 1))]
    for axis in range(3):
        assert sorted(int(point[axis] * count) for point in points) == list(range(count))


def test_choices_are_all_tried_equally_often() -> None:
    configs = [p.config for p in qmc(baseline_first=False).ask(range(1, 65))]
    assert all(sum(config["kind"] == kind for config in configs) == 16 for kind in "abcd")


def test_a_far_trial_needs_no_earlier_ask() -> None:
    near = qmc()
    near.ask(range(1, 300))
    assert near.ask([777]) == qmc().ask([777])


def test_results_change_nothing_and_any_space_is_taken() -> None:
    searcher = qmc()
    before = searcher.ask([7])
    searcher.tell([])
    assert searcher.ask([7]) == before
    assert QuasiRandom.check(SPACE, QuasiRandom.Options()) == []
