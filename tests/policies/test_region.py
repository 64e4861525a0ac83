"""Which knob values predict failure, and how often chance alone seems to."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flopwise.policies.region import Region, attainable, find_region


def configs(count: int, knobs: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{f"k{knob}": draw.random() for knob in range(knobs)} for _ in range(count)]


def found(given: list[dict[str, Any]], bad: list[bool]) -> Region:
    region = find_region(given, bad)
    assert region is not None
    return region


def test_one_threshold_is_found() -> None:
    given = configs(40, 10)
    region = found(given, [config["k3"] > 0.8 for config in given])
    assert [rule.knob for rule in region.rules] == ["k3"]
    assert region.rules[0].test == ">"
    assert 0.7 < region.rules[0].value < 0.85
    assert region.explains
    assert region.outside_bad == 0


def test_a_corner_needs_two_rules() -> None:
    given = configs(120, 6)
    region = found(given, [config["k1"] > 0.6 and config["k4"] <= 0.5 for config in given])
    assert {rule.knob for rule in region.rules} == {"k1", "k4"}
    assert region.explains


def test_a_choice_is_named_as_it_is() -> None:
    draw = random.Random(1)
    given = [
        {"act": draw.choice(["relu", "gelu", "silu"]), "x": draw.random(), "deep": draw.random() < 0.5}
        for _ in range(40)
    ]
    region = found(given, [config["act"] == "gelu" for config in given])
    assert str(region.rules[0]) == "act = gelu"
    assert region.explains


def test_an_accident_elsewhere_does_not_hide_it() -> None:
    given = configs(60, 5)
    bad = [config["k0"] <= 0.2 for config in given]
    bad[next(i for i, failed in enumerate(bad) if not failed)] = True
    assert found(given, bad).explains


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_chance_is_not_taken_for_a_region(share: float) -> None:
    draw = random.Random(7)
    explained = 0
    for seed in range(100):
        given = configs(40, 10, seed)
        region = find_region(given, [draw.random() < share for _ in given])
        explained += region is not None and region.explains
    assert explained <= 2


def test_the_corrected_p_is_that_of_permutations() -> None:
    """Half of all permuted labels give a corrected p of at most about a half, a tenth one of a tenth; never more."""
    given, draw = configs(30, 4), random.Random(3)
    bad = [place < 6 for place in range(30)]
    values = []
    for _ in range(300):
        draw.shuffle(bad)
        values.append(found(given, bad).p)
    for level in (0.01, 0.05, 0.1, 0.5):
        share = sum(p <= level for p in values) / len(values)
        assert share <= level + 3 * (level / len(values)) ** 0.5


def test_nothing_to_separate_gives_no_region() -> None:
    given = configs(20, 3)
    assert find_region(given, [False] * 20) is None
    assert find_region(given, [True] * 20) is None
    assert find_region([{} for _ in range(20)], [place < 5 for place in range(20)]) is None
    assert find_region([], []) is None


def test_what_can_be_attained_is_attained() -> None:
    given = configs(20, 1)
    cut = sorted(config["k0"] for config in given)[3]
    region = found(given, [config["k0"] <= cut for config in given])
    assert region.p == pytest.approx(attainable(1, 20, 4), rel=1.0)
