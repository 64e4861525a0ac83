"""Which target to compare by: one that ranks, not one that nobody reaches or that all reach alike."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flopwise.stats.targets import Rung, choose, recommend, rung


def one(*times: float | None) -> list[list[float | None]]:
    return [[each] for each in times]


def rungs(**levels: Sequence[Sequence[float | None]]) -> dict[float, Rung]:
    return {float(name[1:]) / 10: rung(float(name[1:]) / 10, seconds) for name, seconds in levels.items()}


NOBODY, SOME, ALIKE = one(None, None, None), one(30.0, None, 50.0), one(10.0, 10.2, 10.1)


def test_a_rung_counts_medians_over_seeds() -> None:
    found = rung(5.0, [[1.0, 2.0, None], [None, None, 3.0], [4.0, 6.0]])
    assert (found.of, found.reached, found.fastest, found.median, found.slowest) == (3, 2, 2.0, 3.5, 5.0)
    assert found.noise_sd == pytest.approx(((0.5 + 2.0) / 2) ** 0.5)


@pytest.mark.parametrize(
    ("levels", "chosen"),
    [
        ({"l50": SOME, "l55": SOME, "l60": SOME, "l48": NOBODY}, 5.0),
        ({"l50": NOBODY, "l55": SOME, "l60": ALIKE, "l48": NOBODY}, 5.5),
        ({"l50": NOBODY, "l55": NOBODY, "l60": SOME, "l48": NOBODY}, 6.0),
        ({"l50": NOBODY, "l55": NOBODY, "l60": NOBODY, "l48": NOBODY}, 5.0),
        ({"l50": ALIKE, "l55": ALIKE, "l60": ALIKE, "l48": SOME}, 4.8),
        ({"l50": ALIKE, "l55": ALIKE, "l60": ALIKE, "l48": NOBODY}, 5.0),
        ({"l50": ALIKE, "l55": ALIKE, "l60": ALIKE, "l48": one(20.0, None, None)}, 5.0),
    ],
)
def test_it_falls_back_where_nobody_arrives_and_tightens_where_all_do_at_once(
    levels: dict[str, list[list[float | None]]], chosen: float
) -> None:
    assert choose(5.0, (5.5, 6.0), (4.8,), rungs(**levels)) == chosen


def test_times_within_the_noise_of_one_config_are_a_tie() -> None:
    wide = [[10.0, 14.0], [11.0, 15.0], [12.5, 13.0]]
    assert rung(5.0, wide).tied
    assert not rung(5.0, one(10.0, 14.0, 12.0)).tied


def test_recommended_is_the_target_that_ranks_most_pairs() -> None:
    ladder = [rung(6.0, ALIKE), rung(5.5, one(10.0, 20.0, 30.0)), rung(5.0, one(30.0, None, None)), rung(4.5, NOBODY)]
    assert [round(each.separates, 3) for each in ladder] == [0.0, 1.0, 0.667, 0.0]
    assert recommend(ladder) == 5.5
    assert recommend([rung(4.5, NOBODY)]) is None
