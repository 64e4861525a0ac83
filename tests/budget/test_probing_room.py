"""How much may be spent before the search: a quarter of the largest tier's search, and of every limit."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.budget.probing import room
from flopwise.study import study_from_mapping

SECONDS, SLOTS, FLOPS, HOURLY = 10.0, 2, 1e9, 3.6


def study(**limits: Any) -> dict[str, Any]:
    """A search of 400 evaluations."""
    return dict(
        study_from_mapping(
            {
                "name": "probed",
                "workload": "function",
                "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
                "objective": {"metric": "loss"},
                "tiers": {"small": {"trials": 4}, "large": {"trials": 400}},
                "evaluation": {"stop": {"flops": FLOPS}},
                "limits": limits,
                "execution": {"price_per_hour": HOURLY},
            }
        ).canonical
    )


@pytest.mark.parametrize(
    ("limits", "evaluations"),
    [
        ({}, 100),
        ({"evaluations": 80}, 20),
        ({"device_hours": 1.0}, 90),
        ({"wall_clock": "200s"}, 10),
        ({"price": 0.1}, 5),
        ({"flops": 4e10}, 10),
        ({"flops": 4e10, "price": 0.1}, 5),
    ],
)
def test_it_is_a_quarter_of_the_tightest(limits: dict[str, Any], evaluations: int) -> None:
    assert room(study(**limits), SECONDS, SLOTS, FLOPS) == evaluations


def test_flops_that_nobody_knows_limit_nothing() -> None:
    assert room(study(flops=4e10), SECONDS, SLOTS) == 100
