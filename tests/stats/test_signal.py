"""Reliability against published tables and simulation; seeds and detectable improvements against their formulas."""

from __future__ import annotations

import random
import statistics

import numpy as np
import pytest
from scipy import stats

from flopwise.engine.verify.probed import anova
from flopwise.stats.power import POWER, confirmable, go_probability
from flopwise.stats.signal import detectable, reliability, seeds_for, spearman_brown

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Shrout and Fleiss, Psychological Bulletin 86, 1979, table 2: six targets, four judges."""


def table(rows: list[list[int]]) -> list[list[float]]:
    return [[float(x) for x in row] for row in rows]


def test_the_published_example() -> None:
    """ICC(3,1) = .71 and ICC(3,4) = .91; mean squares 11.24, 32.49 and 1.02 (their tables 3 and 4)."""
    found = reliability(table(SHROUT_FLEISS))
    assert found is not None and found.icc is not None
    assert found.icc == pytest.approx(0.7148, abs=5e-5)
    assert found.of_mean(4) == pytest.approx(0.9093, abs=5e-5)
    assert found.noise_sd**2 == pytest.approx(1.0194, abs=5e-5)
    assert 4 * found.config_sd**2 + found.noise_sd**2 == pytest.approx(11.2417, abs=5e-5)
    assert 6 * found.seed_sd**2 + found.noise_sd**2 == pytest.approx(32.4861, abs=5e-5)


def test_its_interval_is_that_of_mcgraw_and_wong() -> None:
    """Two-sided 95% bounds of the example are .342 and .946 (as printed by psych::ICC); ours are one-sided 95%."""
    found = reliability(table(SHROUT_FLEISS))
    assert found is not None and found.lower is not None and found.upper is not None
    ratio = 11.241667 / 1.019444
    for level, expected in ((0.975, (0.342, 0.946)), (0.95, (found.lower, found.upper))):
        low, high = ratio / stats.f.ppf(level, 5, 15), ratio * stats.f.ppf(level, 15, 5)
        assert ((low - 1) / (low + 3), (high - 1) / (high + 3)) == pytest.approx(expected, abs=6e-4)


def test_engine_and_verify_compute_the_same_from_different_formulas() -> None:
    stream = random.Random(5)
    for _ in range(50):
        n, k = stream.randint(3, 9), stream.randint(2, 5)
        rows = [[2.0 + stream.gauss(0, 0.1) + i * stream.random() for _ in range(k)] for i in range(n)]
        found, theirs = reliability(rows), anova(rows)
        assert found is not None
        for name, value in theirs.items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-8, abs=1e-12), name


def test_the_true_share_is_inside_the_interval_as_often_as_it_says() -> None:
    numbers = np.random.default_rng(1)
    inside = usable = 0
    for _ in range(1000):
        configs, seeds = numbers.normal(0, 2, (8, 1)), numbers.normal(0, 5, (1, 2))
        found = reliability((configs + seeds + numbers.normal(0, 1, (8, 2))).tolist())
        assert found is not None and found.lower is not None and found.upper is not None
        inside += found.lower <= 0.8 <= found.upper
        usable += found.usable(1)
    assert 870 <= inside <= 930
    assert usable > 800


def test_noise_alone_is_called_usable_in_at_most_one_of_twenty() -> None:
    numbers = np.random.default_rng(2)
    tables = numbers.normal(0, 1, (2000, 8, 2))
    found = [reliability(rows) for rows in tables.tolist()]
    assert sum(each is not None and each.usable(1) for each in found) <= 0.05 * 2000


def test_a_deterministic_score_is_all_signal_and_a_constant_one_none() -> None:
    steady = reliability([[0.1, 0.1], [0.3, 0.3], [0.2, 0.2]])
    assert steady is not None and (steady.icc, steady.lower, steady.usable(1)) == (1.0, 1.0, True)
    flat = reliability([[0.1, 0.3]] * 5)
    assert flat is not None and (flat.icc, flat.usable(1)) == (None, False)
    assert flat.seed_sd > 0 and flat.config_sd == 0
    assert reliability([[1.0, 2.0], [2.0, 1.0]]) is None
    assert reliability([[1.0], [2.0], [3.0]]) is None
    with pytest.raises(ValueError, match="every seed"):
        reliability([[1.0, 2.0], [1.0], [3.0, 4.0]])


def test_seeds_are_those_of_spearman_and_brown() -> None:
    for share in (0.05, 0.2, 0.5, 0.7, 0.9):
        seeds = seeds_for(share, 0.75)
        assert seeds is not None and spearman_brown(share, seeds) >= 0.75 - 1e-12
        assert seeds == 1 or spearman_brown(share, seeds - 1) < 0.75
    assert (seeds_for(0.0), seeds_for(1.0), seeds_for(0.75)) == (None, 1, 1)


def test_the_detectable_improvement_is_found_four_times_of_five() -> None:
    noise, trials, top = 0.5, 60, 3
    gain = detectable(noise, trials, top, seeds=1)
    numbers = np.random.default_rng(3)
    scores = numbers.normal(0, noise, (4000, trials))
    scores[:, 0] -= gain
    found = (scores.argsort(axis=1)[:, :top] == 0).any(axis=1)
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    assert detectable(noise, trials, top, seeds=4) == pytest.approx(gain / 2)


@pytest.mark.parametrize(("least", "noise", "n"), [(0.01, 0.01, 5), (0.0, 0.3, 3), (0.02, 1.0, 20), (0.01, 0.0, 3)])
def test_the_confirmable_improvement_has_the_power(least: float, noise: float, n: int) -> None:
    gain = confirmable(least, noise, n)
    assert go_probability(gain, least, noise, n) >= POWER
    assert confirmable(0.0, 0.0, n) == 0.0
    assert gain == least or go_probability(0.999 * gain, least, noise, n) < POWER


def test_of_a_real_table_the_noise_is_what_is_left_of_config_and_seed() -> None:
    rows = [[1.0, 2.0, 4.0], [1.5, 2.6, 4.4], [0.5, 1.4, 3.6]]
    found = reliability(rows)
    assert found is not None
    centred = [[x - statistics.fmean(row) for x in row] for row in rows]
    columns = [statistics.fmean(column) for column in zip(*centred, strict=True)]
    left = sum((x - c) ** 2 for row in centred for x, c in zip(row, columns, strict=True))
    assert found.noise_sd == pytest.approx((left / 4) ** 0.5)
