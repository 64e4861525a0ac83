"""``threads: auto`` in a study: how it is held, and when a plan's measurements are good for a changed study."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.study import calibration_key, most_at_once, parse_study

pytestmark = pytest.mark.usefixtures("real_members")


def canonical(toy_text: str, change: str = "→") -> dict[str, Any]:
    """The toy with ``threads: auto`` and one more change, ``old→new``."""
    old, new = change.split("→")
    text = toy_text.replace("slots: 2", "slots: auto, threads: auto")
    assert old in text
    return parse_study(text.replace(old, new) if old else text).canonical


def key(study: dict[str, Any]) -> str:
    return calibration_key(study, {}, {"cores": 8})


def test_auto_stays_and_is_written_as_it_was(toy_text: str) -> None:
    study = canonical(toy_text)
    assert study["execution"]["threads"] == "auto" and study["execution"]["slots"] is None


def test_whole_numbers_are_read_however_they_are_written(toy_text: str) -> None:
    assert parse_study(toy_text.replace("slots: 2", "threads: 2.0")).canonical["execution"]["threads"] == 2


@pytest.mark.parametrize(
    ("change", "most"),
    [
        ("population: 4→population: 6", 6),
        ("timeout: 60s→timeout: 60s, seeds: 2", 8),
        ("confirm:→limits: {evaluations: 3}\nconfirm:", 3),
    ],
)
def test_how_many_the_search_can_have_under_way(toy_text: str, change: str, most: int) -> None:
    assert most_at_once(canonical(toy_text, change)) == most


def test_a_plan_is_good_for_another_study_as_long_as_its_pairs_are_the_same(toy_text: str) -> None:
    base = canonical(toy_text)
    assert key(base) == key(canonical(toy_text, "generations: 3→generations: 9"))
    assert key(base) != key(canonical(toy_text, "population: 4→population: 6"))
    assert key(base) != key(canonical(toy_text, "slots: auto→slots: 2"))
    wide = "population: 4→population: 16"
    wider = "population: 4→population: 32"
    assert key(canonical(toy_text, wide)) == key(canonical(toy_text, wider)), "8 cores are full"


def test_without_auto_the_number_of_slots_is_no_part_of_a_calibration(toy_text: str) -> None:
    one, two = (parse_study(toy_text.replace("slots: 2", f"slots: {slots}")).canonical for slots in (1, 2))
    assert key(one) == key(two)
