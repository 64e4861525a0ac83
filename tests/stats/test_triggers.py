"""Triggers: each holds, fails and is unknown where it should."""

from __future__ import annotations

import math

import pytest

from flopwise.stats.triggers import Shape, curves, inside, persistence, stability


@pytest.mark.parametrize(
    ("failed", "of", "holds"),
    [(0, 0, None), (0, 24, True), (1, 4, True), (2, 24, False), (2, 40, False), (2, 41, True)],
)
def test_one_failure_is_an_accident_and_five_percent_are_not(failed: int, of: int, holds: bool | None) -> None:
    found = stability([True] * failed + [False] * (of - failed), 3)
    assert (found.holds, found.vetoes) == (holds, True)
    assert (found.numbers["failed"], found.numbers["evaluations"]) == (failed, of)


@pytest.mark.parametrize(
    ("shape", "exploded"),
    [
        (Shape(5.5, 3.0, 3.0), False),
        (Shape(5.5, 3.0, 3.2), False),
        (Shape(5.5, 3.0, 4.5), True),
        (Shape(5.5, 5.5, 7.0), True),
        (Shape(1.00, 0.99, 1.01), False),
        (Shape(5.5, 3.0, math.nan), True),
    ],
)
def test_a_curve_explodes_when_it_loses_what_it_had_learnt(shape: Shape, exploded: bool) -> None:
    assert shape.exploded is exploded
    assert curves([Shape(5.0, 3.0, 3.0), shape]).holds is not exploded


def test_gradients_a_hundred_times_the_usual_are_a_pathology() -> None:
    calm, wild = Shape(5.0, 3.0, 3.0, 0.5, 4.0), Shape(5.0, 3.0, 3.0, 0.5, 51.0)
    assert curves([calm]).holds is True
    assert curves([calm, wild]).holds is False
    assert curves([calm, wild]).numbers == {"curves": 2, "exploded": 0, "lengths": 2, "jumped": 1}
    assert curves([]).holds is None


def test_a_lucky_trial_does_not_persist() -> None:
    assert persistence([0.03, 0.02, 0.02], [0.0, 0.02, 0.03], 0.01).holds is True
    assert persistence([0.03, 0.002, 0.02], [0.0, 0.02, 0.03], 0.01).holds is False
    assert persistence([0.03, 0.02, 0.02], [0.0, None, 0.03], 0.01).holds is False
    assert persistence([0.03, None, None], [0.03], 0.01).holds is None
    assert not persistence([0.03, 0.0, 0.02], [0.03], 0.01).vetoes


def test_a_bound_is_said_with_a_wider_one() -> None:
    at = {"key": "train.lr", "value": 0.1, "end": "high", "widen": 0.3}
    found = inside([at])
    assert (found.holds, found.vetoes) == (False, False)
    assert found.evidence == "train.lr = 0.1 is at its `high`: widen, try high: 0.3"
    assert inside([{**at, "widen": None}]).holds is True
    assert inside([]).holds is True
