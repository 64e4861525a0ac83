"""Bounds of several looks: held against simulated studies, and against the quadrature that verify uses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import stdtrit

from flopwise.engine.verify.looks import critical_values as again
from flopwise.objective import Objective
from flopwise.stats.looks import ALPHA, chance, critical_value, planned
from flopwise.stats.sequential import SPENDING_POWER, critical_values
from flopwise.stats.verdict import Verdict, decide

LOSS = Objective("val_loss")


@pytest.mark.parametrize("together", [1, 2, 3, 8, 64])
def test_looks_fill_waves_and_end_at_the_last_seed(together: int) -> None:
    for seeds, most in itertools.product(range(2, 60), (1, 2, 4, 8)):
        looks = planned(seeds, most, together)
        assert looks[-1] == seeds
        assert len(looks) <= most
        assert list(looks) == sorted(set(looks))
        assert all(n >= 3 and n % together == 0 for n in looks[:-1])


def test_a_single_look_is_the_plain_t_test() -> None:
    assert critical_value((7,), 7, last=True) == pytest.approx(stdtrit(6, 0.95))
    assert critical_values((7,), 7) == pytest.approx((stdtrit(6, 0.95),), rel=1e-4)


@pytest.mark.parametrize("pairs", [(3, 5), (3, 6, 9), (5, 10, 15, 20), (2, 3, 4), (4, 4, 8), (10, 20)])
@pytest.mark.parametrize("last", [True, False])
def test_another_quadrature_finds_the_same(pairs: tuple[int, ...], last: bool) -> None:
    of = pairs[-1] if last else pairs[-1] + 3
    assert critical_values(pairs, of, last) == pytest.approx(again(pairs, of, last), rel=1e-3)


@pytest.mark.parametrize("pairs", [(3, 5), (5, 10, 15, 20)])
def test_crossings_by_chance_are_what_is_spent(pairs: tuple[int, ...]) -> None:
    studies, of = 100_000, pairs[-1]
    differences = np.random.default_rng(of).standard_normal((studies, of))
    crossed = np.zeros(studies, dtype=bool)
    for n, critical in zip(pairs, critical_values(pairs, of), strict=True):
        seen = differences[:, :n]
        crossed |= seen.mean(axis=1) / seen.std(axis=1, ddof=1) * np.sqrt(n) > critical
        assert crossed.mean() == pytest.approx(ALPHA * (n / of) ** SPENDING_POWER, abs=0.003)


def test_failed_seeds_leave_what_they_would_have_spent_to_the_last_look() -> None:
    assert critical_values((5, 9), 10, last=True)[0] == critical_values((5,), 10, last=False)[0]
    assert critical_values((5, 9), 10, last=True)[1] < critical_values((5, 9), 10, last=False)[1]


@pytest.mark.parametrize(("pairs", "of"), [((5, 4), 5), ((1, 3), 3), ((5, 10), 9)])
def test_impossible_looks_are_refused(pairs: tuple[int, ...], of: int) -> None:
    with pytest.raises(ValueError, match="expected counts"):
        critical_values(pairs, of)


def test_the_chance_of_a_go_is_that_of_going_on() -> None:
    generator = np.random.default_rng(3)
    ends = (5 * 0.4 + generator.normal(0.5, 1.0, (200_000, 15)).sum(axis=1)) / 20
    expected = (ends >= 0.45).mean()
    assert chance(0.4, 1.0, 5, 20, 0.45, 0.5, 1.9) == pytest.approx(expected, abs=0.01)
    assert chance(0.4, 0.0, 5, 20, 0.45, 0.5, 1.9) == 1.0


def study(improvement: float, looks: tuple[int, ...], seed: int) -> tuple[Verdict, int]:
    """Verdict and seeds of a confirmation with 1% noise that asks for 1%."""
    generator = np.random.default_rng(seed)
    baseline = generator.normal(1.0, 0.01, looks[-1]).tolist()
    candidate = generator.normal(1.0 - improvement, 0.01, looks[-1]).tolist()
    for n in looks:
        judged = decide(baseline[:n], candidate[:n], 0.01, LOSS, looks)
        if judged.final:
            return judged.verdict, n
    raise AssertionError("the last look is always final")


def test_looking_early_saves_seeds_and_neither_invents_nor_loses_improvements() -> None:
    looks, studies = (3, 6, 9, 12), 400
    ends = {gain: [study(gain, looks, seed) for seed in range(studies)] for gain in (0.0, 0.02, 0.04)}
    go = {gain: sum(verdict is Verdict.GO for verdict, _ in found) / studies for gain, found in ends.items()}
    used = {gain: sum(n for _, n in found) / studies for gain, found in ends.items()}
    assert go[0.0] < 0.05
    assert go[0.02] > 0.90
    assert go[0.04] > 0.99
    assert used[0.0] < 9.5
    assert used[0.04] < 6.5


def test_a_look_before_the_last_ends_it_only_for_a_reason() -> None:
    looks = (3, 6)
    open_ = decide([1.0, 1.01, 0.99], [0.97, 1.01, 0.98], 0.01, LOSS, looks)
    assert (open_.final, open_.numbers["look"], open_.numbers["planned"]) == (False, 1, 6)
    hopeless = decide([1.0, 1.01, 0.99], [1.05, 1.055, 1.045], 0.01, LOSS, looks)
    assert (hopeless.final, hopeless.verdict) == (True, Verdict.NO_GO)
    failed = decide([1.0, 1.01, 0.99], [0.9, 0.91, None], 0.01, LOSS, looks)
    assert (failed.final, failed.verdict) == (True, Verdict.INCONCLUSIVE)
    lucky = decide([1.0, 1.0, 1.0], [0.9, 0.9, 0.9], 0.01, LOSS, looks)
    assert not lucky.final


def test_giving_up_says_how_small_the_chance_was() -> None:
    judged = decide([1.0, 1.3, 0.7, 1.1], [1.05, 1.25, 0.9, 1.1], 0.001, LOSS, (4, 6))
    assert (judged.final, judged.verdict) == (True, Verdict.INCONCLUSIVE)
    assert judged.numbers["chance"] < 0.10
    assert any("the last 2 of 6 planned seeds are not needed" in reason for reason in judged.reasons)


def test_seeds_must_be_those_of_a_look() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        decide([1.0, 1.0], [1.0, 1.0], 0.01, LOSS, (3, 5))
