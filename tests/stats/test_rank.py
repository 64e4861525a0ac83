"""Rank correlations against scipy's, their intervals against their promise, and regret by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from flopwise.stats.rank import agreement, kendall, ranks, spearman


def test_both_are_scipys_with_and_without_ties() -> None:
    stream = random.Random(4)
    for size in (3, 8, 21):
        for digits in (0, 6):
            pairs = [(round(stream.gauss(0, 2), digits), round(stream.gauss(0, 2), digits)) for _ in range(size)]
            left, right = zip(*pairs, strict=True)
            if len(set(left)) > 1 and len(set(right)) > 1:
                assert spearman(pairs) == pytest.approx(stats.spearmanr(left, right).statistic)
                assert kendall(pairs) == pytest.approx(stats.kendalltau(left, right).statistic)
            assert ranks(left) == list(stats.rankdata(left))


def test_a_side_that_does_not_vary_has_no_correlation() -> None:
    assert spearman([(1.0, 2.0), (1.0, 3.0)]) is None
    assert kendall([(1.0, 2.0), (1.0, 3.0)]) is None
    found = agreement([1.0] * 4, [1.0, 2.0, 3.0, 4.0], top=1, seed=0)
    assert found is not None and (found.spearman, found.spearman_lower) == (None, None)
    assert agreement([1.0, 2.0], [1.0, 2.0], top=1, seed=0) is None


def test_regret_is_what_the_cheap_choice_costs() -> None:
    found = agreement([1.0, 2.0, 3.0], [5.0, 4.0, 3.5], top=2, seed=0)
    assert found is not None
    assert (found.regret, found.regret_top, found.spearman) == (1.5, 0.5, -1.0)


def test_the_interval_is_seeded_and_holds_the_true_correlation() -> None:
    numbers = np.random.default_rng(0)
    inside = 0
    for index in range(24):
        shared = numbers.normal(0, 1, 25)
        cheap, full = (shared + numbers.normal(0, 0.5, 25) for _ in range(2))
        found = agreement(cheap.tolist(), full.tolist(), top=2, seed=index)
        assert found == agreement(cheap.tolist(), full.tolist(), top=2, seed=index)
        assert found is not None and found.spearman_lower is not None and found.spearman_upper is not None
        true = 6 / np.pi * np.arcsin(0.8 / 2)
        inside += found.spearman_lower <= true <= found.spearman_upper
    assert inside >= 18
